//! The answer to an operation: the bytes of `data` and the errors beside it.

use serde_json::Value as Json;

use crate::wire::graphql::GraphqlError;

/// What an [`super::Execution`] gives in the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The JSON text of `data`; empty when `data` is null.
    pub data: Vec<u8>,
    /// The errors, in the order in which they were met.
    pub errors: Vec<GraphqlError>,
    /// `extensions`, where [`Answer::into_bytes`] is given none.
    pub extensions: Option<Json>,
}

impl Answer {
    /// The answer to a request that never ran: no data, these errors.
    #[must_use]
    pub fn refused(errors: Vec<GraphqlError>) -> Self {
        Self {
            data: Vec::new(),
            errors,
            extensions: None,
        }
    }

    /// The whole response object, `{"data":…,"errors":[…],"extensions":…}`. Without errors there is no `errors` key, without
    /// `extensions` none of that.
    #[must_use]
    pub fn into_bytes(self, extensions: Option<&Json>) -> Vec<u8> {
        let mut out = self.data;
        if out.is_empty() {
            out.extend_from_slice(b"null");
        }
        out.splice(0..0, *b"{\"data\":");
        // Writing JSON of plain data into a `Vec` cannot fail.
        if !self.errors.is_empty() {
            out.extend_from_slice(b",\"errors\":");
            let _ = serde_json::to_writer(&mut out, &self.errors);
        }
        if let Some(extensions) = extensions.or(self.extensions.as_ref()) {
            out.extend_from_slice(b",\"extensions\":");
            let _ = serde_json::to_writer(&mut out, extensions);
        }
        out.push(b'}');
        out
    }
}
