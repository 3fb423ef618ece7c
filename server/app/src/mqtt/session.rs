//! One connection's life: who it is, what it asks, what it is told, and how it ends.

use std::collections::VecDeque;
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
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tombolo_core::access::Identity;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_core::wire::ws::ClientFrame;
use tombolo_store_sqlite::SessionKey;

use super::admission::{self, Guest, credential};
use super::devices::{Granted, HandedOver, Held, Slot};
use super::inbound::{self, Inbound};
use super::packets::{self, Packet, Publish, Wire};
use super::peer::Peer;
use super::sessions::{Beginning, Keeping, SESSION_BYTES_MAX, SESSION_EXPIRY_MAX, Wanted};
use super::topics::Topics;
use super::writing::Writing;
use super::{CONTROL_MAX, HANDED_OVER_MAX, LAST_ANSWERS_TIMEOUT, PACKET_BYTES_MAX};
use crate::auth::{Admitted, Shown};
use crate::limits::{CLOSE_TIMEOUT, OPERATION_ID_BYTES_MAX, OUTGOING_FRAMES, SOCKET_BUFFER_BYTES};
use crate::operations::{Desk, Outgoing, Stopped, error_frame};
use crate::routes::App;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
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
#[doc(hidden)]
pub async fn serve<R, W>(mut reader: R, writer: W, app: Arc<App>, shown: Shown)
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let limit = u32::try_from(PACKET_BYTES_MAX.min(app.limits.body_bytes_max)).unwrap_or(u32::MAX);
    let peer = Arc::new(Peer::new(limit));
    let (control, controls) = mpsc::channel(CONTROL_MAX);
    let (out, frames) = mpsc::channel(OUTGOING_FRAMES);
    let granted = Arc::new(Granted::default());
    let deadline = Instant::now() + Duration::from_millis(app.limits.init_timeout_ms);
    let connecting = async {
        let (connect, packets) = inbound::connect(&mut reader, &peer).await?;
        // On its own, as all that is done once: the connection's task is as large as its largest moment.
        Ok((Box::pin(admission::admit(&app, &peer, &shown, connect)).await, packets))
    };
    let admitted = tokio::select! {
        () = app.life.ended() => Err(Vec::new()),
        admitted = timeout_at(deadline, connecting) => admitted.unwrap_or(Err(Vec::new())),
    };
    let mut writing = Writing {
        writer,
        peer: Arc::clone(&peer),
        topic: String::new(),
        granted,
    };
    let ((guest, mut welcome), packets) = match admitted {
        Ok((Ok(both), packets)) => (both, packets),
        Ok((Err(Some(refused)), _)) => {
            writing.last(refused).await;
            return inbound::drain(&mut reader).await;
        }
        Ok((Err(None), _)) => return,
        Err(said) => {
            writing.last_bytes(said).await;
            return inbound::drain(&mut reader).await;
        }
    };
    let (handed, handed_over) = mpsc::channel(HANDED_OVER_MAX);
    let author = guest.admitted.identity.author().unwrap_or_default();
    let Guest {
        admitted,
        topics,
        client_id,
        method,
        wanted,
        asked_s,
    } = guest;
    let key = (author.clone(), client_id.clone());
    let held = app.mqtt.seat(author, topics.device.clone(), client_id, handed);
    let keeping = match Box::pin(sit_down(&app, key, wanted, &held)).await {
        Some(Beginning::Clean { .. }) => {
            held.granted.set(None);
            None
        }
        Some(Beginning::Kept { keeping, present }) => {
            welcome.present = present;
            Some(keeping)
        }
        None => {
            let why = "Sessions cannot be read now; come again later.";
            let refused = packets::unwelcome(peer.version(), ConnectReasonCode::ServerUnavailable, why);
            if let Ok(refused) = refused {
                writing.last(refused).await;
            }
            return;
        }
    };
    let kept_s = keeping.as_ref().map_or(0, |keeping| keeping.expiry_s());
    welcome.expiry_s = (asked_s != Some(kept_s)).then_some(kept_s);
    if let Some(keeping) = &keeping {
        // Until now it was as that of the connection before it, so that what others bring meanwhile waits here.
        held.granted.set(keeping.granted());
        peer.keep(Arc::clone(keeping));
    }
    writing.topic.clone_from(&topics.response);
    writing.granted = Arc::clone(&held.granted);
    let mut writing = tokio::spawn(writing.run(controls, frames));
    let mut session = Session {
        desk: Desk::new(Arc::clone(&app), out.clone()).with_marks(keeping.is_some()),
        app,
        peer,
        admitted,
        topics,
        method,
        held,
        keeping,
        left_expiry_s: None,
        control,
        out,
    };
    let greeted = match packets::welcome(session.peer.version(), welcome) {
        Ok(packet) => session.say(packet).await,
        Err(error) => Err(error.into()),
    };
    let end = match greeted {
        Ok(()) => session.run(&mut reader, packets, handed_over).await,
        Err(end) => end,
    };
    // At once: a device that is gone is not waited for. What it acknowledges yet counts all the same.
    if let Some(keeping) = &session.keeping {
        keeping.leave(session.left_expiry_s);
    }
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
    match ended {
        true => inbound::drain(&mut reader).await,
        false => writing.abort(),
    }
}

/// The session of a connection that has its seat; `None` if nobody can tell at the moment.
async fn sit_down(app: &App, key: SessionKey, wanted: Wanted, held: &Held) -> Option<Beginning> {
    let store = app.api()?.engine().store();
    match app.sessions.begin(store, key.clone(), wanted, held.serial).await {
        // Or it would be there again after a kill.
        Ok(Beginning::Clean { forgets: true }) => {
            let forgotten = app.sessions.write_down(key).await;
            forgotten.then_some(Beginning::Clean { forgets: true })
        }
        Ok(beginning) => Some(beginning),
        Err(error) => {
            tracing::warn!(%error, "the session of an MQTT device cannot be read");
            None
        }
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

/// What is done next.
enum Next {
    /// What the device listened to before is gone on with.
    GoOn,
    Packet(Packet),
    HandedOver(HandedOver),
}

struct Session {
    app: Arc<App>,
    peer: Arc<Peer>,
    admitted: Admitted,
    topics: Topics,
    method: Option<String>,
    held: Held,
    /// What outlives the connection, if anything does.
    keeping: Option<Arc<Keeping>>,
    /// For how long, as the device has said when it went.
    left_expiry_s: Option<u32>,
    desk: Desk,
    /// Acknowledgements and the like: before all messages.
    control: mpsc::Sender<Vec<u8>>,
    out: mpsc::Sender<Outgoing>,
}

impl Session {
    async fn run<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut R,
        packets: VecDeque<Packet>,
        mut handed_over: mpsc::Receiver<HandedOver>,
    ) -> End {
        let mut inbound = Inbound {
            reader,
            app: Arc::clone(&self.app),
            peer: Arc::clone(&self.peer),
            control: self.control.clone(),
            out: self.out.clone(),
            taken_over: self.held.taken_over.clone(),
            failed: self.desk.failed(),
            expires: None,
            packets,
            heard: Instant::now(),
            unsaid: Vec::new(),
            over: None,
            stuck: None,
        };
        let mut go_on = self.keeping.is_some();
        loop {
            inbound.expires = self.admitted.expires;
            let next = match std::mem::take(&mut go_on) {
                true => Next::GoOn,
                false => tokio::select! {
                    Some(handed) = handed_over.recv() => Next::HandedOver(handed),
                    () = self.desk.tidy() => continue,
                    packet = inbound.next() => match packet {
                        Ok(packet) => Next::Packet(packet),
                        Err(end) => return end,
                    },
                },
            };
            let handling = async {
                match next {
                    Next::GoOn => self.go_on().await,
                    Next::Packet(packet) => self.handle(packet).await,
                    Next::HandedOver(handed) => self.handle_handed_over(handed).await,
                }
            };
            // On its own: what an idle connection holds has no room for it.
            let mut handling = Box::pin(handling);
            let handled = tokio::select! {
                handled = &mut handling => handled,
                end = inbound.attend() => {
                    // A mutation on its way into the queue gets there, so that nobody need wonder.
                    let _stuck = timeout(CLOSE_TIMEOUT, handling.as_mut()).await;
                    Err(end)
                }
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    /// Goes on with what the device listened to before, with its rights of now.
    async fn go_on(&mut self) -> Result<(), End> {
        let Some(keeping) = self.keeping.clone() else {
            return Ok(());
        };
        for (id, request, bookmark) in keeping.subscriptions() {
            let caller = self.admitted.identity.clone();
            let begun = self
                .desk
                .subscribe(&caller, None, id.clone(), &request, Some(&bookmark))
                .await?
                .begun();
            if let Some(begun) = begun {
                keeping.gone_on(&id, begun.serial);
            }
        }
        Ok(())
    }

    /// Nothing that is to outlive the connection is acknowledged before it is written down.
    async fn save(&self) -> Result<(), End> {
        match &self.keeping {
            Some(keeping) if !keeping.save().await => Err(End::Goodbye(
                DisconnectReasonCode::UnspecifiedError,
                "The session cannot be written down now; come back.",
            )),
            Some(_) | None => Ok(()),
        }
    }

    async fn say(&mut self, packet: Wire) -> Result<(), End> {
        let step = self.peer.send(packet);
        if !step.bytes.is_empty() {
            self.control.send(step.bytes).await.map_err(|_| End::Gone)?;
        }
        match (step.close, step.error) {
            (false, None) => Ok(()),
            (_, error) => {
                tracing::debug!(?error, "an MQTT packet could not be sent");
                Err(End::Said)
            }
        }
    }

    async fn handle(&mut self, packet: Packet) -> Result<(), End> {
        let version = self.peer.version();
        match packet {
            Packet::Publish(publish) => self.handle_publish(publish).await,
            Packet::Subscribe { id, filters } => {
                let codes = filters.iter().map(|(filter, qos)| self.grant(filter, *qos)).collect();
                self.save().await?;
                self.say(packets::subscribed(version, id, codes)?).await
            }
            Packet::Unsubscribe { id, filters } => {
                let codes = filters.iter().map(|filter| self.withdraw(filter)).collect();
                self.save().await?;
                self.say(packets::unsubscribed(version, id, codes)?).await
            }
            Packet::Authenticate { method, data } => self.handle_authenticate(method, data).await,
            Packet::Disconnect { expiry_s } => {
                let longest = u32::try_from(SESSION_EXPIRY_MAX.as_secs()).unwrap_or(u32::MAX);
                if self.keeping.is_none() && expiry_s.is_some_and(|seconds| seconds > 0) {
                    let why = "The session ends with the connection, as CONNACK has said.";
                    return Err(End::Goodbye(DisconnectReasonCode::ProtocolError, why));
                }
                self.left_expiry_s = expiry_s.map(|seconds| seconds.min(longest));
                Err(End::Gone)
            }
            Packet::Connect(_) => Err(End::Goodbye(DisconnectReasonCode::ProtocolError, "A second CONNECT.")),
            Packet::Other => Ok(()),
        }
    }

    fn grant(&self, filter: &str, qos: Qos) -> SubackReasonCode {
        if let Some(refusal) = self.topics.refusal(filter) {
            return refusal;
        }
        let (granted, code) = match qos {
            Qos::AtMostOnce => (Qos::AtMostOnce, SubackReasonCode::GrantedQos0),
            Qos::AtLeastOnce | Qos::ExactlyOnce => (Qos::AtLeastOnce, SubackReasonCode::GrantedQos1),
        };
        self.held.granted.set(Some(granted));
        if let Some(keeping) = &self.keeping {
            keeping.grant(Some(granted));
        }
        // What waits for an acknowledgement may need none any more.
        self.peer.room.notify_one();
        code
    }

    fn withdraw(&self, filter: &str) -> UnsubackReasonCode {
        match filter == self.topics.response && self.held.granted.get().is_some() {
            true => {
                self.held.granted.set(None);
                if let Some(keeping) = &self.keeping {
                    keeping.grant(None);
                }
                self.peer.room.notify_one();
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
        let left = match self.held.listener() {
            Some(listener) => self.hand_over(&listener, frame, publish.again).await?,
            None => Some(frame),
        };
        if let Some(frame) = left {
            let caller = self.admitted.identity.clone();
            self.handle_frame(frame, publish.again, &caller, None).await?;
        }
        self.acknowledge(publish.id, PubackReasonCode::Success).await
    }

    /// Gives a request to the connection of the device that listens, and waits until it is in; gives it back if that connection
    /// has ended before: then nobody hears the answer, as when nobody ever listened.
    async fn hand_over(
        &self,
        listener: &mpsc::Sender<HandedOver>,
        frame: ClientFrame,
        again: bool,
    ) -> Result<Option<ClientFrame>, End> {
        let (done, is_done) = oneshot::channel();
        let slot = Slot::new(frame);
        let handed = HandedOver {
            frame: slot.clone(),
            again,
            caller: self.admitted.clone(),
            done,
        };
        if listener.send(handed).await.is_ok() && is_done.await.is_ok() {
            return Ok(None);
        }
        match slot.take() {
            Some(frame) => Ok(Some(frame)),
            // Perhaps it is carried out, perhaps not: the device has no acknowledgement, and sends it again.
            None => Err(End::Goodbye(
                DisconnectReasonCode::UnspecifiedError,
                "The connection that was to answer has ended; come back.",
            )),
        }
    }

    async fn handle_handed_over(&mut self, handed: HandedOver) -> Result<(), End> {
        let HandedOver {
            frame,
            again,
            caller,
            done,
        } = handed;
        if let Some(frame) = frame.take() {
            self.handle_frame(frame, again, &caller.identity, caller.expires)
                .await?;
            // Who has brought it may be gone.
            let _gone = done.send(());
        }
        Ok(())
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

    /// One frame of `graphql-transport-ws`; `again`: it may have come before. A subscription ends when its caller's credential
    /// `expires`, if that is not the one that ends the connection.
    async fn handle_frame(
        &mut self,
        frame: ClientFrame,
        again: bool,
        caller: &Identity,
        expires: Option<Timestamp>,
    ) -> Result<(), End> {
        let refusal = |message: &str| GraphqlError::new(ErrorType::BadRequest, message);
        match frame {
            ClientFrame::Subscribe { id, payload } => {
                if id.is_empty() || id.len() > OPERATION_ID_BYTES_MAX {
                    let message = format!("An id has 1 to {OPERATION_ID_BYTES_MAX} bytes.");
                    return Ok(self.desk.send(error_frame("", &[refusal(&message)])).await?);
                }
                if self.desk.is_open(&id) {
                    // It was gone on with, and the device could not know.
                    let kept = self.keeping.as_ref().is_some_and(|keeping| keeping.has(&id, &payload));
                    if again || kept {
                        return Ok(());
                    }
                    let error = refusal("An operation with this id is open: choose another, or complete it first.");
                    return Ok(self.desk.send(error_frame(&id, &[error])).await?);
                }
                let started = self.desk.subscribe(caller, expires, id.clone(), &payload, None).await?;
                match (started.begun(), self.keeping.clone()) {
                    // With other rights than the connection's it could not be gone on with.
                    (Some(begun), Some(keeping)) if caller.has_rights_of(&self.admitted.identity) => {
                        if keeping.put(id.clone(), payload, begun).is_err() {
                            self.desk.cancel(&id);
                            let message = format!(
                                "The subscriptions of a session have no more than {SESSION_BYTES_MAX} bytes: complete some, \
                                 or connect with Clean Start."
                            );
                            let error = GraphqlError::new(ErrorType::LimitExceeded, message);
                            return Ok(self.desk.send(error_frame(&id, &[error])).await?);
                        }
                        self.save().await
                    }
                    _ => Ok(()),
                }
            }
            ClientFrame::Complete { id } => {
                self.desk.cancel(&id);
                match self.keeping.as_ref().is_some_and(|keeping| keeping.remove(&id)) {
                    true => self.save().await,
                    false => Ok(()),
                }
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
            Ok(admitted) if admitted.identity.author() != self.admitted.identity.author() => {
                refused("Another caller than the one who has connected.")
            }
            // What is open was allowed by the rights of before.
            Ok(admitted) if !admitted.identity.has_rights_of(&self.admitted.identity) => {
                refused("The caller's rights have changed: connect with them.")
            }
            Ok(admitted) => {
                self.admitted = admitted;
                self.say(packets::authenticated(&named)?).await
            }
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
                let bytes = self.peer.goodbye(code, why);
                timeout(CLOSE_TIMEOUT, self.control.send(bytes)).await.is_ok()
            }
            // Behind the answers to what was accepted.
            End::Restart => timeout(CLOSE_TIMEOUT, self.out.send(Message::Close(None).into()))
                .await
                .is_ok(),
            End::Said | End::Gone => true,
        };
    }
}
