//! Answers of queries and mutations.

use serde::de::DeserializeOwned;
use tombolo_core::id::MutationNumber;
use tombolo_core::query::Answer;
use tombolo_core::wire::graphql::GraphqlError;

use crate::Error;

/// The answer of an operation: `data` as JSON text, in the order that the document asked for, and its errors.
///
/// `Debug` shows sizes, not values.
#[derive(Clone, PartialEq)]
pub struct Response {
    data: String,
    errors: Vec<GraphqlError>,
}

impl Response {
    pub(crate) fn new(answer: Answer) -> Self {
        let data = String::from_utf8(answer.data).unwrap_or_default();
        let data = if data.is_empty() { "null".to_owned() } else { data };
        Self {
            data,
            errors: answer.errors,
        }
    }

    /// The answer of a mutation that is queued but whose answer could not be read.
    pub(crate) fn unread(error: &Error) -> Self {
        let mut errors = error.to_graphql();
        for error in &mut errors {
            error.message = format!(
                "the mutation is queued, but its answer cannot be read: {}",
                error.message
            );
        }
        Self {
            data: "null".to_owned(),
            errors,
        }
    }

    /// `data` as JSON text; `null` if there is none.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Errors of single fields; empty when all went well.
    #[must_use]
    pub fn errors(&self) -> &[GraphqlError] {
        &self.errors
    }

    /// `data` as a value of `T`.
    ///
    /// # Errors
    /// [`Error::Answer`] if the answer has errors, [`Error::Shape`] if it does not fit `T`.
    pub fn data_as<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if !self.errors.is_empty() {
            return Err(Error::Answer(self.errors.clone()));
        }
        serde_json::from_str(&self.data).map_err(|e| Error::Shape(e.to_string()))
    }

    /// The whole answer as a GraphQL response: `{"data":…}`, with `"errors"` only if there are any.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = format!("{{\"data\":{}", self.data);
        if !self.errors.is_empty()
            && let Ok(errors) = serde_json::to_string(&self.errors)
        {
            text.push_str(",\"errors\":");
            text.push_str(&errors);
        }
        text.push('}');
        text
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response({} B, {} errors)", self.data.len(), self.errors.len())
    }
}

/// What a mutation call gives back at once: the answer from the optimistic records, and the names under which the
/// mutations stand in the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutated {
    /// The answer, from the local rows as they are now. A record that the server has not seen has `_version` 0.
    pub response: Response,
    /// One number for each mutation field, in order. An update folded into a queued mutation of the same record has that
    /// one's number.
    pub numbers: Vec<MutationNumber>,
}
