//! Every limit of the machine: name, unit, default, reason.

use std::time::Duration;

use tombolo_core::limits::ENVELOPE_NUMBERS_MAX;

/// Most mutations in flight on one link: as many as a server takes into one commit and works on at once for one socket. At
/// 50 ms of round trip it allows some 5,000 mutations a second; more would only lengthen what is resent after a lost link.
pub const IN_FLIGHT_MAX: usize = 256;

/// Most mutations that wait to be sent again after the server answered without deciding. A server that leaves this many
/// undecided is failing as a whole; new ones wait until it recovers.
pub const RETRYING_MAX: usize = 256;

/// Times that the server may answer a mutation without deciding before it is wedged, which the app then sees. With
/// [`BACKOFF_MAX`] and full jitter this is about five minutes.
pub const UNDECIDED_TRIES_MAX: u32 = 24;

/// How long a mutation is held back whose schema the server does not know, before it is asked again. A server learns a
/// schema by an upgrade, which also ends the link; with each new link everything is asked again at once.
pub const HELD_RETRY: Duration = Duration::from_secs(600);

/// Most entries of the outbox. At some 500 B each it is a file of 50 MB, and a queue that takes a server minutes: whoever
/// fills it has no link for weeks, or a loop.
pub const OUTBOX_ENTRIES_MAX: u64 = 100_000;

/// Mutations kept after they have ended, for the app to look at; more only while they ended recently
/// ([`ENDED_RECENT_MS`]). Rejected ones do not count before the app has taken note of them.
pub const ENDED_KEPT: u64 = 1_000;

/// How long every mutation is kept after it has ended, in milliseconds: an hour, so that an app which asks for the outcomes
/// of what it has just sent gets each of them, however many a step ended. Never more than [`OUTBOX_ENTRIES_MAX`] are kept:
/// as many as can have been on their way at once.
pub const ENDED_RECENT_MS: i64 = 60 * 60 * 1_000;

/// How long a mutation is kept after it has ended, in milliseconds: 7 days, so that a support call on Monday can look at the
/// week before.
pub const ENDED_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// First ceiling of the back-off: a link that fails at once is tried again within this time.
pub const BACKOFF_MIN: Duration = Duration::from_millis(250);

/// Highest ceiling of the back-off: an app that comes back into coverage waits no longer than this.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// How long an open link may owe us something (a batch while catching up, an answer, a batch past an acknowledged
/// mutation) without anything arriving. Longer than any pause a mobile network makes by itself and shorter than a
/// person's patience.
pub const NO_PROGRESS_MAX: Duration = Duration::from_secs(30);

/// Rows of one catch-up page: at some 200 B a row 2 MB of JSON, 300 kB on the wire, one transaction of some 60 ms.
/// A line that stalls on it is asked for less.
pub const PAGE_ROWS: u64 = 10_000;

/// Rows of the smallest page that a slow line is asked for: some 10 kB, which the slowest line in use brings in time.
pub const PAGE_ROWS_MIN: u64 = 50;

/// A page that comes within this time lets the next one be twice as large.
pub const PAGE_QUICK: Duration = Duration::from_secs(5);

/// A link that ends while a page has been on its way for this long was too slow for it: the next ones are half as large.
pub const PAGE_SLOW: Duration = Duration::from_secs(10);

/// Age at which a subscription is renewed, so that the server learns what this replica holds by now. A day: small beside
/// the weeks that a server keeps things for absent replicas, and one empty batch for each scope.
pub const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Most keys that a [`crate::ChangeSet`] names for one model; beyond it the whole model counts as changed. Looking up
/// more keys one by one costs a live query more than running again.
pub const CHANGED_KEYS_MAX: usize = 256;

/// Most mutations in one atomic transaction. It travels as one request with a root field for each, of which a server takes
/// 256 ([`tombolo_core::limits::ROOT_FIELDS_MAX`]).
pub const ATOMIC_MUTATIONS_MAX: usize = 100;

/// Most earlier mutations of the same records that a request may be made on top of while they are unsettled. A server reads
/// [`ENVELOPE_NUMBERS_MAX`]; the rest is room for those that are edited afterwards, which then count twice.
pub const SEEN_MAX: usize = ENVELOPE_NUMBERS_MAX / 10 * 9;

/// Characters of an error's text kept in the status and in the outbox.
pub const ERROR_TEXT_MAX: usize = 500;
