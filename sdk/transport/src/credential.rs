//! What a replica presents to be let in.

use std::fmt;

use serde_json::{Value as Json, json};

/// The header, and the key in `connection_init`, that carries an API key.
pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// What a replica presents to be let in. Its `Debug` never shows the secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credential {
    /// Nothing: the server decides what a stranger may do.
    #[default]
    None,
    /// An API key, in the header `x-api-key` and in `connection_init`.
    ApiKey(String),
}

impl Credential {
    /// The payload of `connection_init`.
    pub(crate) fn init_payload(&self) -> Option<Json> {
        match self {
            Self::None => None,
            Self::ApiKey(key) => Some(json!({ API_KEY_HEADER: key })),
        }
    }

    /// Name and value of the HTTP header.
    pub(crate) fn header(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::None => None,
            Self::ApiKey(key) => Some((API_KEY_HEADER, key)),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::ApiKey(_) => "ApiKey(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Credential::ApiKey("s3cret".into())), "ApiKey(…)");
    }
}
