//! Coming to rest, and what must hold then and on the way.

use std::collections::BTreeSet;
use std::time::Duration;

use tombolo_core::id::ModelId;
use tombolo_core::record::Record;
use tombolo_core::schema::Schema;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_machine::{EntryState, Input, Link, StoreTx as _};

use super::{Broken, Held, OUTBOX_MAX, World, model_id};
use crate::naive::Query;
use crate::op::Kind;
use crate::oracle::{self, Meant};
use crate::report::Group;
use crate::wire::Wire;

/// Steps within which a world must come to rest.
const QUIESCE_STEPS_MAX: u32 = 20_000;

/// How long a world that has come to rest must stay so: beyond the longest back-off and the longest silence.
const REST: Duration = Duration::from_secs(120);

/// Timers that may still run out in a world at rest: each replica has one.
const TIMERS_MAX: usize = 64;

impl World {
    /// What holds after each commit of a replica.
    pub(super) fn look(&mut self, index: usize) -> Held {
        self.look_after(index, false)
    }

    /// What holds after each commit of a replica, and of its cursors if it took in a batch.
    pub(super) fn look_after(&mut self, index: usize, batch: bool) -> Held {
        let law = oracle::bounds(self.replica(index)?.machine.status(), OUTBOX_MAX);
        law.map_err(|detail| self.broken("bounds", format!("replica {index}: {detail}")))?;
        // Without unsettled ones nothing is laid over a base row. That the machine counts right is looked at when all rests.
        let unsettled = self.unsettled(index)?;
        if !unsettled && !batch {
            return Ok(());
        }
        let epoch = self.epoch.clone();
        let color = self.scopes.get(index).cloned().flatten();
        let pruned = self.pruned_through;
        let law = self.in_tx_rows(index, |tx, schema, rows| {
            let scopes = if batch {
                tx.scopes().map_err(|e| e.to_string())?
            } else {
                Vec::new()
            };
            for scope in &scopes {
                // A place in a history that the server has lost says nothing of the present one.
                let Some(cursor) = scope.parsed_cursor().filter(|cursor| cursor.epoch == epoch) else {
                    continue;
                };
                let Some(model) = schema.model_named(&scope.model) else {
                    continue;
                };
                let through = (cursor.position, pruned);
                let holds = |row: &Record| in_scope(schema, model, color.as_deref(), row);
                let honest = oracle::cursor_honesty(tx, schema, rows, model, through, scope.base_sync, holds);
                if let Err(detail) = honest {
                    return Ok(Err(("cursor honesty", detail)));
                }
            }
            if !unsettled {
                return Ok(Ok(()));
            }
            let entries = tx.outbox(0, OUTBOX_MAX).map_err(|e| e.to_string())?;
            let laid = oracle::read_your_writes(tx, schema, &entries);
            Ok(laid.map_err(|detail| ("read your writes", detail)))
        })?;
        law.map_err(|(law, detail)| self.broken(law, format!("replica {index}: {detail}")))
    }

    /// A local query, and what it must answer.
    pub(super) fn ask(&mut self, index: usize, query: &Query) -> Held {
        let schema = std::sync::Arc::clone(&self.schema);
        let named = std::mem::take(&mut self.named);
        let law = self.with_tx(index, |tx| Ok(oracle::planner(tx, &schema, &named, query)));
        self.named = named;
        law?.map_err(|detail| self.broken("planner", format!("replica {index}: {detail}")))
    }

    /// Links up, everything delivered, nothing due; then the whole is looked at.
    pub(super) fn quiesce(&mut self) -> Held {
        for index in 0..self.replicas.len() {
            if self.replica(index)?.full {
                self.replica(index)?.full = false;
                self.revive(index, true)?;
            }
            let replica = self.replica(index)?;
            replica.fail_next = false;
            replica.weather.delay = Duration::ZERO;
            let online = std::mem::replace(&mut replica.online, true);
            let token_good = std::mem::replace(&mut replica.token_good, true);
            if !online {
                self.input(index, Input::SetOnline(true))?;
            }
            if !token_good {
                self.input(index, Input::TokenChanged)?;
            }
        }
        self.rest()?;
        for index in 0..self.replicas.len() {
            self.look_at_the_whole(index)?;
            let query = Query::derive(self.rng.u64(..));
            self.ask(index, &query)?;
        }
        if self.at == self.last_quiesce {
            self.fresh_eyes()?;
        }
        self.count(Group::Event, "quiesced");
        Ok(())
    }

    /// Steps until nothing is due and nobody waits for anything, moving the clock to the next timer when idle. Then lets
    /// the timers that are left run out: at rest they start nothing.
    fn rest(&mut self) -> Held {
        for _ in 0..QUIESCE_STEPS_MAX {
            if self.step()? {
                continue;
            }
            if self.give_tokens()? {
                continue;
            }
            let (waiting, on_way) = (self.somebody_waits()?, self.next_arrival());
            let timer = self.next_timer();
            match (waiting, on_way, timer) {
                (false, None, _) => return self.stays_at_rest(),
                (_, Some(at), Some(timer)) => self.clock = self.clock.max(at.min(timer)),
                (_, Some(at), None) | (true, None, Some(at)) => self.clock = self.clock.max(at),
                (true, None, None) => {
                    let detail = format!("somebody waits and no timer is set: {}", self.statuses());
                    return Err(self.broken("comes to rest", detail));
                }
            }
        }
        let detail = format!("still busy after {QUIESCE_STEPS_MAX} steps: {}", self.statuses());
        Err(self.broken("comes to rest", detail))
    }

    /// An app that was asked for a credential gives one: a refusal of the old one may have come late.
    fn give_tokens(&mut self) -> Result<bool, Broken> {
        for index in 0..self.replicas.len() {
            if self.replica(index)?.machine.link() == Link::Paused {
                self.input(index, Input::TokenChanged)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn statuses(&self) -> String {
        let all: Vec<_> = self.replicas.iter().flatten().map(|r| r.machine.status()).collect();
        format!("{all:?}")
    }

    fn next_timer(&self) -> Option<Duration> {
        self.replicas.iter().flatten().filter_map(|r| r.wake_at).min()
    }

    fn next_arrival(&self) -> Option<Duration> {
        let arrivals = self
            .replicas
            .iter()
            .flatten()
            .filter_map(|replica| match &replica.wire {
                Wire::Up {
                    to_server, to_replica, ..
                } => to_server.next_at().into_iter().chain(to_replica.next_at()).min(),
                Wire::Down | Wire::Opening => None,
            });
        arrivals.min()
    }

    /// Whether a replica is not up to date, or has a mutation on its way that does not wait for the app.
    fn somebody_waits(&mut self) -> Result<bool, Broken> {
        for index in 0..self.replicas.len() {
            let status = self.replica(index)?.machine.status();
            if !status.up_to_date {
                return Ok(true);
            }
            if status.pending == 0 {
                continue;
            }
            let entries = self.outbox(index)?;
            let stuck = oracle::stuck(&entries);
            let moves = |e: &tombolo_machine::OutboxEntry| {
                !matches!(e.state, EntryState::Rejected(_)) && !stuck.contains(&e.number)
            };
            if entries.iter().any(moves) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// **Bounds** (8): at rest no timer that is due within the retry ceiling starts anything.
    fn stays_at_rest(&mut self) -> Held {
        for replica in self.replicas.iter_mut().flatten() {
            // What waits for a next commit that will not come.
            (replica.kill, replica.fail_next) = (None, false);
        }
        let sends = self.sends;
        let until = self.clock + REST;
        for _ in 0..TIMERS_MAX {
            let Some(at) = self.next_timer().filter(|at| *at <= until) else {
                return if self.sends == sends {
                    Ok(())
                } else {
                    Err(self.broken("bounds", "a world at rest opened a link or sent something"))
                };
            };
            self.clock = self.clock.max(at);
            while self.step()? {}
        }
        let detail = format!("timers are set again and again at rest: {}", self.statuses());
        Err(self.broken("bounds", detail))
    }

    fn look_at_the_whole(&mut self, index: usize) -> Held {
        let counts = self.with_tx(index, |tx| tx.counts().map_err(|e| e.to_string()))?;
        let status = self.replica(index)?.machine.status();
        let told = (status.pending, status.wedged, status.rejected);
        let held = (counts.pending(), counts.wedged, counts.rejected);
        if told != held {
            let detail =
                format!("replica {index} tells of {told:?} mutations pending, wedged, rejected and holds {held:?}");
            return Err(self.broken("counts", detail));
        }
        let entries = self.outbox(index)?;
        let stuck = oracle::stuck(&entries);
        let ended =
            |e: &&tombolo_machine::OutboxEntry| matches!(e.state, EntryState::Rejected(_)) || stuck.contains(&e.number);
        if let Some(entry) = entries.iter().find(|e| !ended(e)) {
            let (number, state) = (entry.number, &entry.state);
            let detail = format!("replica {index}: mutation {number} is {state:?} with everything delivered");
            return Err(self.broken("every mutation ends", detail));
        }
        self.nothing_lost(index, &entries.iter().map(|e| e.number.0).collect())?;
        let unsettled = entries.iter().filter(|e| e.state.is_unsettled());
        let unsettled = unsettled
            .map(|e| (e.intent.model.clone(), e.intent.key_text()))
            .collect();
        self.converged(index, &unsettled)
    }

    /// **No lost write** (3): what a user was told is queued was decided by the server, was given up, or is still there.
    fn nothing_lost(&mut self, index: usize, entries: &BTreeSet<u64>) -> Held {
        let mine: Vec<(u64, Meant)> = self
            .meant
            .range((index, 0)..=(index, u64::MAX))
            .map(|((_, n), m)| (*n, m.clone()))
            .collect();
        for (number, meant) in mine {
            let server = self.verdict(index, number);
            let known = match server {
                Some(OutcomeKind::Applied | OutcomeKind::Merged) => true,
                Some(OutcomeKind::Rejected) => meant.gone || entries.contains(&number),
                None => meant.gone || meant.uncertain || entries.contains(&number),
            };
            if !known {
                let detail = format!("replica {index}, mutation {number} ({meant:?}): the server says {server:?}");
                return Err(self.broken("no lost write", detail));
            }
        }
        Ok(())
    }

    fn converged(&mut self, index: usize, unsettled: &BTreeSet<(String, String)>) -> Held {
        let color = self.scopes.get(index).cloned().flatten();
        let scopes = &self.replica(index)?.machine.status().scopes;
        let refused: BTreeSet<String> = scopes
            .iter()
            .filter(|scope| scope.refused.is_some())
            .map(|scope| scope.model.clone())
            .collect();
        let pruned = self.pruned_through;
        let removed = self.removed.clone();
        let law = self.in_tx_rows(index, |tx, schema, rows| {
            for kind in Kind::ALL.into_iter().filter(|kind| !refused.contains(kind.model())) {
                let model = model_id(kind);
                let wanted = !removed.contains(&(index, kind));
                let scope = |row: &Record| wanted && in_scope(schema, model, color.as_deref(), row);
                let equal = oracle::convergence(tx, schema, rows, model, pruned, unsettled, scope);
                if equal.is_err() {
                    return Ok(equal);
                }
            }
            Ok(Ok(()))
        })?;
        law.map_err(|detail| self.broken("convergence", format!("replica {index}: {detail}")))
    }

    /// **Fresh eyes** (2). A replica that comes new sees by one base sync what the others see after all they went through,
    /// and both are what the server's own verdicts said.
    fn fresh_eyes(&mut self) -> Held {
        let index = self.replicas.len();
        let opened = self.open_replica("fresh".into(), index);
        let mut fresh = opened.map_err(|detail| self.broken("world", detail))?;
        fresh.online = true;
        self.replicas.push(Some(fresh));
        self.scopes.push(None);
        self.begin(index)?;
        self.rest()?;
        self.converged(index, &BTreeSet::new()).inspect_err(|_| {
            if let Some(violation) = &mut self.report.violation {
                violation.oracle = "fresh eyes";
            }
        })?;
        self.hang_up(index, false)?;
        self.replicas.pop();
        self.scopes.pop();
        Ok(())
    }
}

fn in_scope(schema: &Schema, model: ModelId, color: Option<&str>, row: &Record) -> bool {
    let field = schema.models.get(model.0).and_then(|m| m.field("color"));
    match (model == model_id(Kind::Todo), color, field) {
        (true, Some(color), Some(field)) => *row.value(field) == Value::Text(color.to_owned()),
        _ => true,
    }
}
