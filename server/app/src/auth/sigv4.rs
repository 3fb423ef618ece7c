//! Requests signed with a secret (AWS Signature Version 4), and those who sign them.
//!
//! What was signed is worked out anew from the request, by the list of headers that the signature names, and compared in constant
//! time. Clients differ in small things, and each of these is tried: the path as it stands or encoded (once, or once more), the
//! host with and without its port. A signature is good for [`SIGNATURE_SKEW_MAX`] around its time, and for this request only;
//! within that time the same request can be sent again by whoever has seen it, which TLS is there to prevent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::hmac;
use sha2::{Digest as _, Sha256};
use tombolo_core::access::{IamCaller, Identity};

use super::keys::digest;
use super::{Admitted, AuthError, Refusal, Shown, Target};
use crate::outbound::Secret;

/// How far a signature's time may be from ours, before or after: AWS's own bound.
pub const SIGNATURE_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// What the `authorization` of a signed request begins with.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The services that AppSync's clients sign for: AppSync, and what Amplify signs for when it is given an endpoint of one's own.
const SERVICES: [&str; 2] = ["appsync", "execute-api"];

/// Least length of a secret, in characters: below it a secret can be guessed from one signature. AWS's have 40.
pub const SECRET_CHARS_MIN: usize = 16;

/// Most users of one server: each costs a comparison for each signed request.
pub const IAM_USERS_MAX: usize = 1_000;

/// Somebody who signs requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamUser {
    /// Public: which secret is meant.
    pub access_key_id: String,
    /// What requests are signed with. It has to be known in clear.
    pub secret_access_key: Secret,
    /// Who that is, and what it may call.
    pub caller: Arc<IamCaller>,
}

impl IamUser {
    /// A user with this name, who may call what `allow` names (`Query.getTodo`, `Mutation.*`, `*`).
    pub fn new(
        name: impl Into<String>,
        access_key_id: impl Into<String>,
        secret: impl Into<String>,
        role: tombolo_core::access::IamRole,
        allow: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            access_key_id: access_key_id.into(),
            secret_access_key: Secret(secret.into()),
            caller: Arc::new(IamCaller {
                name: name.into(),
                role,
                allow: allow.into_iter().map(Into::into).collect(),
            }),
        }
    }
}

/// All who sign.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signers {
    users: Vec<IamUser>,
    region: Option<String>,
}

/// What the `authorization` of a signed request says.
#[derive(Debug, PartialEq, Eq)]
struct Signature<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    headers: Vec<&'a str>,
    mac: [u8; 32],
}

impl Signers {
    pub(crate) fn new(users: Vec<IamUser>, region: Option<String>) -> Result<Self, AuthError> {
        if users.len() > IAM_USERS_MAX {
            return Err(AuthError::Users(format!("there are more than {IAM_USERS_MAX}")));
        }
        let mut ids = BTreeSet::new();
        if let Some(twice) = users.iter().find(|user| !ids.insert(user.access_key_id.as_str())) {
            let id = &twice.access_key_id;
            return Err(AuthError::Users(format!("two have the access_key_id {id:?}")));
        }
        Ok(Self { users, region })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Who has signed what is shown, at `now`.
    pub(crate) fn identify(&self, shown: &Shown, now: Timestamp) -> Result<Admitted, Refusal> {
        let header = shown.header("authorization").ok_or(Refusal::Missing)?;
        let signature = Signature::read(header).ok_or(Refusal::Invalid)?;
        // A signature is of a request; where there is none there is nothing to check.
        let target = shown.target.as_ref().ok_or(Refusal::Invalid)?;
        if !signature.headers.contains(&"host") {
            return Err(Refusal::Invalid);
        }
        let (time, stamp) = moment(shown).ok_or(Refusal::Invalid)?;
        if Some(signature.date) != stamp.get(..8) {
            return Err(Refusal::Invalid);
        }
        let region = self.region.as_deref();
        if !SERVICES.contains(&signature.service) || region.is_some_and(|region| region != signature.region) {
            return Err(Refusal::Unknown);
        }
        let mut user = None;
        for known in &self.users {
            if known.access_key_id == signature.access_key_id {
                user = Some(known);
            }
        }
        // Whether the id is known is not told by the time that it takes.
        let secret = user.map_or("", |user| user.secret_access_key.0.as_str());
        let key = signature.key(secret);
        let mut is_signed = false;
        for request in requests(shown, target, &signature.headers).ok_or(Refusal::Invalid)? {
            let digest = HEXLOWER.encode(&Sha256::digest(request.as_bytes()));
            let text = format!("{ALGORITHM}\n{stamp}\n{}\n{digest}", signature.scope());
            is_signed |= hmac::verify(&key, text.as_bytes(), &signature.mac).is_ok();
        }
        let user = user.filter(|_| is_signed).ok_or(Refusal::Unknown)?;
        // Last, since only its signer is to be told that it comes too late.
        let apart = now.duration_since(time).unsigned_abs();
        if apart > SIGNATURE_SKEW_MAX {
            return Err(Refusal::Skewed);
        }
        Ok(Admitted {
            identity: Identity::Iam(Arc::clone(&user.caller)),
            expires: None,
        })
    }
}

impl<'a> Signature<'a> {
    fn read(header: &'a str) -> Option<Self> {
        let (mut credential, mut headers, mut mac) = (None, None, None);
        for part in header.strip_prefix(ALGORITHM)?.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut headers,
                "Signature" => &mut mac,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let mut scope = credential?.rsplit('/');
        let end = scope.next()?;
        let (service, region, date) = (scope.next()?, scope.next()?, scope.next()?);
        let id = credential?.get(..credential?.len() - end.len() - service.len() - region.len() - date.len() - 4)?;
        if end != "aws4_request" || id.is_empty() {
            return None;
        }
        Some(Self {
            access_key_id: id,
            date,
            region,
            service,
            headers: headers?.split(';').collect(),
            mac: digest(mac?)?,
        })
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }

    fn key(&self, secret: &str) -> hmac::Key {
        let step = |key: &[u8], text: &str| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        let date = step(format!("AWS4{secret}").as_bytes(), self.date);
        let region = step(date.as_ref(), self.region);
        let service = step(region.as_ref(), self.service);
        hmac::Key::new(hmac::HMAC_SHA256, step(service.as_ref(), "aws4_request").as_ref())
    }
}

/// The canonical requests that the signature could be of.
fn requests(shown: &Shown, target: &Target, headers: &[&str]) -> Option<Vec<String>> {
    let query = canonical_query(&target.query);
    let body = HEXLOWER.encode(&Sha256::digest(&target.body));
    let signed = headers.join(";");
    let mut all = Vec::new();
    for host in hosts(shown.header("host")?) {
        let mut lines = String::new();
        for name in headers {
            let value = match *name {
                "host" => host.clone(),
                _ => shown.whole_header(name)?,
            };
            lines.push_str(name);
            lines.push(':');
            lines.push_str(&value);
            lines.push('\n');
        }
        for path in paths(&target.path) {
            let method = &target.method;
            all.push(format!("{method}\n{path}\n{query}\n{lines}\n{signed}\n{body}"));
        }
    }
    Some(all)
}

/// A host as it came, and what else may have been signed for it: a signer may leave the port out or, where it is the
/// scheme's own, put it in.
fn hosts(host: &str) -> Vec<String> {
    let mut all = vec![host.to_owned()];
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            all.push(name.to_owned());
        }
        Some(_) | None => all.extend([format!("{host}:443"), format!("{host}:80")]),
    }
    all
}

/// A path as it stands, and encoded.
fn paths(path: &str) -> BTreeSet<String> {
    let path = if path.is_empty() { "/" } else { path };
    let encoded = |bytes: &[u8]| {
        let segments = bytes.split(|byte| *byte == b'/').map(percent_encoded);
        segments.collect::<Vec<_>>().join("/")
    };
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    BTreeSet::from([path.to_owned(), encoded(&decoded), encoded(path.as_bytes())])
}

/// A query's pairs, each encoded in the one way, in order.
fn canonical_query(query: &str) -> String {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let whole = |text: &str| {
            let text = text.replace('+', " ");
            percent_encoded(&percent_decode_str(&text).collect::<Vec<u8>>())
        };
        (whole(name), whole(value))
    };
    let mut pairs: Vec<_> = query.split('&').filter(|text| !text.is_empty()).map(pair).collect();
    pairs.sort();
    let pairs = pairs.into_iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

/// What RFC 3986 never reserves; all else is written `%XX`.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn percent_encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, &ENCODED).to_string()
}

/// When the request was signed, and as the signature has it, `20261122T083159Z`.
fn moment(shown: &Shown) -> Option<(Timestamp, String)> {
    const STAMP: &str = "%Y%m%dT%H%M%SZ";
    let text = shown.header("x-amz-date").or_else(|| shown.header("date"))?;
    let read = |format: &str| DateTime::strptime(format, text).ok();
    let civil = read(STAMP).or_else(|| read("%a, %d %b %Y %H:%M:%S GMT"))?;
    let time = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some((time, civil.strftime(STAMP).to_string()))
}
