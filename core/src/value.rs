//! Field values as they are stored, and as a SQL driver lends them.

use jiff::Timestamp;
use serde_json::Value as Json;

/// The value of one stored field.
///
/// Lists and embedded values are kept as the JSON text in which they were sent: values are given back as they came
/// (clients compare what they sent with what returns).
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Absent. GraphQL `null` and "never set" are one, as in DynamoDB after a removal.
    Null,
    /// `Boolean`. Stored as integer 0 or 1.
    Bool(bool),
    /// `Int` and `AWSTimestamp`.
    Int(i64),
    /// `Float`. Never NaN or infinite.
    Float(f64),
    /// Every scalar that travels as a string, and enums.
    Text(String),
    /// A list or an embedded value: JSON text.
    Json(String),
}

impl Value {
    /// The `AWSDateTime` of a moment, as AppSync's `util.time.nowISO8601()` writes it: `2013-01-01T10:15:30.123Z`. A clock
    /// before 1970 or beyond what can be written is held at the bound.
    #[must_use]
    pub fn date_time(epoch_ms: i64) -> Self {
        let moment = Timestamp::from_millisecond(epoch_ms.max(0)).unwrap_or(Timestamp::MAX);
        Self::Text(format!("{moment:.3}"))
    }

    /// Whether this is [`Value::Null`].
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value as a SQL driver binds it.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Bool(b) => ValueRef::Int(i64::from(*b)),
            Self::Int(i) => ValueRef::Int(*i),
            Self::Float(f) => ValueRef::Float(*f),
            Self::Text(t) | Self::Json(t) => ValueRef::Text(t),
        }
    }

    /// The value as a JSON tree; for small things only (mutations, logs), never for lists of records.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(b) => Json::Bool(*b),
            Self::Int(i) => Json::from(*i),
            Self::Float(f) => Json::from(*f),
            Self::Text(t) => Json::String(t.clone()),
            Self::Json(t) => serde_json::from_str(t).unwrap_or(Json::Null),
        }
    }
}

/// A value borrowed from a SQL driver's row: SQLite's storage classes without blobs, which no field uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// SQL `NULL`.
    Null,
    /// An integer.
    Int(i64),
    /// A real number.
    Float(f64),
    /// UTF-8 text.
    Text(&'a str),
}

/// One row of a running statement, or a record in memory: columns by place.
pub trait Row {
    /// The value of column `column`, counted from 0. A column out of range or of a foreign class is
    /// [`ValueRef::Null`]: the reader then reports a null in a non-null field by path rather than failing the answer.
    fn get(&self, column: usize) -> ValueRef<'_>;
}

impl Row for [Value] {
    fn get(&self, column: usize) -> ValueRef<'_> {
        <[Value]>::get(self, column).map_or(ValueRef::Null, Value::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn moments_are_written_as_appsync_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_123, "2024-03-01T00:00:00.123Z"),
            (-1, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(Value::date_time(ms), Value::Text(text.to_owned()));
        }
    }
}
