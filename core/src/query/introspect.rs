//! `__schema` and `__type`, answered by apollo-compiler from the generated API.

use apollo_compiler::executable::Operation;
use apollo_compiler::introspection::{check_max_depth, partial_execute};
use apollo_compiler::response::{JsonMap, ResponseDataPathSegment};
use apollo_compiler::validation::Valid;

use super::document::{Parsed, location, over};
use super::filter_parse::bad;
use super::plan::RootAnswer;
use super::request::RootField;
use crate::wire::graphql::{GraphqlError, Location, PathSegment};

/// The part of an answer that is introspection.
pub(super) struct Introspected(Option<JsonMap>);

impl Introspected {
    /// The answer of the root field `key`.
    pub(super) fn root(&self, key: &str) -> (RootField, RootAnswer) {
        let value = self.0.as_ref().and_then(|data| data.get(key));
        let bytes = value.and_then(|v| serde_json::to_vec(v).ok());
        let bytes = bytes.unwrap_or_else(|| b"null".to_vec());
        (RootField::Fixed, RootAnswer::Const(bytes))
    }
}

/// Answers the introspection fields of a query.
pub(super) fn introspect(
    parsed: &Parsed,
    operation: &Operation,
    variables: &Valid<JsonMap>,
    errors: &mut Vec<GraphqlError>,
) -> Result<Introspected, GraphqlError> {
    let api = &parsed.schema.api;
    check_max_depth(&parsed.executable, operation).map_err(|error| GraphqlError {
        locations: location(&parsed.executable.sources, error.location()),
        ..over(format!(
            "{}: ask for the types one by one with `__type`",
            error.message()
        ))
    })?;
    let implementers = api.implementers_map();
    let response = partial_execute(api, &implementers, &parsed.executable, operation, variables)
        .map_err(|error| bad(error.message().to_string()))?;
    errors.extend(response.errors.into_iter().map(|error| {
        GraphqlError {
            path: Some(
                error
                    .path
                    .iter()
                    .map(|segment| match segment {
                        ResponseDataPathSegment::Field(name) => PathSegment::Key(name.to_string()),
                        ResponseDataPathSegment::ListIndex(index) => PathSegment::Index(*index),
                    })
                    .collect(),
            ),
            locations: Some(
                error
                    .locations
                    .iter()
                    .map(|at| Location {
                        line: at.line,
                        column: at.column,
                    })
                    .collect(),
            ),
            ..bad(error.message)
        }
    }));
    Ok(Introspected(response.data))
}
