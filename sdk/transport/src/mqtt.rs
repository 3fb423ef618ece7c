//! The frames of `graphql-transport-ws` over MQTT, on the two topics of a device: what a WebSocket is where MQTT is what gets
//! through.
//!
//! Source: `docs/mqtt.md`; MQTT 3.1.1 and 5 (OASIS).
//!
//! A link is one connection under a client id of its own. Requests go out with QoS 1; whatever the client library drops when a
//! connection ends, the sync machine sends again. The subscription to the responses stands before [`Transport::open`] is done.
//! Behind a link is one task, which ends when the link is dropped.

mod link;
mod v4;
mod v5;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Url;
use rumqttc::{TlsConfiguration, Transport as Carrier};
use tombolo_core::wire::graphql::Request;

use crate::{
    BadEndpoint, BoxFuture, CloseReason, Credential, Incoming, Link, OperationId, Outgoing, Transport, limits, tls,
};
use link::MqttLink;

/// Largest request, in bytes: the server takes no larger packet.
pub const PACKET_BYTES_MAX: usize = 5 << 20;

/// Requests under way that the server has not acknowledged: as many as it takes.
pub const IN_FLIGHT_MAX: u16 = 32;

/// Quiet time before a ping: as on a WebSocket.
const KEEP_ALIVE: Duration = limits::KEEP_ALIVE_INTERVAL;

/// The version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MqttVersion {
    /// MQTT 3.1.1.
    V3_1_1,
    /// MQTT 5.
    #[default]
    V5,
}

/// MQTT links to one server.
///
/// ```no_run
/// # fn example() -> Result<(), tombolo_transport::BadEndpoint> {
/// use tombolo_transport::mqtt::{Mqtt, MqttVersion};
///
/// let over_tls = Mqtt::new("mqtts://mqtt.example.com")?;
/// let through_a_proxy = Mqtt::new("wss://api.example.com/mqtt")?.with_version(MqttVersion::V3_1_1);
/// # Ok(())
/// # }
/// ```
pub struct Mqtt {
    url: Url,
    version: MqttVersion,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
    /// The user name and the password at an outside broker.
    broker: Option<(String, String)>,
}

/// What a connection is made with.
struct Dial {
    /// The client id, which is the device's name too.
    id: String,
    host: String,
    port: u16,
    carrier: Carrier,
    /// User name and password of CONNECT.
    login: Option<(String, String)>,
    /// `connection_init`, where a broker stands between: CONNECT does not reach the server then.
    init: Option<String>,
}

impl std::fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mqtt")
            .field("url", &self.url.as_str())
            .field("version", &self.version)
            .field("through_broker", &self.broker.is_some())
            .finish_non_exhaustive()
    }
}

impl Dial {
    fn request_topic(&self) -> String {
        format!("tombolo/{}/request", self.id)
    }

    fn response_topic(&self) -> String {
        format!("tombolo/{}/response", self.id)
    }
}

impl Mqtt {
    /// A way to the server at `url`: `mqtt://HOST[:1883]`, `mqtts://HOST[:8883]`, or `ws://` or `wss://` with the path, `/mqtt`.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`BadEndpoint`] says what is wrong with the address.
    pub fn new(url: &str) -> Result<Self, BadEndpoint> {
        let bad = |problem: String| BadEndpoint {
            url: crate::endpoint::without_user(url),
            problem,
        };
        let parsed = Url::parse(url.trim()).map_err(|e| bad(e.to_string()))?;
        if !matches!(parsed.scheme(), "mqtt" | "mqtts" | "ws" | "wss") {
            return Err(bad(format!("`{}` is not mqtt, mqtts, ws or wss", parsed.scheme())));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad(
                "a user name in it would end up in logs; pass the credential on its own".into(),
            ));
        }
        if parsed.host_str().is_none_or(str::is_empty) {
            return Err(bad("it names no host".into()));
        }
        Ok(Self {
            url: parsed,
            version: MqttVersion::default(),
            tls: OnceLock::new(),
            broker: None,
        })
    }

    /// The same through an outside broker, to which the device shows this user name and password: the server's credential goes
    /// to the server in a frame. Each link has a client id of its own, so that the broker's access list has to go by client ids
    /// (`docs/mqtt.md`, *An outside broker*).
    ///
    /// ```
    /// # fn main() -> Result<(), tombolo_transport::BadEndpoint> {
    /// use tombolo_transport::mqtt::Mqtt;
    ///
    /// let through = Mqtt::new("mqtts://broker.example.com")?.through_broker("fleet", "hunter2");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn through_broker(mut self, username: impl Into<String>, password: impl Into<String>) -> Self {
        self.broker = Some((username.into(), password.into()));
        self
    }

    /// The same, in another version.
    #[must_use]
    pub fn with_version(mut self, version: MqttVersion) -> Self {
        self.version = version;
        self
    }

    /// The same, with TLS settings of the caller's own.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<rustls::ClientConfig>) -> Self {
        self.tls = OnceLock::from(tls);
        self
    }

    /// What its links are called in the app's status.
    fn name(&self) -> &'static str {
        match self.url.scheme() {
            "mqtt" => "mqtt",
            "mqtts" => "mqtts",
            _ => "mqtt-websocket",
        }
    }

    fn dial(&self, credential: &Credential) -> Result<Dial, CloseReason> {
        let host = self.url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let secure = |carrier: fn(TlsConfiguration) -> Carrier| {
            let config = match self.tls.get() {
                Some(config) => Arc::clone(config),
                None => {
                    let config = tls::client(true).map_err(CloseReason::unreachable)?;
                    Arc::clone(self.tls.get_or_init(|| config))
                }
            };
            Ok::<_, CloseReason>(carrier(TlsConfiguration::Rustls(config)))
        };
        let (host, port, carrier) = match self.url.scheme() {
            "mqtt" => (bare.to_owned(), 1883, Carrier::Tcp),
            "mqtts" => (bare.to_owned(), 8883, secure(Carrier::Tls)?),
            // The library takes the whole address for a host here.
            "ws" => (self.url.to_string(), 80, Carrier::Ws),
            _ => (self.url.to_string(), 443, secure(Carrier::Wss)?),
        };
        Ok(Dial {
            id: uuid::Uuid::new_v4().to_string(),
            host,
            port: self.url.port().unwrap_or(port),
            carrier,
            login: match &self.broker {
                Some(login) => Some(login.clone()),
                None => credential
                    .header()
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            },
            init: match &self.broker {
                Some(_) => Some(crate::frame::init(credential.init_payload())?),
                None => None,
            },
        })
    }

    async fn link(&self, credential: &Credential) -> Result<MqttLink, CloseReason> {
        let dial = self.dial(credential)?;
        let init = dial.init.clone();
        let opening = async {
            let mut link = match self.version {
                MqttVersion::V3_1_1 => v4::start(dial),
                MqttVersion::V5 => v5::start(dial),
            }
            .named(self.name());
            link.stand().await?;
            if let Some(init) = init {
                link.begin(init).await?;
            }
            Ok(link)
        };
        match tokio::time::timeout(limits::CONNECT_TIMEOUT, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(CloseReason::TimedOut { what: "connecting" }),
        }
    }

    /// One operation over a connection of its own.
    async fn answer(&self, credential: &Credential, request: Request) -> Result<Vec<u8>, CloseReason> {
        const ID: OperationId = OperationId(0);
        let mut link = self.link(credential).await?;
        let start = Outgoing::Start { id: ID, request };
        link.send(start).map_err(|error| match error {
            crate::SendError::Closed(reason) => reason,
            crate::SendError::Full => CloseReason::protocol("no room for the only request"),
        })?;
        let answer = match link.receive().await {
            Incoming::Next { payload, .. } => Ok(payload),
            Incoming::Failed { errors, .. } => Ok(serde_json::json!({ "data": null, "errors": errors })
                .to_string()
                .into_bytes()),
            Incoming::Complete { .. } => Err(CloseReason::protocol("an operation without a result")),
            Incoming::Closed(reason) => Err(reason),
        };
        link.close().await;
        answer
    }
}

impl Transport for Mqtt {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        Box::pin(async move { Ok(Box::new(self.link(credential).await?) as Box<dyn Link>) })
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        Box::pin(async move {
            match tokio::time::timeout(limits::REQUEST_TIMEOUT, self.answer(credential, request)).await {
                Ok(answer) => answer,
                Err(_) => Err(CloseReason::TimedOut { what: "the answer" }),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_says_how_and_where() {
        for (url, host, port) in [
            ("mqtt://h", "h", 1883),
            ("mqtt://[::1]:5", "::1", 5),
            ("ws://h/mqtt", "ws://h/mqtt", 80),
            ("ws://h:4000/mqtt", "ws://h:4000/mqtt", 4000),
        ] {
            let dial = Mqtt::new(url).unwrap().dial(&Credential::None).unwrap();
            assert_eq!((dial.host.as_str(), dial.port), (host, port), "{url}");
        }
        for bad in ["", "h:1883", "http://h", "mqtt://", "mqtt://me:hunter2@h"] {
            let error = Mqtt::new(bad).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
