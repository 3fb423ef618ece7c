//! What is presented to the server, and whom to ask for another.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::report;

/// What a replica presents to be let in.
#[derive(Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Credential {
    /// An API key.
    ApiKey {
        /// The key.
        key: String,
    },
    /// The signed-in user's token, as it came from its issuer.
    Token {
        /// The token.
        token: String,
    },
}

/// What a callback may throw. What it threw is reported ([`crate::set_reporter`]), and the SDK goes on as if the callback had
/// had nothing to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum CallbackError {
    /// It failed.
    #[error("{detail}")]
    Failed {
        /// In its own words.
        detail: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for CallbackError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed { detail: error.reason }
    }
}

/// The app's sign-in: [`tombolo::Builder::credentials`].
#[uniffi::export(with_foreign)]
pub trait CredentialProvider: Send + Sync {
    /// Is asked for a credential when the server wants another one; called on a thread that may block. The answer goes into
    /// `reply`, now or later; letting go of `reply` means that there is none.
    ///
    /// # Errors
    /// Whatever it throws is reported and means that there is none.
    fn credential_needed(&self, reply: Arc<CredentialReply>) -> Result<(), CallbackError>;
}

/// Takes the answer of a [`CredentialProvider`]. The first answer counts.
#[derive(uniffi::Object)]
pub struct CredentialReply {
    answer: Mutex<Option<oneshot::Sender<Option<Credential>>>>,
}

#[uniffi::export]
impl CredentialReply {
    /// Gives the answer; `None`: there is none now, and the link rests until the app gives one. Whether it was the first
    /// one, and somebody waited for it.
    pub fn give(&self, credential: Option<Credential>) -> bool {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.is_some_and(|answer| answer.send(credential).is_ok())
    }
}

/// Asks the app, and waits for its answer.
pub(crate) async fn ask(provider: Arc<dyn CredentialProvider>) -> Option<tombolo::transport::Credential> {
    let (sender, answer) = oneshot::channel();
    let reply = Arc::new(CredentialReply {
        answer: Mutex::new(Some(sender)),
    });
    let called = tokio::task::spawn_blocking(move || provider.credential_needed(reply)).await;
    match called {
        Ok(Ok(())) => {}
        Ok(Err(CallbackError::Failed { detail })) => {
            report::report("callback", format!("the credential provider threw: {detail}"));
            return None;
        }
        Err(error) => {
            report::report("callback", format!("the credential provider failed: {error}"));
            return None;
        }
    }
    let credential = answer.await.ok().flatten()?;
    Some(match credential {
        Credential::ApiKey { key } => tombolo::transport::Credential::ApiKey(key),
        Credential::Token { token } => tombolo::transport::Credential::Token(token),
    })
}
