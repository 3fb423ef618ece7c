//! MQTT 5, by `rumqttc`.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, LastWill, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, MqttOptions, StateError};
use tokio::sync::mpsc;

use super::link::{self, Heard, INCOMING_MAX, MqttLink, Publish};
use super::{Dial, IN_FLIGHT_MAX, KEEP_ALIVE, PACKET_BYTES_MAX};
use crate::{CloseReason, limits};

struct Client {
    client: AsyncClient,
    topic: String,
}

impl Publish for Client {
    fn publish(&self, payload: Vec<u8>) -> bool {
        self.client
            .try_publish(self.topic.as_str(), QoS::AtLeastOnce, false, payload)
            .is_ok()
    }

    fn goodbye(&self) {
        if let Err(error) = self.client.try_disconnect() {
            tracing::debug!(%error, "the link was dropped without a goodbye");
        }
    }
}

/// Begins a connection.
pub(super) fn start(dial: Dial) -> MqttLink {
    let (request, response) = (dial.request_topic(), dial.response_topic());
    let mut options = MqttOptions::new(dial.id, dial.host, dial.port);
    options
        .set_transport(dial.carrier)
        .set_clean_start(true)
        .set_keep_alive(KEEP_ALIVE)
        .set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX)
        .set_max_packet_size(u32::try_from(limits::MESSAGE_BYTES_MAX).ok());
    if let Some((name, value)) = dial.login {
        options.set_credentials(name, value);
    }
    if dial.init.is_some() {
        // The broker alone sees the device go.
        options.set_last_will(LastWill::new(&request, link::OVER, QoS::AtLeastOnce, false, None));
    }
    let (client, mut connection) = AsyncClient::new(options, limits::OUTGOING_MESSAGES_MAX);
    let (heard, hears) = mpsc::channel(INCOMING_MAX);
    let subscriber = client.clone();
    let task = tokio::spawn(async move {
        loop {
            let heard_now = match connection.poll().await {
                // Only now: what is subscribed to before is lost with a session that is new.
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    match subscriber.try_subscribe(response.as_str(), QoS::AtLeastOnce) {
                        Ok(()) => continue,
                        Err(error) => Heard::Ended(CloseReason::protocol(error.to_string())),
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(granted))) => match granted.return_codes.first() {
                    Some(SubscribeReasonCode::Success(_)) => Heard::Standing,
                    _ => Heard::Ended(CloseReason::protocol("the server refuses the response topic")),
                },
                Ok(Event::Incoming(Packet::Publish(message))) => Heard::Message(message.payload.to_vec()),
                Ok(_) => continue,
                Err(error) => Heard::Ended(reason(error)),
            };
            let over = matches!(heard_now, Heard::Ended(_));
            if heard.send(heard_now).await.is_err() || over {
                return;
            }
        }
    });
    MqttLink::new(Box::new(Client { client, topic: request }), hears, task)
}

fn reason(error: ConnectionError) -> CloseReason {
    match error {
        ConnectionError::ConnectionRefused(code)
        | ConnectionError::MqttState(StateError::ConnFail { reason: code }) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned => {
                CloseReason::Unauthorized { code: 401 }
            }
            ConnectReturnCode::ServiceUnavailable
            | ConnectReturnCode::ServerUnavailable
            | ConnectReturnCode::ServerBusy
            | ConnectReturnCode::ConnectionRateExceeded => CloseReason::Refused { status: 503 },
            other => CloseReason::protocol(format!("the server refuses to connect: {other:?}")),
        },
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => match reason_code {
            DisconnectReasonCode::NotAuthorized => CloseReason::Unauthorized { code: 403 },
            DisconnectReasonCode::ServerShuttingDown => CloseReason::Closed { code: 1012 },
            DisconnectReasonCode::PacketTooLarge => CloseReason::TooLarge {
                limit_bytes: PACKET_BYTES_MAX,
            },
            DisconnectReasonCode::KeepAliveTimeout => CloseReason::TimedOut {
                what: "our word to the server",
            },
            other => CloseReason::protocol(format!("the server ended the connection: {other:?}")),
        },
        ConnectionError::MqttState(StateError::AwaitPingResp) => CloseReason::TimedOut {
            what: "any word from the server",
        },
        ConnectionError::MqttState(StateError::Deserialization(error)) => CloseReason::protocol(error.to_string()),
        other => CloseReason::unreachable(other),
    }
}
