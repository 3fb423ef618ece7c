//! The SDK: an app's data in a SQLite file on the device, read and written with GraphQL whether there is a network or
//! not, and kept in step with a Tombolo server.
//!
//! A [`Client`] is opened with the schema and a file. From then on
//! - [`Client::query`] and [`Client::watch`] answer from the file;
//! - [`Client::find`], [`Client::watch_find`], [`Client::observe`], [`Client::save`] and [`Client::delete`] do the same for whole
//!   records, without a document;
//! - [`Client::mutate`] and [`Client::transaction`] change it at once and queue the change for the server, durably;
//! - whenever there is a link, the queue is sent and the server's changes come in; [`Client::status`] tells how that
//!   goes, [`Client::outbox`] what is still to be decided or was refused.
//!
//! ```
//! use serde_json::json;
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("replica.db");
//! let client = tombolo::Client::builder()
//!     .schema("type Note @model { id: ID! text: String! }")
//!     .path(path)
//!     .open()
//!     .await?;
//! client.mutate("mutation { createNote(input: { id: \"n1\", text: \"wet runway\" }) { id } }", json!(null)).await?;
//! let response = client.query("{ getNote(id: \"n1\") { text } }", json!(null)).await?;
//! assert_eq!(response.data(), r#"{"getNote":{"text":"wet runway"}}"#);
//! client.close().await;
//! # Ok::<(), tombolo::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Threads
//! One thread writes, two read; a task on the caller's tokio runtime talks to the network. No callback is called: status,
//! events and live queries are awaited where the app likes.

mod account;
mod builder;
mod client;
mod close_reason;
mod credential;
mod driver;
mod error;
mod hub;
mod import;
mod inner;
pub mod limits;
mod mishap;
mod mutation;
mod mutations;
mod opening;
mod outbox;
mod readers;
mod records;
mod response;
mod scopes;
mod suspend;
mod switch;
mod sync;
mod transaction;
mod watch;
mod writer;

pub use account::{AccountFile, Accounts, SignOut, SignedOut};
pub use builder::Builder;
pub use client::Client;
pub use error::Error;
pub use graphql_client;
pub use hub::Event;
pub use mutations::{Mutation, MutationFilter, MutationState};
pub use outbox::{OutboxItem, OutboxState};
pub use records::{
    Deleted, Find, Observe, ObserveOptions, Observed, ObservedKind, Records, Save, Saved, SavedAs, SortBy, WatchFind,
};
pub use response::{Mutated, Response};
pub use sync::SyncReport;
pub use tombolo_core::id::MutationNumber;
pub use tombolo_core::schema::{MutationKind, Schema};
pub use tombolo_core::wire::envelope::RejectReason;
pub use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
#[doc(hidden)]
pub use tombolo_machine::Now;
pub use tombolo_machine::{FinalOutcome, LastError, LinkStatus, Scope, ScopeStatus, Status};
pub use tombolo_store::datastore::{ImportFormat, ImportProblem, ImportReport, ImportState};
pub use tombolo_store::{Durability, OpenError, Salvage};
#[cfg(feature = "testing")]
pub use tombolo_testing as testing;
pub use tombolo_transport as transport;
pub use transaction::{Transacted, Transaction};
pub use watch::Watch;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// Those of the pages on accounts and background, on the test kit, and on MQTT.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/accounts.md")]
#[doc = include_str!("../../../docs/background.md")]
#[doc = include_str!("../../../docs/from-datastore.md")]
#[cfg_attr(feature = "testing", doc = include_str!("../../../docs/testing-your-app.md"))]
#[cfg_attr(feature = "mqtt", doc = include_str!("../../../docs/mqtt.md"))]
struct Pages;
