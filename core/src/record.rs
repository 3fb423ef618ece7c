//! Records, their keys, and changes to them.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::id::{FieldId, ModelId, Position, Version};
use crate::schema::Model;
use crate::value::Value;

/// The primary key of a record: the values of [`crate::schema::Model::key`]'s fields, in order.
///
/// Its text form ([`Key::to_text`]) is a JSON array, `["UA"]` or `["o1","open",3]`: what outbox, departures and logs
/// store, equal exactly when the keys are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Key(pub Vec<Value>);

impl Key {
    /// The JSON array of the key's values.
    #[must_use]
    pub fn to_text(&self) -> String {
        Json::Array(self.0.iter().map(Value::to_json).collect()).to_string()
    }

    /// The key that [`Key::to_text`] gave as `text`; `None` if it is not one of `model`.
    #[must_use]
    pub fn from_text(model: &Model, text: &str) -> Option<Self> {
        Self::from_json(model, &serde_json::from_str::<Vec<Json>>(text).ok()?)
    }

    /// The key from its JSON array; `None` if it is not one of `model`.
    #[must_use]
    pub fn from_json(model: &Model, values: &[Json]) -> Option<Self> {
        if values.len() != model.key.len() {
            return None;
        }
        let value = |(field, json): (&FieldId, &Json)| {
            let value = model.field_at(*field).ty.value_from_json(json);
            (!value.is_null()).then_some(value)
        };
        model.key.iter().zip(values).map(value).collect::<Option<_>>().map(Self)
    }
}

/// The server's facts about a record, beside its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `_version`.
    pub version: Version,
    /// `_deleted`: a tombstone. On the wire `true` or `null`.
    pub deleted: bool,
    /// `_lastChangedAt`: epoch milliseconds, never decreasing in commit order.
    pub last_changed_at: i64,
}

/// One instance of a model: the values of [`crate::schema::Model::fields`], in that order, and its meta.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// One value for each stored field of the model.
    pub values: Vec<Value>,
    /// The server's facts.
    pub meta: Meta,
}

impl Record {
    /// The value of `field`; [`Value::Null`] if the record is shorter than the model (a field added since).
    #[must_use]
    pub fn value(&self, field: FieldId) -> &Value {
        self.values.get(field.0).unwrap_or(&Value::Null)
    }

    /// The record's key under `fields` (a model's primary key).
    #[must_use]
    pub fn key(&self, fields: &[FieldId]) -> Key {
        Key(fields.iter().map(|f| self.value(*f).clone()).collect())
    }
}

/// For each field the version at which it last changed: what makes a three-way merge exact. A field that is not listed
/// last changed at version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldVersions(pub Vec<(FieldId, Version)>);

impl FieldVersions {
    /// The version at which `field` last changed.
    #[must_use]
    pub fn of(&self, field: FieldId) -> Version {
        self.0.iter().find(|(f, _)| *f == field).map_or(Version(1), |(_, v)| *v)
    }

    /// Notes that `field` changed at `version`.
    pub fn set(&mut self, field: FieldId, version: Version) {
        match self.0.iter_mut().find(|(f, _)| *f == field) {
            Some((_, v)) => *v = version,
            None => self.0.push((field, version)),
        }
    }
}

/// A record as a server's store holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    /// Fields and meta.
    pub record: Record,
    /// The newest position of the record.
    pub position: Position,
    /// When each field last changed.
    pub field_versions: FieldVersions,
}

/// One record's step to a version, in server order, with the images before and after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in the feed.
    pub position: Position,
    /// The model.
    pub model: ModelId,
    /// The image before; `None` for a creation.
    pub before: Option<Arc<Record>>,
    /// The image after; a deletion's is the tombstone.
    pub after: Arc<Record>,
}
