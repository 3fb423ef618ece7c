//! The MQTT half: one connection, one topic, and nothing that the device could say to it.
//!
//! One task reads and writes: there are no requests to be worked on, and while the other side takes no event nothing is owed to
//! it. It holds the next event and its place in the ring.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, SubackReasonCode, UnsubackReasonCode,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tombolo_engine::EngineError;

use super::tickets::{Ticket, Token};
use crate::auth::expiry;
use crate::limits::{CLOSE_TIMEOUT, SOCKET_BUFFER_BYTES, WRITE_TIMEOUT};
use crate::mqtt::packets::{self, Connect, Packet, Welcome, Wire};
use crate::mqtt::peer::{Peer, Step};
use crate::mqtt::{CONNECT_BYTES_MAX, KEEP_ALIVE_MAX, inbound};
use crate::routes::App;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// We end it; MQTT 5 is told why.
    Goodbye(DisconnectReasonCode, &'static str),
    /// What there was to say is said, or cannot be.
    Said,
    /// The other side ended it, or went away.
    Gone,
}

/// What cannot happen with the packets that are built here, and would be a mistake of ours.
impl From<MqttError> for End {
    fn from(error: MqttError) -> Self {
        tracing::error!(%error, "an MQTT packet could not be made");
        Self::Goodbye(DisconnectReasonCode::UnspecifiedError, "Internal server error")
    }
}

/// The server ends.
const RESTART: End = End::Goodbye(DisconnectReasonCode::ServerShuttingDown, "The server ends; come back.");

/// A topic is the hand-shake's alone. MQTT 3.1 has no code for a refusal, and who asks for others is no client of ours.
const FOREIGN: End = End::Goodbye(
    DisconnectReasonCode::NotAuthorized,
    "There is one topic, that of the hand-shake.",
);

/// Carries the connection of a hand-shake from its first byte to its last.
pub(in crate::mqtt) async fn serve<R, W>(reader: R, writer: W, app: Arc<App>, token: Token)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    // All that comes is small.
    let limit = u32::try_from(CONNECT_BYTES_MAX).unwrap_or(u32::MAX);
    let mut line = Line {
        reader,
        writer,
        peer: Peer::new(limit),
        app,
    };
    let init = Duration::from_millis(line.app.limits.init_timeout_ms);
    let connecting = inbound::connect(&mut line.reader, &line.peer);
    let connected = tokio::select! {
        () = line.app.life.ended() => Err(Vec::new()),
        connected = timeout_at(Instant::now() + init, connecting) => connected.unwrap_or(Err(Vec::new())),
    };
    let end = match connected {
        Ok((connect, packets)) => match line.admit(&token, &connect) {
            Ok(ticket) => line.run(ticket, packets.into(), init).await,
            Err((code, why)) => line.refuse(code, why).await,
        },
        Err(said) => line.write(&said).await.err().unwrap_or(End::Said),
    };
    line.finish(end).await;
}

/// What happens next.
enum Next {
    /// The subscription may have something.
    Woken,
    Read(std::io::Result<usize>),
    /// Something is due.
    Due,
}

/// One connection.
struct Line<R, W> {
    reader: R,
    writer: W,
    peer: Peer,
    app: Arc<App>,
}

/// What the connection is for.
struct Live {
    /// `None` once the client wants no more of it.
    ticket: Option<Ticket>,
    /// The client has subscribed: it is told from here on, and from the hand-shake on.
    told: bool,
    /// Who is not told anything by then is not waited for.
    idle_until: Instant,
}

impl<R, W> Line<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    /// Whose ticket it is. No refusal tells whether there is such a token, or was, or for whom it is.
    fn admit(&self, token: &Token, connect: &Connect) -> Result<Ticket, (ConnectReasonCode, &'static str)> {
        if connect.has_will {
            let why = "No wills: nobody else can see the topic.";
            return Err((ConnectReasonCode::ImplementationSpecificError, why));
        }
        let ticket = self.app.tickets.take(token, &connect.client_id);
        match ticket {
            Some(ticket) if ticket.expires.is_none_or(|expires| expires > Timestamp::now()) => Ok(ticket),
            Some(_) | None => {
                let why = "No hand-shake waits for this connection: do it again.";
                Err((ConnectReasonCode::NotAuthorized, why))
            }
        }
    }

    async fn refuse(&mut self, code: ConnectReasonCode, why: &str) -> End {
        match packets::unwelcome(self.peer.version(), code, why) {
            Ok(packet) => self.say(packet).await.err().unwrap_or(End::Said),
            Err(error) => error.into(),
        }
    }

    async fn run(&mut self, ticket: Ticket, packets: Vec<Packet>, init: Duration) -> End {
        let mut live = Live {
            ticket: Some(ticket),
            told: false,
            idle_until: Instant::now() + init,
        };
        match self.converse(&mut live, packets, init).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn converse(
        &mut self,
        live: &mut Live,
        packets: Vec<Packet>,
        init: Duration,
    ) -> Result<std::convert::Infallible, End> {
        let welcome = Welcome {
            assigned_id: None,
            keep_alive_s: None,
            method: None,
            present: false,
            expiry_s: Some(0),
        };
        self.say(packets::welcome(self.peer.version(), welcome)?).await?;
        for packet in packets {
            self.handle(packet, live, init).await?;
        }
        let mut heard = Instant::now();
        loop {
            let mut bytes = Vec::with_capacity(SOCKET_BUFFER_BYTES);
            let silent = heard + KEEP_ALIVE_MAX + KEEP_ALIVE_MAX / 2;
            let mut due = self.peer.deadline().unwrap_or(silent).min(silent);
            if !live.told {
                due = due.min(live.idle_until);
            }
            let woken = async {
                match &live.ticket {
                    Some(ticket) if live.told => ticket.wake.notified().await,
                    Some(_) | None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                () = self.app.life.ended() => return Err(RESTART),
                () = expiry(live.ticket.as_ref().and_then(|ticket| ticket.expires)) => {
                    return Err(End::Goodbye(DisconnectReasonCode::NotAuthorized, "The credential has expired."));
                }
                () = woken => Next::Woken,
                read = self.reader.read_buf(&mut bytes) => Next::Read(read),
                () = sleep_until(due) => Next::Due,
            };
            match next {
                Next::Woken => self.tell(live).await?,
                Next::Read(Ok(0) | Err(_)) => return Err(End::Gone),
                Next::Read(Ok(_)) => {
                    heard = Instant::now();
                    let step = self.peer.receive(&bytes);
                    self.take(step, live, init).await?;
                }
                Next::Due => {
                    let now = Instant::now();
                    if !live.told && live.idle_until <= now {
                        let why = "No topic was subscribed to.";
                        return Err(End::Goodbye(DisconnectReasonCode::AdministrativeAction, why));
                    }
                    if silent <= now {
                        let why = "Nothing came for too long.";
                        return Err(End::Goodbye(DisconnectReasonCode::KeepAliveTimeout, why));
                    }
                    let step = self.peer.look_at_deadlines();
                    self.take(step, live, init).await?;
                }
            }
        }
    }

    /// Sends the next event, if there is one; then there may be another.
    async fn tell(&mut self, live: &mut Live) -> Result<(), End> {
        let app = Arc::clone(&self.app);
        let (Some(ticket), Some(api)) = (&mut live.ticket, app.api()) else {
            return Ok(());
        };
        let again = End::Goodbye(
            DisconnectReasonCode::UnspecifiedError,
            "The subscription cannot go on; do the hand-shake again.",
        );
        match api.next(&mut ticket.subscriber).await {
            Ok(Some(payload)) => {
                ticket.wake.notify_one();
                match self.peer.message(&ticket.topic, payload, Qos::AtMostOnce, None) {
                    Ok(step) if step.error.is_none() => self.write(&step.bytes).await,
                    Ok(_) | Err(_) => Err(End::Goodbye(
                        DisconnectReasonCode::PacketTooLarge,
                        "An event is larger than the Maximum Packet Size.",
                    )),
                }
            }
            Ok(None) => Ok(()),
            Err(EngineError::Request(errors)) => {
                tracing::info!(?errors, "a subscription of an MQTT hand-shake has ended");
                Err(again)
            }
            Err(EngineError::Store(error)) => {
                tracing::error!(%error, "a subscription cannot go on");
                Err(again)
            }
        }
    }

    async fn take(&mut self, step: Step, live: &mut Live, init: Duration) -> Result<(), End> {
        let Step {
            packets,
            bytes,
            close,
            error,
        } = step;
        for packet in packets {
            self.handle(packet, live, init).await?;
        }
        self.write(&bytes).await?;
        match (close, error) {
            (false, None) => Ok(()),
            (_, error) => {
                tracing::debug!(?error, "MQTT broken by the device");
                Err(End::Said)
            }
        }
    }

    async fn handle(&mut self, packet: Packet, live: &mut Live, init: Duration) -> Result<(), End> {
        let version = self.peer.version();
        let is_topic = |live: &Live, filter: &str| live.ticket.as_ref().is_some_and(|ticket| ticket.topic == filter);
        match packet {
            Packet::Subscribe { id: 0, .. } | Packet::Unsubscribe { id: 0, .. } => Err(End::Goodbye(
                DisconnectReasonCode::ProtocolError,
                "A packet id is 1 to 65,535.",
            )),
            Packet::Subscribe { id, filters } => {
                if !filters.iter().all(|(filter, _)| is_topic(live, filter)) {
                    return Err(FOREIGN);
                }
                let codes = filters.iter().map(|_| SubackReasonCode::GrantedQos0).collect();
                self.say(packets::subscribed(version, id, codes)?).await?;
                live.told = true;
                if let Some(ticket) = &live.ticket {
                    // Something may have happened since the hand-shake.
                    ticket.wake.notify_one();
                }
                Ok(())
            }
            Packet::Unsubscribe { id, filters } => {
                let mut codes = Vec::with_capacity(filters.len());
                for filter in &filters {
                    codes.push(match is_topic(live, filter) && live.told {
                        true => UnsubackReasonCode::Success,
                        false => UnsubackReasonCode::NoSubscriptionExisted,
                    });
                    if is_topic(live, filter) {
                        live.ticket = None;
                        live.told = false;
                        live.idle_until = Instant::now() + init;
                    }
                }
                self.say(packets::unsubscribed(version, id, codes)?).await
            }
            Packet::Disconnect { .. } => Err(End::Gone),
            Packet::Publish(_) => Err(End::Goodbye(
                DisconnectReasonCode::NotAuthorized,
                "Nothing is published here: mutations are sent over HTTP.",
            )),
            Packet::Connect(_) | Packet::Authenticate { .. } => Err(End::Goodbye(
                DisconnectReasonCode::ProtocolError,
                "A connection is made once.",
            )),
            Packet::Other => Ok(()),
        }
    }

    async fn say(&mut self, packet: Wire) -> Result<(), End> {
        let step = self.peer.send(packet);
        self.write(&step.bytes).await?;
        match (step.close, step.error) {
            (false, None) => Ok(()),
            (_, error) => {
                tracing::debug!(?error, "an MQTT packet could not be sent");
                Err(End::Said)
            }
        }
    }

    /// Writes, unless the other side takes nothing for too long or the server ends.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        let writing = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        let written = tokio::select! {
            // What the socket takes at once is written, also when the server ends.
            biased;
            written = timeout(WRITE_TIMEOUT, writing) => matches!(written, Ok(Ok(()))),
            () = self.app.life.ended() => false,
        };
        if written { Ok(()) } else { Err(End::Gone) }
    }

    /// Tells the other side why, if it can hear.
    async fn finish(mut self, end: End) {
        if let End::Goodbye(code, why) = end {
            let bytes = self.peer.goodbye(code, why);
            let _gone = timeout(CLOSE_TIMEOUT, self.write(&bytes)).await;
        }
        let _gone = timeout(CLOSE_TIMEOUT, self.writer.shutdown()).await;
    }
}
