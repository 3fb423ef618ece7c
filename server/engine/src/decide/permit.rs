//! Whether the rules let a caller do what a mutation asks, of the row as it is.
//!
//! What can be told without the row was refused when the request was read; here are the rules that depend on it. A row that is
//! not the caller's, and one that is not there, are refused in the same words, so that the refusal tells nothing. An update
//! may give a record away: what it makes of the row is not asked about, as in the resolvers that Amplify generates.

use std::sync::Arc;

use tombolo_core::access::{Access, Grant};
use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::query::MutationInput;
use tombolo_core::record::Record;
use tombolo_core::schema::{AuthOperation, Model, MutationKind, Schema};
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::ErrorType;

/// The rules as they are for one mutation's caller.
#[derive(Clone, Copy)]
pub(super) struct Permit<'a> {
    access: Option<&'a Access>,
    model: &'a Model,
    id: ModelId,
}

impl<'a> Permit<'a> {
    /// Without an `access` everything is permitted.
    pub(super) fn new(schema: &'a Schema, access: Option<&'a Arc<Access>>, id: ModelId) -> Self {
        Self {
            access: access.map(|access| &**access),
            model: &schema[id],
            id,
        }
    }

    /// Why an update or a deletion of `stored` is refused.
    pub(super) fn of_stored(self, mutation: &MutationInput, stored: Option<&Record>) -> Option<RejectReason> {
        let access = self.access?;
        let operation = match mutation.kind {
            MutationKind::Create => return None,
            MutationKind::Update => AuthOperation::Update,
            MutationKind::Delete => AuthOperation::Delete,
        };
        if !self.holds(access.grant(self.id, operation), stored) {
            return Some(self.refused(mutation.kind));
        }
        let refused = self.fields(access, mutation, stored);
        if !refused.is_empty() {
            return Some(unauthorized(format!("Unauthorized on [{}]", refused.join(", "))));
        }
        // A condition tells what it looks at.
        let hidden = mutation.condition.is_some() && stored.is_some_and(|row| !self.shows(row));
        hidden.then(|| self.refused(mutation.kind))
    }

    /// Why the creation of `record` is refused.
    pub(super) fn of_created(self, mutation: &MutationInput, record: &Record) -> Option<RejectReason> {
        let access = self.access?;
        if !access.grant(self.id, AuthOperation::Create).holds(self.model, record) {
            return Some(self.refused(mutation.kind));
        }
        let refused = self.fields(access, mutation, Some(record));
        (!refused.is_empty()).then(|| unauthorized(format!("Unauthorized on [{}]", refused.join(", "))))
    }

    /// Whether the caller may see the row by any way of reading.
    pub(super) fn shows(self, row: &Record) -> bool {
        self.access.is_none_or(|access| shows(access, self.model, self.id, row))
    }

    fn fields(self, access: &Access, mutation: &MutationInput, row: Option<&Record>) -> Vec<&'a str> {
        let values = mutation.values.iter().map(|(field, value)| (*field, value.is_null()));
        let operations = mutation.operations.iter().map(|(field, _)| (*field, false));
        let may = |(field, null): (FieldId, bool)| {
            self.model.key.contains(&field) || self.holds(access.write(self.id, field, mutation.kind, null), row)
        };
        let refused = values.chain(operations).filter(|given| !may(*given));
        refused
            .map(|(field, _)| self.model.field_at(field).name.as_str())
            .collect()
    }

    /// Whether the grant covers the row; of one that is not there nothing but everything does.
    fn holds(self, grant: &Grant, row: Option<&Record>) -> bool {
        match row {
            Some(row) => grant.holds(self.model, row),
            None => *grant == Grant::All,
        }
    }

    fn refused(self, kind: MutationKind) -> RejectReason {
        let verb = match kind {
            MutationKind::Create => "create",
            MutationKind::Update => "update",
            MutationKind::Delete => "delete",
        };
        unauthorized(format!(
            "Not Authorized to access {verb}{} on type Mutation",
            self.model.name
        ))
    }
}

/// Whether `row` may be seen by any way of reading.
pub(crate) fn shows(access: &Access, model: &Model, id: ModelId, row: &Record) -> bool {
    let mut ways = [
        AuthOperation::Get,
        AuthOperation::List,
        AuthOperation::Sync,
        AuthOperation::Listen,
    ]
    .into_iter();
    ways.any(|operation| access.grant(id, operation).holds(model, row))
}

fn unauthorized(message: String) -> RejectReason {
    RejectReason {
        code: ErrorType::Unauthorized,
        message,
    }
}
