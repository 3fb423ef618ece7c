//! One value of a feed page's row: read straight into a statement or into memory, and made to fit its column.

use std::fmt;

use rusqlite::Statement;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tombolo_core::schema::Storage;
use tombolo_core::value::Value;

/// What one position of a row is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub storage: Storage,
    /// The statement's parameter, from 1; `None` for a field that this schema does not have: its values are kept by name.
    pub parameter: Option<usize>,
    /// The place among the model's fields, or behind them for the meta columns.
    pub place: usize,
    /// The place in the key.
    pub key: Option<usize>,
    /// `null` here is false (`_deleted`).
    pub null_is_false: bool,
    /// A value of another class does not spoil the page: the column takes what comes nearest, the value itself is kept.
    pub may_differ: bool,
    /// `null` here is the field's default, which the server will fill in as well when it has this schema.
    pub fills: bool,
}

/// Where a value goes.
pub(crate) trait Destination {
    type Out;
    fn null(self) -> Self::Out;
    fn bool(self, value: bool) -> Self::Out;
    fn int(self, value: i64) -> Self::Out;
    fn float(self, value: f64) -> Self::Out;
    fn text(self, value: &str, json: bool) -> Self::Out;
}

/// Into memory.
pub(crate) struct ToValue;

impl Destination for ToValue {
    type Out = Value;

    fn null(self) -> Value {
        Value::Null
    }
    fn bool(self, value: bool) -> Value {
        Value::Bool(value)
    }
    fn int(self, value: i64) -> Value {
        Value::Int(value)
    }
    fn float(self, value: f64) -> Value {
        Value::Float(value)
    }
    fn text(self, value: &str, json: bool) -> Value {
        if json {
            Value::Json(value.to_owned())
        } else {
            Value::Text(value.to_owned())
        }
    }
}

/// Into the statement.
pub(crate) struct ToStatement<'a, 'c> {
    pub statement: &'a mut Statement<'c>,
    pub parameter: usize,
}

impl Destination for ToStatement<'_, '_> {
    type Out = rusqlite::Result<()>;

    fn null(self) -> Self::Out {
        self.statement.raw_bind_parameter(self.parameter, rusqlite::types::Null)
    }
    fn bool(self, value: bool) -> Self::Out {
        self.statement.raw_bind_parameter(self.parameter, value)
    }
    fn int(self, value: i64) -> Self::Out {
        self.statement.raw_bind_parameter(self.parameter, value)
    }
    fn float(self, value: f64) -> Self::Out {
        self.statement.raw_bind_parameter(self.parameter, value)
    }
    fn text(self, value: &str, _json: bool) -> Self::Out {
        self.statement.raw_bind_parameter(self.parameter, value)
    }
}

/// One value of a row.
pub(crate) struct Cell<'m, T> {
    pub column: Column,
    pub to: T,
    /// Takes the value if the column cannot: it is then kept by name, and the column has what comes nearest.
    pub misfit: &'m mut Option<Json>,
    /// What `null` becomes, see [`Column::fills`].
    pub fill: Option<&'m Value>,
}

impl<T: Destination> Cell<'_, T> {
    /// A value of another type than the column's: the server has another schema.
    fn other<E: serde::de::Error>(self, value: Json, what: serde::de::Unexpected<'_>) -> Result<T::Out, E> {
        if !self.column.may_differ {
            return Err(E::invalid_type(what, &self));
        }
        let nearest = nearest(self.column.storage, &value);
        *self.misfit = Some(value);
        Ok(put(self.to, nearest))
    }

    fn empty(self) -> T::Out {
        match self.fill {
            Some(value) => put(self.to, value.clone()),
            None if self.column.null_is_false => self.to.bool(false),
            None => self.to.null(),
        }
    }
}

fn put<T: Destination>(to: T, value: Value) -> T::Out {
    match value {
        Value::Null => to.null(),
        Value::Bool(flag) => to.bool(flag),
        Value::Int(int) => to.int(int),
        Value::Float(float) => to.float(float),
        Value::Text(text) => to.text(&text, false),
        Value::Json(text) => to.text(&text, true),
    }
}

/// What a column of the class shows for a value that it cannot take, until a schema comes whose column can.
fn nearest(storage: Storage, value: &Json) -> Value {
    match (storage, value) {
        (_, Json::Array(items)) => items.first().map_or(Value::Null, |first| match first {
            Json::Array(_) | Json::Object(_) => Value::Null,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => nearest(storage, first),
        }),
        (Storage::Bool, Json::Bool(flag)) => Value::Bool(*flag),
        (Storage::Int, Json::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Int(int),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the nearest whole number is what is asked for"
            )]
            (None, Some(float)) => Value::Int(float.round() as i64),
            (None, None) => Value::Null,
        },
        (Storage::Int, Json::String(text)) => text.parse().map_or(Value::Null, Value::Int),
        (Storage::Float, Json::Number(number)) => number.as_f64().map_or(Value::Null, Value::Float),
        (Storage::Float, Json::String(text)) => text
            .parse()
            .ok()
            .filter(|f: &f64| f.is_finite())
            .map_or(Value::Null, Value::Float),
        (Storage::Text, Json::String(text)) => Value::Text(text.clone()),
        (Storage::Text, Json::Number(_) | Json::Bool(_)) => Value::Text(value.to_string()),
        (Storage::Bool | Storage::Int | Storage::Float | Storage::Text | Storage::Json, _) => Value::Null,
    }
}

impl<'de, T: Destination> DeserializeSeed<'de> for Cell<'_, T> {
    type Value = T::Out;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T::Out, D::Error> {
        if self.column.storage == Storage::Json {
            let raw = <&RawValue as serde::Deserialize>::deserialize(json)?;
            return Ok(if raw.get() == "null" {
                self.empty()
            } else {
                self.to.text(raw.get(), true)
            });
        }
        json.deserialize_any(self)
    }
}

impl<'de, T: Destination> Visitor<'de> for Cell<'_, T> {
    type Value = T::Out;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.column.storage {
            Storage::Bool => "true, false or null",
            Storage::Int => "an integer or null",
            Storage::Float => "a number or null",
            Storage::Text => "a string or null",
            Storage::Json => "JSON",
        })
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T::Out, E> {
        Ok(self.empty())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<T::Out, E> {
        match self.column.storage {
            Storage::Bool => Ok(self.to.bool(value)),
            Storage::Int | Storage::Float | Storage::Text | Storage::Json => {
                self.other(Json::Bool(value), serde::de::Unexpected::Bool(value))
            }
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<T::Out, E> {
        match self.column.storage {
            Storage::Int => Ok(self.to.int(value)),
            // Exact up to 2^53, and JSON knows no better.
            Storage::Float => Ok(self.to.float(value as f64)),
            Storage::Bool | Storage::Text | Storage::Json => {
                self.other(Json::from(value), serde::de::Unexpected::Signed(value))
            }
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<T::Out, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) if self.column.storage == Storage::Float => Ok(self.to.float(value as f64)),
            Err(_) => self.other(Json::from(value), serde::de::Unexpected::Unsigned(value)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<T::Out, E> {
        match self.column.storage {
            Storage::Float => Ok(self.to.float(value)),
            Storage::Bool | Storage::Int | Storage::Text | Storage::Json => {
                self.other(Json::from(value), serde::de::Unexpected::Float(value))
            }
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<T::Out, E> {
        match self.column.storage {
            Storage::Text => Ok(self.to.text(value, false)),
            Storage::Bool | Storage::Int | Storage::Float | Storage::Json => {
                self.other(Json::from(value), serde::de::Unexpected::Str(value))
            }
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T::Out, A::Error> {
        let value = Json::deserialize(serde::de::value::SeqAccessDeserializer::new(items))?;
        self.other(value, serde::de::Unexpected::Seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T::Out, A::Error> {
        let value = Json::deserialize(serde::de::value::MapAccessDeserializer::new(members))?;
        self.other(value, serde::de::Unexpected::Map)
    }
}
