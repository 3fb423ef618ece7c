//! `tombolo serve --config FILE`: a server as configured, until a signal ends it.

use std::path::PathBuf;

use crate::cli::output::{self, Exit, Failure, Outcome};
use crate::config::{SchemaSource, Settings};
use crate::shutdown::Signals;
use crate::{Ended, Running, Server, StartError, telemetry};

/// What `tombolo serve` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  tombolo serve --config tombolo.toml\n",
    "  TOMBOLO_LISTEN=0.0.0.0:4000 tombolo serve --config tombolo.toml --print-config\n\n",
    "The smallest tombolo.toml:\n",
    "  schema = \"schema.graphql\"\n",
    "  [[api_keys]]\n",
    "  name = \"app\"\n",
    "  key = \"…\"          # openssl rand -hex 32\n\n",
    "docs/config.md has every key, its default and its environment variable."
))]
pub struct Args {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE", env = "TOMBOLO_CONFIG")]
    config: PathBuf,
    /// Who is asked about conflicts of what is CUSTOM in the schema, instead of what the configuration says
    #[arg(long, value_name = "URL")]
    resolver: Option<String>,
    /// Breaking changes of the schema to make to the database although they lose data, by the names that it asks for
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    allow_breaking: Vec<String>,
    /// Print the configuration in force, without secrets, and end
    #[arg(long)]
    print_config: bool,
}

/// Serves until a signal.
///
/// # Errors
/// The configuration, the schema, the address or the database cannot be used.
pub async fn run(args: Args) -> Outcome {
    let mut settings = Settings::load(&args.config, environment())
        .map_err(|errors| Failure::new(Exit::File, format!("the configuration cannot be used\n{errors}")))?;
    if let Some(url) = args.resolver {
        settings.config.resolver.url = Some(url);
    }
    if args.print_config {
        output::stdout_bytes(settings.to_toml().as_bytes())?;
        return Ok(Exit::Done);
    }
    telemetry::start(&settings.log).map_err(|e| Failure::new(Exit::File, e.to_string()))?;
    for variable in &settings.unknown_variables {
        tracing::warn!(%variable, "an environment variable that means nothing here; docs/config.md lists those that do");
    }
    if let SchemaSource::File(path) = &settings.config.schema {
        tracing::info!(schema = %path.display(), "starting");
    }
    let signals = Signals::listen().map_err(|e| Failure::failed(format!("signals: {e}")))?;
    settings.config.allow_breaking.clone_from(&args.allow_breaking);
    let running = Server::start(settings.config).await.map_err(|e| failure(&e))?;
    until_signal(running, signals).await
}

/// The environment as text; variables that are not UTF-8 mean nothing here.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
        // What this subcommand and the client read.
        .filter(|(k, _)| !matches!(k.as_str(), "TOMBOLO_CONFIG" | "TOMBOLO_CA"))
}

/// A server that did not start, as the command line says it.
pub(crate) fn failure(error: &StartError) -> Failure {
    match error {
        StartError::InUse(_) | StartError::Listen { .. } | StartError::Data(_) => Failure::failed(error.to_string()),
        StartError::Schema(errors) => Failure::new(Exit::File, format!("the schema cannot be used\n{errors}")),
        StartError::SchemaFile { .. }
        | StartError::Database { .. }
        | StartError::Tls(_)
        | StartError::Resolver(_)
        | StartError::Auth(_) => Failure::new(Exit::File, error.to_string()),
    }
}

/// Serves until a signal, then ends in good order; a second signal ends at once.
pub(crate) async fn until_signal(running: Running, mut signals: Signals) -> Outcome {
    let signal = signals.next().await;
    tracing::info!(signal, "finishing what was accepted; a second signal ends at once");
    tokio::select! {
        ended = running.shutdown() => match ended {
            Ended::InOrder => Ok(Exit::Done),
            Ended::TimedOut => Err(Failure::failed(
                "the shutdown took longer than limits.shutdown_timeout_ms; clients will send again what was not answered",
            )),
        },
        signal = signals.next() => Err(Failure::failed(format!("ended at once by a second signal ({signal})"))),
    }
}
