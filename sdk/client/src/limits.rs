//! Every limit of the client: name, unit, default, reason.

use std::time::Duration;

/// Calls of the app that wait for the writer. A caller beyond it waits; nothing is dropped.
pub const WAITING_CALLS_MAX: usize = 1_024;

/// Calls of `mutate` that share one commit when they are waiting. A commit costs the disk's flush, some ms on a phone, whatever
/// is in it; this many add about as much work again.
pub const GATHERED_CALLS_MAX: usize = 64;

/// Most mutations that [`crate::Client::mutations`] lists in one call: some MB at the usual sizes.
pub const MUTATIONS_LISTED_MAX: usize = 1_000;

/// Most mutations of a record, the newest that have ended, that [`crate::Client::save`] looks at to tell the app's own changes since it
/// read the record from others': more than a form is saved while it is open. What is beyond counts as others'.
pub const OWN_MUTATIONS_COMPARED_MAX: usize = 64;

/// Most records that one [`crate::Observe`] compares with what it told of them: some 100 bytes each, 10 MB. Of more it tells that
/// something has changed, and not what.
pub const OBSERVED_RECORDS_MAX: usize = 100_000;

/// Records that an [`crate::Observe`] reads at once, and the most that it holds for its reader.
pub const OBSERVED_PAGE: usize = 500;

/// Changed records that an [`crate::Observe`] looks up in one query by their keys: each is one or two nodes of its filter, of
/// [`tombolo_core::limits::FILTER_NODES_MAX`].
pub const OBSERVED_KEYS: usize = 50;

/// Messages from the link that wait for the writer. Small, so that a writer that lags holds back the network rather than
/// filling memory with pages.
pub const WAITING_INPUTS_MAX: usize = 4;

/// Queries that wait for a reader. A caller beyond it waits.
pub const WAITING_QUERIES_MAX: usize = 256;

/// Reader threads. Two let a quick query pass a slow one; phones gain nothing from more.
pub const READERS: usize = 2;

/// Events that wait for a subscriber of [`crate::Client::events`]; one that lags further loses the oldest and is told.
pub const WAITING_EVENTS_MAX: usize = 256;

pub use tombolo_machine::limits::PAGE_ROWS;

/// Bytes that must have come since the last message for a quiet link to count as a slow one: more than the pings of the
/// time after which it would be given up, and less than the slowest line brings in that time.
pub const PROGRESS_BYTES_MIN: u64 = 1_024;

/// Panics of the link's task that it goes on after, in a client's life: each loses its connection, and one that repeats at once would
/// keep a processor busy.
pub const LINK_PANICS_MAX: usize = 8;

/// HTTP requests at once where no socket gets through.
pub const HTTP_REQUESTS_MAX: usize = 8;

/// Between two looks at the change feed where no socket gets through.
pub const HTTP_POLL_INTERVAL: Duration = Duration::from_secs(10);

/// How long a link by HTTP alone is kept before a socket is tried again.
pub const HTTP_LINK_MAX: Duration = Duration::from_secs(300);

/// Between two looks at whether another process has written to the file, or has given the link up. A live query shows
/// another process's commit within it, and what that one queued goes out within it. A look costs about a microsecond and
/// no disk access; a shorter time would wake the processor more often for what no eye notices.
pub const OTHERS_POLL: Duration = Duration::from_millis(250);

/// How long [`crate::Client::sign_out`] waits for other processes to let go of a file that is to be removed: many times
/// [`OTHERS_POLL`]. After it the file stays, marked, and goes when it is next opened.
pub const SIGN_OUT_WAIT: Duration = Duration::from_secs(3);

/// Bytes of an account's name. Those of the known identity providers have 36 to 255.
pub const ACCOUNT_BYTES_MAX: usize = 512;

/// Between two questions for a credential ([`crate::Builder::credentials`]) when what the app gave was refused: the first
/// time. As long as the shortest wait between two attempts at a link.
pub const CREDENTIAL_RETRY_MIN: Duration = Duration::from_secs(1);

/// The same at most: often enough for a person who has just been let in again, and rare enough for an issuer that counts.
pub const CREDENTIAL_RETRY_MAX: Duration = Duration::from_secs(60);
