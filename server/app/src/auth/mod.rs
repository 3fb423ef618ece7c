//! Who is asking: from what a caller shows to an [`Identity`], by AppSync's authorization modes.
//!
//! A listener gathers what it was shown into [`Shown`] and asks the [`Gate`]. Which mode is meant is told by the form of the
//! credential, as AppSync's own mock tells it: an `x-api-key`; an `authorization` that begins with `AWS4-HMAC-SHA256`; a
//! JWT of an issuer that is configured; anything else is for the authorizer function, if there is one. A refusal says
//! nothing about which keys, users or issuers exist.
//!
//! What is promised and what is not: `docs/security.md`.
//!
//! | module | |
//! |---|---|
//! | `keys` | API keys |
//! | [`issuer`] | whose tokens are believed, and their keys |
//! | [`jwt`], [`jwk`] | tokens and keys as they are written, signatures and claims checked |
//! | [`sigv4`] | signed requests |
//! | [`authorizer`] | the authorizer function |
//! | `unused` | rules and permissions that nobody can come by |
//! | `cache` | keeping what others said, with bounds |

pub mod authorizer;
mod cache;
pub mod issuer;
pub mod jwk;
pub mod jwt;
mod keys;
mod shown;
pub mod sigv4;
pub(crate) mod unused;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tombolo_core::access::{AuthMode, Identity};
use tombolo_core::wire::graphql::ErrorType;

use crate::limits::EXPIRY_CHECK_INTERVAL;
use crate::outbound::Fetcher;
use authorizer::{Authorizer, AuthorizerConfig};
use issuer::{ISSUERS_MAX, Issuer, IssuerConfig};
use jwt::Token;
pub use keys::{API_KEY_HEADER, ApiKey, KEY_CHARS_MIN, Keys};
pub use shown::{Shown, Target};
use sigv4::{IamUser, Signers};

/// How far the clock of an issuer may be ahead of ours: what a token says of its beginning is believed that much too early. Its
/// end is not stretched.
pub const CLOCK_LEEWAY: Duration = Duration::from_secs(60);

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
    #[error("Missing authorization header")]
    Missing,
    /// Something that is no credential of any kind that is taken here.
    #[error("Valid authorization header not provided.")]
    Invalid,
    /// What should be a token and is none.
    #[error("Unable to parse JWT token.")]
    Unparsable,
    /// A credential that is not accepted: unknown, of somebody else, for something else, or not genuine.
    #[error("You are not authorized to make this call.")]
    Unknown,
    /// An API key past its time.
    #[error("The API key has expired.")]
    KeyExpired,
    /// A token past its time.
    #[error("Token has expired.")]
    TokenExpired,
    /// A genuine signature whose time is too far from ours.
    #[error("Signature expired: its time is more than 5 minutes from the server's")]
    Skewed,
    /// Who would know cannot be asked at the moment. Nothing is said about the credential: the caller keeps it, and what it
    /// wants to send, and comes again.
    #[error("Credentials cannot be checked at the moment; send it again later.")]
    Unavailable,
}

impl Refusal {
    /// Whether the same credential may be accepted a little later.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        self == Self::Unavailable
    }

    /// The name that clients branch on. `BadRequestException` is what AppSync says of a late signature, and upon which its clients
    /// set their clocks right and sign again.
    #[must_use]
    pub fn error_type(self) -> ErrorType {
        match self {
            Self::Unavailable => ErrorType::InternalFailure,
            Self::Skewed => ErrorType::Other("BadRequestException".to_owned()),
            Self::Missing
            | Self::Invalid
            | Self::Unparsable
            | Self::Unknown
            | Self::KeyExpired
            | Self::TokenExpired => ErrorType::UnauthorizedException,
        }
    }
}

/// Who may show who they are by other means than an API key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whose tokens are believed.
    pub issuers: Vec<IssuerConfig>,
    /// Who signs requests.
    pub iam: Vec<IamUser>,
    /// The only region that signatures may name; `None` takes any.
    pub iam_region: Option<String>,
    /// Who is asked about tokens of no issuer.
    pub authorizer: AuthorizerConfig,
}

impl AuthConfig {
    /// The modes that are open besides API keys.
    ///
    /// # Errors
    /// An issuer's mode is none.
    pub fn modes(&self) -> Result<BTreeSet<AuthMode>, AuthError> {
        let mut modes: BTreeSet<AuthMode> = self
            .issuers
            .iter()
            .map(IssuerConfig::auth_mode)
            .collect::<Result<_, _>>()?;
        if !self.iam.is_empty() {
            modes.insert(AuthMode::Iam);
        }
        if self.authorizer.url.is_some() {
            modes.insert(AuthMode::Function);
        }
        Ok(modes)
    }

    /// Everything that is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<AuthError> {
        let mut wrong: Vec<AuthError> = self
            .issuers
            .iter()
            .filter_map(|issuer| Issuer::new(issuer).err())
            .collect();
        wrong.extend(self.together().err());
        wrong.extend(Signers::new(self.iam.clone(), self.iam_region.clone()).err());
        wrong.extend(Authorizer::new(&self.authorizer).err());
        wrong
    }

    /// Whether the issuers are few and each is there once.
    fn together(&self) -> Result<(), AuthError> {
        if self.issuers.len() > ISSUERS_MAX {
            return Err(AuthError::Issuers(format!("there are more than {ISSUERS_MAX}")));
        }
        let mut urls = BTreeSet::new();
        match self.issuers.iter().find(|issuer| !urls.insert(&issuer.issuer)) {
            Some(twice) => Err(AuthError::Issuers(format!("{:?} is there twice", twice.issuer))),
            None => Ok(()),
        }
    }
}

/// A configuration of who may call that cannot be used. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Of an issuer.
    #[error("issuer {issuer:?}: {problem}")]
    Issuer {
        /// Which.
        issuer: String,
        /// What is wrong and what to do about it.
        problem: String,
    },
    /// Of issuers together.
    #[error("issuers: {0}")]
    Issuers(String),
    /// Of users who sign.
    #[error("iam: {0}")]
    Users(String),
    /// Of the authorizer function.
    #[error("authorizer: {0}")]
    Authorizer(String),
    /// No HTTP client.
    #[error("no HTTP client for issuers and the authorizer function: {0}")]
    Client(String),
}

/// Decides who a caller is.
#[derive(Debug)]
pub struct Gate {
    keys: Keys,
    signers: Signers,
    issuers: Vec<Arc<Issuer>>,
    authorizer: Option<Authorizer>,
    fetcher: Option<Fetcher>,
}

impl Gate {
    /// A gate for API keys alone.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            signers: Signers::default(),
            issuers: Vec::new(),
            authorizer: None,
            fetcher: None,
        }
    }

    /// A gate for API keys and for what `config` names.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn open(keys: Keys, config: &AuthConfig) -> Result<Self, AuthError> {
        config.together()?;
        let issuers = config.issuers.iter().map(|issuer| Issuer::new(issuer).map(Arc::new));
        let issuers: Vec<Arc<Issuer>> = issuers.collect::<Result<_, _>>()?;
        for open in config.issuers.iter().filter(|issuer| issuer.client_id.is_none()) {
            tracing::warn!(
                issuer = open.issuer,
                "tokens that the issuer made for any of its clients are accepted; client_id narrows that"
            );
        }
        let authorizer = Authorizer::new(&config.authorizer)?;
        let https =
            issuers.iter().any(|issuer| issuer.is_https()) || authorizer.as_ref().is_some_and(Authorizer::is_https);
        let fetcher = match issuers.is_empty() && authorizer.is_none() {
            true => None,
            false => Some(Fetcher::new(https).map_err(AuthError::Client)?),
        };
        Ok(Self {
            keys,
            signers: Signers::new(config.iam.clone(), config.iam_region.clone())?,
            issuers,
            authorizer,
            fetcher,
        })
    }

    /// Who shows this at `now`, and until when.
    ///
    /// # Errors
    /// The credential is missing or refused, or cannot be checked at the moment.
    pub async fn admit(&self, shown: &Shown, now: Timestamp) -> Result<Admitted, Refusal> {
        if let Some(key) = shown.header(API_KEY_HEADER) {
            return self.keys.identify(key, now);
        }
        if shown.is_signed() {
            return match self.signers.is_empty() {
                true => Err(Refusal::Unknown),
                false => self.signers.identify(shown, now),
            };
        }
        let text = shown.header("authorization").ok_or(Refusal::Missing)?;
        let Some(fetcher) = &self.fetcher else {
            return Err(Refusal::Invalid);
        };
        let token = Token::read(text);
        let issuer = token.as_ref().and_then(|token| self.issuer_of(token));
        match (issuer, token, &self.authorizer) {
            // Whoever it says it is from answers for it; what an issuer refuses is nobody else's to let in.
            (Some(issuer), Some(token), _) => issuer.identify(token, fetcher, now).await,
            (_, _, Some(authorizer)) => authorizer.identify(text, shown.target.as_ref(), fetcher, now).await,
            (None, Some(_), None) => Err(Refusal::Unknown),
            (_, None, None) => Err(Refusal::Unparsable),
        }
    }

    /// Whether the body of a request that shows this has to be read before it can be admitted: a signature is of it, and the
    /// authorizer function is told of it.
    #[must_use]
    pub fn needs_body(&self, shown: &Shown) -> bool {
        if shown.header(API_KEY_HEADER).is_some() {
            return false;
        }
        let of_issuer = || {
            let token = shown.header("authorization").and_then(Token::read);
            token.is_some_and(|token| self.issuer_of(&token).is_some())
        };
        match shown.is_signed() {
            true => !self.signers.is_empty(),
            false => shown.is_anything() && self.authorizer.is_some() && !of_issuer(),
        }
    }

    fn issuer_of(&self, token: &Token) -> Option<&Arc<Issuer>> {
        let url = token.issuer()?;
        self.issuers.iter().find(|issuer| issuer.url() == url)
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
