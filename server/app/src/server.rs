//! A server from start to end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tombolo_core::access::AuthMode;
use tombolo_core::schema::{Schema, SchemaErrors};
use tombolo_engine::{Engine, Settings};
use tombolo_store_sqlite::{Options, SqliteStore};

use crate::api::Api;
use crate::auth::{AuthError, Gate, Keys, unused};
use crate::config::{Config, Database, SchemaSource, Synchronous};
use crate::listener::{self, Places, Spoken};
use crate::mqtt;
use crate::rates::Rates;
use crate::resolver::{Resolver, ResolverError};
use crate::routes::{self, App};
use crate::tls::{Certificate, TlsError};
use crate::upkeep;
use crate::writer::Writer;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The schema's file.
    #[error("{}: {source}; give the file's path", .path.display())]
    SchemaFile {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The schema's content.
    #[error(transparent)]
    Schema(#[from] SchemaErrors),
    /// The address is taken.
    #[error("{0} is in use by another program: stop that one, or listen elsewhere (port 0 lets the system choose)")]
    InUse(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {listen}: {source}; an address looks like 127.0.0.1:4000 or [::]:4000")]
    Listen {
        /// The address.
        listen: String,
        /// Why.
        source: std::io::Error,
    },
    /// The database.
    #[error("{database}: {reason}")]
    Database {
        /// Which.
        database: String,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The conflict resolver.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// Who may call.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The example data.
    #[error("the example data cannot be loaded: {0}")]
    Data(String),
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was accepted is finished.
    InOrder,
    /// The timeout came first.
    TimedOut,
}

/// Starts servers.
#[derive(Clone, Copy, Debug)]
pub struct Server;

/// A server at work. Dropping it stops nothing: call [`Running::shutdown`].
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where it listens for MQTT: plain, then over TLS, as far as these are configured.
    pub mqtt: Vec<SocketAddr>,
    secure: bool,
    app: Arc<App>,
    accepting: Vec<JoinHandle<()>>,
    writing: JoinHandle<()>,
    /// Writes down the sessions of MQTT devices.
    keeping: JoinHandle<()>,
}

impl Server {
    /// Starts a server; it serves when this returns.
    ///
    /// # Errors
    /// What is wrong with the schema, the address or the database, and what to do about it.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        Self::start_with(config, async |_| Ok(())).await
    }

    /// As [`Server::start`], but does `before` between opening the store and becoming ready; requests are answered with
    /// 503 meanwhile.
    ///
    /// # Errors
    /// As [`Server::start`], and those of `before`.
    pub async fn start_with(
        config: Config,
        before: impl AsyncFnOnce(&Api) -> Result<(), StartError>,
    ) -> Result<Running, StartError> {
        let schema = Arc::new(read_schema(&config.schema)?);
        for warning in &schema.warnings {
            tracing::warn!("{warning}");
        }
        warn_of_unused(&schema, &config);
        let resolver = Resolver::new(&config.resolver, &schema)?;
        let gate = Gate::open(Keys::new(config.api_keys.clone()), &config.auth)?;
        let certificate = match &config.tls {
            Some(files) => Some(Arc::new(Certificate::open(files.clone())?)),
            None => None,
        };
        let (listening, addr) = bind(&config.listen).await?;
        let (mut mqtt, mut mqtt_addrs) = (Vec::new(), Vec::new());
        for (listen, secured) in [(&config.mqtt.listen, false), (&config.mqtt.tls_listen, true)] {
            if let Some(listen) = listen {
                let (listening, addr) = bind(listen).await?;
                mqtt.push((listening, secured));
                mqtt_addrs.push(addr);
            }
        }

        let app = Arc::new(App::new(gate, config.limits.clone(), Rates::new(&config.guards)));
        let secure = certificate.is_some();
        if let Some(certificate) = &certificate {
            app.life.tasks.spawn(Arc::clone(certificate).watch(app.life.clone()));
        }
        let places = Places::new(app.limits.connections_max);
        let accept = |listening, spoken, certificate| {
            tokio::spawn(listener::accept(
                listening,
                spoken,
                Arc::clone(&app),
                certificate,
                places.clone(),
            ))
        };
        let http = Spoken::Http(routes::router(Arc::clone(&app), &config.guards));
        let mut accepting = vec![accept(listening, http, certificate.clone())];
        for (listening, secured) in mqtt {
            accepting.push(accept(listening, Spoken::Mqtt, certificate.clone().filter(|_| secured)));
        }
        let opened = async {
            let store = open(&config, &schema).await?;
            let settings = Settings {
                batch_max: config.limits.batch_max,
                default_auth: config.default_auth,
                query: config.guards.query_limits(),
                ..Settings::default()
            };
            let engine = Arc::new(Engine::new(Arc::clone(&schema), store, settings));
            let (writer, writing) = Writer::start(Arc::clone(&engine), &config.limits);
            let keeping = Arc::clone(&app.sessions).run(Arc::clone(&engine), app.limits.connections_max);
            let upkeep = upkeep::run(Arc::clone(&engine), config.retention.retention(), app.life.clone());
            let api = app.open(Api::new(engine, writer).with_resolver(resolver));
            match before(api).await {
                Ok(()) => {
                    app.life.tasks.spawn(upkeep);
                    if let Some(broker) = config.mqtt.broker.clone() {
                        app.life.tasks.spawn(mqtt::broker::run(Arc::clone(&app), broker));
                    }
                    Ok((writing, tokio::spawn(keeping)))
                }
                Err(error) => {
                    api.writer().close();
                    Err(error)
                }
            }
        };
        match opened.await {
            Ok((writing, keeping)) => {
                app.life.ready();
                for addr in &mqtt_addrs {
                    tracing::info!(%addr, "listening for MQTT");
                }
                tracing::info!(%addr, tls = secure, database = %config.database, models = schema.models.len(), "listening");
                Ok(Running {
                    addr,
                    mqtt: mqtt_addrs,
                    secure,
                    app,
                    accepting,
                    writing,
                    keeping,
                })
            }
            Err(error) => {
                app.life.end();
                accepting.iter().for_each(JoinHandle::abort);
                // The port is free again when the caller learns of the error.
                for accepting in accepting {
                    let _aborted = accepting.await;
                }
                Err(error)
            }
        }
    }
}

/// Rules for callers that nobody can be, and permissions for what is not there.
fn warn_of_unused(schema: &Schema, config: &Config) {
    let mut open = config.auth.modes().unwrap_or_default();
    if !config.api_keys.is_empty() {
        open.insert(AuthMode::ApiKey);
    }
    for (mode, models) in unused::closed_modes(schema, &open) {
        let models = models.join(", ");
        tracing::warn!(
            mode,
            models,
            "rules of the schema are for a mode that nobody can call by; docs/config.md says how to open it"
        );
    }
    for entry in unused::unknown_fields(schema, &config.auth.iam) {
        tracing::warn!(entry, "an IAM user may call what the API does not have");
    }
}

impl Running {
    /// The URL for GraphQL over HTTP.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}/graphql", reachable(self.addr))
    }

    /// The URL for GraphQL over WebSocket.
    #[must_use]
    pub fn ws_url(&self) -> String {
        let scheme = if self.secure { "wss" } else { "ws" };
        format!("{scheme}://{}/graphql", reachable(self.addr))
    }

    /// The schema; `None` never happens while the server runs.
    #[must_use]
    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.app.opened().map(Api::schema)
    }

    /// The API without its listeners.
    #[must_use]
    pub fn api(&self) -> Option<&Api> {
        self.app.opened()
    }

    /// Ends in good order: see [`crate::shutdown`].
    pub async fn shutdown(self) -> Ended {
        let Self {
            app,
            accepting,
            writing,
            keeping,
            ..
        } = self;
        app.life.end();
        let timeout = Duration::from_millis(app.limits.shutdown_timeout_ms);
        let in_order = async {
            // An accept loop or a writer that has panicked has nothing left to finish.
            for accepting in accepting {
                let _ended = accepting.await;
            }
            app.life.tasks.wait().await;
            // What the last connections left.
            app.sessions.end();
            let _ended = keeping.await;
            if let Some(api) = app.opened() {
                api.writer().close();
            }
            let _ended = writing.await;
        };
        if tokio::time::timeout(timeout, in_order).await.is_ok() {
            tracing::info!("ended; all that was accepted is finished");
            Ended::InOrder
        } else {
            let left = app.life.tasks.len();
            tracing::warn!(
                connections = left,
                timeout_ms = timeout.as_millis(),
                "ended before all was finished"
            );
            Ended::TimedOut
        }
    }
}

/// The address under which a server that listens everywhere is reached from here.
fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), addr.port()),
        IpAddr::V4(_) | IpAddr::V6(_) => addr,
    }
}

pub(crate) fn read_schema(source: &SchemaSource) -> Result<Schema, StartError> {
    match source {
        SchemaSource::Text { name, text } => Ok(Schema::parse(text, name)?),
        SchemaSource::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|source| StartError::SchemaFile {
                path: path.clone(),
                source,
            })?;
            Ok(Schema::parse(&text, &path.display().to_string())?)
        }
    }
}

/// A port, and its address.
async fn bind(listen: &str) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listening = TcpListener::bind(listen).await?;
        let addr = listening.local_addr()?;
        Ok((listening, addr))
    };
    bound.await.map_err(|source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::InUse(listen.to_owned()),
        _ => StartError::Listen {
            listen: listen.to_owned(),
            source,
        },
    })
}

/// Opens the store; the database library blocks, so on a thread of its own.
pub(crate) async fn open(config: &Config, schema: &Arc<Schema>) -> Result<SqliteStore, StartError> {
    let database = config.database.clone();
    let (name, schema) = (database.to_string(), Arc::clone(schema));
    let synchronous = match config.synchronous {
        Synchronous::Full => tombolo_store_sqlite::Synchronous::Full,
        Synchronous::Normal => tombolo_store_sqlite::Synchronous::Normal,
    };
    let options = Options {
        synchronous,
        allow_breaking: config.allow_breaking.iter().cloned().collect(),
        ..Options::default()
    };
    let opened = tokio::task::spawn_blocking(move || match database {
        Database::Memory => SqliteStore::open_in_memory(schema, &options),
        Database::File(path) => SqliteStore::open(path, schema, &options),
    });
    let failed = |reason: String| StartError::Database {
        database: name.clone(),
        reason,
    };
    match opened.await {
        Ok(Ok(store)) => Ok(store),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(panicked) => Err(failed(panicked.to_string())),
    }
}
