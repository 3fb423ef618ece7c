//! What both sides of Tombolo must agree on: the schema and the API it generates, the plan of a query, the merge of a
//! conflict, and the messages on the wire.
//!
//! This crate is pure. It knows no file, no socket, no runtime, no clock and no source of randomness; time and identity
//! come in as arguments. `clippy.toml` beside the manifest and `cargo xtask tidy` hold it so.

pub mod access;
pub mod id;
pub mod limits;
pub mod merge;
pub mod query;
pub mod record;
pub mod schema;
pub mod value;
pub mod wire;
