//! Operations in the frames of `graphql-transport-ws`, for whatever carries those frames: a WebSocket ([`crate::ws`]) or MQTT
//! ([`crate::mqtt`]).
//!
//! A [`Desk`] is one session's. Whoever reads from the session starts operations here, one after the other; mutations enter the
//! writer's queue before [`Desk::subscribe`] returns, so their order on the wire is their order there. Each operation waits for
//! its answer, or pulls its subscription, and sends frames through a channel of a few. Everything that waits, waits for
//! somebody further on: a subscription pulls its next batch only when the last has been taken, the reader is held only when
//! there is no room for an operation. So a slow or a greedy client holds a bounded amount of memory and slows down nobody but
//! itself.

mod outgoing;
mod registry;

use std::sync::Arc;

use axum::extract::ws::Message;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tombolo_core::access::Identity;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_engine::{Bookmark, EngineError, Prepared, Subscriber};

use crate::api::{Api, Pending, Work};
use crate::auth::{Refusal, expiry};
use crate::limits::{MUTATIONS_IN_FLIGHT_MAX, QUERIES_IN_FLIGHT_MAX};
use crate::routes::App;
pub(crate) use outgoing::{Mark, Outgoing};
pub(crate) use registry::error_frame;
use registry::{Operation, Operations};

/// Why an operation was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The server is not ready any more.
    Ending,
    /// Nobody takes the session's frames any more.
    Gone,
}

/// One session's operations.
pub(crate) struct Desk {
    app: Arc<App>,
    out: mpsc::Sender<Outgoing>,
    operations: Operations,
    tasks: JoinSet<()>,
    /// Room for queries, until their answers are taken.
    queries: Arc<Semaphore>,
    /// The same for mutations.
    mutations: Arc<Semaphore>,
    /// Cancelled by a subscription that cannot go on.
    failed: CancellationToken,
    /// Subscriptions are marked, so that another session can go on with them.
    marks: bool,
}

/// What became of a request for an operation.
#[derive(Debug)]
pub(crate) enum Started {
    /// There is nothing to wait for: it is at work, or was refused.
    Other,
    /// A mutation, in the writer's queue.
    Mutation(Settled),
    /// A marked subscription.
    Subscription(Begun),
}

impl Started {
    /// The subscription, if it is one and is marked.
    pub(crate) fn begun(self) -> Option<Begun> {
        match self {
            Self::Subscription(begun) => Some(begun),
            Self::Other | Self::Mutation(_) => None,
        }
    }
}

/// Tells when a mutation is committed or refused, whether anybody waits for its answer or not.
#[derive(Clone, Debug)]
pub(crate) struct Settled(CancellationToken);

impl Settled {
    /// Completes when it is, or never will be because the server has ended.
    pub(crate) async fn wait(self) {
        self.0.cancelled_owned().await;
    }

    pub(crate) fn is_now(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// A subscription that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    /// See [`Mark::serial`].
    pub(crate) serial: u64,
    /// Where it stands.
    pub(crate) bookmark: Bookmark,
}

/// What is told of an operation that was never begun is marked with this serial number.
pub(crate) const NEVER_BEGUN: u64 = 0;

impl Desk {
    /// A desk whose frames go to `out`.
    pub(crate) fn new(app: Arc<App>, out: mpsc::Sender<Outgoing>) -> Self {
        Self {
            app,
            out,
            operations: Operations::default(),
            tasks: JoinSet::new(),
            queries: Arc::new(Semaphore::new(QUERIES_IN_FLIGHT_MAX)),
            mutations: Arc::new(Semaphore::new(MUTATIONS_IN_FLIGHT_MAX)),
            failed: CancellationToken::new(),
            marks: false,
        }
    }

    /// The same, whose subscriptions can be gone on with: their frames are marked.
    pub(crate) fn with_marks(mut self, marks: bool) -> Self {
        self.marks = marks;
        self
    }

    /// Cancelled when a subscription cannot go on, and the session has to end so that its client comes back.
    pub(crate) fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    /// Tidies up after one operation that is over; for ever if none is open.
    pub(crate) async fn tidy(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    pub(crate) fn is_open(&self, id: &str) -> bool {
        self.operations.is_open(id)
    }

    /// Whether none is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.operations.is_empty()
    }

    /// Ends an operation for its client.
    pub(crate) fn cancel(&self, id: &str) {
        self.operations.cancel(id);
    }

    /// Starts an operation under an id that is not in use. A subscription ends when its caller's credential `expires`, unless
    /// that ends the whole session; it goes on `from` a bookmark, if there is one.
    pub(crate) async fn subscribe(
        &mut self,
        identity: &Identity,
        expires: Option<Timestamp>,
        id: String,
        request: &Request,
        from: Option<&Bookmark>,
    ) -> Result<Started, Stopped> {
        let app = Arc::clone(&self.app);
        let Some(api) = app.api() else {
            return Err(Stopped::Ending);
        };
        match api.prepare(identity, request) {
            Err(errors) => self.refuse(&id, &errors).await?,
            Ok(Work::Query(prepared)) => {
                if let Err(often) = self.app.rates.read(identity) {
                    let error = GraphqlError::new(ErrorType::LimitExceeded, often.to_string());
                    self.refuse(&id, &[error]).await?;
                    return Ok(Started::Other);
                }
                let room = self.make_room(&self.queries).await?;
                self.start(id, false, |operation| async move {
                    let answer = match app.api() {
                        Some(api) => api.query(prepared).await,
                        None => return,
                    };
                    operation.answer(answer).await;
                    drop(room);
                });
            }
            Ok(Work::Mutation(mutation)) => {
                let room = self.make_room(&self.mutations).await?;
                match api.enqueue(mutation).await {
                    Ok(pending) => {
                        let settled = CancellationToken::new();
                        let told = settled.clone().drop_guard();
                        self.start(id, false, |operation| settle(app, operation, pending, room, told));
                        return Ok(Started::Mutation(Settled(settled)));
                    }
                    Err(failed) => self.refuse(&id, &[failed.error()]).await?,
                }
            }
            Ok(Work::Subscription(prepared)) => {
                let most = self.app.limits.subscriptions_max;
                if self.operations.subscriptions() >= most {
                    let message = format!("more than {most} subscriptions on one socket: open another one");
                    let error = GraphqlError::new(ErrorType::LimitExceeded, message);
                    self.refuse(&id, &[error]).await?;
                    return Ok(Started::Other);
                }
                let begun = self.listen(api, &prepared, expires, id, from).await?;
                return Ok(begun.map_or(Started::Other, Started::Subscription));
            }
        }
        Ok(Started::Other)
    }

    async fn listen(
        &mut self,
        api: &Api,
        prepared: &Prepared,
        expires: Option<Timestamp>,
        id: String,
        from: Option<&Bookmark>,
    ) -> Result<Option<Begun>, Stopped> {
        // Here and not in the operation's task: what is committed after a later answer on this socket reaches it.
        let wake = Arc::new(Notify::new());
        let waker = {
            let wake = Arc::clone(&wake);
            Arc::new(move || wake.notify_one())
        };
        let begun = match self.marks {
            true => api
                .subscribe_from(prepared, waker, from)
                .await
                .map(|(subscription, bookmark)| (subscription, Some(bookmark))),
            false => api.subscribe(prepared, waker).map(|subscription| (subscription, None)),
        };
        let (subscription, bookmark) = match begun {
            Ok(begun) => begun,
            Err(errors) => {
                self.refuse(&id, &errors).await?;
                return Ok(None);
            }
        };
        let (app, failed) = (Arc::clone(&self.app), self.failed.clone());
        let told = bookmark.clone();
        let serial = self.start(id, true, |operation| async move {
            let pulling = pull(app, &operation, subscription, wake, failed, told);
            let ended = tokio::select! {
                ended = pulling => ended,
                () = expiry(expires) => Err(vec![expired()]),
            };
            if let Err(errors) = ended {
                operation.refuse(&errors).await;
            }
        });
        Ok(bookmark.map(|bookmark| Begun { serial, bookmark }))
    }

    /// Errors instead of an operation.
    async fn refuse(&self, id: &str, errors: &[GraphqlError]) -> Result<(), Stopped> {
        let frame = error_frame(id, errors);
        let mark = self.marks.then(|| Mark {
            id: id.into(),
            serial: NEVER_BEGUN,
            bookmark: None,
        });
        let outgoing = match mark {
            Some(mark) => Outgoing::Marked(frame, mark),
            None => Outgoing::Frame(frame),
        };
        self.out.send(outgoing).await.map_err(|_| Stopped::Gone)
    }

    /// Waits for room for one more query or mutation, unless the socket is gone.
    async fn make_room(&self, room: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Stopped> {
        tokio::select! {
            permit = Arc::clone(room).acquire_owned() => permit.map_err(|_| Stopped::Gone),
            () = self.out.closed() => Err(Stopped::Gone),
        }
    }

    /// Gives the operation's serial number.
    fn start<F>(&mut self, id: String, subscription: bool, work: impl FnOnce(Operation) -> F) -> u64
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let marks = subscription && self.marks;
        let (operation, serial) = self.operations.open(&id, subscription, marks, self.out.clone());
        let handle = self.tasks.spawn(work(operation));
        self.operations.attach(&id, serial, handle);
        serial
    }

    pub(crate) async fn send(&self, message: Message) -> Result<(), Stopped> {
        self.out.send(message.into()).await.map_err(|_| Stopped::Gone)
    }

    /// Ends what is open: all of it at once, or, if the server ends in order, what was accepted is finished first.
    pub(crate) async fn close(mut self, in_order: bool) {
        if in_order {
            self.operations.cancel_subscriptions();
            while self.tasks.join_next().await.is_some() {}
        }
        self.tasks.shutdown().await;
    }
}

/// Answers a mutation. It is carried out to its end by itself, also if its client cancels it or is gone: a resolver may have to
/// be asked about it.
fn settle(
    app: Arc<App>,
    operation: Operation,
    pending: Pending,
    room: OwnedSemaphorePermit,
    told: DropGuard,
) -> impl Future<Output = ()> + Send {
    let settling = app.life.tasks.clone().spawn(async move {
        let answer = match app.api() {
            Some(api) => Some(api.settle(pending).await),
            None => None,
        };
        drop(told);
        (answer, room)
    });
    async move {
        // A panic is in the log; the client is told nothing, and asks again.
        if let Ok((Some(answer), room)) = settling.await {
            operation.answer(answer).await;
            drop(room);
        }
    }
}

/// The credential of a subscription's caller is over.
fn expired() -> GraphqlError {
    GraphqlError::new(ErrorType::UnauthorizedException, Refusal::TokenExpired.to_string())
}

/// Sends a subscription's payloads as the socket takes them; errors end it. `told` is where it stands, if it is marked.
async fn pull(
    app: Arc<App>,
    operation: &Operation,
    mut subscription: Subscriber,
    wake: Arc<Notify>,
    failed: CancellationToken,
    mut told: Option<Bookmark>,
) -> Result<(), Vec<GraphqlError>> {
    let Some(api) = app.api() else { return Ok(()) };
    loop {
        match api.next(&mut subscription).await {
            Ok(Some(payload)) => {
                if told.is_some() {
                    told = bookmark(api, &subscription).await.or(told);
                }
                if !operation.next(&payload, told.clone()).await {
                    return Ok(());
                }
            }
            Ok(None) => {
                if told.is_some() {
                    // What it is not interested in lies behind it as well.
                    let at = bookmark(api, &subscription).await.or_else(|| told.clone());
                    if at != told && !operation.pass(at.clone()).await {
                        return Ok(());
                    }
                    told = at;
                }
                wake.notified().await;
            }
            Err(EngineError::Request(errors)) => return Err(errors),
            Err(EngineError::Store(error)) => {
                tracing::error!(%error, "a subscription cannot go on");
                failed.cancel();
                return Ok(());
            }
        }
    }
}

/// Where a subscription stands; without it the one of before counts, and some is told again.
async fn bookmark(api: &Api, subscription: &Subscriber) -> Option<Bookmark> {
    let at = api.bookmark(subscription).await;
    at.inspect_err(|error| tracing::debug!(%error, "where a subscription stands is not known"))
        .ok()
}
