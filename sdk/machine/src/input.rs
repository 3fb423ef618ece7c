//! What can happen to a replica: the app asks, the link reports, time passes.

use std::time::Duration;

use serde_json::Value as Json;
use tombolo_core::id::{FieldId, ModelId, MutationNumber, Version};
use tombolo_core::merge::Operation;
use tombolo_core::query::MutationInput;
use tombolo_core::schema::{FieldKind, MutationKind, Scalar, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_core::wire::envelope::MutationAnswer;
use tombolo_core::wire::graphql::GraphqlError;

use crate::scope::Scope;

/// The time, as the driver tells it: phones sleep and people change the date, so there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary origin that the driver keeps for the life of the machine; never goes back.
    pub monotonic: Duration,
    /// Milliseconds since 1970; for what people see only, no decision rests on it.
    pub wall_ms: i64,
}

/// Which subscription a batch belongs to: the machine numbers them, the driver gives the number back. A batch of an
/// abandoned subscription is dropped, so that it cannot move a cursor which was reset meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedNumber(pub u64);

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// The first input: read what the store holds. The link stays [`crate::Link::Offline`] until `SetOnline(true)`.
    Start,
    /// The app wants a link, or none.
    SetOnline(bool),
    /// The link that [`crate::Effect::OpenLink`] asked for is open and the server has accepted the credential.
    LinkOpened,
    /// The link could not be opened, or has ended. Also the answer to a [`crate::Effect::CloseLink`] is allowed, not needed.
    LinkClosed(CloseReason),
    /// A page of the change feed.
    Batch {
        /// The subscription or page request it answers.
        feed: FeedNumber,
        /// The page.
        batch: ChangeBatch,
    },
    /// The server refused or ended the subscription or a page request.
    FeedRefused {
        /// Which one.
        feed: FeedNumber,
        /// Why; may be empty if it was just ended.
        errors: Vec<GraphqlError>,
    },
    /// What came back for mutation requests, each under the number of its [`crate::Outgoing::Mutation`], in the order in
    /// which it came. Several at once cost one commit.
    Answers(Vec<(MutationNumber, AnswerBody)>),
    /// The app mutates; more than one = an atomic transaction. Answered by [`crate::Effect::Enqueued`].
    Enqueue(Vec<NewMutation>),
    /// The app wants a wedged mutation to be sent again, or the intent of a rejected one to be tried anew (answered by
    /// [`crate::Effect::Enqueued`]).
    Retry(MutationNumber),
    /// The same with other values for some fields; of a wedged one too a new mutation. Answered by
    /// [`crate::Effect::Enqueued`].
    Edit {
        /// Which one.
        number: MutationNumber,
        /// The fields that change; the others stay as they were meant.
        values: Vec<(FieldId, Value)>,
    },
    /// The app gives up a queued or wedged mutation, or has taken note of a rejected one. A wedged one ends when the server
    /// has said what became of it.
    Discard(MutationNumber),
    /// The replica is to hold this scope of its model: new, or another filter than before.
    SetScope(Scope),
    /// The replica is to hold nothing of this model (by name) any more.
    RemoveScope(String),
    /// The app has a fresh credential.
    TokenChanged,
    /// The app has given another transport: what the next link goes by.
    TransportChanged,
    /// Bytes came over the link, though no whole message yet: a slow line, not a silent one.
    Received,
    /// The moment of [`crate::Effect::WakeAt`] has come.
    Wake,
    /// Others have written to the file, or may have: read anew what memory holds of it. Every other input does the same
    /// by itself when [`crate::StoreTx::data_version`] has moved; this one does it in any case.
    Refresh,
}

impl Input {
    /// Whether the commit of this input's transaction must reach the disk before it returns.
    ///
    /// `enqueue` says whether a mutation is to survive a power cut when its call returns. Inputs that may send a mutation
    /// for the first time always ask for it: a number that the server has seen must never be used twice, and outcomes that
    /// the server was told to forget must never be asked for again.
    #[must_use]
    pub fn durable(&self, enqueue: bool) -> bool {
        match self {
            Self::Enqueue(_) | Self::Retry(_) | Self::Edit { .. } | Self::Discard(_) => enqueue,
            Self::LinkOpened | Self::Wake | Self::Refresh => true,
            Self::Start
            | Self::SetOnline(_)
            | Self::LinkClosed(_)
            | Self::Batch { .. }
            | Self::FeedRefused { .. }
            | Self::Answers(_)
            | Self::SetScope(_)
            | Self::RemoveScope(_)
            | Self::TokenChanged
            | Self::TransportChanged
            | Self::Received => false,
        }
    }
}

/// Why a link is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// No network, no name, no route, time-out, reset: try again later.
    Lost(String),
    /// The server refused the credential (401, 403, close code 4401 or 4403): the app must give a new one.
    Unauthorized(String),
    /// The server or something between us broke the protocol, or refused it: try again later, with a notice.
    Protocol(String),
    /// An orderly end from the other side (a restart): try again.
    Ended,
}

/// What came back for a mutation request.
#[derive(Clone, Debug, PartialEq)]
pub enum AnswerBody {
    /// `extensions.tombolo` of the answer: final outcomes.
    Outcomes(MutationAnswer),
    /// An answer without outcomes: nothing was decided.
    Undecided(Vec<GraphqlError>),
}

/// A mutation as the app makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMutation {
    /// The model.
    pub model: ModelId,
    /// Create, update or delete.
    pub kind: MutationKind,
    /// Every field that the user set, key fields too (the driver fills in a fresh id for a create without one).
    pub values: Vec<(FieldId, Value)>,
    /// Operations on counters and sets, for an update. No field is both here and in `values`.
    pub operations: Vec<(FieldId, Operation)>,
    /// `_version` if the app gave one; otherwise the version of the base row counts.
    pub base_version: Option<Version>,
    /// What the user saw in the fields, where that may not be what the view shows: for a resolver.
    pub read: Option<Vec<(FieldId, Value)>>,
    /// The condition's JSON if there is one; the server evaluates it.
    pub condition: Option<Json>,
    /// Who made it, for the app's own account.
    pub author: Option<String>,
}

impl NewMutation {
    /// The mutation that a bound document asks for. `fresh_id` gives the id of a create that brings none for its one key
    /// field of type `ID`.
    #[must_use]
    pub fn of(schema: &Schema, input: &MutationInput, fresh_id: impl FnOnce() -> String, author: Option<&str>) -> Self {
        let model = schema.model(input.model);
        let mut values = input.values.clone();
        if input.kind == MutationKind::Create
            && let [key] = model.key.as_slice()
            && model.field_at(*key).ty.kind == FieldKind::Scalar(Scalar::Id)
            && !values.iter().any(|(field, value)| field == key && !value.is_null())
        {
            values.retain(|(field, _)| field != key);
            values.insert(0, (*key, Value::Text(fresh_id())));
        }
        Self {
            model: input.model,
            kind: input.kind,
            values,
            operations: input.operations.clone(),
            base_version: input.base_version,
            read: None,
            condition: input.condition_json.clone(),
            author: author.map(str::to_owned),
        }
    }
}
