//! The server: listeners, authentication, configuration, telemetry, and the `tombolo` binary's subcommands.
//!
//! What is decided (accept, refuse, merge, answer, fan out) is decided by `tombolo-engine`; what is stored is stored by
//! `tombolo-store-sqlite`. This crate carries requests to them and answers back, and holds the bounds of doing so
//! ([`limits`]). The life of a request: [`listener`] → [`routes`] → [`http`], [`ws`] or [`realtime`] → [`auth`] → [`api`], and for a
//! mutation through the one queue of [`writer`].
//!
//! [`Server::start`] runs all of it inside a process of yours; on port 0 of this machine and in memory it is what tests
//! and benches start.

pub mod api;
mod asked;
pub mod auth;
mod cells;
pub mod cli;
pub mod config;
pub mod demo_data;
pub mod dev;
pub mod dev_tls;
pub mod guards;
pub mod http;
pub mod limits;
pub mod listener;
pub mod mqtt;
mod operations;
pub mod outbound;
mod outgoing;
pub mod rates;
pub mod realtime;
pub mod resolver;
mod resolving;
pub mod routes;
pub mod serve;
mod server;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod upkeep;
pub mod writer;
pub mod ws;

pub use config::Config;
pub use server::{Ended, Running, Server, StartError};
