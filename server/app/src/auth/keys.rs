//! API keys.
//!
//! Keys are held as SHA-256 hashes (they are random and long, so a slow hash would protect nothing and cost each request),
//! compared in constant time, and never printed. A refusal says nothing about which keys exist.

use data_encoding::HEXLOWER_PERMISSIVE;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tombolo_core::access::Identity;

use super::{Admitted, Refusal};

/// The header, and the key in `connection_init`'s payload, that carries an API key.
pub const API_KEY_HEADER: &str = "x-api-key";

/// Least length of a key given in clear, in characters: below it a key can be guessed over the network. `dev` takes
/// shorter ones.
pub const KEY_CHARS_MIN: usize = 16;

/// The 32 bytes that 64 hexadecimal digits name.
pub(crate) fn digest(hex: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?.try_into().ok()
}

/// One API key.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// What it is called in the configuration and in logs.
    pub name: String,
    hash: [u8; 32],
    expires: Option<Timestamp>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A key given in clear.
    pub fn from_clear(name: impl Into<String>, key: &str) -> Self {
        Self {
            name: name.into(),
            hash: Sha256::digest(key.as_bytes()).into(),
            expires: None,
        }
    }

    /// A key given as its SHA-256 in 64 hexadecimal digits; `None` if `hex` is something else.
    pub fn from_sha256(name: impl Into<String>, hex: &str) -> Option<Self> {
        let hash = digest(hex)?;
        Some(Self {
            name: name.into(),
            hash,
            expires: None,
        })
    }

    /// The same key, refused from `expires` on.
    #[must_use]
    pub fn until(mut self, expires: Timestamp) -> Self {
        self.expires = Some(expires);
        self
    }
}

/// All keys of a server.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<ApiKey>);

impl Keys {
    /// The server's keys.
    #[must_use]
    pub fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// Who presents `key` at `now`, and until when. Takes the same time whichever key it is and whether or not it is known.
    ///
    /// # Errors
    /// The key is unknown or expired.
    pub fn identify(&self, key: &str, now: Timestamp) -> Result<Admitted, Refusal> {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut found = None;
        for known in &self.0 {
            if bool::from(known.hash.ct_eq(&hash)) {
                found = Some(known);
            }
        }
        let known = found.ok_or(Refusal::Unknown)?;
        if known.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::KeyExpired);
        }
        Ok(Admitted {
            identity: Identity::ApiKey {
                name: known.name.clone(),
            },
            expires: known.expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::expiry;
    use super::*;
    use crate::limits::EXPIRY_CHECK_INTERVAL;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_is_known_in_clear_and_by_its_hash() {
        // printf secret | sha256sum
        let hex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        for key in [
            ApiKey::from_clear("phones", "secret"),
            ApiKey::from_sha256("phones", hex).unwrap(),
        ] {
            let keys = Keys::new(vec![ApiKey::from_clear("other", "x"), key]);
            let who = keys.identify("secret", Timestamp::UNIX_EPOCH).unwrap();
            assert_eq!(who.identity, Identity::ApiKey { name: "phones".into() });
            assert_eq!(who.expires, None);
        }
    }

    #[test]
    fn what_is_wrong_or_late_is_refused() {
        let keys = Keys::new(vec![
            ApiKey::from_clear("a", "secret").until(at("2030-01-01T00:00:00Z")),
        ]);
        assert_eq!(keys.identify("", Timestamp::UNIX_EPOCH), Err(Refusal::Unknown));
        assert_eq!(keys.identify("Secret", Timestamp::UNIX_EPOCH), Err(Refusal::Unknown));
        let admitted = keys.identify("secret", at("2029-12-31T23:59:59Z")).unwrap();
        assert_eq!(admitted.expires, Some(at("2030-01-01T00:00:00Z")));
        assert_eq!(
            keys.identify("secret", at("2030-01-01T00:00:00Z")),
            Err(Refusal::KeyExpired)
        );
        assert_eq!(
            Keys::default().identify("secret", Timestamp::UNIX_EPOCH),
            Err(Refusal::Unknown)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_expiry_is_waited_for_and_none_never_comes() {
        expiry(Some(at("2020-01-01T00:00:00Z"))).await;
        for open in [None, Some(Timestamp::MAX)] {
            let waiting = tokio::time::timeout(EXPIRY_CHECK_INTERVAL * 3, expiry(open)).await;
            assert!(waiting.is_err(), "{open:?}");
        }
    }

    #[test]
    fn a_hash_is_64_hexadecimal_digits() {
        for bad in [
            "",
            "ab",
            &"g".repeat(64),
            &"+f".repeat(32),
            &"a".repeat(63),
            &"é".repeat(32),
        ] {
            assert!(ApiKey::from_sha256("a", bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = ApiKey::from_clear("phones", "secret");
        let text = format!("{key:?}");
        assert!(text.contains("phones") && !text.contains("hash"), "{text}");
    }
}
