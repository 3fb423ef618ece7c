//! From what the adapters wrote to values of the schema: columns of a table, members of a mutation's content.
//!
//! Names are the old app's: a field is found under its name or a former one. A record of another model is named by its key,
//! in a column or a member of its own (`postID`), under the relation's name (`post`, `postId`), or, if the key has several
//! fields, as one identifier (`@@postForeignKey`).

use rusqlite::types::ValueRef;
use serde_json::{Map, Value as Json};
use tombolo_core::id::FieldId;
use tombolo_core::schema::{FieldKind, Model, Relation, RelationKind, Scalar, Schema, Storage};
use tombolo_core::value::Value;

use super::report::ImportFormat;
use super::text;

/// A composite key as one text.
pub(super) const PRIMARY_KEY: &str = "@@primaryKey";

/// What a column, or a member of a mutation's content, is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'m> {
    /// A stored field.
    Field(FieldId),
    /// The other model's key, in the fields of a relation.
    Reference(&'m Relation),
    /// Nothing that is stored: the other side of a relation, the key once more.
    Nothing,
    /// The model knows no such name.
    Unknown,
}

/// What the name means.
pub(super) fn target<'m>(model: &'m Model, name: &str) -> Target<'m> {
    if let Some(field) = model.field_once_named(name) {
        return Target::Field(field);
    }
    if name == PRIMARY_KEY || name.starts_with("__") || name.starts_with('_') {
        return Target::Nothing;
    }
    for relation in &model.relations {
        let owned = match relation.kind {
            RelationKind::BelongsTo => true,
            // By the other model's key: the key of the other record stands here.
            RelationKind::HasOne => relation.source_fields != model.key,
            RelationKind::HasMany => false,
        };
        let named = relation.name == name
            || name.strip_suffix("Id") == Some(&relation.name)
            || name.strip_prefix("@@").and_then(|rest| rest.strip_suffix("ForeignKey")) == Some(&relation.name);
        match (named, owned) {
            (true, true) => return Target::Reference(relation),
            (true, false) => return Target::Nothing,
            (false, _) => {}
        }
    }
    if model.absent.iter().any(|(absent, _)| absent == name) {
        return Target::Nothing;
    }
    Target::Unknown
}

/// A column's value as the JSON that its field takes.
pub(super) fn column(format: ImportFormat, model: &Model, field: FieldId, value: ValueRef<'_>) -> Result<Json, String> {
    let ty = &model.field_at(field).ty;
    let storage = ty.storage();
    // Android fills the fraction up with zeros in the column, not in what it sends.
    let is_padded =
        format == ImportFormat::Android && matches!(ty.kind, FieldKind::Scalar(Scalar::AwsDateTime | Scalar::AwsTime));
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(format!("it is no UTF-8 text: {error}")),
    };
    Ok(match (storage, value) {
        (_, ValueRef::Null) => Json::Null,
        (_, ValueRef::Blob(_)) => return Err("it is a blob".to_owned()),
        (Storage::Bool, ValueRef::Integer(int)) => Json::Bool(int != 0),
        (Storage::Text, ValueRef::Integer(int)) => Json::String(int.to_string()),
        (Storage::Text, ValueRef::Text(bytes)) if is_padded => Json::String(text::without_padding(&text(bytes)?)),
        (Storage::Text, ValueRef::Text(bytes)) => Json::String(text(bytes)?),
        (Storage::Json, ValueRef::Text(bytes)) => plain(text::json(&text(bytes)?)?),
        (Storage::Int | Storage::Float, ValueRef::Text(bytes)) => {
            let text = text(bytes)?;
            serde_json::from_str(&text).unwrap_or(Json::String(text))
        }
        (Storage::Bool, ValueRef::Text(bytes)) => match text(bytes)?.as_str() {
            "1" | "true" => Json::Bool(true),
            "0" | "false" => Json::Bool(false),
            other => Json::String(other.to_owned()),
        },
        (_, ValueRef::Integer(int)) => Json::from(int),
        (Storage::Int, ValueRef::Real(real)) if real.fract() == 0.0 => whole(real),
        (_, ValueRef::Real(real)) => Json::from(real),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a whole number; one beyond the range is refused by its type"
)]
fn whole(real: f64) -> Json {
    Json::from(real as i64)
}

/// The value of a field.
pub(super) fn parse(schema: &Schema, model: &Model, field: FieldId, json: &Json) -> Result<Value, String> {
    let field = model.field_at(field);
    let number = match (field.ty.storage(), json) {
        // Gson reads every number into a double, and writes it as one.
        (Storage::Int, Json::Number(number)) => number
            .as_f64()
            .filter(|real| real.fract() == 0.0 && number.as_i64().is_none())
            .map(whole),
        _ => None,
    };
    let parsed = field.ty.parse_json(schema, number.as_ref().unwrap_or(json));
    parsed.map_err(|error| format!("it does not fit the schema's {}: {error}", field.ty))
}

/// An embedded value as Android's adapter writes it in a mutation stands within its schema.
pub(super) fn plain(json: Json) -> Json {
    match json {
        Json::Object(mut map) if map.contains_key("customTypeSchema") && map.contains_key("serializedData") => {
            plain(map.remove("serializedData").unwrap_or(Json::Null))
        }
        Json::Object(map) => Json::Object(map.into_iter().map(|(name, json)| (name, plain(json))).collect()),
        Json::Array(items) => Json::Array(items.into_iter().map(plain).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json,
    }
}

/// The values of a relation's fields that name the other record: from the record itself, from what a reference that was not
/// loaded says of it, or from its identifier. All null for none. `None` if it is nothing of these.
pub(super) fn reference(schema: &Schema, relation: &Relation, json: &Json) -> Option<Vec<(FieldId, Json)>> {
    let target = schema.models.get(relation.target.0)?;
    let names = || {
        relation
            .target_fields
            .iter()
            .filter_map(|field| target.fields.get(field.0))
    };
    let member = |map: &Map<String, Json>, names_of: &tombolo_core::schema::Field| {
        let former = names_of.former.iter();
        former.chain([&names_of.name]).find_map(|name| map.get(name).cloned())
    };
    let values: Vec<Json> = match json {
        Json::Null => relation.source_fields.iter().map(|_| Json::Null).collect(),
        Json::String(text) => text::identifier(text, relation.source_fields.len())?
            .into_iter()
            .map(Json::String)
            .collect(),
        Json::Number(_) if relation.source_fields.len() == 1 => vec![json.clone()],
        Json::Object(map) => match map.get("identifiers").and_then(Json::as_array) {
            Some(none) if none.is_empty() => relation.source_fields.iter().map(|_| Json::Null).collect(),
            Some(identifiers) => {
                let mut named = Map::new();
                for one in identifiers {
                    named.insert(one.get("name")?.as_str()?.to_owned(), one.get("value")?.clone());
                }
                names().map(|field| member(&named, field)).collect::<Option<_>>()?
            }
            None => {
                let map = match map.get("serializedData") {
                    Some(Json::Object(inner)) => inner,
                    Some(_) | None => map,
                };
                names().map(|field| member(map, field)).collect::<Option<_>>()?
            }
        },
        Json::Bool(_) | Json::Number(_) | Json::Array(_) => return None,
    };
    (values.len() == relation.source_fields.len()).then(|| relation.source_fields.iter().copied().zip(values).collect())
}

/// A text for a field that may be a number: a part of an identifier.
pub(super) fn of_text(model: &Model, field: FieldId, text: &Json) -> Json {
    match (model.field_at(field).ty.storage(), text) {
        (Storage::Int | Storage::Float | Storage::Bool, Json::String(text)) => {
            serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone()))
        }
        _ => text.clone(),
    }
}

/// The identifier of a record as the adapters write it, from the values of its key.
pub(super) fn identifier(key: &[Value]) -> String {
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Json(_) => value.to_json().to_string(),
    };
    match key {
        [one] => text(one),
        many => many
            .iter()
            .map(|value| format!("\"{}\"", text(value)))
            .collect::<Vec<_>>()
            .join("#"),
    }
}
