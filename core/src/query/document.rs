//! A GraphQL document, parsed and validated against the generated API, within limits.

use std::sync::Arc;

use apollo_compiler::ExecutableDocument;
use apollo_compiler::parser::{Parser, SourceMap, SourceSpan};
use apollo_compiler::validation::{DiagnosticList, Valid};
use serde_json::Value as Json;

use super::bind::Bound;
use super::request::Side;
use crate::access::Access;
use crate::limits;
use crate::schema::Schema;
use crate::wire::graphql::{ErrorType, GraphqlError, Location};

/// Most errors that are listed for one document; further ones add nothing for the reader.
pub(super) const ERRORS_SHOWN_MAX: usize = 20;

/// What one operation may cost. Each has its unit, default and reason at the constant it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// [`limits::DOCUMENT_BYTES_MAX`].
    pub document_bytes_max: usize,
    /// [`limits::DOCUMENT_TOKENS_MAX`].
    pub document_tokens_max: usize,
    /// [`limits::DOCUMENT_DEPTH_MAX`].
    pub document_depth_max: usize,
    /// [`limits::ROOT_FIELDS_MAX`].
    pub root_fields_max: usize,
    /// [`limits::RESOLVERS_MAX`].
    pub resolvers_max: usize,
    /// [`limits::SELECTED_FIELDS_MAX`].
    pub selected_fields_max: usize,
    /// [`limits::PLANNED_ROWS_MAX`].
    pub planned_rows_max: u64,
    /// [`limits::PAGE_BYTES_MAX`].
    pub page_bytes_max: usize,
    /// [`limits::ANSWER_BYTES_MAX`].
    pub answer_bytes_max: usize,
    /// [`limits::LIST_LIMIT_DEFAULT`].
    pub list_limit_default: usize,
    /// [`limits::LIST_LIMIT_MAX`]: a higher `limit` is taken as this one, and `nextToken` leads on.
    pub list_limit_max: usize,
    /// Whether `__schema` and `__type` are answered; `__typename` always is.
    pub introspection: bool,
}

impl Default for QueryLimits {
    /// A server's limits.
    fn default() -> Self {
        Self {
            document_bytes_max: limits::DOCUMENT_BYTES_MAX,
            document_tokens_max: limits::DOCUMENT_TOKENS_MAX,
            document_depth_max: limits::DOCUMENT_DEPTH_MAX,
            root_fields_max: limits::ROOT_FIELDS_MAX,
            resolvers_max: limits::RESOLVERS_MAX,
            selected_fields_max: limits::SELECTED_FIELDS_MAX,
            planned_rows_max: limits::PLANNED_ROWS_MAX,
            page_bytes_max: limits::PAGE_BYTES_MAX,
            answer_bytes_max: limits::ANSWER_BYTES_MAX,
            list_limit_default: limits::LIST_LIMIT_DEFAULT,
            list_limit_max: limits::LIST_LIMIT_MAX,
            introspection: true,
        }
    }
}

impl QueryLimits {
    /// A replica's limits: the app asks its own file, so pages may be long, and end where the app says.
    #[must_use]
    pub fn replica() -> Self {
        Self {
            planned_rows_max: limits::PLANNED_ROWS_MAX_LOCAL,
            page_bytes_max: usize::MAX,
            answer_bytes_max: limits::ANSWER_BYTES_MAX_LOCAL,
            list_limit_max: limits::LIST_LIMIT_MAX_LOCAL,
            ..Self::default()
        }
    }
}

/// A document that is valid for a schema. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) inner: Arc<Parsed>,
}

#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) schema: Arc<Schema>,
    pub(super) executable: Valid<ExecutableDocument>,
    pub(super) limits: QueryLimits,
}

impl Document {
    /// Parses `text` and validates it against the API of `schema`.
    ///
    /// # Errors
    /// Everything that is wrong with it, by place: `LimitExceeded` for a document over a limit, `BadRequest` for the rest.
    pub fn parse(schema: &Arc<Schema>, text: &str, limits: &QueryLimits) -> Result<Self, Vec<GraphqlError>> {
        if text.len() > limits.document_bytes_max {
            return Err(vec![over(format!(
                "the document has {} bytes; the most is {} (DOCUMENT_BYTES_MAX): send large values as variables, or split it",
                text.len(),
                limits.document_bytes_max
            ))]);
        }
        let mut parser = Parser::new()
            .token_limit(limits.document_tokens_max)
            .recursion_limit(limits.document_depth_max);
        let parsed = parser.parse_executable(&schema.api, text, "request.graphql");
        if parser.tokens_reached() > limits.document_tokens_max {
            return Err(vec![over(format!(
                "the document has more than {} tokens (DOCUMENT_TOKENS_MAX): send values as variables, or split it",
                limits.document_tokens_max
            ))]);
        }
        if parser.recursion_reached() > limits.document_depth_max {
            return Err(vec![over(depth_message(limits))]);
        }
        let executable = parsed
            .map_err(|e| errors_of(&e.errors))?
            .validate(&schema.api)
            .map_err(|e| errors_of(&e.errors))?;
        Ok(Self {
            inner: Arc::new(Parsed {
                schema: Arc::clone(schema),
                executable,
                limits: limits.clone(),
            }),
        })
    }

    /// Takes one operation of the document with its variables, for an identity, on a side.
    ///
    /// A root field that is refused does not fail the whole: it answers null with an error ([`Bound::refusal`]).
    ///
    /// # Errors
    /// What concerns the operation as a whole: no such operation, variables that do not fit, a limit passed.
    pub fn bind(
        &self,
        operation_name: Option<&str>,
        variables: &serde_json::Map<String, Json>,
        access: &Access,
        side: Side,
    ) -> Result<Bound, Vec<GraphqlError>> {
        super::bind::bind(self, operation_name, variables, access, side)
    }
}

pub(super) fn over(message: impl Into<String>) -> GraphqlError {
    GraphqlError::new(ErrorType::LimitExceeded, message)
}

pub(super) fn depth_message(limits: &QueryLimits) -> String {
    format!(
        "the document nests deeper than {} levels (DOCUMENT_DEPTH_MAX): ask for the deeper records in a query of their own",
        limits.document_depth_max
    )
}

pub(super) fn location(sources: &SourceMap, span: Option<SourceSpan>) -> Option<Vec<Location>> {
    let at = span?.line_column(sources)?;
    Some(vec![Location {
        line: at.line,
        column: at.column,
    }])
}

fn errors_of(list: &DiagnosticList) -> Vec<GraphqlError> {
    list.iter()
        .take(ERRORS_SHOWN_MAX)
        .map(|diagnostic| {
            let error = diagnostic.to_json();
            let locations: Vec<Location> = error
                .locations
                .iter()
                .map(|at| Location {
                    line: at.line,
                    column: at.column,
                })
                .collect();
            GraphqlError {
                locations: (!locations.is_empty()).then_some(locations),
                ..GraphqlError::new(ErrorType::BadRequest, error.message)
            }
        })
        .collect()
}
