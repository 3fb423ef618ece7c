//! Frames of the protocol as a client reads and writes them.
//!
//! `next` payloads are kept as the raw bytes of the server: a page of the feed is parsed once, by who applies it.

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tombolo_core::wire::ws::ClientFrame;

use crate::{CloseReason, Incoming, OperationId, Outgoing};

/// A frame from the server.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// The session is open.
    Ack,
    /// To be answered with a pong.
    Ping,
    /// The answer to a ping.
    Pong,
    /// Something for the owner of the link.
    Message(Incoming),
}

/// Reads a text message.
pub(crate) fn read(text: &str) -> Result<Frame, CloseReason> {
    // The frames are told apart by hand because serde buffers internally tagged enums, and raw JSON cannot be buffered.
    #[derive(Deserialize)]
    struct Parts<'a> {
        #[serde(rename = "type")]
        kind: std::borrow::Cow<'a, str>,
        id: Option<std::borrow::Cow<'a, str>>,
        #[serde(borrow)]
        payload: Option<&'a RawValue>,
    }
    let parts: Parts<'_> =
        serde_json::from_str(text).map_err(|e| CloseReason::protocol(format!("a frame cannot be read: {e}")))?;
    let id = || {
        parts
            .id
            .as_deref()
            .and_then(|id| id.parse().ok())
            .map(OperationId)
            .ok_or_else(|| CloseReason::protocol("a frame names no operation of ours"))
    };
    Ok(match parts.kind.as_ref() {
        "connection_ack" => Frame::Ack,
        "ping" => Frame::Ping,
        "pong" => Frame::Pong,
        "next" => {
            let payload = parts
                .payload
                .ok_or_else(|| CloseReason::protocol("a `next` frame has no payload"))?;
            Frame::Message(Incoming::Next {
                id: id()?,
                payload: payload.get().as_bytes().to_vec(),
            })
        }
        "error" => {
            let errors = parts
                .payload
                .and_then(|p| serde_json::from_str(p.get()).ok())
                .ok_or_else(|| CloseReason::protocol("an `error` frame has no list of errors"))?;
            Frame::Message(Incoming::Failed { id: id()?, errors })
        }
        "complete" => Frame::Message(Incoming::Complete { id: id()? }),
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err(CloseReason::protocol(format!(
                "`{shown}` is not a frame of graphql-transport-ws"
            )));
        }
    })
}

/// Errors that are of no operation: an `error` frame with an empty id.
#[cfg(feature = "mqtt")]
pub(crate) fn refusal(text: &str) -> Option<Vec<tombolo_core::wire::graphql::GraphqlError>> {
    #[derive(Deserialize)]
    struct Parts {
        #[serde(rename = "type")]
        kind: String,
        id: String,
        payload: Vec<tombolo_core::wire::graphql::GraphqlError>,
    }
    let parts: Parts = serde_json::from_str(text).ok()?;
    (parts.kind == "error" && parts.id.is_empty()).then_some(parts.payload)
}

/// Writes a message of the owner.
pub(crate) fn write(message: Outgoing) -> Result<String, CloseReason> {
    encode(&match message {
        Outgoing::Start { id, request } => ClientFrame::Subscribe {
            id: id.0.to_string(),
            payload: request,
        },
        Outgoing::Stop { id } => ClientFrame::Complete { id: id.0.to_string() },
    })
}

/// Writes `connection_init`.
pub(crate) fn init(payload: Option<Json>) -> Result<String, CloseReason> {
    encode(&ClientFrame::ConnectionInit { payload })
}

/// Writes a ping.
pub(crate) const PING: &str = r#"{"type":"ping"}"#;

/// Writes a pong.
pub(crate) const PONG: &str = r#"{"type":"pong"}"#;

fn encode(frame: &ClientFrame) -> Result<String, CloseReason> {
    serde_json::to_string(frame).map_err(|e| CloseReason::protocol(e.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_payload_stays_as_the_server_wrote_it() {
        let frame = read(r#"{"id":"7","type":"next","payload":{"data": {"a":1.50}}}"#).unwrap();
        let Frame::Message(Incoming::Next { id, payload }) = frame else {
            panic!("{frame:?}")
        };
        assert_eq!(
            (id, payload.as_slice()),
            (OperationId(7), br#"{"data": {"a":1.50}}"#.as_slice())
        );
    }

    #[test]
    fn escaped_names_and_foreign_members_are_read() {
        assert_eq!(read(r#"{"type":"\u0070ing","extra":[1]}"#), Ok(Frame::Ping));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":"data"}"#,
            r#"{"type":"next","id":"1"}"#,
            r#"{"type":"next","payload":{}}"#,
            r#"{"type":"next","id":"x","payload":{}}"#,
            r#"{"type":"error","id":"1","payload":"no"}"#,
        ] {
            assert!(matches!(read(text), Err(CloseReason::Protocol { .. })), "{text}");
        }
    }
}
