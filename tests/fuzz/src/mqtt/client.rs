//! One connection, and what its client has been told: looked at as it comes.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};
use tokio::task::JoinHandle;
use tombolo_server::auth::Shown;
use tombolo_server::mqtt::{self, IN_FLIGHT_MAX};
use tombolo_server::routes::App;

use super::wire::{self, Connect, Packet};

/// Bytes that are on their way between the two sides, either way.
const STREAM_BYTES: usize = 8 * 1024;

/// A moment: everything that can happen without the clock has happened when it is over.
const MOMENT: Duration = Duration::from_millis(1);

/// Moments for which a client waits for room to write. A server that takes nothing for longer has been given too much; the
/// client goes away.
const MOMENTS_MAX: usize = 4;

/// A client of MQTT.
pub(super) struct Client {
    stream: Option<DuplexStream>,
    serving: JoinHandle<()>,
    pub(super) sent: Vec<u8>,
    /// Bytes of `sent` that acknowledgements were looked for in.
    acknowledged_to: usize,
    received: Vec<u8>,
    /// Bytes of `received` that have been looked at.
    looked_at: usize,
    told: Told,
    /// It has taken everything at all times.
    attentive: bool,
    /// It takes nothing now.
    pub(super) stalled: bool,
}

/// What a client has been told.
#[derive(Default)]
struct Told {
    connect: Option<Connect>,
    device: String,
    welcome: bool,
    over: bool,
    /// Messages that wait for their acknowledgement, oldest first.
    unacknowledged: VecDeque<u16>,
    /// Those for which one is about to be sent.
    claimed: Vec<u16>,
    /// Acknowledgements that were sent before the client had looked at the message: perhaps of none.
    early: BTreeMap<u16, usize>,
    acknowledged: BTreeMap<(u8, u16), usize>,
    payloads: Vec<Vec<u8>>,
}

impl Client {
    /// Connects.
    pub(super) fn new(app: &Arc<App>) -> Self {
        let (ours, theirs) = tokio::io::duplex(STREAM_BYTES);
        let (reader, writer) = tokio::io::split(theirs);
        Self {
            stream: Some(ours),
            serving: tokio::spawn(mqtt::serve(reader, writer, Arc::clone(app), Shown::default())),
            sent: Vec::new(),
            acknowledged_to: 0,
            received: Vec::new(),
            looked_at: 0,
            told: Told::default(),
            attentive: true,
            stalled: false,
        }
    }

    /// Sends bytes, `piece` at a time.
    pub(super) async fn send(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece.max(1)) {
            let mut left = piece;
            let mut moments = 0;
            while !left.is_empty() {
                let Some(stream) = &mut self.stream else { return };
                let wrote = poll_fn(|cx| match Pin::new(&mut *stream).poll_write(cx, left) {
                    Poll::Ready(wrote) => Poll::Ready(Some(wrote)),
                    Poll::Pending => Poll::Ready(None),
                });
                match wrote.await {
                    Some(Ok(count)) => {
                        let (now, later) = left.split_at(count);
                        self.sent.extend_from_slice(now);
                        self.note_acknowledgements();
                        left = later;
                    }
                    // The server has closed; it may still be heard.
                    Some(Err(_)) => break,
                    None if moments == MOMENTS_MAX => {
                        self.go().await;
                        return;
                    }
                    None => moments += 1,
                }
                if !left.is_empty() {
                    self.wait(MOMENT).await;
                }
            }
            self.wait(MOMENT).await;
        }
    }

    /// Lets time pass.
    pub(super) async fn wait(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
        self.listen().await;
    }

    /// Takes what there is, unless it does not listen.
    pub(super) async fn listen(&mut self) {
        if self.stalled {
            self.attentive = false;
            return;
        }
        loop {
            let mut buffer = [0; 4096];
            let mut into = ReadBuf::new(&mut buffer);
            let Some(stream) = &mut self.stream else { return };
            let read = poll_fn(|cx| match Pin::new(&mut *stream).poll_read(cx, &mut into) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => Poll::Ready(None),
            });
            match read.await {
                None => return,
                Some(read) => {
                    if read.is_err() || into.filled().is_empty() {
                        if self.attentive {
                            assert_eq!(
                                self.received.len(),
                                self.looked_at,
                                "the server has ended within a packet"
                            );
                        }
                        return;
                    }
                    self.received.extend_from_slice(into.filled());
                    self.look();
                    // What was taken makes room for more.
                    tokio::time::sleep(MOMENT).await;
                }
            }
        }
    }

    /// Ends the connection from this side.
    pub(super) async fn go(&mut self) {
        self.listen().await;
        self.stream = None;
    }

    /// The oldest message that is not acknowledged yet, and will be now.
    pub(super) fn unacknowledged(&mut self) -> Option<u16> {
        let id = self.told.unacknowledged.pop_front()?;
        self.told.claimed.push(id);
        Some(id)
    }

    fn note_acknowledgements(&mut self) {
        while let Ok(Some((first, body, length))) = wire::frame(&self.sent[self.acknowledged_to..]) {
            if let (4, [high, low, ..]) = (first >> 4, body) {
                self.told.acknowledge(u16::from_be_bytes([*high, *low]));
            }
            self.acknowledged_to += length;
        }
    }

    /// Whether the server has let it go.
    pub(super) fn is_over(&self) -> bool {
        self.serving.is_finished()
    }

    /// All that it was told in messages.
    pub(super) fn payloads(&self) -> &[Vec<u8>] {
        &self.told.payloads
    }

    fn look(&mut self) {
        loop {
            let rest = &self.received[self.looked_at..];
            let (first, body, length) = match wire::frame(rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(wrong) => panic!("{wrong}: {rest:02x?}"),
            };
            if self.told.connect.is_none() {
                self.told.begin(&self.sent);
            }
            self.told.hear(first, body, length);
            self.looked_at += length;
        }
    }

    /// Looks at the whole of it: nothing is acknowledged that was not sent, and each once.
    pub(super) fn check(&self) {
        let mut sent = BTreeMap::<(u8, u16), usize>::new();
        let mut rest = self.sent.as_slice();
        loop {
            let (first, body, length) = match wire::frame(rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                // A length in more bytes than it needs: the server reads on where this does not.
                Err(_) => return,
            };
            let kind = first >> 4;
            let id_at = match (kind, body) {
                (3, [high, low, ..]) => 2 + usize::from(u16::from_be_bytes([*high, *low])),
                _ => 0,
            };
            if let (3 | 8 | 10, Some([high, low])) = (kind, body.get(id_at..id_at + 2)) {
                let id = u16::from_be_bytes([*high, *low]);
                *sent.entry((kind + 1, id)).or_default() += 1;
            }
            rest = &rest[length..];
        }
        for ((kind, id), count) in &self.told.acknowledged {
            let most = sent.get(&(*kind, *id)).copied().unwrap_or_default();
            assert!(
                *count <= most,
                "{count} acknowledgements ({kind}) of {most} packets {id}"
            );
        }
    }
}

impl Told {
    fn begin(&mut self, sent: &[u8]) {
        self.connect = wire::connect(sent);
        if let Some(connect) = &self.connect {
            self.device = device(&connect.client_id);
        }
    }

    fn acknowledge(&mut self, id: u16) {
        if let Some(place) = self.claimed.iter().position(|other| *other == id) {
            self.claimed.swap_remove(place);
        } else if let Some(place) = self.unacknowledged.iter().position(|other| *other == id) {
            self.unacknowledged.remove(place);
        } else {
            *self.early.entry(id).or_default() += 1;
        }
    }

    fn hear(&mut self, first: u8, body: &[u8], length: usize) {
        let connect = self.connect.as_ref();
        // A version that there is not is told so in the newest.
        let version_5 = connect.is_none_or(|connect| ![3, 4].contains(&connect.level));
        let packet = match wire::read(version_5, first, body) {
            Ok(packet) => packet,
            Err(wrong) => panic!("{wrong}: {first:02x} {body:02x?}"),
        };
        assert!(!self.over, "a packet behind the last one: {packet:?}");
        if let Packet::Connack { code, assigned_id } = packet {
            assert!(!self.welcome, "a second CONNACK");
            self.welcome = true;
            self.over = code != 0;
            assert!(
                self.over || connect.is_some_and(|connect| connect.is_named),
                "what is no CONNECT of MQTT is welcome"
            );
            if let Some(id) = assigned_id {
                self.device = device(&id);
            }
            return;
        }
        assert!(self.welcome, "before CONNACK: {packet:?}");
        let connect = connect.expect("only a CONNECT is welcome");
        assert!(
            length <= connect.packet_bytes_max,
            "{length} bytes for a client that takes {connect:?}"
        );
        match packet {
            Packet::Publish(message) => {
                assert_eq!(
                    message.topic,
                    format!("tombolo/{}/response", self.device),
                    "another's topic"
                );
                crate::check_json(&message.payload);
                if let Some(id) = message.id {
                    let again = self.unacknowledged.iter().position(|other| *other == id);
                    if let Some(place) = again {
                        let early = self.early.get_mut(&id).filter(|count| **count > 0);
                        *early.unwrap_or_else(|| panic!("id {id} is under way already")) -= 1;
                        self.unacknowledged.remove(place);
                    }
                    self.unacknowledged.push_back(id);
                    let most = connect.receive_maximum.min(IN_FLIGHT_MAX) + self.early.values().sum::<usize>();
                    assert!(self.unacknowledged.len() <= most, "more than {most} messages under way");
                }
                self.payloads.push(message.payload);
            }
            Packet::Puback { id } => *self.acknowledged.entry((4, id)).or_default() += 1,
            Packet::Suback { id, .. } => *self.acknowledged.entry((9, id)).or_default() += 1,
            Packet::Unsuback { id, .. } => *self.acknowledged.entry((11, id)).or_default() += 1,
            Packet::Disconnect => self.over = true,
            Packet::Pingresp | Packet::Auth | Packet::Connack { .. } => {}
        }
    }
}

fn device(client_id: &str) -> String {
    client_id.split(':').next().unwrap_or_default().to_owned()
}
