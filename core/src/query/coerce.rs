//! Arguments and variables as JSON: GraphQL's input coercion.
//!
//! apollo-compiler coerces variables; literals are coerced here, since its own function for them is private and takes an
//! absent variable inside an input object for null (the specification leaves the entry out).

use apollo_compiler::Node;
use apollo_compiler::ast::{Type, Value as Literal};
use apollo_compiler::executable::{Field, Operation};
use apollo_compiler::request::coerce_variable_values;
use apollo_compiler::response::{JsonMap, JsonValue};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use serde_json::{Map, Value as Json};

use super::document::{ERRORS_SHOWN_MAX, Parsed, location};
use super::filter_parse::bad;
use crate::wire::graphql::GraphqlError;

type Api = Valid<apollo_compiler::Schema>;

/// Variables in both forms: apollo's for introspection, ours for arguments.
pub(super) struct Variables {
    pub(super) coerced: Valid<JsonMap>,
    pub(super) json: Map<String, Json>,
}

/// Checks `given` against the operation's variable definitions.
pub(super) fn variables(
    document: &Parsed,
    operation: &Operation,
    given: &Map<String, Json>,
) -> Result<Variables, Vec<GraphqlError>> {
    let api = &document.schema.api;
    let mut map = JsonMap::new();
    for definition in &operation.variables {
        let name = definition.name.as_str();
        let value = given.get(name);
        let missing = match value {
            None => definition.default_value.is_none(),
            Some(value) => value.is_null(),
        };
        if missing && definition.ty.is_non_null() {
            // AppSync's words, which DataStore clients match.
            return Err(vec![GraphqlError {
                locations: location(&document.executable.sources, definition.location()),
                ..bad(format!(
                    "Variable '{name}' has coerced Null value for NonNull type '{}'",
                    definition.ty
                ))
            }]);
        }
        if let Some(value) = value {
            map.insert(name, JsonValue::from(value.clone()));
        }
    }
    let coerced = coerce_variable_values(api, operation, &map).map_err(|error| {
        let unknown = unknown_fields(api, operation, given);
        if !unknown.is_empty() {
            return unknown;
        }
        vec![GraphqlError {
            locations: location(&document.executable.sources, error.location()),
            ..bad(error.message().to_string())
        }]
    })?;
    let json = coerced
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), to_json(value)))
        .collect();
    Ok(Variables { coerced, json })
}

/// One error for each input field that does not exist, in AppSync's words, which DataStore clients match: `input`, whatever the
/// variable is called.
fn unknown_fields(api: &Api, operation: &Operation, given: &Map<String, Json>) -> Vec<GraphqlError> {
    let mut errors = Vec::new();
    for definition in &operation.variables {
        if let Some(value) = given.get(definition.name.as_str()) {
            let ty = definition.ty.inner_named_type();
            unknown_within(api, ty, value, &mut errors);
        }
    }
    errors
}

/// Depth is bounded by the JSON reader's own limit.
fn unknown_within(api: &Api, ty: &str, value: &Json, errors: &mut Vec<GraphqlError>) {
    let Some(ExtendedType::InputObject(definition)) = api.types.get(ty) else {
        return;
    };
    match value {
        Json::Array(items) => {
            for item in items {
                unknown_within(api, ty, item, errors);
            }
        }
        Json::Object(object) => {
            for (name, value) in object {
                if errors.len() >= ERRORS_SHOWN_MAX {
                    return;
                }
                match definition.fields.get(name.as_str()) {
                    Some(field) => unknown_within(api, field.ty.inner_named_type(), value, errors),
                    None => errors.push(bad(format!(
                        "The variables input contains a field name '{name}' that is not defined for input object \
                         type '{ty}'"
                    ))),
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn to_json(value: &JsonValue) -> Json {
    match value {
        JsonValue::Null => Json::Null,
        JsonValue::Bool(b) => Json::Bool(*b),
        JsonValue::Number(n) => serde_json::to_value(n).unwrap_or(Json::Null),
        JsonValue::String(s) => Json::String(s.as_str().to_owned()),
        JsonValue::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        JsonValue::Object(map) => Json::Object(
            map.iter()
                .map(|(key, value)| (key.as_str().to_owned(), to_json(value)))
                .collect(),
        ),
    }
}

/// The arguments of `field` that were given or have a default, in the order of the field's definition.
pub(super) fn arguments(
    api: &Api,
    variables: &Map<String, Json>,
    field: &Field,
) -> Result<Vec<(String, Json)>, GraphqlError> {
    let mut values = Vec::with_capacity(field.arguments.len());
    for definition in &field.definition.arguments {
        let given = field
            .arguments
            .iter()
            .find(|a| a.name == definition.name)
            .map(|a| coerce(api, variables, &definition.ty, &a.value))
            .transpose()
            .map_err(|problem| bad(format!("argument `{}` of `{}`: {problem}", definition.name, field.name)))?
            .flatten();
        let value = match (given, &definition.default_value) {
            (Some(value), _) => Some(value),
            (None, Some(default)) => coerce(api, &Map::new(), &definition.ty, default)
                .map_err(|problem| bad(format!("default of argument `{}`: {problem}", definition.name)))?,
            (None, None) => None,
        };
        match value {
            Some(value) => values.push((definition.name.to_string(), value)),
            None if definition.ty.is_non_null() => {
                return Err(bad(format!(
                    "argument `{}` of `{}` is required ({})",
                    definition.name, field.name, definition.ty
                )));
            }
            None => {}
        }
    }
    Ok(values)
}

/// `literal` as a value of type `ty`; `None` for a variable that was not given.
fn coerce(
    api: &Api,
    variables: &Map<String, Json>,
    ty: &Type,
    literal: &Node<Literal>,
) -> Result<Option<Json>, String> {
    if let Literal::Variable(name) = literal.as_ref() {
        return match variables.get(name.as_str()) {
            Some(Json::Null) if ty.is_non_null() => Err(format!("${name} is null, but the type is {ty}")),
            Some(value) => Ok(Some(match ty {
                Type::List(_) | Type::NonNullList(_) if !value.is_array() && !value.is_null() => {
                    Json::Array(vec![value.clone()])
                }
                _ => value.clone(),
            })),
            None => Ok(None),
        };
    }
    if literal.is_null() {
        return if ty.is_non_null() {
            Err(format!("null given for {ty}"))
        } else {
            Ok(Some(Json::Null))
        };
    }
    let name = match ty {
        Type::List(inner) | Type::NonNullList(inner) => {
            let items = literal.as_list().unwrap_or(std::slice::from_ref(literal));
            return items
                .iter()
                .map(|item| match coerce(api, variables, inner, item)? {
                    Some(value) => Ok(value),
                    None if inner.is_non_null() => Err(format!("a variable in a list of {inner} was not given")),
                    None => Ok(Json::Null),
                })
                .collect::<Result<_, _>>()
                .map(|items| Some(Json::Array(items)));
        }
        Type::Named(name) | Type::NonNullNamed(name) => name,
    };
    let (Some(ExtendedType::InputObject(definition)), Literal::Object(entries)) =
        (api.types.get(name), literal.as_ref())
    else {
        return plain(literal, variables).map(Some);
    };
    let mut object = Map::new();
    // In the order given: `values` of a mutation and page tokens follow it.
    for (key, value) in entries {
        let Some(field) = definition.fields.get(key) else {
            return Err(format!("{name} has no field `{key}`"));
        };
        if let Some(value) = coerce(api, variables, &field.ty, value).map_err(|problem| format!("{key}: {problem}"))? {
            object.insert(key.to_string(), value);
        }
    }
    for (key, field) in &definition.fields {
        if object.contains_key(key.as_str()) {
            continue;
        }
        match &field.default_value {
            Some(default) => {
                if let Some(value) = coerce(api, &Map::new(), &field.ty, default)? {
                    object.insert(key.to_string(), value);
                }
            }
            None if field.ty.is_non_null() => return Err(format!("{name}.{key} is required ({})", field.ty)),
            None => {}
        }
    }
    Ok(Some(Json::Object(object)))
}

/// A scalar or enum literal, or a whole value of a custom scalar.
fn plain(literal: &Node<Literal>, variables: &Map<String, Json>) -> Result<Json, String> {
    Ok(match literal.as_ref() {
        Literal::Null => Json::Null,
        Literal::Variable(name) => variables.get(name.as_str()).cloned().unwrap_or(Json::Null),
        Literal::Enum(name) => Json::String(name.to_string()),
        Literal::String(text) => Json::String(text.clone()),
        Literal::Boolean(b) => Json::Bool(*b),
        Literal::Int(i) => number(i.as_str())?,
        Literal::Float(f) => number(f.as_str())?,
        Literal::List(items) => Json::Array(items.iter().map(|i| plain(i, variables)).collect::<Result<_, _>>()?),
        Literal::Object(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| Ok((key.to_string(), plain(value, variables)?)))
                .collect::<Result<_, String>>()?,
        ),
    })
}

fn number(text: &str) -> Result<Json, String> {
    serde_json::from_str(text).map_err(|_| format!("the number {text} is out of range"))
}
