//! `rumqttc` in both versions, as a client that hears what it hears.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::TlsConfiguration;
use rustls::ClientConfig;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tombolo_e2e::{KEY, patiently};

/// Between two tries of a client that connects again by itself.
const PACE: Duration = Duration::from_millis(10);

/// Requests that wait in the library.
const WAITING_MAX: usize = 1_000;

const PACKET_BYTES_MAX: usize = 5 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V5,
}

#[derive(Clone)]
pub(super) enum Carrier {
    Tcp,
    WebSocket,
    Tls(Arc<ClientConfig>),
    TlsWebSocket(Arc<ClientConfig>),
}

/// How to reach the server.
pub(super) struct Way {
    pub version: Version,
    carrier: Carrier,
    host: String,
    port: u16,
}

impl Way {
    pub(super) fn new(version: Version, carrier: Carrier, address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap();
        Self {
            version,
            host: match carrier {
                Carrier::Tcp | Carrier::Tls(_) => host.to_owned(),
                Carrier::WebSocket => format!("ws://{address}/mqtt"),
                Carrier::TlsWebSocket(_) => format!("wss://{address}/mqtt"),
            },
            port: port.parse().unwrap(),
            carrier,
        }
    }

    fn transport(&self) -> rumqttc::Transport {
        match self.carrier.clone() {
            Carrier::Tcp => rumqttc::Transport::Tcp,
            Carrier::WebSocket => rumqttc::Transport::Ws,
            Carrier::Tls(trust) => rumqttc::Transport::Tls(TlsConfiguration::Rustls(trust)),
            Carrier::TlsWebSocket(trust) => rumqttc::Transport::Wss(TlsConfiguration::Rustls(trust)),
        }
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {}:{}", self.version, self.host, self.port)
    }
}

/// What a client hears.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Connected {
        session: bool,
    },
    Subscribed(bool),
    Acked,
    Frame(Json),
    /// Something was refused, or the connection ended.
    Trouble(String),
}

/// A connection.
pub(super) struct Client {
    library: Library,
    device: String,
    heard: mpsc::UnboundedReceiver<Heard>,
    /// Frames of operations that nobody has asked for yet.
    frames: VecDeque<Json>,
    task: JoinHandle<()>,
}

enum Library {
    V4(rumqttc::AsyncClient),
    V5(rumqttc::v5::AsyncClient),
}

impl Client {
    /// Connected and listening.
    pub(super) async fn open(way: &Way, id: &str) -> Self {
        let mut client = Self::connect(way, id).await;
        client.subscribe().await;
        client
    }

    /// The same; the library connects again when the connection ends.
    pub(super) async fn reconnecting(way: &Way, id: &str) -> Self {
        let mut client = Self::start(way, id, KEY, true);
        assert!(matches!(client.hear().await, Heard::Connected { .. }));
        client.subscribe().await;
        client
    }

    /// Connected, and listening to nothing.
    pub(super) async fn connect(way: &Way, id: &str) -> Self {
        Self::try_connect(way, id, KEY).await.unwrap()
    }

    pub(super) async fn try_connect(way: &Way, id: &str, key: &str) -> Result<Self, String> {
        let mut client = Self::start(way, id, key, false);
        match client.hear().await {
            Heard::Connected { session: false } => Ok(client),
            Heard::Trouble(words) => Err(words),
            other => panic!("{other:?}"),
        }
    }

    fn start(way: &Way, id: &str, key: &str, again: bool) -> Self {
        let (tell, heard) = mpsc::unbounded_channel();
        let device = id.split(':').next().unwrap().to_owned();
        let (library, task) = match way.version {
            Version::V4 => start_4(way, id, key, again, tell),
            Version::V5 => start_5(way, id, key, again, tell),
        };
        Self {
            library,
            device,
            heard,
            frames: VecDeque::new(),
            task,
        }
    }

    async fn hear(&mut self) -> Heard {
        patiently(self.heard.recv()).await.expect("the connection is over")
    }

    pub(super) async fn subscribe(&mut self) {
        let topic = format!("tombolo/{}/response", self.device);
        assert!(self.try_subscribe(&topic).await);
    }

    /// Whether the server grants it.
    pub(super) async fn try_subscribe(&mut self, topic: &str) -> bool {
        match &self.library {
            Library::V4(client) => client.try_subscribe(topic, rumqttc::QoS::AtLeastOnce).unwrap(),
            Library::V5(client) => client
                .try_subscribe(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce)
                .unwrap(),
        }
        match self.hear().await {
            Heard::Subscribed(granted) => granted,
            other => panic!("{other:?}"),
        }
    }

    /// With QoS 1.
    pub(super) fn publish(&self, topic: &str, payload: &[u8]) {
        match &self.library {
            Library::V4(client) => client
                .try_publish(topic, rumqttc::QoS::AtLeastOnce, false, payload)
                .unwrap(),
            Library::V5(client) => client
                .try_publish(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, false, payload.to_vec())
                .unwrap(),
        }
    }

    fn send(&self, frame: &Json) {
        self.publish(
            &format!("tombolo/{}/request", self.device),
            frame.to_string().as_bytes(),
        );
    }

    /// Begins an operation.
    pub(super) fn ask(&self, id: &str, request: &Json) {
        self.send(&json!({ "id": id, "type": "subscribe", "payload": request }));
    }

    /// Ends one.
    pub(super) fn stop(&self, id: &str) {
        self.send(&json!({ "id": id, "type": "complete" }));
    }

    /// An operation's one result, and its end.
    pub(super) async fn answer(&mut self, id: &str, request: &Json) -> Json {
        self.ask(id, request);
        let frame = self.frame(|frame| frame["id"] == *id).await;
        if frame["type"] == "error" {
            return json!({ "errors": frame["payload"] });
        }
        assert_eq!(frame["type"], "next", "{frame}");
        self.complete(id).await;
        frame["payload"].clone()
    }

    /// The next result of an operation.
    pub(super) async fn next(&mut self, id: &str) -> Json {
        let frame = self.frame(|frame| frame["id"] == *id).await;
        assert_eq!(frame["type"], "next", "{frame}");
        frame["payload"].clone()
    }

    /// An operation's end.
    pub(super) async fn complete(&mut self, id: &str) {
        let frame = self.frame(|frame| frame["id"] == *id).await;
        assert_eq!(frame, json!({ "id": id, "type": "complete" }));
    }

    /// Frames of an operation that have come and were not asked for.
    pub(super) fn waiting(&self, id: &str) -> usize {
        self.frames.iter().filter(|frame| frame["id"] == *id).count()
    }

    /// The first frame that is wanted; others wait for those who want them.
    pub(super) async fn frame(&mut self, wanted: impl Fn(&Json) -> bool) -> Json {
        if let Some(at) = self.frames.iter().position(&wanted) {
            return self.frames.remove(at).unwrap();
        }
        loop {
            match self.hear().await {
                Heard::Frame(frame) if wanted(&frame) => return frame,
                Heard::Frame(frame) => self.frames.push_back(frame),
                Heard::Acked => {}
                // MQTT 5 refuses a payload that is no frame in the acknowledgement too.
                Heard::Trouble(words) if words.contains("PayloadFormatInvalid") => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits until a request has been acknowledged.
    pub(super) async fn until_acked(&mut self) {
        while self.hear().await != Heard::Acked {}
    }

    pub(super) async fn until_connected(&mut self) -> Heard {
        loop {
            let heard = self.hear().await;
            if matches!(heard, Heard::Connected { .. }) {
                return heard;
            }
        }
    }

    pub(super) async fn until_refused(&mut self) -> String {
        loop {
            if let Heard::Trouble(words) = self.hear().await {
                return words;
            }
        }
    }

    /// Ends without a word.
    pub(super) async fn cut(mut self) {
        self.task.abort();
        // Gone with its socket when this returns; an abort is what it ends by.
        let _aborted = (&mut self.task).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn frame(payload: &[u8]) -> Heard {
    Heard::Frame(serde_json::from_slice(payload).unwrap())
}

fn start_4(
    way: &Way,
    id: &str,
    key: &str,
    again: bool,
    tell: mpsc::UnboundedSender<Heard>,
) -> (Library, JoinHandle<()>) {
    use rumqttc::{Event, Packet, SubscribeReasonCode};
    let mut options = rumqttc::MqttOptions::new(id, &way.host, way.port);
    options
        .set_transport(way.transport())
        .set_credentials("x-api-key", key)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
    let (client, mut connection) = rumqttc::AsyncClient::new(options, WAITING_MAX);
    let task = tokio::spawn(async move {
        loop {
            let heard = match connection.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(connected))) => Heard::Connected {
                    session: connected.session_present,
                },
                Ok(Event::Incoming(Packet::SubAck(granted))) => {
                    Heard::Subscribed(matches!(granted.return_codes[..], [SubscribeReasonCode::Success(_)]))
                }
                Ok(Event::Incoming(Packet::Publish(message))) => frame(&message.payload),
                Ok(Event::Incoming(Packet::PubAck(_))) => Heard::Acked,
                Ok(_) => continue,
                Err(error) => Heard::Trouble(format!("ended: {error:?}")),
            };
            let over = matches!(heard, Heard::Trouble(_));
            if tell.send(heard).is_err() || (over && !again) {
                return;
            }
            if over {
                tokio::time::sleep(PACE).await;
            }
        }
    });
    (Library::V4(client), task)
}

fn start_5(
    way: &Way,
    id: &str,
    key: &str,
    again: bool,
    tell: mpsc::UnboundedSender<Heard>,
) -> (Library, JoinHandle<()>) {
    use rumqttc::v5::Event;
    use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode};
    let mut options = rumqttc::v5::MqttOptions::new(id, &way.host, way.port);
    options
        .set_transport(way.transport())
        .set_clean_start(true)
        .set_credentials("x-api-key", key)
        .set_max_packet_size(u32::try_from(PACKET_BYTES_MAX).ok());
    let (client, mut connection) = rumqttc::v5::AsyncClient::new(options, WAITING_MAX);
    let task = tokio::spawn(async move {
        loop {
            let mut over = false;
            let heard = match connection.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(connected))) => Heard::Connected {
                    session: connected.session_present,
                },
                Ok(Event::Incoming(Packet::SubAck(granted))) => {
                    Heard::Subscribed(matches!(granted.return_codes[..], [SubscribeReasonCode::Success(_)]))
                }
                Ok(Event::Incoming(Packet::Publish(message))) => frame(&message.payload),
                Ok(Event::Incoming(Packet::PubAck(acked))) => match acked.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Heard::Acked,
                    refused => Heard::Trouble(format!("{refused:?}")),
                },
                Ok(_) => continue,
                Err(error) => {
                    over = true;
                    Heard::Trouble(format!("ended: {error:?}"))
                }
            };
            if tell.send(heard).is_err() || (over && !again) {
                return;
            }
            if over {
                tokio::time::sleep(PACE).await;
            }
        }
    });
    (Library::V5(client), task)
}
