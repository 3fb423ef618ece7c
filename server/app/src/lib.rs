//! The server: listeners, authentication, configuration, telemetry, and the `tombolo` binary's subcommands.
//!
//! What is decided (accept, refuse, merge, answer, fan out) is decided by `tombolo-engine`; what is stored is stored by
//! `tombolo-store-sqlite`. This crate carries requests to them and answers back, and holds the bounds of doing so
//! ([`limits`]). The life of a request: [`routes`] → [`http`] or [`ws`] → [`auth`] → engine, and for a mutation through
//! the one queue of [`writer`].

pub mod cli;
pub mod dev;
pub mod serve;
