//! The file was copied, or restored from a backup: two replicas have given one number to two mutations.
//!
//! The server tells them apart by their digests and refuses the later one as `NumberReused`; it was not carried out. This
//! file then takes a fresh identity, and the mutation goes on under it with a new number. So does what was made after it and
//! never sent: numbers grow, so it was made after the files parted, and nobody else can have sent it. What waits for one of
//! these follows it, so that dependencies always point to lower numbers. Everything else keeps the identity that it has:
//! another file may have sent the same mutation, and only under its own number does the server know it again. Each of those
//! is decided by its own answer.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::envelope::RejectReason;

use crate::context::Context;
use crate::effect::{Effect, FinalOutcome, Renumbered};
use crate::link;
use crate::machine::StepError;
use crate::outbox::{EntryState, OutboxEntry};
use crate::redo;

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
    let mut moving = with_waiting(cx, moving)?;
    for entry in &mut moving {
        entry.replica = None;
    }
    renumber(cx, moving, &BTreeMap::new())?;
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

/// These, and all that waits for one of them, whatever its identity: a mutation never waits for one with a higher number.
pub(crate) fn with_waiting(cx: &mut Context<'_>, moving: Vec<OutboxEntry>) -> Result<Vec<OutboxEntry>, StepError> {
    let mut all: BTreeMap<MutationNumber, OutboxEntry> =
        moving.into_iter().map(|entry| (entry.number, entry)).collect();
    let Some(low) = all.keys().next().copied() else {
        return Ok(Vec::new());
    };
    // In the order of their numbers, so that what waits comes after what it waits for.
    for entry in cx.tx.linked_after(low)? {
        let waits = entry.state == EntryState::Queued && !all.contains_key(&entry.number);
        if waits && entry.depends_on.iter().any(|number| all.contains_key(number)) {
            for member in cx.tx.group(entry.first)? {
                all.insert(member.number, member);
            }
        }
    }
    Ok(all.into_values().collect())
}

/// Gives entries new numbers, in their order, and gives them back; what they wait for among themselves they go on waiting
/// for, and for what `became` says in the place of others. One that was rejected has ended; it goes on as a new one.
pub(crate) fn renumber(
    cx: &mut Context<'_>,
    moving: Vec<OutboxEntry>,
    became: &BTreeMap<MutationNumber, MutationNumber>,
) -> Result<Vec<OutboxEntry>, StepError> {
    let (Some(low), Some(high)) = (moving.first().map(|e| e.number), moving.last().map(|e| e.number)) else {
        return Ok(Vec::new());
    };
    // By one distance for all, which keeps transactions together.
    let by = cx.tx.take_numbers(high.0 - low.0 + 1)?.0 - low.0;
    let moved: BTreeSet<MutationNumber> = moving.iter().map(|entry| entry.number).collect();
    let to = |number: MutationNumber| {
        let moved = moved.contains(&number).then_some(MutationNumber(number.0 + by));
        moved.or_else(|| became.get(&number).copied())
    };
    let (mut waiting, mut new, mut hidden) = (Vec::new(), Vec::new(), BTreeSet::new());
    for old in moving {
        match old.outcome() {
            Some(outcome) => {
                cx.end(&old, outcome, to(old.number))?;
                cx.save_base(&old)?;
            }
            None => cx.forget(&old)?,
        }
        let mut entry = old;
        entry.number = MutationNumber(entry.number.0 + by);
        entry.first = MutationNumber(entry.first.0 + by);
        entry.state = EntryState::Queued;
        entry.tries = 0;
        entry.conflict = None;
        // What had landed under its number was another file's mutation: its own effect is shown again.
        if std::mem::take(&mut entry.in_base) {
            hidden.insert(entry.number);
        }
        entry.landed = None;
        // Mutations that stay under another identity are waited for here; the server could not find them.
        waiting.extend(
            entry
                .depends_on
                .iter()
                .filter(|number| to(**number).is_none())
                .map(|number| (entry.first, *number)),
        );
        for number in &mut entry.depends_on {
            *number = to(*number).unwrap_or(*number);
        }
        debug_assert!(entry.depends_on.iter().all(|number| *number < entry.first));
        // Those under another identity are left out when it is sent.
        entry.seen = entry.seen.iter().map(|number| to(*number).unwrap_or(*number)).collect();
        entry.seen.sort_unstable();
        entry.replaces = entry.replaces.map(|number| to(number).unwrap_or(number));
        cx.add_entry(&entry)?;
        new.push(entry);
    }
    for entry in new.iter().filter(|entry| hidden.contains(&entry.number)) {
        cx.rebase_entry(entry)?;
    }
    for renumbered in runs(&moved, by) {
        cx.tx.put_renumbered(&renumbered)?;
        cx.effects.push(Effect::Renumbered(renumbered));
    }
    // Under the old identity the server would have refused these; under the new one it knows nothing of what they wait for.
    for (first, number) in waiting {
        if let Some(reason) = rejection(cx, number)? {
            redo::refuse(cx, first, &redo::depends_on(number, &reason))?;
        }
    }
    Ok(new)
}

/// One line for each run of numbers that follow each other, so that no number stands in two.
fn runs(moved: &BTreeSet<MutationNumber>, by: u64) -> Vec<Renumbered> {
    let mut runs: Vec<Renumbered> = Vec::new();
    for number in moved {
        match runs.last_mut() {
            Some(run) if run.high.0 + 1 == number.0 => run.high = *number,
            Some(_) | None => runs.push(Renumbered {
                low: *number,
                high: *number,
                by,
            }),
        }
    }
    runs
}

/// Why `number` was rejected, if it was: by the server or here, whether the app has taken note of it or not.
pub(crate) fn rejection(cx: &mut Context<'_>, number: MutationNumber) -> Result<Option<RejectReason>, StepError> {
    let outcome = match cx.tx.entry(number)? {
        Some(entry) => entry.outcome(),
        None => cx.tx.ended(number)?.map(|ended| ended.outcome),
    };
    Ok(match outcome {
        Some(FinalOutcome::Rejected(reason)) => Some(reason),
        Some(FinalOutcome::Applied | FinalOutcome::Merged | FinalOutcome::Discarded) | None => None,
    })
}
