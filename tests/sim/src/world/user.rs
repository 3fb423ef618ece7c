//! What users do through their apps.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::id::{FieldId, ModelId, MutationNumber};
use tombolo_core::merge::Operation;
use tombolo_core::record::Key;
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_machine::{Effect, EntryState, Input, NewMutation, OutboxEntry, StepError, StoreError, StoreTx as _};

use super::{Broken, World, model_id};
use crate::op::RecordName;
use crate::oracle::Meant;
use crate::oracle::deed::Deed;
use crate::replica::Driven;
use crate::report::Group;

/// A mutation as a plan makes it: record, kind, fields.
type Made<'a> = (RecordName, MutationKind, Vec<(&'a str, Value)>);

impl World {
    /// A user counts, or adds to a set or takes from it: by an operation, or as an app that writes what it read with the
    /// change in it.
    pub(super) fn tally(&mut self, index: usize, record: RecordName, deed: &Deed) -> Result<bool, Broken> {
        let model = model_id(record.kind);
        let schema = std::sync::Arc::clone(&self.schema);
        let field = schema
            .models
            .get(model.0)
            .and_then(|m| m.field(deed.field))
            .ok_or(Broken)?;
        let key = Key(vec![Value::Text(record.number.to_string())]);
        let row = self.with_tx(index, |tx| tx.view(model, &key).map_err(|e| e.to_string()))?;
        let Some(shown) = row.filter(|r| !r.meta.deleted).map(|r| r.value(field).to_json()) else {
            return Ok(false);
        };
        if !deed.whole {
            let operation = (field, deed.operation());
            return self.mutate_with(
                index,
                vec![(record, MutationKind::Update, Vec::new())],
                Some((operation, deed)),
            );
        }
        let Some(value) = deed.whole(&shown) else {
            return Ok(false);
        };
        self.whole = Some(deed.clone());
        let done = self.mutate(index, vec![(record, MutationKind::Update, vec![(deed.field, value)])]);
        self.whole = None;
        done
    }

    pub(super) fn mutate(&mut self, index: usize, mutations: Vec<Made<'_>>) -> Result<bool, Broken> {
        self.mutate_with(index, mutations, None)
    }

    /// A user's mutations through a replica; false if the app would refuse the call because of what it shows.
    fn mutate_with(
        &mut self,
        index: usize,
        mutations: Vec<Made<'_>>,
        operation: Option<((FieldId, Operation), &Deed)>,
    ) -> Result<bool, Broken> {
        let whole = self.whole.clone();
        let schema = std::sync::Arc::clone(&self.schema);
        let mut new = Vec::new();
        let mut meant = Vec::new();
        for (record, kind, sets) in mutations {
            let model = model_id(record.kind);
            let shape = schema.models.get(model.0).ok_or(Broken)?;
            let id = Value::Text(record.number.to_string());
            let key = Key(vec![id.clone()]);
            let row = self.with_tx(index, |tx| tx.view(model, &key).map_err(|e| e.to_string()))?;
            let shows = row.as_ref().is_some_and(|r| !r.meta.deleted);
            if (kind == MutationKind::Create) == shows {
                return Ok(false);
            }
            self.named.insert(record);
            let sets: Vec<(&str, Value)> = std::iter::once(("id", id)).chain(sets).collect();
            meant.push(Meant {
                kind,
                model,
                key: key.to_text(),
                // A counter's or a set's value is a deed: what it comes to depends on the others.
                sets: sets
                    .iter()
                    .filter(|(n, _)| whole.as_ref().is_none_or(|deed| deed.field != *n))
                    .map(|(n, v)| ((*n).to_owned(), v.clone()))
                    .collect(),
                deeds: operation
                    .iter()
                    .map(|(_, deed)| (*deed).clone())
                    .chain(whole.clone())
                    .collect(),
                gone: false,
                uncertain: false,
                replaces: None,
            });
            let mut mutation = new_mutation(shape, model, kind, sets);
            mutation
                .operations
                .extend(operation.clone().map(|(operation, _)| operation));
            new.push(mutation);
        }
        match self.drive(index, Input::Enqueue(new))? {
            Driven::Refused(StepError::Store(StoreError::Full)) => {
                self.count(Group::Event, "replica met a full disk");
                Ok(true)
            }
            Driven::Refused(_) => {
                self.count(Group::Mutation, "refused at the call");
                Ok(false)
            }
            Driven::DiedBefore => {
                self.count(Group::Fault, "app killed before commit");
                self.revive(index, self.reopen)?;
                Ok(true)
            }
            Driven::DiedAfter => {
                // The call never returned: it may have changed what stood in the queue for these records.
                self.count(Group::Fault, "app killed after commit");
                for old in self.meant.iter_mut().filter(|((r, _), _)| *r == index).map(|(_, m)| m) {
                    old.uncertain |= meant.iter().any(|m| m.key == old.key && m.model == old.model);
                }
                self.revive(index, self.reopen)?;
                self.look_for_numbers(index)?;
                // What it queued nobody was told of; later edits may be folded into it.
                for entry in self.outbox(index)? {
                    let untold = meant
                        .iter()
                        .find(|m| m.key == entry.intent.key_text() && entry.intent.model == schema[m.model].name);
                    if let Some(untold) = untold {
                        let slot = self.meant.entry((index, entry.number.0));
                        slot.or_insert_with(|| untold.clone()).uncertain = true;
                    }
                }
                Ok(true)
            }
            Driven::Done(effects) => {
                self.note(index, meant, &effects);
                self.carry_out(index, effects)?;
                self.look(index)?;
                Ok(true)
            }
        }
    }

    /// Notes what the user meant under the numbers that the replica gave.
    fn note(&mut self, index: usize, meant: Vec<Meant>, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Enqueued(numbers) = effect {
                for (number, meant) in numbers.iter().zip(&meant) {
                    self.count(Group::Mutation, "enqueued");
                    let slot = self.meant.entry((index, number.0));
                    slot.and_modify(|old| {
                        if meant.kind == MutationKind::Delete {
                            old.kind = MutationKind::Delete;
                        }
                        old.sets.extend(meant.sets.clone());
                        old.deeds.extend(meant.deeds.clone());
                    })
                    .or_insert_with(|| meant.clone());
                }
            }
        }
    }

    pub(super) fn retry(&mut self, index: usize) -> Result<bool, Broken> {
        let wedged = self.outbox(index)?;
        // One of each transaction.
        let wedged: BTreeMap<MutationNumber, MutationNumber> = wedged
            .into_iter()
            .filter(|e| matches!(e.state, EntryState::Wedged { .. }))
            .map(|e| (e.first, e.number))
            .collect();
        let mut any = false;
        for number in wedged.into_values() {
            any |= self.input(index, Input::Retry(number))?;
            self.count(Group::Mutation, "retried");
        }
        Ok(any)
    }

    pub(super) fn discard(&mut self, index: usize) -> Result<bool, Broken> {
        let may = |state: &EntryState| matches!(state, EntryState::Queued | EntryState::Wedged { .. });
        let before = self.outbox(index)?;
        let Some(entry) = before.iter().find(|e| may(&e.state)) else {
            return Ok(false);
        };
        let done = self.input(index, Input::Discard(entry.number))?;
        // Also if the app died before it was told: it is given up when it is no longer there, or waits for the server's word.
        let mut after = self.outbox(index)?;
        after.retain(|e| e.state != EntryState::GivenUp);
        let after: BTreeSet<MutationNumber> = after.into_iter().map(|e| e.number).collect();
        for given_up in before
            .iter()
            .filter(|e| e.first == entry.first && !after.contains(&e.number))
        {
            if let Some(meant) = self.meant.get_mut(&(index, given_up.number.0)) {
                meant.gone = true;
            }
        }
        Ok(done)
    }

    pub(super) fn dismiss(&mut self, index: usize) -> Result<bool, Broken> {
        let rejected: Vec<MutationNumber> = self
            .outbox(index)?
            .into_iter()
            .filter(|e| matches!(e.state, EntryState::Rejected(_)))
            .map(|e| e.number)
            .collect();
        for number in &rejected {
            // Whether it died before or after: told or not, the rejection was seen.
            if self.input(index, Input::Discard(*number))?
                && let Some(meant) = self.meant.get_mut(&(index, number.0))
            {
                meant.gone = true;
            }
        }
        Ok(!rejected.is_empty())
    }

    /// The app edits its first rejected or wedged mutation and tries it again. One that is on its way it may not edit.
    pub(super) fn edit_and_retry(&mut self, index: usize, title: &str) -> Result<bool, Broken> {
        let entries = self.outbox(index)?;
        let stands = |e: &&OutboxEntry| matches!(e.state, EntryState::Rejected(_) | EntryState::Wedged { .. });
        let edited = |e: &&OutboxEntry| stands(e) && e.intent.kind != MutationKind::Delete;
        let queued = || entries.iter().find(|e| e.state == EntryState::Queued);
        let Some(entry) = entries.iter().find(edited).or_else(queued) else {
            return Ok(false);
        };
        let schema = std::sync::Arc::clone(&self.schema);
        let model = schema.model_named(&entry.intent.model).ok_or(Broken)?;
        let field = schema[model].field("title").ok_or(Broken)?;
        let values = vec![(field, Value::Text(title.to_owned()))];
        let number = entry.number;
        let wedged = matches!(entry.state, EntryState::Wedged { .. });
        let group: Vec<&OutboxEntry> = entries.iter().filter(|e| e.first == entry.first).collect();
        let newest = entries.iter().map(|e| e.number.0).max().unwrap_or_default();
        let meant: Vec<Option<Meant>> = group
            .iter()
            .map(|old| {
                let mut meant = self.meant.get(&(index, old.number.0)).cloned()?;
                if old.number == number {
                    meant.sets.insert("title".into(), Value::Text(title.to_owned()));
                }
                meant.replaces = wedged.then_some((old.number.0, meant.deeds.len()));
                meant.gone = false;
                Some(meant)
            })
            .collect();
        let mut untold = false;
        let numbers: Vec<u64> = match self.drive(index, Input::Edit { number, values })? {
            Driven::Refused(StepError::Store(StoreError::Full)) => {
                self.count(Group::Event, "replica met a full disk");
                return Ok(true);
            }
            Driven::Refused(StepError::NotRetryable(_)) if entry.state == EntryState::Queued => {
                self.count(Group::Mutation, "edit refused: on its way");
                return Ok(true);
            }
            Driven::Refused(StepError::Refused(_)) => {
                self.count(Group::Mutation, "refused at the call");
                return Ok(false);
            }
            Driven::Refused(error) => return Err(self.broken("no input is refused", error.to_string())),
            Driven::DiedBefore => {
                self.count(Group::Fault, "app killed before commit");
                self.revive(index, self.reopen)?;
                return Ok(true);
            }
            Driven::DiedAfter => {
                self.count(Group::Fault, "app killed after commit");
                self.revive(index, self.reopen)?;
                untold = true;
                // First the new ones, then those that go on behind them.
                let made = self.outbox(index)?;
                let made = made.iter().map(|e| e.number.0).filter(|n| *n > newest);
                made.take(group.len()).collect()
            }
            Driven::Done(effects) => {
                let mut made = Vec::new();
                for effect in &effects {
                    if let Effect::Enqueued(numbers) = effect {
                        made.extend(numbers.iter().map(|n| n.0));
                    }
                }
                self.carry_out(index, effects)?;
                made
            }
        };
        if numbers.len() != group.len() {
            let detail = format!("replica {index}: of {} mutations {numbers:?} were made", group.len());
            return Err(self.broken("every mutation ends", detail));
        }
        self.count(Group::Mutation, "edited and retried");
        for ((old, meant), new) in group.iter().zip(meant).zip(numbers) {
            if let Some(old) = self.meant.get_mut(&(index, old.number.0)) {
                old.gone = true;
            }
            if let Some(meant) = meant {
                self.meant.insert((index, new), meant);
            }
        }
        if untold {
            self.look_for_numbers(index)?;
        }
        self.look(index)?;
        Ok(true)
    }
}

fn new_mutation(
    shape: &tombolo_core::schema::Model,
    model: ModelId,
    kind: MutationKind,
    sets: Vec<(&str, Value)>,
) -> NewMutation {
    NewMutation {
        model,
        kind,
        values: sets
            .into_iter()
            .filter_map(|(name, value)| Some((shape.field(name)?, value)))
            .collect(),
        operations: Vec::new(),
        base_version: None,
        read: None,
        condition: None,
        author: None,
    }
}
