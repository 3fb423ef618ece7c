//! A mutation document, checked and made into what the machine queues.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tombolo_core::id::FieldId;
use tombolo_core::query::{Bound, OperationKind, RootField};
use tombolo_core::schema::Schema;
use tombolo_core::value::Value;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_machine::NewMutation;

use crate::Error;

/// One checked mutation document: its operation, and for each mutation field its place and intent.
pub(crate) struct Prepared {
    pub bound: Arc<Bound>,
    pub mutations: Vec<(usize, NewMutation)>,
}

/// Checks that a bound operation is a mutation that can be carried out here, and fills in what the app left out.
pub(crate) fn prepare(schema: &Schema, bound: Bound, author: Option<&str>) -> Result<Prepared, Error> {
    if bound.kind() != OperationKind::Mutation {
        return Err(wrong_kind("this is no mutation; ask it with `query` or `watch`"));
    }
    refusals(&bound)?;
    let mutations = bound
        .roots()
        .iter()
        .enumerate()
        .filter_map(|(place, root)| match &root.field {
            RootField::Mutation(input) => Some((place, input)),
            RootField::Read
            | RootField::Fixed
            | RootField::Subscription(_)
            | RootField::Changes(..)
            | RootField::Conflicts(_) => None,
        })
        .map(|(place, input)| {
            let fresh_id = || uuid::Uuid::new_v4().to_string();
            (place, NewMutation::of(schema, input, fresh_id, author))
        })
        .collect();
    Ok(Prepared {
        bound: Arc::new(bound),
        mutations,
    })
}

/// The root fields that have no answer on a replica.
pub(crate) fn refusals(bound: &Bound) -> Result<(), Error> {
    let refused: Vec<GraphqlError> = (0..bound.roots().len())
        .filter_map(|root| bound.refusal(root).cloned())
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    if refused
        .iter()
        .any(|e| e.error_type == Some(ErrorType::UnsupportedOperation))
    {
        return Err(Error::NeedsNetwork(refused));
    }
    Err(Error::Request(refused))
}

pub(crate) fn wrong_kind(message: &str) -> Error {
    Error::Request(vec![GraphqlError::new(ErrorType::BadRequest, message)])
}

/// The values of an edit, checked against their fields.
pub(crate) fn edited(schema: &Schema, model: &str, values: Json) -> Result<Vec<(FieldId, Value)>, Error> {
    let id = schema
        .model_named(model)
        .ok_or_else(|| Error::UnknownModel(model.to_owned()))?;
    let model = schema.model(id);
    variables(values)?
        .into_iter()
        .map(|(name, json)| {
            let field = model
                .field(&name)
                .ok_or_else(|| wrong_kind(&format!("{} has no field `{name}`", model.name)))?;
            let value = model.field_at(field).ty.parse_json(schema, &json);
            let value = value.map_err(|error| wrong_kind(&format!("`{name}`: {error}")))?;
            Ok((field, value))
        })
        .collect()
}

/// Variables as a map: `null` is none.
pub(crate) fn variables(given: Json) -> Result<Map<String, Json>, Error> {
    match given {
        Json::Null => Ok(Map::new()),
        Json::Object(map) => Ok(map),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(wrong_kind("variables are a JSON object, from name to value"))
        }
    }
}
