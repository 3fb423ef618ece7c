//! Who is asking: from what a caller shows to an [`Identity`], by AppSync's authorization modes.
//!
//! A listener gathers what it was shown into [`Shown`] and asks the [`Gate`]. Which mode is meant is told by the form of the
//! credential, as AppSync's own mock tells it: an `x-api-key`; an `authorization` that begins with `AWS4-HMAC-SHA256`; a
//! JWT of an issuer that is configured; anything else is for the authorizer function, if there is one. A refusal says
//! nothing about which keys, users or issuers exist.
//!
//! `keys`: API keys.

mod keys;

use std::time::Duration;

use axum::http::HeaderMap;
use jiff::Timestamp;
use tombolo_core::access::Identity;

use crate::limits::EXPIRY_CHECK_INTERVAL;
pub use keys::{API_KEY_HEADER, ApiKey, KEY_CHARS_MIN, Keys};

/// Somebody who has shown who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// From then on the credential is refused; whoever was admitted with it has to go.
    pub expires: Option<Timestamp>,
}

/// Why a credential was refused: AppSync's words where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credential at all.
    #[error("Missing authorization header: send the API key as `x-api-key`.")]
    Missing,
    /// A credential that the server does not know.
    #[error("You are not authorized to make this call.")]
    Unknown,
    /// One past its time.
    #[error("The API key has expired.")]
    Expired,
}

/// What a caller shows: headers, and the request that a signature would be of.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Names in lower case, values as they came, in order.
    headers: Vec<(String, String)>,
    /// What a signature would be of.
    pub target: Target,
}

/// The request that a signature is of.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `POST`, `GET`.
    pub method: String,
    /// The path as it stands in the request line.
    pub path: String,
    /// The query as it stands in the request line, without `?`.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Shown {
    /// What the headers of an HTTP request show. A value that is not visible ASCII is shown as an empty one.
    #[must_use]
    pub fn headers(headers: &HeaderMap) -> Self {
        let pair = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
        };
        Self {
            headers: headers.iter().map(pair).collect(),
            target: Target::default(),
        }
    }

    /// What an object of headers shows, as AppSync's real-time protocol and `connection_init` carry it. Members that are no
    /// texts are passed over.
    #[must_use]
    pub fn object(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        let pair = |(name, value): (&String, &serde_json::Value)| {
            Some((name.to_ascii_lowercase(), value.as_str()?.to_owned()))
        };
        Self {
            headers: object.iter().filter_map(pair).collect(),
            target: Target::default(),
        }
    }

    /// The same, for a signature of this request.
    #[must_use]
    pub fn of(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// The first header called `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(of, _)| of == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Whether it shows any credential at all.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        self.header(API_KEY_HEADER).is_some() || self.header("authorization").is_some()
    }

    /// Whether it is a signature of the request, so that the request counts.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.header("authorization")
            .is_some_and(|value| value.starts_with(SIGNATURE))
    }
}

/// What the `authorization` of a signed request begins with.
const SIGNATURE: &str = "AWS4-HMAC-SHA256";

/// Decides who a caller is.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    keys: Keys,
}

impl Gate {
    /// A gate for these keys.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// Who shows this at `now`, and until when.
    ///
    /// # Errors
    /// The credential is missing, unknown or expired.
    #[expect(
        clippy::unused_async,
        reason = "issuers and the authorizer function are asked over the network"
    )]
    pub async fn admit(&self, shown: &Shown, now: Timestamp) -> Result<Admitted, Refusal> {
        self.keys.identify(shown.header(API_KEY_HEADER), now)
    }
}

/// Waits until the moment `expires` has come by the wall clock; for ever if there is none.
pub(crate) async fn expiry(expires: Option<Timestamp>) {
    let Some(expires) = expires else {
        return std::future::pending().await;
    };
    while let Ok(left) = Duration::try_from(expires.duration_since(Timestamp::now()))
        && !left.is_zero()
    {
        tokio::time::sleep(left.min(EXPIRY_CHECK_INTERVAL)).await;
    }
}
