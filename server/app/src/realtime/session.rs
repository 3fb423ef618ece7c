//! One session: the task that reads, begins and ends subscriptions, and sends what they are told.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tombolo_core::id::Position;
use tombolo_core::wire::graphql::{ErrorType, Request};
use tombolo_core::wire::ws::close;

use super::frames::{self, ClientFrame, Start};
use super::handshake::{self, Unreadable};
use super::held::{Held, Serial};
use crate::api::{Api, Work};
use crate::auth::{Admitted, Refusal, Shown, expiry};
use crate::limits::{
    ADMISSIONS_MAX, CLOSE_TIMEOUT, IDLE_GRACE, KEEP_ALIVE_MAX, OPERATION_ID_BYTES_MAX, OUTGOING_FRAMES,
};
use crate::operations::Outgoing;
use crate::outgoing;
use crate::routes::App;
use crate::ws::CLOSE_INTERNAL;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// We close, with a code and a reason.
    Close(u16, &'static str),
    /// The other side closed or went away.
    Gone,
}

/// The server ends, or the client was too slow for the ring of recent changes. Of the codes that tell it to come back this
/// is the one that every client heeds; 1000, 1001 and 1012 would send the Swift client away for good.
const COME_BACK: End = End::Close(CLOSE_INTERNAL, "Come back");

/// A frame that is not of the protocol.
const INVALID: End = End::Close(close::BAD_REQUEST, "Invalid message");

/// The client says that it is done, with the frame of the old Apollo protocol.
const DONE: End = End::Close(1000, "");

/// AppSync's words for a credential that has expired.
const EXPIRED: &str = "Token has expired.";

/// AppSync's name for what cannot be read on a socket.
fn bad_request() -> ErrorType {
    ErrorType::Other("BadRequestException".to_owned())
}

/// AppSync's words for what is no subscription.
fn unsupported(id: &str, what: &str) -> Message {
    let message = format!("{what} not supported through the realtime channel");
    frames::failure(id, &ErrorType::UnsupportedOperation, &message)
}

/// Carries a session from its upgrade to its end.
pub(super) async fn serve(socket: WebSocket, app: Arc<App>, shown: Result<Shown, Unreadable>) {
    let (sink, stream) = socket.split();
    let (out, frames) = mpsc::channel(OUTGOING_FRAMES);
    let interval = Duration::from_millis(app.limits.ping_interval_ms).min(KEEP_ALIVE_MAX);
    let beat: &[fn() -> Message] = &[frames::keep_alive, || Message::Ping(axum::body::Bytes::new())];
    let mut writing = tokio::spawn(outgoing::write_out(sink, frames, interval, beat));
    let mut session = Session {
        app,
        shown,
        admitted: None,
        out,
        stream,
        held: Held::default(),
        admissions: JoinSet::new(),
        wake: Arc::new(Notify::new()),
        position: Position(0),
    };
    let end = session.run().await;
    let why = match end {
        End::Close(code, reason) => Some((code, reason)),
        End::Gone => None,
    };
    session.admissions.shutdown().await;
    outgoing::close(session.out, session.stream, why).await;
    if timeout(CLOSE_TIMEOUT, &mut writing).await.is_err() {
        writing.abort();
    }
}

/// What came of looking at the credential of a `start`.
struct Admission {
    serial: Serial,
    admitted: Result<Admitted, Refusal>,
    request: Request,
}

struct Session {
    app: Arc<App>,
    /// What the upgrade shows.
    shown: Result<Shown, Unreadable>,
    /// Who connected; `None` until that has been looked at. It allows the socket, and no subscription.
    admitted: Option<Admitted>,
    out: mpsc::Sender<Outgoing>,
    stream: SplitStream<WebSocket>,
    held: Held,
    admissions: JoinSet<Admission>,
    /// Called by the hub when a subscription may have something.
    wake: Arc<Notify>,
    /// Up to here every change was offered to every subscription that stands.
    position: Position,
}

impl Session {
    async fn run(&mut self) -> End {
        let init_deadline = Instant::now() + Duration::from_millis(self.app.limits.init_timeout_ms);
        let silence = Duration::from_millis(self.app.limits.silence_timeout_ms);
        let mut heard = Instant::now();
        let (app, wake) = (Arc::clone(&self.app), Arc::clone(&self.wake));
        loop {
            let (deadline, late) = match self.admitted {
                None => (
                    init_deadline,
                    End::Close(close::INITIALISATION_TIMEOUT, "Connection initialisation timeout"),
                ),
                Some(_) => (heard + silence, End::Gone),
            };
            let handled = tokio::select! {
                () = app.life.ended() => return COME_BACK,
                () = self.out.closed() => return End::Gone,
                () = expiry(self.expires()) => self.handle_expiry(),
                () = sleep_until(self.held.ack_due().unwrap_or(deadline)), if self.held.ack_due().is_some() => {
                    self.acknowledge().await
                }
                Some(admission) = self.admissions.join_next() => match admission {
                    Ok(admission) => self.handle_admission(admission).await,
                    Err(error) => {
                        tracing::error!(%error, "the credential of a start could not be looked at");
                        Err(COME_BACK)
                    }
                },
                () = wake.notified() => self.tell().await,
                message = timeout_at(deadline, self.stream.next()), if self.admissions.len() < ADMISSIONS_MAX => {
                    heard = Instant::now();
                    match message {
                        Err(_) => return late,
                        Ok(None | Some(Err(_))) => return End::Gone,
                        Ok(Some(Ok(message))) => self.handle(message).await,
                    }
                }
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), End> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => return self.refuse_frame("Binary frames are not spoken here.").await,
            Message::Close(_) => return Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
        };
        let Ok(ClientFrame { kind, id, payload }) = serde_json::from_str::<ClientFrame>(&text) else {
            return self.refuse_frame("A frame is a JSON object with a type.").await;
        };
        match (kind.as_str(), id) {
            ("connection_init", _) => {
                self.connect().await?;
                self.send(frames::connection_ack()).await?;
                self.send(frames::keep_alive()).await
            }
            ("connection_terminate", _) => Err(DONE),
            (_, Some(id)) if id.is_empty() || id.len() > OPERATION_ID_BYTES_MAX => {
                let message = format!("An id has 1 to {OPERATION_ID_BYTES_MAX} bytes.");
                self.refuse_frame(&message).await
            }
            ("start", Some(id)) => self.handle_start(id, payload).await,
            ("stop", Some(id)) => {
                self.held.end(&id);
                self.send(frames::complete(&id)).await
            }
            (_, Some(id)) => self.send(unsupported(&id, "unknown")).await,
            ("start" | "stop", None) => self.refuse_frame("A start or a stop has an id.").await,
            // Nobody waits for an answer, and there is no frame for one.
            (_, None) => Ok(()),
        }
    }

    /// Says what is wrong, then closes.
    async fn refuse_frame(&mut self, message: &str) -> Result<(), End> {
        self.send(frames::connection_error(&bad_request(), 400, message))
            .await?;
        Err(INVALID)
    }

    /// Looks at the credential of the handshake, once.
    async fn connect(&mut self) -> Result<(), End> {
        if self.admitted.is_some() {
            return Ok(());
        }
        let refused = match &self.shown {
            Err(unreadable) => frames::connection_error(&bad_request(), 400, &unreadable.to_string()),
            Ok(shown) => match self.app.gate.admit(shown, Timestamp::now()).await {
                Ok(admitted) => match self.app.rates.connect(&admitted.identity) {
                    Ok(()) => {
                        self.admitted = Some(admitted);
                        return Ok(());
                    }
                    Err(_) => {
                        let name = ErrorType::Other("LimitExceededError".to_owned());
                        self.send(frames::connection_error(&name, 429, "Rate limit exceeded"))
                            .await?;
                        return Err(COME_BACK);
                    }
                },
                Err(refusal) if refusal.is_temporary() => return Err(COME_BACK),
                Err(refusal) => frames::connection_error(&refusal.error_type(), 401, &refusal.to_string()),
            },
        };
        self.send(refused).await?;
        Err(End::Close(close::UNAUTHORIZED, "Unauthorized"))
    }

    async fn handle_start(&mut self, id: String, payload: serde_json::Value) -> Result<(), End> {
        self.connect().await?;
        // A client has one subscription under an id: one that sends a start again has heard of no answer to the first.
        self.held.end(&id);
        let Some(Start { data, authorization }) = Start::read(payload) else {
            return self.send(unsupported(&id, "unknown")).await;
        };
        let most = self.app.limits.subscriptions_max;
        if self.held.len() >= most {
            let message = format!("Max number of {most} subscriptions reached");
            let name = ErrorType::Other("MaxSubscriptionsReachedError".to_owned());
            return self.send(frames::failure(&id, &name, &message)).await;
        }
        let request = match serde_json::from_str::<Request>(&data) {
            Ok(request) => request,
            Err(error) => {
                let message = format!("payload.data is not a GraphQL request in JSON: {error}.");
                return self.send(frames::failure(&id, &bad_request(), &message)).await;
            }
        };
        let shown = authorization.map(|headers| handshake::shown_for(&headers, &data));
        let serial = self.held.begin(id);
        let app = Arc::clone(&self.app);
        self.admissions.spawn(async move {
            let admitted = match shown {
                Some(shown) => app.gate.admit(&shown, Timestamp::now()).await,
                None => Err(Refusal::Missing),
            };
            Admission {
                serial,
                admitted,
                request,
            }
        });
        Ok(())
    }

    async fn handle_admission(&mut self, admission: Admission) -> Result<(), End> {
        let Admission {
            serial,
            admitted,
            request,
        } = admission;
        let Some(id) = self.held.id(serial).map(str::to_owned) else {
            return Ok(());
        };
        let app = Arc::clone(&self.app);
        let Some(api) = app.api() else { return Err(COME_BACK) };
        let refused = match admitted {
            Err(refusal) if refusal.is_temporary() => return Err(COME_BACK),
            Err(refusal) => frames::failure(&id, &refusal.error_type(), &refusal.to_string()),
            Ok(admitted) => match self.subscribe(api, serial, &id, &admitted, &request) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            },
        };
        self.held.end(&id);
        self.send(refused).await
    }

    /// Begins a subscription for somebody who is admitted, or gives the frame that says why not.
    fn subscribe(
        &mut self,
        api: &Api,
        serial: Serial,
        id: &str,
        admitted: &Admitted,
        request: &Request,
    ) -> Result<(), Message> {
        let prepared = match api.prepare(&admitted.identity, request) {
            Ok(Work::Subscription(prepared)) => prepared,
            Ok(Work::Query(_)) => return Err(unsupported(id, "query")),
            Ok(Work::Mutation(_)) => return Err(unsupported(id, "mutation")),
            Err(errors) => {
                let told = api.appsync_errors(request, errors);
                return Err(frames::error(id, &told.unwrap_or_else(|unparsable| vec![*unparsable])));
            }
        };
        let wake = Arc::clone(&self.wake);
        let subscriber = api
            .subscribe(&prepared, Arc::new(move || wake.notify_one()))
            .map_err(|errors| frames::error(id, &errors))?;
        let Some(since) = subscriber.since() else {
            return Err(unsupported(id, "the change feed"));
        };
        if !self.held.any_live() {
            self.position = since;
        }
        self.held.stand(serial, subscriber, admitted.expires);
        Ok(())
    }

    /// Sends the `start_ack`s that are due.
    async fn acknowledge(&mut self) -> Result<(), End> {
        while let Some(frame) = self.held.next_ack(Instant::now()).map(frames::start_ack) {
            self.send(frame).await?;
        }
        // Something may have waited for it.
        self.wake.notify_one();
        Ok(())
    }

    /// Offers the next changes to every subscription, in the order of their positions.
    async fn tell(&mut self) -> Result<(), End> {
        if !self.held.any_live() {
            return Ok(());
        }
        let app = Arc::clone(&self.app);
        let Some(api) = app.api() else { return Err(COME_BACK) };
        let engine = api.engine();
        let subscribers = self.held.live().map(|(_, _, live)| &live.subscriber);
        let Some(events) = engine.events(self.position, subscribers) else {
            tracing::info!("a client was too slow for the ring of recent changes; it is told to come back");
            return Err(COME_BACK);
        };
        for change in &events.changes {
            let wanting: Vec<(Serial, bool)> = self
                .held
                .live()
                .filter(|(_, _, live)| engine.wants(&live.subscriber, change))
                .map(|(serial, _, live)| (serial, live.acked))
                .collect();
            if wanting.iter().any(|(_, acked)| !acked) {
                // Its start_ack comes first, and nobody else's news may overtake its own.
                return Ok(());
            }
            for (serial, _) in wanting {
                let Some((id, live)) = self.held.get(serial) else {
                    continue;
                };
                let payload = engine.event(&live.subscriber, change).await.map_err(|error| {
                    tracing::error!(%error, "a subscription cannot go on");
                    COME_BACK
                })?;
                let frame = frames::data(id, &payload).ok_or(COME_BACK)?;
                self.send(frame).await?;
            }
            self.position = change.position;
        }
        self.position = events.through.max(self.position);
        if events.more {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// When something ends by itself: a subscription whose credential expires, or a socket that expired and is not used.
    fn expires(&self) -> Option<Timestamp> {
        if self.held.is_empty() {
            let grace = SignedDuration::try_from(IDLE_GRACE).ok()?;
            let expires = self.admitted.as_ref()?.expires?;
            return expires.checked_add(grace).ok();
        }
        self.held.expires()
    }

    fn handle_expiry(&mut self) -> Result<(), End> {
        if self.held.is_empty() {
            return Err(End::Close(close::FORBIDDEN, EXPIRED));
        }
        if self.held.expires().is_some_and(|expires| expires <= Timestamp::now()) {
            // Not an error for the subscription: the JavaScript client would end it for good. One whose socket goes comes back
            // with a fresh credential, and fetches what it missed; so does whoever else was on the socket.
            return Err(COME_BACK);
        }
        Ok(())
    }

    /// Sends once there is a place for it, unless the socket is gone or the server ends.
    async fn send(&self, message: Message) -> Result<(), End> {
        tokio::select! {
            sent = self.out.send(message.into()) => sent.map_err(|_| End::Gone),
            () = self.app.life.ended() => Err(COME_BACK),
        }
    }
}
