//! What a replica adds to a mutation, and what the server answers, in `extensions.tombolo`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::graphql::ErrorType;
use crate::id::{MutationId, MutationNumber, ReplicaId};

/// `extensions.tombolo` of a mutation request.
///
/// One request is one mutation with one number; with `atomic` the request's root field `i` (from 0) has number
/// `number + i`, and all of them apply or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MutationEnvelope {
    /// Who made it.
    pub replica: ReplicaId,
    /// Its number there.
    pub number: MutationNumber,
    /// Mutations of the same replica without whose effect this one makes no sense: if one of them was rejected, so is
    /// this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<MutationNumber>,
    /// Earlier mutations of the same replica on the same record whose effects the user saw: the versions they made
    /// are no conflict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<MutationNumber>,
    /// Hash of the schema that the mutation was made under.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// Every mutation of this replica up to here is settled, 0 for none yet: the server may forget their outcomes.
    #[serde(default)]
    pub settled_through: u64,
    /// All root fields or none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub atomic: bool,
    /// The replica gives this mutation up: it is not to be carried out, now or ever. If it was decided before, that
    /// outcome stands and is the answer; otherwise it is rejected as [`ErrorType::Discarded`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub void: bool,
    /// Names that this mutation had before, under which a copy of the replica's file may have sent it: if it was carried out
    /// under one of them, that outcome is the answer; otherwise its outcome is kept under all of them. With `atomic` a name is
    /// that of the first root field, as `number` is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_from: Vec<MutationId>,
    /// What the replica saw in the fields that the mutation sets, by field; sent only where a resolver may be asked
    /// (`CUSTOM`). With `atomic` one such object for each root field, by its response key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Map<String, Json>>,
    /// Another client, which gave its mutations no numbers, may have sent this one before, and nobody knows the answer. If
    /// the record shows that it was carried out, it counts as applied; otherwise it is decided as any other. Never with
    /// `atomic`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resent: bool,
}

/// `extensions.tombolo` of a mutation's answer: the final outcome of each root field. A request whose answer has no
/// outcomes was not decided and is to be sent again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MutationAnswer {
    /// One for each root field, in order.
    pub outcomes: Vec<MutationOutcome>,
}

/// The final outcome of one mutation on the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MutationOutcome {
    /// Which one.
    pub number: MutationNumber,
    /// What became of it.
    pub outcome: OutcomeKind,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RejectReason>,
    /// The cursor at which its effect stands in the feed; absent for a rejection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// What was in conflict or refused: a [`super::trace::Trace`] as JSON, for the replica to keep. Absent when it was simply
    /// applied, and when the server no longer keeps the trace of a mutation that comes again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Json>,
}

/// How a mutation ended on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeKind {
    /// As it was sent.
    Applied,
    /// Merged with a change it had not seen.
    Merged,
    /// Not at all.
    Rejected,
}

/// Why a mutation was rejected: a stable code and words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RejectReason {
    /// The code.
    pub code: ErrorType,
    /// What went wrong and what to do about it.
    pub message: String,
}
