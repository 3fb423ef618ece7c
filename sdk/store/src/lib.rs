//! The replica's SQLite file: view rows that queries read, base rows beneath unsettled mutations, the outbox, the cursors.
//!
//! Several processes may have a file open ([`Store::open`]); one of them has the link ([`Store::try_drain`]). A store has one
//! writing connection and as many reading ones as are asked for ([`Store::reader`]); threads are the caller's affair. It carries out what
//! `tombolo-machine` decides, through [`tombolo_machine::StoreTx`], and answers local queries.

mod bulk;
mod cell;
pub mod datastore;
mod ended;
mod error;
mod evolve;
#[cfg(test)]
mod evolve_killed;
mod identity;
mod internal;
mod locks;
mod meta;
mod open;
mod outbox;
mod reader;
mod salvage;
mod sql;
mod tx;

pub use ended::Kept;
pub use error::OpenError;
pub use meta::{Peek, Seal, discard, peek};
pub use open::{BUSY_TIMEOUT, Durability, Options, Store};
pub use reader::Reader;
pub use salvage::Salvage;
pub use tx::Tx;
