//! A document's operation with its variables, for one identity.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::document::Document;
use super::execute::Execution;
use super::request::{OperationKind, Root, Side};
use crate::access::Access;
use crate::id::ModelId;
use crate::wire::graphql::{ErrorType, GraphqlError};

/// An operation ready to be answered: owned, shareable between threads, usable many times.
#[derive(Clone, Debug)]
pub struct Bound {
    pub(super) document: Document,
    kind: OperationKind,
    roots: Vec<Root>,
    reads: BTreeSet<ModelId>,
}

impl Bound {
    /// The operation's kind.
    #[must_use]
    pub fn kind(&self) -> OperationKind {
        self.kind
    }

    /// The root fields, in the order of the answer.
    #[must_use]
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// Why root field `root` is refused, if it is: its answer will be null with this error.
    #[must_use]
    pub fn refusal(&self, _root: usize) -> Option<&GraphqlError> {
        None
    }

    /// The models that the answer is read from, nested ones included: what a live query watches.
    #[must_use]
    pub fn reads(&self) -> &BTreeSet<ModelId> {
        &self.reads
    }

    /// Begins one execution.
    #[must_use]
    pub fn execute(&self) -> Execution<'_> {
        Execution::new(self)
    }

    /// The schema the operation was checked against.
    #[must_use]
    pub fn schema(&self) -> &Arc<crate::schema::Schema> {
        &self.document.inner.schema
    }
}

pub(super) fn bind(
    _document: &Document,
    _operation_name: Option<&str>,
    _variables: &serde_json::Map<String, Json>,
    _access: &Access,
    _side: Side,
) -> Result<Bound, GraphqlError> {
    Err(GraphqlError::new(ErrorType::UnsupportedOperation, "not built yet"))
}
