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

/// Most nodes in a filter after parsing (tests and connectives): bounds the SQL text and its parse.
pub const FILTER_NODES_MAX: usize = 500;

/// Largest mutation input, in bytes of JSON: DynamoDB's item limit, which existing apps already keep.
pub const RECORD_BYTES_MAX: usize = 400 * 1024;
