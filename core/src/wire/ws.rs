//! Frames of `graphql-transport-ws`.
//!
//! Source: the protocol text of the npm package `graphql-ws`, "GraphQL over WebSocket Protocol".

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::graphql::Request;

/// The subprotocol's name.
pub const SUBPROTOCOL: &str = "graphql-transport-ws";

/// A frame from the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Opens the session; the payload may carry the credential: `{"x-api-key": "…"}`.
    ConnectionInit {
        /// Credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Json>,
    },
    /// Are you there?
    Ping {
        /// Echoed by nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Json>,
    },
    /// Yes.
    Pong {
        /// Read by nobody.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Json>,
    },
    /// Starts an operation of any kind.
    Subscribe {
        /// The client's name for it, unique among the session's open operations.
        id: String,
        /// The operation.
        payload: Request,
    },
    /// Ends an operation.
    Complete {
        /// Which one.
        id: String,
    },
}

/// Close codes of the protocol.
pub mod close {
    /// A frame that is not of the protocol.
    pub const BAD_REQUEST: u16 = 4400;
    /// An operation before `connection_ack`, or a refused credential.
    pub const UNAUTHORIZED: u16 = 4401;
    /// The credential was refused in `connection_init`.
    pub const FORBIDDEN: u16 = 4403;
    /// The client offered no subprotocol that the server speaks.
    pub const SUBPROTOCOL_NOT_ACCEPTABLE: u16 = 4406;
    /// No `connection_init` in time.
    pub const INITIALISATION_TIMEOUT: u16 = 4408;
    /// An id that is in use.
    pub const SUBSCRIBER_EXISTS: u16 = 4409;
    /// A second `connection_init`.
    pub const TOO_MANY_INITIALISATIONS: u16 = 4429;
}
