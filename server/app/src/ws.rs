//! `graphql-transport-ws`: operations of all three kinds, many on one socket.
//!
//! A session is three kinds of task. The *reader* takes one frame at a time and is the only one that starts operations;
//! mutations enter the writer's queue in the reader itself, so their order on the wire is their order there. Each
//! *operation* waits for its answer, or pulls its subscription. The *sink* writes what they send, through a channel of a
//! few frames. Everything that waits, waits for somebody further on: a subscription pulls its next batch only when the
//! socket has taken the last, the reader takes the next frame only when an operation has room. So a slow or a greedy client
//! holds a bounded amount of memory and slows down nobody but itself.

mod operations;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use jiff::Timestamp;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_core::wire::ws::{ClientFrame, SUBPROTOCOL, close};
use tombolo_engine::{EngineError, Subscriber};

use crate::api::{Pending, Work};
use crate::auth::{Admitted, Shown, Target, expiry};
use crate::limits::{
    CLOSE_TIMEOUT, OPERATION_ID_BYTES_MAX, OPERATIONS_IN_FLIGHT_MAX, OUTGOING_FRAMES, SOCKET_BUFFER_BYTES,
};
use crate::listener::Place;
use crate::outgoing;
use crate::routes::App;
use operations::{Operation, Operations, error_frame};

/// "Service restart": a client that sees it comes back. 1000 and 1001 would tell many clients not to.
pub const CLOSE_RESTART: u16 = 1012;

/// "Internal error": a subscription cannot go on. The client comes back and resumes.
pub const CLOSE_INTERNAL: u16 = 1011;

/// "Try again later": the credential cannot be checked at the moment, or the identity has opened too many sockets of late. The
/// client comes back with the same one.
pub const CLOSE_LATER: u16 = 1013;

/// Answers the upgrade and starts the session.
pub(crate) fn upgrade(app: Arc<App>, upgrade: WebSocketUpgrade, parts: &Parts) -> Response {
    let shown = Shown::headers(&parts.headers).of(Target::of(parts));
    let place = parts.extensions.get::<Place>().cloned();
    let at_work = app.life.tasks.token();
    let limit = app.limits.body_bytes_max;
    let upgrade = upgrade
        .read_buffer_size(SOCKET_BUFFER_BYTES)
        .write_buffer_size(SOCKET_BUFFER_BYTES)
        .max_message_size(limit)
        .max_frame_size(limit)
        .protocols([SUBPROTOCOL]);
    let spoken = upgrade.selected_protocol().is_some();
    upgrade.on_upgrade(move |socket| async move {
        serve(socket, app, shown, spoken).await;
        drop((place, at_work));
    })
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// We close, with a code and a reason.
    Close(u16, &'static str),
    /// We close because the server ends: what was accepted is finished first.
    Restart,
    /// The other side closed or went away.
    Gone,
}

/// The credential is not accepted, or no longer: the client needs another one.
const FORBIDDEN: End = End::Close(close::FORBIDDEN, "Forbidden");

async fn serve(socket: WebSocket, app: Arc<App>, shown: Shown, spoken: bool) {
    let (sink, stream) = socket.split();
    let (out, frames) = mpsc::channel(OUTGOING_FRAMES);
    let ping = Duration::from_millis(app.limits.ping_interval_ms);
    let beat: &[fn() -> Message] = &[|| Message::Ping(axum::body::Bytes::new())];
    let mut writing = tokio::spawn(outgoing::write_out(sink, frames, ping, beat));
    let mut session = Session {
        app,
        shown,
        admitted: None,
        out,
        stream,
        operations: Operations::default(),
        tasks: JoinSet::new(),
        room: Arc::new(Semaphore::new(OPERATIONS_IN_FLIGHT_MAX)),
        failed: CancellationToken::new(),
    };
    let end = if spoken {
        session.read().await
    } else {
        End::Close(close::SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable")
    };
    session.finish(end).await;
    if timeout(CLOSE_TIMEOUT, &mut writing).await.is_err() {
        writing.abort();
    }
}

struct Session {
    app: Arc<App>,
    /// What the upgrade's headers show.
    shown: Shown,
    /// Who it is; `None` until `connection_init` is accepted.
    admitted: Option<Admitted>,
    out: mpsc::Sender<Message>,
    stream: SplitStream<WebSocket>,
    operations: Operations,
    tasks: JoinSet<()>,
    /// Room for queries and mutations in work.
    room: Arc<Semaphore>,
    /// Cancelled by a subscription that cannot go on.
    failed: CancellationToken,
}

impl Session {
    async fn read(&mut self) -> End {
        let init_deadline = Instant::now() + Duration::from_millis(self.app.limits.init_timeout_ms);
        let silence = Duration::from_millis(self.app.limits.silence_timeout_ms);
        let mut heard = Instant::now();
        let app = Arc::clone(&self.app);
        loop {
            let (deadline, late) = match self.admitted {
                None => (
                    init_deadline,
                    End::Close(close::INITIALISATION_TIMEOUT, "Connection initialisation timeout"),
                ),
                Some(_) => (heard + silence, End::Gone),
            };
            let message = tokio::select! {
                biased;
                () = app.life.ended() => return End::Restart,
                () = self.failed.cancelled() => return End::Close(CLOSE_INTERNAL, "Internal server error"),
                () = self.out.closed() => return End::Gone,
                () = expiry(self.admitted.as_ref().and_then(|a| a.expires)) => return FORBIDDEN,
                Some(_) = self.tasks.join_next() => continue,
                message = timeout_at(deadline, self.stream.next()) => match message {
                    Err(_) => return late,
                    Ok(None | Some(Err(_))) => return End::Gone,
                    Ok(Some(Ok(message))) => message,
                },
            };
            heard = Instant::now();
            let handled = match message {
                Message::Text(text) => self.handle_text(&text).await,
                Message::Binary(_) => Err(End::Close(close::BAD_REQUEST, "Binary frames are not spoken here")),
                Message::Close(_) => Err(End::Gone),
                Message::Ping(_) | Message::Pong(_) => Ok(()),
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    async fn handle_text(&mut self, text: &str) -> Result<(), End> {
        let Ok(frame) = serde_json::from_str::<ClientFrame>(text) else {
            return Err(End::Close(close::BAD_REQUEST, "Invalid message"));
        };
        match frame {
            ClientFrame::ConnectionInit { payload } => self.handle_init(payload.as_ref()).await,
            ClientFrame::Ping { .. } => {
                self.send(Message::Text(Utf8Bytes::from_static(r#"{"type":"pong"}"#)))
                    .await
            }
            ClientFrame::Pong { .. } => Ok(()),
            ClientFrame::Subscribe { id, payload } => self.handle_subscribe(id, &payload).await,
            ClientFrame::Complete { id } => {
                self.operations.cancel(&id);
                Ok(())
            }
        }
    }

    async fn handle_init(&mut self, payload: Option<&serde_json::Value>) -> Result<(), End> {
        if self.admitted.is_some() {
            return Err(End::Close(
                close::TOO_MANY_INITIALISATIONS,
                "Too many initialisation requests",
            ));
        }
        let given = payload.and_then(|payload| payload.as_object()).map(Shown::object);
        let shown = given.filter(Shown::is_anything);
        let shown = shown.as_ref().unwrap_or(&self.shown);
        match self.app.gate.admit(shown, Timestamp::now()).await {
            Ok(admitted) => {
                if self.app.rates.connect(&admitted.identity).is_err() {
                    return Err(End::Close(CLOSE_LATER, "Too many connections"));
                }
                self.admitted = Some(admitted);
                self.send(Message::Text(Utf8Bytes::from_static(r#"{"type":"connection_ack"}"#)))
                    .await
            }
            Err(refusal) if refusal.is_temporary() => Err(End::Close(CLOSE_LATER, "Try again later")),
            Err(_) => Err(FORBIDDEN),
        }
    }

    async fn handle_subscribe(&mut self, id: String, request: &Request) -> Result<(), End> {
        let Some(Admitted { identity, .. }) = &self.admitted else {
            return Err(End::Close(close::UNAUTHORIZED, "Unauthorized"));
        };
        if id.is_empty() || id.len() > OPERATION_ID_BYTES_MAX {
            return Err(End::Close(close::BAD_REQUEST, "Invalid message: id"));
        }
        if self.operations.is_open(&id) {
            return Err(End::Close(
                close::SUBSCRIBER_EXISTS,
                "Subscriber for this id already exists",
            ));
        }
        let app = Arc::clone(&self.app);
        let Some(api) = app.api() else {
            return Err(End::Restart);
        };
        match api.prepare(identity, request) {
            Err(errors) => self.send(error_frame(&id, &errors)).await,
            Ok(Work::Query(prepared)) => {
                if let Err(often) = self.app.rates.read(identity) {
                    let error = GraphqlError::new(ErrorType::LimitExceeded, often.to_string());
                    return self.send(error_frame(&id, &[error])).await;
                }
                let room = self.make_room().await?;
                self.start(id, false, |operation| async move {
                    let answer = match app.api() {
                        Some(api) => api.query(prepared).await,
                        None => return,
                    };
                    drop(room);
                    operation.answer(answer).await;
                });
                Ok(())
            }
            Ok(Work::Mutation(mutation)) => {
                let room = self.make_room().await?;
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
                        self.start(id, true, |operation| pull(app, operation, subscription, wake, failed));
                        Ok(())
                    }
                    Err(errors) => self.send(error_frame(&id, &errors)).await,
                }
            }
        }
    }

    /// Waits for room for one more query or mutation, unless the socket is gone.
    async fn make_room(&self) -> Result<OwnedSemaphorePermit, End> {
        tokio::select! {
            permit = Arc::clone(&self.room).acquire_owned() => permit.map_err(|_| End::Gone),
            () = self.out.closed() => Err(End::Gone),
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

    async fn send(&self, message: Message) -> Result<(), End> {
        self.out.send(message).await.map_err(|_| End::Gone)
    }

    /// Ends what is open, tells the other side why, and waits a little for it to agree.
    async fn finish(mut self, end: End) {
        let close = match end {
            End::Close(code, reason) => Some((code, reason)),
            End::Restart => {
                self.operations.cancel_subscriptions();
                while self.tasks.join_next().await.is_some() {}
                Some((CLOSE_RESTART, "Service restart"))
            }
            End::Gone => None,
        };
        self.tasks.shutdown().await;
        outgoing::close(self.out, self.stream, close).await;
    }
}

async fn settle(app: Arc<App>, operation: Operation, pending: Pending, room: OwnedSemaphorePermit) {
    let answer = match app.api() {
        Some(api) => api.settle(pending).await,
        None => return,
    };
    drop(room);
    operation.answer(answer).await;
}

/// Sends a subscription's payloads as the socket takes them.
async fn pull(
    app: Arc<App>,
    operation: Operation,
    mut subscription: Subscriber,
    wake: Arc<Notify>,
    failed: CancellationToken,
) {
    let Some(api) = app.api() else { return };
    loop {
        match api.next(&mut subscription).await {
            Ok(Some(payload)) => {
                if !operation.next(&payload).await {
                    return;
                }
            }
            Ok(None) => wake.notified().await,
            Err(EngineError::Request(errors)) => return operation.refuse(&errors).await,
            Err(EngineError::Store(error)) => {
                tracing::error!(%error, "a subscription cannot go on");
                return failed.cancel();
            }
        }
    }
}
