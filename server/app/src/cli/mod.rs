//! The command line: one root, one module for each subcommand, one table of exit codes ([`output::EXIT_CODES`]).
//!
//! Standard output carries results alone (JSON, SDL, CSV); people's words go to standard error. A subcommand's module
//! offers `Args`, which clap reads, and `run(Args) -> Outcome`; adding one is a line in [`Command`] and a line in [`run`].

mod api;
pub mod client;
mod client_commands;
pub mod codegen;
mod codegen_files;
pub mod completions;
pub mod conflicts;
pub mod database;
mod dynamodb;
pub mod export;
pub mod import;
pub mod import_appsync;
mod import_ledger;
mod import_read;
mod import_send;
mod lines;
pub mod output;
pub mod remote;
pub mod schema;

use clap::{Parser, Subcommand};

use output::Outcome;

/// What is printed below `tombolo --help`.
const EXAMPLES: &str = "\
Examples:
  tombolo dev                                a server with example data on 127.0.0.1:4000
  tombolo serve --config tombolo.toml        a server as configured
  tombolo schema check schema.graphql        every error of a schema, by line and column
  tombolo codegen --schema schema.graphql --lang kotlin --out generated
  tombolo client --database a.db --schema schema.graphql --url http://127.0.0.1:4000/graphql \\
      --api-key dev-key exec 'query { listAirlines { items { carrier name } } }'";

/// GraphQL that works offline: the server, and the tools around it.
#[derive(Debug, Parser)]
#[command(name = "tombolo", version, about, max_term_width = 120, after_help = format!("{EXAMPLES}\n\n{}", output::EXIT_CODES))]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Every subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a development server with an embedded database, example schema and data
    Dev(crate::dev::Args),
    /// Start a server as a configuration file says
    Serve(crate::serve::Args),
    /// Check, print and compare schemas
    Schema(schema::Args),
    /// Write typed code for an app from its schema and its operations
    Codegen(codegen::Args),
    /// Load records from a CSV or NDJSON file into a server
    Import(import::Args),
    /// Take over a DynamoDB table of AppSync's, as it was exported, into a server's database
    ImportAppsync(import_appsync::Args),
    /// Write a model's records from a server to a file
    Export(export::Args),
    /// A replica in a file: query, mutate, sync and watch, offline and online
    Client(client::Args),
    /// Show what a server merged and rejected: which rule decided, and what was given up
    Conflicts(conflicts::Args),
    /// Remove from a server's database what nobody needs any more (a running server does so by itself)
    Prune(database::PruneArgs),
    /// Show or renew the identity of a server's history: after a restored backup
    Epoch(database::EpochArgs),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Carries out what the command line says.
///
/// # Errors
/// The subcommand's own.
pub async fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Dev(args) => crate::dev::run(args).await,
        Command::Serve(args) => crate::serve::run(args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Codegen(args) => codegen::run(&args),
        Command::Import(args) => import::run(args).await,
        Command::ImportAppsync(args) => import_appsync::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Client(args) => client::run(args).await,
        Command::Conflicts(args) => conflicts::run(args).await,
        Command::Prune(args) => database::prune(args).await,
        Command::Epoch(args) => database::epoch(args).await,
        Command::Completions(args) => completions::run(&args),
    }
}
