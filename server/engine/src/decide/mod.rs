//! From a batch of submissions and the facts about them to what is to be written. Pure; a store calls it inside its
//! write transaction, in four steps:
//!
//! 1. [`Needs::of`] says which outcomes and replicas the batch refers to; the store loads them;
//! 2. [`Needs::rows`] says which rows; the store loads those that exist;
//! 3. [`decide`] gives verdicts and [`Writes`];
//! 4. the store writes them and commits.
//!
//! Everything that makes a mutation take effect exactly once stands in `batch`; what one mutation does to one row in
//! `row`. Later submissions of a batch see what earlier ones wrote; an atomic submission that fails halfway is undone
//! here, in memory, before anything is written.

pub mod ask;
mod batch;
mod digest;
mod needs;
mod parts;
pub(crate) mod permit;
mod resolve;
mod row;
pub mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;
use tombolo_core::id::{ModelId, MutationId, MutationNumber, Position, ReplicaId, Version};
use tombolo_core::query::FilterColumn;
use tombolo_core::record::{FieldVersions, Key, Record, StoredRecord};
use tombolo_core::schema::Model;
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::trace::Trace;

pub use batch::decide;
pub use digest::Digest;
pub use needs::Needs;

/// A row's name in memory: model and key text.
pub type RowKey = (ModelId, String);

/// What the store loaded.
#[derive(Debug, Default)]
pub struct Facts {
    /// The newest position.
    pub head: Position,
    /// The newest `_lastChangedAt`, which never decreases.
    pub last_changed_at: i64,
    /// Rows of [`Needs::rows`] that exist, tombstones included.
    pub rows: BTreeMap<RowKey, StoredRecord>,
    /// Outcomes of [`Needs::outcomes`] that exist.
    pub outcomes: BTreeMap<MutationId, StoredOutcome>,
    /// For replicas of [`Needs::replicas`] up to where they have settled; a missing one is 0.
    pub settled: BTreeMap<ReplicaId, u64>,
    /// For the same replicas up to where a number without an outcome may have taken effect and nobody knows; a missing one
    /// is 0.
    pub lost: BTreeMap<ReplicaId, u64>,
    /// For the same replicas when it was last noted that they were heard of; a missing one, or 0, is to be noted now.
    pub last_seen_ms: BTreeMap<ReplicaId, i64>,
    /// For the same replicas whose they are; a missing one is nobody's yet.
    pub principals: BTreeMap<ReplicaId, String>,
    /// For each model the columns whose change leaves a departure.
    pub watched: BTreeMap<ModelId, BTreeSet<FilterColumn>>,
    /// Traces of the batch's own mutations ([`Needs::own`]) that have been here before.
    pub traces: BTreeMap<MutationId, Arc<Trace>>,
}

/// The outcome of one mutation, kept until the replica has settled it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredOutcome {
    /// How it ended.
    pub kind: OutcomeKind,
    /// Why it was rejected.
    pub reason: Option<RejectReason>,
    /// The record it was about; `None` if the request could not be read so far.
    pub row: Option<(ModelId, Key)>,
    /// The position it made; 0 for a rejection.
    pub position: Position,
    /// The record's version it made; 0 for a rejection.
    pub version: Version,
    /// What tells it from another mutation under the same number; `None` if nothing does.
    pub digest: Option<Digest>,
}

/// What the store is to write, all of it or nothing.
#[derive(Debug, Default)]
pub struct Writes {
    /// Each row once, at its newest.
    pub rows: Vec<RowWrite>,
    /// New outcomes.
    pub outcomes: Vec<(MutationId, StoredOutcome)>,
    /// Before-images of changes to watched columns.
    pub departures: Vec<Departure>,
    /// What was merged and what was rejected, in order.
    pub traces: Vec<Arc<Trace>>,
    /// Replicas that have settled further than before: the new bound, and up to where outcomes may be forgotten.
    pub settled: Vec<Settled>,
    /// Replicas of which it is to be noted that they were heard of at `now_ms`. One that was written off no longer is.
    pub seen: Vec<ReplicaId>,
    /// Replicas that have become somebody's.
    pub principals: Vec<(ReplicaId, String)>,
    /// The time of the batch, as the caller gave it.
    pub now_ms: i64,
    /// The newest position now.
    pub head: Position,
    /// The newest `_lastChangedAt` now.
    pub last_changed_at: i64,
}

/// One row to write.
#[derive(Debug)]
pub struct RowWrite {
    /// Its model.
    pub model: ModelId,
    /// Its key.
    pub key: Key,
    /// The row as it is to be.
    pub stored: StoredRecord,
    /// The row does not exist yet.
    pub new: bool,
}

/// The image of a record before a change that may have taken it out of a scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Departure {
    /// The change's position.
    pub position: Position,
    /// The model.
    pub model: ModelId,
    /// The record's key.
    pub key: Key,
    /// The image.
    pub before: Record,
}

/// How far a replica has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which.
    pub replica: ReplicaId,
    /// Every mutation up to here is settled.
    pub through: u64,
    /// Outcomes up to here may be deleted.
    pub forget_through: u64,
}

/// A mutation's name.
pub(crate) fn mutation_id(replica: &ReplicaId, number: u64) -> MutationId {
    MutationId {
        replica: replica.clone(),
        number: MutationNumber(number),
    }
}

/// The stored text of `versions`: a JSON object of field names, or `None` when every field is at version 1.
#[must_use]
pub fn field_versions_to_text(model: &Model, versions: &FieldVersions) -> Option<String> {
    if versions.0.is_empty() {
        return None;
    }
    let name = |(field, version): &(_, Version)| (model.field_at(*field).name.clone(), Json::from(version.0));
    Some(Json::Object(versions.0.iter().map(name).collect()).to_string())
}

/// The versions that [`field_versions_to_text`] gave as `text`. Fields that the model no longer has are left out.
#[must_use]
pub fn field_versions_from_text(model: &Model, text: &str) -> FieldVersions {
    let Ok(Json::Object(object)) = serde_json::from_str::<Json>(text) else {
        return FieldVersions::default();
    };
    let entry = |(name, version): (String, Json)| Some((model.field(&name)?, Version(version.as_i64()?)));
    FieldVersions(object.into_iter().filter_map(entry).collect())
}

#[cfg(test)]
mod appsync;
#[cfg(test)]
mod tests;
