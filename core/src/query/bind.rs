//! A document's operation with its variables, for one identity.

use std::collections::BTreeSet;
use std::sync::Arc;

use apollo_compiler::executable::{Operation, OperationType};
use serde_json::Value as Json;

use super::appsync::undefined_root;
use super::coerce::{self, Variables};
use super::document::{Document, location, over};
use super::execute::Execution;
use super::filter_parse::bad;
use super::leaf::{self, Wholes};
use super::plan::{Node, RootAnswer, RootPlan, Source, What};
use super::request::{OperationKind, Root, Side};
use super::select::Planner;
use crate::access::Access;
use crate::id::ModelId;
use crate::schema::Schema;
use crate::wire::graphql::GraphqlError;

/// An operation ready to be answered: owned, shareable between threads, usable many times.
#[derive(Clone, Debug)]
pub struct Bound {
    pub(super) document: Document,
    pub(super) side: Side,
    pub(super) plans: Vec<RootPlan>,
    /// Errors that every answer carries: introspection's.
    pub(super) errors: Vec<GraphqlError>,
    kind: OperationKind,
    roots: Vec<Root>,
    reads: BTreeSet<ModelId>,
    /// Empty until [`Bound::show_whole`].
    pub(super) wholes: Wholes,
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

    /// Why root field `root` is refused, if it is: its answer is null with this error.
    #[must_use]
    pub fn refusal(&self, root: usize) -> Option<&GraphqlError> {
        match &self.plans.get(root)?.answer {
            RootAnswer::Refused(error) => Some(error),
            RootAnswer::Const(_)
            | RootAnswer::Read(_)
            | RootAnswer::Given(_)
            | RootAnswer::Batch(_)
            | RootAnswer::Json(_) => None,
        }
    }

    /// Has the list that root field `root` is begin behind its first `records`, which are read and passed over. Of no other
    /// root field.
    pub fn skip(&mut self, root: usize, records: u64) {
        if let Some(RootAnswer::Read(tree)) = self.plans.get_mut(root).map(|plan| &mut plan.answer)
            && let Some(Source::List(list)) = tree.nodes.first_mut().map(|node| &mut node.source)
        {
            list.skip = records;
        }
    }

    /// Has every embedded value stand in the answer whole, with all that is nested in it, whatever is selected of it: no
    /// document selects all of a type that contains itself.
    pub fn show_whole(&mut self) {
        self.wholes = leaf::wholes(&self.document.inner.schema);
        for plan in &mut self.plans {
            if let RootAnswer::Read(tree) | RootAnswer::Given(tree) = &mut plan.answer {
                tree.nodes.iter_mut().flat_map(Node::members).for_each(What::show_whole);
            }
        }
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
    pub fn schema(&self) -> &Arc<Schema> {
        &self.document.inner.schema
    }
}

pub(super) fn bind(
    document: &Document,
    operation_name: Option<&str>,
    variables: &serde_json::Map<String, Json>,
    access: &Access,
    side: Side,
) -> Result<Bound, Vec<GraphqlError>> {
    let parsed = &*document.inner;
    let operation = parsed
        .executable
        .operations
        .get(operation_name)
        .map_err(|error| vec![bad(format!("{}; name one in `operationName`", error.message()))])?;
    let variables = coerce::variables(parsed, operation, variables)?;
    bind_operation(document, operation, &variables, access, side).map_err(|error| vec![error])
}

fn bind_operation(
    document: &Document,
    operation: &Operation,
    variables: &Variables,
    access: &Access,
    side: Side,
) -> Result<Bound, GraphqlError> {
    let parsed = &*document.inner;
    let mut planner = Planner::new(parsed, access, side, &variables.json);
    let groups = planner.collect(operation.object_type(), &[&operation.selection_set])?;
    if groups.len() > parsed.limits.root_fields_max {
        return Err(over(format!(
            "the operation has {} root fields; the most is {} (ROOT_FIELDS_MAX): send them as several requests",
            groups.len(),
            parsed.limits.root_fields_max
        )));
    }
    let (mut roots, mut plans, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut introspected = None;
    for (key, fields) in groups {
        let name = fields[0].name.as_str();
        let (field, answer) = if matches!(name, "__schema" | "__type") {
            if !parsed.limits.introspection {
                return Err(GraphqlError {
                    locations: location(&parsed.executable.sources, fields[0].name.location()),
                    ..bad(undefined_root(name))
                });
            }
            let data = match &mut introspected {
                Some(data) => data,
                none => none.insert(super::introspect::introspect(
                    parsed,
                    operation,
                    &variables.coerced,
                    &mut errors,
                )?),
            };
            data.root(key)
        } else {
            planner.root(operation.operation_type, operation.object_type(), key, &fields)?
        };
        plans.push(RootPlan {
            required: fields[0].ty().is_non_null(),
            span: fields[0].name.location(),
            answer,
        });
        roots.push(Root {
            response_key: key.to_string(),
            field,
        });
    }
    let resolvers: usize = plans.iter().map(|plan| plan.answer.reads()).sum();
    if resolvers > parsed.limits.resolvers_max {
        return Err(over(format!(
            "the operation leads to {resolvers} reads; the most is {} (RESOLVERS_MAX): ask for less at once",
            parsed.limits.resolvers_max
        )));
    }
    Ok(Bound {
        document: document.clone(),
        side,
        plans,
        errors,
        kind: match operation.operation_type {
            OperationType::Query => OperationKind::Query,
            OperationType::Mutation => OperationKind::Mutation,
            OperationType::Subscription => OperationKind::Subscription,
        },
        roots,
        reads: planner.reads,
        wholes: Wholes::new(),
    })
}
