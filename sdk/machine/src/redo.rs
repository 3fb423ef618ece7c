//! What the app does about a mutation that got stuck: retry, edit and retry, discard.
//!
//! A rejected mutation is final on the server and never takes effect: what is retried is a new mutation of the same intent,
//! on the newest base, under a new number. A wedged one may have been carried out, nobody knows: a retry sends it again
//! under its own number, which has one effect. To edit or discard it, its number must be void first. It is given up: sent
//! once more with `void`, upon which the server says what became of it, or that now nothing ever will. An edited mutation
//! waits for that answer: if the first was carried out after all, only what the edit adds to it goes on.

use std::collections::BTreeSet;

use tombolo_core::id::{FieldId, MutationNumber};
use tombolo_core::merge::Operation;
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::ErrorType;

use crate::behind;
use crate::context::Context;
use crate::effect::{Effect, FinalOutcome};
use crate::input::NewMutation;
use crate::link;
use crate::machine::StepError;
use crate::operations;
use crate::outbox::{self, EntryState, Intent, OutboxEntry};

/// Other values for some fields of a mutation that is made anew.
struct Edit<'a> {
    number: MutationNumber,
    values: &'a [(FieldId, Value)],
}

/// The app wants a rejected or wedged mutation to be tried again, now.
pub(crate) fn retry(cx: &mut Context<'_>, number: MutationNumber) -> Result<(), StepError> {
    let Some(entry) = cx.tx.entry(number)? else {
        return retry_ended(cx, number);
    };
    match entry.state {
        EntryState::Wedged { .. } => {
            for mut entry in cx.tx.group(entry.first)? {
                entry.tries = 0;
                cx.set_state(&mut entry, EntryState::InFlight)?;
            }
        }
        EntryState::InFlight | EntryState::GivenUp => {}
        EntryState::Rejected(_) => return anew(cx, &entry, None),
        EntryState::Queued | EntryState::Acked { .. } => return Err(StepError::NotRetryable(number)),
    }
    if !cx.state.in_flight.contains_key(&entry.first) {
        cx.state.due.insert(entry.first, cx.now.monotonic);
    }
    Ok(())
}

/// The app wants a rejected or wedged mutation to be tried again with other values.
pub(crate) fn edit(cx: &mut Context<'_>, number: MutationNumber, values: &[(FieldId, Value)]) -> Result<(), StepError> {
    let entry = cx.tx.entry(number)?.ok_or(StepError::UnknownMutation(number))?;
    match entry.state {
        EntryState::Wedged { .. } | EntryState::Rejected(_) => anew(cx, &entry, Some(&Edit { number, values })),
        EntryState::Queued | EntryState::InFlight | EntryState::Acked { .. } | EntryState::GivenUp => {
            Err(StepError::NotRetryable(number))
        }
    }
}

/// Makes new mutations of an entry, or of its whole transaction.
fn anew(cx: &mut Context<'_>, entry: &OutboxEntry, edit: Option<&Edit<'_>>) -> Result<(), StepError> {
    let given_up = matches!(entry.state, EntryState::Wedged { .. });
    // Parts that the app has taken note of stay what they are.
    let group = cx.tx.group(entry.first)?;
    if given_up {
        give_up(cx, &group)?;
    }
    let mutations = group
        .iter()
        .map(|old| intent_anew(cx, old, edit))
        .collect::<Result<Vec<_>, _>>()?;
    let replaces: Vec<_> = group.iter().map(|old| given_up.then_some(old.number)).collect();
    let freed = if given_up { 0 } else { group.len() };
    let mut behind = behind::find(cx, &group.iter().map(|old| old.number).collect())?;
    let numbers = outbox::put_all(cx, &mutations, &replaces, freed, &behind.all)?;
    let news = || group.iter().map(|old| old.number).zip(numbers.iter().copied());
    behind.became.extend(news());
    if !given_up {
        for (old, new) in group.iter().zip(&numbers) {
            let outcome = old.outcome().unwrap_or(FinalOutcome::Discarded);
            cx.end(old, outcome, Some(*new))?;
        }
    }
    behind::follow(cx, behind.moving, &behind.became)?;
    if given_up {
        // If the old one was carried out after all, they saw what it made.
        for (old, new) in news() {
            behind::saw_both(cx, old, new)?;
        }
    }
    cx.effects.push(Effect::Enqueued(numbers));
    Ok(())
}

/// One that the app had taken note of: its payload is still there.
fn retry_ended(cx: &mut Context<'_>, number: MutationNumber) -> Result<(), StepError> {
    let Some(mut ended) = cx.tx.ended(number)? else {
        return Err(StepError::UnknownMutation(number));
    };
    let may = match ended.outcome {
        FinalOutcome::Rejected(_) | FinalOutcome::Discarded => !ended.atomic && ended.became.is_none(),
        FinalOutcome::Applied | FinalOutcome::Merged => false,
    };
    if !may {
        return Err(StepError::NotRetryable(number));
    }
    let mutation = mutation(cx, &ended.intent, ended.author.clone(), &[])?;
    let mut behind = behind::find(cx, &BTreeSet::from([number]))?;
    let numbers = outbox::put_all(cx, &[mutation], &[None], 0, &behind.all)?;
    ended.became = numbers.first().copied();
    cx.tx.put_ended(&ended)?;
    behind.became.extend(ended.became.map(|new| (number, new)));
    behind::follow(cx, behind.moving, &behind.became)?;
    cx.effects.push(Effect::Enqueued(numbers));
    Ok(())
}

fn intent_anew(cx: &Context<'_>, old: &OutboxEntry, edit: Option<&Edit<'_>>) -> Result<NewMutation, StepError> {
    let values = edit
        .filter(|edit| edit.number == old.number)
        .map_or(&[][..], |edit| edit.values);
    mutation(cx, &old.intent, old.author.clone(), values)
}

/// The mutation that means the same as `intent`, made on what the replica holds now.
fn mutation(
    cx: &Context<'_>,
    intent: &Intent,
    author: Option<String>,
    edited: &[(FieldId, Value)],
) -> Result<NewMutation, StepError> {
    let unknown = || StepError::UnknownModel(intent.model.clone());
    let id = cx.model_id(&intent.model).ok_or_else(unknown)?;
    let model = cx.schema.models.get(id.0).ok_or_else(unknown)?;
    let mut values: Vec<(FieldId, Value)> = intent
        .values
        .iter()
        .filter_map(|(name, json)| {
            let field = model.field(name)?;
            Some((field, model.field_at(field).ty.value_from_json(json)))
        })
        .collect();
    let mut operations: Vec<(FieldId, Operation)> = intent
        .operations
        .iter()
        .filter_map(|(name, json)| {
            let field = model.field(name)?;
            Some((field, operations::kept(&model.field_at(field).ty, json)?))
        })
        .collect();
    for (field, value) in edited {
        operations.retain(|(of, _)| of != field);
        match values.iter_mut().find(|(of, _)| of == field) {
            Some((_, old)) if model.key.contains(field) && old != value => {
                return Err(StepError::Refused(RejectReason {
                    code: ErrorType::BadRequest,
                    message: "the key of a mutation cannot be edited: discard it and make another".to_owned(),
                }));
            }
            Some((_, old)) => old.clone_from(value),
            None => values.push((*field, value.clone())),
        }
    }
    Ok(NewMutation {
        model: id,
        kind: intent.kind,
        values,
        operations,
        base_version: None,
        read: None,
        condition: intent.condition.clone(),
        author,
    })
}

/// The app gives a mutation up, or has taken note of a refused one.
pub(crate) fn discard(cx: &mut Context<'_>, number: MutationNumber) -> Result<(), StepError> {
    let entry = cx.tx.entry(number)?.ok_or(StepError::UnknownMutation(number))?;
    match entry.state {
        EntryState::Rejected(_) => cx.remove_entry(&entry),
        EntryState::Queued => {
            for entry in cx.tx.group(entry.first)? {
                free(cx, &entry)?;
                cx.remove_entry(&entry)?;
                cx.effects.push(Effect::Decided {
                    number: entry.number,
                    outcome: FinalOutcome::Discarded,
                });
                cx.rebase_entry(&entry)?;
            }
            Ok(())
        }
        EntryState::Wedged { .. } => {
            let group = cx.tx.group(entry.first)?;
            give_up(cx, &group)
        }
        EntryState::GivenUp => Ok(()),
        EntryState::InFlight | EntryState::Acked { .. } => Err(StepError::NotDiscardable(number)),
    }
}

/// Rolls back what may have been carried out, and asks the server to make its numbers void.
fn give_up(cx: &mut Context<'_>, group: &[OutboxEntry]) -> Result<(), StepError> {
    for entry in group {
        let mut entry = entry.clone();
        entry.tries = 0;
        cx.set_state(&mut entry, EntryState::GivenUp)?;
        cx.state.due.insert(entry.first, cx.now.monotonic);
        cx.state.busy.remove(&entry.first);
        cx.rebase_entry(&entry)?;
    }
    Ok(())
}

/// Those that waited for it no longer do, but for what it waited for itself: whether they make sense without it the server
/// will say.
fn free(cx: &mut Context<'_>, entry: &OutboxEntry) -> Result<(), StepError> {
    let number = entry.number;
    for mut dependent in cx.tx.dependents(number)? {
        if dependent.depends_on.contains(&number) {
            dependent.depends_on.extend(&entry.depends_on);
            dependent.depends_on.retain(|n| *n != number);
            dependent.depends_on.sort_unstable();
            dependent.depends_on.dedup();
        }
        dependent.seen.retain(|n| *n != number);
        cx.tx.set_links(&dependent)?;
    }
    Ok(())
}

/// The server has said that a mutation which was given up is not and will not be carried out, or that it no longer knows.
pub(crate) fn given_up(cx: &mut Context<'_>, entry: &OutboxEntry, reason: RejectReason) -> Result<(), StepError> {
    let number = entry.number;
    if link::is_uncertain(&reason.code) {
        // What was to replace it might be its second effect: the app decides.
        for replacement in cx.tx.waiting_for(number)? {
            if replacement.replaces == Some(number) {
                refuse(cx, replacement.first, &reason)?;
            }
        }
    }
    free(cx, entry)?;
    let outcome = match reason.code {
        ErrorType::Discarded | ErrorType::NumberReused => FinalOutcome::Discarded,
        _ => FinalOutcome::Rejected(reason),
    };
    cx.end(entry, outcome.clone(), None)?;
    cx.rebase_entry(entry)?;
    cx.effects.push(Effect::Decided { number, outcome });
    Ok(())
}

/// The mutation was carried out after all: of the one that was to replace it only the difference goes on. What is not edited
/// stands as the server has it: others may have changed it since.
pub(crate) fn replaced(cx: &Context<'_>, done: &OutboxEntry, replacement: &mut OutboxEntry) {
    let model = cx
        .model_id(&done.intent.model)
        .and_then(|id| cx.schema.models.get(id.0));
    if let Some(model) = model {
        operations::keep_difference(model, &done.intent, &mut replacement.intent);
    }
    let intent = &mut replacement.intent;
    if intent.kind == MutationKind::Create {
        intent.kind = MutationKind::Update;
        // It is made on what `done` made, which it has seen.
        intent.base_version = None;
    }
}

/// Refuses, here, a group that can no longer be sent as it was meant, and what depends on it under another identity.
pub(crate) fn refuse(cx: &mut Context<'_>, first: MutationNumber, reason: &RejectReason) -> Result<(), StepError> {
    let mut waiting = BTreeSet::from([(first, None)]);
    while let Some((first, because)) = waiting.pop_first() {
        let reason = match because {
            None => reason.clone(),
            Some(number) => depends_on(number, reason),
        };
        for mut entry in cx.tx.group(first)? {
            if !entry.state.is_undecided() {
                continue;
            }
            for dependent in cx.tx.waiting_for(entry.number)? {
                if dependent.depends_on.contains(&entry.number) && dependent.first != first {
                    waiting.insert((dependent.first, Some(entry.number)));
                }
            }
            cx.state.due.remove(&first);
            cx.set_state(&mut entry, EntryState::Rejected(reason.clone()))?;
            cx.rebase_entry(&entry)?;
            cx.effects.push(Effect::Decided {
                number: entry.number,
                outcome: FinalOutcome::Rejected(reason.clone()),
            });
        }
    }
    Ok(())
}

/// The reason of one that waited for `number`, in the server's words for the same.
pub(crate) fn depends_on(number: MutationNumber, why: &RejectReason) -> RejectReason {
    if why.code == ErrorType::DependencyRejected {
        // Named is the one at the root of it.
        return why.clone();
    }
    RejectReason {
        code: ErrorType::DependencyRejected,
        message: format!("it depends on mutation {number}, which was rejected ({why})"),
    }
}
