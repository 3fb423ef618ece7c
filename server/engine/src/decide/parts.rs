//! Embedded values that an older app wrote whole, completed from the record before anything is compared or written.

use std::borrow::Cow;

use tombolo_core::query::MutationInput;
use tombolo_core::record::StoredRecord;
use tombolo_core::schema::{MutationKind, PartWritten, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::ErrorType;

/// `mutation` with the members that its writer's schema does not have, as `stored` has them. Completed first, so that
/// neither a conflict is found nor a resolver asked about what the writer did not touch.
pub(super) fn completed<'m>(
    schema: &Schema,
    mutation: &'m MutationInput,
    stored: Option<&StoredRecord>,
    parts: &[PartWritten],
) -> Result<Cow<'m, MutationInput>, RejectReason> {
    // A creation over a tombstone takes nothing over from it.
    let held = stored.filter(|stored| mutation.kind == MutationKind::Update && !stored.record.meta.deleted);
    let mut whole = Cow::Borrowed(mutation);
    for part in parts {
        let ty = &schema[mutation.model].field_at(part.field).ty;
        let held = held.map_or(&Value::Null, |stored| stored.record.value(part.field));
        let given = mutation
            .values
            .iter()
            .enumerate()
            .filter(|(_, (field, _))| *field == part.field);
        for (at, (_, value)) in given {
            let completed = part.whole(schema, ty, held, value).map_err(|change| RejectReason {
                code: ErrorType::SchemaChanged,
                message: format!("made under an earlier schema. {change}"),
            })?;
            if completed != *value {
                whole.to_mut().values[at].1 = completed;
            }
        }
    }
    Ok(whole)
}
