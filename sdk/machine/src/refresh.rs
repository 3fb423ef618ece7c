//! Others write to the same file: another process of the app (an extension, a command line). What the machine remembers of
//! the store is a copy; this makes it agree again, in the transaction in which the next decision is made.
//!
//! | remembered | after others have written |
//! |---|---|
//! | `counts` | read anew |
//! | `scopes` | read anew; if one is not what it was, the subscription is asked for again from the new cursors |
//! | `refused` | kept for scopes that are as they were, asked again for others |
//! | `in_flight` | what the store no longer has in flight is forgotten |
//! | `due`, `busy`, `held` | the same; what is in flight in the store and unknown here is due now (its sender died, or it was retried there) |
//! | `link`, `failures`, `backoff`, `feed`, `subscribed`, `paging`, `feed_failures`, `owed_since`, `send_since`, `wake_at`, `last_error` | this process's own link: kept |
//! | `status` | follows from the others |
//!
//! Numbers, `settled_through`, entries and rows are never remembered: each step reads them from its transaction.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::record::Key;

use crate::context::Context;
use crate::landed;
use crate::link;
use crate::machine::StepError;
use crate::scope::ScopeRow;
use crate::store::Base;

/// Reads anew what others may have changed.
pub(crate) fn refresh(cx: &mut Context<'_>) -> Result<(), StepError> {
    cx.state.data_version = cx.tx.data_version()?;
    cx.state.counts = cx.tx.counts()?;
    sent(cx)?;
    let other_scopes = scopes(cx)?;
    lay_on_dropped(cx)?;
    if other_scopes {
        link::subscribe(cx);
    }
    settle_passed(cx)?;
    for model in &cx.schema.models {
        cx.changes.add_all(&model.name);
    }
    if cx.state.is_open() && (cx.state.counts.queued > 0 || !cx.state.due.is_empty()) {
        cx.wake_now = true;
    }
    Ok(())
}

/// Makes what was sent agree with the entries in flight.
fn sent(cx: &mut Context<'_>) -> Result<(), StepError> {
    let in_flight: BTreeSet<_> = cx.tx.in_flight()?.into_iter().collect();
    let state = &mut cx.state;
    state.in_flight.retain(|number, _| in_flight.contains(number));
    state.due.retain(|number, _| in_flight.contains(number));
    state.busy.retain(|number, _| in_flight.contains(number));
    state.held.retain(|number| in_flight.contains(number));
    for number in in_flight {
        if !state.in_flight.contains_key(&number) {
            state.due.entry(number).or_insert(cx.now.monotonic);
        }
    }
    Ok(())
}

/// Takes the scopes from the store; gives whether any of them is not what this machine last wrote or read.
fn scopes(cx: &mut Context<'_>) -> Result<bool, StepError> {
    let mut stored = BTreeMap::new();
    for mut row in cx.tx.scopes()? {
        if cx.model_id(&row.model).is_none() {
            continue;
        }
        let known = cx.state.scopes.get(&row.model);
        row.up_to_date = known.is_some_and(|known| known.up_to_date && is_same(known, &row));
        stored.insert(row.model.clone(), row);
    }
    let state = &mut cx.state;
    let changed = |model: &String| match (state.scopes.get(model), stored.get(model)) {
        (Some(known), Some(row)) => !is_same(known, row),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    let others: BTreeSet<String> = state
        .scopes
        .keys()
        .chain(stored.keys())
        .filter(|m| changed(m))
        .cloned()
        .collect();
    state.refused.retain(|model, _| !others.contains(model));
    state.scopes = stored;
    Ok(!others.is_empty())
}

/// Whether two rows of one scope stand at the same place; `up_to_date` belongs to a link, not to the file.
fn is_same(a: &ScopeRow, b: &ScopeRow) -> bool {
    (&a.filter, &a.cursor, a.generation, a.base_sync) == (&b.filter, &b.cursor, b.generation, b.base_sync)
}

/// What another process saw acknowledged may be what this one's feed has passed already: no further page would settle it.
fn settle_passed(cx: &mut Context<'_>) -> Result<(), StepError> {
    if cx.state.counts.acked == 0 {
        return Ok(());
    }
    let live: Vec<ScopeRow> = cx
        .state
        .scopes
        .values()
        .filter(|scope| scope.up_to_date)
        .cloned()
        .collect();
    for scope in live {
        let Some(cursor) = scope.parsed_cursor() else { continue };
        for entry in cx.acked(&scope.model, &cursor.epoch.0, cursor.position, false)? {
            cx.remove_entry(&entry)?;
            cx.rebase_entry(&entry)?;
        }
    }
    Ok(())
}

/// Rows of some models were dropped or changed when the file was brought in line with the schema: lays their unsettled
/// mutations anew.
pub(crate) fn lay_on_dropped(cx: &mut Context<'_>) -> Result<(), StepError> {
    for name in cx.tx.take_dropped()? {
        let Some(model) = cx.model_id(&name) else { continue };
        for text in cx.unsettled_keys(&name)? {
            let shape = &cx.schema[model];
            // Not what was made for a key that the model does not have any more.
            let entries = cx.entries_of(shape, &text)?;
            let any = entries.iter().any(|entry| entry.state.is_unsettled());
            if let Some(key) = Key::from_text(shape, &text).filter(|_| any) {
                if cx.tx.base(model, &key)? == Base::Unsaved {
                    cx.tx.put_base(model, &key, None, None)?;
                    landed::forget(cx, shape, &text)?;
                }
                cx.rebase(model, &key)?;
            }
        }
    }
    Ok(())
}
