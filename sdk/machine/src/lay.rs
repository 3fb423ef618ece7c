//! View = base + unsettled intents, in order: a pure function, so that it can be done again at any time.

use serde_json::Value as Json;
use tombolo_core::record::{Key, Meta, Record};
use tombolo_core::schema::{Field, FieldKind, FieldType, Model, MutationKind, Scalar};
use tombolo_core::value::Value;

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
            let mut row = row.unwrap_or_else(|| fresh(model, made_at_ms));
            row.meta.deleted = false;
            set(model, &mut row, intent);
            Some(row)
        }
        (MutationKind::Update, Some(mut row)) if !row.meta.deleted => {
            if let Some(field) = model.updated_at.and_then(|f| row.values.get_mut(f.0)) {
                *field = Value::Text(date_time(made_at_ms));
            }
            set(model, &mut row, intent);
            Some(row)
        }
        (MutationKind::Delete, Some(mut row)) => {
            row.meta.deleted = true;
            Some(row)
        }
        (MutationKind::Update | MutationKind::Delete, row) => row,
    }
}

/// A record that the server has not seen: defaults and times filled in as the server will, `_version` 0.
fn fresh(model: &Model, made_at_ms: i64) -> Record {
    let mut values: Vec<Value> = model
        .fields
        .iter()
        .map(|field| field.default.clone().unwrap_or(Value::Null))
        .collect();
    for time in [model.created_at, model.updated_at].into_iter().flatten() {
        if let Some(value) = values.get_mut(time.0) {
            *value = Value::Text(date_time(made_at_ms));
        }
    }
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
        if let Some(given) = intent.values.get(&field.name) {
            *value = value_from_json(field, given);
        }
    }
}

/// A field's value from its GraphQL JSON form. What is not of the field's type is null: it was checked when it came in,
/// so only a schema change can have made it so.
#[must_use]
pub fn value_from_json(field: &Field, json: &Json) -> Value {
    match (storage(&field.ty), json) {
        (_, Json::Null) => Value::Null,
        (Storage::Json, json) => Value::Json(json.to_string()),
        (Storage::Bool, Json::Bool(b)) => Value::Bool(*b),
        (Storage::Int, Json::Number(n)) => n.as_i64().map_or(Value::Null, Value::Int),
        (Storage::Float, Json::Number(n)) => n.as_f64().map_or(Value::Null, Value::Float),
        (Storage::Text, Json::String(s)) => Value::Text(s.clone()),
        (Storage::Text, Json::Number(n)) => Value::Text(n.to_string()),
        (Storage::Bool | Storage::Int | Storage::Float | Storage::Text, _) => Value::Null,
    }
}

/// How a field is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Integer 0 or 1.
    Bool,
    /// Integer.
    Int,
    /// Real.
    Float,
    /// Text.
    Text,
    /// JSON text of a list or an embedded value.
    Json,
}

/// How a field of this type is stored.
#[must_use]
pub fn storage(ty: &FieldType) -> Storage {
    if ty.list.is_some() {
        return Storage::Json;
    }
    match &ty.kind {
        FieldKind::Embedded(_) => Storage::Json,
        FieldKind::Enum(_) => Storage::Text,
        FieldKind::Scalar(scalar) => match scalar {
            Scalar::Boolean => Storage::Bool,
            Scalar::Int | Scalar::AwsTimestamp => Storage::Int,
            Scalar::Float => Storage::Float,
            Scalar::Id
            | Scalar::String
            | Scalar::AwsDate
            | Scalar::AwsTime
            | Scalar::AwsDateTime
            | Scalar::AwsEmail
            | Scalar::AwsJson
            | Scalar::AwsUrl
            | Scalar::AwsPhone
            | Scalar::AwsIpAddress => Storage::Text,
        },
    }
}

/// A key from its JSON array; `None` if it is not a key of this model.
#[must_use]
pub fn key_from_json(model: &Model, values: &[Json]) -> Option<Key> {
    if values.len() != model.key.len() {
        return None;
    }
    let values: Vec<Value> = model
        .key
        .iter()
        .zip(values)
        .map(|(field, json)| {
            model
                .fields
                .get(field.0)
                .map_or(Value::Null, |f| value_from_json(f, json))
        })
        .collect();
    values.iter().all(|v| !v.is_null()).then_some(Key(values))
}

/// `AWSDateTime` of a wall time, in UTC with milliseconds: `2013-01-31T08:15:00.000Z`.
fn date_time(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // Civil date from days, counted in eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (in_day / 1_000, in_day % 1_000);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_357_034_460_123, "2013-01-01T10:01:00.123Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(date_time(ms), text);
        }
    }
}
