//! Public keys as issuers publish them (RFC 7517), and signatures checked with them (RFC 7515, 7518, 8037).
//!
//! A key is made for a family of algorithms when it is read, so that no token can have it used for another: there is no
//! shared secret here and no way to say "no signature". The arithmetic is `ring`'s.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// Most keys of one issuer: the largest publish about ten, two or three of which are in use.
pub const KEYS_PER_ISSUER_MAX: usize = 64;

/// How a token is signed: those that need no secret of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub enum Algorithm {
    /// RSA, PKCS#1, SHA-256: what Cognito and most issuers use.
    RS256,
    /// RSA, PKCS#1, SHA-384.
    RS384,
    /// RSA, PKCS#1, SHA-512.
    RS512,
    /// RSA, PSS, SHA-256.
    PS256,
    /// RSA, PSS, SHA-384.
    PS384,
    /// RSA, PSS, SHA-512.
    PS512,
    /// ECDSA on P-256, SHA-256.
    ES256,
    /// ECDSA on P-384, SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// The algorithm called `name`, if it is one of ours. `Ed25519` is what RFC 9864 calls `EdDSA` on that curve.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { Self::EdDSA.name() } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// The public half of a key pair.
#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// One key of an issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// What tokens call it.
    pub id: Option<String>,
    /// The only algorithm that it is for, if the issuer says so.
    only: Option<Algorithm>,
    material: Material,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Whether tokens of this algorithm may be checked with it.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let family = match self.material {
            Material::Rsa { .. } => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Material::P256(_) => algorithm == ES256,
            Material::P384(_) => algorithm == ES384,
            Material::Ed25519(_) => algorithm == EdDSA,
        };
        family && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether `signature` is this key's, of `message`, by `algorithm`.
    #[must_use]
    pub fn has_signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let checked = match &self.material {
            Material::Rsa { n, e } => {
                let parameters = match algorithm {
                    Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
                    Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => return false,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Material::P384(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, signature)
            }
            Material::Ed25519(point) => UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature),
        };
        checked.is_ok()
    }
}

/// A set as it is published; members that we do not use are passed over.
#[derive(Deserialize)]
struct SetForm {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct KeyForm {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Why a published set cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeys {
    /// No JSON of this form.
    #[error("it is no JSON object with a list of keys")]
    Form,
    /// More than [`KEYS_PER_ISSUER_MAX`].
    #[error("it has more than {KEYS_PER_ISSUER_MAX} keys")]
    TooMany,
    /// Nothing in it that signs by an algorithm of ours.
    #[error("it has no key that signatures can be checked with")]
    Empty,
}

/// The keys of a published set that signatures can be checked with. Others (for encryption, of unknown kinds, shared secrets)
/// are passed over: an issuer may publish what we do not use.
///
/// # Errors
/// It is no such set, too large, or of no use.
pub fn read(json: &[u8]) -> Result<Vec<Key>, BadKeys> {
    let set: SetForm = serde_json::from_slice(json).map_err(|_| BadKeys::Form)?;
    if set.keys.len() > KEYS_PER_ISSUER_MAX {
        return Err(BadKeys::TooMany);
    }
    let keys: Vec<Key> = set.keys.into_iter().filter_map(read_key).collect();
    if keys.is_empty() {
        return Err(BadKeys::Empty);
    }
    Ok(keys)
}

fn read_key(json: serde_json::Value) -> Option<Key> {
    let form: KeyForm = serde_json::from_value(json).ok()?;
    let signs = form.usage.as_deref().is_none_or(|usage| usage == "sig")
        && form
            .key_ops
            .as_ref()
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !signs {
        return None;
    }
    let only = match form.alg.as_deref() {
        None => None,
        Some(name) => Some(Algorithm::named(name)?),
    };
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    let point = |length: usize| {
        let (x, y) = (bytes(&form.x)?, bytes(&form.y)?);
        (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
    };
    let material = match (form.kty.as_str(), form.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (bytes(&form.n)?, bytes(&form.e)?);
            // A leading zero is no part of the number.
            let from = n.iter().position(|byte| *byte != 0)?;
            Material::Rsa {
                n: n.get(from..)?.to_vec(),
                e,
            }
        }
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&form.x).filter(|x| x.len() == 32)?),
        _ => return None,
    };
    let key = Key {
        id: form.kid,
        only,
        material,
    };
    // One that says that it is for an algorithm of another kind is for nothing.
    only.is_none_or(|only| key.fits(only)).then_some(key)
}
