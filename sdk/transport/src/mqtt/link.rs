//! A link over MQTT: frames out through the library's queue, frames in through its task.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::frame::{self, Frame};
use crate::{BoxFuture, CloseReason, Incoming, Link, Outgoing, SendError, limits};

/// Messages that wait for the owner of the link; then the connection is read no further.
pub(super) const INCOMING_MAX: usize = 64;

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
}

impl MqttLink {
    pub(super) fn new(client: Box<dyn Publish>, heard: mpsc::Receiver<Heard>, task: JoinHandle<()>) -> Self {
        Self {
            client,
            heard,
            task,
            closed: None,
            name: "mqtt",
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

    fn end(&mut self, reason: CloseReason) -> CloseReason {
        self.task.abort();
        self.closed.get_or_insert(reason).clone()
    }

    async fn next(&mut self) -> Incoming {
        loop {
            if let Some(reason) = &self.closed {
                return Incoming::Closed(reason.clone());
            }
            let message = match self.heard.recv().await {
                Some(Heard::Message(message)) => message,
                Some(Heard::Standing) => continue,
                Some(Heard::Ended(reason)) => return Incoming::Closed(self.end(reason)),
                None => return Incoming::Closed(self.end(CloseReason::unreachable("connection cut"))),
            };
            let read = match std::str::from_utf8(&message) {
                Ok(text) => frame::read(text),
                Err(_) => Err(CloseReason::protocol("a frame is not UTF-8")),
            };
            match read {
                Ok(Frame::Message(message)) => return message,
                Ok(Frame::Ack | Frame::Ping | Frame::Pong) => {}
                Err(reason) => return Incoming::Closed(self.end(reason)),
            }
        }
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
