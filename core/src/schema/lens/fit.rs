//! A value made under another type, made to fit this one: what a schema change does to values, the same on both sides.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::schema::scalar::Types;
use crate::schema::{EmbeddedField, FieldKind, FieldType, Scalar, Schema, ValueError};
use crate::value::Value;

impl FieldType {
    /// The value of this type that `json`, a value of another type, is: a number or a Boolean becomes its text where text
    /// is wanted, a single value a list of one, and members of an embedded value that its type does not have are left
    /// out. Everything else must be a value of this type as it stands.
    ///
    /// # Errors
    /// It is none.
    pub fn fit(&self, schema: &Schema, json: &Json) -> Result<Value, ValueError> {
        self.parse_json(schema, &self.adapt(schema, json))
    }

    /// The same with other rules for embedded values than the schema's own.
    pub(super) fn fit_under(
        &self,
        schema: &Schema,
        embedded: &BTreeMap<String, Vec<EmbeddedField>>,
        json: &Json,
    ) -> Result<Value, ValueError> {
        let types = Types {
            enums: &schema.enums,
            embedded,
        };
        self.parse_json_with(types, &self.adapt(schema, json))
    }

    fn adapt<'j>(&self, schema: &Schema, json: &'j Json) -> Cow<'j, Json> {
        match (self.list, json) {
            (Some(_), Json::Array(items)) => {
                let item = Self::single(self.kind.clone());
                let adapted = items.iter().map(|one| item.adapt(schema, one).into_owned());
                Cow::Owned(Json::Array(adapted.collect()))
            }
            (Some(_) | None, json) => self.adapt_one(schema, json),
        }
    }

    fn adapt_one<'j>(&self, schema: &Schema, json: &'j Json) -> Cow<'j, Json> {
        match (&self.kind, json) {
            (FieldKind::Scalar(Scalar::String | Scalar::Id), Json::Number(number)) => {
                Cow::Owned(Json::String(number.to_string()))
            }
            (FieldKind::Scalar(Scalar::String | Scalar::Id), Json::Bool(flag)) => {
                Cow::Owned(Json::String(flag.to_string()))
            }
            (FieldKind::Embedded(name), Json::Object(object)) => {
                let fields = schema.embedded_fields(name).iter();
                let kept = fields.filter_map(|field| {
                    let value = field.ty.adapt(schema, object.get(&field.name)?);
                    Some((field.name.clone(), value.into_owned()))
                });
                Cow::Owned(Json::Object(kept.collect::<Map<_, _>>()))
            }
            (FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_), json) => Cow::Borrowed(json),
        }
    }
}
