//! End to end: the SDK and the server as an app and an operator meet them, over real sockets and with real processes.
//!
//! | modules | |
//! |---|---|
//! | `offline` `stuck` `scopes` `live` `transactions` `lifecycle` `first_sync` `subscriptions` | server and replicas in this process |
//! | `command_line` | the README's story by the built binary |
//! | `cut_links` `kill_client` `kill_server` | the network goes, or SIGKILL, and then the books are checked |
//! | `mqtt` `switch` | replicas over MQTT; a network that blocks the WebSocket; another transport while the client is open |
//! | `datastore` | a DataStore file is taken over, and the server settles what it had not sent |
//! | `broker` | replicas behind an outside broker |
//! | `plain_mqtt` | MQTT by a client that knows nothing of ours |
//! | `two_processes` | an app and its extension on one file: one has the link; killed, suspended, signed out |
//! | `bad_documents` `bad_frames` `bad_cursors` `bad_files` `bad_disks` | "bad input gets a clear error and loses nothing", a test a line |
#![allow(clippy::unwrap_used, missing_docs)]

mod bad_cursors;
#[cfg(target_os = "linux")]
mod bad_disks;
mod bad_documents;
mod bad_files;
mod bad_frames;
mod broker;
mod command_line;
mod cut_links;
mod datastore;
mod first_sync;
mod kill_client;
mod kill_server;
mod lifecycle;
mod live;
mod mqtt;
mod offline;
mod plain_mqtt;
mod scopes;
mod stuck;
mod subscriptions;
mod switch;
mod transactions;
mod two_processes;
