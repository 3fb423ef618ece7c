//! Logs: to standard error, for a person on a terminal or as JSON, one object a line.
//!
//! What is logged is counts, names from the configuration, addresses and errors of the machinery; never a key, a document, a
//! variable or a record.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged when the configuration does not say: our own steps, and others' troubles.
pub const FILTER_DEFAULT: &str = "info";

/// The `[log]` part of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What is logged: a level, or directives as `tracing_subscriber`'s `EnvFilter` reads them.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: FILTER_DEFAULT.to_owned(),
        }
    }
}

/// A filter that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log.filter {0:?} cannot be read: {1}; write a level (`info`) or directives (`info,tombolo_engine=debug`)")]
pub struct BadFilter(String, #[source] tracing_subscriber::filter::ParseError);

/// Whether `filter` can be read.
///
/// # Errors
/// It cannot.
pub fn check(filter: &str) -> Result<(), BadFilter> {
    EnvFilter::try_new(filter)
        .map(drop)
        .map_err(|e| BadFilter(filter.to_owned(), e))
}

/// Starts logging for this process. A second call changes nothing (tests start many servers in one process).
///
/// # Errors
/// The filter cannot be read.
pub fn start(log: &Log) -> Result<(), BadFilter> {
    let filter = EnvFilter::try_new(&log.filter).map_err(|e| BadFilter(log.filter.clone(), e))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match log.format {
        LogFormat::Json => registry.with(lines.json()).try_init(),
        LogFormat::Text => registry
            .with(lines.with_target(false).with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started before");
    }
    Ok(())
}
