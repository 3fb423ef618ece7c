//! The frames: what clients say, and what they are told. There are no others: one of the clients fails on a type that it
//! does not know.

use axum::extract::ws::{Message, Utf8Bytes};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use crate::limits::CONNECTION_TIMEOUT;

/// What a client says, as far as it can be read without knowing what it is.
#[derive(Debug, Deserialize)]
pub(super) struct ClientFrame {
    /// `connection_init`, `start`, `stop`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The client's name for a subscription.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// Of a `start`.
    #[serde(default)]
    pub(super) payload: Json,
}

/// What a `start` asks for.
#[derive(Debug)]
pub(super) struct Start {
    /// The request, in the very words that were signed.
    pub(super) data: String,
    /// What the client shows for it.
    pub(super) authorization: Option<Map<String, Json>>,
}

impl Start {
    /// Reads the payload of a `start`; `None` if there is no request in it.
    pub(super) fn read(mut payload: Json) -> Option<Self> {
        let Some(Json::String(data)) = payload.get_mut("data").map(Json::take) else {
            return None;
        };
        let authorization = match payload.pointer_mut("/extensions/authorization").map(Json::take) {
            Some(Json::Object(headers)) => Some(headers),
            Some(_) | None => None,
        };
        Some(Self { data, authorization })
    }
}

/// `connection_ack`.
pub(super) fn connection_ack() -> Message {
    let timeout = u64::try_from(CONNECTION_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    text(&json!({"type": "connection_ack", "payload": {"connectionTimeoutMs": timeout}}))
}

/// `ka`.
pub(super) fn keep_alive() -> Message {
    Message::Text(Utf8Bytes::from_static(r#"{"type":"ka"}"#))
}

/// `start_ack`.
pub(super) fn start_ack(id: &str) -> Message {
    text(&json!({"id": id, "type": "start_ack"}))
}

/// `complete`.
pub(super) fn complete(id: &str) -> Message {
    text(&json!({"id": id, "type": "complete"}))
}

/// `data` around a response object that is JSON already.
pub(super) fn data(id: &str, payload: &[u8]) -> Option<Message> {
    let Ok(payload) = std::str::from_utf8(payload) else {
        tracing::error!("an answer is not UTF-8");
        return None;
    };
    let id = Json::from(id).to_string();
    let mut text = String::with_capacity(payload.len() + id.len() + 40);
    for part in [r#"{"id":"#, &id, r#","type":"data","payload":"#, payload, "}"] {
        text.push_str(part);
    }
    Some(Message::Text(text.into()))
}

/// `error`: the subscription did not start; what its document was refused with.
pub(super) fn error(id: &str, errors: &[GraphqlError]) -> Message {
    text(&json!({"id": id, "type": "error", "payload": {"errors": errors}}))
}

/// `error`: the subscription did not start, for a reason that is not in its document. AppSync's errors of this kind hold no
/// more.
pub(super) fn failure(id: &str, error_type: &ErrorType, message: &str) -> Message {
    text(&json!({"id": id, "type": "error", "payload": {"errors": [{"errorType": error_type, "message": message}]}}))
}

/// `connection_error`: the socket will be closed.
pub(super) fn connection_error(error_type: &ErrorType, code: u16, message: &str) -> Message {
    let error = json!({"errorType": error_type, "errorCode": code, "message": message});
    text(&json!({"type": "connection_error", "payload": {"errors": [error]}}))
}

fn text(frame: &Json) -> Message {
    Message::Text(frame.to_string().into())
}
