//! A link over MQTT: frames out through the library's queue, frames in through its task.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use crate::frame::{self, Frame};
use crate::{BoxFuture, CloseReason, Incoming, Link, Outgoing, SendError, limits};

/// Messages that wait for the owner of the link; then the connection is read no further.
pub(super) const INCOMING_MAX: usize = 64;

/// What tells the server that a device behind a broker is over: a `connection_init` without a credential.
pub(super) const OVER: &str = r#"{"type":"connection_init"}"#;

/// The server behind a broker was restarted, or the credential is over: the next link says who it is, and learns which.
const FORGOTTEN: &str = "the server knows the device no more";

/// What the task hears.
pub(super) enum Heard {
    /// The subscription to the responses stands.
    Standing,
    /// A message of the server.
    Message(Vec<u8>),
    /// The connection is over.
    Ended(CloseReason),
}

/// How a client of either version takes what is to go out.
pub(super) trait Publish: Send {
    /// Takes a message for the request topic; false: its queue is full.
    fn publish(&self, payload: Vec<u8>) -> bool;
    /// Says goodbye.
    fn goodbye(&self);
}

/// An open link.
pub(super) struct MqttLink {
    client: Box<dyn Publish>,
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
    closed: Option<CloseReason>,
    name: &'static str,
    /// Behind a broker: when the server is asked next whether it still knows the device.
    ping_at: Option<Instant>,
}

impl MqttLink {
    pub(super) fn new(client: Box<dyn Publish>, heard: mpsc::Receiver<Heard>, task: JoinHandle<()>) -> Self {
        Self {
            client,
            heard,
            task,
            closed: None,
            name: "mqtt",
            ping_at: None,
        }
    }

    pub(super) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Waits until the subscription to the responses stands.
    pub(super) async fn stand(&mut self) -> Result<(), CloseReason> {
        match self.heard.recv().await {
            Some(Heard::Standing) => Ok(()),
            Some(Heard::Message(_)) => Err(self.end(CloseReason::protocol("a message before the subscription stood"))),
            Some(Heard::Ended(reason)) => Err(self.end(reason)),
            None => Err(self.end(CloseReason::unreachable("connection cut"))),
        }
    }

    /// Says who it is to the server behind a broker, and waits until that has heard it.
    pub(super) async fn begin(&mut self, init: String) -> Result<(), CloseReason> {
        if !self.client.publish(init.into_bytes()) {
            return Err(self.end(CloseReason::protocol("no room for the first frame")));
        }
        loop {
            let message = match self.heard.recv().await {
                Some(Heard::Message(message)) => message,
                Some(Heard::Standing) => continue,
                Some(Heard::Ended(reason)) => return Err(self.end(reason)),
                None => return Err(self.end(CloseReason::unreachable("connection cut"))),
            };
            let text = String::from_utf8_lossy(&message);
            if let Some(errors) = frame::refusal(&text) {
                let reason = refused(&errors);
                return Err(self.end(reason));
            }
            if matches!(frame::read(&text), Ok(Frame::Ack)) {
                self.ping_at = Some(Instant::now() + limits::KEEP_ALIVE_INTERVAL);
                return Ok(());
            }
        }
    }

    /// The next thing that is heard. Behind a broker the server is asked now and then whether it still knows the device: nobody
    /// tells when it was restarted.
    async fn hear(&mut self) -> Option<Heard> {
        loop {
            let Some(at) = self.ping_at else {
                return self.heard.recv().await;
            };
            tokio::select! {
                heard = self.heard.recv() => return heard,
                () = sleep_until(at) => {
                    self.ping_at = Some(at + limits::KEEP_ALIVE_INTERVAL);
                    // With a full queue others ask.
                    let _full = self.client.publish(frame::PING.into());
                }
            }
        }
    }

    fn end(&mut self, reason: CloseReason) -> CloseReason {
        self.task.abort();
        self.closed.get_or_insert(reason).clone()
    }

    async fn next(&mut self) -> Incoming {
        loop {
            if let Some(reason) = &self.closed {
                return Incoming::Closed(reason.clone());
            }
            let message = match self.hear().await {
                Some(Heard::Message(message)) => message,
                Some(Heard::Standing) => continue,
                Some(Heard::Ended(reason)) => return Incoming::Closed(self.end(reason)),
                None => return Incoming::Closed(self.end(CloseReason::unreachable("connection cut"))),
            };
            let read = match std::str::from_utf8(&message) {
                Ok(text) if self.ping_at.is_some() => match frame::refusal(text) {
                    Some(errors) if unknown(&errors) => Err(CloseReason::unreachable(FORGOTTEN)),
                    Some(errors) => Err(refused(&errors)),
                    None => frame::read(text),
                },
                Ok(text) => frame::read(text),
                Err(_) => Err(CloseReason::protocol("a frame is not UTF-8")),
            };
            match read {
                // It was restarted, and knows nothing of what is open either: the next link says who it is.
                Ok(Frame::Message(Incoming::Failed { errors, .. })) if self.ping_at.is_some() && unknown(&errors) => {
                    return Incoming::Closed(self.end(CloseReason::unreachable(FORGOTTEN)));
                }
                Ok(Frame::Message(message)) => return message,
                Ok(Frame::Ack | Frame::Ping | Frame::Pong) => {}
                Err(reason) => return Incoming::Closed(self.end(reason)),
            }
        }
    }
}

/// Whether the server does not know who asks.
fn unknown(errors: &[GraphqlError]) -> bool {
    errors
        .iter()
        .any(|error| error.error_type == Some(ErrorType::UnauthorizedException))
}

/// Why the server behind a broker does not serve the device.
fn refused(errors: &[GraphqlError]) -> CloseReason {
    match unknown(errors) {
        true => CloseReason::Unauthorized { code: 401 },
        false => CloseReason::Refused { status: 503 },
    }
}

impl Link for MqttLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        let text = frame::write(message).map_err(SendError::Closed)?;
        if text.len() > super::PACKET_BYTES_MAX {
            return Err(SendError::Closed(CloseReason::TooLarge {
                limit_bytes: super::PACKET_BYTES_MAX,
            }));
        }
        match self.client.publish(text.into_bytes()) {
            true => Ok(()),
            false => Err(SendError::Full),
        }
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        Box::pin(self.next())
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.closed.is_none() {
                self.client.goodbye();
                // The task ends with the connection; one that is slow to take the goodbye must not hold us.
                let _late = tokio::time::timeout(limits::CLOSE_TIMEOUT, &mut self.task).await;
            }
            self.end(CloseReason::Local);
        })
    }

    fn transport(&self) -> &'static str {
        self.name
    }
}

impl Drop for MqttLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}
