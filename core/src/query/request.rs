//! What an operation asks for, as data that its caller acts on.

use serde_json::Value as Json;

use super::filter::Filter;
use crate::id::{FieldId, ModelId, ReplicaId, Version};
use crate::merge::Operation;
use crate::record::Key;
use crate::schema::{Model, MutationKind};
use crate::value::Value;
use crate::wire::envelope::OutcomeKind;

/// Where an operation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On the server: tombstones are seen, every root field is known.
    Server,
    /// From a replica's file: tombstones are hidden; `sync`, the change feed and custom fields need the network.
    Replica,
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// `query`.
    Query,
    /// `mutation`.
    Mutation,
    /// `subscription`.
    Subscription,
}

/// One root field of a bound operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// Its name in the answer: the alias, or the field's name.
    pub response_key: String,
    /// What it asks for.
    pub field: RootField,
}

/// What a root field asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum RootField {
    /// Answered by the statements of an [`super::Execution`].
    Read,
    /// Answered without the store: `__typename`, introspection, and refusals ([`super::Bound::refusal`]).
    Fixed,
    /// A mutation; its result is handed over by [`super::Execution::supply`].
    Mutation(MutationInput),
    /// A subscription to one model's mutations; each event is handed over by [`super::Execution::supply`].
    Subscription(SubscriptionInput),
    /// The change feed: one scope and a limit for a query, several scopes for a subscription. Each batch is handed over
    /// as [`super::Supplied::Raw`].
    Changes(Vec<ScopeInput>, Option<usize>),
    /// What was merged and rejected; a page is handed over as [`super::Supplied::Raw`].
    Conflicts(ConflictsInput),
}

/// Which traces are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConflictsInput {
    /// Only this model's.
    pub model: Option<String>,
    /// Only this replica's.
    pub replica: Option<ReplicaId>,
    /// Only those that ended thus.
    pub outcome: Option<OutcomeKind>,
    /// Most of them in a page.
    pub limit: Option<usize>,
    /// Only those before this one, from the page before.
    pub before: Option<i64>,
}

/// A mutation, checked: fields known, values of their types, writing granted.
#[derive(Clone, Debug, PartialEq)]
pub struct MutationInput {
    /// The model.
    pub model: ModelId,
    /// What to do.
    pub kind: MutationKind,
    /// Every field given, key fields too, in the order given. An explicit `null` is [`Value::Null`].
    pub values: Vec<(FieldId, Value)>,
    /// `_operations` of an update: what to do to counters and sets. No field is both here and in `values`.
    pub operations: Vec<(FieldId, Operation)>,
    /// `_version` of the input: what the caller had seen.
    pub base_version: Option<Version>,
    /// `condition`: what must hold of the stored record.
    pub condition: Option<Filter>,
    /// The condition as it was sent, to be sent on.
    pub condition_json: Option<Json>,
}

impl MutationInput {
    /// The key of the record concerned; `None` for a create that leaves a key field to be filled.
    #[must_use]
    pub fn key(&self, model: &Model) -> Option<Key> {
        model
            .key
            .iter()
            .map(|field| {
                self.values
                    .iter()
                    .find(|(given, value)| given == field && !value.is_null())
                    .map(|(_, value)| value.clone())
            })
            .collect::<Option<Vec<_>>>()
            .map(Key)
    }
}

/// A subscription to one kind of mutation of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionInput {
    /// Which kind.
    pub kind: MutationKind,
    /// Of which model.
    pub model: ModelId,
    /// `filter`, and equality arguments: what the mutation's result must match.
    pub filter: Option<Filter>,
}

/// One scope of the change feed, as asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeInput {
    /// The model.
    pub model: ModelId,
    /// Which of its records; `None` for all.
    pub filter: Option<Filter>,
    /// The filter as JSON (an object, also when it was sent as a string).
    pub filter_json: Option<Json>,
    /// The cursor to go on from; `None` from the beginning.
    pub cursor: Option<String>,
}
