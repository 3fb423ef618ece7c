//! The SDK for other languages: the public API of the crate `tombolo`, made flat enough to cross into Kotlin, Swift and
//! Python through uniffi. No logic is here: what a call does is said in `tombolo`, and what makes it pleasant in a language
//! is in that language's own package (`bindings/kotlin`, `bindings/swift`, `bindings/python`).
//!
//! # Rules of this border
//! - **Answers** cross as one buffer of JSON ([`Answer::data`]), values that go in as JSON text.
//! - **Errors** are [`TomboloError`], an enum with fields.
//! - **Panics** do not cross. One in a call becomes [`TomboloError::Panicked`] and a report ([`set_reporter`]); the host app lives.
//! - **Work runs on threads of our own** ([`mod@runtime`]): no call waits on the caller's thread, whatever executor it has.
//! - **Every call that may take long takes a [`CancelHandle`]**, since not every language's cancellation comes through.
//! - **What is watched is a handle** ([`LiveQuery`], [`StatusWatch`], [`EventStream`]): it is asked for the next item, stops
//!   by `stop` and when it is dropped, and no callback is called.
//! - **Callbacks** ([`CredentialProvider`], [`Reporter`]) are called on a thread that may block, never on one that does our
//!   work, and may call anything here. One that throws is reported and does no harm.
//! - After [`Client::shut_down`] every call gives [`TomboloError::Closed`]; what is watched ends.

mod accounts;
#[cfg(target_os = "android")]
mod android;
mod answer;
mod cancel;
mod client;
mod config;
mod convert;
mod credential;
mod error;
mod import;
mod outbox;
mod records;
mod report;
pub mod runtime;
mod status;
#[cfg(feature = "testing")]
mod testing;
mod watch;

pub use accounts::{AccountFile, account_path, accounts};
pub use answer::{Answer, GraphqlProblem, Mutated, Operation, Transacted};
pub use cancel::CancelHandle;
pub use client::Client;
pub use config::{ClientConfig, Durability, ScopeConfig, Transport};
pub use credential::{CallbackError, Credential, CredentialProvider, CredentialReply};
pub use error::TomboloError;
pub use import::{ImportFormat, ImportProblem, ImportReport, ImportState};
pub use outbox::{Mutation, MutationFilter, MutationKind, MutationState, Outcome};
pub use records::{
    DeletedRecord, FindQuery, FoundRecords, RecordChange, RecordChangeKind, SavedAs, SavedRecord, SortStep,
};
pub use report::{Report, Reporter, set_reporter};
pub use status::{Event, LastError, LinkStatus, Salvage, ScopeStatus, SignOut, SignedOut, Status, SyncReport};
#[cfg(feature = "testing")]
pub use testing::{provoke_panic, provoke_panic_at_once};
pub use watch::{EventStream, LiveQuery, LiveRecords, RecordChanges, StatusWatch};

uniffi::setup_scaffolding!();

/// The version of this library, `MAJOR.MINOR.PATCH`.
#[uniffi::export]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
