//! Traces of what was merged and rejected: made here, written by the store, shown to those who may see them.

use serde_json::{Map, Value as Json};
use tombolo_core::access::{Access, Grant, Identity};
use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::merge::{FieldConflict, Operation, RuleName};
use tombolo_core::record::Key;
use tombolo_core::schema::{AuthOperation, ConflictStrategy, Model, RemovedField, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_core::wire::trace::{FieldTrace, Payload, Trace};

use super::row::Found;
use crate::store::Submission;

/// Values by the names of their fields.
pub(super) fn named(model: &Model, values: &[(FieldId, Value)]) -> Map<String, Json> {
    let pair = |(field, value): &(FieldId, Value)| (model.field_at(*field).name.clone(), value.to_json());
    values.iter().map(pair).collect()
}

/// Operations by the names of their fields.
pub(super) fn operations(model: &Model, operations: &[(FieldId, Operation)]) -> Map<String, Json> {
    let pair = |(field, operation): &(FieldId, Operation)| (model.field_at(*field).name.clone(), operation.to_json());
    operations.iter().map(pair).collect()
}

/// A key as an array.
pub(super) fn key_json(key: &Key) -> Vec<Json> {
    key.0.iter().map(Value::to_json).collect()
}

/// A strategy as in the schema.
pub(super) fn strategy(strategy: ConflictStrategy) -> &'static str {
    match strategy {
        ConflictStrategy::Automerge => "AUTOMERGE",
        ConflictStrategy::OptimisticConcurrency => "OPTIMISTIC_CONCURRENCY",
        ConflictStrategy::LastWriterWins => "LAST_WRITER_WINS",
        ConflictStrategy::Custom => "CUSTOM",
    }
}

/// What the submission's mutation at `place` asked for, as its trace begins. A refused request stands whole in the trace of
/// its first mutation.
pub(super) fn sent(schema: &Schema, now_ms: i64, submission: &Submission, place: usize) -> Trace {
    let mutation = submission.mutations.get(place);
    let model = mutation.map(|mutation| &schema[mutation.model]);
    let context = &submission.context;
    Trace {
        at: now_ms,
        replica: submission.envelope.as_ref().map(|envelope| envelope.replica.clone()),
        number: None,
        author: context.identity.as_ref().and_then(Identity::author),
        model: model.map(|model| model.name.clone()),
        key: mutation
            .zip(model)
            .and_then(|(m, model)| m.key(model))
            .as_ref()
            .map(key_json),
        kind: mutation.map(|mutation| mutation.kind),
        outcome: OutcomeKind::Rejected,
        code: None,
        message: None,
        strategy: None,
        fields: Vec::new(),
        payload: Payload {
            kind: mutation.map(|mutation| mutation.kind),
            values: mutation
                .zip(model)
                .map_or_else(Map::new, |(m, model)| named(model, &m.values)),
            operations: mutation
                .zip(model)
                .map_or_else(Map::new, |(m, model)| operations(model, &m.operations)),
            base_version: mutation.and_then(|mutation| mutation.base_version),
            condition: mutation.and_then(|mutation| mutation.condition_json.clone()),
            request: context.request.as_deref().filter(|_| place == 0).cloned(),
        },
        position: None,
    }
}

/// The trace of a mutation that was decided on: what was in conflict and which rule decided.
pub(super) fn of(
    schema: &Schema,
    now_ms: i64,
    (submission, place): (&Submission, usize),
    key: &Key,
    found: Found,
    outcome: OutcomeKind,
) -> Trace {
    let mut trace = sent(schema, now_ms, submission, place);
    // A creation may have got its key here.
    trace.key = Some(key_json(key));
    let Some(model) = submission.mutations.get(place).map(|mutation| &schema[mutation.model]) else {
        return trace;
    };
    let in_conflict = outcome == OutcomeKind::Merged || !found.fields.is_empty();
    let rule = found.rule.map(RuleName::as_str);
    trace.strategy = rule
        .or(in_conflict.then(|| strategy(model.conflict)))
        .map(str::to_owned);
    let base = submission.context.base(place);
    trace.fields = found
        .fields
        .iter()
        .map(|conflict| field(model, base, conflict))
        .collect();
    trace
}

fn field(model: &Model, base: Option<&Map<String, Json>>, conflict: &FieldConflict) -> FieldTrace {
    let name = model.field_at(conflict.field).name.clone();
    FieldTrace {
        base: base.and_then(|base| base.get(&name)).cloned(),
        field: name,
        rule: conflict.rule.as_str().to_owned(),
        server: conflict.server.to_json(),
        incoming: conflict.incoming.to_json(),
        result: conflict.result.to_json(),
    }
}

/// Something given for a field that the schema no longer has.
pub(super) fn removed(field: &RemovedField) -> FieldTrace {
    FieldTrace {
        field: field.field.clone(),
        rule: FIELD_REMOVED.to_owned(),
        base: None,
        server: Json::Null,
        incoming: field.given.clone(),
        result: Json::Null,
    }
}

/// The rule that decides on a field which the schema no longer has: what was given for it is dropped.
pub const FIELD_REMOVED: &str = "FIELD_REMOVED";

/// The part of `trace` that `identity` may see: its own, and those of models whose changes it may read, without the
/// fields that its rules refuse. `None`: nothing of it.
#[must_use]
pub fn visible(trace: &Trace, schema: &Schema, identity: &Identity, access: &Access) -> Option<Trace> {
    let own = *identity == Identity::Local || (trace.author.is_some() && trace.author == identity.author());
    let model = trace.model.as_ref().and_then(|name| schema.model_named(name));
    // Whose rows he may read some of: the trace does not tell whose it is.
    let reads = |model| *access.grant(model, AuthOperation::Sync) == Grant::All;
    if !own && !model.is_some_and(reads) {
        return None;
    }
    let mut trace = trace.clone();
    if let Some(id) = model {
        withhold(&mut trace, &schema[id], id, access, own);
    } else {
        // Nobody knows any more who may read the server's values of a model that is gone.
        trace.fields.clear();
    }
    Some(trace)
}

fn withhold(trace: &mut Trace, model: &Model, id: ModelId, access: &Access, own: bool) {
    // A field that the schema no longer has, or has under another name, has no rules that could grant it.
    let may_read = |name: &str| model.field(name).is_some_and(|field| access.can_read(id, field));
    let removed = |field: &FieldTrace| own && field.rule == FIELD_REMOVED && model.field(&field.field).is_none();
    trace.fields.retain(|field| may_read(&field.field) || removed(field));
    trace.payload.values.retain(|name, _| may_read(name));
    trace.payload.operations.retain(|name, _| may_read(name));
    let whole = (0..model.fields.len()).all(|field| access.can_read(id, FieldId(field)));
    if !whole && !own {
        trace.payload.condition = None;
    }
    if !own {
        trace.payload.request = None;
        // A replica's name and its numbers are its own: whoever knows them can use them up.
        (trace.replica, trace.number, trace.author) = (None, None, None);
        if !whole {
            trace.message = None;
        }
    }
    if !model.key.iter().all(|field| access.can_read(id, *field)) {
        trace.key = None;
    }
}
