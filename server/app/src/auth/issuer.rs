//! Issuers: whose tokens are believed, and where their keys come from.
//!
//! An issuer's keys are fetched when its first token comes, by way of its discovery document, and kept. They are fetched anew
//! when they are older than [`JWKS_TTL`], and when a token names a key that is not among them, at most every
//! [`JWKS_FETCH_INTERVAL`], since anybody can make up names of keys. What is fetched takes the place of what was kept, so that a
//! key which the issuer has withdrawn is gone. While an issuer cannot be reached its keys stay in use, up to [`JWKS_KEPT_MAX`];
//! after that, and when there never were any, nobody can tell whether a token is good: the caller is asked to come again, and
//! not told that the token is bad, upon which apps sign their users out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use regex::Regex;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;
use tombolo_core::access::{AuthMode, Identity, User};

use super::jwk::{self, Algorithm, BadKeys, Key};
use super::jwt::{Rules, Token};
use super::{Admitted, AuthError, CLOCK_LEEWAY, Refusal};
use crate::outbound::{Fetcher, NotFetched, web_url};

/// Most issuers of one server: AppSync's bound on providers of one API.
pub const ISSUERS_MAX: usize = 50;

/// Keys older than this are fetched anew when the next token comes: how long a key that was withdrawn is still believed.
pub const JWKS_TTL: Duration = Duration::from_secs(60 * 60);

/// Keys of an issuer that cannot be reached are used no longer than this: a night's outage passes unnoticed, and who holds a
/// stolen key cannot keep it in force for ever by cutting us off.
pub const JWKS_KEPT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Least time between two fetches from one issuer, failed ones counted in: tokens with made-up keys cost it six requests a
/// minute.
pub const JWKS_FETCH_INTERVAL: Duration = Duration::from_secs(10);

/// Longest wait for one answer of an issuer; a fetch is two.
pub const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest answer of an issuer, in bytes: a hundred keys with their certificates.
pub const ISSUER_ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Where a discovery document stands under an issuer's URL.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// What the URL of a Cognito user pool begins with.
const COGNITO: &str = "https://cognito-idp.";

/// An issuer as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Its URL, exactly as its tokens have it in `iss`.
    pub issuer: String,
    /// `AMAZON_COGNITO_USER_POOLS` or `OPENID_CONNECT`; without it told by the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// A regular expression for the whole of the client's id (`aud`, `azp` or `client_id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Where its keys are, if not where its discovery document says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Which algorithms are taken; without it all of [`Algorithm::ALL`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<Algorithm>>,
    /// Longest time since the token was made (`iat`), in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat_ttl_ms: Option<u64>,
    /// Longest time since the user signed in (`auth_time`), in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_ttl_ms: Option<u64>,
}

impl IssuerConfig {
    /// An issuer, for any client of it.
    pub fn at(issuer: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            mode: None,
            client_id: None,
            jwks_url: None,
            algorithms: None,
            iat_ttl_ms: None,
            auth_ttl_ms: None,
        }
    }

    /// Its mode.
    ///
    /// # Errors
    /// What is given is neither of the two.
    pub fn auth_mode(&self) -> Result<AuthMode, AuthError> {
        match self.mode.as_deref() {
            None if self.issuer.starts_with(COGNITO) => Ok(AuthMode::UserPools),
            None => Ok(AuthMode::Oidc),
            Some(name) => AuthMode::named(name)
                .filter(|mode| matches!(mode, AuthMode::UserPools | AuthMode::Oidc))
                .ok_or_else(|| self.wrong("mode is AMAZON_COGNITO_USER_POOLS or OPENID_CONNECT")),
        }
    }

    fn wrong(&self, problem: impl Into<String>) -> AuthError {
        AuthError::Issuer {
            issuer: self.issuer.clone(),
            problem: problem.into(),
        }
    }

    /// Where its keys are, or where it says so.
    fn source(&self) -> Result<Source, AuthError> {
        let web = |text: &str| web_url(text).map_err(|problem| self.wrong(format!("{text:?}: {problem}")));
        let issuer = web(&self.issuer)?;
        if let Some(text) = &self.jwks_url {
            return Ok(Source::Keys(web(text)?));
        }
        if issuer.scheme() == "http" && !is_this_machine(&issuer) {
            return Err(self.wrong(
                "its keys would come over http, where anybody on the way can put his own in their place; use https, or say \
                 where they are with jwks_url",
            ));
        }
        // RFC 8414 says before the path, OpenID Connect Discovery behind it; this is the latter.
        Ok(Source::Discovery(web(&format!(
            "{}{DISCOVERY}",
            self.issuer.trim_end_matches('/')
        ))?))
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[derive(Clone, Debug)]
enum Source {
    Keys(Url),
    Discovery(Url),
}

/// An issuer at work.
#[derive(Debug)]
pub(crate) struct Issuer {
    url: String,
    mode: AuthMode,
    algorithms: Vec<Algorithm>,
    rules: Rules,
    source: Source,
    held: Mutex<Held>,
    /// Whoever has it fetches.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    keys: Arc<[Key]>,
    /// The names of keys that were there until `keys` were fetched.
    withdrawn: Arc<[String]>,
    /// When `keys` were fetched; `None`: never.
    fetched: Option<Timestamp>,
    /// When a fetch was last begun.
    tried: Option<Timestamp>,
}

#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error("{0}")]
    Fetch(#[from] NotFetched),
    #[error("the discovery document is not JSON with issuer and jwks_uri")]
    Discovery,
    #[error("the discovery document is of {0:?}")]
    Another(String),
    #[error("the discovery document's jwks_uri cannot be used: {0:?}")]
    Url(String),
    #[error("the key set: {0}")]
    Keys(#[from] BadKeys),
}

/// What a discovery document says of use here.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    pub(crate) fn new(config: &IssuerConfig) -> Result<Self, AuthError> {
        let client_id = match &config.client_id {
            None => None,
            Some(pattern) => Some(
                Regex::new(&format!("^(?:{pattern})$"))
                    .map_err(|error| config.wrong(format!("client_id is no regular expression: {error}")))?,
            ),
        };
        let algorithms = config.algorithms.clone().unwrap_or_else(|| Algorithm::ALL.to_vec());
        if algorithms.is_empty() {
            return Err(config.wrong("algorithms is empty, so no token could be believed; leave it out for all"));
        }
        Ok(Self {
            url: config.issuer.clone(),
            mode: config.auth_mode()?,
            algorithms,
            rules: Rules {
                client_id,
                iat_ttl: config.iat_ttl_ms.map(Duration::from_millis),
                auth_ttl: config.auth_ttl_ms.map(Duration::from_millis),
            },
            source: config.source()?,
            held: Mutex::default(),
            fetching: Arc::default(),
        })
    }

    /// Its URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_https(&self) -> bool {
        let (Source::Keys(url) | Source::Discovery(url)) = &self.source;
        url.scheme() == "https"
    }

    /// Who shows `token`, which says that it is this issuer's, at `now`.
    pub(crate) async fn identify(
        self: &Arc<Self>,
        token: Token,
        fetcher: &Fetcher,
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        let Some(algorithm) = token.algorithm(&self.algorithms).filter(|_| token.is_plain()) else {
            tracing::debug!(issuer = self.url, ?token, "a token is refused: by its header");
            return Err(Refusal::Unknown);
        };
        let mut held = self.keys(fetcher, now).await?;
        let mut found = judge(&held.keys, &token, algorithm);
        if found == Found::Nowhere {
            held = self.newer_keys(&held, &token, fetcher, now).await?;
            found = judge(&held.keys, &token, algorithm);
        }
        match found {
            Found::Signed => {}
            Found::NotSigned | Found::Nowhere => {
                tracing::debug!(
                    issuer = self.url,
                    ?token,
                    ?found,
                    "a token is refused: by its signature"
                );
                return Err(Refusal::Unknown);
            }
        }
        let claims = token.into_claims();
        match self.rules.check(&claims, now) {
            Ok(ends) => Ok(Admitted {
                identity: Identity::User(Arc::new(User {
                    mode: self.mode,
                    claims,
                })),
                expires: Some(ends),
            }),
            Err(wrong) => {
                tracing::debug!(issuer = self.url, "a token is refused: {wrong}");
                Err(wrong.refusal())
            }
        }
    }

    fn held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys, fetched if need be.
    async fn keys(self: &Arc<Self>, fetcher: &Fetcher, now: Timestamp) -> Result<Held, Refusal> {
        let held = self.held();
        if held.is_younger(JWKS_TTL, now) {
            return Ok(held);
        }
        // Who has keys does not wait for somebody else's fetch.
        let turn = match held.is_younger(JWKS_KEPT_MAX, now) {
            true => Arc::clone(&self.fetching).try_lock_owned().ok(),
            false => Some(Arc::clone(&self.fetching).lock_owned().await),
        };
        if let Some(turn) = turn
            && !self.held().is_younger(JWKS_TTL, now)
        {
            self.fetch(turn, fetcher, now).await;
        }
        let held = self.held();
        match held.is_younger(JWKS_KEPT_MAX, now) {
            true => Ok(held),
            false => Err(Refusal::Unavailable),
        }
    }

    /// What is held once `token` has named a key that was not among `before`.
    async fn newer_keys(
        self: &Arc<Self>,
        before: &Held,
        token: &Token,
        fetcher: &Fetcher,
        now: Timestamp,
    ) -> Result<Held, Refusal> {
        let turn = Arc::clone(&self.fetching).lock_owned().await;
        if self.held().fetched == before.fetched {
            self.fetch(turn, fetcher, now).await;
        }
        let held = self.held();
        let is_newer = held.fetched != before.fetched || held.fetched == Some(now);
        // A key that came after the keys were fetched has not signed a token from before. Of a later one nobody can tell yet.
        let covers = |fetched: Timestamp| {
            let issued = token.issued_at().unwrap_or(Timestamp::MIN);
            issued < fetched.checked_sub(CLOCK_LEEWAY).unwrap_or(Timestamp::MIN)
        };
        let is_withdrawn = held.withdrawn.iter().any(|id| token.key_id() == Some(id));
        match is_newer || is_withdrawn || held.fetched.is_some_and(covers) {
            true => Ok(held),
            false => Err(Refusal::Unavailable),
        }
    }

    /// Fetches the keys, unless that was tried just now. In a task of its own, so that a caller who hangs up cannot keep the keys
    /// from the others.
    async fn fetch(self: &Arc<Self>, turn: OwnedMutexGuard<()>, fetcher: &Fetcher, now: Timestamp) {
        let (issuer, fetcher) = (Arc::clone(self), fetcher.clone());
        let fetching = tokio::spawn(async move {
            issuer.renew(&fetcher, now).await;
            drop(turn);
        });
        // If it panicked nothing has changed.
        let _ended = fetching.await;
    }

    /// What [`Issuer::fetch`] does. One at a time.
    async fn renew(&self, fetcher: &Fetcher, now: Timestamp) {
        let mut held = self.held();
        if is_within(held.tried, JWKS_FETCH_INTERVAL, now) {
            return;
        }
        held.tried = Some(now);
        self.hold(held.clone());
        match self.bring(fetcher).await {
            Ok(keys) => {
                tracing::debug!(issuer = self.url, keys = keys.len(), "an issuer's keys are fetched");
                let is_gone = |id: &&String| keys.iter().all(|key| key.id.as_ref() != Some(*id));
                let before = held.keys.iter().filter_map(|key| key.id.as_ref());
                held.withdrawn = before.filter(is_gone).cloned().collect();
                held.keys = keys.into();
                held.fetched = Some(now);
                self.hold(held);
            }
            Err(error) => tracing::warn!(issuer = self.url, %error, "an issuer's keys cannot be fetched"),
        }
    }

    fn hold(&self, held: Held) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    async fn bring(&self, fetcher: &Fetcher) -> Result<Vec<Key>, NoKeys> {
        let get = async |url: &Url| fetcher.get(url, ISSUER_TIMEOUT, ISSUER_ANSWER_BYTES_MAX).await;
        let url = match &self.source {
            Source::Keys(url) => url.clone(),
            Source::Discovery(at) => {
                let document = get(at).await?;
                let found: Discovered = serde_json::from_slice(&document).map_err(|_| NoKeys::Discovery)?;
                if found.issuer != self.url {
                    return Err(NoKeys::Another(found.issuer));
                }
                let url = Url::parse(&found.jwks_uri).ok();
                url.filter(|url| url.scheme() == "https" || at.scheme() == "http" && url.scheme() == "http")
                    .ok_or(NoKeys::Url(found.jwks_uri))?
            }
        };
        Ok(jwk::read(&get(&url).await?)?)
    }
}

impl Held {
    fn is_younger(&self, than: Duration, now: Timestamp) -> bool {
        is_within(self.fetched, than, now)
    }
}

/// Whether `moment` was less than `span` before `now`. One that lies ahead was not: the clock has been set back.
fn is_within(moment: Option<Timestamp>, span: Duration, now: Timestamp) -> bool {
    let age = moment.map(|moment| now.duration_since(moment));
    age.is_some_and(|age| Duration::try_from(age).is_ok_and(|age| age < span))
}

/// What keys say of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// One of them has signed it.
    Signed,
    /// The key that it names has not.
    NotSigned,
    /// None of them is named by it, or none of them has signed one that names none.
    Nowhere,
}

fn judge(keys: &[Key], token: &Token, algorithm: Algorithm) -> Found {
    let Some(id) = token.key_id() else {
        // Issuers with one key need not name it. More than one would make us try them all for whoever asks.
        let mut fitting = keys.iter().filter(|key| key.fits(algorithm));
        return match (fitting.next(), fitting.next()) {
            (Some(only), None) if token.is_signed_by(algorithm, only) => Found::Signed,
            (Some(_) | None, _) => Found::Nowhere,
        };
    };
    let mut named = keys.iter().filter(|key| key.id.as_deref() == Some(id)).peekable();
    match named.peek() {
        None => Found::Nowhere,
        Some(_) => match named.any(|key| token.is_signed_by(algorithm, key)) {
            true => Found::Signed,
            false => Found::NotSigned,
        },
    }
}
