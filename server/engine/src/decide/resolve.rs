//! What a resolver's answer does to a row.

use tombolo_core::id::FieldId;
use tombolo_core::merge::{FieldConflict, RuleName};
use tombolo_core::query::MutationInput;
use tombolo_core::record::StoredRecord;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;

use super::ask::{Action, Context, Question};
use super::row::{Decision, Found, RowFacts, following, put};
use super::trace;

/// What is to be asked about `mutation`, the submission's at `place`.
pub(super) fn question(
    facts: &RowFacts<'_>,
    stored: &StoredRecord,
    mutation: &MutationInput,
    found: &Found,
    (context, place): (&Context, usize),
) -> Question {
    Question {
        place,
        model: mutation.model,
        key: facts.key.clone(),
        kind: mutation.kind,
        stored: stored.record.clone(),
        incoming: mutation.values.clone(),
        operations: trace::operations(facts.model, &mutation.operations),
        base: context.base(place).cloned(),
        fields: for_the_resolver(found).map(|conflict| conflict.field).collect(),
        identity: context.identity.clone(),
    }
}

fn for_the_resolver(found: &Found) -> impl Iterator<Item = &FieldConflict> {
    found.fields.iter().filter(|conflict| conflict.rule == RuleName::Custom)
}

/// Carries out `action` on `stored`. `values` are the fields that needed no resolver, `found` is what was in conflict.
///
/// A field that the resolver names is written as it says. One that it leaves out is settled by its own rule if it has one,
/// and stays as the server has it if it was for the resolver.
pub(super) fn apply(
    facts: &RowFacts<'_>,
    stored: &StoredRecord,
    mutation: &MutationInput,
    values: Vec<(FieldId, Value)>,
    found: Found,
    action: &Action,
) -> Decision {
    let mut found = Found {
        rule: Some(RuleName::Custom),
        ..found
    };
    match action {
        Action::Reject(reason) => {
            stands(&mut found);
            Decision::Reject {
                reason: reason.clone(),
                found,
            }
        }
        Action::Remove => {
            stands(&mut found);
            let mut next = following(facts, stored);
            next.record.meta.deleted = true;
            Decision::Write {
                outcome: OutcomeKind::Merged,
                next,
                found,
            }
        }
        Action::Resolve(item) => {
            let mut written: Vec<(FieldId, Value)> = values
                .into_iter()
                .filter(|(field, _)| !item.iter().any(|(of_item, _)| of_item == field))
                .collect();
            written.extend(item.iter().cloned());
            tell(&mut found, stored, mutation, item);
            put(facts, stored, mutation, written, OutcomeKind::Merged, found)
        }
    }
}

/// The server's values stand.
fn stands(found: &mut Found) {
    for conflict in &mut found.fields {
        conflict.result = conflict.server.clone();
    }
}

/// Notes what the resolver made of each field.
fn tell(found: &mut Found, stored: &StoredRecord, mutation: &MutationInput, item: &[(FieldId, Value)]) {
    for (field, value) in item {
        if let Some(conflict) = found.fields.iter_mut().find(|conflict| conflict.field == *field) {
            conflict.rule = RuleName::Custom;
            conflict.result = value.clone();
            continue;
        }
        let sent = mutation.values.iter().find(|(sent, _)| sent == field);
        if stored.record.value(*field) != value {
            found.fields.push(FieldConflict {
                field: *field,
                rule: RuleName::Custom,
                server: stored.record.value(*field).clone(),
                incoming: sent.map_or(Value::Null, |(_, value)| value.clone()),
                result: value.clone(),
            });
        }
    }
}
