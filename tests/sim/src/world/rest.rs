//! Coming to rest, and what must hold then and on the way.

use std::collections::BTreeMap;
use std::sync::Arc;

use tombolo_core::id::ModelId;
use tombolo_core::record::Record;
use tombolo_core::schema::Schema;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_machine::{EntryState, Input};

use super::{Held, LIST, TODO, World};
use crate::oracle::{self, Meant};
use crate::replica::Replica;

/// Steps within which a world must come to rest.
const QUIESCE_STEPS_MAX: u32 = 20_000;

impl World {
    /// What holds after each commit of a replica.
    pub(super) fn look(&mut self, index: usize) -> Held {
        let entries = self.outbox(index)?;
        let schema = Arc::clone(&self.schema);
        let law = self.with_tx(index, |tx| Ok(oracle::read_your_writes(tx, &schema, &entries)))?;
        law.map_err(|detail| self.broken("read your writes", format!("replica {index}: {detail}")))
    }

    /// What holds after each batch.
    pub(super) fn look_at_cursors(&mut self, index: usize) -> Held {
        let schema = Arc::clone(&self.schema);
        let rows = std::mem::take(&mut self.rows);
        let color = self.scopes.get(index).cloned().flatten();
        let law = self.with_tx(index, |tx| {
            for scope in tx.scopes().map_err(|e| e.to_string())? {
                let Some(cursor) = scope.parsed_cursor() else { continue };
                let Some(model) = schema.model_named(&scope.model) else {
                    continue;
                };
                let honest =
                    oracle::cursor_honesty(tx, &schema, &rows, model, cursor.position, scope.base_sync, |row| {
                        in_scope(&schema, model, color.as_deref(), row)
                    });
                if honest.is_err() {
                    return Ok(honest);
                }
            }
            Ok(Ok(()))
        });
        self.rows = rows;
        law?.map_err(|detail| self.broken("cursor honesty", format!("replica {index}: {detail}")))
    }

    /// Links up, everything delivered, nothing due; then the whole is looked at.
    pub(super) fn quiesce(&mut self) -> Held {
        for index in 0..self.replicas.len() {
            if !std::mem::replace(&mut self.replica(index)?.online, true) {
                self.input(index, Input::SetOnline(true))?;
            }
        }
        self.rest()?;
        for index in 0..self.replicas.len() {
            self.look_at_the_whole(index)?;
        }
        self.fresh_eyes()?;
        self.count("quiesced");
        Ok(())
    }

    /// Steps until nothing is due and nobody waits for anything, moving the clock to the next timer when idle.
    fn rest(&mut self) -> Held {
        for _ in 0..QUIESCE_STEPS_MAX {
            if self.step()? {
                continue;
            }
            let waiting = self.replicas.iter().flatten().any(|r| {
                let status = r.machine.status();
                !status.up_to_date || status.pending > status.wedged
            });
            let next = self.replicas.iter().flatten().filter_map(|r| r.wake_at).min();
            match (waiting, next) {
                (false, _) => return Ok(()),
                (true, Some(at)) => self.clock = self.clock.max(at),
                (true, None) => {
                    let status: Vec<_> = self.replicas.iter().flatten().map(|r| r.machine.status()).collect();
                    let detail = format!("somebody waits and no timer is set: {status:?}");
                    return Err(self.broken("comes to rest", detail));
                }
            }
        }
        let status: Vec<_> = self
            .replicas
            .iter()
            .flatten()
            .map(|r| r.machine.status().clone())
            .collect();
        Err(self.broken(
            "comes to rest",
            format!("still busy after {QUIESCE_STEPS_MAX} steps: {status:?}"),
        ))
    }

    fn look_at_the_whole(&mut self, index: usize) -> Held {
        let entries: BTreeMap<u64, EntryState> =
            self.outbox(index)?.into_iter().map(|e| (e.number.0, e.state)).collect();
        if let Some((number, state)) = entries
            .iter()
            .find(|(_, s)| !matches!(s, EntryState::Rejected(_) | EntryState::Wedged { .. }))
        {
            let detail = format!("replica {index}: mutation {number} is {state:?} with everything delivered");
            return Err(self.broken("every mutation ends", detail));
        }
        let mine: Vec<(u64, Meant)> = self
            .meant
            .iter()
            .filter(|((r, _), _)| *r == index)
            .map(|((_, n), m)| (*n, m.clone()))
            .collect();
        for (number, meant) in mine {
            let server = self.decided.get(&(index, number)).map(|d| d.outcome);
            let known = match server {
                Some(OutcomeKind::Applied | OutcomeKind::Merged) => true,
                Some(OutcomeKind::Rejected) => meant.gone || entries.contains_key(&number),
                None => meant.gone || meant.uncertain || entries.contains_key(&number),
            };
            if !known {
                let detail = format!("replica {index}, mutation {number} ({meant:?}): the server says {server:?}");
                return Err(self.broken("no lost write", detail));
            }
        }
        self.converged(index, self.scopes.get(index).cloned().flatten())
    }

    fn converged(&mut self, index: usize, color: Option<String>) -> Held {
        let schema = Arc::clone(&self.schema);
        let rows = std::mem::take(&mut self.rows);
        let law = self.with_tx(index, |tx| {
            for model in [LIST, TODO] {
                let scope = |row: &Record| in_scope(&schema, model, color.as_deref(), row);
                let equal = oracle::convergence(tx, &schema, &rows, model, scope);
                if equal.is_err() {
                    return Ok(equal);
                }
            }
            Ok(Ok(()))
        });
        self.rows = rows;
        law?.map_err(|detail| self.broken("convergence", format!("replica {index}: {detail}")))
    }

    /// **Fresh eyes.** A replica that comes new sees by one base sync what the others see after all they went through,
    /// and both are what the server's own verdicts said.
    fn fresh_eyes(&mut self) -> Held {
        let index = self.replicas.len();
        let path = self
            .folder
            .join(format!("fresh-{}-{}.sqlite", index, self.report.steps));
        let opened = Replica::open(path.clone(), Arc::clone(&self.schema), index, 7);
        let mut fresh = opened.map_err(|detail| self.broken("world", detail))?;
        fresh.online = true;
        self.replicas.push(Some(fresh));
        self.scopes.push(None);
        self.begin(index)?;
        self.rest()?;
        self.converged(index, None).inspect_err(|_| {
            if let Some(violation) = &mut self.report.violation {
                violation.oracle = "fresh eyes";
            }
        })?;
        self.hang_up(index)?;
        self.replicas.pop();
        self.scopes.pop();
        // A folder in memory: not to be filled by those who only looked.
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
        Ok(())
    }
}

fn in_scope(schema: &Schema, model: ModelId, color: Option<&str>, row: &Record) -> bool {
    let field = schema.models.get(model.0).and_then(|m| m.field("color"));
    match (model == TODO, color, field) {
        (true, Some(color), Some(field)) => *row.value(field) == Value::Text(color.to_owned()),
        _ => true,
    }
}
