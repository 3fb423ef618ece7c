//! The file was copied, or restored from a backup: two replicas have given one number to two mutations.
//!
//! The server tells them apart by their digests and refuses the later one as `NumberReused`; it was not carried out. This
//! file then takes a fresh identity, and the mutation goes on under it with a new number. So does what was made after it and
//! never sent: numbers grow, so it was made after the files parted, and nobody else can have sent it. Everything else keeps
//! the identity that it has: another file may have sent the same mutation, and only under its own number does the server
//! know it again. Each of those is decided by its own answer.

use std::collections::BTreeMap;

use tombolo_core::id::{MutationNumber, ReplicaId};

use crate::context::Context;
use crate::effect::{Effect, Renumbered};
use crate::link;
use crate::machine::StepError;
use crate::outbox::{EntryState, OutboxEntry};

/// The server refused `first` and its transaction as `NumberReused`.
pub(crate) fn number_reused(cx: &mut Context<'_>, first: MutationNumber) -> Result<(), StepError> {
    let refused: Vec<OutboxEntry> = cx.tx.group(first)?;
    let Some(entry) = refused.first() else {
        return Ok(());
    };
    let old = match entry.replica.clone() {
        Some(old) => old,
        None => renew(cx)?,
    };
    let mut moving: Vec<OutboxEntry> = refused.into_iter().filter(|entry| entry.state.is_undecided()).collect();
    let group_end = moving.last().map_or(first, |entry| entry.number);
    moving.extend(cx.tx.queued_after(group_end, &old)?);
    for entry in &mut moving {
        entry.replica = None;
    }
    renumber(cx, moving)?;
    cx.state.due.remove(&first);
    cx.state.busy.remove(&first);
    cx.wake_now = true;
    Ok(())
}

/// From here on this replica is another one. What stands in the outbox keeps the identity under which it may have been
/// sent, which is given back.
pub(crate) fn renew(cx: &mut Context<'_>) -> Result<ReplicaId, StepError> {
    let old = cx.tx.replica();
    cx.tx.keep_replica(&old)?;
    let fresh = cx.tx.renew_replica()?;
    cx.effects.push(Effect::Renewed { replica: fresh });
    // The feed follows the mutations of the replica that it names.
    link::subscribe(cx);
    Ok(old)
}

/// Gives entries new numbers, in their order, and lets what waited for them wait for the new ones.
fn renumber(cx: &mut Context<'_>, moving: Vec<OutboxEntry>) -> Result<(), StepError> {
    let (Some(low), Some(high)) = (moving.first().map(|e| e.number), moving.last().map(|e| e.number)) else {
        return Ok(());
    };
    // By one distance for all, so that one line says where each went.
    let by = cx.tx.take_numbers(high.0 - low.0 + 1)?.0 - low.0;
    let moved: BTreeMap<MutationNumber, MutationNumber> = moving
        .iter()
        .map(|entry| (entry.number, MutationNumber(entry.number.0 + by)))
        .collect();
    let to = |number: MutationNumber| moved.get(&number).copied();
    for old in moving {
        cx.forget(&old)?;
        let mut entry = old;
        entry.number = MutationNumber(entry.number.0 + by);
        entry.first = MutationNumber(entry.first.0 + by);
        entry.state = EntryState::Queued;
        entry.tries = 0;
        // Mutations that stay under another identity are waited for here; the server could not find them.
        for number in &mut entry.depends_on {
            *number = to(*number).unwrap_or(*number);
        }
        entry.seen = entry.seen.iter().filter_map(|number| to(*number)).collect();
        entry.replaces = entry.replaces.map(|number| to(number).unwrap_or(number));
        cx.add_entry(&entry)?;
    }
    for mut entry in cx.tx.waiting_after(low)? {
        if entry.depends_on.iter().any(|number| moved.contains_key(number)) {
            for number in &mut entry.depends_on {
                *number = to(*number).unwrap_or(*number);
            }
            cx.tx.set_links(&entry)?;
        }
    }
    let renumbered = Renumbered { low, high, by };
    cx.tx.put_renumbered(&renumbered)?;
    cx.effects.push(Effect::Renumbered(renumbered));
    Ok(())
}
