//! Keys made for the test, tokens signed with them, and the public halves as an issuer publishes them.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::{Generate as _, PrivateKey};
use serde_json::{Value as Json, json};
use tombolo_server::auth::Shown;

/// When tests take place.
pub(crate) const NOW: &str = "2030-01-01T12:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(crate) fn seconds(offset: i64) -> i64 {
    now().as_second() + offset
}

/// A key pair of an issuer.
pub(crate) struct Pair {
    pub(crate) id: &'static str,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_der(PrivateKey::generate().to_pkcs1_der().unwrap().as_bytes())
}

fn ec(algorithm: Algorithm) -> EncodingKey {
    let curve = match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    };
    EncodingKey::from_ec_der(
        EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new())
            .unwrap()
            .as_ref(),
    )
}

fn ed() -> EncodingKey {
    // PKCS#8 of an Ed25519 seed, RFC 8410.
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).unwrap();
    der.extend_from_slice(&seed);
    EncodingKey::from_ed_der(&der)
}

static RSA: LazyLock<[EncodingKey; 2]> = LazyLock::new(|| [rsa(), rsa()]);

impl Pair {
    /// The issuer's first RSA key.
    pub(crate) fn rsa(id: &'static str) -> Self {
        Self::rsa_for(id, Algorithm::RS256)
    }

    pub(crate) fn rsa_for(id: &'static str, algorithm: Algorithm) -> Self {
        let key = RSA[0].clone();
        Self { id, algorithm, key }
    }

    /// Another RSA key.
    pub(crate) fn other_rsa(id: &'static str) -> Self {
        Self {
            id,
            algorithm: Algorithm::RS256,
            key: RSA[1].clone(),
        }
    }

    /// A key of its own for any algorithm without a shared secret.
    pub(crate) fn of(id: &'static str, algorithm: Algorithm) -> Self {
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => ec(algorithm),
            Algorithm::EdDSA => ed(),
            _ => return Self::rsa_for(id, algorithm),
        };
        Self { id, algorithm, key }
    }

    /// The public half, as an issuer publishes it.
    pub(crate) fn public(&self) -> Json {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    pub(crate) fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        header
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Json) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub(crate) fn sign_with(&self, header: &Header, claims: &Json) -> String {
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }
}

/// A token whose header says what it likes, and which is signed with `pair` all the same.
pub(crate) fn signed_by_hand(pair: &Pair, header: &Json, claims: &Json) -> String {
    let unsigned = by_hand(header, claims, b"");
    let message = unsigned.trim_end_matches('.');
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &pair.key, pair.algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token put together by hand: any header, any signature.
pub(crate) fn by_hand(header: &Json, claims: &Json, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{}.{}.{}",
        part(header.to_string().as_bytes()),
        part(claims.to_string().as_bytes()),
        part(signature)
    )
}

/// Claims that hold, with `change` laid over them; a `null` takes a claim away.
pub(crate) fn claims(issuer: &str, change: &Json) -> Json {
    let mut claims = json!({
        "iss": issuer,
        "sub": "ada",
        "aud": "app-1",
        "iat": seconds(-60),
        "auth_time": seconds(-3000),
        "exp": seconds(3600),
        "token_use": "id",
        "cognito:username": "ada.l",
    });
    let members = claims.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Json::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// What a caller with this `authorization` shows.
pub(crate) fn shows(authorization: &str) -> Shown {
    Shown::object(json!({ "Authorization": authorization }).as_object().unwrap())
}
