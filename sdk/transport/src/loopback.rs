//! A server in the same process: for tests, examples and documentation.
//!
//! [`serve`] answers each operation with a stream that a closure makes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use tombolo_core::wire::graphql::{GraphqlError, Request};

use crate::{BoxFuture, CloseReason, Credential, Incoming, Link, OperationId, Outgoing, SendError, Transport};

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

    fn transport(&self) -> &'static str {
        "loopback"
    }
}
