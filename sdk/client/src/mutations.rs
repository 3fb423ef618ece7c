//! Mutations as an app sees them, from the call to the final state and after.

use serde::Serialize;
use serde_json::{Map, Value as Json};
use tombolo_core::id::MutationNumber;
use tombolo_core::schema::MutationKind;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_machine::{EntryState, FinalOutcome, Intent};
use tombolo_store::Kept;

use crate::limits::MUTATIONS_LISTED_MAX;

/// Which mutations [`crate::Client::mutations`] lists. The default: all of them, from the first.
#[derive(Clone, Debug, PartialEq)]
pub struct MutationFilter {
    /// Only those of this model.
    pub model: Option<String>,
    /// Only those of the record with this key (its values, in order).
    pub key: Option<Vec<Json>>,
    /// Only those in one of these states; empty: in any.
    pub states: Vec<MutationState>,
    /// Only those with greater numbers: the last one's number, to go on listing.
    pub after: MutationNumber,
    /// Most to be listed. Default and most: [`MUTATIONS_LISTED_MAX`].
    pub limit: usize,
}

impl Default for MutationFilter {
    fn default() -> Self {
        Self {
            model: None,
            key: None,
            states: Vec::new(),
            after: MutationNumber(0),
            limit: MUTATIONS_LISTED_MAX,
        }
    }
}

impl MutationFilter {
    /// Those in one of these states.
    #[must_use]
    pub fn in_states(states: impl IntoIterator<Item = MutationState>) -> Self {
        Self {
            states: states.into_iter().collect(),
            ..Self::default()
        }
    }

    pub(crate) fn takes(&self, mutation: &Mutation) -> bool {
        self.model.as_ref().is_none_or(|model| *model == mutation.model)
            && self.key.as_ref().is_none_or(|key| *key == mutation.key)
            && (self.states.is_empty() || self.states.contains(&mutation.state))
    }
}

/// Where a mutation stands. The last four are final; each mutation reaches exactly one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MutationState {
    /// Not sent yet.
    Queued,
    /// Sent; the answer is still to come.
    InFlight,
    /// The server never decided it: [`crate::Client::retry`], [`crate::Client::edit_and_retry`] or
    /// [`crate::Client::discard`] it.
    Wedged,
    /// The app gave it up after it was sent; the server is still to say whether it had carried it out.
    GivenUp,
    /// Carried out as it was sent.
    Applied,
    /// Carried out, merged with a change that it had not seen.
    Merged,
    /// Refused by the server.
    Rejected,
    /// Given up by the app, and never carried out.
    Discarded,
}

impl MutationState {
    /// Whether it will not change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Applied | Self::Merged | Self::Rejected | Self::Discarded => true,
            Self::Queued | Self::InFlight | Self::Wedged | Self::GivenUp => false,
        }
    }
}

/// One mutation of this replica.
///
/// `Debug` shows numbers and states, not values.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mutation {
    /// Its number: what [`crate::Client::outcome`], [`crate::Client::retry`] and [`crate::Client::discard`] take. It may
    /// be another than the one that it was asked for by, see [`crate::Event::Renumbered`].
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
    pub state: MutationState,
    /// Nothing more will come of it: it has ended, what it did is in the base rows, and the app has taken note of a
    /// refusal.
    pub settled: bool,
    /// Why it was refused or wedged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The stable code of a refusal, AppSync's where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// What was in conflict or refused, field by field, as the server tells it (docs/protocol.md, "Traces").
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Json>,
    /// The mutation that the app made of it by a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub became: Option<MutationNumber>,
    /// Mutations that have to succeed first.
    pub depends_on: Vec<MutationNumber>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it was settled, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<i64>,
    /// How often the server answered without deciding.
    pub tries: u32,
}

impl Mutation {
    /// Its final state; `None` while it has none.
    #[must_use]
    pub fn outcome(&self) -> Option<FinalOutcome> {
        match self.state {
            MutationState::Applied => Some(FinalOutcome::Applied),
            MutationState::Merged => Some(FinalOutcome::Merged),
            MutationState::Discarded => Some(FinalOutcome::Discarded),
            MutationState::Rejected => {
                let code = self.reason_code.clone().unwrap_or_default();
                Some(FinalOutcome::Rejected(RejectReason {
                    code: serde_json::from_value(Json::String(code.clone()))
                        .unwrap_or(tombolo_core::wire::graphql::ErrorType::Other(code)),
                    message: self.reason.clone().unwrap_or_default(),
                }))
            }
            MutationState::Queued | MutationState::InFlight | MutationState::Wedged | MutationState::GivenUp => None,
        }
    }
}

fn state_of(outcome: &FinalOutcome) -> (MutationState, Option<&RejectReason>) {
    match outcome {
        FinalOutcome::Applied => (MutationState::Applied, None),
        FinalOutcome::Merged => (MutationState::Merged, None),
        FinalOutcome::Rejected(reason) => (MutationState::Rejected, Some(reason)),
        FinalOutcome::Discarded => (MutationState::Discarded, None),
    }
}

impl From<Kept> for Mutation {
    fn from(kept: Kept) -> Self {
        let outcome = kept.outcome();
        let ended = outcome.as_ref().map(state_of);
        let reason = ended.and_then(|(_, reason)| reason);
        let (reason_code, mut words) = (
            reason.map(|reason| reason.code.to_string()),
            reason.map(|reason| reason.message.clone()),
        );
        match kept {
            Kept::Waiting(entry) => {
                let state = match &entry.state {
                    EntryState::Queued => MutationState::Queued,
                    EntryState::InFlight => MutationState::InFlight,
                    EntryState::GivenUp => MutationState::GivenUp,
                    EntryState::Wedged { reason } => {
                        words = Some(reason.clone());
                        MutationState::Wedged
                    }
                    EntryState::Acked { .. } | EntryState::Rejected(_) => {
                        ended.map_or(MutationState::InFlight, |(state, _)| state)
                    }
                };
                let Intent {
                    model,
                    kind,
                    key,
                    values,
                    ..
                } = entry.intent;
                Self {
                    number: entry.number,
                    transaction: entry.first,
                    model,
                    kind,
                    key,
                    values,
                    state,
                    settled: false,
                    reason: words,
                    reason_code,
                    conflict: entry.conflict,
                    became: None,
                    depends_on: entry.depends_on,
                    author: entry.author,
                    created_at_ms: entry.created_at_ms,
                    ended_at_ms: None,
                    tries: entry.tries,
                }
            }
            Kept::Ended(ended) => {
                let (state, _) = state_of(&ended.outcome);
                let Intent {
                    model,
                    kind,
                    key,
                    values,
                    ..
                } = ended.intent;
                Self {
                    number: ended.number,
                    transaction: ended.first,
                    model,
                    kind,
                    key,
                    values,
                    state,
                    settled: true,
                    reason: words,
                    reason_code,
                    conflict: ended.conflict,
                    became: ended.became,
                    depends_on: Vec::new(),
                    author: ended.author,
                    created_at_ms: ended.created_at_ms,
                    ended_at_ms: Some(ended.ended_at_ms),
                    tries: 0,
                }
            }
        }
    }
}

impl std::fmt::Debug for Mutation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Mutation({} {:?} {} {:?})",
            self.number, self.kind, self.model, self.state
        )
    }
}
