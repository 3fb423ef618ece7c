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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A provider that does this.
    struct Does<F>(F);

    impl<F: Fn(Arc<CredentialReply>) -> Result<(), CallbackError> + Send + Sync> CredentialProvider for Does<F> {
        fn credential_needed(&self, reply: Arc<CredentialReply>) -> Result<(), CallbackError> {
            (self.0)(reply)
        }
    }

    fn key(key: &str) -> Credential {
        Credential::ApiKey { key: key.to_owned() }
    }

    #[tokio::test]
    async fn the_first_answer_counts() {
        let provider = Does(|reply: Arc<CredentialReply>| {
            assert!(reply.give(Some(key("first"))));
            assert!(!reply.give(Some(key("second"))));
            Ok(())
        });
        let given = ask(Arc::new(provider)).await;
        assert!(given == Some(tombolo::transport::Credential::ApiKey("first".into())));
    }

    #[tokio::test]
    async fn an_answer_may_come_later_from_another_thread() {
        let provider = Does(|reply: Arc<CredentialReply>| {
            std::thread::spawn(move || reply.give(Some(key("late"))));
            Ok(())
        });
        assert!(ask(Arc::new(provider)).await.is_some());
    }

    #[tokio::test]
    async fn no_answer_a_callback_that_throws_and_one_that_panics_are_no_credential() {
        let lets_go = Does(|_| Ok(()));
        assert!(ask(Arc::new(lets_go)).await.is_none());
        let throws = Does(|reply: Arc<CredentialReply>| {
            reply.give(Some(key("half a sign-in")));
            Err(CallbackError::Failed {
                detail: "broken".into(),
            })
        });
        assert!(ask(Arc::new(throws)).await.is_none());
        let panics = Does(|_| panic!("broken"));
        assert!(ask(Arc::new(panics)).await.is_none());
    }
}
