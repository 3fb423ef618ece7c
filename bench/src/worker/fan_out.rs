//! W3: one client writes, and each write comes to all the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::SinkExt as _;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::held::{SUBSCRIPTION, small};
use super::mqtt::{Client, Login};
use super::writes::{Socket, open, receive};
use super::{FanOut, FannedOut, Line, peak};
use crate::data;
use crate::error::{Error, expect_count, failed};
use crate::stats::Spread;

/// Writes on their way at any time while the rate is measured.
const AT_ONCE: usize = 8;

/// Longest wait for a write to be everywhere.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

/// Writes before the first that counts: they warm what is shared.
const WARM: usize = 5;

/// What the writer sends.
const CREATE: &str = "mutation Create($input: CreateNoteInput!) { createNote(input: $input) { id _version } }";

/// The topic of a broker that knows no devices.
const TOPIC: &str = "bench/fan-out";

/// Arrivals, of all subscribers together.
struct Arrivals {
    count: AtomicUsize,
    subscribers: usize,
    /// Called when a write is everywhere.
    everywhere: Notify,
}

impl Arrivals {
    fn arrived(&self) {
        let count = self.count.fetch_add(1, Ordering::AcqRel) + 1;
        if count.is_multiple_of(self.subscribers) {
            self.everywhere.notify_one();
        }
    }

    /// Waits until so many writes are everywhere.
    async fn wait(&self, writes: usize) -> Result<(), Error> {
        let waiting = async {
            while self.count.load(Ordering::Acquire) < writes * self.subscribers {
                self.everywhere.notified().await;
            }
        };
        tokio::time::timeout(ARRIVAL_MAX, waiting).await.map_err(|_| {
            failed(format!(
                "write {writes} did not come to all in {} s",
                ARRIVAL_MAX.as_secs()
            ))
        })
    }
}

/// One client: a subscriber, or the writer.
enum Peer {
    Mqtt(Client),
    WebSocket(Box<Socket>),
}

/// Connects all, then writes: one after the other for the latency, then some at once for the rate.
pub(super) async fn run(job: &FanOut) -> Result<FannedOut, Error> {
    let arrivals = Arc::new(Arrivals {
        count: AtomicUsize::new(0),
        subscribers: job.subscribers,
        everywhere: Notify::new(),
    });
    let all = WARM + 2 * job.writes;
    let mut tasks: JoinSet<Result<(Vec<Instant>, String), Error>> = JoinSet::new();
    for number in 0..job.subscribers {
        let peer = subscriber(job, number).await?;
        tasks.spawn(listen(peer, all, Arc::clone(&arrivals)));
    }
    let mut writer = connect(job, "writer", job.subscribers).await?;
    let mut sent = Vec::with_capacity(WARM + job.writes);
    let mut latest = Instant::now();
    for write in 0..all {
        if write == WARM + job.writes {
            latest = Instant::now();
        }
        if write < WARM + job.writes {
            sent.push(Instant::now());
        } else {
            arrivals.wait((write + 1).saturating_sub(AT_ONCE)).await?;
        }
        publish(job, &mut writer, write).await?;
        if write < WARM + job.writes {
            tokio::select! {
                arrived = arrivals.wait(write + 1) => arrived?,
                // A subscriber that ends early has failed.
                Some(ended) = tasks.join_next() => { ended.map_err(|e| failed(e.to_string()))??; }
            }
        }
    }
    arrivals.wait(all).await?;
    let seconds = latest.elapsed().as_secs_f64();
    let mut times = Vec::with_capacity(job.writes * job.subscribers);
    let mut payload = String::new();
    while let Some(ended) = tasks.join_next().await {
        let (arrived, last) = ended.map_err(|e| failed(e.to_string()))??;
        let pairs = sent.iter().zip(&arrived).skip(WARM);
        times.extend(pairs.map(|(sent, arrived)| arrived.duration_since(*sent)));
        payload = last;
    }
    expect_count("arrivals", (job.writes * job.subscribers) as u64, times.len() as u64)?;
    Ok(FannedOut {
        latency: Spread::of(&times),
        per_second: (job.writes * job.subscribers) as f64 / seconds,
        writes: all,
        payload,
        peak: peak(),
    })
}

async fn listen(mut peer: Peer, writes: usize, arrivals: Arc<Arrivals>) -> Result<(Vec<Instant>, String), Error> {
    let mut arrived = Vec::with_capacity(writes);
    let mut last = String::new();
    for write in 1..=writes {
        let keep = write == writes;
        match &mut peer {
            Peer::Mqtt(client) => {
                let payload = client.message().await?;
                arrived.push(Instant::now());
                if keep {
                    last = String::from_utf8_lossy(payload).into_owned();
                }
            }
            Peer::WebSocket(socket) => {
                let text = receive(socket).await?;
                arrived.push(Instant::now());
                last = text;
            }
        }
        arrivals.arrived();
    }
    if last.contains(r#""errors""#) {
        return Err(failed(format!("a subscriber was told {last}")));
    }
    Ok((arrived, last))
}

async fn connect(job: &FanOut, name: &str, number: usize) -> Result<Peer, Error> {
    Ok(match job.line {
        Line::Mqtt { level, .. } => Peer::Mqtt(
            Client::connect(&Login {
                address: &job.broker.address,
                level,
                client_id: name,
                api_key: job.broker.api_key.as_deref(),
                number,
            })
            .await?,
        ),
        Line::WebSocket => {
            let key = job.broker.api_key.as_deref().unwrap_or_default();
            Peer::WebSocket(Box::new(open(&job.broker.address, key, small()).await?))
        }
    })
}

async fn subscriber(job: &FanOut, number: usize) -> Result<Peer, Error> {
    let device = format!("device-{number}");
    let mut peer = connect(job, &device, number).await?;
    let frame = json!({ "id": "1", "type": "subscribe", "payload": { "query": SUBSCRIPTION } }).to_string();
    match (&mut peer, job.line) {
        (Peer::Mqtt(client), Line::Mqtt { qos, .. }) if job.broker.api_key.is_some() => {
            client.subscribe(&format!("tombolo/{device}/response"), qos).await?;
            // Acknowledged when it has begun.
            let request = format!("tombolo/{device}/request");
            client.publish_and_wait(&request, 2, frame.as_bytes()).await?;
        }
        (Peer::Mqtt(client), Line::Mqtt { qos, .. }) => client.subscribe(TOPIC, qos).await?,
        (Peer::WebSocket(socket), _) => {
            socket.send(Message::text(frame)).await?;
            // Answered in its order: the subscription has begun.
            let query = json!({ "id": "2", "type": "subscribe", "payload": { "query": "{ __typename }" } });
            socket.send(Message::text(query.to_string())).await?;
            while !receive(socket).await?.contains(r#""type":"complete""#) {}
        }
        (Peer::Mqtt(_), Line::WebSocket) => return Err(failed("a client of MQTT on a WebSocket")),
    }
    Ok(peer)
}

/// Sends a write, and waits for nothing but the acknowledgement of the one before.
async fn publish(job: &FanOut, writer: &mut Peer, write: usize) -> Result<(), Error> {
    let request = || {
        let variables = json!({ "input": data::note(&job.author, write) });
        let payload = json!({ "query": CREATE, "variables": variables });
        json!({ "id": write.to_string(), "type": "subscribe", "payload": payload }).to_string()
    };
    match (writer, job.line) {
        (Peer::Mqtt(client), Line::Mqtt { qos, .. }) => {
            if qos > 0 && write > 0 {
                client.acknowledged().await?;
            }
            let id = u16::try_from(write % 60_000 + 1).unwrap_or(1);
            match job.broker.api_key {
                Some(_) => {
                    client
                        .publish("tombolo/writer/request", qos, id, request().as_bytes())
                        .await
                }
                None => client.publish(TOPIC, qos, id, job.payload.as_bytes()).await,
            }
        }
        (Peer::WebSocket(socket), _) => Ok(socket.send(Message::text(request())).await?),
        (Peer::Mqtt(_), Line::WebSocket) => Err(failed("a client of MQTT on a WebSocket")),
    }
}
