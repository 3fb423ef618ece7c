//! W3: one write comes to many subscribers.
//!
//! Limit: a message of the same bytes, published to a topic that as many clients of Mosquitto subscribe to, with the same QoS.
//! It keeps nothing; ours is durable before it is told.

use super::Setting;
use crate::child::{self, Mosquitto};
use crate::error::{Error, expect_count};
use crate::limit::tables::count;
use crate::report::{Line as Row, Unit};
use crate::stats::{Spread, median};
use crate::worker::{Broker, FanOut, FannedOut, Job, Line};

/// What is said where there is no Mosquitto.
pub(super) const NO_MOSQUITTO: &str =
    "no Mosquitto here (Debian: apt-get install mosquitto): W3 and W5 have nothing beside them";

/// How subscribers are connected, and the line of Mosquitto's that is set beside it.
const LINES: [(&str, Line, Line); 4] = [
    ("MQTT 3.1.1, QoS 0", MQTT_0, MQTT_0),
    ("MQTT 3.1.1, QoS 1", MQTT_1, MQTT_1),
    ("MQTT 5, QoS 1", MQTT_5, MQTT_5),
    ("WebSocket", Line::WebSocket, MQTT_0),
];

const MQTT_0: Line = Line::Mqtt { level: 4, qos: 0 };
const MQTT_1: Line = Line::Mqtt { level: 4, qos: 1 };
const MQTT_5: Line = Line::Mqtt { level: 5, qos: 1 };

/// Runs the workload.
pub(crate) async fn run(setting: &Setting, notes: &mut Vec<String>) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (name, line, beside) in LINES {
        rows.extend(one_line(setting, name, line, beside, notes).await?);
    }
    Ok(rows)
}

async fn one_line(
    setting: &Setting,
    name: &str,
    line: Line,
    beside: Line,
    notes: &mut Vec<String>,
) -> Result<Vec<Row>, Error> {
    let options = &setting.options;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut client_peak, mut server_peak) = (None, None);
    for run in 0..options.runs {
        let folder = format!("w3/{}-{run}", name.replace([' ', ','], ""));
        let server = setting.mqtt_server(&folder, options.subscribers).await?;
        server.reset_peak();
        let address = match line {
            Line::Mqtt { .. } => server.mqtt()?.to_owned(),
            Line::WebSocket => server.url(),
        };
        let mut job = FanOut {
            broker: Broker {
                address,
                api_key: Some(server.api_key().to_owned()),
            },
            line,
            subscribers: options.subscribers,
            writes: options.fan_writes,
            author: format!("fan-{run}"),
            payload: String::new(),
        };
        let result: FannedOut = child::work(&Job::FanOut(job.clone()))?;
        expect_count(
            "notes on the server",
            result.writes as u64,
            count(server.database(), "Note")?,
        )?;
        client_peak = client_peak.max(result.peak);
        server_peak = server_peak.max(server.peak());
        drop(server);
        job.payload.clone_from(&result.payload);
        ours.push(result);
        if let Some(mosquitto) = Mosquitto::start(&setting.directory.join(&folder)).await? {
            job.broker = Broker {
                address: mosquitto.address().to_owned(),
                api_key: None,
            };
            job.line = beside;
            theirs.push(child::work::<FannedOut>(&Job::FanOut(job))?);
        } else if !notes.iter().any(|note| note == NO_MOSQUITTO) {
            notes.push(NO_MOSQUITTO.to_owned());
        }
    }
    let spread = |all: &[FannedOut]| Spread::median(&all.iter().map(|one| one.latency).collect::<Vec<_>>());
    let rate = |all: &[FannedOut]| median(&all.iter().map(|one| one.per_second).collect::<Vec<_>>());
    let (latency, bytes) = (spread(&ours), ours.first().map_or(0, |one| one.payload.len()));
    let limit = (!theirs.is_empty()).then(|| (spread(&theirs), rate(&theirs)));
    let subscribers = options.subscribers;
    Ok(vec![
        Row::new(
            "W3",
            format!("write to {subscribers} subscribers, {name}, p50"),
            Unit::Seconds,
            latency.p50,
        )
        .beside(
            format!("Mosquitto, {bytes} bytes to as many"),
            limit.map(|(latency, _)| latency.p50),
        )
        .memory(client_peak, server_peak),
        Row::new("W3", "the same, p99", Unit::Seconds, latency.p99)
            .beside("the same, p99", limit.map(|(latency, _)| latency.p99)),
        Row::new("W3", "messages, 8 writes on their way", Unit::PerSecond, rate(&ours))
            .beside("the same of Mosquitto", limit.map(|(_, rate)| rate)),
    ])
}
