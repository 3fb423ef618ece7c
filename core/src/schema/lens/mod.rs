//! What was made under one schema, read under a later one.
//!
//! A [`Lens`] pairs the models and fields of two schemas, by name or by what `@renamed(from:)` says, and carries over what
//! stands between a replica and a server of different versions: mutations and filters forwards ([`Lens::mutation`],
//! [`Lens::filter`]), names and records back ([`Lens::model_name`], [`Lens::field_name`], [`Lens::record_back`]).
//!
//! What still has a meaning is carried: values are widened, fields that are gone are dropped and told, defaults fill what
//! has become required. What has none any more (the model is gone, its key has changed, an enum's value is no more) is a
//! [`SchemaChange`], which names the change.

mod embedded;
mod fit;
mod translate;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::id::{FieldId, ModelId};
use crate::record::Record;
use crate::value::Value;

use super::model::{EmbeddedField, FieldKind, FieldType, Model, Scalar, Schema};

pub use embedded::PartWritten;
pub use translate::{Carried, RemovedField};

/// Why something made under the old schema has no meaning under the new one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SchemaChange {
    /// `Model`, `Model.field` or `Enum.VALUE`, by its name in the old schema.
    pub place: String,
    /// What has changed, and what it means for the one who asked.
    pub problem: String,
}

impl SchemaChange {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            problem: problem.into(),
        }
    }
}

/// Pairs two schemas.
#[derive(Debug)]
pub struct Lens {
    old: Arc<Schema>,
    new: Arc<Schema>,
    /// By the old schema's models.
    models: Vec<ModelPair>,
    /// By the new schema's models.
    back: Vec<Option<ModelId>>,
    /// The new schema's embedded types without what they require: members that the old schema does not have may come from
    /// the record ([`PartWritten`]).
    partial: BTreeMap<String, Vec<EmbeddedField>>,
}

#[derive(Debug)]
enum ModelPair {
    Gone,
    /// The model is there, but its records are named otherwise.
    KeyChanged(ModelId),
    Same {
        to: ModelId,
        /// By the old model's fields.
        fields: Vec<Option<FieldPair>>,
        /// By the new model's fields.
        back: Vec<Option<FieldId>>,
    },
}

#[derive(Clone, Copy, Debug)]
struct FieldPair {
    to: FieldId,
    /// Every value of the old type is one of the new type, as it stands.
    as_it_stands: bool,
}

/// For each name of `old` the place in `new` of what it is there: the same name, or the newest of its former names.
fn pair<'n>(old: &[&str], new: impl Iterator<Item = (&'n str, &'n [String])>) -> Vec<Option<usize>> {
    let mut to = vec![None; old.len()];
    for (place, (name, former)) in new.enumerate() {
        let named = |name: &str| old.iter().position(|old| *old == name);
        let from = named(name).or_else(|| former.iter().rev().find_map(|name| named(name)));
        if let Some(slot) = from.and_then(|from| to.get_mut(from)) {
            *slot = Some(place);
        }
    }
    to
}

fn inverse<T: Copy>(to: &[Option<T>], count: usize, place: impl Fn(T) -> usize) -> Vec<Option<usize>> {
    let mut back = vec![None; count];
    for (from, to) in to.iter().enumerate() {
        if let Some(slot) = to.and_then(|to| back.get_mut(place(to))) {
            *slot = Some(from);
        }
    }
    back
}

/// The places in the new model of the old model's fields.
pub(super) fn pair_fields(old: &Model, new: &Model) -> Vec<Option<FieldId>> {
    let names: Vec<&str> = old.fields.iter().map(|f| f.name.as_str()).collect();
    let new = new.fields.iter().map(|f| (f.name.as_str(), f.former.as_slice()));
    pair(&names, new).into_iter().map(|to| to.map(FieldId)).collect()
}

/// The places in the new schema of the old schema's models.
pub(super) fn pair_models(old: &Schema, new: &Schema) -> Vec<Option<ModelId>> {
    let names: Vec<&str> = old.models.iter().map(|m| m.name.as_str()).collect();
    let new = new.models.iter().map(|m| (m.name.as_str(), m.former.as_slice()));
    pair(&names, new).into_iter().map(|to| to.map(ModelId)).collect()
}

impl Lens {
    /// Pairs `old` with `new`.
    #[must_use]
    pub fn between(old: &Arc<Schema>, new: &Arc<Schema>) -> Self {
        let to = pair_models(old, new);
        let back = inverse(&to, new.models.len(), |to: ModelId| to.0);
        let models = old.models.iter().zip(&to).map(|(model, to)| match to {
            None => ModelPair::Gone,
            Some(to) => ModelPair::of(old, new, model, *to),
        });
        Self {
            models: models.collect(),
            back: back.into_iter().map(|from| from.map(ModelId)).collect(),
            partial: partial(new),
            old: Arc::clone(old),
            new: Arc::clone(new),
        }
    }

    /// The earlier schema.
    #[must_use]
    pub fn earlier(&self) -> &Arc<Schema> {
        &self.old
    }

    /// The later schema.
    #[must_use]
    pub fn later(&self) -> &Arc<Schema> {
        &self.new
    }

    /// The new schema's model for one of the old schema's.
    ///
    /// # Errors
    /// It is gone, or its key has changed.
    pub fn model(&self, old: ModelId) -> Result<ModelId, SchemaChange> {
        self.pairs(old).map(|(to, _)| to)
    }

    /// The place of the old schema's field in the new schema; `None` if it is gone.
    #[must_use]
    pub fn field(&self, old: ModelId, field: FieldId) -> Option<FieldId> {
        let (_, fields) = self.pairs(old).ok()?;
        fields.get(field.0).copied().flatten().map(|pair| pair.to)
    }

    fn pairs(&self, old: ModelId) -> Result<(ModelId, &[Option<FieldPair>]), SchemaChange> {
        let name = || self.old.models.get(old.0).map_or("", |m| m.name.as_str());
        match self.models.get(old.0) {
            None | Some(ModelPair::Gone) => Err(SchemaChange::new(
                name(),
                "the model was removed from the schema, so nothing can be done to its records",
            )),
            Some(ModelPair::KeyChanged(to)) => {
                let fields = |model: &Model| {
                    let names = model.key.iter().map(|field| model.field_at(*field).name.as_str());
                    names.collect::<Vec<_>>().join(", ")
                };
                let (was, is) = (fields(&self.old[old]), fields(&self.new[*to]));
                Err(SchemaChange::new(
                    name(),
                    format!("the key changed from ({was}) to ({is}), so the record that is meant cannot be told"),
                ))
            }
            Some(ModelPair::Same { to, fields, .. }) => Ok((*to, fields)),
        }
    }

    /// What the old schema calls a model of the new one; its name in the new one if the old one does not have it.
    #[must_use]
    pub fn model_name(&self, new: ModelId) -> &str {
        match self.back.get(new.0).copied().flatten() {
            Some(old) => &self.old[old].name,
            None => &self.new[new].name,
        }
    }

    /// What the old schema calls a field of the new one; its name in the new one if the old one does not have it.
    #[must_use]
    pub fn field_name(&self, model: ModelId, field: FieldId) -> &str {
        let back = self.back.get(model.0).copied().flatten();
        let pair = back.and_then(|old| Some((old, self.models.get(old.0)?)));
        if let Some((old, ModelPair::Same { back, .. })) = pair
            && let Some(was) = back.get(field.0).copied().flatten()
        {
            return &self.old[old].field_at(was).name;
        }
        &self.new[model].field_at(field).name
    }

    /// The same values under the names of the new schema's fields; those of fields that are gone are left out.
    #[must_use]
    pub fn names(&self, model: ModelId, values: Map<String, Json>) -> Map<String, Json> {
        let named = |(name, value): (String, Json)| {
            let to = self.model(model).ok()?;
            let field = self.field(model, self.old[model].field(&name)?)?;
            Some((self.new[to].field_at(field).name.clone(), value))
        };
        values.into_iter().filter_map(named).collect()
    }

    /// A record of the new schema as one of the old schema's `model`: fields by their pairs, types as far as values fit.
    #[must_use]
    pub fn record_back(&self, model: ModelId, record: &Record) -> Record {
        let fields = self.pairs(model).map_or(&[][..], |(_, fields)| fields);
        let old = &self.old[model];
        let value = |place: usize| {
            let Some(pair) = fields.get(place).copied().flatten() else {
                return Value::Null;
            };
            let value = record.value(pair.to);
            let ty = old.field_at(FieldId(place)).ty.with_required(false);
            ty.fit(&self.old, &value.to_json()).unwrap_or(Value::Null)
        };
        Record {
            values: (0..old.fields.len()).map(value).collect(),
            meta: record.meta,
        }
    }
}

fn partial(schema: &Schema) -> BTreeMap<String, Vec<EmbeddedField>> {
    let optional = |member: &EmbeddedField| EmbeddedField {
        name: member.name.clone(),
        ty: member.ty.with_required(false),
    };
    let all = schema.embedded.iter();
    all.map(|(name, members)| (name.clone(), members.iter().map(optional).collect()))
        .collect()
}

impl ModelPair {
    fn of(old_schema: &Schema, new_schema: &Schema, old: &Model, to: ModelId) -> Self {
        let new = &new_schema[to];
        let pairs = pair_fields(old, new);
        if !same_key(old, new, &pairs) {
            return Self::KeyChanged(to);
        }
        // Named types that differ anywhere may differ in any value.
        let same_types = new_schema.enums == old_schema.enums && new_schema.embedded == old_schema.embedded;
        let back = inverse(&pairs, new.fields.len(), |to: FieldId| to.0);
        let fields = pairs.into_iter().zip(&old.fields).map(|(to, was)| {
            let to = to?;
            let is = &new.field_at(to).ty;
            let plain = matches!(is.kind, FieldKind::Scalar(_)) || same_types;
            let as_it_stands = plain && was.ty.kind == is.kind && was.ty.list == is.list;
            Some(FieldPair { to, as_it_stands })
        });
        Self::Same {
            to,
            fields: fields.collect(),
            back: back.into_iter().map(|from| from.map(FieldId)).collect(),
        }
    }
}

/// Whether a key's text names the same record under both models.
pub(super) fn same_key(old: &Model, new: &Model, pairs: &[Option<FieldId>]) -> bool {
    let same = |(was, is): (&FieldId, &FieldId)| {
        let (a, b) = (&old.field_at(*was).ty, &new.field_at(*is).ty);
        pairs.get(was.0).copied().flatten() == Some(*is) && a.widens_to(b) && a.storage() == b.storage()
    };
    old.key.len() == new.key.len() && old.key.iter().zip(&new.key).all(same)
}

impl Schema {
    /// The model that is called `name`, or was ([`Model::former`]).
    #[must_use]
    pub fn model_once_named(&self, name: &str) -> Option<ModelId> {
        let once = || self.models.iter().position(|m| m.former.iter().any(|f| f == name));
        self.model_named(name).or_else(|| once().map(ModelId))
    }
}

impl Model {
    /// The stored field that is called `name`, or was ([`super::Field::former`]).
    #[must_use]
    pub fn field_once_named(&self, name: &str) -> Option<FieldId> {
        let once = || self.fields.iter().position(|f| f.former.iter().any(|f| f == name));
        self.field(name).or_else(|| once().map(FieldId))
    }
}

impl FieldType {
    /// Whether every value of this type is one of `wider`, `null` and the values of named types aside: a number stays the
    /// same number, a text the same text.
    #[must_use]
    pub fn widens_to(&self, wider: &Self) -> bool {
        let items = match (self.list, wider.list) {
            (None, None) => true,
            (Some(was), Some(is)) => was || !is,
            (None, Some(_)) | (Some(_), None) => false,
        };
        items && (self.kind == wider.kind || widens(&self.kind, &wider.kind))
    }
}

fn widens(was: &FieldKind, is: &FieldKind) -> bool {
    let FieldKind::Scalar(is) = is else { return false };
    match (was, is) {
        (FieldKind::Enum(_), Scalar::String | Scalar::Id)
        | (FieldKind::Scalar(Scalar::Int), Scalar::Float | Scalar::AwsTimestamp) => true,
        (FieldKind::Scalar(was), Scalar::String | Scalar::Id) => !matches!(
            was,
            Scalar::Int | Scalar::Float | Scalar::Boolean | Scalar::AwsTimestamp
        ),
        (FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_), _) => false,
    }
}
