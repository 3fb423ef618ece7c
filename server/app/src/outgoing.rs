//! What every WebSocket writes, and how it ends: the part that is the same in both real-time protocols.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout};

use crate::limits::{CLOSE_TIMEOUT, FRAMES_PER_FLUSH, WRITE_TIMEOUT};
use crate::operations::Outgoing;

/// Writes frames as they come, several to one flush when several are waiting, and `beat` once each `interval`, whatever
/// else there is to write.
pub(crate) async fn write_out(
    mut sink: SplitSink<WebSocket, Message>,
    mut frames: mpsc::Receiver<Outgoing>,
    interval: Duration,
    beat: &'static [fn() -> Message],
) {
    let mut beats = tokio::time::interval_at(Instant::now() + interval, interval);
    // After a write that took long one is enough.
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let first = tokio::select! {
            biased;
            _ = beats.tick() => None,
            frame = frames.recv() => match frame {
                Some(frame) => Some(frame),
                None => return,
            },
        };
        let write = async {
            match first {
                None => {
                    for frame in beat {
                        in_time(sink.feed(frame())).await?;
                    }
                }
                Some(first) => {
                    let mut next = Some(first);
                    let mut fed = 0;
                    while let Some(frame) = next {
                        let (frame, _) = frame.into_parts();
                        let last = matches!(frame, Some(Message::Close(_)));
                        if let Some(frame) = frame {
                            in_time(sink.feed(frame)).await?;
                        }
                        fed += 1;
                        next = match last || fed >= FRAMES_PER_FLUSH {
                            true => None,
                            false => frames.try_recv().ok(),
                        };
                    }
                }
            }
            in_time(sink.flush()).await
        };
        if write.await.is_err() {
            // The other side is gone, or reads no more. Dropping the channel ends everybody who sends into it.
            return;
        }
    }
}

/// The socket does not take it.
struct Stuck;

/// One frame or flush, for which the socket has [`WRITE_TIMEOUT`].
async fn in_time<E>(writing: impl Future<Output = Result<(), E>>) -> Result<(), Stuck> {
    match timeout(WRITE_TIMEOUT, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Stuck),
    }
}

/// Tells the other side why the socket ends, and waits a little for it to agree.
pub(crate) async fn close(
    out: mpsc::Sender<Outgoing>,
    mut stream: SplitStream<WebSocket>,
    why: Option<(u16, &'static str)>,
) {
    if let Some((code, reason)) = why {
        let frame = Message::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        }));
        if !matches!(timeout(CLOSE_TIMEOUT, out.send(frame.into())).await, Ok(Ok(()))) {
            return;
        }
    }
    drop(out);
    // Until the other side has closed too: a socket dropped with unread bytes in it resets the connection, and the
    // close frame may be lost with it.
    let agreed = async { while let Some(Ok(_)) = stream.next().await {} };
    if timeout(CLOSE_TIMEOUT, agreed).await.is_err() {
        tracing::debug!("a socket's other side did not answer the close");
    }
}
