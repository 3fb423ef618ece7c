//! What one mutation does to one row.

use tombolo_core::id::{FieldId, Position, Version};
use tombolo_core::merge::{FieldConflict, Incoming, Merge, MergeKind, RuleName, Seen, is_same, is_stale, merge};
use tombolo_core::query::MutationInput;
use tombolo_core::record::{FieldVersions, Key, Meta, Record, StoredRecord};
use tombolo_core::schema::{ConflictStrategy, FieldKind, Model, MutationKind, Scalar};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;

/// Everything that decides beside the mutation itself.
pub(super) struct RowFacts<'a> {
    pub(super) model: &'a Model,
    pub(super) key: &'a Key,
    pub(super) stored: Option<&'a StoredRecord>,
    /// Versions that the replica's own earlier mutations made, as far as its user saw them.
    pub(super) seen: &'a [Seen],
    /// It has seen more, of which the versions are no longer known.
    pub(super) forgotten: bool,
    /// It comes without an envelope: from a client that is none of ours.
    pub(super) plain: bool,
    /// It may have been carried out before, under no number.
    pub(super) resent: bool,
    /// The caller may not see the stored record.
    pub(super) hidden: bool,
    /// Fields that the mutation gives and its caller may not read in this row.
    pub(super) blind: &'a [FieldId],
    /// What a creation fills in of its caller.
    pub(super) owners: &'a [(FieldId, Value)],
    /// The position that the change will have.
    pub(super) position: Position,
    /// The change's time.
    pub(super) now_ms: i64,
}

/// What the mutation comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// The row is written.
    Write {
        /// Never [`OutcomeKind::Rejected`].
        outcome: OutcomeKind,
        /// The row.
        next: StoredRecord,
        /// What was in conflict.
        found: Found,
    },
    /// Nothing is written; a conflict's answer shows the stored record.
    Reject {
        /// Why.
        reason: RejectReason,
        /// What was in conflict, if that is why.
        found: Found,
    },
    /// The resolver is to decide; until it has, nothing is written.
    Ask {
        /// The fields that need no resolver, as they would be written. None for a deletion.
        values: Vec<(FieldId, Value)>,
        /// What was in conflict.
        found: Found,
    },
}

/// What was in conflict, for the mutation's trace.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// The rule that decided on the record as a whole, beside its fields.
    pub(super) rule: Option<RuleName>,
    /// Each field that was in conflict.
    pub(super) fields: Vec<FieldConflict>,
}

impl Found {
    fn by(rule: RuleName) -> Self {
        Self {
            rule: Some(rule),
            fields: Vec::new(),
        }
    }
}

/// The key a mutation is about. A creation may leave key fields out: a default fills them, an `ID` the next fresh id.
/// `None` if it cannot have one.
pub(super) fn key_of<'a>(
    model: &Model,
    mutation: &MutationInput,
    fresh_ids: &mut impl Iterator<Item = &'a String>,
) -> Option<Key> {
    if mutation.kind != MutationKind::Create {
        return mutation.key(model);
    }
    let mut value = |field: &FieldId| {
        let given = mutation.values.iter().find(|(f, value)| f == field && !value.is_null());
        let definition = model.field_at(*field);
        match (given, &definition.default, &definition.ty.kind) {
            (Some((_, value)), ..) => Some(value.clone()),
            (None, Some(default), _) => Some(default.clone()),
            (None, None, FieldKind::Scalar(Scalar::Id)) => fresh_ids.next().map(|id| Value::Text(id.clone())),
            (None, None, FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_)) => None,
        }
    };
    model.key.iter().map(&mut value).collect::<Option<Vec<_>>>().map(Key)
}

/// Decides on one mutation.
pub(super) fn decide_row(facts: &RowFacts<'_>, mutation: &MutationInput) -> Decision {
    if facts.resent
        && let Some(decision) = stands_already(facts, mutation)
    {
        return decision;
    }
    let decision = match (mutation.kind, facts.stored) {
        (MutationKind::Create, None) => create(facts, mutation, None),
        (MutationKind::Create, Some(stored)) if resurrects(facts, stored, mutation) => {
            create(facts, mutation, Some(stored))
        }
        (MutationKind::Create, Some(stored)) => {
            let (rule, why) = if stored.record.meta.deleted && !facts.hidden {
                (
                    RuleName::Recreate,
                    "this id existed, and its tombstone lives: name the tombstone's `_version` to bring it back",
                )
            } else {
                (RuleName::CreateOverExisting, "this id exists")
            };
            return reject_by(
                rule,
                ErrorType::ConditionalCheckFailedException,
                format!("{CONDITION_FAILED}: {why}"),
            );
        }
        (MutationKind::Update | MutationKind::Delete, None) => {
            return reject(
                ErrorType::ConditionalCheckFailedException,
                format!("{CONDITION_FAILED}: there is no such record"),
            );
        }
        (MutationKind::Update | MutationKind::Delete, Some(stored)) if stored.record.meta.deleted => {
            if facts.plain && mutation.base_version == Some(stored.record.meta.version) {
                // AppSync's clients send a conflict again with the version that they were shown, and for ever; it sees no
                // conflict in that. The record stays deleted, which the answer says.
                return Decision::Write {
                    outcome: OutcomeKind::Merged,
                    next: following(facts, stored),
                    found: Found::by(RuleName::EditAfterDelete),
                };
            }
            return reject_by(RuleName::EditAfterDelete, ErrorType::ConflictUnhandled, CONFLICT);
        }
        (MutationKind::Update, Some(stored)) => update(facts, stored, mutation),
        (MutationKind::Delete, Some(stored)) => delete(facts, stored, mutation),
    };
    match decision {
        Decision::Write { .. } | Decision::Ask { .. } if !condition_holds(facts, mutation) => reject(
            ErrorType::ConditionalCheckFailedException,
            format!("{CONDITION_FAILED}: the condition is false"),
        ),
        other => other,
    }
}

/// Whether a key is a UUID, as clients give to records whose key means nothing.
fn is_made_up(key: &Key) -> bool {
    matches!(key.0.as_slice(), [Value::Text(id)] if uuid::Uuid::try_parse(id).is_ok())
}

/// What a mutation comes to that may have been carried out before, under no number, if the record shows that it was; `None`
/// if it does not.
///
/// A record shows a deletion by being deleted, an update by holding all its values, a creation by holding all its values but
/// those that have changed since the record was made. Then the mutation was carried out, or what it asks for is so anyway.
/// What it gave and the record holds counts as its own from now on: the same user's later edits, made when he saw it, are
/// no conflict with it. A field that was changed since stays as it is, and is told. Where nothing that it gave is left, the key
/// alone shows it if it is one that nobody else can have made; two people may well have made a record of one number plate. Dates and times are compared as moments:
/// the other client may have written them differently than it sent them.
fn stands_already(facts: &RowFacts<'_>, mutation: &MutationInput) -> Option<Decision> {
    let stored = facts.stored?;
    if facts.hidden || !facts.blind.is_empty() || !mutation.operations.is_empty() {
        return None;
    }
    let given = || {
        mutation
            .values
            .iter()
            .filter(|(field, _)| !facts.model.key.contains(field))
    };
    let is_held =
        |field: FieldId, value: &Value| is_same(&facts.model.field_at(field).ty, stored.record.value(field), value);
    let (held, others): (Vec<_>, Vec<_>) = given().partition(|(field, value)| is_held(*field, value));
    let changed_since = |field: FieldId| stored.field_versions.of(field) > Version(1);
    let stands = match (mutation.kind, stored.record.meta.deleted) {
        (MutationKind::Delete, deleted) => deleted,
        (MutationKind::Create | MutationKind::Update, true) => false,
        (MutationKind::Create, false) => {
            others.iter().all(|(field, _)| changed_since(*field))
                && (!held.is_empty() || others.is_empty() || is_made_up(facts.key))
        }
        (MutationKind::Update, false) => others.is_empty(),
    };
    if !stands {
        return None;
    }
    let mut next = following(facts, stored);
    let conflicts: Vec<FieldConflict> = if mutation.kind == MutationKind::Delete {
        Vec::new()
    } else {
        for (field, _) in &held {
            next.field_versions.set(*field, next.record.meta.version);
        }
        let told = |(field, value): &&(FieldId, Value)| FieldConflict {
            field: *field,
            rule: RuleName::CreateOverExisting,
            server: stored.record.value(*field).clone(),
            incoming: value.clone(),
            result: stored.record.value(*field).clone(),
        };
        others.iter().map(told).collect()
    };
    Some(Decision::Write {
        outcome: if conflicts.is_empty() {
            OutcomeKind::Applied
        } else {
            OutcomeKind::Merged
        },
        next,
        found: Found {
            rule: None,
            fields: conflicts,
        },
    })
}

/// Whether the creation names the very tombstone that it replaces: only one who has seen the deletion can mean that.
fn resurrects(facts: &RowFacts<'_>, stored: &StoredRecord, mutation: &MutationInput) -> bool {
    let current = |base| !is_stale(base, stored.record.meta.version, facts.seen);
    // To one who may not see it, it is an id that is taken.
    stored.record.meta.deleted && !facts.hidden && mutation.base_version.is_some_and(current)
}

/// AppSync's words.
const CONDITION_FAILED: &str = "The conditional request failed";
const CONFLICT: &str = "Conflict resolver rejects mutation.";

fn reject(code: ErrorType, message: impl Into<String>) -> Decision {
    let message = message.into();
    Decision::Reject {
        reason: RejectReason { code, message },
        found: Found::default(),
    }
}

fn reject_by(rule: RuleName, code: ErrorType, message: impl Into<String>) -> Decision {
    let message = message.into();
    Decision::Reject {
        reason: RejectReason { code, message },
        found: Found::by(rule),
    }
}

/// A condition on a record that does not exist sees every field absent.
fn condition_holds(facts: &RowFacts<'_>, mutation: &MutationInput) -> bool {
    let Some(condition) = &mutation.condition else {
        return true;
    };
    match facts.stored {
        Some(stored) => condition.matches(facts.model, &stored.record),
        None => condition.matches(facts.model, &absent(facts.model)),
    }
}

fn absent(model: &Model) -> Record {
    Record {
        values: vec![Value::Null; model.fields.len()],
        meta: Meta::default(),
    }
}

/// A new record; over `tombstone`, if there is one, with nothing of it but the next version.
fn create(facts: &RowFacts<'_>, mutation: &MutationInput, tombstone: Option<&StoredRecord>) -> Decision {
    let model = facts.model;
    let mut record = absent(model);
    for (field, value) in &mutation.values {
        record.values[field.0] = value.clone();
    }
    for (field, value) in model.key.iter().zip(&facts.key.0) {
        record.values[field.0] = value.clone();
    }
    // A default fills what was left out; an explicit null stays null.
    for (field, definition) in model.fields.iter().enumerate() {
        if let Some(default) = &definition.default
            && !mutation.values.iter().any(|(f, _)| f.0 == field)
        {
            record.values[field] = default.clone();
        }
    }
    for (field, owner) in facts.owners {
        if !mutation.values.iter().any(|(f, value)| f == field && !value.is_null()) {
            record.values[field.0] = owner.clone();
        }
    }
    for (field, operation) in &mutation.operations {
        match operation.apply(model.field_at(*field), record.value(*field)) {
            Ok(value) => record.values[field.0] = value,
            Err(error) => return reject(ErrorType::BadRequest, error.to_string()),
        }
    }
    for field in [model.created_at, model.updated_at].into_iter().flatten() {
        if record.value(field).is_null() {
            record.values[field.0] = Value::date_time(facts.now_ms);
        }
    }
    let version = Version(tombstone.map_or(0, |stored| stored.record.meta.version.0) + 1);
    record.meta = Meta {
        version,
        deleted: false,
        last_changed_at: facts.now_ms,
    };
    let all = record
        .values
        .iter()
        .enumerate()
        .map(|(field, value)| (FieldId(field), value));
    if let Some(refused) = required_null(model, all) {
        return refused;
    }
    // Whoever knows only the record that was deleted knows none of these values.
    let changed = (0..model.fields.len())
        .map(FieldId)
        .filter(|field| !model.key.contains(field));
    let field_versions = match tombstone {
        Some(_) => FieldVersions(changed.map(|field| (field, version)).collect()),
        None => FieldVersions::default(),
    };
    Decision::Write {
        outcome: OutcomeKind::Applied,
        next: StoredRecord {
            record,
            position: facts.position,
            field_versions,
        },
        found: tombstone.map_or_else(Found::default, |_| Found::by(RuleName::Resurrect)),
    }
}

/// The version that the mutation was made on top of: the one given, else the first that its own replica made and saw (an
/// edit of what the replica has just created knows no version yet; what others changed since then it has not seen). `None`
/// without either: the newest.
///
/// If it rests on an own mutation whose outcome is no longer kept, nobody knows which version that made, and what others
/// have written since must not be taken for seen: without a version given nothing counts as known, and whatever differs is
/// in conflict.
fn base(facts: &RowFacts<'_>, mutation: &MutationInput) -> Option<Version> {
    let own = || match facts.forgotten {
        true => Some(Version(0)),
        false => facts.seen.iter().map(|seen| seen.version).min(),
    };
    mutation.base_version.or_else(own)
}

fn update(facts: &RowFacts<'_>, stored: &StoredRecord, mutation: &MutationInput) -> Decision {
    let model = facts.model;
    let incoming = Incoming {
        blind: facts.blind,
        values: &mutation.values,
        operations: &mutation.operations,
        base: base(facts, mutation),
        seen: facts.seen,
    };
    let (values, outcome, fields) = match merge(model, stored, incoming) {
        Merge::Write {
            values,
            kind,
            conflicts,
        } => {
            let outcome = match kind {
                MergeKind::Applied => OutcomeKind::Applied,
                MergeKind::Merged => OutcomeKind::Merged,
            };
            (values, outcome, conflicts)
        }
        Merge::Ask { values, conflicts } => {
            let found = Found {
                rule: Some(RuleName::Custom),
                fields: conflicts,
            };
            return Decision::Ask { values, found };
        }
        Merge::Conflict { conflicts } => {
            let by_strategy = || {
                (model.conflict == ConflictStrategy::OptimisticConcurrency).then_some(RuleName::OptimisticConcurrency)
            };
            let reason = RejectReason {
                code: ErrorType::ConflictUnhandled,
                message: CONFLICT.to_owned(),
            };
            let rejected = conflicts.iter().any(|conflict| conflict.rule == RuleName::Reject);
            let rule = rejected.then_some(RuleName::Reject).or_else(by_strategy);
            return Decision::Reject {
                reason,
                found: Found {
                    rule,
                    fields: conflicts,
                },
            };
        }
        Merge::Invalid(error) => return reject(ErrorType::BadRequest, error.to_string()),
    };
    put(facts, stored, mutation, values, outcome, Found { rule: None, fields })
}

/// Writes `values` over `stored`.
pub(super) fn put(
    facts: &RowFacts<'_>,
    stored: &StoredRecord,
    mutation: &MutationInput,
    values: Vec<(FieldId, Value)>,
    outcome: OutcomeKind,
    found: Found,
) -> Decision {
    let model = facts.model;
    // Only what is written now: a field that became required after the record was made does not lock the record.
    if let Some(refused) = required_null(model, values.iter().map(|(field, value)| (*field, value))) {
        return refused;
    }
    let mut next = following(facts, stored);
    for (field, value) in values {
        if next.record.value(field) != &value {
            next.field_versions.set(field, next.record.meta.version);
            next.record.values[field.0] = value;
        }
    }
    // A time that the server fills in is nobody's edit: it has no part in conflicts.
    if let Some(field) = model.updated_at
        && mutation.values.iter().all(|(f, value)| *f != field || value.is_null())
    {
        next.record.values[field.0] = Value::date_time(facts.now_ms);
    }
    Decision::Write { outcome, next, found }
}

fn delete(facts: &RowFacts<'_>, stored: &StoredRecord, mutation: &MutationInput) -> Decision {
    let stale = base(facts, mutation).is_some_and(|base| is_stale(base, stored.record.meta.version, facts.seen));
    let (outcome, found) = match (stale, facts.model.conflict) {
        (false, _) => (OutcomeKind::Applied, Found::default()),
        (true, ConflictStrategy::LastWriterWins) => (OutcomeKind::Merged, Found::by(RuleName::DeleteAfterEdit)),
        (true, ConflictStrategy::Custom) => {
            return Decision::Ask {
                values: Vec::new(),
                found: Found::by(RuleName::DeleteAfterEdit),
            };
        }
        (true, ConflictStrategy::Automerge | ConflictStrategy::OptimisticConcurrency) => {
            return reject_by(RuleName::DeleteAfterEdit, ErrorType::ConflictUnhandled, CONFLICT);
        }
    };
    let mut next = following(facts, stored);
    next.record.meta.deleted = true;
    Decision::Write { outcome, next, found }
}

/// The stored record one version on, its fields untouched (and as many as the model has).
pub(super) fn following(facts: &RowFacts<'_>, stored: &StoredRecord) -> StoredRecord {
    let mut next = stored.clone();
    next.record.values.resize(facts.model.fields.len(), Value::Null);
    next.record.meta.version.0 += 1;
    next.record.meta.last_changed_at = facts.now_ms;
    next.position = facts.position;
    next
}

fn required_null<'a>(model: &Model, mut values: impl Iterator<Item = (FieldId, &'a Value)>) -> Option<Decision> {
    let (field, _) = values.find(|(field, value)| value.is_null() && model.field_at(*field).ty.required)?;
    let (model, field) = (&model.name, &model.field_at(field).name);
    Some(reject(
        ErrorType::BadRequest,
        format!("`{field}` of `{model}` is required and would be null: give it a value, or leave it out of an update"),
    ))
}
