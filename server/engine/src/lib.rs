//! The server's decisions: accept, refuse, merge, answer, fan out.
//!
//! This crate has no runtime, no socket, no database, no clock and no source of randomness. Time, fresh ids and identity
//! come in as arguments; the database stands behind the [`Store`] trait, which this crate declares and whose every
//! method is one transaction. It is asynchronous only because that trait is.
//!
//! - [`Engine`] is what listeners call: prepare a request, answer a query, commit mutations, feed subscribers;
//! - [`decide`] turns a batch of submissions and the facts about them into what is to be written, purely;
//! - [`store`] declares the trait that a database implements; `suite` (feature `suite`) is the test of it;
//! - [`Retention`] says how long what only absent replicas need is kept, and `retention` why dropping it is safe;
//! - [`Hub`] holds the newest changes in a bounded ring and wakes those who are interested.

mod accesses;
mod commit;
mod conflicts;
pub mod decide;
mod feed;
mod former;
mod hub;
pub mod limits;
mod prepare;
mod request;
mod resume;
mod retention;
mod service;
pub mod store;
mod subscribe;
#[cfg(feature = "suite")]
pub mod suite;

pub use former::ServedSchema;
pub use hub::{Hub, Interest, SubscriberId, Waker};
pub use prepare::{Prepared, Refusal};
pub use resume::Bookmark;
pub use retention::{Pruned, ReplicaNote, Retention};
pub use service::{Engine, EngineError, Settings};
pub use store::{
    ChangePage, Head, KeptTrace, MutationResult, PageRequest, Readable, RecordsPage, Store, StoreError, Submission,
    TracePage, TraceRequest, Undecided, Verdict,
};
pub use subscribe::{Events, Subscriber};
