//! An outside broker between the devices and the server: the same topics and frames, through a broker that a team runs anyway.
//!
//! The server is a client of it that subscribes to `tombolo/+/request` and publishes to `tombolo/DEVICE/response`. Who may
//! publish and subscribe where is the broker's to say (`docs/mqtt.md` has the access lists); who is calling is shown in the
//! frames: in `connection_init`, as on a WebSocket, or in a request's own `extensions.authorization`, as AppSync's clients do.
//!
//! It is MQTT 3.1.1, because every broker speaks that. The session with the broker is kept, and a request is acknowledged once
//! it is where its acknowledgement promises it to be: while the server is restarted the broker keeps the requests.
//!
//! The connection is one task (`link`) that must never wait for a device, or nothing would drain. Each device is a task of its
//! own (`device`) that takes requests one after the other. What waits for devices is bounded by what a broker sends without
//! an acknowledgement, and by [`REQUESTS_WAITING_BYTES_MAX`].

mod device;
mod link;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use tombolo::transport::tls;

pub(crate) use link::run;

use crate::outbound::Secret;

/// A device of which nothing was heard for so long is over: two pings of an app that says one every five minutes, and a late one.
/// The broker tells nobody that a device went, unless it left a will.
pub const DEVICE_SILENCE_MAX: Duration = Duration::from_secs(15 * 60);

/// How long the broker is left without an acknowledgement of a mutation that is not settled: it sends only so much without. Many
/// commits; only a conflict resolver takes longer. A server that is killed after it has forgotten the mutation.
const SETTLING_WAIT_MAX: Duration = Duration::from_secs(2);

/// Requests that wait for their devices' tasks, in bytes; beyond it they are answered with `LimitExceeded`. A broker sends some
/// twenty messages without an acknowledgement, and QoS 0 without any bound.
pub const REQUESTS_WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Answers that wait for the broker: then the devices' tasks wait.
const ANSWERS_WAITING_MAX: usize = 64;

/// The same of one device: whoever asks for more than is worked off holds up nobody but himself.
pub const REQUESTS_OF_DEVICE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Largest packet of MQTT, in bytes (2.2.3): what is too large for us is refused and acknowledged, or the broker would bring it
/// again with each connection.
const INCOMING_BYTES_MAX: usize = 268_435_455;

/// Messages with QoS 0 that no device's task takes and that are answered at once; more are passed over.
const REFUSALS_MAX: usize = 256;

/// How often devices that are over are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Answers that the broker has not acknowledged: what Mosquitto keeps for one of its own clients by default, five times.
const IN_FLIGHT_MAX: u16 = 100;

/// Quiet time before a ping: below what load balancers forget connections after.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Pauses between two attempts to reach the broker double, from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The client id where nothing else is said.
const CLIENT_ID_DEFAULT: &str = "tombolo-server";

/// `[mqtt.broker]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// `mqtt://HOST[:1883]`, `mqtts://HOST[:8883]`, `ws://` or `wss://`.
    pub url: String,
    /// Whose the server's session with the broker is.
    #[serde(default = "client_id_default")]
    pub client_id: String,
    /// The shared subscription's group, for several servers; empty for none. A secret at Mosquitto, which lets anybody who can name
    /// a group join it, and take requests away from the server that way.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// How the server shows itself to the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// Largest message that the broker takes, in bytes; a larger answer is refused with `LimitExceeded`.
    #[serde(default = "packet_bytes_max_default")]
    pub packet_bytes_max: usize,
    /// Certificates in PEM that are trusted instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

fn client_id_default() -> String {
    CLIENT_ID_DEFAULT.to_owned()
}

/// What EMQX and NATS take by default, less what a topic has.
fn packet_bytes_max_default() -> usize {
    1_000_000
}

impl BrokerConfig {
    /// One at `url`, and all else as when nothing is said.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            client_id: client_id_default(),
            group: String::new(),
            packet_bytes_max: packet_bytes_max_default(),
            username: None,
            password: None,
            ca: None,
        }
    }

    /// Where the server listens for requests.
    fn filter(&self) -> String {
        match self.group.as_str() {
            "" => "tombolo/+/request".to_owned(),
            group => format!("$share/{group}/tombolo/+/request"),
        }
    }

    fn parsed(&self) -> Result<Url, String> {
        let url = Url::parse(self.url.trim()).map_err(|error| format!("is no URL: {error}"))?;
        match url.scheme() {
            "mqtt" | "mqtts" | "ws" | "wss" if url.host_str().is_some_and(|host| !host.is_empty()) => {}
            "mqtt" | "mqtts" | "ws" | "wss" => return Err("names no host".to_owned()),
            other => return Err(format!("{other:?} is not mqtt, mqtts, ws or wss")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a user name that would end up in logs; write username and password".to_owned());
        }
        Ok(url)
    }

    /// What is wrong, by key.
    pub(crate) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if let Err(problem) = self.parsed() {
            problems.push(("url", problem));
        }
        if self.client_id.is_empty() || self.client_id.len() > super::topics::CLIENT_ID_BYTES_MAX {
            problems.push(("client_id", "has 1 to 128 bytes".to_owned()));
        }
        if self.group.contains(['/', '+', '#']) {
            problems.push(("group", "has no / + #".to_owned()));
        }
        if self.password.is_some() && self.username.is_none() {
            problems.push((
                "username",
                "is missing; MQTT 3.1.1 has no password without one".to_owned(),
            ));
        }
        if let Some(path) = &self.ca {
            let read = std::fs::read(path).map_err(|error| error.to_string());
            let trusted = read.and_then(|pem| tls::client_trusting(&pem).map_err(|error| error.to_string()));
            if let Err(problem) = trusted {
                problems.push(("ca", format!("{}: {problem}", path.display())));
            }
        }
        if self.packet_bytes_max == 0 || self.packet_bytes_max > super::PACKET_BYTES_MAX {
            problems.push(("packet_bytes_max", format!("is 1 to {}", super::PACKET_BYTES_MAX)));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_checked_and_holds_no_secret() {
        for good in ["mqtt://h", "mqtts://[::1]:5", "wss://h/mqtt"] {
            assert_eq!(BrokerConfig::at(good).problems(), [], "{good}");
        }
        for bad in ["", "h:1883", "http://h", "mqtt://", "mqtt://me:hunter2@h"] {
            let problems = BrokerConfig::at(bad).problems();
            assert!(
                matches!(problems.as_slice(), [("url", problem)] if !problem.contains("hunter2")),
                "{bad}: {problems:?}"
            );
        }
    }

    #[test]
    fn a_group_shares_the_subscription() {
        let mut config = BrokerConfig::at("mqtt://h");
        assert_eq!(config.filter(), "tombolo/+/request");
        "g".clone_into(&mut config.group);
        assert_eq!(config.filter(), "$share/g/tombolo/+/request");
    }
}
