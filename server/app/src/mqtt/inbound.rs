//! What comes in: read at all times, while a request is worked on too, because the acknowledgements that make room for the
//! request's answer come in the same stream behind it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use jiff::Timestamp;
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::beginning::{self, Beginning};
use super::packets::{Connect, Packet};
use super::peer::{Peer, Step};
use super::session::End;
use super::{CONNECT_BYTES_MAX, KEEP_ALIVE_MAX, LAST_ANSWERS_TIMEOUT, PACKETS_WAITING_BYTES_MAX, STUCK_TIMEOUT};
use crate::auth::expiry;
use crate::limits::{CLOSE_TIMEOUT, SOCKET_BUFFER_BYTES};
use crate::operations::Outgoing;
use crate::routes::App;

/// CONNACK of MQTT 5 with 0x84, Unsupported Protocol Version (3.1.2.2): to whoever speaks a later one.
const UNSUPPORTED_VERSION: [u8; 5] = [0x20, 3, 0, 0x84, 0];

/// Reads until there is a CONNECT; gives it with what came behind it. Otherwise the bytes that say what is wrong, if any do.
pub(super) async fn connect<R>(reader: &mut R, peer: &Peer) -> Result<(Connect, VecDeque<Packet>), Vec<u8>>
where
    R: AsyncRead + Unpin,
{
    let mut first = Vec::with_capacity(SOCKET_BUFFER_BYTES);
    let mut next = loop {
        if first.len() > CONNECT_BYTES_MAX || !read_more(reader, &mut first).await {
            return Err(Vec::new());
        }
        match beginning::look_at(&first) {
            Beginning::Short => {}
            Beginning::AsItIs => break first,
            Beginning::Broken => return Err(Vec::new()),
            Beginning::Unknown => return Err(UNSUPPORTED_VERSION.to_vec()),
            Beginning::Anew(mut anew, taken) => {
                anew.extend_from_slice(first.get(taken..).unwrap_or_default());
                break anew;
            }
        }
    };
    let mut taken = 0;
    loop {
        taken += next.len();
        let mut step = peer.receive(&next);
        let mut packets: VecDeque<Packet> = step.packets.drain(..).collect();
        match packets.pop_front() {
            Some(Packet::Connect(connect)) if !step.close && step.error.is_none() => return Ok((connect, packets)),
            None if !step.close && step.error.is_none() && taken <= CONNECT_BYTES_MAX => {}
            _ => return Err(step.bytes),
        }
        next.clear();
        if !read_more(reader, &mut next).await {
            return Err(Vec::new());
        }
    }
}

async fn read_more<R: AsyncRead + Unpin>(reader: &mut R, bytes: &mut Vec<u8>) -> bool {
    matches!(reader.read_buf(bytes).await, Ok(read) if read > 0)
}

/// What is there to be read, up to [`SOCKET_BUFFER_BYTES`]; nothing at the end. Where nothing is there yet, nothing is held for
/// it: most connections are idle most of the time.
async fn read_some<R: AsyncRead + Unpin>(reader: &mut R) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); SOCKET_BUFFER_BYTES];
        let mut read = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *reader).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(read.filled().to_vec()))
    })
    .await
}

/// Reads what nobody looks at any more: a socket that is closed before it is read to its end is reset, and what was said last may
/// never arrive.
pub(super) async fn drain<R: AsyncRead + Unpin>(reader: &mut R) {
    let mut bytes = Vec::with_capacity(SOCKET_BUFFER_BYTES);
    let draining = async {
        while matches!(reader.read_buf(&mut bytes).await, Ok(read) if read > 0) {
            bytes.clear();
        }
    };
    let _late = timeout(CLOSE_TIMEOUT, draining).await;
}

/// The packets of one connection that wait to be looked at, and all that may end it meanwhile.
pub(super) struct Inbound<'r, R> {
    pub(super) reader: &'r mut R,
    pub(super) app: Arc<App>,
    pub(super) peer: Arc<Peer>,
    pub(super) control: mpsc::Sender<Vec<u8>>,
    pub(super) out: mpsc::Sender<Outgoing>,
    pub(super) taken_over: CancellationToken,
    /// A subscription cannot go on.
    pub(super) failed: CancellationToken,
    /// The credential's end.
    pub(super) expires: Option<Timestamp>,
    pub(super) packets: VecDeque<Packet>,
    pub(super) heard: Instant,
    /// What the protocol's own state wants said, and is not in the writer's hands yet.
    pub(super) unsaid: Vec<u8>,
    /// Nothing comes any more: what came before is looked at first.
    pub(super) over: Option<End>,
    /// Since when nothing more is read, if so.
    pub(super) stuck: Option<Instant>,
}

impl<R: AsyncRead + Unpin> Inbound<'_, R> {
    /// The next packet.
    pub(super) async fn next(&mut self) -> Result<Packet, End> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                self.stuck = None;
                return Ok(packet);
            }
            if let Some(end) = self.over
                && self.unsaid.is_empty()
            {
                return Err(end);
            }
            self.step().await?;
        }
    }

    /// Reads on while something else is done, until the connection has to end.
    pub(super) async fn attend(&mut self) -> End {
        loop {
            if let Err(end) = self.step().await {
                return end;
            }
        }
    }

    /// One thing that happens. Nothing is lost if this is dropped while it waits.
    async fn step(&mut self) -> Result<(), End> {
        let waiting: usize = self.packets.iter().map(Packet::bytes).sum();
        let full = self.over.is_some() || waiting >= PACKETS_WAITING_BYTES_MAX;
        if full && self.stuck.is_none() {
            self.stuck = Some(Instant::now());
        }
        let silence = KEEP_ALIVE_MAX + KEEP_ALIVE_MAX / 2;
        let silent = self.heard + silence;
        // Who is not listened to is not silent.
        let deadline = match self.stuck.filter(|_| full) {
            Some(since) if self.over.is_some() => since + LAST_ANSWERS_TIMEOUT,
            Some(since) => since + STUCK_TIMEOUT,
            None => self.peer.deadline().unwrap_or(silent).min(silent),
        };
        let step = tokio::select! {
            biased;
            () = self.app.life.ended() => return Err(End::Restart),
            () = self.taken_over.cancelled() => {
                return Err(End::Goodbye(DisconnectReasonCode::SessionTakenOver, "Another connection has this client id."));
            }
            () = self.failed.cancelled() => {
                return Err(End::Goodbye(DisconnectReasonCode::UnspecifiedError, "A subscription cannot go on; come back."));
            }
            () = self.out.closed() => return Err(End::Gone),
            () = expiry(self.expires) => {
                return Err(End::Goodbye(DisconnectReasonCode::NotAuthorized, "The credential has expired."));
            }
            permit = self.control.reserve(), if !self.unsaid.is_empty() => {
                permit.map_err(|_| End::Gone)?.send(std::mem::take(&mut self.unsaid));
                return Ok(());
            }
            read = read_some(self.reader), if !full => match read.unwrap_or_default() {
                bytes if bytes.is_empty() => {
                    self.over = Some(End::Gone);
                    return Ok(());
                }
                bytes => {
                    self.heard = Instant::now();
                    self.peer.receive(&bytes)
                }
            },
            () = sleep_until(deadline) => match full {
                true if self.over.is_some() => return Err(End::Gone),
                true => {
                    return Err(End::Goodbye(DisconnectReasonCode::QuotaExceeded, "More requests than answers that are taken."));
                }
                false if silent <= Instant::now() => {
                    return Err(End::Goodbye(DisconnectReasonCode::KeepAliveTimeout, "Nothing came for too long."));
                }
                false => self.peer.look_at_deadlines(),
            },
        };
        self.take(step);
        Ok(())
    }

    fn take(&mut self, step: Step) {
        self.unsaid.extend(step.bytes);
        self.packets.extend(step.packets);
        if let Some(error) = &step.error {
            tracing::debug!(%error, "MQTT broken by the device");
        }
        if step.close || step.error.is_some() {
            self.over = Some(End::Said);
        }
    }
}
