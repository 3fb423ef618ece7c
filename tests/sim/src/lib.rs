//! Many replicas, one server, one thread, one seed.
//!
//! A [`Plan`] is a list of operations ([`Op`]); [`run`] plays it in a world where each replica is the real machine over
//! the real store and its SQLite file, and the server is the real engine over the real SQLite store. The network, the
//! clocks, the disks' moods and the death of processes are simulated. What is due at any moment (messages, commits,
//! timers) happens in an order that the plan's seed gives; the same plan gives the same effects, which is itself tested.
//!
//! **Fault model.** Links break, are slow, lose what is under way in both directions, deliver words of an ended link late;
//! messages are cut in the middle, arrive twice, overtake one another between topics; credentials expire; apps die just
//! before or just after a commit; disks fill; the server dies with everything that it has in memory, also between a commit
//! and its answer; a server's transaction fails, for all or over one mutation; scopes change and are withdrawn at run time;
//! clocks on the wall jump. SQLite's own durability is not tested again here: the seams between commit and memory, and
//! between commit and message, are.
//!
//! **Oracles** (`oracle`) look after each commit and, when everything has been delivered, at the whole. An ERROR in the log
//! is a failure too.
//!
//! How to run, replay and shrink: `docs/simulation.md`.

mod backup;
pub mod coverage;
mod disk;
mod errors;
mod generate;
mod naive;
pub mod op;
mod oracle;
pub mod plan;
mod replica;
pub mod report;
mod server;
mod template;
mod wire;
mod world;

pub use op::Op;
pub use plan::Plan;
pub use report::{Report, Violation};
pub use world::{play, run};
