//! Records as a whole, without a document of the app's own: what typed layers and the idioms of DataStore stand on.

mod document;
mod find;
mod observe;
mod save;
mod whole;

pub use find::{Find, Records, SortBy, WatchFind};
pub use observe::{Observe, ObserveOptions, Observed, ObservedKind};
pub use save::{Deleted, Save, Saved, SavedAs};

pub(crate) use document::Documents;
pub(crate) use save::Saving;

use serde_json::{Map, Value as Json};
use tombolo_core::id::ModelId;
use tombolo_core::record::Key;
use tombolo_core::schema::{Model, Schema};

use crate::Error;
use crate::mutation::wrong_kind;

/// The model called `name`.
fn model(schema: &Schema, name: &str) -> Result<ModelId, Error> {
    schema
        .model_named(name)
        .ok_or_else(|| Error::UnknownModel(name.to_owned()))
}

/// The values of a key as an object by field: given as such, with whatever else is in it, or as the value alone of a key of one field.
fn key_object(model: &Model, given: Json) -> Result<Map<String, Json>, Error> {
    let names: Vec<&str> = model.key.iter().map(|f| model.field_at(*f).name.as_str()).collect();
    match (given, names.as_slice()) {
        (Json::Object(mut object), names) => names
            .iter()
            .map(|name| match object.remove(*name) {
                None | Some(Json::Null) => Err(wrong_kind(&format!("the key of {} has no `{name}`", model.name))),
                Some(value) => Ok(((*name).to_owned(), value)),
            })
            .collect(),
        (value @ (Json::String(_) | Json::Number(_)), [name]) => Ok(Map::from_iter([((*name).to_owned(), value)])),
        _ => Err(wrong_kind(&format!(
            "the key of {} is an object with {}, or the value alone if that is one",
            model.name,
            names.join(" and ")
        ))),
    }
}

/// The key in a record's JSON; `None` where a part is missing or null, an error where one is of the wrong type.
fn key_of(schema: &Schema, model: &Model, record: &Map<String, Json>) -> Result<Option<Key>, Error> {
    let mut values = Vec::with_capacity(model.key.len());
    for field in &model.key {
        let field = model.field_at(*field);
        let Some(json) = record.get(&field.name).filter(|json| !json.is_null()) else {
            return Ok(None);
        };
        let value = field.ty.parse_json(schema, json);
        values.push(value.map_err(|error| wrong_kind(&format!("`{}`: {error}", field.name)))?);
    }
    Ok(Some(Key(values)))
}
