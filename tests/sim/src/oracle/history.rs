//! What the server's history must look like, worked out again from the accepted mutations: which fields an update was
//! allowed to write, and what stands in them afterwards. Written from the promises of merging, not from its code.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::id::{FieldId, ModelId, Version};
use tombolo_core::query::MutationInput;
use tombolo_core::record::{Change, Record};
use tombolo_core::schema::{ConflictStrategy, MergeRule, Model, MutationKind};
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind};
use tombolo_engine::decide::ask::Action;

use super::deed;

/// One accepted change of one record.
#[derive(Clone, Debug)]
struct Made {
    version: Version,
    replica: String,
    number: u64,
    /// Fields with another value than before.
    changed: BTreeSet<FieldId>,
    /// Fields that were sent, whatever their value.
    sent: BTreeSet<FieldId>,
}

/// All accepted changes, by record.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    records: BTreeMap<(ModelId, String), Vec<Made>>,
    last_changed_at: i64,
    /// Outcomes of replicas that were written off may be forgotten, and with them which changes were their own.
    compacted: bool,
}

/// Times of the server's own.
fn is_stamp(name: &str) -> bool {
    name == "createdAt" || name == "updatedAt"
}

impl History {
    /// **Merge laws** (6), as far as one change shows them: each change of a record is its next version; the server's time
    /// never goes back, whatever its clock does; a field that was not sent stays; one that was sent and that nobody changed
    /// meanwhile is as sent; one that somebody changed meanwhile is what the model's strategy says.
    ///
    /// Notes the change.
    pub(crate) fn merge_laws(
        &mut self,
        model: &Model,
        envelope: &MutationEnvelope,
        number: u64,
        (input, resolved): (Option<&MutationInput>, Option<&Action>),
        outcome: OutcomeKind,
        change: &Change,
    ) -> Result<(), String> {
        let after = &change.after;
        let key = (change.model, after.key(&model.key).to_text());
        let version_before = change.before.as_ref().map_or(0, |before| before.meta.version.0);
        if after.meta.version.0 != version_before + 1 {
            return Err(format!(
                "{} {} went from version {version_before} to {}",
                model.name, key.1, after.meta.version.0
            ));
        }
        if after.meta.last_changed_at < self.last_changed_at {
            return Err(format!(
                "{} {} changed at {}, after a change at {}",
                model.name, key.1, after.meta.last_changed_at, self.last_changed_at
            ));
        }
        self.last_changed_at = after.meta.last_changed_at;
        if let (Some(before), Some(input)) = (&change.before, input)
            && input.kind == MutationKind::Update
        {
            self.update(model, &key, envelope, (input, resolved), outcome, (before, after))?;
        }
        if change.before.is_none() {
            // A new life, also after a tombstone that was dropped.
            self.records.remove(&key);
        }
        let fields = || (0..model.fields.len()).map(FieldId);
        let changed = |field: &FieldId| match &change.before {
            Some(before) => before.value(*field) != after.value(*field),
            None => true,
        };
        self.records.entry(key).or_default().push(Made {
            version: after.meta.version,
            replica: envelope.replica.0.clone(),
            number,
            changed: fields().filter(changed).collect(),
            sent: match input {
                // A life begins: whatever was known of any field is of another.
                Some(input) if input.kind == MutationKind::Create => fields().collect(),
                Some(input) => input.values.iter().map(|(f, _)| *f).collect(),
                None => BTreeSet::new(),
            },
        });
        Ok(())
    }

    /// The server may have forgotten outcomes: the feed was compacted, or its database is an older one.
    pub(crate) fn compact(&mut self) {
        self.compacted = true;
    }

    fn update(
        &self,
        model: &Model,
        key: &(ModelId, String),
        envelope: &MutationEnvelope,
        (input, resolved): (&MutationInput, Option<&Action>),
        outcome: OutcomeKind,
        (before, after): (&Record, &Record),
    ) -> Result<(), String> {
        let removed = matches!(resolved, Some(Action::Remove));
        if before.meta.deleted || after.meta.deleted != removed {
            return Err(format!(
                "{} {}: an update of a tombstone was accepted",
                model.name, key.1
            ));
        }
        let made = self.records.get(key).map_or(&[][..], Vec::as_slice);
        let own = |made: &Made| made.replica == envelope.replica.0 && envelope.seen.iter().any(|n| n.0 == made.number);
        // Without a version it is based on what the replica itself made first, else on the newest.
        let first_own = made.iter().filter(|made| own(made)).map(|made| made.version).min();
        // Which it made first the server may have forgotten with a replica that it wrote off.
        let first_own = first_own.filter(|_| !self.compacted);
        let base = input.base_version.or(first_own).unwrap_or(before.meta.version);
        let known = base.0 > 0 && base <= before.meta.version;
        let unseen = made.iter().filter(|made| (made.version > base || !known) && !own(made));
        let unseen: Vec<&Made> = unseen.collect();
        let mut in_conflict = false;
        let mut perhaps = false;
        for (at, field) in model.fields.iter().enumerate() {
            let id = FieldId(at);
            if model.key.contains(&id) || is_stamp(&field.name) {
                continue;
            }
            let (was, is) = (before.value(id), after.value(id));
            let wrong = |why: &str| {
                Err(format!(
                    "{} {}: {} was {was:?} and is {is:?}: {why}",
                    model.name, key.1, field.name
                ))
            };
            if matches!(field.merge, Some(MergeRule::Counter | MergeRule::Set)) {
                let operation = input.operations.iter().find(|(f, _)| *f == id);
                let operation = operation.map(|(_, operation)| operation.to_json());
                let wanted = operation.map_or_else(|| was.to_json(), |o| deed::laid(Some(&was.to_json()), &o));
                if is.to_json() != wanted {
                    return wrong(&format!("{wanted} is what the operation makes of it"));
                }
                continue;
            }
            // A resolver has the last word on what it names.
            let item = match resolved {
                Some(Action::Resolve(item)) => item.iter().find(|(f, _)| *f == id).map(|(_, value)| value),
                Some(Action::Remove | Action::Reject(_)) => Some(was),
                None => None,
            };
            if let Some(said) = item {
                if is != said {
                    return wrong(&format!("the resolver said {said:?}"));
                }
                continue;
            }
            let Some((_, sent)) = input.values.iter().find(|(f, _)| *f == id) else {
                if was != is {
                    return wrong("nobody sent it");
                }
                continue;
            };
            // What stands there is the newest change's: whether the user had seen that one decides.
            let newest = made
                .iter()
                .rfind(|made| made.changed.contains(&id))
                .map(|made| made.version);
            let changed = unseen.iter().any(|made| Some(made.version) == newest);
            let own_forgotten = made.iter().any(|made| {
                let own = made.replica == envelope.replica.0 && made.version > base;
                self.compacted && own && made.sent.contains(&id)
            });
            let own_forgotten = own_forgotten || (self.compacted && input.base_version.is_none());
            let touched = own_forgotten || unseen.iter().any(|made| made.sent.contains(&id));
            in_conflict |= changed && sent != was && field.merge.is_none();
            perhaps |= changed || touched;
            if field.merge == Some(MergeRule::Max) {
                let greater = was.to_json().as_i64().max(sent.to_json().as_i64());
                if is.to_json().as_i64() != greater {
                    return wrong(&format!("{greater:?} is the greater"));
                }
                continue;
            }
            match model.conflict {
                // What the server has stands, unless it has nothing.
                ConflictStrategy::Automerge if changed && !was.is_null() => {
                    if is != was {
                        return wrong("somebody changed it meanwhile, so the server's was to stand");
                    }
                }
                ConflictStrategy::Automerge if touched && is == was => {}
                // What the resolver does not name stays as the server has it.
                ConflictStrategy::Custom if changed && resolved.is_some() => {
                    if is != was {
                        return wrong("the resolver did not name it, so the server's was to stand");
                    }
                }
                ConflictStrategy::Custom if touched && resolved.is_some() && is == was => {}
                ConflictStrategy::Automerge
                | ConflictStrategy::OptimisticConcurrency
                | ConflictStrategy::LastWriterWins
                | ConflictStrategy::Custom => {
                    if is != sent {
                        return wrong(&format!("{sent:?} was sent"));
                    }
                }
            }
        }
        let merged = outcome == OutcomeKind::Merged;
        match model.conflict {
            ConflictStrategy::Custom if resolved.is_some() != merged => Err(format!(
                "{} {}: told as {outcome:?}, by the resolver {resolved:?}",
                model.name, key.1
            )),
            ConflictStrategy::Custom if resolved.is_some() => Ok(()),
            ConflictStrategy::OptimisticConcurrency | ConflictStrategy::Custom if !unseen.is_empty() => Err(format!(
                "{} {}: accepted on version {} over {} unseen changes",
                model.name,
                key.1,
                base.0,
                unseen.len()
            )),
            ConflictStrategy::Automerge if in_conflict && !merged => {
                Err(format!("{} {}: a conflict was told as {outcome:?}", model.name, key.1))
            }
            ConflictStrategy::Automerge if !perhaps && merged => {
                Err(format!("{} {}: merged without a conflict", model.name, key.1))
            }
            ConflictStrategy::Automerge
            | ConflictStrategy::OptimisticConcurrency
            | ConflictStrategy::LastWriterWins
            | ConflictStrategy::Custom => Ok(()),
        }
    }
}
