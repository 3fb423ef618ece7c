//! The outbox as an app sees it.

use serde::Serialize;
use serde_json::{Map, Value as Json};
use tombolo_core::id::MutationNumber;
use tombolo_core::schema::MutationKind;
use tombolo_machine::{EntryState, OutboxEntry};

/// One mutation that is not settled, or that was refused and not yet taken note of.
///
/// `Debug` shows numbers and states, not values.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboxItem {
    /// Its number: what [`crate::Client::retry`] and [`crate::Client::discard`] take.
    pub number: MutationNumber,
    /// The first number of its transaction; its own for a mutation alone.
    pub transaction: MutationNumber,
    /// The model.
    pub model: String,
    /// Create, update or delete.
    pub kind: MutationKind,
    /// The values of the record's key, in order.
    pub key: Vec<Json>,
    /// The fields that the user set.
    pub values: Map<String, Json>,
    /// Where it stands.
    pub state: OutboxState,
    /// Why it was refused or wedged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stable code of a refusal, AppSync's where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// Who made it: it is sent in nobody else's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Mutations that have to succeed first.
    pub depends_on: Vec<MutationNumber>,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// How often the server answered without deciding.
    pub tries: u32,
}

/// Where a mutation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OutboxState {
    /// Not sent yet.
    Queued,
    /// Sent; the answer is still to come, or its fate is unknown and it will be sent again under the same number.
    InFlight,
    /// The server has carried it out; the change feed is about to bring it.
    Acked,
    /// The server refused it; rolled back. Discard it to take note.
    Rejected,
    /// It cannot be decided as it stands; retry, edit or discard it.
    Wedged,
    /// The app gave it up after it was sent; the server is still to say whether it had carried it out.
    GivenUp,
}

impl From<OutboxEntry> for OutboxItem {
    fn from(entry: OutboxEntry) -> Self {
        let (state, reason, reason_code) = match entry.state {
            EntryState::Queued => (OutboxState::Queued, None, None),
            EntryState::InFlight => (OutboxState::InFlight, None, None),
            EntryState::Acked { .. } => (OutboxState::Acked, None, None),
            EntryState::Rejected(why) => (OutboxState::Rejected, Some(why.message), Some(why.code.to_string())),
            EntryState::Wedged { reason } => (OutboxState::Wedged, Some(reason), None),
            EntryState::GivenUp => (OutboxState::GivenUp, None, None),
        };
        Self {
            number: entry.number,
            transaction: entry.first,
            model: entry.intent.model,
            kind: entry.intent.kind,
            key: entry.intent.key,
            values: entry.intent.values,
            state,
            reason,
            reason_code,
            author: entry.author,
            depends_on: entry.depends_on,
            created_at_ms: entry.created_at_ms,
            tries: entry.tries,
        }
    }
}

impl std::fmt::Debug for OutboxItem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "OutboxItem({} {:?} {} {:?})",
            self.number, self.kind, self.model, self.state
        )
    }
}
