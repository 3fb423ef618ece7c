//! The task that writes: acknowledgements first, then the device's messages as it has room for them.

use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::devices::Granted;
use super::packets::Wire;
use super::peer::{Peer, Step};
use crate::limits::{CLOSE_TIMEOUT, WRITE_TIMEOUT};
use crate::operations::{Mark, Outgoing};

pub(super) struct Writing<W> {
    pub(super) writer: W,
    pub(super) peer: Arc<Peer>,
    /// Where messages for the device go.
    pub(super) topic: String,
    pub(super) granted: Arc<Granted>,
}

impl<W: AsyncWrite + Unpin> Writing<W> {
    /// Writes until nobody has anything to write any more, or the socket takes no more. Dropping the channels ends whoever
    /// sends into them.
    pub(super) async fn run(mut self, mut controls: mpsc::Receiver<Vec<u8>>, mut frames: mpsc::Receiver<Outgoing>) {
        // A frame that is taken and has no room yet.
        let mut waiting: Option<(Utf8Bytes, Option<Mark>)> = None;
        let (mut controls_end, mut frames_end) = (false, false);
        while !(controls_end && (frames_end || waiting.is_some())) {
            let peer = Arc::clone(&self.peer);
            let next = tokio::select! {
                biased;
                control = controls.recv(), if !controls_end => {
                    controls_end = control.is_none();
                    Next::Bytes(control.unwrap_or_default())
                }
                outgoing = frames.recv(), if waiting.is_none() && !frames_end => match outgoing.map(Outgoing::into_parts) {
                    Some((Some(Message::Text(frame)), mark)) => Next::Frame(frame, mark),
                    Some((Some(Message::Close(_)), _)) => {
                        let why = "The server ends; come back.";
                        Next::Bytes(peer.goodbye(DisconnectReasonCode::ServerShuttingDown, why))
                    }
                    Some((None, Some(mark))) => {
                        peer.pass(mark);
                        continue;
                    }
                    Some(_) => continue,
                    None => {
                        frames_end = true;
                        continue;
                    }
                },
                () = peer.room.notified(), if waiting.is_some() => match waiting.take() {
                    Some((frame, mark)) => Next::Frame(frame, mark),
                    None => continue,
                },
            };
            let bytes = match next {
                Next::Bytes(bytes) => bytes,
                Next::Frame(frame, mark) => match self.message(frame.as_bytes(), mark.as_ref()) {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => {
                        waiting = Some((frame, mark));
                        continue;
                    }
                    Err(TooLarge) => {
                        let why = match mark {
                            // Or the device would be sent it again, and end again, each time it is back.
                            Some(mark) => {
                                let id = Arc::clone(&mark.id);
                                self.peer.give_up(mark);
                                format!(
                                    "An event is larger than the Maximum Packet Size; its subscription is over: {id}"
                                )
                            }
                            None => {
                                "An answer is larger than the Maximum Packet Size: ask for a smaller page.".to_owned()
                            }
                        };
                        let bytes = self.peer.goodbye(DisconnectReasonCode::PacketTooLarge, &why);
                        self.write(&bytes).await;
                        break;
                    }
                },
            };
            if !bytes.is_empty() && !self.write(&bytes).await {
                return;
            }
        }
        // The other side may have gone before.
        let _gone = timeout(CLOSE_TIMEOUT, self.writer.shutdown()).await;
    }

    /// A message's bytes; none while nobody of the device listens, and `None` while there is no room.
    fn message(&self, frame: &[u8], mark: Option<&Mark>) -> Result<Option<Vec<u8>>, TooLarge> {
        let Some(qos) = self.granted.get() else {
            if let Some(mark) = mark {
                self.peer.pass(mark.clone());
            }
            return Ok(Some(Vec::new()));
        };
        if !self.peer.has_room(qos) {
            return Ok(None);
        }
        match self.peer.message(&self.topic, frame.to_vec(), qos, mark) {
            Ok(Step { error: Some(_), .. }) => Err(TooLarge),
            Ok(step) => Ok(Some(step.bytes)),
            Err(_) => Ok(None),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> bool {
        let writing = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        matches!(timeout(WRITE_TIMEOUT, writing).await, Ok(Ok(())))
    }

    /// Writes one packet and ends.
    pub(super) async fn last(self, packet: Wire) {
        let bytes = self.peer.send(packet).bytes;
        self.last_bytes(bytes).await;
    }

    /// Writes this and ends.
    pub(super) async fn last_bytes(mut self, bytes: Vec<u8>) {
        if self.write(&bytes).await {
            let _gone = timeout(CLOSE_TIMEOUT, self.writer.shutdown()).await;
        }
    }
}

/// What is written next.
enum Next {
    Bytes(Vec<u8>),
    Frame(Utf8Bytes, Option<Mark>),
}

/// The device takes no message of that size, or none any more.
struct TooLarge;
