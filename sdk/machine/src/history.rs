//! When the server's history is another one than before: a restored backup, or another server.
//!
//! What the old history acknowledged the new one may not hold. So it is sent again, under the same numbers: a server that
//! still knows the outcome gives it again, one that lost it carries the mutation out anew. Never is it just settled.

use std::collections::BTreeSet;

use tombolo_core::id::{MutationNumber, Position};

use crate::context::Context;
use crate::machine::StepError;
use crate::outbox::{EntryState, OutboxEntry};

/// Below every position: together with `others` it asks for what other histories acknowledged, and nothing else.
const NOWHERE: Position = Position(-1);

/// The feed of `model` is of the history `epoch`: mutations that another one acknowledged become unknown again.
pub(crate) fn doubt_acked(cx: &mut Context<'_>, model: &str, epoch: &str) -> Result<(), StepError> {
    if cx.state.counts.acked == 0 {
        return Ok(());
    }
    let mut groups = BTreeSet::new();
    for mut entry in cx.acked(model, epoch, NOWHERE, true)? {
        entry.tries = 0;
        cx.set_state(&mut entry, EntryState::InFlight)?;
        groups.insert(entry.first);
        hold_back_later_ones(cx, &entry)?;
    }
    for first in groups {
        for first in whole_or_alone(cx, first)? {
            cx.state.due.insert(first, cx.now.monotonic);
        }
    }
    Ok(())
}

/// Later mutations of the same record that were never sent wait until this one is decided again.
fn hold_back_later_ones(cx: &mut Context<'_>, entry: &OutboxEntry) -> Result<(), StepError> {
    let key = entry.intent.key_text();
    let later = match cx.model_id(&entry.intent.model) {
        Some(model) => cx.entries_of(&cx.schema[model], &key)?,
        None => cx.tx.entries_of(&entry.intent.model, &key)?,
    };
    for later in later {
        let waits = later.number > entry.number && later.first != entry.first && later.state == EntryState::Queued;
        if !waits {
            continue;
        }
        // The whole group waits for whatever one of its members waits for.
        for mut member in cx.tx.group(later.first)? {
            if !member.depends_on.contains(&entry.number) {
                member.depends_on.push(entry.number);
                member.depends_on.sort_unstable();
                cx.tx.set_links(&member)?;
            }
        }
    }
    Ok(())
}

/// The first numbers under which what is left of a transaction is sent: one, while its numbers follow each other, as the
/// server counts them; otherwise (a part was seen in the feed of another model and is gone) each mutation for itself.
fn whole_or_alone(cx: &mut Context<'_>, first: MutationNumber) -> Result<Vec<MutationNumber>, StepError> {
    let group = cx.tx.group(first)?;
    let follow = group
        .iter()
        .zip(group.iter().skip(1))
        .all(|(one, next)| next.number.0 == one.number.0 + 1);
    if follow {
        return Ok(vec![first]);
    }
    let mut alone = Vec::with_capacity(group.len());
    for mut entry in group {
        entry.atomic = false;
        entry.first = entry.number;
        cx.tx.put_entry(&entry)?;
        if entry.state == EntryState::InFlight {
            alone.push(entry.number);
        }
    }
    Ok(alone)
}
