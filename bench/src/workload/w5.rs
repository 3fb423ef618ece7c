//! W5: what a connection costs that does nothing.
//!
//! Limit: a connection of Mosquitto that subscribes to a topic of its own.

use super::Setting;
use super::w3::NO_MOSQUITTO;
use crate::child::{self, Mosquitto};
use crate::error::{Error, failed};
use crate::options::{Options, Workload};
use crate::report::{Line as Row, Unit};
use crate::stats::median;
use crate::worker::{Broker, Held, Hold, Job, Line};

/// Files that a process has open besides its connections.
const OTHER_FILES: u64 = 500;

const MQTT_3: Line = Line::Mqtt { level: 4, qos: 1 };
const MQTT_5: Line = Line::Mqtt { level: 5, qos: 1 };

/// How a connection is made, whether it has a subscription of GraphQL open, and Mosquitto's beside it.
const LINES: [(&str, Line, bool, Line); 5] = [
    ("MQTT 3.1.1", MQTT_3, false, MQTT_3),
    ("MQTT 5", MQTT_5, false, MQTT_5),
    ("MQTT 3.1.1 with a GraphQL subscription", MQTT_3, true, MQTT_3),
    ("WebSocket", Line::WebSocket, false, MQTT_3),
    ("WebSocket with a GraphQL subscription", Line::WebSocket, true, MQTT_3),
];

/// Refuses to begin what the system will not let be finished.
pub(crate) fn check_open_files(options: &Options, open_files: Option<u64>) -> Result<(), Error> {
    let needed = [(Workload::W3, options.subscribers), (Workload::W5, options.connections)];
    for (workload, sockets) in needed {
        if let Some(most) = open_files
            && options.wants(workload)
            && sockets as u64 + OTHER_FILES > most
        {
            return Err(failed(format!(
                "{workload:?} wants {sockets} sockets in one process and the system allows {most} open files: raise the hard \
                 limit (`ulimit -Hn`), or ask for less (--connections, --subscribers)"
            )));
        }
    }
    Ok(())
}

/// Runs the workload.
pub(crate) async fn run(setting: &Setting, notes: &mut Vec<String>) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (name, line, subscription, beside) in LINES {
        let options = &setting.options;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut client_peak, mut server_peak) = (None, None);
        for run in 0..options.runs {
            let folder = format!("w5/{}-{run}", name.replace([' ', ','], ""));
            let server = setting.mqtt_server(&folder, options.connections).await?;
            server.reset_peak();
            let address = match line {
                Line::Mqtt { .. } => server.mqtt()?.to_owned(),
                Line::WebSocket => server.url(),
            };
            let mut job = Hold {
                broker: Broker {
                    address,
                    api_key: Some(server.api_key().to_owned()),
                },
                line,
                connections: options.connections,
                subscription,
                process: server.process(),
            };
            let result: Held = child::work(&Job::Held(job.clone()))?;
            client_peak = client_peak.max(result.peak);
            server_peak = server_peak.max(server.peak());
            ours.push(result);
            drop(server);
            if let Some(mosquitto) = Mosquitto::start(&setting.directory.join(&folder)).await? {
                job.broker = Broker {
                    address: mosquitto.address().to_owned(),
                    api_key: None,
                };
                (job.line, job.subscription, job.process) = (beside, false, mosquitto.process());
                theirs.push(child::work::<Held>(&Job::Held(job))?);
            } else if !notes.iter().any(|note| note == NO_MOSQUITTO) {
                notes.push(NO_MOSQUITTO.to_owned());
            }
        }
        let connections = options.connections as f64;
        let rate = |all: &[Held]| connections / median(&all.iter().map(|one| one.seconds).collect::<Vec<_>>());
        let held = |all: &[Held]| {
            let each = all
                .iter()
                .filter_map(|one| Some(one.after?.saturating_sub(one.before?) as f64 / connections));
            Some(median(&each.collect::<Vec<_>>())).filter(|bytes| *bytes > 0.0)
        };
        if let Some(bytes) = held(&ours) {
            rows.push(
                Row::new("W5", format!("one of {connections} idle, {name}"), Unit::Bytes, bytes)
                    .beside("one of as many at Mosquitto", held(&theirs))
                    .memory(client_peak, server_peak),
            );
        }
        rows.push(
            Row::new("W5", "opening them, 64 at once", Unit::PerSecond, rate(&ours))
                .beside("the same of Mosquitto", (!theirs.is_empty()).then(|| rate(&theirs))),
        );
    }
    Ok(rows)
}
