//! What comes back for a mutation: an outcome, or no decision.

use tombolo_core::id::MutationNumber;
use tombolo_core::wire::envelope::{MutationOutcome, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use crate::context::Context;
use crate::effect::{Effect, FinalOutcome};
use crate::input::AnswerBody;
use crate::limits::{HELD_RETRY, IN_FLIGHT_MAX, UNDECIDED_TRIES_MAX};
use crate::link::{is_sent, is_temporary, is_unauthorized, is_uncertain, pause, wedge, words};
use crate::machine::StepError;
use crate::outbox::EntryState;
use crate::{behind, redo, renew};

/// What came back for a mutation.
pub(crate) fn answer(cx: &mut Context<'_>, number: MutationNumber, body: AnswerBody) -> Result<(), StepError> {
    match body {
        AnswerBody::Outcomes(answer) if !answer.outcomes.is_empty() => {
            cx.progress = true;
            cx.state.in_flight.remove(&number);
            cx.state.due.remove(&number);
            cx.state.busy.remove(&number);
            cx.state.held.remove(&number);
            let reused = |outcome: &MutationOutcome| is_code(outcome, &ErrorType::NumberReused);
            let (reused, others): (Vec<_>, Vec<_>) = answer.outcomes.into_iter().partition(reused);
            for outcome in others {
                decided(cx, outcome)?;
            }
            if !reused.is_empty() {
                number_reused(cx, number, reused)?;
            }
            // An answer that leaves a part of its transaction undecided is no answer to that part.
            if cx.tx.group(number)?.iter().any(|entry| is_sent(&entry.state)) {
                cx.state.in_flight.insert(number, cx.now.monotonic);
                undecided(cx, number, &[])?;
            }
        }
        AnswerBody::Outcomes(_) => undecided(cx, number, &[])?,
        AnswerBody::Undecided(errors) => undecided(cx, number, &errors)?,
    }
    // Refilled by halves, so that one durable commit serves many mutations.
    if cx.state.is_open() && cx.state.counts.queued > 0 && cx.state.in_flight.len() <= IN_FLIGHT_MAX / 2 {
        cx.wake_now = true;
    }
    Ok(())
}

fn is_code(outcome: &MutationOutcome, code: &ErrorType) -> bool {
    outcome.reason.as_ref().is_some_and(|reason| reason.code == *code)
}

/// Another file has used these numbers; nothing of this group was carried out.
fn number_reused(cx: &mut Context<'_>, first: MutationNumber, reused: Vec<MutationOutcome>) -> Result<(), StepError> {
    let given_up = cx
        .tx
        .group(first)?
        .iter()
        .any(|entry| entry.state == EntryState::GivenUp);
    if !given_up {
        return renew::number_reused(cx, first);
    }
    if cx.tx.group(first)?.iter().any(|entry| entry.replica.is_none()) {
        renew::renew(cx)?;
    }
    for outcome in reused {
        decided(cx, outcome)?;
    }
    Ok(())
}

fn decided(cx: &mut Context<'_>, outcome: MutationOutcome) -> Result<(), StepError> {
    let Some(mut entry) = cx.tx.entry(outcome.number)? else {
        return Ok(());
    };
    if !entry.state.is_undecided() {
        return Ok(());
    }
    entry.conflict = outcome.conflict;
    let last = match outcome.outcome {
        OutcomeKind::Rejected => {
            let reason = outcome.reason.unwrap_or_else(|| RejectReason {
                code: ErrorType::BadRequest,
                message: "the server refused it without a reason".to_owned(),
            });
            if is_uncertain(&reason.code) && entry.replica.is_none() {
                entry.replica = Some(renew::renew(cx)?);
            }
            if entry.state == EntryState::GivenUp {
                return redo::given_up(cx, &entry, reason);
            }
            if behind::refused_on_its_way(cx, &entry, &reason)? {
                return Ok(());
            }
            for dependent in cx.tx.waiting_for(entry.number)? {
                // The server looks among the mutations of one replica.
                if dependent.replica != entry.replica && dependent.depends_on.contains(&entry.number) {
                    redo::refuse(cx, dependent.first, &redo::depends_on(entry.number, &reason))?;
                }
            }
            cx.set_state(&mut entry, EntryState::Rejected(reason.clone()))?;
            cx.rebase_entry(&entry)?;
            FinalOutcome::Rejected(reason)
        }
        OutcomeKind::Applied | OutcomeKind::Merged => {
            // What waited for it needs it no longer, even if the server should lose this outcome (a restored backup).
            for mut dependent in cx.tx.waiting_for(entry.number)? {
                if dependent.depends_on.contains(&entry.number) {
                    dependent.depends_on.retain(|n| *n != entry.number);
                    cx.tx.set_links(&dependent)?;
                }
                if dependent.replaces == Some(entry.number) {
                    redo::replaced(cx, &entry, &mut dependent);
                    cx.tx.put_entry(&dependent)?;
                }
            }
            let cursor = outcome
                .cursor
                .as_deref()
                .and_then(|text| text.parse::<tombolo_core::id::Cursor>().ok());
            let model = cx.present_name(&entry.intent.model);
            let scope = cx
                .state
                .scopes
                .get(model)
                .filter(|_| !cx.state.refused.contains_key(model));
            let passed = match (scope, &cursor) {
                // Without a scope no feed will ever bring it; without a place in the feed there is nothing to wait for.
                (None, _) | (_, None) => true,
                // Only a complete scope has the row for certain, see `feed::batch`.
                (Some(scope), Some(cursor)) => {
                    scope.up_to_date
                        && scope
                            .parsed_cursor()
                            .is_some_and(|at| at.epoch == cursor.epoch && at.position >= cursor.position)
                }
            };
            let last = if outcome.outcome == OutcomeKind::Merged {
                FinalOutcome::Merged
            } else {
                FinalOutcome::Applied
            };
            let was_laid = entry.state.is_unsettled();
            if passed {
                cx.end(&entry, last.clone(), None)?;
            } else {
                if !was_laid {
                    cx.save_base(&entry)?;
                }
                let outcome = outcome.outcome;
                cx.set_state(&mut entry, EntryState::Acked { outcome, cursor })?;
            }
            if passed || !was_laid {
                cx.rebase_entry(&entry)?;
            }
            last
        }
    };
    cx.effects.push(Effect::Decided {
        number: outcome.number,
        outcome: last,
    });
    Ok(())
}

/// The server answered without deciding: this mutation is sent again later, others go on.
fn undecided(cx: &mut Context<'_>, number: MutationNumber, errors: &[GraphqlError]) -> Result<(), StepError> {
    if cx.state.in_flight.remove(&number).is_none() {
        return Ok(());
    }
    // No progress, but the link is alive: what else it owes is waited for from now on.
    cx.state.owed_since = Some(cx.now.monotonic);
    let message = words(errors, "the server gave no outcome");
    let mut group = cx.tx.group(number)?;
    if is_unauthorized(errors) {
        cx.state.due.insert(number, cx.now.monotonic);
        cx.effects.push(Effect::CloseLink);
        pause(cx, &message);
        return Ok(());
    }
    cx.state.note_error("undecided", &message, cx.now);
    if errors
        .iter()
        .any(|error| error.error_type == Some(ErrorType::UnknownSchema))
    {
        cx.state.held.insert(number);
        cx.state.due.insert(number, cx.now.monotonic + HELD_RETRY);
        return Ok(());
    }
    // The server has only to note that a mutation is void: there is nothing about that for the app to mend.
    let given_up = group.iter().any(|entry| entry.state == EntryState::GivenUp);
    if given_up || errors.iter().any(is_temporary) {
        // A server in trouble says nothing about the mutation: it waits, however long that takes.
        let times = cx.state.busy.entry(number).or_default();
        *times = times.saturating_add(1);
        let delay = cx.state.backoff.next(*times - 1);
        cx.state.due.insert(number, cx.now.monotonic + delay);
        return Ok(());
    }
    let mut tries = 0;
    for entry in group.iter_mut().filter(|entry| entry.state == EntryState::InFlight) {
        entry.tries = entry.tries.saturating_add(1);
        tries = tries.max(entry.tries);
        if entry.tries < UNDECIDED_TRIES_MAX {
            cx.tx.set_state(entry)?;
        }
    }
    if tries >= UNDECIDED_TRIES_MAX {
        wedge(cx, &mut group, &message)?;
    } else if tries > 0 {
        let delay = cx.state.backoff.next(tries - 1);
        cx.state.due.insert(number, cx.now.monotonic + delay);
    }
    Ok(())
}
