//! Real death: a server and phones as processes of their own, on real files, killed with SIGKILL at random moments, with
//! a network between them that cuts, delays, truncates and half-opens connections. Then the books are checked: every
//! mutation whose call ever returned took effect exactly once and in order, or is listed as rejected with a reason, and
//! all replicas equal the server.
//!
//! - [`server`]: `tombolo serve` as a process; [`phone`]: a replica as a process, which writes a [`journal`] line before and
//!   after each call;
//! - [`proxy`]: the network; [`observer`]: one subscriber that is never killed and notes each version it sees;
//! - [`run`]: kills, restarts, and at last lets everything come to rest;
//! - [`books`]: what the journals say against what the files hold ([`files`]); pure, so that it can be shown to go red.
//!
//! What is decided (what is killed when, which connection suffers what, which mutation a phone makes next) follows from a
//! seed. What happens does not: real processes and real time have the last word, so a seed sets a mood, not a history.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test program fails by panicking

pub mod books;
pub mod files;
pub mod journal;
pub mod observer;
pub mod phone;
pub mod proxy;
pub mod report;
pub mod run;
pub mod server;

/// The key that the server lets in.
pub const KEY: &str = "a key for torturing processes";

/// What is written. Each model shows one kind of damage:
/// - `Log`: created once under an id of its own, some deleted again, some made in pairs by one transaction;
/// - `Cell`: belongs to one phone, which writes a growing number into it;
/// - `Seat`: all phones write it and conflicts are refused, so that its version counts the mutations that took effect;
/// - `Claim`: all phones try to create it, one wins;
/// - `Tally`: all phones add to it, and their words in it conflict and are merged.
pub const SCHEMA: &str = "
type Log @model { id: ID! phone: String! seq: Int! pair: String text: String }
type Cell @model { id: ID! phone: String! seq: Int! text: String }
type Seat @model(conflict: OPTIMISTIC_CONCURRENCY) { id: ID! holder: String }
type Claim @model { id: ID! by: String! }
type Tally @model { id: ID! hits: Int @merge(rule: COUNTER) last: String }
";

/// The models, as tables are named.
pub const MODELS: [&str; 5] = ["Log", "Cell", "Seat", "Claim", "Tally"];

/// Cells of each phone.
pub const CELLS: u64 = 3;

/// Seats that all phones share.
pub const SEATS: u64 = 3;

/// Tallies that all phones share.
pub const TALLIES: u64 = 2;

/// Random numbers for one decision: of the run's seed, a name for the kind of decision, and which one it is.
#[must_use]
pub fn chance(seed: u64, kind: &str, number: u64) -> fastrand::Rng {
    let named = kind.bytes().fold(seed ^ 0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    fastrand::Rng::with_seed(named ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}
