//! One step under way: the transaction, the facts of the schema, the state to be, and what has been decided so far.

use std::collections::BTreeMap;

use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::record::Key;
use tombolo_core::schema::{RelationKind, Schema};

use crate::effect::{ChangeSet, Effect};
use crate::input::Now;
use crate::lay;
use crate::machine::{Settings, StepError};
use crate::outbox::{EntryState, OutboxEntry};
use crate::state::State;
use crate::store::{Base, OutboxCounts, StoreTx};

/// For each model the fields that hold another record's key, by which mutations depend on that record's creation.
#[derive(Debug, Default)]
pub struct References(BTreeMap<ModelId, Vec<Reference>>);

/// Fields that hold the key of another record.
#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where the other record's key stands, in the order of that key.
    pub fields: Vec<FieldId>,
    /// The other record's model.
    pub target: ModelId,
}

impl References {
    /// What the schema says about it.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        let mut all: BTreeMap<ModelId, Vec<Reference>> = BTreeMap::new();
        let mut add = |owner: ModelId, reference: Reference| {
            let list = all.entry(owner).or_default();
            if !list.contains(&reference) {
                list.push(reference);
            }
        };
        for (at, model) in schema.models.iter().enumerate() {
            for relation in &model.relations {
                let Some(target) = schema.models.get(relation.target.0) else {
                    continue;
                };
                match relation.kind {
                    RelationKind::BelongsTo | RelationKind::HasOne => {
                        // A key that points at itself by its own key (`hasOne` by id) says nothing about who comes first.
                        if relation.target_fields == target.key && relation.source_fields != model.key {
                            add(
                                ModelId(at),
                                Reference {
                                    fields: relation.source_fields.clone(),
                                    target: relation.target,
                                },
                            );
                        }
                    }
                    RelationKind::HasMany => {
                        if relation.source_fields == model.key {
                            add(
                                relation.target,
                                Reference {
                                    fields: relation.target_fields.clone(),
                                    target: ModelId(at),
                                },
                            );
                        }
                    }
                }
            }
        }
        Self(all)
    }

    /// The references of a model's records.
    #[must_use]
    pub fn of(&self, model: ModelId) -> &[Reference] {
        self.0.get(&model).map_or(&[], Vec::as_slice)
    }
}

pub(crate) struct Context<'a> {
    pub tx: &'a mut dyn StoreTx,
    pub schema: &'a Schema,
    pub settings: &'a Settings,
    pub references: &'a References,
    pub now: Now,
    pub state: State,
    pub effects: Vec<Effect>,
    pub changes: ChangeSet,
    /// The server has given something: the link is good.
    pub progress: bool,
    /// There may be something to send; to be looked at in a step of its own, whose commit is durable.
    pub wake_now: bool,
    /// Something has left the outbox.
    pub ended: bool,
}

impl Context<'_> {
    pub(crate) fn model_id(&self, name: &str) -> Option<ModelId> {
        self.schema.model_once_named(name)
    }

    /// Whether the link may send this entry: it is its author's, or has none.
    pub(crate) fn is_ours(&self, entry: &OutboxEntry) -> bool {
        entry.author.is_none() || entry.author == self.settings.author
    }

    fn count(&mut self, state: &EntryState) -> &mut u64 {
        let OutboxCounts {
            queued,
            in_flight,
            acked,
            rejected,
            wedged,
            given_up,
        } = &mut self.state.counts;
        match state {
            EntryState::Queued => queued,
            EntryState::InFlight => in_flight,
            EntryState::Acked { .. } => acked,
            EntryState::Rejected(_) => rejected,
            EntryState::Wedged { .. } => wedged,
            EntryState::GivenUp => given_up,
        }
    }

    pub(crate) fn add_entry(&mut self, entry: &OutboxEntry) -> Result<(), StepError> {
        self.tx.put_entry(entry)?;
        *self.count(&entry.state) += 1;
        Ok(())
    }

    /// Removes an entry without a trace: `ended` keeps those that end.
    pub(crate) fn forget(&mut self, entry: &OutboxEntry) -> Result<(), StepError> {
        self.tx.remove_entry(entry.number)?;
        let count = self.count(&entry.state);
        *count = count.saturating_sub(1);
        Ok(())
    }

    pub(crate) fn set_state(&mut self, entry: &mut OutboxEntry, state: EntryState) -> Result<(), StepError> {
        let count = self.count(&entry.state);
        *count = count.saturating_sub(1);
        *self.count(&state) += 1;
        entry.state = state;
        self.tx.set_state(entry)?;
        Ok(())
    }

    /// Lays the unsettled mutations of a record over its base row anew; without any the base row becomes the view row.
    pub(crate) fn rebase(&mut self, model: ModelId, key: &Key) -> Result<(), StepError> {
        let Some(shape) = self.schema.models.get(model.0) else {
            return Ok(());
        };
        let key_text = key.to_text();
        self.changes.add(&shape.name, &key_text);
        let mut entries = self.entries_of(shape, &key_text)?;
        entries.retain(|entry| entry.state.is_unsettled());
        if entries.is_empty() {
            self.tx.adopt_base(model, key)?;
            return Ok(());
        }
        let base = match self.tx.base(model, key)? {
            Base::Saved(base) => base,
            Base::Unsaved => self.tx.view(model, key)?,
        };
        let intents: Vec<_> = entries
            .iter()
            .filter(|entry| !entry.in_base)
            .map(|entry| (&entry.intent, entry.created_at_ms))
            .collect();
        match lay::lay(shape, base.as_ref(), &intents) {
            Some(row) => {
                let generation = self.state.scopes.get(&shape.name).map_or(0, |scope| scope.generation);
                self.tx.put_view(model, &row, generation)?;
            }
            None => self.tx.remove_view(model, key)?,
        }
        Ok(())
    }

    /// Keeps the base row of an entry's record apart, before an optimistic update is laid over it.
    pub(crate) fn save_base(&mut self, entry: &OutboxEntry) -> Result<(), StepError> {
        let Some(model) = self.model_id(&entry.intent.model) else {
            return Ok(());
        };
        let Some(key) = self.schema.models.get(model.0).and_then(|m| entry.intent.key_for(m)) else {
            return Ok(());
        };
        if self.tx.base(model, &key)? == Base::Unsaved {
            let view = self.tx.view(model, &key)?;
            self.tx.put_base(model, &key, view.as_ref(), None)?;
        }
        Ok(())
    }

    /// [`Context::rebase`] for an entry's record; an entry of a model that the schema no longer has lies over nothing.
    pub(crate) fn rebase_entry(&mut self, entry: &OutboxEntry) -> Result<(), StepError> {
        let Some(model) = self.model_id(&entry.intent.model) else {
            return Ok(());
        };
        let Some(key) = self.schema.models.get(model.0).and_then(|m| entry.intent.key_for(m)) else {
            return Ok(());
        };
        self.rebase(model, &key)
    }
}
