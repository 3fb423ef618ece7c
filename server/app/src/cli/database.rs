//! `tombolo prune` and `tombolo epoch`: what is done by hand to a server's database, while no server has it open.

use std::path::PathBuf;
use std::sync::Arc;

use tombolo_engine::{Engine, Settings as EngineSettings, Store as _};

use super::output::{self, Exit, Failure, Outcome};
use crate::config::{Database, Settings};
use crate::{serve, server, upkeep};

/// What `tombolo prune` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A running server does the same every hour; docs/retention.md says what is removed and when.\n\n\
    Example:\n  tombolo prune --config tombolo.toml --tombstones-days 7"
)]
pub struct PruneArgs {
    /// The server's configuration
    #[arg(long, value_name = "FILE", env = "TOMBOLO_CONFIG")]
    config: PathBuf,
    /// Keep tombstones, departures and outcomes for this many days instead of retention.tombstones_days
    #[arg(long, value_name = "DAYS")]
    tombstones_days: Option<u32>,
    /// Write off replicas after this many days of silence instead of retention.replica_silence_days
    #[arg(long, value_name = "DAYS")]
    replica_silence_days: Option<u32>,
}

/// What `tombolo epoch` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "After the database was restored from a backup, run it with --renew before the server starts:\n\
    replicas that are ahead of the backup then begin with a base sync, and send again what the server may have lost.\n\n\
    Example:\n  tombolo epoch --config tombolo.toml --renew"
)]
pub struct EpochArgs {
    /// The server's configuration
    #[arg(long, value_name = "FILE", env = "TOMBOLO_CONFIG")]
    config: PathBuf,
    /// Give the history a new identity
    #[arg(long)]
    renew: bool,
}

/// Removes what nobody needs any more, and says what.
///
/// # Errors
/// The configuration or the database cannot be used, or a server has it open.
pub async fn prune(args: PruneArgs) -> Outcome {
    let settings = settings(&args.config)?;
    let mut days = settings.config.retention;
    days.tombstones_days = args.tombstones_days.unwrap_or(days.tombstones_days);
    days.replica_silence_days = args.replica_silence_days.unwrap_or(days.replica_silence_days);
    let engine = engine(&settings).await?;
    let pruned = upkeep::prune(&engine, &days.retention())
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    let json = serde_json::json!({
        "tombstones": pruned.tombstones,
        "departures": pruned.departures,
        "outcomes": pruned.outcomes,
        "traces": pruned.traces,
        "replicasWrittenOff": pruned.written_off,
        "lowWatermark": pruned.low_watermark.0,
    });
    output::stdout_bytes(format!("{json}\n").as_bytes())?;
    Ok(Exit::Done)
}

/// Prints the history's identity and place, renewed if that is asked for.
///
/// # Errors
/// The configuration or the database cannot be used, or a server has it open.
pub async fn epoch(args: EpochArgs) -> Outcome {
    let settings = settings(&args.config)?;
    let engine = engine(&settings).await?;
    let head = if args.renew {
        engine.renew_epoch(None).await
    } else {
        engine.store().head().await
    };
    let head = head.map_err(|error| Failure::failed(error.to_string()))?;
    let json = serde_json::json!({
        "epoch": head.epoch.0,
        "position": head.position.0,
        "lowWatermark": head.low_watermark.0,
    });
    output::stdout_bytes(format!("{json}\n").as_bytes())?;
    Ok(Exit::Done)
}

pub(super) fn settings(config: &std::path::Path) -> Result<Settings, Failure> {
    Settings::load(config, serve::environment())
        .map_err(|errors| Failure::new(Exit::File, format!("the configuration cannot be used\n{errors}")))
}

async fn engine(settings: &Settings) -> Result<Engine<tombolo_store_sqlite::SqliteStore>, Failure> {
    let config = &settings.config;
    match &config.database {
        Database::File(path) if path.exists() => {}
        Database::File(path) => {
            let message = format!("{} does not exist: check database in the configuration", path.display());
            return Err(Failure::new(Exit::File, message));
        }
        Database::Memory => {
            let message = "the database is in memory: it is gone when its server ends, there is nothing to do by hand";
            return Err(Failure::usage(message));
        }
    }
    let failed = |error: crate::StartError| serve::failure(&error);
    let schema = Arc::new(server::read_schema(&config.schema).map_err(failed)?);
    let store = server::open(config, &schema).await.map_err(failed)?;
    Ok(Engine::new(schema, store, EngineSettings::default()))
}
