//! The authorizer function: somebody else's HTTP endpoint that says who may call, as AppSync's Lambda authorizer does.
//!
//! It is asked with the token and the request, and answers whether the caller may come in, which fields it may not have, and what
//! rules and resolvers are to know of it. A yes is kept for a while by the token's digest; a no is not, since who is refused
//! now may be let in a moment later, and made-up tokens would push out good ones. When it cannot be asked nobody knows: the
//! caller is asked to come again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use regex::Regex;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tombolo_core::access::{FunctionCaller, Identity};
use tombolo_core::schema::is_name;
use tombolo_core::wire::graphql::Request;

use super::cache::Cache;
use super::{Admitted, AuthError, Refusal, Target};
use crate::asked;
use crate::outbound::{Fetcher, NotFetched, Secret, read_header, web_url};

/// Longest wait for one answer, in milliseconds, a free slot included: it stands before every request that is not in the cache.
pub const AUTHORIZER_TIMEOUT_MS: u64 = 5_000;

/// The longest wait that may be configured, in milliseconds: AppSync's own.
pub const AUTHORIZER_TIMEOUT_MS_MAX: u64 = 10_000;

/// How long a yes is kept, in seconds: AppSync's default.
pub const AUTHORIZER_TTL_S: u64 = 300;

/// The longest that a yes may be kept, in seconds: AppSync's bound, for the answer's `ttlOverride` too.
pub const AUTHORIZER_TTL_S_MAX: u64 = 3_600;

/// Most answers kept. With [`AUTHORIZER_ANSWER_BYTES_MAX`] this is 64 MiB at the worst, 2 MiB as answers usually are.
pub const AUTHORIZER_CACHE_MAX: usize = 4_096;

/// Longest answer, in bytes: a few claims and denied fields.
pub const AUTHORIZER_ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Most calls at once; further callers wait for a slot.
pub const AUTHORIZER_CALLS_MAX: usize = 64;

/// Longest token that is passed on, in bytes: twice what proxies take as one header, so that none that can arrive is refused.
pub const AUTHORIZER_TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The authorizer function as the configuration has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizerConfig {
    /// An `http://` or `https://` URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// [`AUTHORIZER_TIMEOUT_MS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// [`AUTHORIZER_TTL_S`]; 0 keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// A header to send, `Name: value`: a credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Secret>,
    /// A regular expression that a token must match before the function is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_regex: Option<String>,
}

impl AuthorizerConfig {
    /// One at this URL.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: Some(url.into()),
            ..Self::default()
        }
    }
}

/// Asks the function.
#[derive(Debug)]
pub(crate) struct Authorizer {
    url: Url,
    header: Option<(HeaderName, HeaderValue)>,
    timeout: Duration,
    ttl: Duration,
    token_regex: Option<Regex>,
    calls: Semaphore,
    kept: Mutex<Cache<Arc<FunctionCaller>>>,
}

/// The function's answer, as AppSync has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    is_authorized: bool,
    resolver_context: Option<Map<String, Json>>,
    denied_fields: Option<Vec<String>>,
    ttl_override: Option<u64>,
}

/// Why nobody knows.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("it took longer than {} ms", .0.as_millis())]
    Late(Duration),
    #[error(transparent)]
    Fetch(#[from] NotFetched),
    #[error("its answer is not of the form {{isAuthorized, resolverContext, deniedFields, ttlOverride}}")]
    Form,
    #[error("it denies {0:?}, which names no field as Type.field or as an ARN")]
    Denied(String),
}

impl Authorizer {
    /// The function of `config`, if there is one.
    pub(crate) fn new(config: &AuthorizerConfig) -> Result<Option<Self>, AuthError> {
        let wrong = |problem: String| AuthError::Authorizer(problem);
        let Some(text) = &config.url else {
            return match *config == AuthorizerConfig::default() {
                true => Ok(None),
                false => Err(wrong("it has no url".to_owned())),
            };
        };
        let url = web_url(text).map_err(|problem| wrong(format!("url {text:?}: {problem}")))?;
        let timeout_ms = config.timeout_ms.unwrap_or(AUTHORIZER_TIMEOUT_MS);
        if timeout_ms == 0 || timeout_ms > AUTHORIZER_TIMEOUT_MS_MAX {
            return Err(wrong(format!(
                "timeout_ms {timeout_ms}: give 1 to {AUTHORIZER_TIMEOUT_MS_MAX}"
            )));
        }
        let ttl_s = config.ttl_s.unwrap_or(AUTHORIZER_TTL_S);
        if ttl_s > AUTHORIZER_TTL_S_MAX {
            return Err(wrong(format!("ttl_s {ttl_s}: give 0 to {AUTHORIZER_TTL_S_MAX}")));
        }
        let header = match &config.header {
            Some(Secret(text)) => {
                Some(read_header(text).ok_or_else(|| wrong("header: it is written \"Name: value\"".to_owned()))?)
            }
            None => None,
        };
        let token_regex = match &config.token_regex {
            Some(text) => Some(Regex::new(text).map_err(|error| wrong(format!("token_regex: {error}")))?),
            None => None,
        };
        Ok(Some(Self {
            url,
            header,
            timeout: Duration::from_millis(timeout_ms),
            ttl: Duration::from_secs(ttl_s),
            token_regex,
            calls: Semaphore::new(AUTHORIZER_CALLS_MAX),
            kept: Mutex::new(Cache::new(AUTHORIZER_CACHE_MAX)),
        }))
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Who shows `token` with a request to `target`, at `now`.
    pub(crate) async fn identify(
        &self,
        token: &str,
        target: Option<&Target>,
        fetcher: &Fetcher,
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        let fits = self.token_regex.as_ref().is_none_or(|regex| regex.is_match(token));
        if token.is_empty() || token.len() > AUTHORIZER_TOKEN_BYTES_MAX || !fits {
            return Err(Refusal::Unknown);
        }
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(caller) = self.known(&digest, now) {
            return Ok(admitted(caller));
        }
        let asked = async {
            // It is never closed.
            let slot = self.calls.acquire().await;
            // Whoever waited for the slot may have waited for the answer to the same token.
            if let Some(caller) = self.known(&digest, now) {
                return Ok(Some(caller));
            }
            let body = question(token, target).to_string();
            let bytes = fetcher
                .post(
                    &self.url,
                    self.header.as_ref(),
                    body,
                    self.timeout,
                    AUTHORIZER_ANSWER_BYTES_MAX,
                )
                .await?;
            drop(slot);
            self.read(&bytes, &digest, now)
        };
        let answer = match tokio::time::timeout(self.timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(NoAnswer::Late(self.timeout)),
        };
        match answer {
            Ok(Some(caller)) => Ok(admitted(caller)),
            Ok(None) => Err(Refusal::Unknown),
            Err(error) => {
                tracing::warn!(%error, "the authorizer function gave no answer");
                Err(Refusal::Unavailable)
            }
        }
    }

    fn known(&self, digest: &[u8; 32], now: Timestamp) -> Option<Arc<FunctionCaller>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(digest, now)
    }

    /// What an answer says of the token with this digest: who it is, or that it may not come in.
    fn read(&self, bytes: &[u8], digest: &[u8; 32], now: Timestamp) -> Result<Option<Arc<FunctionCaller>>, NoAnswer> {
        let answer: Answer = serde_json::from_slice(bytes).map_err(|_| NoAnswer::Form)?;
        if !answer.is_authorized {
            return Ok(None);
        }
        let denied = answer.denied_fields.unwrap_or_default().into_iter();
        let denied_fields: Result<BTreeSet<String>, NoAnswer> = denied
            .map(|text| denied_field(&text).ok_or(NoAnswer::Denied(text)))
            .collect();
        let context = answer.resolver_context.unwrap_or_default();
        let caller = Arc::new(FunctionCaller {
            subject: subject(&context, digest),
            denied_fields: denied_fields?,
            context,
        });
        let most = Duration::from_secs(AUTHORIZER_TTL_S_MAX);
        let ttl = answer.ttl_override.map_or(self.ttl, Duration::from_secs).min(most);
        if !ttl.is_zero() {
            let ends = now.checked_add(ttl).unwrap_or(Timestamp::MAX);
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.put(*digest, Arc::clone(&caller), now, ends);
        }
        Ok(Some(caller))
    }
}

fn admitted(caller: Arc<FunctionCaller>) -> Admitted {
    Admitted {
        identity: Identity::Function(caller),
        expires: None,
    }
}

/// What tells a caller from others: who the function says it is (`sub` of its context), so that a new token is not a new caller;
/// else a digest of the token.
fn subject(context: &Map<String, Json>, digest: &[u8; 32]) -> String {
    match context.get("sub").and_then(Json::as_str) {
        Some(sub) if !sub.is_empty() => format!("sub:{sub}"),
        Some(_) | None => {
            let (half, _) = digest.split_at(digest.len() / 2);
            format!("token:{}", HEXLOWER.encode(half))
        }
    }
}

/// What the function is asked.
fn question(token: &str, target: Option<&Target>) -> Json {
    // Whether it is a good request is seen later, and not the function's business.
    let asked = target.and_then(|target| match target.method.as_str() {
        "GET" => asked::by_query(&target.query).ok(),
        _ => serde_json::from_slice::<Request>(&target.body).ok(),
    });
    let (query, name, variables) = match asked {
        Some(asked) => (Some(asked.query), asked.operation_name, asked.variables),
        None => (None, None, None),
    };
    json!({
        "authorizationToken": token,
        "requestContext": {
            "queryString": query,
            "operationName": name,
            "variables": variables.unwrap_or_default(),
        },
    })
}

/// `Type.field`, also from `arn:aws:appsync:…:apis/ID/types/Type/fields/field`.
fn denied_field(text: &str) -> Option<String> {
    let (kind, field) = match text.split_once("/types/") {
        Some((_, rest)) => rest.split_once("/fields/")?,
        None => text.split_once('.')?,
    };
    (is_name(kind) && is_name(field)).then(|| format!("{kind}.{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_denied_in_both_forms() {
        for (text, field) in [
            ("Todo.title", Some("Todo.title")),
            ("Query.listTodos", Some("Query.listTodos")),
            (
                "arn:aws:appsync:eu-west-1:111122223333:apis/abc/types/Mutation/fields/createTodo",
                Some("Mutation.createTodo"),
            ),
            ("Todo", None),
            ("Todo.", None),
            (".title", None),
            ("Todo.title.x", None),
            ("Todo.*", None),
            ("arn:aws:appsync:eu-west-1:1:apis/abc/types/Todo", None),
            ("arn:aws:appsync:eu-west-1:1:apis/abc/types/Todo/fields/", None),
            ("", None),
        ] {
            assert_eq!(denied_field(text).as_deref(), field, "{text}");
        }
    }

    #[test]
    fn the_function_is_told_what_is_asked() {
        let target = |body: &str| Target {
            body: body.as_bytes().to_vec(),
            ..Target::default()
        };
        let told = question(
            "t",
            Some(&target(
                r#"{"query":"{ a }","operationName":"o","variables":{"x":1},"z":0}"#,
            )),
        );
        assert_eq!(
            told,
            json!({"authorizationToken": "t",
                   "requestContext": {"queryString": "{ a }", "operationName": "o", "variables": {"x": 1}}})
        );
        let by_get = Target {
            method: "GET".to_owned(),
            query: "query=%7B+a+%7D&operationName=o&variables=%7B%22x%22:1%7D".to_owned(),
            ..Target::default()
        };
        assert_eq!(question("t", Some(&by_get)), told);
        let context = json!({"queryString": null, "operationName": null, "variables": {}});
        assert_eq!(question("t", None)["requestContext"], context);
        for nothing in ["", "no JSON", "[]", r#"{"query":1}"#] {
            let told = question("t", Some(&target(nothing)));
            assert_eq!(told["requestContext"], context, "{nothing}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_before_the_start() {
        let at = AuthorizerConfig::at("http://127.0.0.1:9/");
        assert!(Authorizer::new(&AuthorizerConfig::default()).unwrap().is_none());
        for (config, says) in [
            (AuthorizerConfig::at("ftp://x/"), "no http:// or https:// URL"),
            (AuthorizerConfig::at("x"), "url \"x\""),
            (
                AuthorizerConfig {
                    ttl_s: Some(1),
                    ..AuthorizerConfig::default()
                },
                "it has no url",
            ),
            (
                AuthorizerConfig {
                    timeout_ms: Some(AUTHORIZER_TIMEOUT_MS_MAX + 1),
                    ..at.clone()
                },
                "timeout_ms 10001: give 1 to 10000",
            ),
            (
                AuthorizerConfig {
                    ttl_s: Some(AUTHORIZER_TTL_S_MAX + 1),
                    ..at.clone()
                },
                "ttl_s 3601: give 0 to 3600",
            ),
            (
                AuthorizerConfig {
                    header: Some(Secret("s3cret".into())),
                    ..at.clone()
                },
                "header: it is written",
            ),
            (
                AuthorizerConfig {
                    token_regex: Some("(".into()),
                    ..at.clone()
                },
                "token_regex: ",
            ),
        ] {
            let message = Authorizer::new(&config).err().map(|error| error.to_string());
            let message = message.unwrap_or_else(|| panic!("{config:?} is taken"));
            assert!(message.contains(says) && !message.contains("s3cret"), "{message}");
        }
    }
}
