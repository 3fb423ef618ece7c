//! One connection's life: who it is, what it asks, what it is told, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Message;
use jiff::Timestamp;
use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, MqttError, PubackReasonCode, SubackReasonCode, UnsubackReasonCode,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_core::wire::ws::ClientFrame;

use super::devices::{Granted, Held};
use super::legacy::{self, Beginning};
use super::packets::{self, Connect, Packet, Publish, Welcome, Wire};
use super::peer::{Peer, Step};
use super::topics::Topics;
use super::writing::{Writing, goodbye};
use super::{CONTROL_MAX, HANDED_OVER_MAX, KEEP_ALIVE_MAX, LAST_ANSWERS_TIMEOUT, PACKET_BYTES_MAX};
use crate::auth::{Admitted, Refusal, Shown, expiry};
use crate::limits::{CLOSE_TIMEOUT, OPERATION_ID_BYTES_MAX, OUTGOING_FRAMES, SOCKET_BUFFER_BYTES};
use crate::operations::{Desk, Stopped, error_frame};
use crate::routes::App;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// We end it; MQTT 5 is told why.
    Goodbye(DisconnectReasonCode, &'static str),
    /// The server ends: what was accepted is finished first.
    Restart,
    /// The protocol's own state has said what there was to say.
    Said,
    /// The other side ended it, or went away.
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

/// What cannot happen with the packets that are built here, and would be a mistake of ours.
impl From<MqttError> for End {
    fn from(error: MqttError) -> Self {
        tracing::error!(%error, "an MQTT packet could not be made");
        Self::Goodbye(DisconnectReasonCode::UnspecifiedError, "Internal server error")
    }
}

/// Carries a connection from its first byte to its last; `shown` is what came before it, as a WebSocket's headers.
pub(crate) async fn serve<R, W>(mut reader: R, writer: W, app: Arc<App>, shown: Shown)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let limit = u32::try_from(PACKET_BYTES_MAX.min(app.limits.body_bytes_max)).unwrap_or(u32::MAX);
    let peer = Arc::new(Peer::new(limit));
    let (control, controls) = mpsc::channel(CONTROL_MAX);
    let (out, frames) = mpsc::channel(OUTGOING_FRAMES);
    let granted = Arc::new(Granted::default());
    let mut inbound = Inbound::default();
    let deadline = Instant::now() + Duration::from_millis(app.limits.init_timeout_ms);
    let connecting = async {
        let connect = inbound.connect(&mut reader, &peer).await?;
        Some(Session::admit(&app, &peer, &shown, connect).await)
    };
    let admitted = tokio::select! {
        () = app.life.ended() => None,
        admitted = timeout_at(deadline, connecting) => admitted.ok().flatten(),
    };
    let mut writing = Writing {
        writer,
        peer: Arc::clone(&peer),
        topic: String::new(),
        granted,
    };
    let (guest, welcome) = match admitted {
        Some(Ok(both)) => both,
        Some(Err(Some(refused))) => return writing.last(refused).await,
        Some(Err(None)) | None => return,
    };
    let (handed, handed_over) = mpsc::channel(HANDED_OVER_MAX);
    let author = guest.admitted.identity.author().unwrap_or_default();
    let Guest {
        admitted,
        topics,
        client_id,
        method,
    } = guest;
    let held = app.mqtt.seat(author, topics.device.clone(), client_id, handed);
    writing.topic.clone_from(&topics.response);
    writing.granted = Arc::clone(&held.granted);
    let mut writing = tokio::spawn(writing.run(controls, frames));
    let mut session = Session {
        desk: Desk::new(Arc::clone(&app), out.clone()),
        app,
        peer,
        admitted,
        topics,
        method,
        held,
        control,
        out,
    };
    let end = match session.say(welcome).await {
        Ok(()) => session.run(&mut reader, inbound, handed_over).await,
        Err(end) => end,
    };
    let peer = Arc::clone(&session.peer);
    let ending = async {
        session.finish(end).await;
        timeout(CLOSE_TIMEOUT, &mut writing).await.is_ok()
    };
    // What the device acknowledges meanwhile makes room for what it is still to be told. Once it is gone there is nobody to tell.
    let ended = tokio::select! {
        ended = ending => ended,
        () = hear_out(&mut reader, &peer) => false,
    };
    if !ended {
        writing.abort();
    }
}

/// Reads acknowledgements, and nothing else any more, until the other side is gone.
async fn hear_out<R: AsyncRead + Unpin>(reader: &mut R, peer: &Peer) {
    let mut bytes = Vec::with_capacity(SOCKET_BUFFER_BYTES);
    loop {
        bytes.clear();
        match reader.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(_) => drop(peer.receive(&bytes)),
        }
    }
}

/// Who has come, and where he sits.
struct Guest {
    admitted: Admitted,
    topics: Topics,
    client_id: String,
    /// Of enhanced authentication.
    method: Option<String>,
}

/// Bytes that came, and packets read from them that are not looked at yet.
#[derive(Default)]
struct Inbound {
    packets: std::collections::VecDeque<Packet>,
}

impl Inbound {
    /// Reads until there is a CONNECT. `None`: there is none, or something else.
    async fn connect<R: AsyncRead + Unpin>(&mut self, reader: &mut R, peer: &Peer) -> Option<Connect> {
        let mut first = Vec::with_capacity(SOCKET_BUFFER_BYTES);
        let rest = loop {
            if reader.read_buf(&mut first).await.ok()? == 0 {
                return None;
            }
            match legacy::beginning(&first) {
                Beginning::Short => {}
                Beginning::Other => break first,
                Beginning::Legacy(mut anew, taken) => {
                    anew.extend_from_slice(first.get(taken..).unwrap_or_default());
                    break anew;
                }
            }
        };
        let mut step = peer.receive(&rest);
        loop {
            if step.close || step.error.is_some() {
                return None;
            }
            self.packets.extend(step.packets);
            match self.packets.pop_front() {
                Some(Packet::Connect(connect)) => return Some(connect),
                Some(_) => return None,
                None => {}
            }
            let mut more = Vec::with_capacity(SOCKET_BUFFER_BYTES);
            if reader.read_buf(&mut more).await.ok()? == 0 {
                return None;
            }
            step = peer.receive(&more);
        }
    }
}

struct Session {
    app: Arc<App>,
    peer: Arc<Peer>,
    admitted: Admitted,
    topics: Topics,
    method: Option<String>,
    held: Held,
    desk: Desk,
    /// Acknowledgements and the like: before all messages.
    control: mpsc::Sender<Vec<u8>>,
    out: mpsc::Sender<Message>,
}

impl Session {
    /// Looks at a CONNECT: who it is and the answer, or the answer alone.
    async fn admit(app: &App, peer: &Peer, shown: &Shown, connect: Connect) -> Result<(Guest, Wire), Option<Wire>> {
        let version = peer.version();
        let refuse = |code, why: &str| packets::unwelcome(version, code, why);
        let refused = match Self::look_at(app, shown, version, connect).await {
            Ok((guest, welcome)) => match packets::welcome(version, welcome) {
                Ok(packet) => return Ok((guest, packet)),
                Err(error) => {
                    tracing::error!(%error, "an MQTT packet could not be made");
                    refuse(ConnectReasonCode::UnspecifiedError, "Internal server error")
                }
            },
            Err((code, why)) => refuse(code, &why),
        };
        Err(refused.ok())
    }

    async fn look_at(
        app: &App,
        shown: &Shown,
        version: Version,
        connect: Connect,
    ) -> Result<(Guest, Welcome), (ConnectReasonCode, String)> {
        if connect.has_will {
            let why = "No wills: nobody else can see the topics of a device.";
            return Err((ConnectReasonCode::ImplementationSpecificError, why.to_owned()));
        }
        let assigned_id = match connect.client_id.is_empty() {
            true if version == Version::V5_0 => Some(uuid::Uuid::new_v4().to_string()),
            true | false => None,
        };
        let client_id = assigned_id.clone().unwrap_or(connect.client_id);
        let Some(topics) = Topics::of(&client_id) else {
            let why = "A client id is DEVICE or DEVICE:NAME, of 1 to 128 bytes, without / + # and control characters.";
            return Err((ConnectReasonCode::ClientIdentifierNotValid, why.to_owned()));
        };
        let given = credential(connect.method.as_deref(), connect.data.as_deref())
            .or_else(|| credential(connect.user.as_deref(), connect.password.as_deref()));
        let shown = given.as_ref().unwrap_or(shown);
        let refused = |refusal: Refusal| {
            let code = match refusal {
                Refusal::Unavailable => ConnectReasonCode::ServerUnavailable,
                Refusal::Missing => ConnectReasonCode::NotAuthorized,
                _ => ConnectReasonCode::BadUserNameOrPassword,
            };
            (code, refusal.to_string())
        };
        let admitted = app.gate.admit(shown, Timestamp::now()).await.map_err(refused)?;
        if app.rates.connect(&admitted.identity).is_err() {
            let why = "Too many connections of late; come again later.";
            return Err((ConnectReasonCode::ConnectionRateExceeded, why.to_owned()));
        }
        if app.api().is_none() {
            return Err((
                ConnectReasonCode::ServerUnavailable,
                "The server is starting.".to_owned(),
            ));
        }
        let most = u16::try_from(KEEP_ALIVE_MAX.as_secs()).unwrap_or(u16::MAX);
        let keep_alive_s = (connect.keep_alive_s == 0 || connect.keep_alive_s > most).then_some(most);
        let welcome = Welcome {
            assigned_id,
            keep_alive_s,
            method: connect.method.clone(),
        };
        let guest = Guest {
            admitted,
            topics,
            client_id,
            method: connect.method,
        };
        Ok((guest, welcome))
    }

    async fn run<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        mut inbound: Inbound,
        mut handed_over: mpsc::Receiver<ClientFrame>,
    ) -> End {
        let (app, failed) = (Arc::clone(&self.app), self.desk.failed());
        let silence = KEEP_ALIVE_MAX + KEEP_ALIVE_MAX / 2;
        let mut heard = Instant::now();
        let mut bytes = Vec::with_capacity(SOCKET_BUFFER_BYTES);
        loop {
            while let Some(packet) = inbound.packets.pop_front() {
                if let Err(end) = self.handle(packet).await {
                    return end;
                }
            }
            let deadline = self.peer.deadline().unwrap_or(heard + silence);
            bytes.clear();
            let step = tokio::select! {
                biased;
                () = app.life.ended() => return End::Restart,
                () = self.held.taken_over.cancelled() => {
                    return End::Goodbye(DisconnectReasonCode::SessionTakenOver, "Another connection has this client id.");
                }
                () = failed.cancelled() => {
                    return End::Goodbye(DisconnectReasonCode::UnspecifiedError, "A subscription cannot go on; come back.");
                }
                () = self.out.closed() => return End::Gone,
                () = expiry(self.admitted.expires) => {
                    return End::Goodbye(DisconnectReasonCode::NotAuthorized, "The credential has expired.");
                }
                () = self.desk.tidy() => continue,
                Some(frame) = handed_over.recv() => match self.handle_frame(frame, false).await {
                    Ok(()) => continue,
                    Err(end) => return end,
                },
                () = sleep_until(deadline.min(heard + silence)) => {
                    if heard + silence <= Instant::now() {
                        return End::Goodbye(DisconnectReasonCode::KeepAliveTimeout, "Nothing came for too long.");
                    }
                    self.peer.look_at_deadlines()
                }
                read = reader.read_buf(&mut bytes) => match read {
                    Ok(0) | Err(_) => return End::Gone,
                    Ok(_) => {
                        heard = Instant::now();
                        self.peer.receive(&bytes)
                    }
                },
            };
            match self.take(step).await {
                Ok(packets) => inbound.packets.extend(packets),
                Err(end) => return end,
            }
        }
    }

    /// Writes what a step wants written; gives what it has read.
    async fn take(&mut self, step: Step) -> Result<Vec<Packet>, End> {
        if !step.bytes.is_empty() {
            self.control.send(step.bytes).await.map_err(|_| End::Gone)?;
        }
        match (step.close, step.error) {
            (_, Some(error)) => {
                tracing::debug!(%error, "MQTT broken by the device");
                Err(End::Said)
            }
            (true, None) => Err(End::Said),
            (false, None) => Ok(step.packets),
        }
    }

    async fn say(&mut self, packet: Wire) -> Result<(), End> {
        let step = self.peer.send(packet);
        self.take(step).await.map(drop)
    }

    async fn handle(&mut self, packet: Packet) -> Result<(), End> {
        let version = self.peer.version();
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish).await,
            Packet::Subscribe { id, filters } => {
                let codes = filters.iter().map(|(filter, qos)| self.grant(filter, *qos)).collect();
                self.say(packets::subscribed(version, id, codes)?).await
            }
            Packet::Unsubscribe { id, filters } => {
                let codes = filters.iter().map(|filter| self.withdraw(filter)).collect();
                self.say(packets::unsubscribed(version, id, codes)?).await
            }
            Packet::Authenticate { method, data } => self.handle_authenticate(method, data).await,
            Packet::Disconnect => Err(End::Gone),
            Packet::Connect(_) => Err(End::Goodbye(DisconnectReasonCode::ProtocolError, "A second CONNECT.")),
            Packet::Other => Ok(()),
        }
    }

    fn grant(&self, filter: &str, qos: Qos) -> SubackReasonCode {
        if let Some(refusal) = self.topics.refusal(filter) {
            return refusal;
        }
        match qos {
            Qos::AtMostOnce => {
                self.held.granted.set(Some(Qos::AtMostOnce));
                SubackReasonCode::GrantedQos0
            }
            Qos::AtLeastOnce | Qos::ExactlyOnce => {
                self.held.granted.set(Some(Qos::AtLeastOnce));
                SubackReasonCode::GrantedQos1
            }
        }
    }

    fn withdraw(&self, filter: &str) -> UnsubackReasonCode {
        match filter == self.topics.response && self.held.granted.get().is_some() {
            true => {
                self.held.granted.set(None);
                UnsubackReasonCode::Success
            }
            false => UnsubackReasonCode::NoSubscriptionExisted,
        }
    }

    /// A message of the device: one frame for its request topic.
    async fn handle_publish(&mut self, publish: Publish) -> Result<(), End> {
        if publish.retain {
            return Err(End::Goodbye(
                DisconnectReasonCode::RetainNotSupported,
                "Nothing is retained.",
            ));
        }
        if publish.qos == Qos::ExactlyOnce {
            let why = "QoS 2 is not served: take QoS 1 and number mutations in their envelope.";
            return Err(End::Goodbye(DisconnectReasonCode::QosNotSupported, why));
        }
        let elsewhere = publish
            .response_topic
            .as_ref()
            .is_some_and(|topic| *topic != self.topics.response);
        if publish.topic != self.topics.request || elsewhere {
            return self.refuse(publish.id, PubackReasonCode::NotAuthorized).await;
        }
        let Ok(frame) = serde_json::from_slice::<ClientFrame>(&publish.payload) else {
            let message = "A request is a frame of graphql-transport-ws in JSON: {\"id\",\"type\":\"subscribe\",\"payload\":{\"query\"}}.";
            let error = GraphqlError::new(ErrorType::MalformedHttpRequestException, message);
            self.desk.send(error_frame("", &[error])).await?;
            return self
                .acknowledge(publish.id, PubackReasonCode::PayloadFormatInvalid)
                .await;
        };
        match self.held.listener() {
            Some(listener) => {
                // Its connection may be ending: then nobody hears the answer, as when nobody ever listened.
                if let Err(mpsc::error::SendError(frame)) = listener.send(frame).await {
                    self.handle_frame(frame, publish.again).await?;
                }
            }
            None => self.handle_frame(frame, publish.again).await?,
        }
        self.acknowledge(publish.id, PubackReasonCode::Success).await
    }

    /// What the device may not do. Version 3.1.1 has no code for it: the connection is closed.
    async fn refuse(&mut self, id: Option<u16>, code: PubackReasonCode) -> Result<(), End> {
        match (id, self.peer.version()) {
            (Some(_), Version::V5_0) => self.acknowledge(id, code).await,
            _ => Err(End::Goodbye(
                DisconnectReasonCode::NotAuthorized,
                "A device publishes to its own request topic alone.",
            )),
        }
    }

    async fn acknowledge(&mut self, id: Option<u16>, code: PubackReasonCode) -> Result<(), End> {
        let Some(id) = id else { return Ok(()) };
        let packet = packets::received(self.peer.version(), id, code)?;
        self.say(packet).await
    }

    /// One frame of `graphql-transport-ws`; `again`: it may have come before.
    async fn handle_frame(&mut self, frame: ClientFrame, again: bool) -> Result<(), End> {
        let refusal = |message: &str| GraphqlError::new(ErrorType::BadRequest, message);
        match frame {
            ClientFrame::Subscribe { id, payload } => {
                if id.is_empty() || id.len() > OPERATION_ID_BYTES_MAX {
                    let message = format!("An id has 1 to {OPERATION_ID_BYTES_MAX} bytes.");
                    return Ok(self.desk.send(error_frame("", &[refusal(&message)])).await?);
                }
                if self.desk.is_open(&id) {
                    if again {
                        return Ok(());
                    }
                    let error = refusal("An operation with this id is open: choose another, or complete it first.");
                    return Ok(self.desk.send(error_frame(&id, &[error])).await?);
                }
                Ok(self.desk.subscribe(&self.admitted.identity, id, &payload).await?)
            }
            ClientFrame::Complete { id } => {
                self.desk.cancel(&id);
                Ok(())
            }
            // CONNECT has taken the place of the first, and MQTT has pings of its own.
            ClientFrame::ConnectionInit { .. } | ClientFrame::Ping { .. } | ClientFrame::Pong { .. } => {
                let error = refusal("Over MQTT a frame is a subscribe or a complete.");
                Ok(self.desk.send(error_frame("", &[error])).await?)
            }
        }
    }

    /// A fresh credential for the same caller.
    async fn handle_authenticate(&mut self, method: Option<String>, data: Option<Vec<u8>>) -> Result<(), End> {
        let refused = |why| Err(End::Goodbye(DisconnectReasonCode::NotAuthorized, why));
        let Some(named) = method.filter(|method| Some(method) == self.method.as_ref()) else {
            return Err(End::Goodbye(
                DisconnectReasonCode::ProtocolError,
                "The method is that of CONNECT.",
            ));
        };
        let Some(shown) = credential(Some(&named), data.as_deref()) else {
            return refused("No credential.");
        };
        match self.app.gate.admit(&shown, Timestamp::now()).await {
            Ok(admitted) if admitted.identity.author() == self.admitted.identity.author() => {
                self.admitted = admitted;
                self.say(packets::authenticated(&named)?).await
            }
            Ok(_) => refused("Another caller than the one who has connected."),
            // The one before counts for as long as it lasts.
            Err(refusal) if refusal.is_temporary() => Ok(()),
            Err(_) => refused("The credential is refused."),
        }
    }

    /// Ends what is open, and tells the other side why if it can hear.
    async fn finish(self, end: End) {
        let in_order = end == End::Restart;
        if timeout(LAST_ANSWERS_TIMEOUT, self.desk.close(in_order)).await.is_err() {
            tracing::debug!("a device did not take its last answers");
        }
        // A socket that takes nothing more needs no goodbye.
        let _gone = match end {
            End::Goodbye(code, why) => {
                let bytes = goodbye(&self.peer, code, why);
                timeout(CLOSE_TIMEOUT, self.control.send(bytes)).await.is_ok()
            }
            // Behind the answers to what was accepted.
            End::Restart => timeout(CLOSE_TIMEOUT, self.out.send(Message::Close(None)))
                .await
                .is_ok(),
            End::Said | End::Gone => true,
        };
    }
}

/// What is shown as a header would show it: `x-api-key` with a key, `authorization` with a token.
fn credential(name: Option<&str>, value: Option<&[u8]>) -> Option<Shown> {
    let value = std::str::from_utf8(value?).ok()?;
    let object = serde_json::Map::from_iter([(name?.to_owned(), value.into())]);
    Some(Shown::object(&object)).filter(Shown::is_anything)
}
