//! W5: many connections at once that do nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use futures_util::SinkExt as _;

use super::mqtt::{Client, Login};
use super::writes::{Socket, open};
use super::{Held, Hold, Line, peak};
use crate::error::{Error, expect_count, failed};
use crate::host;

/// Connections that are being opened at any time.
const AT_ONCE: usize = 64;

/// Time for the other side to come to rest before its memory is looked at: for each connection, and at most.
const REST: Duration = Duration::from_millis(1);
const REST_MAX: Duration = Duration::from_secs(2);

/// What each has open, if anything.
pub(super) const SUBSCRIPTION: &str = "subscription { onCreateNote { id text author severity done _version } }";

/// Buffers of a socket that are as small as a thousand of them should have.
pub(super) fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0)
}

enum Connection {
    Mqtt(Client),
    WebSocket(#[expect(dead_code, reason = "kept open")] Box<Socket>),
}

/// Opens all of them and looks at what they cost.
pub(super) async fn run(job: &Hold) -> Result<Held, Error> {
    // The first one makes what all share.
    drop(one(job, 0).await?);
    let rest = REST_MAX.min(REST * u32::try_from(job.connections).unwrap_or(u32::MAX));
    tokio::time::sleep(rest).await;
    let before = host::resident_memory(job.process);
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let shared = Arc::new(job.clone());
    for first in 0..AT_ONCE.min(job.connections) {
        let job = Arc::clone(&shared);
        tasks.spawn(async move {
            let mut connections = Vec::new();
            for number in (first..job.connections).step_by(AT_ONCE) {
                connections.push(one(&job, number).await?);
            }
            Ok::<_, Error>(connections)
        });
    }
    let mut connections = Vec::with_capacity(job.connections);
    while let Some(ended) = tasks.join_next().await {
        connections.extend(ended.map_err(|e| failed(e.to_string()))??);
    }
    let seconds = start.elapsed().as_secs_f64();
    tokio::time::sleep(rest).await;
    let after = host::resident_memory(job.process);
    let idle = connections.iter().filter(|connection| match connection {
        Connection::Mqtt(client) => client.is_idle(),
        // Whoever closes says so; that is read by nobody here, and the server's count of rows tells nothing of it.
        Connection::WebSocket(_) => true,
    });
    expect_count("connections held", job.connections as u64, idle.count() as u64)?;
    Ok(Held {
        before,
        after,
        seconds,
        peak: peak(),
    })
}

async fn one(job: &Hold, number: usize) -> Result<Connection, Error> {
    let frame = json!({ "id": "1", "type": "subscribe", "payload": { "query": SUBSCRIPTION } }).to_string();
    match job.line {
        Line::Mqtt { level, qos } => {
            let device = format!("device-{number}");
            let login = Login {
                address: &job.broker.address,
                level,
                client_id: &device,
                api_key: job.broker.api_key.as_deref(),
                number,
            };
            let mut client = Client::connect(&login).await?;
            client.subscribe(&format!("tombolo/{device}/response"), qos).await?;
            if job.subscription {
                let request = format!("tombolo/{device}/request");
                client.publish_and_wait(&request, 2, frame.as_bytes()).await?;
            }
            Ok(Connection::Mqtt(client))
        }
        Line::WebSocket => {
            let key = job.broker.api_key.as_deref().unwrap_or_default();
            let mut socket = open(&job.broker.address, key, small()).await?;
            if job.subscription {
                socket.send(Message::text(frame)).await?;
            }
            Ok(Connection::WebSocket(Box::new(socket)))
        }
    }
}
