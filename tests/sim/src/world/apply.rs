//! What each operation does.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_machine::{CloseReason, EntryState, Input, StoreTx as _};

use super::{Broken, World, scope};
use crate::generate::REPLICAS_MAX;
use crate::naive::Query;
use crate::op::{Kind, Op, RecordName};
use crate::oracle::deed::Deed;
use crate::replica::WALL_BEGIN_MS;
use crate::report::Group;
use crate::wire::{Carrier, Wire};

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
                let returns = self.removed.remove(&(*replica, Kind::Todo));
                if slot == color && !returns {
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
                if returns {
                    self.removed.insert((*replica, Kind::Todo));
                }
                Ok(false)
            }
            Op::RemoveScope { replica, kind } => {
                if !self.removed.insert((*replica, *kind)) {
                    return Ok(false);
                }
                if self.input(*replica, Input::RemoveScope(kind.model().into()))? {
                    self.count(Group::Event, "scope removed");
                    self.no_feed_for(Some(*replica), *kind);
                    return Ok(true);
                }
                self.removed.remove(&(*replica, *kind));
                Ok(false)
            }
            Op::ReturnScope { replica, kind } => {
                if !self.removed.remove(&(*replica, *kind)) {
                    return Ok(false);
                }
                let color = self.scopes.get(*replica).cloned().flatten();
                if self.input(*replica, Input::SetScope(scope(*kind, color.as_deref())))? {
                    return Ok(true);
                }
                self.removed.insert((*replica, *kind));
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
            Op::Switch { replica, mqtt } => {
                let to = if *mqtt { Carrier::Mqtt } else { Carrier::WebSocket };
                let was = std::mem::replace(&mut self.replica(*replica)?.weather.carrier, to);
                let queue = self.unsettled(*replica)?;
                let done = self.input(*replica, Input::TransportChanged)?;
                if !done {
                    self.replica(*replica)?.weather.carrier = was;
                    return Ok(false);
                }
                self.count(Group::Event, "transport switched");
                if queue {
                    self.count(Group::Event, "transport switched in mid-queue");
                }
                Ok(true)
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
            Op::CopyFile(replica) => self.copy_file(*replica),
            Op::RestoreFile(replica) => self.restore_file(*replica),
            Op::CopyServer => self.copy_server(),
            Op::RestoreServer => self.restore_server(),
            Op::RestartServer => {
                self.count(Group::Fault, "server killed");
                let old = self.server.take().ok_or(Broken)?;
                let new = if self.reopen { old.reopen() } else { old.revive() };
                self.server = Some(new.map_err(|detail| self.broken("world", detail))?);
                for index in 0..self.replicas.len() {
                    if !matches!(self.replica(index)?.wire, Wire::Down) {
                        self.link_lost(index, CloseReason::Ended)?;
                    }
                }
                self.server()?.forget_stragglers();
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
                let present = self.with_tx(*replica, |tx| Ok(tx.replica()))?;
                let name = entry.replica.unwrap_or(present).0;
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
            Op::EditAndRetry { replica, title } => self.edit_and_retry(*replica, title),
            Op::Discard(replica) => self.discard(*replica),
            Op::Dismiss(replica) => self.dismiss(*replica),
            Op::RevokeScope(kind) => {
                if self.server()?.revoked.contains(kind.model()) {
                    return Ok(false);
                }
                self.count(Group::Fault, "scope revoked");
                self.no_feed_for(None, *kind);
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
        | Op::RemoveScope { replica, .. }
        | Op::ReturnScope { replica, .. }
        | Op::EditAndRetry { replica, .. }
        | Op::DelayLink { replica, .. }
        | Op::ReorderAcrossTopics { replica, .. }
        | Op::Cut { replica, .. }
        | Op::Switch { replica, .. }
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
        | Op::CopyFile(replica)
        | Op::RestoreFile(replica)
        | Op::Poison(replica)
        | Op::Refresh(replica)
        | Op::Retry(replica)
        | Op::Discard(replica)
        | Op::Dismiss(replica) => Some(*replica),
        Op::SetWall { replica, .. } => *replica,
        Op::RestartServer
        | Op::CopyServer
        | Op::RestoreServer
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
