//! The connection with the broker: requests to their devices' tasks, answers to the broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::Message;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, Publish, QoS, SubscribeReasonCode,
    TlsConfiguration, Transport as Carrier,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tombolo::transport::tls;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use super::device::{self, Device, Request};
use super::{
    ANSWERS_WAITING_MAX, BrokerConfig, IN_FLIGHT_MAX, INCOMING_BYTES_MAX, KEEP_ALIVE, PAUSES, REFUSALS_MAX,
    REQUESTS_OF_DEVICE_BYTES_MAX, REQUESTS_WAITING_BYTES_MAX, SWEEP_INTERVAL,
};
use crate::mqtt::topics::Topics;
use crate::mqtt::{LAST_ANSWERS_TIMEOUT, PACKET_BYTES_MAX};
use crate::operations::error_frame;
use crate::outbound::chain;
use crate::routes::App;

/// What all devices share.
pub(super) struct Shared {
    pub(super) app: Arc<App>,
    pub(super) client: AsyncClient,
    /// Bytes of the requests that wait.
    pub(super) waiting: AtomicUsize,
    /// Largest answer, in bytes.
    pub(super) answer_bytes_max: usize,
    /// Counts the connections: a packet id is of one of them.
    connection: AtomicU64,
    /// The devices, and whatever waits for room at the client.
    pub(super) tasks: TaskTracker,
}

impl Shared {
    /// Acknowledges a message to the broker, if it is of the present connection: of an earlier one it comes again.
    pub(super) async fn acknowledge(&self, message: &Publish, connection: u64) {
        if self.connection.load(Ordering::Acquire) == connection {
            // A client that is gone has nothing to acknowledge.
            let _gone = self.client.ack(message).await;
        }
    }
}

/// Serves the devices of the broker until the server ends.
pub(crate) async fn run(app: Arc<App>, config: BrokerConfig) {
    let options = match options(&config) {
        Ok(options) => options,
        Err(problem) => {
            tracing::error!(broker = config.url, problem, "the MQTT broker cannot be used");
            return;
        }
    };
    // A request that came before could not be carried out, and would come again with the next connection alone.
    app.life.started().await;
    let (client, mut events) = AsyncClient::new(options, ANSWERS_WAITING_MAX);
    let shared = Arc::new(Shared {
        app: Arc::clone(&app),
        client: client.clone(),
        waiting: AtomicUsize::new(0),
        answer_bytes_max: config.packet_bytes_max,
        connection: AtomicU64::new(0),
        tasks: TaskTracker::new(),
    });
    let mut link = Link {
        shared,
        config,
        devices: HashMap::new(),
        pause: PAUSES.0,
        reached: false,
        swept: Instant::now(),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
    };
    loop {
        tokio::select! {
            () = app.life.ended() => break,
            () = link.step(&mut events) => {}
        }
    }
    // The devices' tasks finish what they have; their answers still go out.
    link.devices.clear();
    link.shared.tasks.close();
    let shared = Arc::clone(&link.shared);
    let ending = async {
        shared.tasks.wait().await;
        let _gone = client.disconnect().await;
        std::future::pending::<()>().await;
    };
    // Until the broker has taken the goodbye, which comes behind the answers; or it is not reached.
    let drained = async {
        tokio::select! {
            () = ending => {}
            () = async { while events.poll().await.is_ok() {} } => {}
        }
    };
    if timeout(2 * LAST_ANSWERS_TIMEOUT, drained).await.is_err() {
        tracing::debug!("the MQTT broker did not take the last answers");
    }
}

fn options(config: &BrokerConfig) -> Result<MqttOptions, String> {
    let url = config.parsed()?;
    let secure = |carrier: fn(TlsConfiguration) -> Carrier| {
        let client = match &config.ca {
            Some(path) => {
                let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                tls::client_trusting(&pem)
            }
            None => tls::client(true),
        };
        let client = client.map_err(|error| format!("no TLS: {error}"))?;
        Ok::<_, String>(carrier(TlsConfiguration::Rustls(client)))
    };
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let (host, port, carrier) = match url.scheme() {
        "mqtt" => (bare.to_owned(), 1883, Carrier::Tcp),
        "mqtts" => (bare.to_owned(), 8883, secure(Carrier::Tls)?),
        // The library takes the whole address for a host here.
        "ws" => (url.to_string(), 80, Carrier::Ws),
        _ => (url.to_string(), 443, secure(Carrier::Wss)?),
    };
    let mut options = MqttOptions::new(config.client_id.as_str(), host, url.port().unwrap_or(port));
    options
        .set_transport(carrier)
        // The broker keeps the requests while the server is away.
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_inflight(IN_FLIGHT_MAX)
        .set_max_packet_size(INCOMING_BYTES_MAX, PACKET_BYTES_MAX);
    if let Some(username) = &config.username {
        let password = config.password.as_ref().map_or("", |password| password.0.as_str());
        options.set_credentials(username.as_str(), password);
    }
    Ok(options)
}

/// What a device's task is brought.
struct Requests {
    requests: mpsc::UnboundedSender<Request>,
    /// Bytes of those that wait.
    waiting: Arc<AtomicUsize>,
}

/// In every document that writes (GraphQL, 2.3).
const MUTATION: &[u8] = b"mutation";

struct Link {
    shared: Arc<Shared>,
    config: BrokerConfig,
    devices: HashMap<String, Requests>,
    pause: Duration,
    /// The broker was reached, and nothing was lost since.
    reached: bool,
    /// When the devices were looked through for those that are over.
    swept: Instant,
    /// Room for messages that no device's task takes.
    refusals: Arc<Semaphore>,
}

impl Link {
    async fn step(&mut self, events: &mut EventLoop) {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                self.shared.connection.fetch_add(1, Ordering::AcqRel);
                self.subscribe(Duration::ZERO);
            }
            Ok(Event::Incoming(Packet::SubAck(granted))) => match granted.return_codes.first() {
                Some(SubscribeReasonCode::Success(_)) => {
                    self.pause = PAUSES.0;
                    self.reached = true;
                    tracing::info!(
                        broker = self.config.url,
                        filter = self.config.filter(),
                        "serving by an MQTT broker"
                    );
                }
                Some(SubscribeReasonCode::Failure) | None => {
                    tracing::error!(
                        broker = self.config.url,
                        filter = self.config.filter(),
                        retry_ms = PAUSES.1.as_millis(),
                        "the MQTT broker refuses the subscription: allow it, or leave `group` out if it shares none"
                    );
                    self.subscribe(PAUSES.1);
                }
            },
            Ok(Event::Incoming(Packet::Publish(message))) => self.take(message),
            Ok(_) => {}
            Err(error) => self.lost(&error).await,
        }
    }

    async fn lost(&mut self, error: &ConnectionError) {
        tracing::warn!(
            broker = self.config.url,
            error = chain(error),
            was_reached = self.reached,
            retry_ms = self.pause.as_millis(),
            "the MQTT broker is not reached; it is tried again"
        );
        self.reached = false;
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
    }

    /// Subscribes after a pause. In a task of its own, as everything that waits for room at the client: only this task makes room.
    fn subscribe(&self, pause: Duration) {
        let (shared, filter) = (Arc::clone(&self.shared), self.config.filter());
        let connection = shared.connection.load(Ordering::Acquire);
        self.shared.tasks.spawn(async move {
            tokio::select! {
                () = shared.app.life.ended() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if shared.connection.load(Ordering::Acquire) == connection {
                // A client that is gone subscribes to nothing.
                let _gone = shared.client.subscribe(filter, QoS::AtLeastOnce).await;
            }
        });
    }

    /// Gives a message to its device's task. Waits for nothing.
    fn take(&mut self, message: Publish) {
        let connection = self.shared.connection.load(Ordering::Acquire);
        let device = message
            .topic
            .strip_prefix("tombolo/")
            .and_then(|rest| rest.strip_suffix("/request"));
        let Some(topics) = device
            .and_then(Topics::of)
            .filter(|topics| Some(topics.device.as_str()) == device)
        else {
            tracing::warn!(topic = message.topic, "the MQTT broker gave a message of no device");
            return self.answer(message, connection, None);
        };
        if self.swept + SWEEP_INTERVAL <= Instant::now() {
            self.swept = Instant::now();
            self.devices.retain(|_, of| !of.requests.is_closed());
        }
        let bytes = message.payload.len();
        let own = self
            .devices
            .get(&topics.device)
            .map_or(0, |of| of.waiting.load(Ordering::Acquire));
        let full = self.shared.waiting.load(Ordering::Acquire) + bytes > REQUESTS_WAITING_BYTES_MAX
            || own + bytes > REQUESTS_OF_DEVICE_BYTES_MAX;
        let most = self.shared.app.limits.connections_max;
        let crowded = self.devices.len() >= most && !self.devices.contains_key(&topics.device);
        let refused = match (message.retain, full, crowded) {
            _ if bytes > PACKET_BYTES_MAX => Some((ErrorType::LimitExceeded, "A request has at most 5 MiB.")),
            (true, _, _) => Some((ErrorType::BadRequest, "Nothing is retained: publish without the flag.")),
            (_, true, _) => Some((ErrorType::LimitExceeded, "The server is busy: send it again.")),
            (_, _, true) => Some((
                ErrorType::LimitExceeded,
                "More devices than the server serves: send it again later.",
            )),
            (false, false, false) => None,
        };
        // Told, and not lost: the broker would send nothing more to anybody while it waits.
        if let Some((kind, why)) = refused {
            let frame = error_frame(&device::id_of(&message.payload), &[GraphqlError::new(kind, why)]);
            return self.answer(message, connection, Some((topics.response, frame)));
        }
        // Only what writes is acknowledged late, when it is settled: a device's queries are to hold up nobody else's requests.
        let late = message.payload.windows(MUTATION.len()).any(|part| part == MUTATION);
        if !late {
            self.answer(message.clone(), connection, None);
        }
        let mut request = Request {
            message,
            acknowledge: late.then_some(connection),
        };
        // One whose time was just over gives the request back.
        for _ in 0..2 {
            let of = self.devices.entry(topics.device.clone()).or_insert_with(|| {
                let (requests, taken) = mpsc::unbounded_channel();
                let waiting = Arc::new(AtomicUsize::new(0));
                let device = Device::run(Arc::clone(&self.shared), topics.clone(), taken, Arc::clone(&waiting));
                self.shared.tasks.spawn(device);
                Requests { requests, waiting }
            });
            self.shared.waiting.fetch_add(bytes, Ordering::AcqRel);
            of.waiting.fetch_add(bytes, Ordering::AcqRel);
            match of.requests.send(request) {
                Ok(()) => return,
                Err(mpsc::error::SendError(back)) => {
                    self.shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
                    request = back;
                    self.devices.remove(&topics.device);
                }
            }
        }
    }

    /// Answers a message that no device's task takes, and acknowledges it. What comes with QoS 1 the broker bounds by what it sends
    /// without an acknowledgement; of QoS 0 no more than [`REFUSALS_MAX`] are answered at once.
    fn answer(&self, message: Publish, connection: u64, told: Option<(String, Message)>) {
        let room = Arc::clone(&self.refusals).try_acquire_owned().ok();
        if room.is_none() && message.qos == QoS::AtMostOnce {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(async move {
            if let Some((topic, Message::Text(frame))) = told {
                let _gone = shared
                    .client
                    .publish(topic, QoS::AtLeastOnce, false, frame.as_str())
                    .await;
            }
            shared.acknowledge(&message, connection).await;
            drop(room);
        });
    }
}
