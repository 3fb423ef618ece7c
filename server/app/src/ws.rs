//! `graphql-transport-ws`: operations of all three kinds, many on one socket.
//!
//! A session is three kinds of task. The *reader* takes one frame at a time and hands it to the session's `Desk`, whose
//! *operations* send their frames through a channel of a few. The *sink* writes them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tombolo_core::wire::graphql::Request;
use tombolo_core::wire::ws::{ClientFrame, SUBPROTOCOL, close};

use crate::auth::{Admitted, Shown, Target, expiry};
use crate::limits::{CLOSE_TIMEOUT, OPERATION_ID_BYTES_MAX, OUTGOING_FRAMES, SOCKET_BUFFER_BYTES};
use crate::listener::Place;
use crate::operations::{Desk, Outgoing, Stopped};
use crate::outgoing;
use crate::routes::App;

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

impl From<Stopped> for End {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Ending => Self::Restart,
            Stopped::Gone => Self::Gone,
        }
    }
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
        desk: Desk::new(Arc::clone(&app), out.clone()),
        app,
        shown,
        admitted: None,
        out,
        stream,
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
    out: mpsc::Sender<Outgoing>,
    stream: SplitStream<WebSocket>,
    desk: Desk,
}

impl Session {
    async fn read(&mut self) -> End {
        let init_deadline = Instant::now() + Duration::from_millis(self.app.limits.init_timeout_ms);
        let silence = Duration::from_millis(self.app.limits.silence_timeout_ms);
        let mut heard = Instant::now();
        let (app, failed) = (Arc::clone(&self.app), self.desk.failed());
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
                () = failed.cancelled() => return End::Close(CLOSE_INTERNAL, "Internal server error"),
                () = self.out.closed() => return End::Gone,
                () = expiry(self.admitted.as_ref().and_then(|a| a.expires)) => return FORBIDDEN,
                () = self.desk.tidy() => continue,
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
                self.desk.cancel(&id);
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
        if self.desk.is_open(&id) {
            return Err(End::Close(
                close::SUBSCRIBER_EXISTS,
                "Subscriber for this id already exists",
            ));
        }
        self.desk
            .subscribe(identity, None, id, request, None)
            .await
            .map(drop)
            .map_err(End::from)
    }

    async fn send(&self, message: Message) -> Result<(), End> {
        self.desk.send(message).await.map_err(End::from)
    }

    /// Ends what is open, tells the other side why, and waits a little for it to agree.
    async fn finish(self, end: End) {
        self.desk.close(end == End::Restart).await;
        let close = match end {
            End::Close(code, reason) => Some((code, reason)),
            End::Restart => Some((CLOSE_RESTART, "Service restart")),
            End::Gone => None,
        };
        outgoing::close(self.out, self.stream, close).await;
    }
}
