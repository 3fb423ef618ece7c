//! Many replicas, one server, one thread, one seed.
//!
//! A [`Plan`] is a list of operations ([`Op`]); [`run`] plays it in a world where each replica is the real machine over
//! the real store and its SQLite file, and the server is the real engine over the real SQLite store. The network, the
//! clock and the death of processes are simulated. What is due at any moment (messages, commits, timers) happens in an
//! order that the plan's seed gives; the same plan gives the same effects, which is itself tested.
//!
//! **Fault model.** Links break and lose what is under way in both directions; requests arrive twice; apps die just
//! before or just after a commit; the server dies with everything that it has in memory, also between a commit and its
//! answer; a server's transaction fails; scopes change at run time; wall clocks differ. SQLite's own durability is not
//! tested again here: the seams between commit and memory, and between commit and message, are.
//!
//! **Oracles** ([`oracle`]) look after each commit and, when everything has been delivered, at the whole.

pub mod op;
pub mod oracle;
pub mod plan;
mod replica;
mod report;
mod server;
mod world;

pub use op::Op;
pub use plan::Plan;
pub use report::{Report, Violation};
pub use world::{play, run};
