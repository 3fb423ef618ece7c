//! A request, read: its document, operation, variables and what a replica added in `extensions.tombolo`.

use std::sync::Arc;

use serde_json::{Map, Value as Json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::query::{Bound, OperationKind, RootField};
use tombolo_core::wire::envelope::{MutationEnvelope, RejectReason};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};

use crate::former::Formerly;
use crate::limits;

/// A request ready to be carried out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) body: Body,
    pub(crate) envelope: Option<MutationEnvelope>,
    pub(crate) replica: Option<ReplicaId>,
    pub(crate) access: Arc<Access>,
    pub(crate) identity: Identity,
    /// A replica's mutation that is refused, as it came: kept with its rejection.
    pub(crate) request: Option<Arc<Json>>,
    /// Hash of a replica's mutation as it came.
    pub(crate) request_digest: Option<u64>,
    /// What the operation is under the present schema, if it was made under an earlier one.
    pub(crate) formerly: Option<Arc<Formerly>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// An operation.
    Bound(Arc<Bound>),
    /// A replica's mutation that cannot be carried out, now or ever: its rejection is to be stored and answered.
    Refused(Arc<Refusal>),
}

/// Why a replica's mutation cannot be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// As a plain GraphQL client would see it.
    pub errors: Vec<GraphqlError>,
    /// As it is stored.
    pub reason: RejectReason,
    /// How many mutations the request held.
    pub count: usize,
}

impl Prepared {
    /// The operation's kind.
    #[must_use]
    pub fn kind(&self) -> OperationKind {
        match &self.body {
            Body::Bound(bound) => bound.kind(),
            Body::Refused(_) => OperationKind::Mutation,
        }
    }

    /// The operation; `None` for a mutation that is refused.
    #[must_use]
    pub fn bound(&self) -> Option<&Arc<Bound>> {
        match &self.body {
            Body::Bound(bound) => Some(bound),
            Body::Refused(_) => None,
        }
    }

    /// What the replica added to its mutation.
    #[must_use]
    pub fn envelope(&self) -> Option<&MutationEnvelope> {
        self.envelope.as_ref()
    }

    /// The replica that asks, if it said so.
    #[must_use]
    pub fn replica(&self) -> Option<&ReplicaId> {
        self.replica.as_ref()
    }

    /// Who asks.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// For each mutation what the replica saw in the fields that it sets, as far as it said so.
    pub(crate) fn base(&self) -> Vec<Option<Map<String, Json>>> {
        let (Some(envelope), Some(bound)) = (&self.envelope, self.bound()) else {
            return Vec::new();
        };
        let Some(base) = &envelope.base else { return Vec::new() };
        let mutations = bound
            .roots()
            .iter()
            .filter(|root| matches!(root.field, RootField::Mutation(_)));
        let of = |key: &str| match envelope.atomic {
            true => base.get(key).and_then(Json::as_object).cloned(),
            false => Some(base.clone()),
        };
        mutations
            .map(|root| match (&self.formerly, &root.field) {
                (Some(formerly), RootField::Mutation(input)) => {
                    of(&root.response_key).map(|base| formerly.former.lens.names(input.model, base))
                }
                _ => of(&root.response_key),
            })
            .collect()
    }

    /// How many ids a [`crate::Submission`] of this may need: one for each creation.
    #[must_use]
    pub fn fresh_ids_needed(&self) -> usize {
        self.bound().map_or(0, |bound| {
            bound
                .roots()
                .iter()
                .filter(|root| matches!(root.field, RootField::Mutation(_)))
                .count()
        })
    }
}

/// What a request's `extensions.tombolo` holds.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) envelope: Option<MutationEnvelope>,
    pub(crate) replica: Option<ReplicaId>,
    /// Hash of the schema that the request was made under; empty if it does not say.
    pub(crate) schema: String,
}

impl Extensions {
    pub(crate) fn read(request: &Request) -> Result<Self, Unreadable> {
        let ours = request.extensions.as_ref().and_then(|all| all.get("tombolo"));
        let Some(ours) = ours.filter(|ours| !ours.is_null()) else {
            return Ok(Self::default());
        };
        let object = ours.as_object().ok_or_else(|| bad("it must be an object"))?;
        if object.contains_key("number") {
            let envelope: MutationEnvelope = serde_json::from_value(ours.clone()).map_err(|e| bad(e.to_string()))?;
            check(&envelope)?;
            return Ok(Self {
                replica: Some(envelope.replica.clone()),
                schema: envelope.schema.clone(),
                envelope: Some(envelope),
            });
        }
        Ok(Self {
            envelope: None,
            replica: replica(object)?,
            schema: schema(object)?,
        })
    }
}

/// Why `extensions.tombolo` cannot be read.
pub(crate) struct Unreadable(String);

impl From<Unreadable> for GraphqlError {
    fn from(Unreadable(problem): Unreadable) -> Self {
        Self::new(
            ErrorType::BadRequest,
            format!("`extensions.tombolo` cannot be read: {problem}"),
        )
    }
}

fn bad(problem: impl Into<String>) -> Unreadable {
    Unreadable(problem.into())
}

fn replica(object: &Map<String, Json>) -> Result<Option<ReplicaId>, Unreadable> {
    match object.get("replica") {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(id)) => check_replica(id).map(|()| Some(ReplicaId(id.clone()))),
        Some(Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            Err(bad("`replica` must be a string"))
        }
    }
}

fn schema(object: &Map<String, Json>) -> Result<String, Unreadable> {
    match object.get("schema") {
        None | Some(Json::Null) => Ok(String::new()),
        Some(Json::String(hash)) => Ok(hash.clone()),
        Some(Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_)) => {
            Err(bad("`schema` must be a string"))
        }
    }
}

fn check_replica(id: &str) -> Result<(), Unreadable> {
    if id.is_empty() || id.len() > limits::REPLICA_ID_BYTES_MAX {
        return Err(bad(format!(
            "`replica` must have 1 to {} bytes",
            limits::REPLICA_ID_BYTES_MAX
        )));
    }
    Ok(())
}

fn check(envelope: &MutationEnvelope) -> Result<(), Unreadable> {
    check_replica(&envelope.replica.0)?;
    check_number(envelope.number, "number")?;
    if envelope.moved_from.len() > limits::MOVED_FROM_MAX {
        return Err(bad(format!(
            "`movedFrom` takes at most {} names",
            limits::MOVED_FROM_MAX
        )));
    }
    for from in &envelope.moved_from {
        check_replica(&from.replica.0)?;
        check_number(from.number, "number` in `movedFrom")?;
    }
    if envelope.depends_on.len() > limits::NUMBERS_MAX || envelope.seen.len() > limits::NUMBERS_MAX {
        return Err(bad(format!(
            "`dependsOn` and `seen` take at most {} numbers",
            limits::NUMBERS_MAX
        )));
    }
    Ok(())
}

fn check_number(number: MutationNumber, name: &str) -> Result<(), Unreadable> {
    // SQLite's integers are signed; an atomic request takes further numbers.
    if number == MutationNumber(0) || number.0 > i64::MAX as u64 - (1 << 32) {
        return Err(bad(format!("`{name}` counts from 1")));
    }
    Ok(())
}

/// The refusal of a replica's mutation for `errors`; `text` is its document.
pub(crate) fn refusal(errors: Vec<GraphqlError>, envelope: &MutationEnvelope, text: &str) -> Refusal {
    let count = if envelope.atomic {
        root_fields(text).clamp(1, limits::REFUSED_OUTCOMES_MAX)
    } else {
        1
    };
    Refusal {
        reason: reason(&errors),
        errors,
        count,
    }
}

/// The refusal of a replica's mutation that was made under a schema which this server does not know, and that its own
/// does not take: the app is newer than the server. Nothing is decided by it.
pub(crate) fn unknown_schema(errors: Vec<GraphqlError>, envelope: &MutationEnvelope, text: &str) -> Refusal {
    let mut refusal = refusal(errors, envelope, text);
    let problem = &refusal.reason.message;
    let message = format!(
        "made under a schema that this server has not served, and not fit for the one that it serves: it waits until the \
         server is upgraded ({problem})"
    );
    let mut error = GraphqlError::new(ErrorType::UnknownSchema, message.clone());
    error.error_info = Some(serde_json::json!({ "retry": true }));
    refusal.errors = vec![error];
    refusal.reason = RejectReason {
        code: ErrorType::UnknownSchema,
        message,
    };
    refusal
}

/// Whether `errors` may be those of a request that fits another schema.
pub(crate) fn is_misfit(errors: &[GraphqlError]) -> bool {
    errors
        .iter()
        .any(|error| error.error_type == Some(ErrorType::BadRequest))
}

/// The reason that is stored: the first error's code, all messages.
pub(crate) fn reason(errors: &[GraphqlError]) -> RejectReason {
    let code = match errors.first().and_then(|error| error.error_type.clone()) {
        Some(ErrorType::Unauthorized | ErrorType::UnauthorizedException) => ErrorType::Unauthorized,
        Some(ErrorType::LimitExceeded) => ErrorType::LimitExceeded,
        Some(ErrorType::UnsupportedOperation) => ErrorType::UnsupportedOperation,
        Some(ErrorType::SchemaChanged) => ErrorType::SchemaChanged,
        _ => ErrorType::BadRequest,
    };
    let messages: Vec<&str> = errors.iter().take(5).map(|error| error.message.as_str()).collect();
    RejectReason {
        code,
        message: messages.join("; "),
    }
}

/// How many fields stand at the top of the first operation of a document that could not be read: each has taken a
/// mutation number on its replica, and each must come to an end.
fn root_fields(text: &str) -> usize {
    let (mut braces, mut parens, mut fields) = (0_usize, 0_usize, 0_usize);
    // Whether the next name is something else than a field: the field behind its alias, or a directive's name.
    let mut named = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '#' => while rest.next_if(|c| *c != '\n').is_some() {},
            '"' => {
                let mut escaped = false;
                for c in rest.by_ref() {
                    match c {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
            }
            '(' => parens += 1,
            ')' => parens = parens.saturating_sub(1),
            '{' if parens == 0 => braces += 1,
            '}' if parens == 0 => {
                braces = braces.saturating_sub(1);
                if braces == 0 {
                    break;
                }
            }
            ':' | '@' | '$' if parens == 0 => named = true,
            c if c.is_ascii_alphabetic() || c == '_' => {
                while rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_').is_some() {}
                if braces == 1 && parens == 0 && !named {
                    fields += 1;
                }
                named = false;
            }
            _ => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::root_fields;

    #[test]
    fn the_root_fields_of_a_document_that_cannot_be_read() {
        for (text, want) in [
            ("mutation { createTodo(input: {a: {b: 1}}) { id name { x } } }", 1),
            (
                "mutation M($a: X!) { a: createTodo(input: $a) { id } b: updateTodo { id } c: deleteTodo }",
                3,
            ),
            (
                "mutation { a(s: \"} { \\\" x\") # { x y\n @include(if: true) { id } b }",
                2,
            ),
            ("mutation {", 0),
            ("", 0),
        ] {
            assert_eq!(root_fields(text), want, "{text}");
        }
    }
}
