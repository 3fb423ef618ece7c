//! Mutations whose effect the feed brings before their answer, or before the scope is complete: a row that contains an effect
//! must not have it laid upon it once more, or a counter counts twice and a newer value of another is hidden.
//!
//! The feed says which of this replica's mutations have landed, and where ([`Landed`]). Each record comes once, at its newest
//! as of the moment of the page. So a row that comes with a cursor at or beyond an entry's place contains its effect; one that
//! comes with a cursor before it does not.

use tombolo_core::id::Cursor;
use tombolo_core::schema::Model;
use tombolo_core::wire::batch::Landed;

use crate::context::Context;
use crate::machine::StepError;
use crate::outbox::{EntryState, OutboxEntry};

/// Notes where the entries stand that have landed with a page of `model`.
pub(crate) fn note(cx: &mut Context<'_>, model: &str, cursor: &Cursor, landed: &Landed) -> Result<(), StepError> {
    if landed.replica != cx.tx.replica() {
        return Ok(());
    }
    for mutation in &landed.mutations {
        let Some(mut entry) = cx.tx.entry(mutation.number)? else {
            continue;
        };
        // What was never sent from here another file has sent, under the same identity: it is not this mutation.
        let is_it =
            may_have_landed(&entry.state) && entry.replica.is_none() && cx.present_name(&entry.intent.model) == model;
        if is_it {
            entry.landed = Some(Cursor {
                epoch: cursor.epoch.clone(),
                position: mutation.position,
            });
            cx.tx.set_state(&entry)?;
        }
    }
    Ok(())
}

/// A record's base row is the one of a page with this cursor: marks the entries whose effects it contains, and no others.
pub(crate) fn look(cx: &mut Context<'_>, model: &Model, key: &str, cursor: &Cursor) -> Result<(), StepError> {
    for mut entry in cx.entries_of(model, key)? {
        let contained = place(&entry).is_some_and(|at| at.epoch == cursor.epoch && at.position <= cursor.position);
        if entry.in_base != contained {
            entry.in_base = contained;
            cx.tx.set_state(&entry)?;
        }
    }
    Ok(())
}

/// A record's base row is gone: it contains nothing.
pub(crate) fn forget(cx: &mut Context<'_>, model: &Model, key: &str) -> Result<(), StepError> {
    for mut entry in cx.entries_of(model, key)? {
        if entry.in_base {
            entry.in_base = false;
            cx.tx.set_state(&entry)?;
        }
    }
    Ok(())
}

/// Where the effect of an entry stands in the feed, as the answer or the feed has said.
fn place(entry: &OutboxEntry) -> Option<&Cursor> {
    match &entry.state {
        EntryState::Acked { cursor, .. } => cursor.as_ref(),
        EntryState::InFlight | EntryState::Wedged { .. } | EntryState::GivenUp => entry.landed.as_ref(),
        EntryState::Queued | EntryState::Rejected(_) => None,
    }
}

fn may_have_landed(state: &EntryState) -> bool {
    match state {
        EntryState::InFlight | EntryState::Wedged { .. } | EntryState::GivenUp => true,
        EntryState::Queued | EntryState::Acked { .. } | EntryState::Rejected(_) => false,
    }
}
