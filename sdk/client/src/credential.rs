//! The credential while the client is open: another one, when the server refuses the one before.

use std::sync::PoisonError;

use tombolo_machine::Input;
use tombolo_transport::Credential;

use crate::Error;
use crate::client::Client;

impl Client {
    /// Gives another API key. A link that was refused is tried again, one that is open is opened anew.
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// client.set_api_key("the key that came with the last sign-in").await?;
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn set_api_key(&self, key: impl Into<String>) -> Result<(), Error> {
        self.set_credential(Credential::ApiKey(key.into())).await
    }

    /// Gives another token of the signed-in user: a fresh one, when the one before has expired. A link that was refused is
    /// tried again, one that is open is opened anew. Local life goes on without.
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// client.set_token("the token that the issuer has just given").await?;
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn set_token(&self, token: impl Into<String>) -> Result<(), Error> {
        self.set_credential(Credential::Token(token.into())).await
    }

    async fn set_credential(&self, credential: Credential) -> Result<(), Error> {
        *self.inner.credential.lock().unwrap_or_else(PoisonError::into_inner) = credential;
        self.inner.step(Input::TokenChanged).await
    }
}
