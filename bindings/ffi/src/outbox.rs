//! Mutations from the call to the final state and after.

use tombolo::{FinalOutcome, MutationNumber};

use crate::{TomboloError, convert};

/// One mutation of this replica: [`tombolo::Mutation`].
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Mutation {
    /// Its number. It may be another than the one that it was asked for by, see [`crate::Event::Renumbered`].
    pub number: u64,
    /// The first number of its transaction; its own for a mutation alone.
    pub transaction: u64,
    /// The model.
    pub model: String,
    /// Create, update or delete.
    pub kind: MutationKind,
    /// The values of the record's key, in order, as a JSON list.
    pub key: String,
    /// The fields that the user set, as a JSON object.
    pub values: String,
    /// Where it stands.
    pub state: MutationState,
    /// Nothing more will come of it.
    pub settled: bool,
    /// Why it was refused or wedged.
    pub reason: Option<String>,
    /// The stable code of a refusal, AppSync's where it has one.
    pub reason_code: Option<String>,
    /// What was in conflict or refused, field by field, as JSON.
    pub conflict: Option<String>,
    /// The mutation that the app made of it by a retry.
    pub became: Option<u64>,
    /// Mutations that have to succeed first.
    pub depends_on: Vec<u64>,
    /// Who made it.
    pub author: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it was settled, in milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// How often the server answered without deciding.
    pub tries: u32,
}

/// What a mutation does to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum MutationKind {
    /// Makes it.
    Create,
    /// Changes some of its fields.
    Update,
    /// Removes it.
    Delete,
}

/// Where a mutation stands: [`tombolo::MutationState`]. The last four are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum MutationState {
    /// Not sent yet.
    Queued,
    /// Sent; the answer is still to come.
    InFlight,
    /// The server never decided it: retry, edit or discard it.
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

/// How a mutation ended: [`tombolo::FinalOutcome`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Outcome {
    /// As it was sent.
    Applied,
    /// Merged with a change that it had not seen.
    Merged,
    /// Refused by the server.
    Rejected {
        /// A stable name, AppSync's where it has one.
        code: String,
        /// What went wrong and what to do about it.
        detail: String,
    },
    /// Given up by the app, or taken back before it was ever sent.
    Discarded,
}

/// Which mutations [`crate::Client::mutations`] lists: [`tombolo::MutationFilter`].
#[derive(Clone, Debug, Default, PartialEq, Eq, uniffi::Record)]
pub struct MutationFilter {
    /// Only those of this model.
    #[uniffi(default = None)]
    pub model: Option<String>,
    /// Only those of the record with this key, a JSON list of its values in order.
    #[uniffi(default = None)]
    pub key: Option<String>,
    /// Only those in one of these states; empty: in any.
    #[uniffi(default = [])]
    pub states: Vec<MutationState>,
    /// Only those with greater numbers.
    #[uniffi(default = 0)]
    pub after: u64,
    /// Most to be listed; `None`: as many as may be.
    #[uniffi(default = None)]
    pub limit: Option<u32>,
}

impl MutationFilter {
    pub(crate) fn read(self) -> Result<tombolo::MutationFilter, TomboloError> {
        let mut filter = tombolo::MutationFilter::in_states(self.states.into_iter().map(state_in));
        filter.model = self.model;
        filter.key = match convert::optional_json("key", self.key.as_deref())? {
            None => None,
            Some(serde_json::Value::Array(key)) => Some(key),
            Some(_) => {
                return Err(TomboloError::Json {
                    detail: "`key` is a JSON list of the key's values, such as [\"n1\"]".to_owned(),
                });
            }
        };
        filter.after = MutationNumber(self.after);
        if let Some(limit) = self.limit {
            filter.limit = usize::try_from(limit).unwrap_or(usize::MAX);
        }
        Ok(filter)
    }
}

fn state_in(state: MutationState) -> tombolo::MutationState {
    match state {
        MutationState::Queued => tombolo::MutationState::Queued,
        MutationState::InFlight => tombolo::MutationState::InFlight,
        MutationState::Wedged => tombolo::MutationState::Wedged,
        MutationState::GivenUp => tombolo::MutationState::GivenUp,
        MutationState::Applied => tombolo::MutationState::Applied,
        MutationState::Merged => tombolo::MutationState::Merged,
        MutationState::Rejected => tombolo::MutationState::Rejected,
        MutationState::Discarded => tombolo::MutationState::Discarded,
    }
}

fn state_out(state: tombolo::MutationState) -> MutationState {
    match state {
        tombolo::MutationState::Queued => MutationState::Queued,
        tombolo::MutationState::InFlight => MutationState::InFlight,
        tombolo::MutationState::Wedged => MutationState::Wedged,
        tombolo::MutationState::GivenUp => MutationState::GivenUp,
        tombolo::MutationState::Applied => MutationState::Applied,
        tombolo::MutationState::Merged => MutationState::Merged,
        tombolo::MutationState::Rejected => MutationState::Rejected,
        tombolo::MutationState::Discarded => MutationState::Discarded,
    }
}

fn kind_out(kind: tombolo::MutationKind) -> MutationKind {
    match kind {
        tombolo::MutationKind::Create => MutationKind::Create,
        tombolo::MutationKind::Update => MutationKind::Update,
        tombolo::MutationKind::Delete => MutationKind::Delete,
    }
}

impl From<tombolo::Mutation> for Mutation {
    fn from(mutation: tombolo::Mutation) -> Self {
        Self {
            number: mutation.number.0,
            transaction: mutation.transaction.0,
            kind: kind_out(mutation.kind),
            key: convert::text(&mutation.key),
            values: convert::text(&mutation.values),
            state: state_out(mutation.state),
            settled: mutation.settled,
            reason: mutation.reason,
            reason_code: mutation.reason_code,
            conflict: mutation.conflict.as_ref().map(convert::text),
            became: mutation.became.map(|number| number.0),
            depends_on: convert::numbers(mutation.depends_on),
            author: mutation.author,
            created_at_ms: mutation.created_at_ms,
            ended_at_ms: mutation.ended_at_ms,
            tries: mutation.tries,
            model: mutation.model,
        }
    }
}

impl From<tombolo::OutboxItem> for Mutation {
    fn from(item: tombolo::OutboxItem) -> Self {
        let state = match item.state {
            tombolo::OutboxState::Queued => MutationState::Queued,
            tombolo::OutboxState::InFlight => MutationState::InFlight,
            tombolo::OutboxState::Acked => MutationState::Applied,
            tombolo::OutboxState::Rejected => MutationState::Rejected,
            tombolo::OutboxState::Wedged => MutationState::Wedged,
            tombolo::OutboxState::GivenUp => MutationState::GivenUp,
        };
        Self {
            number: item.number.0,
            transaction: item.transaction.0,
            kind: kind_out(item.kind),
            key: convert::text(&item.key),
            values: convert::text(&item.values),
            state,
            settled: false,
            reason: item.reason,
            reason_code: item.reason_code,
            conflict: None,
            became: None,
            depends_on: convert::numbers(item.depends_on),
            author: item.author,
            created_at_ms: item.created_at_ms,
            ended_at_ms: None,
            tries: item.tries,
            model: item.model,
        }
    }
}

impl From<FinalOutcome> for Outcome {
    fn from(outcome: FinalOutcome) -> Self {
        match outcome {
            FinalOutcome::Applied => Self::Applied,
            FinalOutcome::Merged => Self::Merged,
            FinalOutcome::Rejected(reason) => Self::Rejected {
                code: reason.code.to_string(),
                detail: reason.message,
            },
            FinalOutcome::Discarded => Self::Discarded,
        }
    }
}
