//! MQTT 3.1.1 and 5, and 3.1 as the oldest of AppSync's clients begin: over TCP, TLS and WebSocket (`/mqtt`).
//!
//! A device publishes frames of `graphql-transport-ws` to `tombolo/DEVICE/request` and is answered in such frames on
//! `tombolo/DEVICE/response` ([`topics`]). So CONNECT takes the place of `connection_init`, and all else is as on that
//! WebSocket: any number of operations of all kinds, through the same `Desk`.
//! `docs/mqtt.md` is the description for people.
//!
//! A connection is two tasks. One reads, and hands requests to the desk one after the other: a request with QoS 1 is
//! acknowledged when a mutation in it has entered the writer's queue. The other writes, takes the next frame only when the
//! device has room for it, and puts acknowledgements first. The protocol's own rules (packets, ids, windows, keep-alive) are
//! `mqtt-protocol-core`'s (`peer`).
//!
//! | module | |
//! |---|---|
//! | [`topics`] | which topics a device has |
//! | `packets` | both versions' packets as one |
//! | `admission` | who may connect |
//! | [`broker`] | an outside broker between the devices and the server |
//! | `beginning` | CONNECTs that are written anew before they are read |
//! | `peer` | the protocol's state of one connection |
//! | `devices` | who is connected |
//! | `inbound` | what comes in, read while a request is worked on too |
//! | `session` | one connection's life |
//! | `sessions` | what outlives a connection |
//! | `shape` | what a device's packets look like |
//! | `writing` | the task that writes |
//! | [`handshake`] | AppSync's older hand-shake, whose connections are no devices |

mod admission;
mod beginning;
pub mod broker;
mod devices;
pub mod handshake;
mod inbound;

mod packets;
mod peer;
mod session;
mod sessions;
mod shape;
pub mod topics;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{FromRequestParts as _, State, WebSocketUpgrade};
use axum::http::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

pub use devices::Devices;
use handshake::Token;
#[doc(hidden)]
pub use session::serve;
pub use sessions::{SAVE_INTERVAL, SESSION_BYTES_MAX, SESSION_EXPIRY_MAX, Sessions};

use crate::auth::Shown;
use crate::limits::SOCKET_BUFFER_BYTES;
use crate::listener::Place;
use crate::routes::App;

/// Where MQTT is spoken over a WebSocket.
pub const PATH: &str = "/mqtt";

/// The WebSocket's subprotocols: that of the standard, and that of its clients before it.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Largest packet, in bytes, and at most `limits.body_bytes_max`: a request with ten records of the largest size, as over HTTP.
pub const PACKET_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Largest message of the WebSocket, in bytes: somewhat more, so that a packet that is too large is read, and its device told so.
const WEBSOCKET_BYTES_MAX: usize = PACKET_BYTES_MAX + 1024 * 1024;

/// Messages with QoS 1 that may be under way to a device: with answers of 150 kB each as much as fits on a poor link for some
/// seconds. A device of MQTT 5 may want fewer.
pub const IN_FLIGHT_MAX: usize = 16;

/// Largest CONNECT, in bytes, and what came with it: credentials are far smaller, and who brings them has shown nothing yet.
pub const CONNECT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of packets that wait while one is worked on, beyond which no more are read until it is done: a queue of a thousand
/// mutations of a kilobyte, which a client of MQTT 3.1.1 sends without waiting for an acknowledgement.
pub const PACKETS_WAITING_BYTES_MAX: usize = 1024 * 1024;

/// A device from which so much waits, and which does not take the answers that would make room, is given up after this long.
const STUCK_TIMEOUT: Duration = crate::limits::WRITE_TIMEOUT;

/// Requests that wait at a connection for which another one of its device has brought them.
const HANDED_OVER_MAX: usize = 4;

/// Acknowledgements that wait for the socket: with them waits whoever reads.
const CONTROL_MAX: usize = 16;

/// Time for a device to take the answers to what was accepted when the server ends, or the device has said its last: one that
/// acknowledges nothing must not hold up the end.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest keep-alive: a device that says nothing for half as long again is given up. One that asks for a longer one, or for none,
/// is told this one (MQTT 5), or held to it.
pub const KEEP_ALIVE_MAX: Duration = Duration::from_secs(20 * 60);

/// The ports of MQTT's own; the WebSocket is at [`PATH`] of the HTTP port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// `ADDR:PORT` for plain MQTT; 1883 is its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// The same for MQTT over TLS, with the server's certificate; 8883 is its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_listen: Option<String>,
    /// An outside broker between the devices and the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker: Option<broker::BrokerConfig>,
}

/// `/mqtt`, by GET with an upgrade.
pub(crate) async fn listen(State(app): State<Arc<App>>, request: Request<axum::body::Body>) -> Response {
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &app).await {
        Ok(upgrade) => {
            let shown = Shown::headers(&parts.headers);
            let token = Token::of(parts.uri.query());
            let place = parts.extensions.get::<Place>().cloned();
            let at_work = app.life.tasks.token();
            let upgrade = upgrade
                .read_buffer_size(SOCKET_BUFFER_BYTES)
                .write_buffer_size(SOCKET_BUFFER_BYTES)
                .max_message_size(WEBSOCKET_BYTES_MAX)
                .max_frame_size(WEBSOCKET_BYTES_MAX)
                .protocols(SUBPROTOCOLS);
            upgrade.on_upgrade(move |socket| async move {
                over_websocket(socket, app, shown, token).await;
                drop((place, at_work));
            })
        }
        Err(refused) => refused.into_response(),
    }
}

/// MQTT's bytes are those of the binary messages, wherever one ends; a text message ends the connection. With the token of a
/// hand-shake it is that one's connection, and no device's.
async fn over_websocket(socket: WebSocket, app: Arc<App>, shown: Shown, token: Option<Token>) {
    let (sink, stream) = socket.split();
    let bytes = stream.filter_map(async |message| match message {
        Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
        Ok(Message::Ping(_) | Message::Pong(_)) => None,
        Ok(Message::Close(_)) => Some(Ok(Bytes::new())),
        Ok(Message::Text(_)) => Some(Err(std::io::Error::other("MQTT is spoken in binary messages"))),
        Err(error) => Some(Err(std::io::Error::other(error))),
    });
    let sink = sink
        .sink_map_err(std::io::Error::other)
        .with(async |bytes: Bytes| Ok::<_, std::io::Error>(Message::Binary(bytes)));
    let reader = StreamReader::new(Box::pin(bytes));
    let writer = SinkWriter::new(CopyToBytes::new(Box::pin(sink)));
    match token {
        Some(token) => handshake::serve(reader, writer, app, token).await,
        None => serve(reader, writer, app, shown).await,
    }
}
