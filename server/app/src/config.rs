//! What a server is told before it starts, and where it is told: a TOML file, then the environment over it.
//!
//! Every key, its default and its variable: `docs/config.md`. What cannot be read is refused by place
//! (`tombolo.toml:4:1: …`), all of a kind at once; a key that no one knows is refused too, since a misspelt limit that
//! is silently ignored is worse than a server that does not start.

mod auth;
mod check;
mod environment;
mod file;
mod print;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tombolo_core::access::AuthMode;

use crate::auth::{ApiKey, AuthConfig};
use crate::guards::Guards;
use crate::limits::Limits;
use crate::mqtt::MqttConfig;
use crate::resolver::ResolverConfig;
use crate::telemetry::Log;
use crate::tls::TlsFiles;
use crate::upkeep::RetentionDays;

/// Where `serve` listens when nothing else is said: this machine only, so that nothing is exposed by accident.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:4000";

/// The database file when nothing else is said.
pub const DATABASE_DEFAULT: &str = "tombolo.sqlite";

/// The prefix of the environment's variables.
pub const ENV_PREFIX: &str = "TOMBOLO_";

/// Everything that [`crate::Server::start`] needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// `ADDR:PORT`; port 0 lets the system choose.
    pub listen: String,
    /// The schema.
    pub schema: SchemaSource,
    /// The database.
    pub database: Database,
    /// When a commit counts as done.
    pub synchronous: Synchronous,
    /// Who may call with a key.
    pub api_keys: Vec<ApiKey>,
    /// Who may call by other means. Without any of them and without keys every call is refused.
    pub auth: AuthConfig,
    /// The mode that is meant where the schema does not say one.
    pub default_auth: AuthMode,
    /// Limits.
    pub limits: Limits,
    /// What may be asked, and how often.
    pub guards: Guards,
    /// The certificate, for https and wss; without one http and ws.
    pub tls: Option<TlsFiles>,
    /// The ports of MQTT.
    pub mqtt: MqttConfig,
    /// Who settles conflicts that the schema leaves to a resolver.
    pub resolver: ResolverConfig,
    /// How long things are kept for replicas that were away.
    pub retention: RetentionDays,
    /// Breaking changes of the schema that may be made to the database although they lose data, by the names that it asks
    /// for. For one start: never in the file.
    pub allow_breaking: Vec<String>,
}

impl Config {
    /// A server on a free port of this machine with its database in memory: what a test starts.
    pub fn in_memory(schema: impl Into<String>, api_key: &str) -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            schema: SchemaSource::Text {
                name: "schema.graphql".to_owned(),
                text: schema.into(),
            },
            database: Database::Memory,
            synchronous: Synchronous::default(),
            api_keys: vec![ApiKey::from_clear("test", api_key)],
            auth: AuthConfig::default(),
            default_auth: AuthMode::ApiKey,
            limits: Limits::default(),
            guards: Guards::default(),
            tls: None,
            mqtt: MqttConfig::default(),
            resolver: ResolverConfig::default(),
            retention: RetentionDays::default(),
            allow_breaking: Vec::new(),
        }
    }
}

/// When a commit counts as done, and its mutation is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// When the disk has it: survives a power cut.
    #[default]
    Full,
    /// When the operating system has it: survives a kill of the process, not a power cut.
    Normal,
}

/// Where the schema comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaSource {
    /// A file.
    File(PathBuf),
    /// Text at hand; `name` is what messages call it.
    Text {
        /// For messages.
        name: String,
        /// The SDL.
        text: String,
    },
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file, made if missing.
    File(PathBuf),
    /// Memory: gone with the process.
    Memory,
}

impl Database {
    fn parse(text: &str, base: &Path) -> Self {
        if text == ":memory:" {
            Self::Memory
        } else {
            Self::File(base.join(text))
        }
    }
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Memory => f.write_str(":memory:"),
        }
    }
}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `tombolo.toml:4:1`, or the variable's name.
    pub place: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(|p| format!("{}: {}", p.place, p.message)).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<Problem>);

impl ConfigErrors {
    fn one(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Problem {
            place: place.into(),
            message: message.into(),
        }])
    }
}

/// A configuration as `serve` reads it: the server's, and the process's own logs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's.
    pub config: Config,
    /// The logs.
    pub log: Log,
    /// Variables that begin like ours and are not: worth a word, no reason to stop (an orchestrator sets such for a
    /// service of this name).
    pub unknown_variables: Vec<String>,
}

/// What has been said so far: by the file, then by the environment over it.
struct Draft {
    listen: String,
    schema: Option<PathBuf>,
    database: Database,
    synchronous: Synchronous,
    api_keys: Vec<ApiKey>,
    auth: AuthConfig,
    auth_form: auth::AuthForm,
    /// Users who sign, each with its place, before their secrets are fetched.
    iam: Vec<(String, auth::IamForm)>,
    limits: Limits,
    guards: Guards,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    mqtt: MqttConfig,
    resolver: ResolverConfig,
    retention: RetentionDays,
    log: Log,
}

/// What is wrong, in the order in which it was found.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem {
            place: place.into(),
            message: message.into(),
        });
    }
}

impl Settings {
    /// Reads the file at `path` and lays `environment` over it.
    ///
    /// # Errors
    /// Everything that is wrong, by place.
    pub fn load(path: &Path, environment: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            ConfigErrors::one(
                path.display().to_string(),
                format!("cannot be read: {e}; give a file with --config FILE"),
            )
        })?;
        Self::parse(
            &path.display().to_string(),
            &text,
            path.parent().unwrap_or(Path::new("")),
            environment,
        )
    }

    /// Reads `text`, the content of the file called `name` in the folder `base`, and lays `environment` over it.
    ///
    /// # Errors
    /// Everything that is wrong, by place.
    pub fn parse(
        name: &str,
        text: &str,
        base: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut problems = Problems::default();
        let mut draft = file::read(name, text, base, &mut problems)?;
        let environment: BTreeMap<String, String> = environment.collect();
        let mut secrets = BTreeSet::new();
        for (place, form) in std::mem::take(&mut draft.iam) {
            secrets.extend(form.variable().map(str::to_owned));
            match form.read(base, &environment) {
                Ok(user) if draft.auth.iam.iter().any(|other| other.caller.name == user.caller.name) => problems.add(
                    place,
                    format!("two IAM users are called {:?}; names tell them apart", user.caller.name),
                ),
                Ok(user) => draft.auth.iam.push(user),
                Err(message) => problems.add(place, message),
            }
        }
        let others = environment.into_iter().filter(|(name, _)| !secrets.contains(name));
        let unknown_variables = environment::lay_over(&mut draft, others, &mut problems);
        let (config, log) = check::finish(name, draft, problems)?;
        Ok(Self {
            config,
            log,
            unknown_variables,
        })
    }
}
