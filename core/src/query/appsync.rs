//! What is wrong with a request, in AppSync's words: its clients compare some of them.
//!
//! Errors are made with messages of our own, which say more. A listener whose caller is none of our replicas asks here for
//! what AppSync would say of the same document; only requests that are refused pay for it.

use std::collections::HashMap;

use apollo_compiler::ast::{Definition, Selection};
use apollo_compiler::parser::{Parser, SourceMap, SourceSpan};

use super::document::{QueryLimits, location};
use crate::wire::graphql::{ErrorType, GraphqlError, Location};

/// Deepest nesting that is followed to say where a field stands: what may be deeper was refused for it.
const DEPTH_MAX: usize = crate::limits::DOCUMENT_DEPTH_MAX * 4;

/// `errors`, which `text` was refused with, as AppSync gives them: a validation error has no `errorType`, and for a field or an
/// argument that is not there it has AppSync's message. `None`: the document cannot even be parsed.
///
/// ```
/// use std::sync::Arc;
/// use tombolo_core::query::{Document, QueryLimits, appsync_errors};
/// use tombolo_core::schema::Schema;
///
/// let schema = Arc::new(Schema::parse("type Post @model { id: ID! }", "schema.graphql")?);
/// let limits = QueryLimits::default();
/// let errors = Document::parse(&schema, "{ listPosts { items { x } } }", &limits).unwrap_err();
/// let errors = appsync_errors("{ listPosts { items { x } } }", &limits, errors).unwrap();
/// assert_eq!(
///     errors[0].message,
///     "Validation error of type FieldUndefined: Field 'x' in type 'Post' is undefined @ 'listPosts/items/x'"
/// );
/// assert_eq!(errors[0].error_type, None);
/// # Ok::<(), tombolo_core::schema::SchemaErrors>(())
/// ```
#[must_use]
pub fn appsync_errors(text: &str, limits: &QueryLimits, errors: Vec<GraphqlError>) -> Option<Vec<GraphqlError>> {
    let is_validation = |error: &GraphqlError| error.path.is_none() && error.error_type == Some(ErrorType::BadRequest);
    if !errors.iter().any(is_validation) {
        return Some(errors);
    }
    let mut parser = Parser::new()
        .token_limit(limits.document_tokens_max)
        .recursion_limit(limits.document_depth_max);
    let document = parser.parse_ast(text, "request.graphql").ok()?;
    let mut places = Places {
        sources: &document.sources,
        paths: HashMap::new(),
    };
    for definition in &document.definitions {
        match definition {
            Definition::OperationDefinition(operation) => places.note(&operation.selection_set, "", 0),
            Definition::FragmentDefinition(fragment) => places.note(&fragment.selection_set, &fragment.name, 0),
            // What defines types is no part of a request, and is refused as such.
            _ => {}
        }
    }
    let told = errors.into_iter().map(|mut error| {
        if is_validation(&error) {
            error.error_type = None;
            if let Some(message) = places.message(&error) {
                error.message = message;
            }
        }
        error
    });
    Some(told.collect())
}

/// AppSync's message for a field of the query that is not served, where it stands at the root.
pub(super) fn undefined_root(name: &str) -> String {
    undefined_field(name, "Query", name)
}

fn undefined_field(name: &str, of: &str, path: &str) -> String {
    format!("Validation error of type FieldUndefined: Field '{name}' in type '{of}' is undefined @ '{path}'")
}

/// Where fields and arguments stand in a document.
struct Places<'d> {
    sources: &'d SourceMap,
    /// By line and column; the path of the field.
    paths: HashMap<(usize, usize), String>,
}

impl Places<'_> {
    fn note(&mut self, selections: &[Selection], above: &str, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    let path = match above {
                        "" => field.name.to_string(),
                        above => format!("{above}/{}", field.name),
                    };
                    for argument in &field.arguments {
                        self.at(argument.location(), &path);
                        self.at(argument.name.location(), &path);
                    }
                    self.at(field.name.location(), &path);
                    self.note(&field.selection_set, &path, depth + 1);
                }
                Selection::InlineFragment(fragment) => self.note(&fragment.selection_set, above, depth + 1),
                Selection::FragmentSpread(_) => {}
            }
        }
    }

    fn at(&mut self, span: Option<SourceSpan>, path: &str) {
        if let Some([Location { line, column }]) = location(self.sources, span).as_deref() {
            self.paths.insert((*line, *column), path.to_owned());
        }
    }

    /// AppSync's message for an error of the parser library, if we know it.
    fn message(&self, error: &GraphqlError) -> Option<String> {
        let [Location { line, column }] = error.locations.as_deref()? else {
            return None;
        };
        let path = self.paths.get(&(*line, *column))?;
        let quoted: Vec<&str> = error.message.split('`').collect();
        match quoted.as_slice() {
            ["type ", of, " does not have a field ", name, ""] => Some(undefined_field(name, of, path)),
            ["the argument ", name, " is not supported by ", _, ""] => Some(format!(
                "Validation error of type UnknownArgument: Unknown field argument {name} @ '{path}'"
            )),
            _ => None,
        }
    }
}
