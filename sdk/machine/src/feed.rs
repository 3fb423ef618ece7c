//! The change feed: the one source of base rows, and the scopes it is asked for.

use std::collections::BTreeMap;

use tombolo_core::id::{Cursor, Position};
use tombolo_core::record::Key;
use tombolo_core::wire::batch::ChangeBatch;

use crate::context::Context;
use crate::effect::Effect;
use crate::history;
use crate::input::FeedNumber;
use crate::landed;
use crate::link;
use crate::machine::StepError;
use crate::pace;
use crate::scope::{Scope, ScopeRow};
use crate::store::{Base, StoreError};

/// Applies a page: rows, departures, the cursor, and the settling of what the cursor has passed, in one transaction.
pub(crate) fn batch(cx: &mut Context<'_>, feed: FeedNumber, batch: &ChangeBatch) -> Result<(), StepError> {
    if !cx.state.is_open() || feed != cx.state.feed {
        return Ok(());
    }
    let (Some(model), Some(mut scope)) = (cx.model_id(&batch.model), cx.state.scopes.get(&batch.model).cloned()) else {
        return Ok(());
    };
    let Some(shape) = cx.schema.models.get(model.0) else {
        return Ok(());
    };
    let cursor: Cursor = match batch.cursor.parse() {
        Ok(cursor) => cursor,
        Err(error) => {
            link::bad_feed(cx, &format!("the change feed gave a bad cursor: {error}"));
            return Ok(());
        }
    };
    let before = scope.parsed_cursor();
    let same_epoch = before.as_ref().is_none_or(|at| at.epoch == cursor.epoch);
    if !batch.reset && same_epoch && before.as_ref().is_some_and(|at| cursor.position < at.position) {
        // Heard before; a cursor never goes back within an epoch.
        return Ok(());
    }
    if !same_epoch && !batch.reset {
        // Another history from its middle: what this page lacks would be swept as gone. From the beginning, then.
        scope.cursor = None;
        scope.generation += 1;
        scope.base_sync = true;
        scope.up_to_date = false;
        cx.tx.put_scope(&scope)?;
        cx.state.scopes.insert(batch.model.clone(), scope);
        link::subscribe(cx);
        return Ok(());
    }
    if batch.reset && scope.cursor.is_some() {
        scope.generation += 1;
        scope.base_sync = true;
    }
    history::doubt_acked(cx, &batch.model, &cursor.epoch.0)?;
    if let Some(landed) = &batch.landed {
        landed::note(cx, &batch.model, &cursor, landed)?;
    }

    let applied = cx.tx.apply_rows(model, batch, scope.generation)?;
    let mut touched: BTreeMap<String, Key> = BTreeMap::new();
    for row in &applied.set_aside {
        let key = row.key(&shape.key);
        cx.tx.put_base(model, &key, Some(row), Some(scope.generation))?;
        touched.insert(key.to_text(), key);
    }
    match &applied.keys {
        Some(keys) => keys.iter().for_each(|key| cx.changes.add(&batch.model, key)),
        None => cx.changes.add_all(&batch.model),
    }
    for left in &batch.left {
        let key = Key::from_json(shape, left).ok_or_else(|| {
            StoreError::BadBatch(format!("{} is not a key of {}", serde_json::json!(left), batch.model))
        })?;
        let text = key.to_text();
        if cx.tx.base(model, &key)? != Base::Unsaved {
            cx.tx.put_base(model, &key, None, Some(scope.generation))?;
            touched.insert(text, key);
        } else {
            cx.tx.remove_view(model, &key)?;
            cx.changes.add(&batch.model, &text);
        }
    }

    let completes = scope.base_sync && batch.up_to_date;
    if completes {
        for key in cx.tx.sweep(model, scope.generation)? {
            cx.tx.put_base(model, &key, None, Some(scope.generation))?;
            touched.insert(key.to_text(), key);
        }
        scope.base_sync = false;
        cx.changes.add_all(&batch.model);
    }
    scope.cursor = Some(batch.cursor.clone());
    scope.up_to_date = batch.up_to_date;
    cx.tx.put_scope(&scope)?;

    // In the middle of a catch-up a cursor beyond a mutation says nothing: its row may have been written again since and
    // then stands at a later place, not yet pulled.
    if batch.up_to_date {
        for entry in cx.acked(&batch.model, &cursor.epoch.0, cursor.position, false)? {
            cx.remove_entry(&entry)?;
            if let Some(key) = entry.intent.key_for(shape) {
                touched.insert(key.to_text(), key);
            }
        }
    }
    // What was settled is gone from the outbox by now.
    for key in touched.keys() {
        landed::look(cx, shape, key, &cursor)?;
    }
    let (rows, left) = (applied.rows + applied.set_aside.len() as u64, batch.left.len() as u64);
    cx.state.scopes.insert(batch.model.clone(), scope);
    for key in touched.values() {
        cx.rebase(model, key)?;
    }
    cx.progress = true;
    pace::page_came(cx, &batch.model);
    cx.effects.push(Effect::Pulled {
        model: batch.model.clone(),
        rows,
        left,
    });
    next_page(cx, &batch.model, batch.up_to_date);
    Ok(())
}

/// While a base sync goes by pages, each page asks for the next; after the last one the subscription begins.
fn next_page(cx: &mut Context<'_>, model: &str, up_to_date: bool) {
    if !cx.state.paging.contains(model) {
        return;
    }
    if up_to_date {
        cx.state.paging.remove(model);
    }
    if cx.state.paging.is_empty() {
        link::subscribe(cx);
    } else {
        link::fetch_page(cx);
    }
}

/// The replica is to hold this scope: new, or with another filter than before. Rows that the new filter does not hold
/// leave at once; the others stay until a base sync has said which of them are still there.
pub(crate) fn set_scope(cx: &mut Context<'_>, scope: Scope) -> Result<(), StepError> {
    let model = cx
        .model_id(&scope.model)
        .ok_or_else(|| StepError::UnknownModel(scope.model.clone()))?;
    let old = cx.state.scopes.get(&scope.model);
    if old.is_some_and(|old| old.filter == scope.filter) {
        return Ok(());
    }
    let generation = old.map_or(0, |old| old.generation) + 1;
    if let Some(filter) = &scope.filter {
        cx.tx.keep_only(model, filter)?;
        cx.changes.add_all(&scope.model);
    }
    // Another filter may be one that the server takes.
    cx.state.refused.remove(&scope.model);
    let row = ScopeRow::new(scope, generation);
    cx.tx.put_scope(&row)?;
    cx.state.scopes.insert(row.model.clone(), row);
    link::subscribe(cx);
    Ok(())
}

/// The replica is to hold nothing of this model: its rows leave, its queued mutations stay.
pub(crate) fn remove_scope(cx: &mut Context<'_>, name: &str) -> Result<(), StepError> {
    if cx.state.scopes.remove(name).is_none() {
        return Ok(());
    }
    cx.state.refused.remove(name);
    cx.tx.remove_scope(name)?;
    if let Some(model) = cx.model_id(name) {
        let shape = &cx.schema[model];
        for entry in cx.acked(name, "", Position(0), true)? {
            cx.remove_entry(&entry)?;
            cx.rebase_entry(&entry)?;
        }
        for key in cx.tx.sweep(model, i64::MAX)? {
            cx.tx.put_base(model, &key, None, Some(0))?;
            landed::forget(cx, shape, &key.to_text())?;
            cx.rebase(model, &key)?;
        }
        cx.changes.add_all(name);
    }
    link::subscribe(cx);
    Ok(())
}
