//! The server over real sockets on port 0: what its listeners promise, and what they refuse.
#![allow(clippy::unwrap_used, missing_docs)]

mod appsync;
mod binary;
mod guards;
mod handshake;
mod harness;
mod http;
mod lifecycle;
mod realtime;
mod realtime_filters;
mod resolver;
mod tls;
mod ws;
