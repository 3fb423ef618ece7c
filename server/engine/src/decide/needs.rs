//! What a batch needs to know before it can be decided.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::id::{ModelId, MutationId, ReplicaId};
use tombolo_core::record::Key;
use tombolo_core::schema::Schema;

use super::{RowKey, StoredOutcome, mutation_id};
use crate::store::Submission;

/// The outcomes and replicas that a batch refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Outcomes of the batch's own mutations (have they been here before?), of those they depend on and have seen.
    pub outcomes: BTreeSet<MutationId>,
    /// Replicas whose settled bound is needed.
    pub replicas: BTreeSet<ReplicaId>,
}

impl Needs {
    /// Those of `batch`.
    #[must_use]
    pub fn of(batch: &[Submission]) -> Self {
        let mut needs = Self::default();
        for submission in batch {
            let Some(envelope) = &submission.envelope else { continue };
            needs.replicas.insert(envelope.replica.clone());
            let count = submission.count() as u64;
            let own = (0..count).map(|i| envelope.number.0.saturating_add(i));
            let others = envelope.depends_on.iter().chain(&envelope.seen).map(|n| n.0);
            needs
                .outcomes
                .extend(own.chain(others).map(|number| mutation_id(&envelope.replica, number)));
            for from in &envelope.moved_from {
                needs.replicas.insert(from.replica.clone());
                needs.outcomes.extend((0..count).map(|i| from.after(i)));
            }
        }
        needs
    }

    /// The names of the batch's own mutations, those they had before, too: a trace is needed of those that have been here
    /// before.
    #[must_use]
    pub fn own(batch: &[Submission]) -> BTreeSet<MutationId> {
        let names = |submission: &Submission| {
            let envelope = submission.envelope.as_ref()?;
            let mut firsts = envelope.moved_from.clone();
            firsts.push(mutation_id(&envelope.replica, envelope.number.0));
            let count = submission.count() as u64;
            Some(
                firsts
                    .into_iter()
                    .flat_map(move |first| (0..count).map(move |i| first.after(i))),
            )
        };
        batch.iter().filter_map(names).flatten().collect()
    }

    /// The rows that `batch` may read or write, now that the `outcomes` are known: a replay is answered with the record
    /// that the first time was about.
    #[must_use]
    pub fn rows(
        schema: &Schema,
        batch: &[Submission],
        outcomes: &BTreeMap<MutationId, StoredOutcome>,
    ) -> BTreeMap<RowKey, Key> {
        let mut rows = BTreeMap::new();
        let mut add = |model: ModelId, key: Key| rows.insert((model, key.to_text()), key);
        for submission in batch {
            let mut fresh = submission.fresh_ids.iter();
            for mutation in &submission.mutations {
                if let Some(key) = super::row::key_of(&schema[mutation.model], mutation, &mut fresh) {
                    add(mutation.model, key);
                }
            }
        }
        for outcome in outcomes.values() {
            if let Some((model, key)) = &outcome.row {
                add(*model, key.clone());
            }
        }
        rows
    }
}

impl Submission {
    /// How many mutation numbers it takes.
    #[must_use]
    pub fn count(&self) -> usize {
        self.refusal.as_ref().map_or(self.mutations.len(), |(_, count)| *count)
    }
}
