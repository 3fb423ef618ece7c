//! How a field's values are kept: one answer for both sides, which run the same statements over the same columns.

use serde_json::Value as Json;

use super::model::{FieldKind, FieldType, Scalar};
use crate::value::{Value, ValueRef};

/// How a field is kept in its column.
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

impl Storage {
    /// SQL's type for such a column.
    #[must_use]
    pub fn column_type(self) -> &'static str {
        match self {
            Self::Bool | Self::Int => "INTEGER",
            Self::Float => "REAL",
            Self::Text | Self::Json => "TEXT",
        }
    }

    /// A name that files may keep.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Int => "Int",
            Self::Float => "Float",
            Self::Text => "Text",
            Self::Json => "Json",
        }
    }
}

impl FieldType {
    /// How a field of this type is kept.
    #[must_use]
    pub fn storage(&self) -> Storage {
        match (&self.kind, self.list) {
            (_, Some(_)) | (FieldKind::Embedded(_), None) => Storage::Json,
            (FieldKind::Enum(_), None) => Storage::Text,
            (FieldKind::Scalar(scalar), None) => match scalar {
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

    /// A value from the JSON that [`Value::to_json`] gave. It was checked when it came in, so only a schema change can
    /// have made it a misfit; that is [`Value::Null`], but a number is taken as text.
    #[must_use]
    pub fn value_from_json(&self, json: &Json) -> Value {
        match (self.storage(), json) {
            (_, Json::Null) => Value::Null,
            (Storage::Json, json) => Value::Json(json.to_string()),
            (Storage::Bool, Json::Bool(flag)) => Value::Bool(*flag),
            (Storage::Int, Json::Number(number)) => number.as_i64().map_or(Value::Null, Value::Int),
            // No negative zero: SQL holds it equal to zero, a key's text would not.
            (Storage::Float, Json::Number(number)) => number.as_f64().map_or(Value::Null, |f| Value::Float(f + 0.0)),
            (Storage::Text, Json::String(text)) => Value::Text(text.clone()),
            (Storage::Text, Json::Number(number)) => Value::Text(number.to_string()),
            (Storage::Bool | Storage::Int | Storage::Float | Storage::Text, _) => Value::Null,
        }
    }

    /// A column of this type as a value. A column of a foreign class gives [`Value::Null`].
    #[must_use]
    pub fn value_from_column(&self, value: ValueRef<'_>) -> Value {
        match (self.storage(), value) {
            (Storage::Bool, ValueRef::Int(int)) => Value::Bool(int != 0),
            (Storage::Int, ValueRef::Int(int)) => Value::Int(int),
            (Storage::Float, ValueRef::Float(float)) => Value::Float(float),
            #[expect(
                clippy::cast_precision_loss,
                reason = "a Float column that SQLite handed over as an integer"
            )]
            (Storage::Float, ValueRef::Int(int)) => Value::Float(int as f64),
            (Storage::Text, ValueRef::Text(text)) => Value::Text(text.to_owned()),
            (Storage::Json, ValueRef::Text(text)) => Value::Json(text.to_owned()),
            (Storage::Bool | Storage::Int | Storage::Float | Storage::Text | Storage::Json, _) => Value::Null,
        }
    }

    /// Writes a column of this type as JSON: booleans from 0 and 1, text escaped, lists and embedded values as the text
    /// they are kept in. A column of a foreign class gives `null`.
    pub fn write_json(&self, value: ValueRef<'_>, out: &mut Vec<u8>) {
        // Writing to a `Vec` cannot fail, and none of these values has a way to refuse serialisation.
        match (self.storage(), value) {
            (Storage::Bool, ValueRef::Int(int)) => out.extend_from_slice(if int == 0 { b"false" } else { b"true" }),
            (Storage::Int | Storage::Float, ValueRef::Int(int)) => {
                let _ = serde_json::to_writer(out, &int);
            }
            // serde_json writes `null` for NaN and the infinities.
            (Storage::Float, ValueRef::Float(float)) => {
                let _ = serde_json::to_writer(out, &float);
            }
            (Storage::Text, ValueRef::Text(text)) => {
                let _ = serde_json::to_writer(out, text);
            }
            (Storage::Json, ValueRef::Text(text)) => out.extend_from_slice(text.as_bytes()),
            (Storage::Bool | Storage::Int | Storage::Float | Storage::Text | Storage::Json, _) => {
                out.extend_from_slice(b"null");
            }
        }
    }
}
