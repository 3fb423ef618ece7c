//! The credential while the client is open: another one, when the server refuses the one before.

use std::future::Future;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tombolo_machine::{Input, LinkStatus, Status};
use tombolo_transport::{BoxFuture, Credential};

use crate::Error;
use crate::builder::Builder;
use crate::client::Client;
use crate::inner::Inner;
use crate::limits::{CREDENTIAL_RETRY_MAX, CREDENTIAL_RETRY_MIN};

/// Asks the app for a credential.
pub(crate) type Ask = Arc<dyn Fn() -> BoxFuture<'static, Option<Credential>> + Send + Sync>;

impl Builder {
    /// Whom to ask for a credential when the server refuses the present one (or when there is none and the server wants
    /// one): the app's sign-in, which fetches a fresh token. Without it the app learns of it by [`crate::Event::NeedToken`]
    /// and gives one by [`Client::set_token`].
    ///
    /// It is asked once for each refusal, one question at a time, on the runtime that the client was opened in, and it may
    /// take as long as it likes: local life goes on. `None` means that there is none now; the link then rests until the app
    /// gives one. If what it gives is refused again, the next question waits: 1 s, doubling up to 60 s
    /// ([`CREDENTIAL_RETRY_MIN`], [`CREDENTIAL_RETRY_MAX`]); also if the server lets it in first and refuses it sooner
    /// than that.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// use tombolo::transport::Credential;
    ///
    /// async fn sign_in() -> Option<Credential> {
    ///     Some(Credential::Token("what the issuer has just given".into()))
    /// }
    ///
    /// let client = tombolo::Client::builder()
    ///     .schema("type Note @model { id: ID! text: String! }")
    ///     .path(folder.path().join("replica.db"))
    ///     .url("https://api.example.com/graphql")
    ///     .credentials(sign_in)
    ///     .offline(true)
    ///     .open()
    ///     .await?;
    /// client.close().await;
    /// # Ok::<(), tombolo::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn credentials<A>(mut self, ask: impl Fn() -> A + Send + Sync + 'static) -> Self
    where
        A: Future<Output = Option<Credential>> + Send + 'static,
    {
        self.ask = Some(Arc::new(move || Box::pin(ask())));
        self
    }
}

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

/// Asks the app whenever the link rests for want of a credential, until the client is gone.
pub(crate) async fn keep_asking(client: Weak<Inner>, mut status: watch::Receiver<Status>, ask: Ask) {
    let paused = |status: &Status| status.link == LinkStatus::Paused;
    let mut wait = None;
    let mut asked: Option<Instant> = None;
    loop {
        // What is refused before anything of the server was seen again was given in vain.
        let met = status.wait_for(|status| paused(status) || is_in(status)).await;
        let Ok(met) = met.map(|status| paused(&status)) else {
            return;
        };
        if !met {
            if status.wait_for(|status| !is_in(status)).await.is_err() {
                return;
            }
            // One that is let in and soon refused helps as little as one that is never let in.
            if asked.zip(wait).is_none_or(|(at, wait)| at.elapsed() >= wait) {
                wait = None;
            }
            continue;
        }
        if let Some(wait) = wait {
            let helped = tokio::time::timeout(wait, status.wait_for(|status| !paused(status))).await;
            match helped {
                // The app has given one itself.
                Ok(Ok(_)) => continue,
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        }
        // Closed or signed out while it rested: nobody is to be asked to sign in for that.
        if client.upgrade().is_none_or(|inner| inner.hub.standing().is_over()) {
            return;
        }
        wait = Some(next_wait(wait));
        asked = Some(Instant::now());
        // A task of its own: one that panics is like one that has none.
        let credential = tokio::spawn(ask()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the app failed when it was asked for a credential");
            None
        });
        let Some(inner) = client.upgrade() else { return };
        let still = paused(&status.borrow());
        if still && let Some(credential) = credential {
            if Client::of(inner).set_credential(credential).await.is_ok() {
                // Refused again at once, the link may rest already: what lay between need not be seen.
                continue;
            }
            // Suspended, or closed: asked again if the link ever rests again.
            tracing::debug!("a credential came too late");
        } else {
            drop(inner);
        }
        if status.wait_for(|status| !paused(status)).await.is_err() {
            return;
        }
    }
}

/// How long the next question waits after one that did not help.
fn next_wait(before: Option<Duration>) -> Duration {
    before.map_or(CREDENTIAL_RETRY_MIN, |before| (before * 2).min(CREDENTIAL_RETRY_MAX))
}

/// The server has let the replica in.
fn is_in(status: &Status) -> bool {
    matches!(status.link, LinkStatus::CatchingUp | LinkStatus::Live)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Mutex;

    use super::*;

    fn link(link: LinkStatus) -> Status {
        Status {
            link,
            ..Status::default()
        }
    }

    /// When the app was asked; it has no credential.
    fn asks() -> (Arc<Mutex<Vec<Instant>>>, Ask) {
        let times = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&times);
        let ask: Ask = Arc::new(move || {
            noted.lock().unwrap().push(Instant::now());
            Box::pin(std::future::ready(None))
        });
        (times, ask)
    }

    #[tokio::test]
    async fn nobody_is_asked_for_a_client_that_is_gone() {
        let (times, ask) = asks();
        let status = watch::Sender::new(link(LinkStatus::Paused));
        keep_asking(Weak::new(), status.subscribe(), ask).await;
        assert!(times.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn nobody_is_asked_after_the_close_though_a_handle_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let client = offline(&folder).await;
        let left = client.clone();
        client.close().await;
        let (times, ask) = asks();
        let status = watch::Sender::new(link(LinkStatus::Paused));
        keep_asking(Arc::downgrade(&left.inner), status.subscribe(), ask).await;
        assert!(times.lock().unwrap().is_empty());
    }

    /// A server that refuses so fast that the link is never seen to be tried.
    #[tokio::test]
    async fn what_is_refused_unseen_is_asked_about_again() {
        let folder = tempfile::tempdir().unwrap();
        let client = offline(&folder).await;
        tokio::time::pause();
        let times = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&times);
        let ask: Ask = Arc::new(move || {
            noted.lock().unwrap().push(Instant::now());
            Box::pin(std::future::ready(Some(Credential::ApiKey("stale".into()))))
        });
        let status = watch::Sender::new(link(LinkStatus::Paused));
        let asking = tokio::spawn(keep_asking(Arc::downgrade(&client.inner), status.subscribe(), ask));
        let begun = Instant::now();
        while times.lock().unwrap().len() < 3 {
            assert!(begun.elapsed() < CREDENTIAL_RETRY_MAX, "asked no more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        asking.abort();
        tokio::time::resume();
        client.close().await;
    }

    async fn offline(folder: &tempfile::TempDir) -> Client {
        let sdl = "type Note @model { id: ID! text: String! }";
        let path = folder.path().join("replica.db");
        Client::builder().schema(sdl).path(path).open().await.unwrap()
    }

    /// A server that lets everybody in and refuses them then.
    #[tokio::test]
    async fn one_that_is_let_in_and_refused_at_once_is_not_asked_about_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let client = offline(&folder).await;
        tokio::time::pause();
        let (times, ask) = asks();
        let status = watch::Sender::new(link(LinkStatus::Opening));
        let asking = tokio::spawn(keep_asking(Arc::downgrade(&client.inner), status.subscribe(), ask));
        for asked in 1..4 {
            status.send_replace(link(LinkStatus::Paused));
            while times.lock().unwrap().len() < asked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            status.send_replace(link(LinkStatus::CatchingUp));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let between: Vec<u64> = times
            .lock()
            .unwrap()
            .windows(2)
            .map(|t| (t[1] - t[0]).as_secs())
            .collect();
        assert_eq!(between, [1, 2]);
        asking.abort();
        tokio::time::resume();
        client.close().await;
    }

    #[test]
    fn what_is_refused_again_is_asked_about_ever_more_rarely() {
        let waits = std::iter::successors(Some(next_wait(None)), |wait| Some(next_wait(Some(*wait))));
        let seconds: Vec<u64> = waits.take(9).map(|wait| wait.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
