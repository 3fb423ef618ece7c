//! Every limit that the core enforces: name, unit, default, reason. Rooms with limits of their own keep them beside
//! their code.

/// Longest GraphQL document, in bytes. AppSync takes 1 MB of document and variables; documents people write are below
/// 20 kB.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Most tokens in a document: parsing costs about 1 µs each, so this bounds one request's parse to tens of ms.
pub const DOCUMENT_TOKENS_MAX: usize = 30_000;

/// Deepest nesting of selection sets, as the parser counts it. AppSync's highest configurable depth is 75.
pub const DOCUMENT_DEPTH_MAX: usize = 32;

/// Items of a list when the caller gives no `limit`: AppSync's default.
pub const LIST_LIMIT_DEFAULT: usize = 100;

/// Most items that a server gives in one page: AppSync's maximum of evaluated rows.
pub const LIST_LIMIT_MAX: usize = 1_000;

/// Most items that a replica gives in one page of a local query: memory of a phone, at some 300 B a record 30 MB.
pub const LIST_LIMIT_MAX_LOCAL: usize = 100_000;

/// Most steps of a list's `sort`: three or four settle any order that a person reads, and each is one more comparison for
/// every record of the list.
pub const SORT_FIELDS_MAX: usize = 8;

/// How far before the `lastSync` of a sync query its delta begins, in milliseconds, where that is a `startedAt` of the
/// server's: two minutes. Clients merge what they know already without effect.
pub const SYNC_OVERLAP_MS: i64 = 120_000;

/// The same for any other `lastSync`, which is of a device's own clock: 26 hours, so that a device whose clock is ahead by up to a
/// day misses nothing. From a time that is not yet, it is brought everything.
pub const SYNC_OVERLAP_DEVICE_MS: i64 = 26 * 3_600_000;

/// A sync's `startedAt` is a multiple of this, in milliseconds: ten seconds. By that a `lastSync` is known as the server's; one of a
/// device's clock passes for one once in 10,000 times, and then the next does not.
pub const SYNC_MOMENT_MS: i64 = 10_000;

/// How far behind the server's clock a sync's `startedAt` may be where nothing has changed for longer, in milliseconds: an
/// hour. DataStore fetches everything again when the `startedAt` of its last base sync is a day old, so the newest change
/// alone would make every sync of a quiet model a base sync. A clock that is set back by less than this loses nothing.
pub const SYNC_STARTED_LAG_MS: i64 = 3_600_000;

/// Most nodes in a filter after parsing (tests and connectives): bounds the SQL text and its parse.
pub const FILTER_NODES_MAX: usize = 500;

/// Largest mutation input, in bytes of JSON: DynamoDB's item limit, which existing apps already keep.
pub const RECORD_BYTES_MAX: usize = 400 * 1024;

/// Largest mutation request that a replica makes, in bytes of JSON as [`RECORD_BYTES_MAX`] counts them: 4 MiB. A server
/// takes 5 MiB in a WebSocket message by default and closes the link on a longer one, so the replica must never send it;
/// the rest is room for the document and the envelope. Ten of the largest records fit into one transaction.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Most numbers in `dependsOn` or in `seen` of one request: each is one look-up in the server's transaction, and a hundred
/// records of one transaction may each have a hundred earlier mutations.
pub const ENVELOPE_NUMBERS_MAX: usize = 10_000;

/// Most earlier names of one mutation (`movedFrom`): each is one look-up, and it takes another each time that the mutation it
/// stands behind is edited while the server cannot decide it.
pub const MOVED_FROM_MAX: usize = 100;

// --- schema files ---

/// Longest schema file, in bytes: AppSync's own limit on a schema document.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// Most tokens in a schema file: about 4 bytes a token in real files, so a full megabyte of them passes.
pub const SCHEMA_TOKENS_MAX: usize = 250_000;

/// Deepest nesting the parser follows in a schema file. Real ones stay below 10 (an `@auth` rule's lists).
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// Most models in one schema: each one generates some 4 kB of API, so this bounds it to 4 MB.
pub const SCHEMA_MODELS_MAX: usize = 1_000;

/// Most stored fields in one model, well below SQLite's 2000 columns and PostgreSQL's 1600.
pub const MODEL_FIELDS_MAX: usize = 500;

/// Most root fields of one operation, aliases counted: what the server's writer takes into one transaction.
pub const ROOT_FIELDS_MAX: usize = 256;

/// Most reads that one operation may lead to: its root fields and the relations within them, fragments spread and aliases
/// counted. AppSync's limit on resolvers is 10,000; each of ours is a SQL statement, and fields that a record holds itself are
/// none.
pub const RESOLVERS_MAX: usize = 10_000;

/// Most fields of an operation once fragments are spread, aliases counted: fragments within fragments can double with each
/// level, and planning costs about 1 µs a field.
pub const SELECTED_FIELDS_MAX: usize = 10_000;

/// Most rows that a server's answer could have if every list were full: 100 × 100 × 100, three levels of lists of the
/// default length, just fit.
pub const PLANNED_ROWS_MAX: u64 = 1_100_000;

/// The same on a replica: one local page of [`LIST_LIMIT_MAX_LOCAL`] with a list of the default length in each record.
pub const PLANNED_ROWS_MAX_LOCAL: u64 = 20_000_000;

/// A page of a root list that has come to so many bytes ends there, and its `nextToken` leads on: 1 MiB, where DynamoDB's pages end, so
/// that clients which always ask for 1,000 records (DataStore) can sync large ones. A page has one record at least, and
/// one whose `nextToken` is not asked for does not end early.
pub const PAGE_BYTES_MAX: usize = 1 << 20;

/// Most bytes that a server gathers for the answer to one operation: 64 MiB. AppSync answers at most 5 MB.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The same on a replica, where the app asked for it: 512 MiB.
pub const ANSWER_BYTES_MAX_LOCAL: usize = 512 << 20;

/// Most errors of one answer: a refused field in a list gives one for each row.
pub const ANSWER_ERRORS_MAX: usize = 1_000;

/// Most statements of one operation: one for each root list or get and one for each relation selected, aliases counted.
pub const QUERY_NODES_MAX: usize = 512;
