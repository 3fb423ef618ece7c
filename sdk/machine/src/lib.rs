//! The replica's sync state machine: it decides what the device does next, and does none of it itself.
//!
//! [`Machine::step`] takes one [`Input`] and an open transaction on the replica's store, reads what the decision needs,
//! writes what it decides, and returns a [`Step`]. The driver commits, then calls [`Machine::install`], and only then
//! does memory move and do the [`Effect`]s go out: if the commit fails, nothing was remembered and nothing was sent.
//!
//! ```text
//! let step = machine.step(&mut tx, input, now)?;   // decide and write
//! tx.commit()?;                                    // the driver's
//! for effect in machine.install(step) { … }        // act
//! ```
//!
//! There is one path of truth: base rows come from the change feed alone, in feed order. The answer to a mutation is only
//! an acknowledgement; its optimistic update stays laid over the base row until the feed has passed the position at which
//! the mutation stands.
//!
//! This crate is pure: no socket, no runtime, no SQL driver, no clock, no source of randomness.

mod answers;
mod backoff;
mod behind;
mod context;
mod effect;
mod ended;
mod feed;
mod former;
mod history;
mod import;
mod input;
mod landed;
mod lay;
pub mod limits;
mod link;
mod machine;
pub mod messages;
mod operations;
mod outbox;
mod pace;
mod redo;
mod refresh;
mod render;
mod renew;
mod scope;
mod state;
mod store;

pub use backoff::Backoff;
pub use context::{Reference, References};
pub use effect::{
    ChangeSet, ChangedKeys, Effect, FinalOutcome, LastError, LinkStatus, Outgoing, Renumbered, ScopeStatus, Status,
};
pub use ended::Ended;
pub use import::ImportedMutation;
pub use input::{AnswerBody, CloseReason, FeedNumber, Input, NewMutation, Now};
pub use lay::lay;
pub use machine::{Machine, Memory, Settings, Step, StepError};
pub use outbox::{EntryState, Imported, Intent, OutboxEntry};
pub use render::request;
pub use scope::{Scope, ScopeCursor, ScopeRow};
pub use state::{Feed, Link};
pub use store::{Applied, Base, OutboxCounts, StoreError, StoreTx};
