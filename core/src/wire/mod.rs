//! Messages and their codecs: what a replica and a server say to each other.
//!
//! - [`graphql`]: a GraphQL request, its answer and its errors, as JSON over HTTP and inside WebSocket frames;
//! - [`envelope`]: what Tombolo adds in `extensions.tombolo` so that a mutation takes effect exactly once;
//! - [`batch`]: the columnar pages of the change feed;
//! - [`trace`]: what a merge decided and a rejection refused, for people;
//! - [`ws`]: the frames of the `graphql-transport-ws` protocol.

pub mod batch;
pub mod envelope;
pub mod graphql;
pub mod trace;
pub mod ws;
