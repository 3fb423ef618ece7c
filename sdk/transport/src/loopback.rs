//! A server in the same process: for tests, examples and documentation.
//!
//! [`serve`] answers each operation with a stream that a closure makes. [`scripted`] hands the server's side to a test,
//! which then decides what is said, when, and how the link ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};
use tombolo_core::wire::graphql::{GraphqlError, Request};

use crate::{BoxFuture, CloseReason, Credential, Incoming, Link, OperationId, Outgoing, SendError, Transport, limits};

/// The results of one operation: response objects as JSON bytes, or errors that end it.
pub type Results = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Vec<GraphqlError>>> + Send>>;

/// A transport whose every operation is answered by `handler`, on the caller's own task.
///
/// The handler sees the credential too and may refuse it: an `Err` ends the link with that reason.
///
/// ```
/// use tombolo_transport::{Credential, Transport, loopback};
/// use tombolo_core::wire::graphql::Request;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let transport = loopback::serve(|_credential, _request| Ok(loopback::one(br#"{"data":{"ok":true}}"#.to_vec())));
/// let answer = transport.request(&Credential::None, Request { query: "{ ok }".into(), ..Request::default() }).await;
/// assert_eq!(answer.unwrap(), br#"{"data":{"ok":true}}"#);
/// # });
/// ```
pub fn serve<F>(handler: F) -> Served
where
    F: Fn(&Credential, Request) -> Result<Results, CloseReason> + Send + Sync + 'static,
{
    Served {
        handler: Arc::new(handler),
    }
}

/// Results of an operation that is answered once.
#[must_use]
pub fn one(answer: Vec<u8>) -> Results {
    Box::pin(futures_util::stream::once(std::future::ready(Ok(answer))))
}

type Handler = dyn Fn(&Credential, Request) -> Result<Results, CloseReason> + Send + Sync;

/// See [`serve`].
#[derive(Clone)]
pub struct Served {
    handler: Arc<Handler>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Served")
    }
}

impl Transport for Served {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        let link = ServedLink {
            handler: Arc::clone(&self.handler),
            credential: credential.clone(),
            running: Vec::new(),
            ready: VecDeque::new(),
            closed: None,
        };
        Box::pin(std::future::ready(Ok(Box::new(link) as Box<dyn Link>)))
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        Box::pin(async move {
            let mut results = (self.handler)(credential, request)?;
            match poll_fn(|cx| results.as_mut().poll_next(cx)).await {
                Some(Ok(answer)) => Ok(answer),
                Some(Err(errors)) => serde_json::to_vec(&serde_json::json!({ "data": null, "errors": errors }))
                    .map_err(|e| CloseReason::protocol(e.to_string())),
                None => Err(CloseReason::protocol("no answer")),
            }
        })
    }
}

struct ServedLink {
    handler: Arc<Handler>,
    credential: Credential,
    running: Vec<(OperationId, Results)>,
    ready: VecDeque<Incoming>,
    closed: Option<CloseReason>,
}

impl ServedLink {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if let Some(message) = self.ready.pop_front() {
            return Poll::Ready(message);
        }
        if let Some(reason) = &self.closed {
            return Poll::Ready(Incoming::Closed(reason.clone()));
        }
        for place in 0..self.running.len() {
            let (id, results) = &mut self.running[place];
            let id = *id;
            let message = match results.as_mut().poll_next(cx) {
                Poll::Pending => continue,
                Poll::Ready(Some(Ok(payload))) => {
                    // Whoever spoke goes to the end of the line, so that one busy operation does not silence the rest.
                    self.running[place..].rotate_left(1);
                    return Poll::Ready(Incoming::Next { id, payload });
                }
                Poll::Ready(Some(Err(errors))) => Incoming::Failed { id, errors },
                Poll::Ready(None) => Incoming::Complete { id },
            };
            drop(self.running.remove(place));
            return Poll::Ready(message);
        }
        Poll::Pending
    }
}

impl Link for ServedLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        match message {
            Outgoing::Start { id, request } => match (self.handler)(&self.credential, request) {
                Ok(results) => self.running.push((id, results)),
                Err(reason) => self.closed = Some(reason),
            },
            Outgoing::Stop { id } => self.running.retain(|(running, _)| *running != id),
        }
        Ok(())
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        Box::pin(poll_fn(|cx| self.poll(cx)))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.closed.get_or_insert(CloseReason::Local);
        self.running.clear();
        Box::pin(std::future::ready(()))
    }
}

/// A transport and the server's side of it, to be played by a test.
///
/// Each `open` and each `request` waits until the test has taken it from [`Script::next`] and answered it.
#[must_use]
pub fn scripted() -> (Scripted, Script) {
    let (sender, receiver) = mpsc::channel(limits::LOOPBACK_MESSAGES_MAX);
    (Scripted { calls: sender }, Script { calls: receiver })
}

/// The replica's side; see [`scripted`].
#[derive(Clone, Debug)]
pub struct Scripted {
    calls: mpsc::Sender<Call>,
}

/// The server's side; see [`scripted`]. When it is dropped, the server cannot be reached.
#[derive(Debug)]
pub struct Script {
    calls: mpsc::Receiver<Call>,
}

/// Something that a replica asks of a scripted server.
#[derive(Debug)]
pub enum Call {
    /// A link.
    Open(Opening),
    /// One request.
    Request(OneShot),
}

/// A link that waits to be accepted; dropping it makes the server unreachable.
#[derive(Debug)]
pub struct Opening {
    /// What the replica presented.
    pub credential: Credential,
    answer: oneshot::Sender<Result<ScriptedLink, CloseReason>>,
}

/// A request that waits for its answer; dropping it makes the server unreachable.
#[derive(Debug)]
pub struct OneShot {
    /// What the replica presented.
    pub credential: Credential,
    /// What it asks.
    pub request: Request,
    answer: oneshot::Sender<Result<Vec<u8>, CloseReason>>,
}

/// The server's side of one link. Dropping it cuts the connection.
#[derive(Debug)]
pub struct Session {
    /// What the replica sends; `None` when it has closed or dropped the link.
    pub from_replica: mpsc::Receiver<Outgoing>,
    to_replica: mpsc::Sender<Incoming>,
}

impl Script {
    /// The next call; `None` when every transport is dropped.
    pub async fn next(&mut self) -> Option<Call> {
        self.calls.recv().await
    }
}

impl Opening {
    /// Accepts the link. `None` if the replica has given up meanwhile.
    #[must_use]
    pub fn accept(self) -> Option<Session> {
        let (to_replica, incoming) = mpsc::channel(limits::LOOPBACK_MESSAGES_MAX);
        let (outgoing, from_replica) = mpsc::channel(limits::LOOPBACK_MESSAGES_MAX);
        let link = ScriptedLink {
            incoming,
            outgoing,
            closed: None,
        };
        self.answer.send(Ok(link)).ok().map(|()| Session {
            from_replica,
            to_replica,
        })
    }

    /// Refuses the link.
    pub fn refuse(self, reason: CloseReason) {
        // The replica may have given up; then nobody needs the reason.
        drop(self.answer.send(Err(reason)));
    }
}

impl OneShot {
    /// Answers, or refuses.
    pub fn answer(self, answer: Result<Vec<u8>, CloseReason>) {
        // The replica may have given up; then nobody needs the answer.
        drop(self.answer.send(answer));
    }
}

impl Session {
    /// Says something to the replica; false when it is gone.
    pub async fn send(&self, message: Incoming) -> bool {
        self.to_replica.send(message).await.is_ok()
    }
}

/// The replica's side of a scripted link.
#[derive(Debug)]
struct ScriptedLink {
    incoming: mpsc::Receiver<Incoming>,
    outgoing: mpsc::Sender<Outgoing>,
    closed: Option<CloseReason>,
}

impl ScriptedLink {
    async fn next(&mut self) -> Incoming {
        if let Some(reason) = &self.closed {
            return Incoming::Closed(reason.clone());
        }
        let message = self
            .incoming
            .recv()
            .await
            .unwrap_or_else(|| Incoming::Closed(CloseReason::unreachable("connection cut")));
        if let Incoming::Closed(reason) = &message {
            self.closed = Some(reason.clone());
        }
        message
    }
}

impl Link for ScriptedLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        self.outgoing.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed(CloseReason::unreachable("connection cut")),
        })
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        Box::pin(self.next())
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.closed.get_or_insert(CloseReason::Local);
        self.incoming.close();
        Box::pin(std::future::ready(()))
    }
}

impl Transport for Scripted {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        Box::pin(async move {
            let (sender, answer) = oneshot::channel();
            let opening = Opening {
                credential: credential.clone(),
                answer: sender,
            };
            self.calls
                .send(Call::Open(opening))
                .await
                .map_err(|_| CloseReason::unreachable("no server"))?;
            let link = answer.await.map_err(|_| CloseReason::unreachable("no server"))??;
            Ok(Box::new(link) as Box<dyn Link>)
        })
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        Box::pin(async move {
            let (sender, answer) = oneshot::channel();
            let call = OneShot {
                credential: credential.clone(),
                request,
                answer: sender,
            };
            self.calls
                .send(Call::Request(call))
                .await
                .map_err(|_| CloseReason::unreachable("no server"))?;
            answer.await.map_err(|_| CloseReason::unreachable("no server"))?
        })
    }
}
