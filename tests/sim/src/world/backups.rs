//! Backups: made, and put back in place of what has moved on since.
//!
//! What a backup does not hold is lost by putting it back, and that alone the books forgive. A replica's file goes back
//! with what its user meant until then; everything that the copy holds as unsettled must still come to its end. The server's
//! database goes back with all that is known of it; what replicas hold as unsettled must be decided anew.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::id::Position;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_machine::{CloseReason, EntryState, OutboxEntry};

use super::books::SentAs;
use super::{Broken, World};
use crate::backup::Kept;
use crate::op::Kind;
use crate::oracle::history::History;
use crate::oracle::{Decided, Meant, Rows};
use crate::replica::Restart;
use crate::report::Group;
use crate::wire::Wire;

/// A backup of a replica's file, and what was known of it.
pub(super) struct FileCopy {
    kept: Kept,
    meant: BTreeMap<u64, Meant>,
    sent_as: BTreeMap<u64, SentAs>,
    /// The numbers in its outbox, and whether they are acknowledged there.
    held: BTreeMap<u64, bool>,
    /// Of these, those that a lost history acknowledged.
    doubtful: BTreeSet<u64>,
}

/// A backup of the server's database, and what was known of it.
pub(super) struct ServerCopy {
    kept: Kept,
    rows: Rows,
    history: History,
    decided: BTreeMap<(String, u64), Decided>,
    last_position: Position,
    pruned_through: Position,
}

fn is_carried_out(outcome: OutcomeKind) -> bool {
    matches!(outcome, OutcomeKind::Applied | OutcomeKind::Merged)
}

impl World {
    pub(super) fn copy_file(&mut self, index: usize) -> Result<bool, Broken> {
        let kept = self.replica(index)?.copy();
        let kept = kept.map_err(|detail| self.broken("world", detail))?;
        let is_acked = |entry: &OutboxEntry| matches!(entry.state, EntryState::Acked { .. });
        let held = self.outbox(index)?;
        let held = held.iter().map(|entry| (entry.number.0, is_acked(entry))).collect();
        let all = (index, 0)..=(index, u64::MAX);
        let meant = self.meant.range(all.clone()).map(|((_, n), m)| (*n, m.clone()));
        let sent_as = self.sent_as.range(all).map(|((_, n), s)| (*n, s.clone()));
        let copy = FileCopy {
            kept,
            meant: meant.collect(),
            sent_as: sent_as.collect(),
            held,
            doubtful: BTreeSet::new(),
        };
        self.copies.insert(index, copy);
        self.count(Group::Event, "replica's file copied");
        Ok(true)
    }

    pub(super) fn restore_file(&mut self, index: usize) -> Result<bool, Broken> {
        let Some(copy) = self.copies.get(&index) else {
            return Ok(false);
        };
        self.meant.retain(|(of, _), _| *of != index);
        self.meant
            .extend(copy.meant.iter().map(|(n, m)| ((index, *n), m.clone())));
        self.sent_as.retain(|(of, _), _| *of != index);
        self.sent_as
            .extend(copy.sent_as.iter().map(|(n, s)| ((index, *n), s.clone())));
        self.doubtful
            .extend(copy.doubtful.iter().map(|number| (index, *number)));
        let kept = copy.kept.clone();
        self.count(Group::Fault, "replica's file restored");
        self.hang_up(index, false)?;
        let old = self.replicas.get_mut(index).and_then(Option::take).ok_or(Broken)?;
        let mut new = old
            .restart(Restart::Restored(&kept))
            .map_err(|detail| self.broken("world", detail))?;
        new.since_session = self.next_session;
        if let Some(slot) = self.replicas.get_mut(index) {
            *slot = Some(new);
        }
        for kind in Kind::ALL {
            if self.removed.contains(&(index, kind)) || self.server()?.revoked.contains(kind.model()) {
                self.no_feed_for(Some(index), kind);
            }
        }
        self.begin(index)?;
        Ok(true)
    }

    pub(super) fn copy_server(&mut self) -> Result<bool, Broken> {
        let kept = self.server()?.copy();
        let kept = kept.map_err(|detail| self.broken("world", detail))?;
        self.server_copy = Some(ServerCopy {
            kept,
            rows: self.rows.clone(),
            history: self.history.clone(),
            decided: self.decided.clone(),
            last_position: self.last_position,
            pruned_through: self.pruned_through,
        });
        self.count(Group::Event, "server's database copied");
        Ok(true)
    }

    pub(super) fn restore_server(&mut self) -> Result<bool, Broken> {
        let Some(copy) = self.server_copy.take() else {
            return Ok(false);
        };
        self.count(Group::Fault, "server's database restored");
        self.lose_what_is_settled(&copy)?;
        self.rows.clone_from(&copy.rows);
        self.history.clone_from(&copy.history);
        self.history.compact();
        self.decided.clone_from(&copy.decided);
        self.last_position = copy.last_position;
        self.pruned_through = copy.pruned_through;
        let old = self.server.take().ok_or(Broken)?;
        let restored = old.restore(&copy.kept).map_err(|detail| self.broken("world", detail))?;
        self.epoch = restored.1;
        self.server = Some(restored.0);
        self.server_copy = Some(copy);
        for index in 0..self.replicas.len() {
            // Hours have passed: nothing of the old server is on its way any more.
            self.replica(index)?.late.clear();
            if !matches!(self.replica(index)?.wire, Wire::Down) {
                self.link_lost(index, CloseReason::Ended)?;
            }
        }
        self.server()?.forget_stragglers();
        for kind in Kind::ALL {
            if self.server()?.revoked.contains(kind.model()) {
                self.no_feed_for(None, kind);
            }
        }
        Ok(true)
    }

    /// Mutations that are settled on their replica and not in the backup are gone with the database. What an outbox still
    /// holds, in use or in a backup of a replica's file, must be decided again.
    fn lose_what_is_settled(&mut self, copy: &ServerCopy) -> Result<(), Broken> {
        let is_lost = |sent: Option<&SentAs>, number: u64, decided: &BTreeMap<(String, u64), Decided>| {
            let Some(sent) = sent.filter(|sent| !sent.reused) else {
                return false;
            };
            let id = (sent.replica.clone(), number);
            decided.get(&id).is_some_and(|d| is_carried_out(d.outcome))
                && !copy.decided.get(&id).is_some_and(|d| is_carried_out(d.outcome))
        };
        for index in 0..self.replicas.len() {
            let entries = self.outbox(index)?;
            let held: BTreeMap<u64, &EntryState> = entries.iter().map(|e| (e.number.0, &e.state)).collect();
            let mine = self.meant.range_mut((index, 0)..=(index, u64::MAX));
            for ((_, number), meant) in mine {
                if !is_lost(self.sent_as.get(&(index, *number)), *number, &self.decided) {
                    continue;
                }
                match held.get(number) {
                    None => meant.gone = true,
                    Some(EntryState::Acked { .. }) => drop(self.doubtful.insert((index, *number))),
                    Some(_) => {}
                }
            }
        }
        for copied in self.copies.values_mut() {
            for (number, meant) in &mut copied.meant {
                let lost = is_lost(copied.sent_as.get(number), *number, &self.decided);
                match copied.held.get(number) {
                    None => meant.gone |= lost,
                    Some(true) if lost => drop(copied.doubtful.insert(*number)),
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// No feed brings records of this model any more, to one replica or to all: what a lost history acknowledged of them is
    /// taken for settled, as every acknowledged mutation then is.
    pub(super) fn no_feed_for(&mut self, replica: Option<usize>, kind: Kind) {
        let model = super::model_id(kind);
        for (index, number) in &self.doubtful {
            if let Some(meant) = self.meant.get_mut(&(*index, *number))
                && meant.model == model
                && replica.is_none_or(|replica| replica == *index)
            {
                meant.gone = true;
            }
        }
    }
}
