//! The server over real sockets on port 0: what its listeners promise, and what they refuse.
#![allow(clippy::unwrap_used, missing_docs)]

mod binary;
mod harness;
mod http;
mod lifecycle;
mod realtime;
mod resolver;
mod ws;
