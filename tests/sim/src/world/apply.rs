//! What each operation does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tombolo_core::id::{FieldId, ModelId, MutationNumber};
use tombolo_core::merge::Operation;
use tombolo_core::record::Key;
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_machine::{CloseReason, Effect, EntryState, Input, NewMutation, StepError, StoreError, StoreTx as _};

use super::{Broken, World, model_id, scope};
use crate::generate::REPLICAS_MAX;
use crate::naive::Query;
use crate::op::{Kind, Op, RecordName};
use crate::oracle::Meant;
use crate::oracle::deed::Deed;
use crate::replica::{Driven, WALL_BEGIN_MS};
use crate::report::Group;
use crate::wire::Wire;

/// A mutation as a plan makes it: record, kind, fields.
type Made<'a> = (RecordName, MutationKind, Vec<(&'a str, Value)>);

fn todo(number: u32) -> RecordName {
    RecordName {
        kind: Kind::Todo,
        number,
    }
}

impl World {
    /// Carries out one operation; false if it does not apply.
    pub(super) fn apply(&mut self, op: &Op) -> Result<bool, Broken> {
        if actor(op).is_some_and(|replica| replica >= self.replicas.len()) {
            // The plan was cut down: this one never joined.
            return Ok(false);
        }
        match op {
            Op::Create {
                replica,
                record,
                list,
                title,
                color,
            } => {
                let mut sets = vec![("title", Value::Text(title.clone()))];
                if !matches!(record.kind, Kind::List | Kind::Tally) {
                    sets.push(("color", Value::Text(color.clone())));
                }
                if let Some(list) = list {
                    sets.push(("listID", Value::Text(list.to_string())));
                }
                self.mutate(*replica, vec![(*record, MutationKind::Create, sets)])
            }
            Op::Edit {
                replica,
                record,
                field,
                value,
            } => {
                if record.kind == Kind::Tally
                    && let Some(deed) = Deed::parse(field, value)
                {
                    return self.tally(*replica, *record, &deed);
                }
                let value = match field.as_str() {
                    "rank" | "best" => Value::Int(value.parse().unwrap_or_default()),
                    _ => Value::Text(value.clone()),
                };
                let sets = vec![(field.as_str(), value)];
                self.mutate(*replica, vec![(*record, MutationKind::Update, sets)])
            }
            Op::Delete { replica, record } => self.mutate(*replica, vec![(*record, MutationKind::Delete, Vec::new())]),
            Op::Transaction {
                replica,
                list,
                record,
                title,
            } => {
                let of_todo = |n: u32| {
                    vec![
                        ("title", Value::Text(format!("{title}.{n}"))),
                        ("color", Value::Text("red".into())),
                        ("listID", Value::Text(list.to_string())),
                    ]
                };
                let of_list = vec![("title", Value::Text(title.clone()))];
                let list = RecordName {
                    kind: Kind::List,
                    number: *list,
                };
                self.mutate(
                    *replica,
                    vec![
                        (list, MutationKind::Create, of_list),
                        (todo(*record), MutationKind::Create, of_todo(0)),
                        (todo(record + 1), MutationKind::Create, of_todo(1)),
                    ],
                )
            }
            Op::RunQuery { replica, query } => {
                self.count(Group::Event, "queries compared");
                self.ask(*replica, &Query::derive(*query))?;
                Ok(true)
            }
            Op::SetScope { replica, color } => {
                let Some(slot) = self.scopes.get_mut(*replica) else {
                    return Ok(false);
                };
                if slot == color {
                    return Ok(false);
                }
                let before = std::mem::replace(slot, color.clone());
                if self.input(*replica, Input::SetScope(scope(Kind::Todo, color.as_deref())))? {
                    self.count(Group::Event, "scope changed");
                    return Ok(true);
                }
                if let Some(slot) = self.scopes.get_mut(*replica) {
                    *slot = before;
                }
                Ok(false)
            }
            Op::GoOnline(replica) | Op::GoOffline(replica) => {
                let online = matches!(op, Op::GoOnline(_));
                let was = std::mem::replace(&mut self.replica(*replica)?.online, online);
                if was && !online {
                    self.count(Group::Fault, "replica went offline");
                }
                // An app may say so again: it sees a network where there was none.
                let done = self.input(*replica, Input::SetOnline(online))?;
                if !done {
                    self.replica(*replica)?.online = was;
                }
                Ok(done)
            }
            Op::DropLink(replica) => {
                if matches!(self.replica(*replica)?.wire, Wire::Down) {
                    return Ok(false);
                }
                self.count(Group::Fault, "link dropped");
                self.link_lost(*replica, CloseReason::Lost("cut".into()))?;
                Ok(true)
            }
            Op::DelayLink { replica, ms } => {
                self.count(Group::Fault, "link delayed");
                self.replica(*replica)?.weather.delay = Duration::from_millis(*ms);
                Ok(true)
            }
            Op::ReorderAcrossTopics { replica, on } => {
                self.count(Group::Fault, "topics split or joined");
                self.replica(*replica)?.weather.split = *on;
                Ok(true)
            }
            Op::Duplicate(replica) => {
                let replica = self.replica(*replica)?;
                let (Some((number, request)), Wire::Up { session, .. }) = (replica.last_request.clone(), &replica.wire)
                else {
                    return Ok(false);
                };
                let session = *session;
                self.count(Group::Fault, "request doubled");
                let received = self.server()?.receive_mutation(session, number.0, &request);
                received.map_err(|detail| self.broken("no request is malformed", detail))?;
                Ok(true)
            }
            Op::Echo(replica) => {
                self.replica(*replica)?.weather.echo = true;
                Ok(true)
            }
            Op::Cut { replica, up } => {
                let weather = &mut self.replica(*replica)?.weather;
                *(if *up {
                    &mut weather.cut_up
                } else {
                    &mut weather.cut_down
                }) = true;
                Ok(true)
            }
            Op::ExpireToken(replica) => {
                if !std::mem::take(&mut self.replica(*replica)?.token_good) {
                    return Ok(false);
                }
                self.count(Group::Fault, "token expired");
                // The server ends the link at once, or refuses what comes next.
                if self.rng.bool() && matches!(self.replica(*replica)?.wire, Wire::Up { .. }) {
                    self.link_lost(*replica, CloseReason::Unauthorized("expired".into()))?;
                }
                Ok(true)
            }
            Op::FreshToken(replica) => {
                let was = std::mem::replace(&mut self.replica(*replica)?.token_good, true);
                let done = self.input(*replica, Input::TokenChanged)?;
                if !done {
                    // The app could not hand it over.
                    self.replica(*replica)?.token_good = was;
                }
                Ok(done)
            }
            Op::Kill { replica, after } => {
                self.replica(*replica)?.kill = Some(*after);
                Ok(true)
            }
            Op::FailReplica(replica) => {
                self.replica(*replica)?.fail_next = true;
                self.count(Group::Fault, "replica's commit fails");
                Ok(true)
            }
            Op::Disk { replica, full } => {
                if std::mem::replace(&mut self.replica(*replica)?.full, *full) == *full {
                    return Ok(false);
                }
                if *full {
                    self.count(Group::Fault, "replica's disk full");
                }
                self.revive(*replica, true)?;
                Ok(true)
            }
            Op::RestartServer => {
                self.count(Group::Fault, "server killed");
                let old = self.server.take().ok_or(Broken)?;
                let new = old
                    .restart(self.reopen)
                    .map_err(|detail| self.broken("world", detail))?;
                self.server = Some(new);
                for index in 0..self.replicas.len() {
                    if !matches!(self.replica(index)?.wire, Wire::Down) {
                        self.link_lost(index, CloseReason::Ended)?;
                    }
                }
                Ok(true)
            }
            Op::FailCommit => {
                self.count(Group::Fault, "server's commit fails");
                self.server()?.troubles.fail_write.store(true, Ordering::SeqCst);
                Ok(true)
            }
            Op::FailRead => {
                self.count(Group::Fault, "server's read fails");
                self.server()?.troubles.fail_read.store(true, Ordering::SeqCst);
                Ok(true)
            }
            Op::Poison(replica) => {
                let undecided =
                    |e: &tombolo_machine::OutboxEntry| matches!(e.state, EntryState::Queued | EntryState::InFlight);
                let Some(entry) = self.outbox(*replica)?.into_iter().rev().find(undecided) else {
                    return Ok(false);
                };
                self.count(Group::Fault, "mutation poisoned");
                let name = self.replica(*replica)?.name.clone();
                let troubles = std::sync::Arc::clone(&self.server()?.troubles);
                let mut poison = troubles.poison.lock().unwrap_or_else(PoisonError::into_inner);
                poison.insert((name, entry.first.0));
                Ok(true)
            }
            Op::Cure => {
                let troubles = std::sync::Arc::clone(&self.server()?.troubles);
                let mut poison = troubles.poison.lock().unwrap_or_else(PoisonError::into_inner);
                let any = !poison.is_empty();
                poison.clear();
                Ok(any)
            }
            Op::CompactFeed { silence } => {
                self.count(Group::Fault, "feed compacted");
                let wall_ms = self.clock.as_millis() as i64 + WALL_BEGIN_MS;
                let server = self.server()?;
                let now_ms = wall_ms + server.clock_error_ms;
                let through = server.compact(now_ms, Duration::from_millis(*silence));
                let through = through.map_err(|detail| self.broken("world", detail))?;
                self.pruned_through = self.pruned_through.max(through);
                self.history.compact();
                Ok(true)
            }
            Op::Refresh(replica) => self.input(*replica, Input::Refresh),
            Op::Retry(replica) => self.retry(*replica),
            Op::Discard(replica) => self.discard(*replica),
            Op::Dismiss(replica) => self.dismiss(*replica),
            Op::RevokeScope(kind) => {
                if self.server()?.revoked.contains(kind.model()) {
                    return Ok(false);
                }
                self.count(Group::Fault, "scope revoked");
                for (session, sent) in self.server()?.revoke(kind.model()) {
                    self.deliver(session, sent);
                }
                Ok(true)
            }
            Op::GrantScope(kind) => {
                if !self.server()?.revoked.remove(kind.model()) {
                    return Ok(false);
                }
                // It is asked for again with the next link.
                for index in 0..self.replicas.len() {
                    if matches!(self.replica(index)?.wire, Wire::Up { .. }) {
                        self.link_lost(index, CloseReason::Ended)?;
                    }
                }
                Ok(true)
            }
            Op::AddReplica => {
                if self.replicas.len() >= REPLICAS_MAX {
                    return Ok(false);
                }
                self.count(Group::Event, "replica joined");
                let index = self.replicas.len();
                self.add_replica()?;
                self.replica(index)?.online = true;
                self.input(index, Input::SetOnline(true))
            }
            Op::SetWall { replica, ms } => {
                self.count(Group::Fault, "clock on the wall set");
                match replica {
                    Some(replica) => self.replica(*replica)?.clock_error_ms = *ms,
                    None => self.server()?.clock_error_ms = *ms,
                }
                Ok(true)
            }
            Op::Step(count) => {
                for _ in 0..*count {
                    if !self.step()? {
                        break;
                    }
                }
                Ok(true)
            }
            Op::Advance(ms) => {
                self.clock += Duration::from_millis(*ms);
                Ok(true)
            }
            Op::Quiesce => {
                self.quiesce()?;
                Ok(true)
            }
        }
    }

    /// The link breaks, and the replica is told.
    pub(super) fn link_lost(&mut self, index: usize, why: CloseReason) -> Result<(), Broken> {
        self.hang_up(index, false)?;
        self.input(index, Input::LinkClosed(why)).map(drop)
    }

    /// A user counts, or adds to a set or takes from it: by an operation, or as an app that writes what it read with the
    /// change in it.
    fn tally(&mut self, index: usize, record: RecordName, deed: &Deed) -> Result<bool, Broken> {
        let model = model_id(record.kind);
        let schema = std::sync::Arc::clone(&self.schema);
        let field = schema
            .models
            .get(model.0)
            .and_then(|m| m.field(deed.field))
            .ok_or(Broken)?;
        let key = Key(vec![Value::Text(record.number.to_string())]);
        let row = self.with_tx(index, |tx| tx.view(model, &key).map_err(|e| e.to_string()))?;
        let Some(shown) = row.filter(|r| !r.meta.deleted).map(|r| r.value(field).to_json()) else {
            return Ok(false);
        };
        if !deed.whole {
            let operation = (field, deed.operation());
            return self.mutate_with(
                index,
                vec![(record, MutationKind::Update, Vec::new())],
                Some((operation, deed)),
            );
        }
        let Some(value) = deed.whole(&shown) else {
            return Ok(false);
        };
        self.whole = Some(deed.clone());
        let done = self.mutate(index, vec![(record, MutationKind::Update, vec![(deed.field, value)])]);
        self.whole = None;
        done
    }

    fn mutate(&mut self, index: usize, mutations: Vec<Made<'_>>) -> Result<bool, Broken> {
        self.mutate_with(index, mutations, None)
    }

    /// A user's mutations through a replica; false if the app would refuse the call because of what it shows.
    fn mutate_with(
        &mut self,
        index: usize,
        mutations: Vec<Made<'_>>,
        operation: Option<((FieldId, Operation), &Deed)>,
    ) -> Result<bool, Broken> {
        let whole = self.whole.clone();
        let schema = std::sync::Arc::clone(&self.schema);
        let mut new = Vec::new();
        let mut meant = Vec::new();
        for (record, kind, sets) in mutations {
            let model = model_id(record.kind);
            let shape = schema.models.get(model.0).ok_or(Broken)?;
            let id = Value::Text(record.number.to_string());
            let key = Key(vec![id.clone()]);
            let row = self.with_tx(index, |tx| tx.view(model, &key).map_err(|e| e.to_string()))?;
            let shows = row.as_ref().is_some_and(|r| !r.meta.deleted);
            if (kind == MutationKind::Create) == shows {
                return Ok(false);
            }
            self.named.insert(record);
            let sets: Vec<(&str, Value)> = std::iter::once(("id", id)).chain(sets).collect();
            meant.push(Meant {
                kind,
                model,
                key: key.to_text(),
                // A counter's or a set's value is a deed: what it comes to depends on the others.
                sets: sets
                    .iter()
                    .filter(|(n, _)| whole.as_ref().is_none_or(|deed| deed.field != *n))
                    .map(|(n, v)| ((*n).to_owned(), v.clone()))
                    .collect(),
                deeds: operation
                    .iter()
                    .map(|(_, deed)| (*deed).clone())
                    .chain(whole.clone())
                    .collect(),
                gone: false,
                uncertain: false,
            });
            let mut mutation = new_mutation(shape, model, kind, sets);
            mutation
                .operations
                .extend(operation.clone().map(|(operation, _)| operation));
            new.push(mutation);
        }
        match self.drive(index, Input::Enqueue(new))? {
            Driven::Refused(StepError::Store(StoreError::Full)) => {
                self.count(Group::Event, "replica met a full disk");
                Ok(true)
            }
            Driven::Refused(_) => {
                self.count(Group::Mutation, "refused at the call");
                Ok(false)
            }
            Driven::DiedBefore => {
                self.count(Group::Fault, "app killed before commit");
                self.revive(index, self.reopen)?;
                Ok(true)
            }
            Driven::DiedAfter => {
                // The call never returned: it may have changed what stood in the queue for these records.
                self.count(Group::Fault, "app killed after commit");
                for old in self.meant.iter_mut().filter(|((r, _), _)| *r == index).map(|(_, m)| m) {
                    old.uncertain |= meant.iter().any(|m| m.key == old.key && m.model == old.model);
                }
                self.revive(index, self.reopen)?;
                // What it queued nobody was told of; later edits may be folded into it.
                for entry in self.outbox(index)? {
                    let untold = meant
                        .iter()
                        .find(|m| m.key == entry.intent.key_text() && entry.intent.model == schema[m.model].name);
                    if let Some(untold) = untold {
                        let slot = self.meant.entry((index, entry.number.0));
                        slot.or_insert_with(|| untold.clone()).uncertain = true;
                    }
                }
                Ok(true)
            }
            Driven::Done(effects) => {
                self.note(index, meant, &effects);
                self.carry_out(index, effects)?;
                self.look(index)?;
                Ok(true)
            }
        }
    }

    /// Notes what the user meant under the numbers that the replica gave.
    fn note(&mut self, index: usize, meant: Vec<Meant>, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Enqueued(numbers) = effect {
                for (number, meant) in numbers.iter().zip(&meant) {
                    self.count(Group::Mutation, "enqueued");
                    let slot = self.meant.entry((index, number.0));
                    slot.and_modify(|old| {
                        if meant.kind == MutationKind::Delete {
                            old.kind = MutationKind::Delete;
                        }
                        old.sets.extend(meant.sets.clone());
                        old.deeds.extend(meant.deeds.clone());
                    })
                    .or_insert_with(|| meant.clone());
                }
            }
        }
    }

    fn retry(&mut self, index: usize) -> Result<bool, Broken> {
        let wedged = self.outbox(index)?;
        // One of each transaction.
        let wedged: BTreeMap<MutationNumber, MutationNumber> = wedged
            .into_iter()
            .filter(|e| matches!(e.state, EntryState::Wedged { .. }))
            .map(|e| (e.first, e.number))
            .collect();
        let mut any = false;
        for number in wedged.into_values() {
            any |= self.input(index, Input::Retry(number))?;
            self.count(Group::Mutation, "retried");
        }
        Ok(any)
    }

    fn discard(&mut self, index: usize) -> Result<bool, Broken> {
        let may = |state: &EntryState| matches!(state, EntryState::Queued | EntryState::Wedged { .. });
        let before = self.outbox(index)?;
        let Some(entry) = before.iter().find(|e| may(&e.state)) else {
            return Ok(false);
        };
        let done = self.input(index, Input::Discard(entry.number))?;
        // Also if the app died before it was told: it is given up when it is no longer there, or waits for the server's word.
        let mut after = self.outbox(index)?;
        after.retain(|e| e.state != EntryState::GivenUp);
        let after: BTreeSet<MutationNumber> = after.into_iter().map(|e| e.number).collect();
        for given_up in before
            .iter()
            .filter(|e| e.first == entry.first && !after.contains(&e.number))
        {
            if let Some(meant) = self.meant.get_mut(&(index, given_up.number.0)) {
                meant.gone = true;
            }
        }
        Ok(done)
    }

    fn dismiss(&mut self, index: usize) -> Result<bool, Broken> {
        let rejected: Vec<MutationNumber> = self
            .outbox(index)?
            .into_iter()
            .filter(|e| matches!(e.state, EntryState::Rejected(_)))
            .map(|e| e.number)
            .collect();
        for number in &rejected {
            // Whether it died before or after: told or not, the rejection was seen.
            if self.input(index, Input::Discard(*number))?
                && let Some(meant) = self.meant.get_mut(&(index, number.0))
            {
                meant.gone = true;
            }
        }
        Ok(!rejected.is_empty())
    }
}

fn new_mutation(
    shape: &tombolo_core::schema::Model,
    model: ModelId,
    kind: MutationKind,
    sets: Vec<(&str, Value)>,
) -> NewMutation {
    NewMutation {
        model,
        kind,
        values: sets
            .into_iter()
            .filter_map(|(name, value)| Some((shape.field(name)?, value)))
            .collect(),
        operations: Vec::new(),
        base_version: None,
        condition: None,
        author: None,
    }
}

/// The replica that an operation is about.
fn actor(op: &Op) -> Option<usize> {
    match op {
        Op::Create { replica, .. }
        | Op::Edit { replica, .. }
        | Op::Delete { replica, .. }
        | Op::Transaction { replica, .. }
        | Op::RunQuery { replica, .. }
        | Op::SetScope { replica, .. }
        | Op::DelayLink { replica, .. }
        | Op::ReorderAcrossTopics { replica, .. }
        | Op::Cut { replica, .. }
        | Op::Kill { replica, .. }
        | Op::Disk { replica, .. }
        | Op::GoOffline(replica)
        | Op::GoOnline(replica)
        | Op::DropLink(replica)
        | Op::Duplicate(replica)
        | Op::Echo(replica)
        | Op::ExpireToken(replica)
        | Op::FreshToken(replica)
        | Op::FailReplica(replica)
        | Op::Poison(replica)
        | Op::Refresh(replica)
        | Op::Retry(replica)
        | Op::Discard(replica)
        | Op::Dismiss(replica) => Some(*replica),
        Op::SetWall { replica, .. } => *replica,
        Op::RestartServer
        | Op::FailCommit
        | Op::FailRead
        | Op::CompactFeed { .. }
        | Op::Cure
        | Op::RevokeScope(_)
        | Op::GrantScope(_)
        | Op::AddReplica
        | Op::Step(_)
        | Op::Advance(_)
        | Op::Quiesce => None,
    }
}
