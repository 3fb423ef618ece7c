//! A rejected mutation is made anew under a higher number: what stands behind the old one goes on behind the new one.
//!
//! What was made after the old one and needs it (a later edit of the same record, a child of it) makes no sense without it:
//! the server refuses it as `DependencyRejected`. The new one takes the old one's place. So it waits for none of them, and
//! they take numbers above its own and wait for it. That goes for those that were never sent and for those that were refused
//! for the old one's sake, as long as the app has not taken note of it. One on its way meanwhile follows when it has been
//! refused. One that waits for yet another rejected mutation stays where it is.
//!
//! The same goes for a wedged one that is edited. What stands behind it was never sent; it goes behind the edit, which waits
//! until the old one's fate is known.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::id::{MutationId, MutationNumber};
use tombolo_core::limits::MOVED_FROM_MAX;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::ErrorType;

use crate::context::Context;
use crate::effect::FinalOutcome;
use crate::machine::StepError;
use crate::outbox::{EntryState, OutboxEntry};
use crate::renew;

/// What stands behind a mutation.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// All of it.
    pub all: BTreeSet<MutationNumber>,
    /// What of it can take another number now, by number.
    pub moving: Vec<OutboxEntry>,
    /// What mutations that some of it waits for have become before.
    pub became: BTreeMap<MutationNumber, MutationNumber>,
}

/// Finds what stands behind the mutations `of`, which were rejected or given up.
pub(crate) fn find(cx: &mut Context<'_>, of: &BTreeSet<MutationNumber>) -> Result<Behind, StepError> {
    let mut behind = Behind::default();
    let Some(low) = of.first().copied() else {
        return Ok(behind);
    };
    let mut moving: BTreeMap<MutationNumber, OutboxEntry> = BTreeMap::new();
    // In the order of their numbers, so that what waits comes after what it waits for.
    for entry in cx.tx.linked_after(low)? {
        let follows = |number: &MutationNumber| of.contains(number) || behind.all.contains(number);
        if behind.all.contains(&entry.number) || !stands(&entry) || !entry.depends_on.iter().any(follows) {
            continue;
        }
        let group = cx.tx.group(entry.first)?;
        behind.all.extend(group.iter().map(|member| member.number));
        let mut may = is_whole(&group) && group.iter().all(may_move);
        for number in &entry.depends_on {
            if of.contains(number) || moving.contains_key(number) {
                continue;
            }
            if let Some(new) = goes_on_as(cx, *number)? {
                behind.became.insert(*number, new);
            } else if behind.all.contains(number) || renew::rejection(cx, *number)?.is_some() {
                // It waits where it is for what stays there; what was rejected would only take it down again.
                may = false;
            }
        }
        for member in &group {
            may = may && !was_followed(cx, member, &behind)?;
        }
        if may {
            moving.extend(group.into_iter().map(|member| (member.number, member)));
        }
    }
    behind.moving = moving.into_values().collect();
    Ok(behind)
}

/// Puts them behind what the mutations that they wait for have become.
pub(crate) fn follow(
    cx: &mut Context<'_>,
    mut moving: Vec<OutboxEntry>,
    became: &BTreeMap<MutationNumber, MutationNumber>,
) -> Result<(), StepError> {
    for entry in &mut moving {
        // This file never sent it, or it was refused: by the server, which knows it by this number, or here. Another file of
        // the same name, which this one is a copy of or was copied to, may have sent it: the server looks.
        let replica = entry.replica.take().unwrap_or_else(|| cx.tx.replica());
        let number = entry.number;
        if entry.moved_from.len() >= MOVED_FROM_MAX {
            return Err(moved_too_often(number));
        }
        entry.moved_from.push(MutationId { replica, number });
    }
    let moved = renew::renumber(cx, moving, became)?;
    for entry in &moved {
        cx.rebase_entry(entry)?;
    }
    Ok(())
}

fn moved_too_often(number: MutationNumber) -> StepError {
    let message = format!(
        "mutation {number}, which is queued behind it, has got another number {MOVED_FROM_MAX} times (MOVED_FROM_MAX): \
         discard that one first, or retry this one as it is"
    );
    StepError::Refused(RejectReason {
        code: ErrorType::LimitExceeded,
        message,
    })
}

/// Whatever saw the mutation `new` saw what `old` made, too: `new` goes in the place of `old`, which may have been carried out.
pub(crate) fn saw_both(cx: &mut Context<'_>, old: MutationNumber, new: MutationNumber) -> Result<(), StepError> {
    for mut entry in cx.tx.dependents(new)? {
        if entry.seen.contains(&new) && !entry.seen.contains(&old) {
            entry.seen.push(old);
            entry.seen.sort_unstable();
            cx.tx.set_links(&entry)?;
        }
    }
    Ok(())
}

/// The server has refused `entry`, which was on its way, for the sake of a mutation that has been made anew since: it follows
/// that one. Gives whether it does.
pub(crate) fn refused_on_its_way(
    cx: &mut Context<'_>,
    entry: &OutboxEntry,
    reason: &RejectReason,
) -> Result<bool, StepError> {
    if reason.code != ErrorType::DependencyRejected {
        return Ok(false);
    }
    let mut became = BTreeMap::new();
    for number in &entry.depends_on {
        if let Some(new) = goes_on_as(cx, *number)? {
            became.insert(*number, new);
        } else if renew::rejection(cx, *number)?.is_some() {
            return Ok(false);
        }
    }
    let group = cx.tx.group(entry.first)?;
    if became.is_empty() || !is_whole(&group) {
        return Ok(false);
    }
    let moving = renew::with_waiting(cx, group)?;
    follow(cx, moving, &became)?;
    cx.wake_now = true;
    Ok(true)
}

/// The mutation that the app has made of a rejected one, if that one has not ended itself without effect.
fn goes_on_as(cx: &mut Context<'_>, number: MutationNumber) -> Result<Option<MutationNumber>, StepError> {
    let mut at = number;
    loop {
        let Some(ended) = cx.tx.ended(at)? else {
            let entry = cx.tx.entry(at)?;
            let goes_on = entry.is_some_and(|entry| !matches!(entry.state, EntryState::Rejected(_)));
            return Ok((goes_on && at != number).then_some(at));
        };
        match (ended.became, ended.outcome) {
            // Numbers only grow, so this ends.
            (Some(new), _) if new > at => at = new,
            (_, FinalOutcome::Applied | FinalOutcome::Merged) => return Ok(Some(at).filter(|at| *at != number)),
            (_, FinalOutcome::Rejected(_) | FinalOutcome::Discarded) => return Ok(None),
        }
    }
}

/// Whether an entry makes no sense, or was refused, without what it depends on.
fn stands(entry: &OutboxEntry) -> bool {
    match &entry.state {
        EntryState::Queued | EntryState::InFlight | EntryState::Wedged { .. } | EntryState::GivenUp => true,
        EntryState::Rejected(reason) => reason.code == ErrorType::DependencyRejected,
        EntryState::Acked { .. } => false,
    }
}

/// Whether an entry has certainly not been carried out.
fn may_move(entry: &OutboxEntry) -> bool {
    match &entry.state {
        EntryState::Queued => true,
        EntryState::Rejected(_) => stands(entry),
        EntryState::InFlight | EntryState::Wedged { .. } | EntryState::GivenUp | EntryState::Acked { .. } => false,
    }
}

/// Whether a mutation that was refused has been followed by a later one of the same record that stands: made again now, it
/// would go over that one, which its user made when he saw this one refused.
fn was_followed(cx: &mut Context<'_>, refused: &OutboxEntry, behind: &Behind) -> Result<bool, StepError> {
    if !matches!(refused.state, EntryState::Rejected(_)) {
        return Ok(false);
    }
    let Some(id) = cx.model_id(&refused.intent.model) else {
        return Ok(false);
    };
    let model = &cx.schema[id];
    let Some(key) = refused.intent.key_for(model) else {
        return Ok(false);
    };
    let key = key.to_text();
    let waiting = cx.entries_of(model, &key)?;
    let standing = waiting.iter().filter(|entry| entry.state.is_unsettled());
    let mut later: Vec<MutationNumber> = standing.map(|entry| entry.number).collect();
    later.extend(cx.tx.took_effect_after(&refused.intent.model, &key, refused.number)?);
    // What it waits for has become another, or goes on with it.
    let with_it = |number: &MutationNumber| behind.all.contains(number) || behind.became.values().any(|n| n == number);
    Ok(later.iter().any(|number| *number > refused.number && !with_it(number)))
}

/// Whether the app has taken note of no part of this transaction; of a part of one the app makes what it wants itself.
fn is_whole(group: &[OutboxEntry]) -> bool {
    group
        .iter()
        .zip(group.first().map_or(0, |entry| entry.first.0)..)
        .all(|(entry, number)| entry.number.0 == number)
}
