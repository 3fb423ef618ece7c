//! Every limit of the engine: name, unit, default, reason.

use std::time::Duration;

/// Most submissions in one transaction. One `fsync` costs about as much as 200 decisions, so more gains little and only
/// lengthens the wait of the first.
pub const BATCH_SUBMISSIONS_MAX: usize = 256;

/// Bytes of the values given in one transaction after which it takes no further submission in: 2 MiB, which the ring reckons as
/// some 8 with what stood there before, a quarter of [`RING_BYTES_MAX`]. So what many write at once reaches live subscribers
/// before the next of it pushes it out of the ring.
pub const BATCH_BYTES_MAX: usize = 2 << 20;

/// Most changes kept in the hub's ring: some seconds of a busy server, so that a live subscriber never reads the store.
pub const RING_CHANGES_MAX: usize = 16_384;

/// Most bytes kept in the hub's ring, as estimated from the records' values: bounds memory when records are large.
pub const RING_BYTES_MAX: usize = 32 << 20;

/// Rows of one change batch over HTTP: at some 300 B a row 600 kB, compressed to about a sixth.
pub const FEED_ROWS_HTTP: usize = 2_000;

/// Rows of one live change batch: keeps one frame near 150 kB so that other answers on the socket do not wait long.
pub const FEED_ROWS_LIVE: usize = 500;

/// Most rows that a caller may ask for in one change batch.
pub const FEED_ROWS_MAX: usize = 10_000;

/// Bytes of one change batch after which no further row is taken: rows of 400 kB each must not add up to gigabytes.
pub const FEED_BYTES_MAX: usize = 4 << 20;

/// Mutations of the asking replica that one change batch tells to have landed: more than a replica has on its way. One that
/// is left out is shown twice until it is answered.
pub const FEED_LANDED_MAX: usize = 1_000;

/// Departures looked at for one change batch: each is read and matched in memory.
pub const FEED_DEPARTURES_MAX: usize = 5_000;

/// Scopes of one feed subscription: one for each model, and no schema that people write has more.
pub const FEED_SCOPES_MAX: usize = 200;

/// Positions that the feed may move on without telling an idle scope. A replica that comes back reads its model's
/// table, which is in feed order, from its cursor on, so a stale cursor costs little; telling each scope of each change costs a frame.
pub const FEED_CURSOR_LAG_MAX: i64 = 1_000;

/// Outcomes of one replica that are kept although it has settled them: later mutations may name them as `seen` or
/// `dependsOn` for a while. About 100 B each.
pub const OUTCOMES_KEPT: u64 = 1_000;

/// Most outcomes stored for one atomic request that cannot be read. A request that can be has at most
/// `tombolo_core::limits::ROOT_FIELDS_MAX`; beyond this the text is no replica's.
pub const REFUSED_OUTCOMES_MAX: usize = 1_000;

/// Longest replica id, in bytes: it is a UUID; anything longer would only fill the outcome table.
pub const REPLICA_ID_BYTES_MAX: usize = 64;

/// Most numbers in `dependsOn` or in `seen`, each of which is one look-up.
pub const NUMBERS_MAX: usize = tombolo_core::limits::ENVELOPE_NUMBERS_MAX;

/// Most earlier names of one mutation: it takes another each time that what it stands behind is edited.
pub const MOVED_FROM_MAX: usize = tombolo_core::limits::MOVED_FROM_MAX;

/// Callers whose permissions are kept worked out: some kilobytes each with a large schema.
pub const ACCESSES_MAX: usize = 1_000;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a tombstone, a departure or an outcome is kept at least: as long as a phone lies in a drawer and its owner
/// still expects it to catch up quickly. AppSync's own default for tombstones is the same 30 days.
pub const TOMBSTONES_KEPT: Duration = DAY.saturating_mul(30);

/// Silence after which a replica is written off: a season. An app that nobody has opened for longer was most likely
/// deleted; if it was not, a base sync brings it back and its queue is kept.
pub const REPLICA_SILENCE_MAX: Duration = DAY.saturating_mul(90);

/// How long conflicts and refusals can be looked up: as long as people ask what became of their edit.
pub const TRACES_KEPT: Duration = DAY.saturating_mul(30);

/// Most rows looked at or removed by one transaction of a prune: some 10 ms during which nothing else is written.
pub const PRUNE_ROWS_MAX: usize = 5_000;

/// Milliseconds between two writings of which replicas were heard of and what they hold: ten minutes. One further
/// commit each time, whatever the number of messages, and little is lost if the process dies between.
pub const NOTE_INTERVAL_MS: i64 = 10 * 60 * 1000;

/// Milliseconds after which a replica's mutation notes again that it was heard of, in the mutation's own transaction: an
/// hour, small beside any silence that counts.
pub const LAST_SEEN_INTERVAL_MS: i64 = 3600 * 1000;

/// Most replicas noted in memory between two writings, about 150 B each. Those beyond are noted the next time.
pub const NOTES_MAX: usize = 100_000;

/// Most replicas written down by one transaction: some milliseconds.
pub const NOTES_PER_COMMIT_MAX: usize = 1_000;

/// Most traces that a store keeps, however young: at some 600 B each 60 MB, and more than anybody reads. Refused payloads
/// beyond it go, the oldest first.
pub const TRACES_MAX: usize = 100_000;

/// Longest request that cannot be read and is kept in its trace whole, in bytes: 64 KiB, what people write has a tenth of it.
/// Of a longer one its beginning is kept. What a readable mutation sends is kept whole in any case, and the replica keeps
/// its own.
pub const KEPT_REQUEST_BYTES_MAX: usize = 64 << 10;

/// Traces in a page when the caller gives no `limit`: two screens.
pub const TRACES_LIMIT_DEFAULT: usize = 50;

/// Most traces in one page: each may hold a payload of up to `tombolo_core::limits::RECORD_BYTES_MAX`.
pub const TRACES_LIMIT_MAX: usize = 500;

/// Schemas that a database remembers having served, the newest first to stay: an app that was not updated for longer than
/// 64 releases of the schema is read under the present one. Some kB each.
pub const SCHEMAS_KEPT: usize = 64;

/// Records read at once for a subscription that goes on after a pause: each may have up to
/// `tombolo_core::limits::RECORD_BYTES_MAX`, and a device that was away for an hour has missed a few.
pub const MISSED_RECORDS: usize = 32;

/// Text in them at which no more are read, in bytes: they wait for as long as a device takes what it is told, once for each of its
/// subscriptions.
pub const MISSED_BYTES: usize = 32 << 10;
