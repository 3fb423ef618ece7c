//! What a client is opened with: [`tombolo::Builder`] as a record.

use std::time::Duration;

use tombolo::transport::{Endpoint, Network};
use tombolo::{Builder, Scope};

use crate::{Credential, TomboloError, convert};

/// What a client is opened with. Only `schema` and `path` are required.
#[derive(Clone, uniffi::Record)]
pub struct ClientConfig {
    /// The schema as SDL text: [`tombolo::Builder::schema`].
    pub schema: String,
    /// The database file, made if it is not there: [`tombolo::Builder::path`]. The folder must exist.
    pub path: String,
    /// The server's GraphQL address, `http(s)://host/graphql`: [`tombolo::Builder::url`]. Without one, and without
    /// `transports`, the client stays offline.
    #[uniffi(default = None)]
    pub url: Option<String>,
    /// Further ways to the same server, tried in their order where those before are blocked:
    /// [`tombolo::Builder::fallback`].
    #[uniffi(default = [])]
    pub transports: Vec<Transport>,
    /// What to present to the server at first. Later: [`crate::Client::set_credential`], or a
    /// [`crate::CredentialProvider`].
    #[uniffi(default = None)]
    pub credential: Option<Credential>,
    /// Whose file this is: [`tombolo::Builder::account`].
    #[uniffi(default = None)]
    pub account: Option<String>,
    /// Who makes the mutations: [`tombolo::Builder::author`]. Default: the account.
    #[uniffi(default = None)]
    pub author: Option<String>,
    /// Opens without a link: [`tombolo::Builder::offline`].
    #[uniffi(default = false)]
    pub offline: bool,
    /// Which records a new file holds: [`tombolo::Builder::scopes`]. Default: every model, whole.
    #[uniffi(default = None)]
    pub scopes: Option<Vec<ScopeConfig>>,
    /// Whether a mutation survives a power cut when its call returns. Default: it does.
    #[uniffi(default = None)]
    pub durability: Option<Durability>,
    /// A file of Amplify DataStore to take over: [`tombolo::Builder::import_datastore`].
    #[uniffi(default = None)]
    pub import_datastore: Option<String>,
    /// Whether that file is removed once all of it is settled: [`tombolo::Builder::remove_datastore_when_settled`].
    #[uniffi(default = false)]
    pub remove_datastore_when_settled: bool,
}

/// A way to the server.
#[derive(Clone, uniffi::Enum)]
pub enum Transport {
    /// GraphQL over a WebSocket and HTTP.
    Network {
        /// `http(s)://host/graphql`.
        url: String,
    },
    /// The same over MQTT: `tombolo::transport::mqtt::Mqtt`. [`TomboloError::Incomplete`] in a library that was built without
    /// it.
    Mqtt {
        /// `mqtt://host`, `mqtts://host`, `ws://host/mqtt` or `wss://host/mqtt`.
        url: String,
    },
}

/// The records of a model to be held.
#[derive(Clone, PartialEq, Eq, Debug, uniffi::Record)]
pub struct ScopeConfig {
    /// The model's name.
    pub model: String,
    /// The JSON of its filter input; `None` for all of them.
    #[uniffi(default = None)]
    pub filter: Option<String>,
}

/// Whether what was called survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Durability {
    /// It does.
    Full,
    /// It may be lost with the power if it was made in the last moments; it survives a kill of the process. Faster on slow
    /// flash.
    Normal,
}

impl ClientConfig {
    pub(crate) fn builder(self) -> Result<Builder, TomboloError> {
        let mut builder = tombolo::Client::builder()
            .schema(self.schema)
            .path(self.path)
            .offline(self.offline)
            .remove_datastore_when_settled(self.remove_datastore_when_settled);
        if let Some(path) = self.import_datastore {
            builder = builder.import_datastore(path);
        }
        if let Some(url) = self.url {
            builder = builder.url(url);
        }
        for transport in self.transports {
            builder = match transport {
                Transport::Network { url } => {
                    builder.fallback(Network::new(Endpoint::parse(&url).map_err(tombolo::Error::from)?))
                }
                Transport::Mqtt { url } => builder.fallback(mqtt(&url)?),
            };
        }
        builder = match self.credential {
            Some(Credential::ApiKey { key }) => builder.api_key(key),
            Some(Credential::Token { token }) => builder.token(token),
            None => builder,
        };
        if let Some(account) = self.account {
            builder = builder.account(account);
        }
        if let Some(author) = self.author {
            builder = builder.author(author);
        }
        if let Some(scopes) = self.scopes {
            builder = builder.scopes(
                scopes
                    .into_iter()
                    .map(ScopeConfig::scope)
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        if let Some(durability) = self.durability {
            builder = builder.durability(match durability {
                Durability::Full => tombolo::Durability::Full,
                Durability::Normal => tombolo::Durability::Normal,
            });
        }
        Ok(builder)
    }
}

impl ScopeConfig {
    fn scope(self) -> Result<Scope, TomboloError> {
        Ok(Scope {
            filter: convert::optional_json("filter", self.filter.as_deref())?,
            model: self.model,
        })
    }
}

/// The way over MQTT.
#[cfg(feature = "mqtt")]
pub(crate) fn mqtt(url: &str) -> Result<tombolo::transport::mqtt::Mqtt, TomboloError> {
    Ok(tombolo::transport::mqtt::Mqtt::new(url).map_err(tombolo::Error::from)?)
}

/// The same where the library has none.
#[cfg(not(feature = "mqtt"))]
pub(crate) fn mqtt(_: &str) -> Result<Network, TomboloError> {
    Err(TomboloError::Incomplete {
        detail: "this library was built without MQTT: name a WebSocket's address, or build it with the feature `mqtt`"
            .to_owned(),
    })
}

/// Milliseconds as they come in.
pub(crate) fn milliseconds(given: u64) -> Duration {
    Duration::from_millis(given)
}
