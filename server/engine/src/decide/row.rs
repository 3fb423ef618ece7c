//! What one mutation does to one row.

use tombolo_core::id::{FieldId, Position, Version};
use tombolo_core::merge::{Incoming, Merge, MergeKind, Seen, is_stale, merge};
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
    /// The position that the change will have.
    pub(super) position: Position,
    /// The change's time.
    pub(super) now_ms: i64,
}

/// What the mutation comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Decision {
    /// The row is written. Never [`OutcomeKind::Rejected`].
    Write(OutcomeKind, StoredRecord),
    /// Nothing is written; a conflict's answer shows the stored record.
    Reject(RejectReason),
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
    let decision = match (mutation.kind, facts.stored) {
        (MutationKind::Create, Some(_)) => {
            return reject(
                ErrorType::ConditionalCheckFailedException,
                format!("{CONDITION_FAILED}: this id exists, or existed"),
            );
        }
        (MutationKind::Create, None) => create(facts, mutation),
        (MutationKind::Update | MutationKind::Delete, None) => {
            return reject(
                ErrorType::ConditionalCheckFailedException,
                format!("{CONDITION_FAILED}: there is no such record"),
            );
        }
        (MutationKind::Update | MutationKind::Delete, Some(stored)) if stored.record.meta.deleted => {
            return reject(ErrorType::ConflictUnhandled, CONFLICT);
        }
        (MutationKind::Update, Some(stored)) => update(facts, stored, mutation),
        (MutationKind::Delete, Some(stored)) => delete(facts, stored, mutation),
    };
    match decision {
        Decision::Write(..) if !condition_holds(facts, mutation) => reject(
            ErrorType::ConditionalCheckFailedException,
            format!("{CONDITION_FAILED}: the condition is false"),
        ),
        other => other,
    }
}

/// AppSync's words.
const CONDITION_FAILED: &str = "The conditional request failed";
const CONFLICT: &str = "Conflict resolver rejects mutation.";

fn reject(code: ErrorType, message: impl Into<String>) -> Decision {
    Decision::Reject(RejectReason {
        code,
        message: message.into(),
    })
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

fn create(facts: &RowFacts<'_>, mutation: &MutationInput) -> Decision {
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
    for field in [model.created_at, model.updated_at].into_iter().flatten() {
        if record.value(field).is_null() {
            record.values[field.0] = Value::date_time(facts.now_ms);
        }
    }
    record.meta = Meta {
        version: Version(1),
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
    let field_versions = FieldVersions::default();
    Decision::Write(
        OutcomeKind::Applied,
        StoredRecord {
            record,
            position: facts.position,
            field_versions,
        },
    )
}

fn update(facts: &RowFacts<'_>, stored: &StoredRecord, mutation: &MutationInput) -> Decision {
    let model = facts.model;
    let incoming = Incoming {
        values: &mutation.values,
        operations: &mutation.operations,
        base: mutation.base_version,
        seen: facts.seen,
    };
    let (values, kind) = match merge(model, stored, incoming) {
        // Without a resolver a conflict that asks for one is refused.
        Merge::Conflict { .. } | Merge::Ask { .. } => return reject(ErrorType::ConflictUnhandled, CONFLICT),
        Merge::Invalid(error) => return reject(ErrorType::BadRequest, error.to_string()),
        Merge::Write {
            values,
            kind: MergeKind::Applied,
            ..
        } => (values, OutcomeKind::Applied),
        Merge::Write {
            values,
            kind: MergeKind::Merged,
            ..
        } => (values, OutcomeKind::Merged),
    };
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
    Decision::Write(kind, next)
}

fn delete(facts: &RowFacts<'_>, stored: &StoredRecord, mutation: &MutationInput) -> Decision {
    let stale = mutation
        .base_version
        .is_some_and(|base| is_stale(base, stored.record.meta.version, facts.seen));
    let kind = match (stale, facts.model.conflict) {
        (false, _) => OutcomeKind::Applied,
        (true, ConflictStrategy::LastWriterWins) => OutcomeKind::Merged,
        (true, ConflictStrategy::Automerge | ConflictStrategy::OptimisticConcurrency | ConflictStrategy::Custom) => {
            return reject(ErrorType::ConflictUnhandled, CONFLICT);
        }
    };
    let mut next = following(facts, stored);
    next.record.meta.deleted = true;
    Decision::Write(kind, next)
}

/// The stored record one version on, its fields untouched (and as many as the model has).
fn following(facts: &RowFacts<'_>, stored: &StoredRecord) -> StoredRecord {
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
