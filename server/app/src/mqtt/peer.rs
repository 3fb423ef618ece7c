//! The protocol's own state of one connection: what was read becomes packets, what is to be sent becomes bytes. Shared by the
//! task that reads and the one that writes, under a lock that is never held while anybody waits.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::prelude::*;
use mqtt_protocol_core::mqtt::connection::{Connection, ConnectionOptions, role};
use mqtt_protocol_core::mqtt::packet::prelude::*;
use mqtt_protocol_core::mqtt::packet::{GenericPacket, Qos};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, DisconnectReasonCode, MqttError};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::IN_FLIGHT_MAX;
use super::packets::{self, Packet, Wire};
use super::sessions::Keeping;
use super::shape::{self, Cutter, Fault};
use crate::operations::Mark;

/// One connection.
pub(super) struct Peer {
    state: Mutex<State>,
    /// Called when the other side has taken something, so that there is room for the next.
    pub(super) room: Notify,
    /// The session that is told how far the other side has come, if it is kept.
    keeping: OnceLock<Arc<Keeping>>,
}

struct State {
    protocol: Connection<role::Server>,
    timers: BTreeMap<u8, (TimerKind, Instant)>,
    in_flight: usize,
    /// Marks in the order in which they went out; with the packet's id while it is not acknowledged.
    marks: VecDeque<(Option<u16>, Mark)>,
    cutter: Cutter,
    /// It was closed or broken: nothing is read any more, of which the library would make a connection anew.
    broken: bool,
}

/// What came of a step.
#[derive(Default)]
pub(super) struct Step {
    /// What was read.
    pub(super) packets: Vec<Packet>,
    /// To be written.
    pub(super) bytes: Vec<u8>,
    /// The connection is over once that is written.
    pub(super) close: bool,
    /// What was wrong.
    pub(super) error: Option<MqttError>,
}

/// There is no room for another message now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

impl Peer {
    /// A connection that takes packets of up to `packet_bytes_max`.
    pub(super) fn new(packet_bytes_max: u32) -> Self {
        // No Receive Maximum: 3.1.1 cannot be told one, clients of 5 pass over it, and what waits is bounded in bytes.
        let options = ConnectionOptions::new().maximum_packet_size_recv(packet_bytes_max);
        let mut protocol = Connection::with_options(Version::Undetermined, options);
        protocol.set_auto_ping_response(true);
        Self {
            state: Mutex::new(State {
                protocol,
                timers: BTreeMap::new(),
                in_flight: 0,
                marks: VecDeque::new(),
                cutter: Cutter::new(packet_bytes_max as usize),
                broken: false,
            }),
            room: Notify::new(),
            keeping: OnceLock::new(),
        }
    }

    /// Nothing that runs under the lock can panic halfway through a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on marks are noted there.
    pub(super) fn keep(&self, keeping: Arc<Keeping>) {
        let _set = self.keeping.set(keeping);
    }

    /// Notes a mark that nothing goes out with.
    pub(super) fn pass(&self, mark: Mark) {
        let mut state = self.state();
        state.marks.push_back((None, mark));
        self.note(&mut state);
    }

    /// A subscription of a session that is kept cannot be told what it is to be told: it is over.
    pub(super) fn give_up(&self, mark: Mark) {
        if let Some(keeping) = self.keeping.get() {
            keeping.reached(Mark { bookmark: None, ..mark });
        }
    }

    /// Notes what the other side has come past, in the order in which it went out.
    fn note(&self, state: &mut State) {
        while let Some((_, mark)) = state.marks.pop_front_if(|(id, _)| id.is_none()) {
            if let Some(keeping) = self.keeping.get() {
                keeping.reached(mark);
            }
        }
    }

    pub(super) fn version(&self) -> Version {
        self.state().protocol.get_protocol_version()
    }

    /// Takes bytes that came. Once something was wrong, no more of them are.
    pub(super) fn receive(&self, bytes: &[u8]) -> Step {
        let mut step = Step::default();
        let mut rest = bytes;
        loop {
            let mut state = self.state();
            if state.broken {
                step.close = true;
                break;
            }
            match state.receive_one(&mut rest, &mut step, &self.room) {
                Ok(true) => self.note(&mut state),
                Ok(false) => break,
                Err(fault) => state.refuse(fault, &mut step, &self.room),
            }
            state.broken |= step.close || step.error.is_some();
        }
        step
    }

    /// The bytes of a DISCONNECT; none for versions that have no such packet from a server, and none if there was one before.
    pub(super) fn goodbye(&self, code: DisconnectReasonCode, why: &str) -> Vec<u8> {
        let mut step = Step::default();
        self.state().part(code, why, &mut step, &self.room);
        step.bytes
    }

    /// The bytes of a packet that is to go out.
    pub(super) fn send(&self, packet: Wire) -> Step {
        let mut step = Step::default();
        let mut state = self.state();
        let events = state.protocol.send(packet);
        state.take(events, &mut step, &self.room);
        step
    }

    /// The bytes of a message for the device, if there is room for it: with QoS 1 as many are under way as both sides allow. Its
    /// mark is noted once it is acknowledged, or at once with QoS 0.
    pub(super) fn message(&self, topic: &str, payload: Vec<u8>, qos: Qos, mark: Option<&Mark>) -> Result<Step, Full> {
        let mut step = Step::default();
        let mut state = self.state();
        let id = match qos {
            Qos::AtMostOnce => None,
            Qos::AtLeastOnce | Qos::ExactlyOnce => {
                if !state.has_room() {
                    return Err(Full);
                }
                let id = state.protocol.acquire_packet_id().map_err(|_| Full)?;
                state.in_flight += 1;
                Some(id)
            }
        };
        let version = state.protocol.get_protocol_version();
        match packets::message(version, topic, id, payload) {
            Ok(packet) => {
                let events = state.protocol.send(packet);
                state.take(events, &mut step, &self.room);
                // What does not go out brings nobody any further.
                if step.error.is_none() {
                    state.marks.extend(mark.map(|mark| (id, mark.clone())));
                    self.note(&mut state);
                }
            }
            Err(error) => step.error = Some(error),
        }
        Ok(step)
    }

    /// Whether a message with this QoS may go out now.
    pub(super) fn has_room(&self, qos: Qos) -> bool {
        qos == Qos::AtMostOnce || self.state().has_room()
    }

    /// When the next of the protocol's own deadlines is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.state().timers.values().map(|(_, at)| *at).min()
    }

    /// Looks at the protocol's own deadlines.
    pub(super) fn look_at_deadlines(&self) -> Step {
        let mut step = Step::default();
        let now = Instant::now();
        let mut state = self.state();
        let due: Vec<(u8, TimerKind)> = state
            .timers
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(place, (kind, _))| (*place, *kind))
            .collect();
        for (place, kind) in due {
            state.timers.remove(&place);
            let events = state.protocol.notify_timer_fired(kind);
            state.take(events, &mut step, &self.room);
        }
        step
    }
}

impl State {
    fn has_room(&self) -> bool {
        let theirs = self.protocol.get_receive_maximum_vacancy_for_send();
        self.in_flight < IN_FLIGHT_MAX && theirs.is_none_or(|room| room > 0)
    }

    /// Takes one packet of what came; whether there was one.
    fn receive_one(&mut self, bytes: &mut &[u8], step: &mut Step, room: &Notify) -> Result<bool, Fault> {
        let version = self.protocol.get_protocol_version();
        let Some(packet) = self.cutter.next(version, bytes)? else {
            return Ok(false);
        };
        if let Err(fault) = shape::look_at(version, &packet) {
            if shape::connects_by_5(&packet) {
                step.bytes.extend(unwelcome(fault));
            }
            return Err(fault);
        }
        let mut cursor = Cursor::new(packet.as_ref());
        let receiving = || self.protocol.recv(&mut cursor);
        // Version 0.7.9 panics at some packets. Those that are known come no further than `shape` and `beginning`.
        match catch_unwind(AssertUnwindSafe(receiving)) {
            Ok(events) if cursor.position() == packet.len() as u64 => {
                self.take(events, step, room);
                // It does not say so of all that it does not take.
                if let Some(error) = step.error {
                    self.part(error.into(), "", step, room);
                }
                Ok(true)
            }
            Ok(_) | Err(_) => Err(Fault {
                error: MqttError::MalformedPacket,
                why: "A packet that cannot be read.",
            }),
        }
    }

    /// Ends the connection for what came.
    fn refuse(&mut self, fault: Fault, step: &mut Step, room: &Notify) {
        self.part(fault.error.into(), fault.why, step, room);
        step.error = Some(fault.error);
        step.close = true;
    }

    /// DISCONNECT, if there can be one (MQTT 5, after CONNACK, once): with the reason in words if the device takes as much.
    fn part(&mut self, code: DisconnectReasonCode, why: &str, step: &mut Step, room: &Notify) {
        let version = self.protocol.get_protocol_version();
        let packets = [why, ""].map(|why| packets::goodbye(version, code, why));
        for packet in packets.into_iter().flatten().flatten() {
            let before = step.bytes.len();
            let error = step.error;
            let events = self.protocol.send(packet);
            self.take(events, step, room);
            step.error = error;
            if step.bytes.len() > before {
                break;
            }
        }
    }

    fn take(&mut self, events: Vec<Event>, step: &mut Step, room: &Notify) {
        for event in events {
            match event {
                GenericEvent::NotifyPacketReceived(packet) => step.packets.push(packets::read(packet)),
                // Of a message with QoS 2 that comes again: the first one was refused, and nobody has it.
                GenericEvent::RequestSendPacket {
                    packet: GenericPacket::V3_1_1Pubrec(_) | GenericPacket::V5_0Pubrec(_),
                    ..
                } => {}
                GenericEvent::RequestSendPacket { packet, .. } => {
                    step.bytes.extend_from_slice(&packet.to_continuous_buffer());
                }
                GenericEvent::NotifyPacketIdReleased(released) => {
                    for (id, _) in &mut self.marks {
                        *id = id.filter(|id| *id != released);
                    }
                    self.in_flight = self.in_flight.saturating_sub(1);
                    room.notify_one();
                }
                GenericEvent::RequestTimerReset { kind, duration_ms } => {
                    let at = Instant::now() + Duration::from_millis(duration_ms);
                    self.timers.insert(kind as u8, (kind, at));
                }
                GenericEvent::RequestTimerCancel(kind) => {
                    self.timers.remove(&(kind as u8));
                }
                GenericEvent::NotifyError(error) => step.error = Some(error),
                GenericEvent::RequestClose => {
                    self.broken = true;
                    step.close = true;
                }
            }
        }
    }
}

/// The bytes of a CONNACK of MQTT 5 for a CONNECT that cannot be taken (4.13.1 allows it): the library never sees it.
fn unwelcome(fault: Fault) -> Vec<u8> {
    let code = match fault.error {
        MqttError::MalformedPacket => ConnectReasonCode::MalformedPacket,
        _ => ConnectReasonCode::ProtocolError,
    };
    packets::unwelcome(Version::V5_0, code, fault.why)
        .map_or_else(|_| Vec::new(), |packet| packet.to_continuous_buffer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_behind_a_packet_that_is_none() {
        let connect = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05phone";
        let peer = Peer::new(1_000);
        assert!(matches!(&peer.receive(connect).packets[..], [Packet::Connect(_)]));
        // The type is reserved; the library says so, and would read on.
        let peer = Peer::new(1_000);
        let step = peer.receive(&[b"\x00\x00", connect.as_slice()].concat());
        assert!(step.error.is_some() && step.packets.is_empty() && step.bytes.is_empty());
        // Nor in what is read later.
        let step = peer.receive(connect);
        assert!(step.close && step.packets.is_empty() && step.bytes.is_empty());
    }

    #[test]
    fn a_message_with_qos_2_is_never_said_to_be_received() {
        let peer = Peer::new(1_000);
        peer.receive(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05phone");
        let welcome = packets::Welcome {
            assigned_id: None,
            keep_alive_s: None,
            method: None,
            present: false,
            expiry_s: None,
        };
        peer.send(packets::welcome(Version::V3_1_1, welcome).unwrap());
        let message = b"\x34\x06\x00\x01t\x00\x05m";
        let step = peer.receive(&[message.as_slice(), message].concat());
        assert!(!step.packets.is_empty() && step.bytes.is_empty(), "{:?}", step.bytes);
    }

    #[test]
    fn no_connection_begins_where_one_has_ended() {
        let connect = b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x05phone";
        let peer = Peer::new(1_000);
        assert!(matches!(&peer.receive(connect).packets[..], [Packet::Connect(_)]));
        assert!(peer.receive(connect).close, "a second CONNECT");
        let step = peer.receive(connect);
        assert!(step.close && step.packets.is_empty() && step.bytes.is_empty());
    }
}
