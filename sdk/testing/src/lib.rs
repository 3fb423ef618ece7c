//! The test kit for app developers: a server in the test's own process, a network that the test decides about, a clock
//! that it moves, and a [`ConflictSimulator`] that plays an app's own mutations on several phones until one of the app's
//! own invariants breaks.
//!
//! It is the SDK's `tombolo::testing` (feature `testing`). Nothing in it is a mock: the server is the real engine over the
//! real store in memory, the phones are real replicas.
//!
//! - [`Server`]: start it with a schema, give [`Server::phone`] to `Client::builder().transport(…)`;
//! - [`Network`]: what happens to one phone's messages: offline, cut, slow, answers lost, credential refused;
//! - [`TestClock`]: for `Client::builder().clock(clock.reader())`;
//! - [`ConflictSimulator`]: replicas with partitions, invariants, and a failure shrunk to a script that a person can read;
//! - [`Conflict`] and [`Resolution`]: for schemas with `CUSTOM` conflicts, a closure in the place of the resolver's endpoint.

mod backend;
mod clock;
pub mod limits;
mod link;
mod network;
mod resolver;
mod server;
mod simulator;

pub use clock::TestClock;
pub use network::Network;
pub use resolver::{Conflict, Resolution};
pub use server::{PhoneTransport, Refused, Server, StartError};
pub use simulator::{
    BadScript, ConflictSimulator, Failure, Found, Hand, Passed, Script, ScriptStep, Trouble, View, ViewPlace,
};
