//! `tombolo dev`: a server to develop against, with an embedded database, the example schema and data, and on standard
//! output what to do next.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tombolo_core::access::AuthMode;
use tombolo_core::schema::{FieldKind, QueryRoot, Schema};

use crate::auth::{ApiKey, AuthConfig};
use crate::cli::output::{self, Failure, Outcome};
use crate::config::{Config, Database, SchemaSource, Synchronous};
use crate::dev_tls::{self, OwnCertificate};
use crate::guards::Guards;
use crate::limits::Limits;
use crate::mqtt::MqttConfig;
use crate::mqtt::broker::BrokerConfig;
use crate::resolver::ResolverConfig;
use crate::serve::{failure, until_signal};
use crate::shutdown::Signals;
use crate::telemetry::{self, Log, LogFormat};
use crate::upkeep::RetentionDays;
use crate::{Running, Server, StartError, demo_data};

/// The database file in the data folder.
const DATABASE: &str = "tombolo.sqlite";

/// The schema file in the data folder: the example's, until somebody edits it.
const SCHEMA: &str = "schema.graphql";

/// The certificate's folder in the data folder.
const TLS: &str = "tls";

/// Its presence says that the example data has been loaded: records that were deleted since stay deleted.
const LOADED: &str = "example-data-loaded";

/// What is logged: the next steps are on the screen, so only troubles.
const LOG_FILTER: &str = "warn";

/// What `tombolo dev` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tombolo dev\n  tombolo dev --tls\n  tombolo dev --schema schema.graphql --data /tmp/mine --listen 127.0.0.1:0"
)]
pub struct Args {
    /// The schema; without it the example's, written to DIR/schema.graphql, where it may be edited
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Where the database is kept
    #[arg(long, value_name = "DIR", default_value = "./data/dev")]
    data: PathBuf,
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:4000")]
    listen: String,
    /// The key that clients send as x-api-key
    #[arg(long, value_name = "KEY", default_value = "dev-key")]
    api_key: String,
    /// Serve https and wss, with a certificate of its own that is kept in DIR/tls; nothing is installed
    #[arg(long)]
    tls: bool,
    /// A further name or address of this machine that the certificate is for, such as tower.local
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_host: Vec<String>,
    /// Where to listen for MQTT, such as 127.0.0.1:1883; without it MQTT is spoken at /mqtt of the WebSocket alone
    #[arg(long, value_name = "ADDR:PORT")]
    mqtt: Option<String>,
    /// An MQTT broker between the devices and the server, such as mqtt://127.0.0.1:1884
    #[arg(long, value_name = "URL")]
    mqtt_broker: Option<String>,
    /// Who is asked about conflicts of what is CUSTOM in the schema: an http(s) URL
    #[arg(long, value_name = "URL")]
    resolver: Option<String>,
    /// Breaking changes of the schema to make to the database although they lose data, by the names that it asks for
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    allow_breaking: Vec<String>,
    /// What is logged: a level or directives
    #[arg(long, value_name = "FILTER", default_value = LOG_FILTER)]
    log: String,
}

/// Serves until a signal.
///
/// # Errors
/// The schema, the address or the data folder cannot be used.
pub async fn run(args: Args) -> Outcome {
    let log = Log {
        format: LogFormat::Text,
        filter: args.log.clone(),
    };
    telemetry::start(&log).map_err(|e| Failure::usage(e.to_string()))?;
    let signals = Signals::listen().map_err(|e| Failure::failed(format!("signals: {e}")))?;

    std::fs::create_dir_all(&args.data).map_err(|e| Failure::file(&args.data, e))?;
    let (schema, example) = schema(&args)?;
    let database = args.data.join(DATABASE);
    let certificate = match args.tls {
        true => Some(
            dev_tls::open(&args.data.join(TLS), &args.tls_host, Timestamp::now()).map_err(|e| failure(&e.into()))?,
        ),
        false => None,
    };
    if let Some((key, problem)) = args
        .mqtt_broker
        .clone()
        .map(BrokerConfig::at)
        .and_then(|broker| broker.problems().into_iter().next())
    {
        return Err(Failure::usage(format!("--mqtt-broker: {key} {problem}")));
    }
    let config = Config {
        listen: args.listen.clone(),
        schema: SchemaSource::File(schema.clone()),
        database: Database::File(database.clone()),
        api_keys: vec![ApiKey::from_clear("dev", &args.api_key)],
        default_auth: AuthMode::ApiKey,
        auth: AuthConfig::default(),
        synchronous: Synchronous::default(),
        limits: Limits::default(),
        guards: Guards::default(),
        tls: certificate.as_ref().map(|own| own.files.clone()),
        mqtt: MqttConfig {
            listen: args.mqtt.clone(),
            tls_listen: None,
            broker: args.mqtt_broker.clone().map(BrokerConfig::at),
        },
        resolver: args
            .resolver
            .clone()
            .map_or_else(ResolverConfig::default, ResolverConfig::at),
        retention: RetentionDays::default(),
        allow_breaking: args.allow_breaking.clone(),
    };
    let loaded = args.data.join(LOADED);
    let running = Server::start_with(config, async |api| {
        // A schema that has been edited may not fit the example's data any more; then there is nothing to load.
        if !example || loaded.exists() {
            return Ok(());
        }
        output::say("Loading the example data ...");
        demo_data::load(api).await?;
        std::fs::write(&loaded, "").map_err(|e| StartError::Data(format!("{}: {e}", loaded.display())))
    })
    .await
    .map_err(|error| match &error {
        StartError::InUse(_) => Failure::failed(format!("{error}, for example with --listen 127.0.0.1:0")),
        StartError::SchemaFile { .. }
        | StartError::Schema(_)
        | StartError::Listen { .. }
        | StartError::Database { .. }
        | StartError::Tls(_)
        | StartError::Resolver(_)
        | StartError::Auth(_)
        | StartError::Data(_) => failure(&error),
    })?;
    let text = welcome(
        &running,
        &Shown {
            schema: &schema,
            database: &database,
            key: &args.api_key,
            example,
            certificate: certificate.as_ref(),
        },
    );
    output::stdout_bytes(text.as_bytes())?;
    until_signal(running, signals).await
}

/// The schema's file, and whether it is the example's as it came.
fn schema(args: &Args) -> Result<(PathBuf, bool), Failure> {
    if let Some(path) = &args.schema {
        return Ok((path.clone(), false));
    }
    let path = args.data.join(SCHEMA);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text == demo_data::SCHEMA)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&path, demo_data::SCHEMA).map_err(|e| Failure::file(&path, e))?;
            Ok((path, true))
        }
        Err(error) => Err(Failure::file(&path, error)),
    }
}

struct Shown<'a> {
    schema: &'a Path,
    database: &'a Path,
    key: &'a str,
    example: bool,
    certificate: Option<&'a OwnCertificate>,
}

/// What to do next, as lines that work when pasted into a shell.
fn welcome(running: &Running, shown: &Shown<'_>) -> String {
    let (url, key) = (running.url(), shown.key);
    let (quoted_url, quoted_key) = (quoted(&url), quoted(key));
    let list = running
        .schema()
        .map_or_else(|| "{ __typename }".to_owned(), |s| list_query(s, shown.example));
    let root = shown.certificate.map(|own| quoted(&own.root.display().to_string()));
    let (curl_root, client_root) = match &root {
        Some(root) => (format!("--cacert {root} "), format!("--ca {root} ")),
        None => (String::new(), String::new()),
    };
    let client = |file: &str, command: &str| {
        format!(
            "  {} client {client_root}--database {file} --schema {} --url {quoted_url} --api-key {quoted_key} {command}\n",
            invocation(),
            quoted(&shown.schema.display().to_string()),
        )
    };
    let mut text = format!(
        "Tombolo is listening on {}\n\n\
         GraphQL    {url}\n\
         WebSocket  {}  (graphql-transport-ws)\n\
         AppSync    {url}/realtime  (AppSync's WebSocket; its clients find it by themselves)\n\
         API key    {key}\n\
         Schema     {}\n\
         Database   {}\n\n\
         Ask it something:\n\
         \x20 curl -sS {curl_root}{quoted_url} -H {} -H 'content-type: application/json' -d {}\n\n",
        running.addr,
        running.ws_url(),
        shown.schema.display(),
        shown.database.display(),
        quoted(&format!("x-api-key: {key}")),
        quoted(&serde_json::json!({ "query": list }).to_string()),
    );
    for addr in &running.mqtt {
        let _ = write!(text, "MQTT is spoken on {addr}: docs/mqtt.md.\n\n");
    }
    if let (Some(own), Some(root)) = (shown.certificate, &root) {
        text.push_str(&dev_tls::how_to_trust(own, root));
        text.push('\n');
    }
    if shown.example {
        let write = "mutation { createNote(input: {flightId: \"2013-01-01-UA-1545-EWR\", text: \"written on A\", \
                     author: \"A\"}) { id text } }";
        let read = "{ notesByFlight(flightId: \"2013-01-01-UA-1545-EWR\") { items { author text } } }";
        text.push_str(
            "Two replicas, each in its own file. A writes without the network, then both sync, then B reads:\n",
        );
        text.push_str(&client("a.sqlite", &format!("--offline exec {}", quoted(write))));
        text.push_str(&client("a.sqlite", "sync"));
        text.push_str(&client("b.sqlite", "sync"));
        text.push_str(&client("b.sqlite", &format!("exec {}", quoted(read))));
    } else {
        text.push_str("Two replicas, each in its own file:\n");
        for file in ["a.sqlite", "b.sqlite"] {
            text.push_str(&client(file, "sync"));
            text.push_str(&client(file, &format!("exec {}", quoted(&list))));
        }
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\nCtrl-C ends it.");
    text
}

/// A query that lists some records of the schema's first listed model.
fn list_query(schema: &Schema, example: bool) -> String {
    if example {
        return "{ listAirlines(limit: 3) { items { carrier name } } }".to_owned();
    }
    let lists = schema.roots.query.iter().filter_map(|(name, root)| match root {
        QueryRoot::List(model) => Some((*model, name)),
        QueryRoot::Get(_)
        | QueryRoot::Index(..)
        | QueryRoot::Sync(_)
        | QueryRoot::Changes
        | QueryRoot::Conflicts
        | QueryRoot::Custom => None,
    });
    let Some((model, name)) = lists.min_by_key(|(model, _)| *model) else {
        return "{ __typename }".to_owned();
    };
    let fields: Vec<&str> = schema.models.get(model.0).map_or_else(Vec::new, |model| {
        let plain = model
            .fields
            .iter()
            .filter(|f| !matches!(f.ty.kind, FieldKind::Embedded(_)));
        plain.take(3).map(|f| f.name.as_str()).collect()
    });
    format!("{{ {name}(limit: 3) {{ items {{ {} }} }} }}", fields.join(" "))
}

/// How this program was started, so that the lines shown start it again.
fn invocation() -> String {
    if std::env::var_os("CARGO_MANIFEST_DIR").is_some() {
        return if cfg!(debug_assertions) {
            "cargo run -q --"
        } else {
            "cargo run -q --release --"
        }
        .to_owned();
    }
    match std::env::args().next() {
        Some(program) if program.contains('/') => quoted(&program),
        _ => "tombolo".to_owned(),
    }
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for (text, word) in [
            ("dev-key", "dev-key"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("http://127.0.0.1:4000/graphql", "http://127.0.0.1:4000/graphql"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
