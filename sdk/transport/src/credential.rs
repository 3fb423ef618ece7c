//! What a replica presents to be let in.

use std::fmt;

use serde_json::{Value as Json, json};

/// The header, and the key in `connection_init`, that carries an API key.
pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// The header, and the key in `connection_init`, that carries a token.
pub(crate) const TOKEN_HEADER: &str = "authorization";

/// What a replica presents to be let in. Its `Debug` never shows the secret.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credential {
    /// Nothing: the server decides what a stranger may do.
    #[default]
    None,
    /// An API key, in the header `x-api-key` and in `connection_init`.
    ApiKey(String),
    /// A token of an issuer that the server trusts, or one for its authorizer function; in the header `authorization` and in
    /// `connection_init`.
    Token(String),
}

impl Credential {
    /// The payload of `connection_init`.
    pub(crate) fn init_payload(&self) -> Option<Json> {
        match self {
            Self::None => None,
            Self::ApiKey(key) => Some(json!({ API_KEY_HEADER: key })),
            Self::Token(token) => Some(json!({ TOKEN_HEADER: token })),
        }
    }

    /// Name and value of the HTTP header.
    pub(crate) fn header(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::None => None,
            Self::ApiKey(key) => Some((API_KEY_HEADER, key)),
            Self::Token(token) => Some((TOKEN_HEADER, token)),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::ApiKey(_) => "ApiKey(…)",
            Self::Token(_) => "Token(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Credential::ApiKey("s3cret".into())), "ApiKey(…)");
        assert_eq!(format!("{:?}", Credential::Token("s3cret".into())), "Token(…)");
    }

    #[test]
    fn a_token_goes_as_it_is() {
        let token = Credential::Token("ey.J0.x".into());
        assert_eq!(token.header(), Some(("authorization", "ey.J0.x")));
        assert_eq!(token.init_payload(), Some(json!({ "authorization": "ey.J0.x" })));
    }
}
