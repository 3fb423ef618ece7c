//! `tombolo client`: a real replica in a file, through the public SDK.
//!
//! Standard output is JSON alone, one document a line. `exec`, `status`, `outbox` and `scope` open the replica without a
//! link, so that nothing in them can wait for the network; `sync` makes one link and closes it; `watch` keeps one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tombolo::Client;
use tombolo::transport::{Endpoint, Network};

use super::client_commands::{Replica, failure};
use super::output::{EXIT_CODES, Failure, Outcome};
use super::remote::{parse_url, tls};
use super::schema;

/// How long `sync` tries when `--timeout` does not say: a first sync of a million rows over a fair link.
const SYNC_TIMEOUT_S: f64 = 60.0;

/// A replica in a file: query and mutate it, offline or not, and sync it with a server
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples (with DB standing for --database a.db --schema schema.graphql --url \
http://127.0.0.1:4000/graphql --api-key KEY):
  tombolo client DB sync
  tombolo client DB exec 'query {{ listAirlines {{ items {{ carrier name }} }} }}'
  tombolo client DB exec 'mutation {{ updateAirline(input: {{ carrier: \"UA\", name: \"United\" }}) {{ name }} }}'
  tombolo client DB outbox list
  tombolo client DB scope set Flight '{{\"carrier\":{{\"eq\":\"UA\"}}}}'
  tombolo client DB watch 'query {{ getAirline(carrier: \"UA\") {{ name }} }}'

{EXIT_CODES}"))]
pub struct Args {
    /// The replica's SQLite file, made if it is not there
    #[arg(long, value_name = "FILE")]
    database: PathBuf,
    /// The schema, in SDL
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// The server's GraphQL URL, for example http://127.0.0.1:4000/graphql; `sync` and `watch` need it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The API key
    #[arg(long, value_name = "KEY", env = "TOMBOLO_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// The signed-in user's token, instead of a key
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TOMBOLO_TOKEN",
        hide_env_values = true,
        conflicts_with = "api_key"
    )]
    token: Option<String>,
    /// Trust the certificates in this file (PEM) and no others
    #[arg(long, value_name = "FILE", env = "TOMBOLO_CA")]
    ca: Option<PathBuf>,
    /// The account whose file it is, for a file that has one
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Never open a link
    #[arg(long)]
    offline: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Answers a query from the file, or applies a mutation to it and queues it; never waits for the network
    #[command(after_help = format!("An update needs no _version: the replica knows its base.

Examples:
  tombolo client DB exec 'query {{ getAirline(carrier: \"UA\") {{ name }} }}'
  tombolo client DB exec 'mutation M($i: CreateNoteInput!) {{ createNote(input: $i) {{ id }} }}' --variables '{{\"i\":{{…}}}}'

{EXIT_CODES}
            Here 1 means: the response has errors."))]
    Exec {
        /// The GraphQL document
        graphql: String,
        /// Its variables, a JSON object
        #[arg(long, value_name = "JSON")]
        variables: Option<String>,
    },
    /// Sends what is queued and fetches what has changed, once
    #[command(after_help = format!("Prints {{\"pushed\":n,\"rejected\":n,\"pulled\":n,\"pending\":n,\"upToDate\":bool}}.

Example:
  tombolo client DB sync --timeout 10

{EXIT_CODES}
            0 only when up to date with nothing pending; 1: mutations are held back and wait for you (outbox list)."))]
    Sync {
        /// Longest time to try, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = SYNC_TIMEOUT_S, value_parser = seconds)]
        timeout: f64,
    },
    /// Answers a query, and again after each change of what it reads, until interrupted
    #[command(after_help = format!("Example:
  tombolo client DB watch 'query {{ listNotes {{ items {{ id text }} }} }}'

{EXIT_CODES}
            Ctrl-C and SIGTERM end it with 0."))]
    Watch {
        /// The query
        graphql: String,
        /// Its variables, a JSON object
        #[arg(long, value_name = "JSON")]
        variables: Option<String>,
    },
    /// Tells how the replica stands: mutations pending, wedged, rejected; scopes
    #[command(after_help = format!("Example:\n  tombolo client DB status\n\n{EXIT_CODES}"))]
    Status,
    /// Lists, retries and discards mutations that are not settled
    #[command(after_help = format!("Examples:
  tombolo client DB outbox list
  tombolo client DB outbox retry 7
  tombolo client DB outbox discard 7 8

{EXIT_CODES}
            Here 1 means: a mutation is not there, or its state does not allow it."))]
    Outbox {
        #[command(subcommand)]
        command: OutboxCommand,
    },
    /// Lists and changes what the replica holds
    #[command(after_help = format!("A new replica holds every model whole.

Examples:
  tombolo client DB scope list
  tombolo client DB scope set Flight '{{\"carrier\":{{\"eq\":\"UA\"}}}}'
  tombolo client DB scope remove Plane

{EXIT_CODES}"))]
    Scope {
        #[command(subcommand)]
        command: ScopeCommand,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum OutboxCommand {
    /// Prints each mutation that is not settled, or was rejected and not dismissed
    List,
    /// Sends wedged mutations again
    Retry {
        /// Numbers, as `outbox list` gives them
        #[arg(required = true)]
        numbers: Vec<u64>,
    },
    /// Takes mutations back, or takes note of rejected ones
    Discard {
        /// Numbers, as `outbox list` gives them
        #[arg(required = true)]
        numbers: Vec<u64>,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum ScopeCommand {
    /// Prints each scope
    List,
    /// Holds the records of a model that match a filter, or all of them
    Set {
        /// The model
        model: String,
        /// The JSON of the model's filter input; without one the whole model
        filter: Option<String>,
    },
    /// Holds none of a model's records
    Remove {
        /// The model
        model: String,
    },
}

/// Runs the command.
///
/// # Errors
/// The arguments, a file or the server; see [`Failure`].
pub async fn run(args: Args) -> Outcome {
    let schema = Arc::new(schema::read(&args.schema)?.ok_or_else(|| faulty(&args.schema))?);
    let online = !args.offline && matches!(args.command, Command::Sync { .. } | Command::Watch { .. });
    if online && args.url.is_none() {
        return Err(Failure::usage(
            "this command needs the server: give --url, or --offline",
        ));
    }
    if args.offline && matches!(args.command, Command::Sync { .. }) {
        return Err(Failure::usage("`sync` needs the network; leave out --offline"));
    }
    let variables = match &args.command {
        Command::Exec { variables, .. } | Command::Watch { variables, .. } => {
            json_object("--variables", variables.as_deref())?
        }
        _ => Json::Null,
    };

    let mut builder = Client::builder()
        .schema_parsed(Arc::clone(&schema))
        .path(&args.database);
    if let Some(url) = &args.url {
        let https = parse_url(url)?.scheme() == "https";
        builder = match &args.ca {
            Some(ca) if https => {
                let endpoint = Endpoint::parse(url).map_err(|e| Failure::usage(format!("--url `{url}`: {e}")))?;
                builder.transport(Network::with_tls(endpoint, Arc::new(tls(https, Some(ca))?)))
            }
            Some(_) | None => builder.url(url),
        };
    }
    if let Some(key) = &args.api_key {
        builder = builder.api_key(key);
    }
    if let Some(token) = &args.token {
        builder = builder.token(token);
    }
    if let Some(account) = &args.account {
        builder = builder.account(account);
    }
    // `sync` opens its own link.
    let linked = online && !matches!(args.command, Command::Sync { .. });
    let client = builder
        .offline(!linked)
        .open()
        .await
        .map_err(|e| failure(&e, &args.database))?;
    if let Some(salvage) = client.salvage() {
        super::output::say(&format!(
            "The database file was damaged. {} queued mutations were saved, {} could not be read; the damaged file is {}",
            salvage.mutations,
            salvage.lost,
            salvage.damaged.display()
        ));
        if salvage.torn > 0 {
            super::output::say(&format!(
                "{} of those saved are rejected: they belong to, or wait for, a transaction of which a part was lost",
                salvage.torn
            ));
        }
    }

    let replica = Replica {
        client: &client,
        database: &args.database,
    };
    let outcome = match args.command {
        Command::Exec { graphql, .. } => replica.exec(&schema, &graphql, variables).await,
        Command::Sync { timeout } => replica.sync(Duration::from_secs_f64(timeout)).await,
        Command::Watch { graphql, .. } => replica.watch(&graphql, variables).await,
        Command::Status => replica.status(),
        Command::Outbox { command } => replica.outbox(command).await,
        Command::Scope { command } => replica.scope(command).await,
    };
    client.close().await;
    outcome
}

fn faulty(file: &Path) -> Failure {
    Failure::file(file, "the schema has errors; `tombolo schema check` tells them")
}

/// An argument that holds a JSON object, if it is there.
pub(super) fn json_object(name: &str, text: Option<&str>) -> Result<Json, Failure> {
    let Some(text) = text else { return Ok(Json::Null) };
    match serde_json::from_str(text) {
        Ok(object @ Json::Object(_)) => Ok(object),
        Ok(_) => Err(Failure::usage(format!("{name}: not a JSON object"))),
        Err(e) => Err(Failure::usage(format!("{name}: no JSON: {e}"))),
    }
}

/// A span of seconds on the command line.
fn seconds(text: &str) -> Result<f64, String> {
    const SECONDS_MAX: f64 = 86_400.0;
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= SECONDS_MAX => Ok(seconds),
        _ => Err(format!("seconds are a number above 0 and at most {SECONDS_MAX}")),
    }
}
