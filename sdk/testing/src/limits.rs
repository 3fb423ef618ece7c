//! The test kit's limits: name, unit, default, reason.

use std::time::Duration;

/// Most phones in one simulation: partitions among more show no conflict that eight do not.
pub const PHONES_MAX: usize = 8;

/// Most messages and timers handled while everything comes to rest: thousands of times what a small world needs. Beyond
/// it the simulation is said to be without rest.
pub const REST_STEPS_MAX: usize = 100_000;

/// Most runs spent on shrinking one failure. A script of 40 steps takes some 200.
pub const SHRINK_RUNS_MAX: usize = 2_000;

/// The longest that simulated time is moved on for one timer: the longest back-off is below it.
pub const TIMER_MAX: Duration = Duration::from_secs(3_600);

/// Rows of a page that a simulated phone fetches.
pub const PAGE_ROWS: u64 = 1_000;

/// Most times that a resolver is asked about one mutation because the record has moved on, as at a server in the world.
pub const RESOLVER_ROUNDS_MAX: u32 = 3;

/// Traces that a story asks the server for at a time: the most that it gives in a page.
pub const TRACES_PAGE: u64 = 500;
