//! What becomes of an update whose base version is not the record's: facts in, a named decision out.
//!
//! The merge is three-way. A record keeps for each field the version at which it last changed, so a field is *in
//! conflict* only if somebody else changed it after the version that the update was based on. Fields that are not in
//! conflict are written as sent. What happens to the others is the model's [`ConflictStrategy`]; under `AUTOMERGE`,
//! following AppSync: a scalar keeps the server's value unless that is null, a list becomes the server's items followed
//! by the incoming ones, an embedded object is merged by key with the same rules.
//!
//! A replica's own earlier mutations are no conflict: the versions they made are given as `seen`.
//!
//! A base above the record's version cannot have been given by this history; like version 0 it stands for "nothing is
//! known", and then every field is in conflict.

mod values;

use crate::id::{FieldId, Version};
use crate::record::StoredRecord;
use crate::schema::{ConflictStrategy, Model};
use crate::value::Value;

/// The decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Merge {
    /// The update is accepted; version +1.
    Write {
        /// The fields to write, key fields left out. A field whose value is already the record's is among them.
        values: Vec<(FieldId, Value)>,
        /// Whether something was in conflict.
        kind: MergeKind,
        /// Fields whose incoming value was given up for the server's.
        dropped: Vec<FieldId>,
    },
    /// The model's strategy refuses the update.
    Conflict,
}

/// Whether an accepted update was in conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeKind {
    /// It stands as it was sent.
    Applied,
    /// Some field was in conflict and was settled by the model's strategy.
    Merged,
}

/// A version of the record that an earlier mutation of the same replica made: the user has seen what that mutation set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The version.
    pub version: Version,
    /// How it came about. What a merge brought into a list or an embedded value the user has not seen.
    pub kind: MergeKind,
}

impl Seen {
    fn covers(self, version: Version, value: &Value) -> bool {
        let mixed = self.kind == MergeKind::Merged && matches!(value, Value::Json(_));
        self.version == version && !mixed
    }
}

/// Decides on the update `incoming` of `stored`, made on top of version `base` (`None`: of the newest).
#[must_use]
pub fn merge(
    model: &Model,
    stored: &StoredRecord,
    incoming: &[(FieldId, Value)],
    base: Option<Version>,
    seen: &[Seen],
) -> Merge {
    let incoming = incoming.iter().filter(|(field, _)| !model.key.contains(field));
    let stale = base.filter(|base| is_stale(*base, stored.record.meta.version, seen));
    let Some(base) = stale else {
        return Merge::Write {
            values: incoming.cloned().collect(),
            kind: MergeKind::Applied,
            dropped: Vec::new(),
        };
    };
    match model.conflict {
        ConflictStrategy::OptimisticConcurrency | ConflictStrategy::Custom => Merge::Conflict,
        ConflictStrategy::LastWriterWins => Merge::Write {
            values: incoming.cloned().collect(),
            kind: MergeKind::Merged,
            dropped: Vec::new(),
        },
        ConflictStrategy::Automerge => {
            let unknown_base = base > stored.record.meta.version;
            let (mut values, mut dropped, mut kind) = (Vec::new(), Vec::new(), MergeKind::Applied);
            for (field, value) in incoming {
                let changed_at = stored.field_versions.of(*field);
                let ours = stored.record.value(*field);
                let known = seen.iter().any(|seen| seen.covers(changed_at, value));
                let in_conflict = (unknown_base || changed_at > base) && !known && ours != value;
                if !in_conflict {
                    values.push((*field, value.clone()));
                    continue;
                }
                kind = MergeKind::Merged;
                match values::combine(ours, value) {
                    Some(combined) => values.push((*field, combined)),
                    None => dropped.push(*field),
                }
            }
            Merge::Write { values, kind, dropped }
        }
    }
}

/// Whether a record at version `stored` holds a change that somebody who knew it at version `base`, and has since seen
/// the versions `seen`, does not know.
#[must_use]
pub fn is_stale(base: Version, stored: Version, seen: &[Seen]) -> bool {
    if base >= stored {
        return base > stored;
    }
    // The interval may be wide (base 0 of a record at version 10^9) while `seen` is short: never walk further than it.
    let unknown = stored.0.saturating_sub(base.0);
    unknown > i64::try_from(seen.len()).unwrap_or(i64::MAX)
        || (base.0.saturating_add(1)..=stored.0).any(|version| !seen.iter().any(|seen| seen.version.0 == version))
}

#[cfg(test)]
mod tests;
