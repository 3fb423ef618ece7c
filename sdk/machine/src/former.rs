//! Entries that were made before the app was updated: found under the names that models and fields had, and told apart from
//! those that this schema can no longer say.
//!
//! The outbox is never rewritten: an entry says what the user meant in the words of its own day. Its model and fields are
//! looked up by [`Schema::model_once_named`] and [`Model::field_once_named`] when it is laid, found and rendered.

use serde_json::{Map, Value as Json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::{ModelId, Position};
use tombolo_core::merge::Operation;
use tombolo_core::query::Filter;
use tombolo_core::record::Key;
use tombolo_core::schema::{Field, FieldOrigin, Model, MutationKind, Schema};

use crate::context::Context;
use crate::outbox::{Intent, OutboxEntry};
use crate::store::StoreError;

/// The member of `map` for `field`, under its name or a former one.
pub(crate) fn member<'m>(map: &'m Map<String, Json>, field: &Field) -> Option<&'m Json> {
    map.get(&field.name)
        .or_else(|| field.former.iter().rev().find_map(|name| map.get(name)))
}

impl Intent {
    /// The key under a model of the present schema; `None` if the model's key has changed since.
    #[must_use]
    pub fn key_for(&self, model: &Model) -> Option<Key> {
        let key = Key::from_json(model, &self.key)?;
        // The values name the key's fields, so another key of the same length is told apart.
        let same = model.key.iter().zip(&self.key);
        let same = same.map(|(field, value)| member(&self.values, model.field_at(*field)).is_none_or(|v| v == value));
        let named = self.values.is_empty()
            || model
                .key
                .iter()
                .all(|f| member(&self.values, model.field_at(*f)).is_some());
        (named && same.into_iter().all(|same| same)).then_some(key)
    }
}

impl Context<'_> {
    /// All entries of one record, whatever their state, by number: also those made under a former name of the model.
    pub(crate) fn entries_of(&mut self, model: &Model, key: &str) -> Result<Vec<OutboxEntry>, StoreError> {
        let mut entries = self.tx.entries_of(&model.name, key)?;
        for name in &model.former {
            entries.extend(self.tx.entries_of(name, key)?);
        }
        let hash = &self.schema.hash;
        entries.retain(|entry| entry.schema == *hash || entry.intent.key_for(model).is_some());
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }

    /// Acknowledged entries of a model, as [`crate::StoreTx::acked`] gives them, under all its names.
    pub(crate) fn acked(
        &mut self,
        model: &str,
        epoch: &str,
        through: Position,
        others: bool,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let mut entries = self.tx.acked(model, epoch, through, others)?;
        for name in self.former_names(model) {
            entries.extend(self.tx.acked(&name, epoch, through, others)?);
        }
        entries.sort_by_key(|entry| entry.number);
        Ok(entries)
    }

    /// Keys of a model's records that have unsettled mutations, under all its names.
    pub(crate) fn unsettled_keys(&mut self, model: &str) -> Result<std::collections::BTreeSet<String>, StoreError> {
        let mut keys = self.tx.unsettled_keys(model)?;
        for name in self.former_names(model) {
            keys.extend(self.tx.unsettled_keys(&name)?);
        }
        Ok(keys)
    }

    fn former_names(&self, model: &str) -> Vec<String> {
        let id = self.schema.model_named(model);
        id.map_or_else(Vec::new, |id| self.schema[id].former.clone())
    }

    /// What the present schema calls the model that an entry was made for; its own name if it is gone.
    pub(crate) fn present_name<'n>(&'n self, name: &'n str) -> &'n str {
        let id = self.model_id(name);
        id.map_or(name, |id| &self.schema[id].name)
    }
}

/// An entry in the words of the present schema.
#[derive(Debug, PartialEq)]
pub(crate) struct Present {
    pub(crate) model: ModelId,
    pub(crate) values: Map<String, Json>,
    pub(crate) operations: Map<String, Json>,
    pub(crate) condition: Option<Json>,
}

/// `entry` in the words of `schema`; `None` if they do not say all that it means. It is then sent in its own, under the
/// schema that it was made under.
pub(crate) fn present(schema: &Schema, entry: &OutboxEntry) -> Option<Present> {
    let intent = &entry.intent;
    let id = schema.model_once_named(&intent.model)?;
    if entry.schema == schema.hash {
        return Some(Present {
            model: id,
            values: intent.values.clone(),
            operations: intent.operations.clone(),
            condition: intent.condition.clone(),
        });
    }
    let model = &schema[id];
    intent.key_for(model)?;
    let mut values = Map::new();
    for (name, json) in &intent.values {
        let field = model.field_at(model.field_once_named(name)?);
        let value = match (json, &field.default) {
            (Json::Null, Some(default)) if field.ty.required => default.to_json(),
            (json, _) => field.ty.fit(schema, json).ok()?.to_json(),
        };
        values.insert(field.name.clone(), value);
    }
    let mut operations = Map::new();
    for (name, json) in &intent.operations {
        let field = model.field_at(model.field_once_named(name)?);
        let operation = Operation::from_json(schema, field, json).ok()?;
        operations.insert(field.name.clone(), operation.to_json());
    }
    if intent.kind == MutationKind::Create {
        let asked = |field: &&Field| {
            let by_people = matches!(field.origin, FieldOrigin::Declared | FieldOrigin::ForeignKey);
            by_people && field.ty.required && field.default.is_none()
        };
        if !model
            .fields
            .iter()
            .filter(asked)
            .all(|field| values.contains_key(&field.name))
        {
            return None;
        }
    }
    let condition = match &intent.condition {
        None => None,
        Some(json) => {
            let json = names_in_filter(model, json)?;
            Filter::parse(schema, id, &json, &Access::of(schema, &Identity::Local)).ok()?;
            Some(json)
        }
    };
    Some(Present {
        model: id,
        values,
        operations,
        condition,
    })
}

/// A filter's JSON with the present names of its fields.
fn names_in_filter(model: &Model, json: &Json) -> Option<Json> {
    match json {
        Json::Object(members) => {
            let mut named = Map::new();
            for (name, value) in members {
                if matches!(name.as_str(), "and" | "or" | "not") {
                    named.insert(name.clone(), names_in_filter(model, value)?);
                } else if name.starts_with('_') && model.field_once_named(name).is_none() {
                    named.insert(name.clone(), value.clone());
                } else {
                    let field = model.field_once_named(name)?;
                    named.insert(model.field_at(field).name.clone(), value.clone());
                }
            }
            Some(Json::Object(named))
        }
        Json::Array(items) => items
            .iter()
            .map(|item| names_in_filter(model, item))
            .collect::<Option<_>>()
            .map(Json::Array),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Some(json.clone()),
    }
}
