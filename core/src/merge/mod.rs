//! What becomes of an update whose base version is not the record's: facts in, a named decision out.
//!
//! The merge is three-way. A record keeps for each field the version at which it last changed, so a field is *in
//! conflict* only if somebody else changed it after the version that the update was based on, to another value. Fields
//! that are not in conflict are written as sent. The others are settled one by one: by the field's own rule
//! ([`MergeRule`]) if it has one, else by the model's [`ConflictStrategy`]. Under `AUTOMERGE`, following AppSync: a scalar
//! keeps the server's value unless that is null, a list becomes the server's items followed by the incoming ones, an
//! embedded object is merged by key with the same rules.
//!
//! Operations on counters and sets ([`Operation`]) never conflict: they are carried out on what the record holds.
//!
//! A replica's own earlier mutations are no conflict: the versions they made are given as `seen`.
//!
//! A base above the record's version cannot have been given by this history; like version 0 it stands for "nothing is
//! known", and then every field is in conflict.

mod moments;
mod operation;
mod rule;
mod values;

pub use moments::is_same;
pub use operation::{Operation, OperationError};
pub use rule::{FieldConflict, RuleName};

use std::cmp::Ordering;

use crate::id::{FieldId, Version};
use crate::record::StoredRecord;
use crate::schema::{ConflictStrategy, Field, FieldKind, MergeRule, Model};
use crate::value::Value;

/// An update as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The values given; key fields among them are passed over.
    pub values: &'a [(FieldId, Value)],
    /// The operations given.
    pub operations: &'a [(FieldId, Operation)],
    /// The version that it was made on top of; `None`: the newest.
    pub base: Option<Version>,
    /// Versions that earlier mutations of the same replica made.
    pub seen: &'a [Seen],
    /// Fields that the sender may not read: whether a value is the record's own is not to be told, so that any value given for
    /// one that has changed since is in conflict.
    pub blind: &'a [FieldId],
}

/// The decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Merge {
    /// The update is accepted; version +1.
    Write {
        /// The fields to write, key fields left out. A field whose value is already the record's may be among them.
        values: Vec<(FieldId, Value)>,
        /// Whether something was in conflict.
        kind: MergeKind,
        /// Every field that was in conflict, and how it was settled.
        conflicts: Vec<FieldConflict>,
    },
    /// A field's rule or the model's strategy refuses the update.
    Conflict {
        /// Every field that was in conflict. Empty if the strategy refuses any update of an older version, and the fields
        /// of this one had not changed.
        conflicts: Vec<FieldConflict>,
    },
    /// A resolver is to decide. Nothing is written before it has.
    Ask {
        /// The fields that need no resolver, as [`Merge::Write`] would write them.
        values: Vec<(FieldId, Value)>,
        /// Every field that was in conflict; those for the resolver have the rule [`RuleName::Custom`]. May be empty, as for
        /// [`Merge::Conflict`].
        conflicts: Vec<FieldConflict>,
    },
    /// An operation cannot be carried out.
    Invalid(OperationError),
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

/// Decides on the update `incoming` of `stored`.
#[must_use]
pub fn merge(model: &Model, stored: &StoredRecord, incoming: Incoming<'_>) -> Merge {
    let newest = stored.record.meta.version;
    let stale = incoming.base.filter(|base| is_stale(*base, newest, incoming.seen));
    let mut made = Made::default();
    let given = || incoming.values.iter().filter(|(field, _)| !model.key.contains(field));
    for (field, value) in given() {
        let ours = stored.record.value(*field);
        let in_conflict = stale.is_some_and(|base| {
            let changed_at = stored.field_versions.of(*field);
            let known = incoming.seen.iter().any(|seen| seen.covers(changed_at, value));
            (base > newest || changed_at > base) && !known && (ours != value || incoming.blind.contains(field))
        });
        let definition = model.field_at(*field);
        let settled = settle(model.conflict, definition, ours, value, in_conflict);
        made.take(*field, ours, value, settled, in_conflict);
    }
    if stale.is_some() {
        // As AppSync: these two look at the record's version, whichever fields changed. Fields with a rule of their own
        // and operations do not come under them.
        let by_strategy = given().any(|(field, _)| model.field_at(*field).merge.is_none());
        let nothing = given().next().is_none() && incoming.operations.is_empty();
        match model.conflict {
            ConflictStrategy::OptimisticConcurrency => made.refused |= by_strategy || nothing,
            ConflictStrategy::Custom => made.asked |= by_strategy || nothing,
            ConflictStrategy::Automerge | ConflictStrategy::LastWriterWins => {}
        }
    }
    for (field, operation) in incoming.operations {
        match operation.apply(model.field_at(*field), stored.record.value(*field)) {
            Ok(value) => made.values.push((*field, value)),
            Err(error) => return Merge::Invalid(error),
        }
    }
    made.into_merge()
}

/// A decision in the making.
#[derive(Default)]
struct Made {
    values: Vec<(FieldId, Value)>,
    conflicts: Vec<FieldConflict>,
    refused: bool,
    asked: bool,
}

/// What a field comes to.
enum Settled {
    /// The incoming value as it stands.
    Theirs(RuleName),
    /// A value made of both, or one of them; the server's own is not written again.
    Value(RuleName, Value),
    /// The server's value.
    Ours(RuleName),
    Refused(RuleName),
    Asked,
}

impl Made {
    fn take(&mut self, field: FieldId, ours: &Value, theirs: &Value, settled: Settled, in_conflict: bool) {
        let (rule, result) = match settled {
            Settled::Theirs(rule) => (rule, Some(theirs.clone())),
            Settled::Value(rule, value) => (rule, (&value != ours).then_some(value)),
            Settled::Ours(rule) => (rule, None),
            Settled::Refused(rule) => {
                self.refused = true;
                (rule, None)
            }
            Settled::Asked => {
                self.asked = true;
                (RuleName::Custom, None)
            }
        };
        if in_conflict {
            self.conflicts.push(FieldConflict {
                field,
                rule,
                server: ours.clone(),
                incoming: theirs.clone(),
                result: result.clone().unwrap_or_else(|| ours.clone()),
            });
        }
        self.values.extend(result.map(|value| (field, value)));
    }

    fn into_merge(self) -> Merge {
        let Self {
            values, mut conflicts, ..
        } = self;
        if self.refused {
            for conflict in &mut conflicts {
                conflict.result = conflict.server.clone();
            }
            return Merge::Conflict { conflicts };
        }
        if self.asked {
            return Merge::Ask { values, conflicts };
        }
        let kind = if conflicts.is_empty() {
            MergeKind::Applied
        } else {
            MergeKind::Merged
        };
        Merge::Write {
            values,
            kind,
            conflicts,
        }
    }
}

/// Settles one field: by its own rule, else by the model's strategy.
fn settle(strategy: ConflictStrategy, field: &Field, ours: &Value, theirs: &Value, in_conflict: bool) -> Settled {
    match (field.merge, in_conflict) {
        (Some(MergeRule::Max), _) => Settled::Value(RuleName::Max, greatest(field, ours, theirs, Ordering::Greater)),
        (Some(MergeRule::Min), _) => Settled::Value(RuleName::Min, greatest(field, ours, theirs, Ordering::Less)),
        (_, false) => Settled::Theirs(RuleName::LastWriter),
        (Some(MergeRule::LastWriter), true) => Settled::Theirs(RuleName::LastWriter),
        (Some(MergeRule::Counter), true) => Settled::Ours(RuleName::Counter),
        (Some(MergeRule::Set), true) => match operation::union(ours, theirs) {
            Some(union) => Settled::Value(RuleName::Set, union),
            None => Settled::Ours(RuleName::Set),
        },
        (Some(MergeRule::Reject), true) => Settled::Refused(RuleName::Reject),
        (Some(MergeRule::Custom), true) => Settled::Asked,
        (None, true) => match strategy {
            ConflictStrategy::OptimisticConcurrency => Settled::Refused(RuleName::OptimisticConcurrency),
            ConflictStrategy::LastWriterWins => Settled::Theirs(RuleName::LastWriterWins),
            ConflictStrategy::Custom => Settled::Asked,
            ConflictStrategy::Automerge => {
                let rule = match (&field.ty.kind, field.ty.list) {
                    (_, Some(_)) => RuleName::AutomergeList,
                    (FieldKind::Embedded(_), None) => RuleName::AutomergeEmbedded,
                    (FieldKind::Scalar(_) | FieldKind::Enum(_), None) => RuleName::AutomergeScalar,
                };
                match values::combine(ours, theirs) {
                    Some(combined) => Settled::Value(rule, combined),
                    None => Settled::Ours(rule),
                }
            }
        },
    }
}

/// What an update to `theirs` makes of a field under `MAX` or `MIN` that holds `ours`; `None` for any other field. A
/// replica asks it too, so that it shows at once what the server will make of an edit.
#[must_use]
pub fn monotone(field: &Field, ours: &Value, theirs: &Value) -> Option<Value> {
    match field.merge? {
        MergeRule::Max => Some(greatest(field, ours, theirs, Ordering::Greater)),
        MergeRule::Min => Some(greatest(field, ours, theirs, Ordering::Less)),
        MergeRule::LastWriter | MergeRule::Counter | MergeRule::Set | MergeRule::Reject | MergeRule::Custom => None,
    }
}

/// The one of two values that stands `wanted` of the other; any value rather than null.
fn greatest(field: &Field, ours: &Value, theirs: &Value, wanted: Ordering) -> Value {
    let theirs_stands = match (ours, theirs) {
        (_, Value::Null) => false,
        (Value::Null, _) => true,
        (ours, theirs) => moments::compare(&field.ty, theirs, ours) == wanted,
    };
    if theirs_stands { theirs.clone() } else { ours.clone() }
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
mod laws;
#[cfg(test)]
mod tests;
