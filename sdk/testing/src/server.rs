//! A server in the test's own process.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tombolo_core::schema::{Schema, SchemaErrors};
use tombolo_core::wire::graphql::{GraphqlError, Request};
use tombolo_transport::{BoxFuture, CloseReason, Credential, Link, Transport};

use crate::backend::{Backend, Reply};
use crate::link::TestLink;
use crate::resolver::Resolver;
use crate::{Conflict, Network, Resolution};

/// Why a test's server or simulation could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The schema is wrong: every error with its place and its mend.
    #[error("{0}")]
    Schema(#[from] SchemaErrors),
    /// The database in memory could not be made.
    #[error("the test's database could not be made: {0}")]
    Store(String),
    /// The schema leaves conflicts to a resolver and there is none: a server in the world would not start either.
    #[error(
        "{places} asks for a conflict resolver (CUSTOM) and the test gives none: start with \
         `Server::start_with_resolver`, or give the simulator one with `resolver`"
    )]
    Resolver {
        /// `Note`, or `Note.body`, with commas between.
        places: String,
    },
}

/// A real server without listeners: the engine over a database in memory. Clones are the same server; it is gone with the
/// last of them and of their phones.
///
/// ```
/// use serde_json::json;
/// use tombolo_testing::Server;
///
/// let server = Server::start("type Note @model { id: ID! text: String! }")?;
/// server.ask("mutation { createNote(input: { id: \"n1\", text: \"wet\" }) { id } }", json!({}))?;
/// let data = server.ask("{ getNote(id: \"n1\") { text _version } }", json!({}))?;
/// assert_eq!(data, json!({ "getNote": { "text": "wet", "_version": 1 } }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Server {
    backend: Arc<Backend>,
    networks: Arc<Mutex<BTreeMap<String, Network>>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

/// An answer with errors.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.first().map_or("the server answered with an error", |error| error.message.as_str()))]
pub struct Refused(pub Vec<GraphqlError>);

impl Server {
    /// Starts a server for `sdl`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(sdl: &str) -> Result<Self, StartError> {
        Self::begin(sdl, Resolver::default())
    }

    /// The same for a schema that leaves conflicts to a resolver: `resolve` is asked where the server in the world calls
    /// the endpoint of its configuration. What it answers is checked as an endpoint's answer is: an item that the schema
    /// does not take rejects the mutation.
    ///
    /// ```
    /// use serde_json::json;
    /// use tombolo_testing::{Resolution, Server};
    ///
    /// let schema = "type Note @model(conflict: CUSTOM) { id: ID! text: String! }";
    /// let server = Server::start_with_resolver(schema, |conflict| {
    ///     let text = format!("{} and {}", conflict.server["text"], conflict.incoming["text"]).replace('"', "");
    ///     Resolution::Resolve(json!({ "text": text }))
    /// })?;
    /// server.ask("mutation { createNote(input: { id: \"n1\", text: \"dry\" }) { id } }", json!({}))?;
    /// for text in ["wet", "icy"] {
    ///     let update = "mutation($text: String!) { updateNote(input: { id: \"n1\", text: $text, _version: 1 }) { id } }";
    ///     server.ask(update, json!({ "text": text }))?;
    /// }
    /// let data = server.ask("{ getNote(id: \"n1\") { text _version } }", json!({}))?;
    /// assert_eq!(data, json!({ "getNote": { "text": "wet and icy", "_version": 3 } }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_with_resolver(
        sdl: &str,
        resolve: impl Fn(&Conflict) -> Resolution + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        Self::begin(sdl, Resolver::new(resolve))
    }

    fn begin(sdl: &str, resolver: Resolver) -> Result<Self, StartError> {
        let schema = Arc::new(Schema::parse(sdl, "schema.graphql")?);
        Ok(Self {
            backend: Arc::new(Backend::start(&schema, resolver)?),
            networks: Arc::default(),
        })
    }

    /// The way to this server for the phone called `name`, for `Client::builder().transport(…)`. Each name has a network
    /// of its own, see [`Server::network`].
    #[must_use]
    pub fn phone(&self, name: &str) -> PhoneTransport {
        PhoneTransport {
            backend: Arc::clone(&self.backend),
            network: self.network(name),
        }
    }

    /// What happens to the messages of the phone called `name`.
    #[must_use]
    pub fn network(&self, name: &str) -> Network {
        let mut all = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned()).or_default().clone()
    }

    /// Carries out a query or a mutation as another client of the server would, and gives its `data`.
    ///
    /// # Errors
    /// Every error of the answer.
    pub fn ask(&self, text: &str, variables: Json) -> Result<Json, Refused> {
        ask(&self.backend, text, variables).map_err(Refused)
    }

    /// The next `count` mutations, whoever sends them, are not decided: the server is in trouble. A replica sends them
    /// again.
    pub fn fail_next(&self, count: u32) {
        self.backend.failing.store(count, Ordering::SeqCst);
    }

    /// Moves the server's clock on. By itself it gains a millisecond with each mutation.
    pub fn advance(&self, by: Duration) {
        self.backend.advance(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
    }
}

/// One request; its `data`, or every error.
pub(crate) fn ask(backend: &Backend, text: &str, variables: Json) -> Result<Json, Vec<GraphqlError>> {
    let unreadable = |what: &str| {
        vec![GraphqlError {
            message: what.to_owned(),
            ..GraphqlError::default()
        }]
    };
    let variables = match variables {
        Json::Null => Map::new(),
        Json::Object(map) => map,
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            return Err(unreadable("variables are a JSON object, from name to value"));
        }
    };
    let request = Request {
        query: text.to_owned(),
        variables: Some(variables),
        ..Request::default()
    };
    let response = match backend.ask(&request)? {
        Reply::Once { response, .. } => response,
        Reply::Stream(_) => return Err(unreadable("this is a subscription; a phone's client can watch")),
    };
    let mut answer: Map<String, Json> =
        serde_json::from_slice(&response).map_err(|error| unreadable(&error.to_string()))?;
    if let Some(errors) = answer.remove("errors") {
        return Err(serde_json::from_value(errors).unwrap_or_else(|error| unreadable(&error.to_string())));
    }
    Ok(answer.remove("data").unwrap_or(Json::Null))
}

/// One phone's way to a [`Server`].
#[derive(Clone)]
pub struct PhoneTransport {
    backend: Arc<Backend>,
    network: Network,
}

impl std::fmt::Debug for PhoneTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PhoneTransport({:?})", self.network)
    }
}

impl Transport for PhoneTransport {
    fn open<'a>(&'a self, _: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        let open = match self.network.closed() {
            Some(reason) => Err(reason),
            None => {
                let link = TestLink::new(Arc::clone(&self.backend), self.network.clone());
                Ok(Box::new(link) as Box<dyn Link>)
            }
        };
        Box::pin(std::future::ready(open))
    }

    fn request<'a>(&'a self, _: &'a Credential, request: Request) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        Box::pin(async move {
            if let Some(reason) = self.network.closed() {
                return Err(reason);
            }
            tokio::time::sleep(self.network.delay()).await;
            let lost = || CloseReason::Unreachable {
                detail: "the test lost the answer".into(),
            };
            match self.backend.ask(&request) {
                Ok(Reply::Once { mutation: true, .. }) if self.network.loses_answer() => Err(lost()),
                Ok(Reply::Once { response, .. }) => Ok(response),
                Ok(Reply::Stream(_)) => Err(CloseReason::Protocol {
                    detail: "a subscription needs a link".into(),
                }),
                Err(errors) => {
                    serde_json::to_vec(&serde_json::json!({ "data": null, "errors": errors })).map_err(|error| {
                        CloseReason::Protocol {
                            detail: error.to_string().into(),
                        }
                    })
                }
            }
        })
    }
}
