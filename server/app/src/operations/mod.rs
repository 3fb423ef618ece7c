//! Operations in the frames of `graphql-transport-ws`, for whatever carries those frames: a WebSocket ([`crate::ws`]) or MQTT
//! ([`crate::mqtt`]).
//!
//! A [`Desk`] is one session's. Whoever reads from the session starts operations here, one after the other; mutations enter the
//! writer's queue before [`Desk::subscribe`] returns, so their order on the wire is their order there. Each operation waits for
//! its answer, or pulls its subscription, and sends frames through a channel of a few. Everything that waits, waits for
//! somebody further on: a subscription pulls its next batch only when the last has been taken, the reader is held only when
//! there is no room for an operation. So a slow or a greedy client holds a bounded amount of memory and slows down nobody but
//! itself.

mod registry;

use std::sync::Arc;

use axum::extract::ws::Message;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tombolo_core::access::Identity;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_engine::{EngineError, Subscriber};

use crate::api::{Pending, Work};
use crate::auth::{Refusal, expiry};
use crate::limits::{MUTATIONS_IN_FLIGHT_MAX, QUERIES_IN_FLIGHT_MAX};
use crate::routes::App;
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
    out: mpsc::Sender<Message>,
    operations: Operations,
    tasks: JoinSet<()>,
    /// Room for queries, until their answers are taken.
    queries: Arc<Semaphore>,
    /// The same for mutations.
    mutations: Arc<Semaphore>,
    /// Cancelled by a subscription that cannot go on.
    failed: CancellationToken,
}

impl Desk {
    /// A desk whose frames go to `out`.
    pub(crate) fn new(app: Arc<App>, out: mpsc::Sender<Message>) -> Self {
        Self {
            app,
            out,
            operations: Operations::default(),
            tasks: JoinSet::new(),
            queries: Arc::new(Semaphore::new(QUERIES_IN_FLIGHT_MAX)),
            mutations: Arc::new(Semaphore::new(MUTATIONS_IN_FLIGHT_MAX)),
            failed: CancellationToken::new(),
        }
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

    /// Ends an operation for its client.
    pub(crate) fn cancel(&self, id: &str) {
        self.operations.cancel(id);
    }

    /// Starts an operation under an id that is not in use. A subscription ends when its caller's credential `expires`, unless
    /// that ends the whole session.
    pub(crate) async fn subscribe(
        &mut self,
        identity: &Identity,
        expires: Option<Timestamp>,
        id: String,
        request: &Request,
    ) -> Result<(), Stopped> {
        let app = Arc::clone(&self.app);
        let Some(api) = app.api() else {
            return Err(Stopped::Ending);
        };
        match api.prepare(identity, request) {
            Err(errors) => self.send(error_frame(&id, &errors)).await,
            Ok(Work::Query(prepared)) => {
                if let Err(often) = self.app.rates.read(identity) {
                    let error = GraphqlError::new(ErrorType::LimitExceeded, often.to_string());
                    return self.send(error_frame(&id, &[error])).await;
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
                Ok(())
            }
            Ok(Work::Mutation(mutation)) => {
                let room = self.make_room(&self.mutations).await?;
                match api.enqueue(mutation).await {
                    Ok(pending) => {
                        self.start(id, false, |operation| settle(app, operation, pending, room));
                        Ok(())
                    }
                    Err(failed) => self.send(error_frame(&id, &[failed.error()])).await,
                }
            }
            Ok(Work::Subscription(prepared)) => {
                let most = self.app.limits.subscriptions_max;
                if self.operations.subscriptions() >= most {
                    let message = format!("more than {most} subscriptions on one socket: open another one");
                    return self
                        .send(error_frame(
                            &id,
                            &[GraphqlError::new(ErrorType::LimitExceeded, message)],
                        ))
                        .await;
                }
                // Here and not in the operation's task: what is committed after a later answer on this socket reaches it.
                let wake = Arc::new(Notify::new());
                let waker = {
                    let wake = Arc::clone(&wake);
                    Arc::new(move || wake.notify_one())
                };
                match api.subscribe(&prepared, waker) {
                    Ok(subscription) => {
                        let failed = self.failed.clone();
                        self.start(id, true, |operation| async move {
                            let pulling = pull(app, &operation, subscription, wake, failed);
                            let ended = tokio::select! {
                                ended = pulling => ended,
                                () = expiry(expires) => Err(vec![expired()]),
                            };
                            if let Err(errors) = ended {
                                operation.refuse(&errors).await;
                            }
                        });
                        Ok(())
                    }
                    Err(errors) => self.send(error_frame(&id, &errors)).await,
                }
            }
        }
    }

    /// Waits for room for one more query or mutation, unless the socket is gone.
    async fn make_room(&self, room: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Stopped> {
        tokio::select! {
            permit = Arc::clone(room).acquire_owned() => permit.map_err(|_| Stopped::Gone),
            () = self.out.closed() => Err(Stopped::Gone),
        }
    }

    fn start<F>(&mut self, id: String, subscription: bool, work: impl FnOnce(Operation) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (operation, serial) = self.operations.open(&id, subscription, self.out.clone());
        let handle = self.tasks.spawn(work(operation));
        self.operations.attach(&id, serial, handle);
    }

    pub(crate) async fn send(&self, message: Message) -> Result<(), Stopped> {
        self.out.send(message).await.map_err(|_| Stopped::Gone)
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

async fn settle(app: Arc<App>, operation: Operation, pending: Pending, room: OwnedSemaphorePermit) {
    let answer = match app.api() {
        Some(api) => api.settle(pending).await,
        None => return,
    };
    operation.answer(answer).await;
    drop(room);
}

/// The credential of a subscription's caller is over.
fn expired() -> GraphqlError {
    GraphqlError::new(ErrorType::UnauthorizedException, Refusal::TokenExpired.to_string())
}

/// Sends a subscription's payloads as the socket takes them; errors end it.
async fn pull(
    app: Arc<App>,
    operation: &Operation,
    mut subscription: Subscriber,
    wake: Arc<Notify>,
    failed: CancellationToken,
) -> Result<(), Vec<GraphqlError>> {
    let Some(api) = app.api() else { return Ok(()) };
    loop {
        match api.next(&mut subscription).await {
            Ok(Some(payload)) => {
                if !operation.next(&payload).await {
                    return Ok(());
                }
            }
            Ok(None) => wake.notified().await,
            Err(EngineError::Request(errors)) => return Err(errors),
            Err(EngineError::Store(error)) => {
                tracing::error!(%error, "a subscription cannot go on");
                failed.cancel();
                return Ok(());
            }
        }
    }
}
