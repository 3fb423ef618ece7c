//! Tokens: a JWS in its compact form (RFC 7515) whose payload is claims (RFC 7519).
//!
//! Read here, without trust: nothing of a token counts before [`Token::is_signed_by`] and `Rules::check` have agreed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::jwk::{Algorithm, Key};
use super::{CLOCK_LEEWAY, Refusal};

/// Longest token, in bytes. Those of Cognito have 1 to 3 kB, more with hundreds of groups; a request's headers may have 32 KiB
/// in all, but on a socket a token comes in a message, which may be larger.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A token as it came, taken apart.
#[derive(Clone)]
pub struct Token {
    header: HeaderForm,
    claims: Map<String, Json>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Clone, Deserialize)]
struct HeaderForm {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Json>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("alg", &self.header.alg)
            .field("kid", &self.header.kid)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Takes `text` apart; a `Bearer ` before it is passed over. `None` if it is no token.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let text = without_bearer(text);
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: HeaderForm = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        Some(Self {
            header,
            claims,
            signed: signed.as_bytes().to_vec(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Who has issued it, as it says itself.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// Which key has signed it, as it says itself.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The algorithm, if it is one of ours and of `allowed`.
    #[must_use]
    pub fn algorithm(&self, allowed: &[Algorithm]) -> Option<Algorithm> {
        Algorithm::named(&self.header.alg).filter(|algorithm| allowed.contains(algorithm))
    }

    /// Whether the header leaves nothing to us that we do not do: no extension that must be understood, and a type of token that
    /// is for showing who one is (not, for example, one that tells of a sign-out).
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let kind = self.header.typ.as_deref().map(str::to_ascii_lowercase);
        let kind = kind.as_deref().map(|kind| kind.trim_start_matches("application/"));
        self.header.crit.is_none() && matches!(kind, None | Some("jwt" | "at+jwt" | "id_token+jwt"))
    }

    /// Whether it was signed with `key`.
    #[must_use]
    pub fn is_signed_by(&self, algorithm: Algorithm, key: &Key) -> bool {
        key.has_signed(algorithm, &self.signed, &self.signature)
    }

    /// When it says that it was made.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        moment(&self.claims, "iat").ok().flatten()
    }

    /// Its claims.
    #[must_use]
    pub fn into_claims(self) -> Map<String, Json> {
        self.claims
    }
}

/// `text` without a `Bearer ` before it.
fn without_bearer(text: &str) -> &str {
    const BEARER: &str = "bearer ";
    match text.get(..BEARER.len()) {
        Some(word) if word.eq_ignore_ascii_case(BEARER) => text.get(BEARER.len()..).unwrap_or_default().trim(),
        Some(_) | None => text.trim(),
    }
}

/// What must hold of an issuer's claims.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// What one of `aud`, `azp` and `client_id` matches, whole; `None` takes every client of the issuer.
    pub(crate) client_id: Option<Regex>,
    /// Longest time since `iat`.
    pub(crate) iat_ttl: Option<std::time::Duration>,
    /// Longest time since `auth_time`.
    pub(crate) auth_ttl: Option<std::time::Duration>,
}

/// Why claims are refused: for logs, a word each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("it names no subject")]
    Subject,
    #[error("its client or audience is another")]
    Audience,
    #[error("it has no end")]
    Endless,
    #[error("it has ended")]
    Ended,
    #[error("it is not valid yet")]
    Early,
    #[error("it was issued too long ago")]
    Old,
    #[error("its user has signed in too long ago")]
    Idle,
    #[error("it is of a use that is not for calls")]
    Usage,
    #[error("one of its times is no number")]
    Time,
}

impl Wrong {
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::Ended | Self::Old | Self::Idle => Refusal::TokenExpired,
            Self::Subject | Self::Audience | Self::Endless | Self::Early | Self::Usage | Self::Time => Refusal::Unknown,
        }
    }
}

impl Rules {
    /// Whether the claims hold at `now`: until when they do.
    pub(crate) fn check(&self, claims: &Map<String, Json>, now: Timestamp) -> Result<Timestamp, Wrong> {
        let text = |name: &str| claims.get(name).and_then(Json::as_str);
        let time = |name: &str| moment(claims, name).map_err(|NoMoment| Wrong::Time);
        let latest = now.checked_add(CLOCK_LEEWAY).unwrap_or(Timestamp::MAX);
        let end = |since: Timestamp, ttl: std::time::Duration| since.checked_add(ttl).unwrap_or(Timestamp::MAX);

        // Records are owned by a subject: one without a name would own those of all others without.
        if text("sub").unwrap_or_default().is_empty() {
            return Err(Wrong::Subject);
        }
        if let Some(usage) = claims.get("token_use")
            && !matches!(usage.as_str(), Some("id" | "access"))
        {
            return Err(Wrong::Usage);
        }
        if let Some(pattern) = &self.client_id {
            let audience = match claims.get("aud") {
                Some(Json::String(one)) => vec![one.as_str()],
                Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
                _ => Vec::new(),
            };
            let mut clients = audience.into_iter().chain(text("azp")).chain(text("client_id"));
            if !clients.any(|client| pattern.is_match(client)) {
                return Err(Wrong::Audience);
            }
        }
        let mut ends = time("exp")?.ok_or(Wrong::Endless)?;
        if ends <= now {
            return Err(Wrong::Ended);
        }
        if time("nbf")?.is_some_and(|begins| begins > latest) {
            return Err(Wrong::Early);
        }
        let issued = time("iat")?;
        if issued.is_some_and(|issued| issued > latest) {
            return Err(Wrong::Early);
        }
        if let Some(ttl) = self.iat_ttl {
            ends = ends.min(end(issued.ok_or(Wrong::Old)?, ttl));
            if ends <= now {
                return Err(Wrong::Old);
            }
        }
        let signed_in = time("auth_time")?;
        if let Some(ttl) = self.auth_ttl {
            ends = ends.min(end(signed_in.ok_or(Wrong::Idle)?, ttl));
            if ends <= now {
                return Err(Wrong::Idle);
            }
        }
        Ok(ends)
    }
}

/// A claim that is there and no moment.
struct NoMoment;

/// A claim that is a number of seconds since 1970, whole or not; what lies beyond the calendar's end is its end.
fn moment(claims: &Map<String, Json>, name: &str) -> Result<Option<Timestamp>, NoMoment> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite()).ok_or(NoMoment)?;
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
    let millis = (seconds * 1000.0).floor().clamp(-1.0e15, 1.0e15) as i64;
    let beyond = if seconds < 0.0 { Timestamp::MIN } else { Timestamp::MAX };
    Ok(Some(Timestamp::from_millisecond(millis).unwrap_or(beyond)))
}
