//! The conflict resolver: somebody else's HTTP endpoint, asked about conflicts of models and fields that are `CUSTOM`.
//!
//! Asked outside every transaction. A call has a time limit, and is tried again with a pause between when nothing, or a
//! failure of the endpoint itself, came back. An answer stands for the version of the record that was shown: if the record
//! moves on meanwhile, the resolver is asked again, a bounded number of times. Without an answer nothing is decided: the
//! replica sends its mutation again later, and its other mutations go on. How a request with many questions comes to its end
//! stands in `resolving`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tombolo_core::schema::{ConflictStrategy, MergeRule, Schema};

use crate::outbound::{Fetcher, NotFetched, Secret, read_header, web_url};
use crate::resolving::KeptAnswers;

/// Longest wait for one answer, in milliseconds: a resolver looks at three small objects, and a person may be waiting.
pub const RESOLVER_TIMEOUT_MS: u64 = 5_000;

/// Most calls for one question: a restart behind a load balancer costs one or two.
pub const RESOLVER_TRIES: u32 = 3;

/// Pause before the second call; before the third four times as long.
pub const RESOLVER_PAUSE: Duration = Duration::from_millis(200);

/// Most times that a resolver is asked about one mutation because the record has moved on. A record that is written more
/// often than a resolver answers is settled at a calmer moment.
pub const RESOLVER_ROUNDS_MAX: u32 = 3;

/// Longest time for all calls about one request. Below the 30 s after which a replica takes a link that owes it an answer
/// for dead.
pub const RESOLVING_MAX: Duration = Duration::from_secs(20);

/// Most calls at once to one address; further questions wait. A resolver is a small program, and one that hangs must not
/// hold up the others.
pub const RESOLVER_CALLS_MAX: usize = 64;

/// Most questions about one request that are asked at once: a transaction of thirty conflicts takes two turns, and one
/// of a thousand leaves room in [`RESOLVER_CALLS_MAX`] for others.
pub const RESOLVER_PARALLEL_MAX: usize = 16;

/// Most bytes of answers that are kept for requests which were not decided and come again, some 200 bytes of book-keeping for
/// each counted in; the oldest go first and are asked for once more. 16 MiB: a thousand answers of 16 KiB.
pub const RESOLVER_KEPT_BYTES_MAX: usize = 16 << 20;

/// Most undecided requests of which is kept how far they had come; those that ended longest ago go first, and would be taken
/// to come further once more. A few hundred bytes each, and each has waited for a resolver for up to [`RESOLVING_MAX`].
pub const RESOLVER_REACHED_MAX: usize = 4_096;

/// Longest answer, in bytes: twice the largest record.
pub const RESOLVER_ANSWER_BYTES_MAX: usize = 2 * tombolo_core::limits::RECORD_BYTES_MAX;

/// Where resolvers are: one for all models, others for some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverConfig {
    /// An `http://` or `https://` URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// [`RESOLVER_TIMEOUT_MS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// A header to send, `Name: value`: a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Secret>,
    /// For single models; what is left out is as above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelResolverConfig>,
}

/// One model's resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelResolverConfig {
    /// As [`ResolverConfig::url`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// As [`ResolverConfig::timeout_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// As [`ResolverConfig::header`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Secret>,
}

impl ResolverConfig {
    /// One resolver for every model.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: Some(url.into()),
            ..Self::default()
        }
    }
}

/// A configuration that cannot be used with the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolverError {
    /// The schema asks for a resolver and there is none.
    #[error(
        "{places} asks for a conflict resolver (CUSTOM) and none is configured: add [resolver] with a url to the \
         configuration, or start with --resolver URL; or choose another rule in the schema"
    )]
    Missing {
        /// `Note`, or `Note.body`, with commas between.
        places: String,
    },
    /// A model that is not in the schema.
    #[error("resolver.models.{0}: the schema has no such model")]
    UnknownModel(String),
    /// No URL that can be called.
    #[error("resolver url {url:?}: {problem}; it looks like http://127.0.0.1:9000/resolve")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// No time at all, or more than a replica would wait.
    #[error("resolver timeout_ms {given}: give 1 to {most}")]
    Timeout {
        /// What was given.
        given: u64,
        /// The most.
        most: u128,
    },
    /// No header.
    #[error("resolver header: it is written \"Name: value\"")]
    Header,
    /// No HTTP client.
    #[error("no HTTP client for the resolver: {0}")]
    Client(String),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// There is none for the model.
    #[error("no conflict resolver is configured for {0}")]
    Nobody(String),
    /// The call failed, or it answered that it failed, or that it will not be asked by us, or without an end.
    #[error("the conflict resolver: {0}")]
    Fetch(#[from] NotFetched),
    /// No more time.
    #[error("the conflict resolver took longer than {} s in all", RESOLVING_MAX.as_secs())]
    Late,
    /// The record moves on faster than it is resolved.
    #[error("the record changed {RESOLVER_ROUNDS_MAX} times while the conflict resolver was asked")]
    Restless,
}

impl NoAnswer {
    /// Whether the next call may do better at once.
    fn may_pass(&self) -> bool {
        match self {
            Self::Fetch(NotFetched::Unreachable(_)) => true,
            Self::Fetch(NotFetched::Status(status)) => *status >= 500 || *status == 429 || *status == 408,
            Self::Fetch(NotFetched::TooLong(_)) | Self::Nobody(_) | Self::Late | Self::Restless => false,
        }
    }
}

/// Asks resolvers.
#[derive(Debug)]
pub struct Resolver {
    fetcher: Fetcher,
    endpoints: BTreeMap<String, Endpoint>,
    /// By address.
    calls: BTreeMap<String, Semaphore>,
    /// To questions about requests that are not decided yet.
    pub(crate) kept: Mutex<KeptAnswers>,
}

#[derive(Clone, Debug)]
struct Endpoint {
    url: Url,
    timeout: Duration,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Resolver {
    /// The resolvers of `config` for `schema`; `None` if the schema never asks for one.
    ///
    /// # Errors
    /// The schema asks for one that is not configured, or what is configured cannot be used.
    pub fn new(config: &ResolverConfig, schema: &Schema) -> Result<Option<Self>, ResolverError> {
        if let Some(unknown) = config.models.keys().find(|name| schema.model_named(name).is_none()) {
            return Err(ResolverError::UnknownModel(unknown.clone()));
        }
        // What is wrong is told also while the schema does not ask yet.
        let mut endpoints = BTreeMap::new();
        let mut missing = BTreeSet::new();
        let asking = asking(schema);
        for model in &schema.models {
            match endpoint(config, &model.name)? {
                Some(endpoint) => {
                    endpoints.insert(model.name.clone(), endpoint);
                }
                None => missing.extend(asking.get(&model.name).into_iter().flatten().cloned()),
            }
        }
        if !missing.is_empty() {
            let places = missing.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ResolverError::Missing { places });
        }
        endpoints.retain(|name, _| asking.contains_key(name));
        if endpoints.is_empty() {
            return Ok(None);
        }
        let https = endpoints.values().any(|endpoint| endpoint.url.scheme() == "https");
        let slots = |endpoint: &Endpoint| (endpoint.url.to_string(), Semaphore::new(RESOLVER_CALLS_MAX));
        let calls = endpoints.values().map(slots).collect();
        Ok(Some(Self {
            fetcher: Fetcher::new(https).map_err(ResolverError::Client)?,
            endpoints,
            calls,
            kept: Mutex::new(KeptAnswers::new(RESOLVER_KEPT_BYTES_MAX)),
        }))
    }

    /// Asks the resolver of `model`: the bytes of its answer, whatever they say.
    ///
    /// # Errors
    /// There is none, after all tries.
    pub async fn ask(&self, model: &str, question: &serde_json::Value) -> Result<Vec<u8>, NoAnswer> {
        let Some(endpoint) = self.endpoints.get(model) else {
            return Err(NoAnswer::Nobody(model.to_owned()));
        };
        let body = question.to_string();
        let mut pause = RESOLVER_PAUSE;
        let mut left = RESOLVER_TRIES;
        loop {
            left -= 1;
            let slot = match self.calls.get(endpoint.url.as_str()) {
                Some(slots) => slots.acquire().await.ok(),
                None => None,
            };
            let answer = self.call(endpoint, body.clone()).await;
            drop(slot);
            match answer {
                Err(error) if left > 0 && error.may_pass() => {
                    tracing::debug!(model, %error, "asking the conflict resolver again");
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
                answer => return answer,
            }
        }
    }

    async fn call(&self, endpoint: &Endpoint, body: String) -> Result<Vec<u8>, NoAnswer> {
        let Endpoint { url, timeout, header } = endpoint;
        let fetched = self
            .fetcher
            .post(url, header.as_ref(), body, *timeout, RESOLVER_ANSWER_BYTES_MAX);
        Ok(fetched.await?)
    }
}

/// The models that ask for a resolver, each with what asks: the model's or a field's name.
fn asking(schema: &Schema) -> BTreeMap<String, Vec<String>> {
    let mut asking: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for model in &schema.models {
        let custom = |field: &&tombolo_core::schema::Field| field.merge == Some(MergeRule::Custom);
        let fields = model
            .fields
            .iter()
            .filter(custom)
            .map(|field| format!("{}.{}", model.name, field.name));
        let whole = (model.conflict == ConflictStrategy::Custom).then(|| model.name.clone());
        let places: Vec<String> = whole.into_iter().chain(fields).collect();
        if !places.is_empty() {
            asking.insert(model.name.clone(), places);
        }
    }
    asking
}

fn endpoint(config: &ResolverConfig, model: &str) -> Result<Option<Endpoint>, ResolverError> {
    let own = config.models.get(model);
    let url = own.and_then(|own| own.url.as_ref()).or(config.url.as_ref());
    let timeout = own.and_then(|own| own.timeout_ms).or(config.timeout_ms);
    let header = own.and_then(|own| own.header.as_ref()).or(config.header.as_ref());
    let Some(text) = url else { return Ok(None) };
    let bad = |problem: String| ResolverError::Url {
        url: text.clone(),
        problem,
    };
    let url = web_url(text).map_err(bad)?;
    let timeout = Duration::from_millis(timeout.unwrap_or(RESOLVER_TIMEOUT_MS));
    if timeout.is_zero() || timeout > RESOLVING_MAX {
        return Err(ResolverError::Timeout {
            given: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            most: RESOLVING_MAX.as_millis(),
        });
    }
    let header = match header {
        Some(Secret(text)) => Some(read_header(text).ok_or(ResolverError::Header)?),
        None => None,
    };
    Ok(Some(Endpoint { url, timeout, header }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUSTOM: &str = "type Note @model(conflict: CUSTOM) { id: ID! body: String }
                          type Count @model { id: ID! sum: Int @merge(rule: CUSTOM) }
                          type Plain @model { id: ID! }";

    fn new(config: &str, sdl: &str) -> Result<Option<Resolver>, ResolverError> {
        let schema = Schema::parse(sdl, "s.graphql").unwrap();
        Resolver::new(&toml::from_str(config).unwrap(), &schema)
    }

    #[test]
    fn a_schema_that_asks_is_refused_without_a_resolver() {
        let error = new("", CUSTOM).unwrap_err();
        assert!(
            matches!(&error, ResolverError::Missing { places } if places == "Count.sum, Note"),
            "{error}"
        );
        assert!(error.to_string().contains("--resolver URL"), "{error}");
        let error = new("models.Note.url = \"http://h/\"", CUSTOM).unwrap_err();
        assert!(error.to_string().starts_with("Count.sum asks"), "{error}");
        assert!(new("", "type Plain @model { id: ID! }").unwrap().is_none());
        assert!(
            new("url = \"http://h/\"", "type Plain @model { id: ID! }")
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_model_may_have_its_own() {
        let config = "url = \"http://all/\"\nheader = \"a: b\"\n[models.Note]\nurl = \"http://note/\"\ntimeout_ms = 7";
        let resolver = new(config, CUSTOM).unwrap().unwrap();
        let told = |model: &str| {
            let endpoint = &resolver.endpoints[model];
            (
                endpoint.url.as_str(),
                endpoint.timeout.as_millis(),
                endpoint.header.is_some(),
            )
        };
        assert_eq!(told("Note"), ("http://note/", 7, true));
        assert_eq!(told("Count"), ("http://all/", 5_000, true));
        assert!(!resolver.endpoints.contains_key("Plain"));
    }

    #[test]
    fn what_is_wrong_is_told_with_the_mend() {
        for (config, says) in [
            ("url = \"ftp://h/\"", "no http:// or https:// URL"),
            ("url = \"nothing\"", "looks like http://127.0.0.1:9000/resolve"),
            ("url = \"http://h/\"\ntimeout_ms = 0", "give 1 to 20000"),
            ("url = \"http://h/\"\ntimeout_ms = 20001", "give 1 to 20000"),
            ("url = \"http://h/\"\nheader = \"secret\"", "\"Name: value\""),
            ("models.Nope.url = \"http://h/\"", "resolver.models.Nope"),
        ] {
            let message = new(config, CUSTOM).unwrap_err().to_string();
            assert!(message.contains(says), "{config}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_header_is_never_printed() {
        let config: ResolverConfig = toml::from_str("header = \"Authorization: Bearer s3cret\"").unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
        assert!(!toml::to_string(&config).unwrap().contains("s3cret"));
    }
}
