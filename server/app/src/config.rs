//! What a server is told before it starts, and where it is told: a TOML file, then the environment over it.
//!
//! Every key, its default and its variable: `docs/config.md`. What cannot be read is refused by place
//! (`tombolo.toml:4:1: …`), all of a kind at once; a key that no one knows is refused too, since a misspelt limit that
//! is silently ignored is worse than a server that does not start.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::auth::{ApiKey, KEY_CHARS_MIN};
use crate::limits::Limits;
use crate::resolver::{ResolverConfig, Secret};
use crate::telemetry::{self, Log, LogFormat};
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
    /// Who may call. Without any key every call is refused.
    pub api_keys: Vec<ApiKey>,
    /// Limits.
    pub limits: Limits,
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
            limits: Limits::default(),
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    listen: Option<String>,
    schema: Option<String>,
    database: Option<String>,
    #[serde(default)]
    synchronous: Synchronous,
    #[serde(default)]
    api_keys: Vec<toml::Spanned<KeyForm>>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    resolver: ResolverConfig,
    #[serde(default)]
    retention: RetentionDays,
    #[serde(default)]
    log: Log,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyForm {
    name: String,
    key: Option<String>,
    key_sha256: Option<String>,
    expires: Option<toml::value::Datetime>,
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
        let form: FileForm = toml::from_str(text).map_err(|e| {
            let message = format!("{}; docs/config.md lists the keys", e.message().replace('\n', " "));
            ConfigErrors::one(place(name, text, e.span().map_or(0, |s| s.start)), message)
        })?;
        let mut problems = Vec::new();
        let mut wrong = |place: String, message: String| problems.push(Problem { place, message });

        let mut api_keys: Vec<ApiKey> = Vec::new();
        for spanned in form.api_keys {
            let at = place(name, text, spanned.span().start);
            match read_key(spanned.into_inner()) {
                Ok(key) if api_keys.iter().any(|k| k.name == key.name) => {
                    wrong(
                        at,
                        format!("two API keys are called {:?}; names tell them apart in logs", key.name),
                    );
                }
                Ok(key) => api_keys.push(key),
                Err(message) => wrong(at, message),
            }
        }

        let mut listen = form.listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned());
        let mut schema = form.schema.map(|s| base.join(s));
        let mut database = Database::parse(form.database.as_deref().unwrap_or(DATABASE_DEFAULT), base);
        let (mut limits, mut log, mut synchronous) = (form.limits, form.log, form.synchronous);
        let mut resolver = form.resolver;
        let mut unknown_variables = Vec::new();
        let mut variables: Vec<_> = environment.filter(|(k, _)| k.starts_with(ENV_PREFIX)).collect();
        variables.sort();
        for (variable, value) in variables {
            let key = variable.trim_start_matches(ENV_PREFIX).to_ascii_lowercase();
            match key.as_str() {
                "listen" => listen = value,
                "schema" => schema = Some(PathBuf::from(value)),
                "database" => database = Database::parse(&value, Path::new("")),
                "api_key" => match clear_key("environment", &value) {
                    Ok(key) => api_keys.push(key),
                    Err(message) => wrong(variable, message),
                },
                "synchronous" => match value.as_str() {
                    "full" => synchronous = Synchronous::Full,
                    "normal" => synchronous = Synchronous::Normal,
                    other => wrong(variable, format!("{other:?} is no level; write full or normal")),
                },
                "log_format" => match value.as_str() {
                    "text" => log.format = LogFormat::Text,
                    "json" => log.format = LogFormat::Json,
                    other => wrong(variable, format!("{other:?} is no log format; write text or json")),
                },
                "log_filter" => log.filter = value,
                "resolver_url" => resolver.url = Some(value),
                "resolver_header" => resolver.header = Some(Secret(value)),
                "resolver_timeout_ms" => match value.parse() {
                    Ok(ms) => resolver.timeout_ms = Some(ms),
                    Err(_) => wrong(variable, format!("{value:?} is no number of milliseconds")),
                },
                other => match other.strip_prefix("limits_") {
                    Some(limit) => {
                        if let Err(message) = set_limit(&mut limits, limit, &value) {
                            wrong(variable, message);
                        }
                    }
                    None => unknown_variables.push(variable),
                },
            }
        }

        for zero in limits.zeros() {
            wrong(
                format!("{name}: limits.{zero}"),
                "is 0; leave it out for the default".to_owned(),
            );
        }
        let days = form.retention;
        for (key, value) in [
            ("tombstones_days", days.tombstones_days),
            ("replica_silence_days", days.replica_silence_days),
            ("traces_days", days.traces_days),
        ] {
            if value == 0 {
                wrong(
                    format!("{name}: retention.{key}"),
                    "is 0; leave it out for the default".to_owned(),
                );
            }
        }
        if let Err(error) = telemetry::check(&log.filter) {
            wrong(name.to_owned(), error.to_string());
        }
        if api_keys.is_empty() {
            wrong(
                name.to_owned(),
                "no API key, so every call would be refused; add [[api_keys]] with a name and a \
                key (openssl rand -hex 32) or set TOMBOLO_API_KEY"
                    .to_owned(),
            );
        }
        if schema.is_none() {
            wrong(
                name.to_owned(),
                "no schema; add schema = \"schema.graphql\" or set TOMBOLO_SCHEMA".to_owned(),
            );
        }
        match schema {
            Some(schema) if problems.is_empty() => {
                let config = Config {
                    listen,
                    schema: SchemaSource::File(schema),
                    database,
                    synchronous,
                    api_keys,
                    limits,
                    resolver,
                    retention: form.retention,
                    allow_breaking: Vec::new(),
                };
                Ok(Self {
                    config,
                    log,
                    unknown_variables,
                })
            }
            _ => Err(ConfigErrors(problems)),
        }
    }

    /// The configuration as it is in force, as TOML, without secrets.
    #[must_use]
    pub fn to_toml(&self) -> String {
        #[derive(Serialize)]
        struct Printed<'a> {
            listen: &'a str,
            schema: String,
            database: String,
            synchronous: Synchronous,
            api_keys: Vec<PrintedKey<'a>>,
            limits: &'a Limits,
            resolver: &'a ResolverConfig,
            retention: &'a RetentionDays,
            log: &'a Log,
        }
        #[derive(Serialize)]
        struct PrintedKey<'a> {
            name: &'a str,
            key: &'static str,
        }
        let printed = Printed {
            listen: &self.config.listen,
            schema: match &self.config.schema {
                SchemaSource::File(path) => path.display().to_string(),
                SchemaSource::Text { name, .. } => name.clone(),
            },
            database: self.config.database.to_string(),
            synchronous: self.config.synchronous,
            api_keys: self
                .config
                .api_keys
                .iter()
                .map(|k| PrintedKey {
                    name: &k.name,
                    key: "(redacted)",
                })
                .collect(),
            limits: &self.config.limits,
            resolver: &self.config.resolver,
            retention: &self.config.retention,
            log: &self.log,
        };
        toml::to_string(&printed).unwrap_or_else(|e| format!("# cannot be printed: {e}\n"))
    }
}

fn read_key(form: KeyForm) -> Result<ApiKey, String> {
    let key = match (form.key, form.key_sha256) {
        (Some(key), None) => clear_key(&form.name, &key)?,
        (None, Some(hash)) => ApiKey::from_sha256(&form.name, &hash).ok_or(format!(
            "key_sha256 of API key {:?} is not 64 hexadecimal digits; printf %s KEY | sha256sum gives them",
            form.name
        ))?,
        (Some(_), Some(_)) => return Err(format!("API key {:?} has both key and key_sha256; keep one", form.name)),
        (None, None) => {
            return Err(format!(
                "API key {:?} has neither key nor key_sha256; add one",
                form.name
            ));
        }
    };
    let Some(expires) = form.expires else { return Ok(key) };
    let text = expires.to_string();
    // A date alone means its first moment in UTC.
    let text = if expires.time.is_none() {
        format!("{text}T00:00:00Z")
    } else {
        text
    };
    let moment = text.parse().map_err(|_| {
        format!(
            "expires of API key {:?} has no time zone; write it as 2030-01-31T00:00:00Z",
            form.name
        )
    })?;
    Ok(key.until(moment))
}

fn clear_key(name: &str, key: &str) -> Result<ApiKey, String> {
    if key.chars().count() < KEY_CHARS_MIN {
        return Err(format!(
            "API key {name:?} has fewer than {KEY_CHARS_MIN} characters and could be guessed; openssl rand -hex 32 makes one"
        ));
    }
    Ok(ApiKey::from_clear(name, key))
}

fn set_limit(limits: &mut Limits, name: &str, value: &str) -> Result<(), String> {
    let number: i64 = value.parse().map_err(|_| format!("{value:?} is not a whole number"))?;
    let mut table = toml::Table::try_from(&*limits).map_err(|e| e.to_string())?;
    match table.get_mut(name) {
        Some(place) => *place = toml::Value::Integer(number),
        None => {
            let names: Vec<_> = table.keys().map(String::as_str).collect();
            return Err(format!("there is no limit {name:?}; there are {}", names.join(", ")));
        }
    }
    *limits = table.try_into().map_err(|_| format!("{value:?} is out of range"))?;
    Ok(())
}

fn place(name: &str, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("{name}:{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "schema = \"s.graphql\"\n[[api_keys]]\nname = \"app\"\nkey = \"0123456789abcdef\"\n";

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigErrors> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Settings::parse("t.toml", text, Path::new("/etc/tombolo"), environment)
    }

    #[test]
    fn the_smallest_file_gives_the_defaults() {
        let settings = parse(GOOD, &[]).unwrap();
        assert_eq!(settings.config.listen, LISTEN_DEFAULT);
        assert_eq!(
            settings.config.schema,
            SchemaSource::File("/etc/tombolo/s.graphql".into())
        );
        assert_eq!(
            settings.config.database,
            Database::File("/etc/tombolo/tombolo.sqlite".into())
        );
        assert_eq!(settings.config.limits, Limits::default());
        assert_eq!(settings.log, Log::default());
    }

    #[test]
    fn the_environment_wins() {
        let settings = parse(
            GOOD,
            &[
                ("TOMBOLO_LISTEN", "0.0.0.0:1"),
                ("TOMBOLO_SCHEMA", "x.graphql"),
                ("TOMBOLO_DATABASE", ":memory:"),
                ("TOMBOLO_SYNCHRONOUS", "normal"),
                ("TOMBOLO_API_KEY", "fedcba9876543210"),
                ("TOMBOLO_LOG_FORMAT", "json"),
                ("TOMBOLO_LOG_FILTER", "debug"),
                ("TOMBOLO_LIMITS_BATCH_MAX", "7"),
                ("TOMBOLO_RESOLVER_URL", "http://h/"),
                ("TOMBOLO_RESOLVER_TIMEOUT_MS", "9"),
                ("TOMBOLO_RESOLVER_HEADER", "a: b"),
                ("TOMBOLO_SERVICE_HOST", "10.0.0.1"),
                ("PATH", "/bin"),
            ],
        )
        .unwrap();
        assert_eq!(settings.config.listen, "0.0.0.0:1");
        assert_eq!(settings.config.schema, SchemaSource::File("x.graphql".into()));
        assert_eq!(settings.config.database, Database::Memory);
        assert_eq!(settings.config.synchronous, Synchronous::Normal);
        assert_eq!(settings.config.limits.batch_max, 7);
        let resolver = ResolverConfig {
            timeout_ms: Some(9),
            header: Some(Secret("a: b".into())),
            ..ResolverConfig::at("http://h/")
        };
        assert_eq!(settings.config.resolver, resolver);
        assert_eq!(settings.config.api_keys.len(), 2);
        assert_eq!(
            settings.log,
            Log {
                format: LogFormat::Json,
                filter: "debug".into()
            }
        );
        assert_eq!(settings.unknown_variables, ["TOMBOLO_SERVICE_HOST"]);
    }

    #[test]
    fn what_is_wrong_is_refused_by_place() {
        let key = "[[api_keys]]\nname = \"app\"\n";
        /// File, environment, what the message says.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
        let table: &[Case<'_>] = &[
            ("listne = 1\n", &[], &["t.toml:1:1: unknown field `listne`"]),
            ("schema = 1\n", &[], &["t.toml:1:10: invalid type: integer `1`"]),
            ("schema = \n", &[], &["t.toml:1:10: "]),
            (
                &format!("{GOOD}[limits]\nbatch = 1\n"),
                &[],
                &["t.toml:6:1: unknown field `batch`"],
            ),
            (&format!("{GOOD}[limits]\nbatch_max = -1\n"), &[], &["t.toml:6:13: "]),
            (
                &format!("{GOOD}[limits]\nbatch_max = 0\n"),
                &[],
                &["t.toml: limits.batch_max: is 0"],
            ),
            (
                &format!("{GOOD}[log]\nformat = \"xml\"\n"),
                &[],
                &["t.toml:6:10: unknown variant `xml`"],
            ),
            (
                &format!("{GOOD}[log]\nfilter = \"a=b=c\"\n"),
                &[],
                &["log.filter \"a=b=c\" cannot be read"],
            ),
            ("", &[], &["t.toml: no API key", "t.toml: no schema"]),
            (
                key,
                &[],
                &["t.toml:1:1: API key \"app\" has neither key nor key_sha256"],
            ),
            (
                &format!("{key}key = \"short\"\n"),
                &[],
                &["API key \"app\" has fewer than 16 characters"],
            ),
            (
                &format!("{key}key_sha256 = \"ab\"\n"),
                &[],
                &["is not 64 hexadecimal digits"],
            ),
            (
                &format!("{GOOD}key_sha256 = \"ab\"\n"),
                &[],
                &["t.toml:2:1: API key \"app\" has both"],
            ),
            (
                &format!("{GOOD}expires = 2030-01-01T00:00:00\n"),
                &[],
                &["expires of API key \"app\" has no time zone"],
            ),
            (
                &format!("{GOOD}{key}key = \"0123456789abcdef\"\n"),
                &[],
                &["t.toml:5:1: two API keys are called \"app\""],
            ),
            (
                GOOD,
                &[("TOMBOLO_LIMITS_BATCH", "1")],
                &["TOMBOLO_LIMITS_BATCH: there is no limit \"batch\""],
            ),
            (
                GOOD,
                &[("TOMBOLO_LIMITS_BATCH_MAX", "x")],
                &["TOMBOLO_LIMITS_BATCH_MAX: \"x\" is not a whole number"],
            ),
            (
                GOOD,
                &[("TOMBOLO_LIMITS_BATCH_MAX", "-1")],
                &["TOMBOLO_LIMITS_BATCH_MAX: \"-1\" is out of range"],
            ),
            (
                &format!("{GOOD}[resolver]\nurll = \"x\"\n"),
                &[],
                &["t.toml:6:1: unknown field `urll`"],
            ),
            (
                GOOD,
                &[("TOMBOLO_RESOLVER_TIMEOUT_MS", "soon")],
                &["TOMBOLO_RESOLVER_TIMEOUT_MS: \"soon\" is no number"],
            ),
            (
                GOOD,
                &[("TOMBOLO_LOG_FORMAT", "xml")],
                &["TOMBOLO_LOG_FORMAT: \"xml\" is no log format"],
            ),
            (
                GOOD,
                &[("TOMBOLO_API_KEY", "short")],
                &["TOMBOLO_API_KEY: API key \"environment\" has fewer"],
            ),
        ];
        for (text, environment, expected) in table {
            let message = parse(text, environment).expect_err(text).to_string();
            for part in *expected {
                assert!(
                    message.contains(part),
                    "{text}\n{environment:?}\nsays: {message}\nwanted: {part}"
                );
            }
            assert!(!message.contains("0123456789abcdef"), "a key is printed: {message}");
        }
    }

    #[test]
    fn an_expiry_is_a_moment_or_a_day() {
        for (expires, before, after) in [
            ("2030-01-01", "2029-12-31T23:59:59Z", "2030-01-01T00:00:00Z"),
            (
                "2030-01-01T00:00:00+01:00",
                "2029-12-31T22:59:59Z",
                "2029-12-31T23:00:00Z",
            ),
        ] {
            let settings = parse(&format!("{GOOD}expires = {expires}\n"), &[]).unwrap();
            let keys = crate::auth::Keys::new(settings.config.api_keys);
            assert!(
                keys.identify(Some("0123456789abcdef"), before.parse().unwrap()).is_ok(),
                "{expires}"
            );
            assert!(
                keys.identify(Some("0123456789abcdef"), after.parse().unwrap()).is_err(),
                "{expires}"
            );
        }
    }

    #[test]
    fn what_is_printed_can_be_read_and_holds_no_key() {
        let text = parse(GOOD, &[]).unwrap().to_toml();
        assert!(
            text.contains("(redacted)") && !text.contains("0123456789abcdef"),
            "{text}"
        );
        // Read back it lacks only the keys.
        let again = parse(&text.replace("(redacted)", "0123456789abcdef"), &[]).unwrap();
        assert_eq!(again.to_toml(), text);
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = Settings::load(Path::new("/nowhere/t.toml"), std::iter::empty())
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("/nowhere/t.toml: cannot be read"), "{message}");
    }
}
