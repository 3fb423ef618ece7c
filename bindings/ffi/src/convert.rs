//! Values between the two sides.

use serde_json::Value as Json;
use tombolo::{GraphqlError, MutationNumber};

use crate::{GraphqlProblem, TomboloError};

pub(crate) fn numbers(numbers: Vec<MutationNumber>) -> Vec<u64> {
    numbers.into_iter().map(|number| number.0).collect()
}

pub(crate) fn problems(errors: &[GraphqlError]) -> Vec<GraphqlProblem> {
    errors.iter().map(problem).collect()
}

fn problem(error: &GraphqlError) -> GraphqlProblem {
    let place = error.locations.as_ref().and_then(|places| places.first());
    let at = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    GraphqlProblem {
        detail: error.message.clone(),
        error_type: error.error_type.as_ref().map(ToString::to_string),
        path: error.path.as_ref().map(text),
        line: place.map(|place| at(place.line)),
        column: place.map(|place| at(place.column)),
    }
}

/// JSON text. What is given here is made of strings, numbers and lists of them, and always has one.
pub(crate) fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// Reads JSON that came in; `what` names the argument.
pub(crate) fn json(what: &str, given: &str) -> Result<Json, TomboloError> {
    serde_json::from_str(given).map_err(|error| TomboloError::Json {
        detail: format!("`{what}` is not JSON: {error}"),
    })
}

/// The same for an argument that may be missing.
pub(crate) fn optional_json(what: &str, given: Option<&str>) -> Result<Option<Json>, TomboloError> {
    given.map(|given| json(what, given)).transpose()
}
