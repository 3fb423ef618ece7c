//! View = base + unsettled intents, in order: a pure function, so that it can be done again at any time.

use serde_json::Value as Json;
use tombolo_core::merge::monotone;
use tombolo_core::record::{Meta, Record};
use tombolo_core::schema::{Model, MutationKind};
use tombolo_core::value::Value;

use crate::former::member;
use crate::operations;
use crate::outbox::Intent;

/// Lays `intents` (with the wall time at which each was made) over `base`, in order. `None`: there is no row.
///
/// An update or a delete of a record that is absent or a tombstone shows nothing; the server will have the last word. A
/// field that the model does not have (any more) is passed over.
#[must_use]
pub fn lay(model: &Model, base: Option<&Record>, intents: &[(&Intent, i64)]) -> Option<Record> {
    let mut row = base.cloned();
    for (intent, made_at_ms) in intents {
        row = lay_one(model, row, intent, *made_at_ms);
    }
    row
}

fn lay_one(model: &Model, row: Option<Record>, intent: &Intent, made_at_ms: i64) -> Option<Record> {
    match (intent.kind, row) {
        (MutationKind::Create, row) => {
            let mut row = match row {
                Some(row) if !row.meta.deleted => row,
                // Nothing of a deleted record comes back but its version.
                Some(tombstone) => {
                    let mut row = fresh(model, made_at_ms);
                    row.meta.version = tombstone.meta.version;
                    row
                }
                None => fresh(model, made_at_ms),
            };
            set(model, &mut row, intent);
            for time in [model.created_at, model.updated_at].into_iter().flatten() {
                if row.value(time).is_null() {
                    row.values[time.0] = Value::date_time(made_at_ms);
                }
            }
            Some(row)
        }
        (MutationKind::Update, Some(mut row)) if !row.meta.deleted => {
            set(model, &mut row, intent);
            if let Some(time) = model.updated_at
                && member(&intent.values, model.field_at(time)).is_none_or(Json::is_null)
            {
                row.values[time.0] = Value::date_time(made_at_ms);
            }
            Some(row)
        }
        (MutationKind::Delete, Some(mut row)) => {
            row.meta.deleted = true;
            Some(row)
        }
        (MutationKind::Update | MutationKind::Delete, row) => row,
    }
}

/// A record that the server has not seen: defaults filled in as the server will, `_version` 0.
fn fresh(model: &Model, made_at_ms: i64) -> Record {
    let values = model
        .fields
        .iter()
        .map(|field| field.default.clone().unwrap_or(Value::Null))
        .collect();
    Record {
        values,
        meta: Meta {
            last_changed_at: made_at_ms,
            ..Meta::default()
        },
    }
}

fn set(model: &Model, row: &mut Record, intent: &Intent) {
    row.values.resize(model.fields.len(), Value::Null);
    for (field, value) in model.fields.iter().zip(&mut row.values) {
        if let Some(given) = member(&intent.values, field) {
            let given = field.ty.value_from_json(given);
            let greatest = match intent.kind {
                MutationKind::Update => monotone(field, value, &given),
                MutationKind::Create | MutationKind::Delete => None,
            };
            *value = greatest.unwrap_or(given);
        }
    }
    operations::lay(model, row, intent);
}
