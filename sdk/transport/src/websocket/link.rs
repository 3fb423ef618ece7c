//! One open socket.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, Stream as _};
use serde_json::Value as Json;
use tokio::time::{Instant, Sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use super::{Stream, Timing};
use crate::counted::Received;
use crate::frame::{self, Frame};
use crate::{BoxFuture, CloseReason, Incoming, Link, Outgoing, SendError, limits};

/// The code of a close that carries none, RFC 6455 section 7.1.5.
const NO_STATUS: u16 = 1005;

pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// A link over one socket.
pub(super) struct SocketLink {
    socket: Socket,
    outgoing: VecDeque<String>,
    /// Bytes were given to the socket that it may still hold.
    unflushed: bool,
    timing: Timing,
    heard_at: Instant,
    received: Received,
    /// What `received` stood at when it was last looked at.
    seen: u64,
    /// A ping went out since anything was heard.
    pinged: bool,
    timer: Pin<Box<Sleep>>,
    closed: Option<CloseReason>,
}

impl SocketLink {
    pub(super) fn new(socket: Socket, timing: Timing, received: Received) -> Self {
        let now = Instant::now();
        Self {
            socket,
            outgoing: VecDeque::new(),
            unflushed: false,
            timing,
            heard_at: now,
            seen: received.total(),
            received,
            pinged: false,
            timer: Box::pin(tokio::time::sleep_until(now + timing.ping_after)),
            closed: None,
        }
    }

    /// Presents the credential and waits for the server's consent.
    pub(super) async fn initialise(&mut self, payload: Option<Json>) -> Result<(), CloseReason> {
        self.outgoing.push_back(frame::init(payload)?);
        match poll_fn(|cx| self.poll_frame(cx)).await {
            Ok(Frame::Ack) => Ok(()),
            Ok(Frame::Message(_) | Frame::Ping | Frame::Pong) => {
                Err(self.end(CloseReason::protocol("the server spoke before its connection_ack")))
            }
            Err(reason) => Err(reason),
        }
    }

    fn end(&mut self, reason: CloseReason) -> CloseReason {
        self.outgoing.clear();
        self.closed.get_or_insert(reason).clone()
    }

    /// Sends what waits, keeps the link alive and gives the next frame. Pings are answered here, once the link is open.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, CloseReason>> {
        if let Some(reason) = &self.closed {
            return Poll::Ready(Err(reason.clone()));
        }
        loop {
            if let Err(error) = self.poll_send(cx) {
                return Poll::Ready(Err(self.end(reason(error))));
            }
            let message = match Pin::new(&mut self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.end(reason(error)))),
                Poll::Ready(None) => return Poll::Ready(Err(self.end(CloseReason::unreachable("connection cut")))),
                Poll::Pending => match self.poll_alive(cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(reason)) => return Poll::Ready(Err(self.end(reason))),
                    Poll::Pending => return Poll::Pending,
                },
            };
            self.heard_at = Instant::now();
            self.seen = self.received.total();
            self.pinged = false;
            match message {
                Message::Text(text) => match frame::read(&text) {
                    Ok(Frame::Ping) => self.outgoing.push_back(frame::PONG.to_owned()),
                    Ok(frame) => return Poll::Ready(Ok(frame)),
                    Err(reason) => return Poll::Ready(Err(self.end(reason))),
                },
                Message::Close(close) => {
                    let code = close.map_or(NO_STATUS, |c| u16::from(c.code));
                    return Poll::Ready(Err(self.end(CloseReason::of_code(code))));
                }
                Message::Binary(_) => {
                    return Poll::Ready(Err(self.end(CloseReason::protocol("a binary message"))));
                }
                // The library answers protocol pings by itself at the next flush.
                Message::Ping(_) => self.unflushed = true,
                Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// Moves waiting messages into the socket as far as it takes them.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), WsError> {
        while !self.outgoing.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            if let Some(text) = self.outgoing.pop_front() {
                Pin::new(&mut self.socket).start_send(Message::Text(Utf8Bytes::from(text)))?;
                self.unflushed = true;
            }
        }
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(cx)
        {
            flushed?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Ready when a ping was put in line; an error when the other side has been silent for too long.
    fn poll_alive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        let quiet = if self.pinged {
            self.timing.silent_after
        } else {
            self.timing.ping_after
        };
        let due = self.heard_at + quiet;
        if self.timer.deadline() != due {
            self.timer.as_mut().reset(due);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let total = self.received.total();
        if std::mem::replace(&mut self.seen, total) != total {
            // A part of a message: the line is slow, not silent.
            self.heard_at = Instant::now();
            self.pinged = false;
            return Poll::Ready(Ok(()));
        }
        if self.pinged {
            return Poll::Ready(Err(CloseReason::TimedOut {
                what: "any word from the server",
            }));
        }
        self.pinged = true;
        self.outgoing.push_back(frame::PING.to_owned());
        Poll::Ready(Ok(()))
    }

    async fn next(&mut self) -> Incoming {
        loop {
            match poll_fn(|cx| self.poll_frame(cx)).await {
                Ok(Frame::Message(message)) => return message,
                Ok(Frame::Ping | Frame::Pong) => {}
                Ok(Frame::Ack) => return Incoming::Closed(self.end(CloseReason::protocol("a second connection_ack"))),
                Err(reason) => return Incoming::Closed(reason),
            }
        }
    }
}

impl Link for SocketLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        if self.outgoing.len() >= limits::OUTGOING_MESSAGES_MAX {
            return Err(SendError::Full);
        }
        let text = frame::write(message).map_err(SendError::Closed)?;
        self.outgoing.push_back(text);
        Ok(())
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        Box::pin(self.next())
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.closed.is_none() {
                let goodbye = CloseFrame {
                    code: CloseCode::Normal,
                    reason: Utf8Bytes::from_static(""),
                };
                // The connection is dropped either way; a server that is slow to take the goodbye must not hold us.
                let outcome = tokio::time::timeout(limits::CLOSE_TIMEOUT, self.socket.close(Some(goodbye))).await;
                if !matches!(outcome, Ok(Ok(()))) {
                    tracing::debug!("the link was dropped without a closing handshake");
                }
            }
            self.end(CloseReason::Local);
        })
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }
}

/// What a socket's error means for the link.
pub(super) fn reason(error: WsError) -> CloseReason {
    match error {
        WsError::ConnectionClosed | WsError::AlreadyClosed => CloseReason::Closed { code: NO_STATUS },
        WsError::Io(error) => CloseReason::unreachable(error),
        WsError::Tls(error) => CloseReason::unreachable(error),
        WsError::Capacity(_) | WsError::WriteBufferFull(_) => CloseReason::TooLarge {
            limit_bytes: limits::MESSAGE_BYTES_MAX,
        },
        WsError::Http(response) => CloseReason::of_status(response.status().as_u16()),
        WsError::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            CloseReason::unreachable("connection cut")
        }
        error @ WsError::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::SecWebSocketSubProtocolError(_),
        ) => {
            tracing::debug!(%error, "subprotocol refused");
            CloseReason::protocol("the server does not speak graphql-transport-ws")
        }
        error @ (WsError::Protocol(_)
        | WsError::Utf8(_)
        | WsError::AttackAttempt
        | WsError::Url(_)
        | WsError::HttpFormat(_)) => CloseReason::protocol(error.to_string()),
    }
}
