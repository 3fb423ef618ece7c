//! Records that the old file alone may have: it knows no version of them, and its queue has no mutation of them. An app that
//! used DataStore without a cloud has nothing else, and a record whose mutation went astray looks the same.
//!
//! Each becomes a creation in the outbox, marked as one that may have been sent before: a record that the server has by now is
//! none to refuse, and nothing of it is overwritten. A record goes behind those that it refers to, as far as the schema tells,
//! and otherwise as it stands: by table, then by row. All go before the queue, whose mutations may refer to them, but for
//! those that refer to a record which the queue creates: they go behind it.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_machine::{ImportedMutation, NewMutation, References};

use super::queue::Queue;

/// One of them.
#[derive(Clone, PartialEq)]
pub(super) struct Upload {
    pub(super) model: ModelId,
    /// The table in the old file.
    pub(super) table: String,
    /// Its identifier there.
    pub(super) row: String,
    pub(super) record: Record,
    /// This replica shows records of the model that the server has not confirmed.
    pub(super) is_laid: bool,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values are somebody's.
        write!(f, "Upload({} {})", self.table, self.row)
    }
}

/// All of them, as they stand in the old file.
#[derive(Debug)]
pub(super) struct Uploads {
    all: Vec<Upload>,
    names: BTreeSet<(ModelId, String)>,
    room: usize,
}

impl Uploads {
    /// None yet, and room for so many.
    pub(super) fn new(room: u64) -> Self {
        Self {
            all: Vec::new(),
            names: BTreeSet::new(),
            room: usize::try_from(room).unwrap_or(usize::MAX),
        }
    }

    /// Whether the record is among them: a model that was renamed may have two tables.
    pub(super) fn has(&self, model: ModelId, key: &str) -> bool {
        self.names.contains(&(model, key.to_owned()))
    }

    /// Takes one more; gives it back if there is no room.
    pub(super) fn take(&mut self, key: &str, upload: Upload) -> Result<(), Upload> {
        if self.all.len() >= self.room {
            return Err(upload);
        }
        self.names.insert((upload.model, key.to_owned()));
        self.all.push(upload);
        Ok(())
    }

    /// Those that go before the queue, and those that go behind it; in either a record behind those that it refers to.
    pub(super) fn in_order(self, schema: &Schema, queue: &Queue) -> (Vec<Upload>, Vec<Upload>) {
        let references = References::new(schema);
        let name = |upload: &Upload| {
            let key = schema
                .models
                .get(upload.model.0)
                .map(|model| upload.record.key(&model.key));
            (upload.model, key.map(|key| key.to_text()).unwrap_or_default())
        };
        let places: BTreeMap<(ModelId, String), usize> =
            self.all.iter().enumerate().map(|(at, one)| (name(one), at)).collect();
        let parents = |upload: &Upload| -> Vec<(ModelId, String)> {
            let key =
                |fields: &[FieldId]| Key(fields.iter().map(|field| upload.record.value(*field).clone()).collect());
            let of = references.of(upload.model).iter();
            of.map(|reference| (reference.target, key(&reference.fields).to_text()))
                .collect()
        };
        let mut order: Vec<usize> = Vec::with_capacity(self.all.len());
        let mut is_behind = vec![false; self.all.len()];
        let mut is_seen = vec![false; self.all.len()];
        for start in 0..self.all.len() {
            // Each with the parents that are still to be looked at; in a circle who came first stays first.
            let mut path: Vec<(usize, Vec<(ModelId, String)>)> = Vec::new();
            let mut next = Some(start);
            loop {
                if let Some(at) = next.take()
                    && let (Some(seen), Some(upload)) = (is_seen.get_mut(at), self.all.get(at))
                    && !std::mem::replace(seen, true)
                {
                    let mut parents = parents(upload);
                    let behind = parents.iter().any(|(model, key)| queue.creates(*model, key));
                    if let Some(slot) = is_behind.get_mut(at) {
                        *slot = behind;
                    }
                    parents.reverse();
                    path.push((at, parents));
                }
                let Some((at, left)) = path.last_mut() else { break };
                if let Some(parent) = left.pop() {
                    next = places.get(&parent).copied();
                    continue;
                }
                let done = *at;
                order.push(done);
                path.pop();
                // Who refers to one that goes behind the queue goes there, too.
                let behind = self.all.get(done).is_some_and(|upload| {
                    let mut places_of = parents(upload)
                        .into_iter()
                        .filter_map(|parent| places.get(&parent).copied());
                    places_of.any(|at| is_behind.get(at) == Some(&true))
                });
                if let (true, Some(slot)) = (behind, is_behind.get_mut(done)) {
                    *slot = true;
                }
            }
        }
        let mut slots: Vec<Option<Upload>> = self.all.into_iter().map(Some).collect();
        let (mut before, mut behind) = (Vec::new(), Vec::new());
        for at in order {
            let list = if is_behind.get(at) == Some(&true) {
                &mut behind
            } else {
                &mut before
            };
            list.extend(slots.get_mut(at).and_then(Option::take));
        }
        (before, behind)
    }
}

/// The creation that brings the record to the server.
pub(super) fn creation(schema: &Schema, upload: &Upload, author: Option<&str>) -> Option<ImportedMutation> {
    let model = schema.models.get(upload.model.0)?;
    let given = (0..model.fields.len())
        .map(FieldId)
        .filter(|field| model.field_at(*field).origin.is_given())
        .map(|field| (field, upload.record.value(field).clone()))
        .filter(|(_, value)| !value.is_null());
    Some(ImportedMutation {
        mutation: NewMutation {
            model: upload.model,
            kind: MutationKind::Create,
            values: given.collect(),
            operations: Vec::new(),
            base_version: None,
            read: None,
            condition: None,
            author: author.map(str::to_owned),
        },
        made_at_ms: None,
        may_be_sent: true,
    })
}
