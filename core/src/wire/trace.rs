//! Traces: what a merge decided and what a rejection refused, in words and values that a person can read.
//!
//! The server keeps one for each mutation that was merged or rejected. A replica gets the trace of its own mutation with
//! the outcome ([`super::envelope::MutationOutcome::conflict`]); people and apps read them with the query
//! `tomboloConflicts`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::envelope::OutcomeKind;
use super::graphql::ErrorType;
use crate::id::{MutationNumber, Position, ReplicaId, Version};
use crate::schema::MutationKind;

/// What became of one mutation that was not simply applied.
///
/// ```json
/// {"at": 1767225600000, "replica": "7f0c…", "number": 12, "author": "phones",
///  "model": "Todo", "key": ["a"], "kind": "update", "outcome": "merged", "strategy": "AUTOMERGE",
///  "fields": [{"field": "title", "rule": "AUTOMERGE_SCALAR", "base": "one", "server": "two", "incoming": "three",
///              "result": "two"}],
///  "payload": {"kind": "update", "values": {"id": "a", "title": "three"}, "baseVersion": 4}, "position": 91}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// When it was decided: epoch milliseconds of the server.
    pub at: i64,
    /// The replica that sent it; absent for a plain GraphQL client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaId>,
    /// Its number there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<MutationNumber>,
    /// Who sent it: the name of the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The model; absent if the request could not be read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The record's key, a value for each key field; absent if it was not given whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<Json>>,
    /// What it was to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MutationKind>,
    /// `merged` or `rejected`.
    pub outcome: OutcomeKind,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorType>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The rule that decided on the whole: the model's strategy as in the schema (`AUTOMERGE`), or a named rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// The fields in conflict.
    #[serde(default)]
    pub fields: Vec<FieldTrace>,
    /// What was sent.
    #[serde(default)]
    pub payload: Payload,
    /// The position of the change that it made; absent for a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// One field in conflict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldTrace {
    /// Its name.
    pub field: String,
    /// The rule that decided, as in the schema: `AUTOMERGE_SCALAR`, `COUNTER`, `CUSTOM`…
    pub rule: String,
    /// What the sender saw, if it said so.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub base: Option<Json>,
    /// The server's value at that moment.
    #[serde(default)]
    pub server: Json,
    /// What was sent.
    #[serde(default)]
    pub incoming: Json,
    /// What stands now. For a rejection the server's value.
    #[serde(default)]
    pub result: Json,
}

/// What was sent, so that nobody's work is lost by a rejection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// What it was to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MutationKind>,
    /// The values, by field.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub values: Map<String, Json>,
    /// The operations, by field.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub operations: Map<String, Json>,
    /// The version that it was made on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<Version>,
    /// Its condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Json>,
    /// For a request that could not be read: the document and its variables, as `{"query": …, "variables": …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Json>,
}

/// A member that is there, `null` too.
fn present<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(json).map(Some)
}
