//! The vocabulary of the end-to-end tests: a server in this process ([`Site`]), replicas of it ([`Phone`]), the built
//! binary as a process that can be killed ([`process`]), HTTP and WebSocket clients that may also speak wrongly
//! ([`wire`]), networks that go at a chosen moment ([`proxy`]) or let only some things through ([`gate`]), files of DataStore ([`datastore`]), and file systems that are full or cannot be written ([`disk`]).
//!
//! Everything goes over real sockets. Nothing here sleeps to make a race pass: what must come is awaited, with
//! [`PATIENCE`] as the bound, and a test that waits longer fails with what it last saw.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a helper of tests fails by panicking

pub mod datastore;
pub mod disk;
pub mod gate;
pub mod phone;
pub mod process;
pub mod proxy;
pub mod site;
pub mod wire;

use std::time::Duration;

pub use phone::Phone;
pub use site::Site;

/// How long what must come is awaited: far beyond what it takes, also on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The key that servers of the tests let in.
pub const KEY: &str = "a key for end-to-end tests";

/// What the tests write: flights, the crew's notes on them, and seats, whose conflicts are not merged.
pub const SCHEMA: &str = "
type Flight @model {
  id: ID!
  carrier: String! @index(name: \"byCarrier\", queryField: \"flightsByCarrier\")
  dest: String
  delay: Int
  notes: [Note] @hasMany(indexName: \"byFlight\", fields: [\"id\"])
}
type Note @model {
  id: ID!
  flightId: ID @index(name: \"byFlight\", queryField: \"notesByFlight\")
  text: String!
  author: String
  severity: String
  done: Boolean
  tags: [String]
}
type Seat @model(conflict: OPTIMISTIC_CONCURRENCY) {
  id: ID!
  passenger: String
}
";

/// Awaits `what`, at most [`PATIENCE`].
pub async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("what was awaited did not come")
}
