//! A link by one of several ways: it notices when its way does not carry, and when the first choice is open again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::{Shared, Timing, is_blocked};
use crate::{
    BoxFuture, CloseReason, Credential, Incoming, Link, OperationId, Outgoing, Request, SendError, Transport, limits,
};

/// How the link goes, and what is beside it.
pub(super) struct Route {
    pub way: usize,
    /// The way to begin with if this one does not carry.
    pub next: usize,
    pub transport: Arc<dyn Transport>,
    pub first: Arc<dyn Transport>,
    /// For opening a link by the first choice.
    pub first_max: Duration,
    pub credential: Credential,
    pub timing: Timing,
    pub memory: Shared,
}

pub(super) struct FallbackLink {
    inner: Box<dyn Link>,
    route: Route,
    /// Something has come.
    heard: bool,
    /// The oldest operation since something last came.
    asked: Option<Asked>,
    back: Back,
    closed: Option<CloseReason>,
    /// It has been told how the link went.
    judged: bool,
}

struct Asked {
    at: Instant,
    /// What the transport had received by then.
    received: u64,
}

/// The look at whether the first choice is open again.
enum Back {
    /// The link goes by the first choice.
    Never,
    At(Pin<Box<Sleep>>),
    Trying(BoxFuture<'static, bool>),
}

impl FallbackLink {
    pub(super) fn new(inner: Box<dyn Link>, route: Route, due: Option<Instant>) -> Self {
        Self {
            inner,
            route,
            heard: false,
            asked: None,
            back: due.map_or(Back::Never, |due| Back::At(Box::pin(tokio::time::sleep_until(due)))),
            closed: None,
            judged: false,
        }
    }

    async fn next(&mut self) -> Incoming {
        if let Some(reason) = &self.closed {
            return Incoming::Closed(reason.clone());
        }
        let message = tokio::select! {
            biased;
            message = self.inner.receive() => message,
            () = self.back.first_choice(&self.route) => {
                tracing::info!("the transport of first choice is open again; this link ends for it");
                // Its time of being passed over is up too: the next call begins with it.
                self.judged = true;
                Incoming::Closed(CloseReason::Local)
            }
        };
        match &message {
            Incoming::Next { .. } | Incoming::Failed { .. } | Incoming::Complete { .. } => {
                (self.heard, self.asked) = (true, None);
            }
            Incoming::Closed(reason) => {
                self.judge(Some(reason));
                self.closed = Some(reason.clone());
            }
        }
        message
    }

    /// Remembers how the link went. With a `reason` the other side ended it, without one this side did.
    fn judge(&mut self, reason: Option<&CloseReason>) {
        if std::mem::replace(&mut self.judged, true) {
            return;
        }
        let owes = match (&self.asked, reason) {
            (None, _) => false,
            (Some(asked), Some(reason)) => is_blocked(reason) && !self.is_slow(asked),
            // Ended before the answer could have come: says nothing.
            (Some(asked), None) if asked.at.elapsed() < self.route.timing.silent_after => return,
            (Some(asked), None) => !self.is_slow(asked),
        };
        let mut memory = self.route.memory.lock();
        // Another link has been judged since, or the app has been suspended.
        if memory.begin != self.route.way {
            return;
        }
        memory.owing = if owes { memory.owing + 1 } else { 0 };
        if self.route.way == 0 && self.heard && !owes {
            memory.deceived = 0;
        }
        if owes && (!self.heard || memory.owing >= limits::FALLBACK_OWING_LINKS_MAX) {
            if self.route.way == 0 {
                memory.deceived = memory.deceived.saturating_add(1);
            }
            tracing::info!("links are opened by this transport but do not carry; the next is by another");
            memory.failed(self.route.way, self.route.next);
        }
    }

    /// Whether bytes have come, though no whole message.
    fn is_slow(&self, asked: &Asked) -> bool {
        self.route.transport.received().saturating_sub(asked.received) >= limits::FALLBACK_SILENCE_BYTES_MAX
    }
}

/// Whether a link by this way can be opened and brings an answer: a network may let the hand-shake through and nothing else.
async fn carries(way: &dyn Transport, credential: &Credential) -> bool {
    let Ok(mut link) = way.open(credential).await else {
        return false;
    };
    let request = Request {
        query: "{ __typename }".to_owned(),
        ..Request::default()
    };
    let id = OperationId(1);
    let answered = match link.send(Outgoing::Start { id, request }) {
        Ok(()) => !matches!(link.receive().await, Incoming::Closed(_)),
        Err(_) => false,
    };
    link.close().await;
    answered
}

impl Back {
    /// Ready when a link by the first choice has been opened and carried something. Cancel safe: how far it is stands in `self`.
    async fn first_choice(&mut self, route: &Route) {
        loop {
            match self {
                Self::Never => std::future::pending().await,
                Self::At(due) => {
                    due.await;
                    let (first, credential, most) =
                        (Arc::clone(&route.first), route.credential.clone(), route.first_max);
                    *self = Self::Trying(Box::pin(async move {
                        tokio::time::timeout(most, carries(&*first, &credential)).await == Ok(true)
                    }));
                }
                Self::Trying(trying) => {
                    let is_open = trying.await;
                    let now = Instant::now();
                    let mut memory = route.memory.lock();
                    let due = now + memory.return_after(route.timing.return_after);
                    *self = Self::At(Box::pin(tokio::time::sleep_until(due)));
                    if is_open {
                        return;
                    }
                    memory.blocked_at = Some(now);
                }
            }
        }
    }
}

impl Link for FallbackLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        let asks = matches!(message, Outgoing::Start { .. });
        self.inner.send(message)?;
        if asks && self.asked.is_none() {
            self.asked = Some(Asked {
                at: Instant::now(),
                received: self.route.transport.received(),
            });
        }
        Ok(())
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        Box::pin(self.next())
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.judge(None);
        self.closed.get_or_insert(CloseReason::Local);
        self.inner.close()
    }

    fn transport(&self) -> &'static str {
        self.inner.transport()
    }
}

impl Drop for FallbackLink {
    fn drop(&mut self) {
        self.judge(None);
    }
}
