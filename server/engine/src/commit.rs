//! Deciding and writing what is waiting, and telling the hub.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::sync::Arc;

use tombolo_core::id::{ModelId, ReplicaId};
use tombolo_core::value::Value;

use crate::limits;
use crate::service::Engine;
use crate::store::{Store, StoreError, Submission, Undecided, Verdict};

impl<S: Store> Engine<S> {
    /// Decides and writes what is waiting, in order, and tells the hub. One verdict for each submission. To be called
    /// from one place at a time: subscriptions to a model's mutations end with an error when commits overtake each other.
    ///
    /// Beyond [`Settings::batch_max`](crate::Settings::batch_max) and [`limits::BATCH_BYTES_MAX`] it takes several transactions; those that fail after the first leave their
    /// submissions undecided.
    ///
    /// # Errors
    /// The store's: nothing was decided, the submitters may send again.
    pub async fn commit(&self, batch: Vec<Submission>, now_ms: i64) -> Result<Vec<Verdict>, StoreError> {
        let mut verdicts = Vec::with_capacity(batch.len());
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
            let part = self.part(&mut batch);
            match self.store.write(Arc::clone(&part), now_ms).await {
                // Something in one submission that the database refuses must not fail those that it came with.
                Err(StoreError::Backend(_)) if part.len() > 1 => {
                    verdicts.extend(self.commit_by_halves(&part, now_ms).await);
                }
                Ok(decided) => {
                    self.publish(&decided, &replicas(&part));
                    verdicts.extend(decided);
                }
                Err(error) if verdicts.is_empty() && batch.peek().is_none() => return Err(error),
                Err(error) => verdicts.resize(verdicts.len() + part.len(), undecided(&error)),
            }
        }
        self.note_some(now_ms).await;
        Ok(verdicts)
    }

    /// What goes into the next transaction: one submission at least.
    fn part(&self, batch: &mut Peekable<impl Iterator<Item = Submission>>) -> Arc<[Submission]> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while let Some(next) =
            batch.next_if(|_| part.len() < self.settings.batch_max.max(1) && bytes < limits::BATCH_BYTES_MAX)
        {
            bytes += given_bytes(&next);
            part.push(next);
        }
        part.into()
    }

    /// Finds what a batch failed on in a few commits: one bad submission in 256 costs 16 of them, not 256.
    async fn commit_by_halves(&self, batch: &[Submission], now_ms: i64) -> Vec<Verdict> {
        let halve = |part: &[Submission]| {
            let (first, second) = part.split_at(part.len() / 2);
            // The first one on top, for it goes first.
            [Arc::<[Submission]>::from(second), Arc::from(first)]
        };
        let mut verdicts = Vec::with_capacity(batch.len());
        let mut parts = Vec::from(halve(batch));
        while let Some(part) = parts.pop() {
            match self.store.write(Arc::clone(&part), now_ms).await {
                Ok(decided) => {
                    self.publish(&decided, &replicas(&part));
                    verdicts.extend(decided);
                }
                Err(StoreError::Backend(_)) if part.len() > 1 => parts.extend(halve(&part)),
                Err(error) => verdicts.resize(verdicts.len() + part.len(), undecided(&error)),
            }
        }
        verdicts
    }

    fn publish(&self, verdicts: &[Verdict], replicas: &[Option<ReplicaId>]) {
        let mut changes = Vec::new();
        let mut own: BTreeMap<ReplicaId, BTreeSet<ModelId>> = BTreeMap::new();
        for (verdict, replica) in verdicts.iter().zip(replicas) {
            let made = verdict
                .results
                .iter()
                .filter_map(|result| result.change.as_ref().zip(Some(result.number)));
            for (change, number) in made {
                changes.push((Arc::clone(change), replica.clone().zip(number)));
                if let Some(replica) = replica {
                    own.entry(replica.clone()).or_default().insert(change.model);
                }
            }
        }
        if !changes.is_empty() {
            self.hub.publish(changes, &own);
        }
    }
}

fn undecided(error: &StoreError) -> Verdict {
    Verdict {
        undecided: Some(Undecided::from(error)),
        ..Verdict::default()
    }
}

fn replicas(batch: &[Submission]) -> Vec<Option<ReplicaId>> {
    batch
        .iter()
        .map(|submission| submission.envelope.as_ref().map(|envelope| envelope.replica.clone()))
        .collect()
}

/// About how many bytes a submission gives for its fields.
fn given_bytes(submission: &Submission) -> usize {
    let values = submission.mutations.iter().flat_map(|mutation| &mutation.values);
    let bytes = |(_, value): &(_, Value)| match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => size_of::<Value>(),
    };
    values.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use tombolo_core::id::{Epoch, FieldId, ModelId, Position};
    use tombolo_core::query::{Answer, Bound, FilterColumn, MutationInput, Supplied};
    use tombolo_core::schema::{MutationKind, Schema};

    use super::*;
    use crate::service::Settings;
    use crate::store::{ChangePage, Head, PageRequest, RecordsPage, TracePage, TraceRequest};

    /// Fails each transaction that holds a submission with the fresh id `poison`; notes the sizes of the others.
    #[derive(Default)]
    struct Picky(Mutex<Vec<usize>>);

    impl Store for Picky {
        async fn answer(&self, _: Arc<Bound>, _: Vec<(usize, Supplied)>) -> Result<Answer, StoreError> {
            Err(StoreError::Closed)
        }

        async fn write(&self, batch: Arc<[Submission]>, _: i64) -> Result<Vec<Verdict>, StoreError> {
            if batch.iter().any(|submission| submission.fresh_ids == ["poison"]) {
                return Err(StoreError::Backend("no".into()));
            }
            self.0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .push(batch.len());
            Ok(vec![Verdict::default(); batch.len()])
        }

        async fn changes(&self, _: PageRequest) -> Result<ChangePage, StoreError> {
            Err(StoreError::Closed)
        }

        async fn records(&self, _: ModelId, _: Position, _: usize) -> Result<RecordsPage, StoreError> {
            Err(StoreError::Closed)
        }

        async fn traces(&self, _: TraceRequest) -> Result<TracePage, StoreError> {
            Err(StoreError::Closed)
        }

        async fn head(&self) -> Result<Head, StoreError> {
            Err(StoreError::Closed)
        }

        async fn watch_fields(&self, _: ModelId, _: BTreeSet<FilterColumn>) -> Result<Position, StoreError> {
            Err(StoreError::Closed)
        }

        async fn note(&self, _: Vec<crate::ReplicaNote>, _: i64) -> Result<(), StoreError> {
            Err(StoreError::Closed)
        }

        async fn prune(&self, _: i64, _: crate::Retention) -> Result<crate::Pruned, StoreError> {
            Err(StoreError::Closed)
        }

        async fn renew_epoch(&self, _: Option<Epoch>) -> Result<Head, StoreError> {
            Err(StoreError::Closed)
        }
    }

    #[test]
    fn a_submission_that_the_database_refuses_fails_alone() {
        let schema = Schema::parse("type A @model { id: ID! }", "a.graphql").map(Arc::new);
        let Ok(schema) = schema else {
            unreachable!("the schema is good")
        };
        let engine = Engine::new(schema, Picky::default(), Settings::default());
        let batch = ["a", "poison", "b"].map(|id| Submission {
            envelope: None,
            mutations: Vec::new(),
            atomic: false,
            fresh_ids: vec![id.to_owned()],
            refusal: None,
            ..Submission::default()
        });
        let committed = pin!(engine.commit(batch.into(), 0)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Ok(verdicts)) = committed else {
            unreachable!("{committed:?}")
        };
        let undecided: Vec<bool> = verdicts.iter().map(|verdict| verdict.undecided.is_some()).collect();
        assert_eq!(undecided, [false, true, false]);
    }

    #[test]
    fn a_transaction_takes_no_more_in_when_it_is_large() {
        let schema = Schema::parse("type A @model { id: ID! text: String }", "a.graphql").map(Arc::new);
        let Ok(schema) = schema else {
            unreachable!("the schema is good")
        };
        let settings = Settings {
            batch_max: 4,
            ..Settings::default()
        };
        let engine = Engine::new(schema, Picky::default(), settings);
        let batch = [1, 1, limits::BATCH_BYTES_MAX, 1, 1, 1, 1, 1].map(|bytes| Submission {
            mutations: vec![MutationInput {
                model: ModelId(0),
                kind: MutationKind::Create,
                values: vec![(FieldId(1), Value::Text("x".repeat(bytes)))],
                operations: Vec::new(),
                base_version: None,
                condition: None,
                condition_json: None,
            }],
            ..Submission::default()
        });
        let committed = pin!(engine.commit(batch.into(), 0)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(committed, Poll::Ready(Ok(verdicts)) if verdicts.len() == 8));
        let sizes = engine
            .store()
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        assert_eq!(sizes, [3, 4, 1]);
    }
}
