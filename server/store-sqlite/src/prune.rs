//! What is no longer kept, what replicas hold, and a new identity for a database that is not what it was.
//!
//! A table *is* its feed in order, and a changed row moves to its end. So old tombstones are found by walking each table
//! once from its beginning, remembering how far (`_pruned`): whatever was passed is no tombstone, and what becomes one
//! stands further on. The walk ends at what some replica has not passed, and at what is not old enough: how far that is
//! says [`ages`], whose time every moment here is in.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tombolo_core::id::{Epoch, Position};
use tombolo_core::schema::Schema;
use tombolo_engine::{Head, Pruned, ReplicaNote, Retention, StoreError, limits};

use crate::ages;
use crate::error::store_error;
use crate::open::Db;
use crate::read::read_head;
use crate::tables::quoted;
use crate::traces;
use crate::write::meta;

/// Notes that replica ?1 was heard of at ?2, in kept time.
pub(crate) const SEEN: &str = "INSERT INTO _replicas (replica, settled_through, last_seen_ms) VALUES (?1, 0, ?2)
     ON CONFLICT (replica) DO UPDATE SET last_seen_ms = max(last_seen_ms, excluded.last_seen_ms), stage = 0";

/// Alive.
const ALIVE: i64 = 0;
/// Silent for as long as outcomes are kept: those that it has settled went.
const SILENT: i64 = 1;
/// Written off: those that it has not settled are going.
const WRITTEN_OFF: i64 = 2;
/// Nothing of it is left but its row.
const GONE: i64 = 3;

/// Writes down which replicas were heard of, and what they hold.
pub(crate) fn note(db: &mut Db, notes: &[ReplicaNote], now_ms: i64) -> Result<(), StoreError> {
    let mut run = || -> rusqlite::Result<()> {
        let tx = db.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let now_ms = ages::now(&tx, now_ms)?;
            let mut seen = tx.prepare_cached(SEEN)?;
            let mut holds = tx.prepare_cached("UPDATE _replicas SET cursor = ?2, cursor_ms = ?3 WHERE replica = ?1")?;
            for note in notes {
                seen.execute((&note.replica.0, now_ms))?;
                if let Some(position) = note.holds {
                    holds.execute((&note.replica.0, position.0, now_ms))?;
                }
            }
        }
        tx.commit()
    };
    run().map_err(store_error)
}

/// One bounded step of pruning, see [`tombolo_engine::Store::prune`].
pub(crate) fn prune(db: &mut Db, now_ms: i64, retention: &Retention) -> Result<Pruned, StoreError> {
    let Db { conn, schema, .. } = db;
    let mut run = || -> rusqlite::Result<Pruned> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut step = Step {
            conn: &tx,
            budget: limits::PRUNE_ROWS_MAX,
            now_ms: ages::count_on(&tx, now_ms)?,
            pruned: Pruned::default(),
            highest: 0,
        };
        step.replicas(retention)?;
        let (aged, _) = ages::older_than(&tx, step.now_ms, retention.tombstones)?;
        let last = step.floor(retention)?.min(aged);
        step.tombstones(schema, last)?;
        step.departures(last)?;
        step.traces(retention)?;
        ages::forget(&tx, step.now_ms, retention.tombstones.max(retention.traces))?;
        let pruned = step.finish()?;
        tx.commit()?;
        Ok(pruned)
    };
    run().map_err(store_error)
}

/// Gives the history a new identity, see [`tombolo_engine::Store::renew_epoch`].
pub(crate) fn renew_epoch(db: &mut Db, was: Option<&Epoch>, fresh: Option<&str>) -> Result<Head, StoreError> {
    let mut run = || -> rusqlite::Result<Head> {
        let tx = db.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = read_head(&tx)?;
        if was.is_some_and(|was| *was != head.epoch) {
            return Ok(head);
        }
        let epoch = match fresh {
            Some(first) => {
                let count: Option<i64> = tx
                    .query_row("SELECT value FROM _meta WHERE key = 'renewals'", (), |row| row.get(0))
                    .optional()?;
                let count = count.unwrap_or_default() + 1;
                tx.execute(
                    "INSERT OR REPLACE INTO _meta (key, value) VALUES ('renewals', ?1)",
                    [count],
                )?;
                format!("{first}-{count}")
            }
            None => uuid::Uuid::new_v4().to_string(),
        };
        tx.execute("UPDATE _meta SET value = ?1 WHERE key = 'epoch'", [&epoch])?;
        // They hold places of the old history; each begins with a base sync and holds nothing back until then.
        tx.execute(
            "UPDATE _replicas SET cursor = NULL, cursor_ms = NULL WHERE cursor IS NOT NULL",
            (),
        )?;
        tx.commit()?;
        Ok(Head {
            epoch: Epoch(epoch),
            ..head
        })
    };
    run().map_err(store_error)
}

struct Step<'a> {
    conn: &'a Connection,
    /// Rows that may still be looked at.
    budget: usize,
    /// In kept time.
    now_ms: i64,
    pruned: Pruned,
    /// The highest position of what was removed from the feed.
    highest: i64,
}

impl Step<'_> {
    fn before(&self, age: std::time::Duration) -> i64 {
        ages::before(self.now_ms, age)
    }

    /// Takes up to `count` from the budget.
    fn spend(&mut self, count: usize) {
        self.budget = self.budget.saturating_sub(count);
    }

    fn left(&self) -> i64 {
        i64::try_from(self.budget).unwrap_or(i64::MAX)
    }

    /// Silent replicas: first their settled outcomes go, at last, when they are written off, those that are not settled.
    fn replicas(&mut self, retention: &Retention) -> rusqlite::Result<()> {
        let silent_ms = self.before(retention.tombstones);
        // Never before outcomes may go at all.
        let off_ms = self.before(retention.replica_silence).min(silent_ms);
        while let Some((replica, settled)) = self.next_replica(ALIVE, silent_ms)? {
            if !self.forget(&replica, settled)? {
                return Ok(());
            }
            self.set_stage(&replica, SILENT)?;
        }
        while let Some((replica, settled)) = self.next_replica(SILENT, off_ms)? {
            let highest: Option<i64> = self
                .conn
                .prepare_cached("SELECT max(number) FROM _outcomes WHERE replica = ?1")?
                .query_row([&replica], |row| row.get(0))?;
            self.conn
                .prepare_cached(
                    "UPDATE _replicas SET stage = ?2, cursor = NULL, cursor_ms = NULL,
                       lost_through = max(lost_through, ?3) WHERE replica = ?1",
                )?
                .execute((&replica, WRITTEN_OFF, highest.unwrap_or_default().max(settled)))?;
            self.pruned.written_off += 1;
            self.spend(1);
        }
        while let Some((replica, _)) = self.next_replica(WRITTEN_OFF, i64::MAX)? {
            if !self.forget(&replica, i64::MAX)? {
                return Ok(());
            }
            self.set_stage(&replica, GONE)?;
            // One that never wrote leaves nothing to remember.
            self.conn
                .prepare_cached("DELETE FROM _replicas WHERE replica = ?1 AND lost_through = 0")?
                .execute([&replica])?;
        }
        Ok(())
    }

    /// A replica in `stage` that was last heard of before `seen_ms`, with what it has settled; `None` also when the
    /// budget is used up.
    fn next_replica(&self, stage: i64, seen_ms: i64) -> rusqlite::Result<Option<(String, i64)>> {
        if self.budget == 0 {
            return Ok(None);
        }
        self.conn
            .prepare_cached(
                "SELECT replica, settled_through FROM _replicas WHERE stage = ?1 AND last_seen_ms < ?2
                 ORDER BY last_seen_ms, replica LIMIT 1",
            )?
            .query_row((stage, seen_ms), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    fn set_stage(&mut self, replica: &str, stage: i64) -> rusqlite::Result<()> {
        self.spend(1);
        self.conn
            .prepare_cached("UPDATE _replicas SET stage = ?2 WHERE replica = ?1")?
            .execute((replica, stage))?;
        Ok(())
    }

    /// Removes outcomes of `replica` up to `through`, as many as the budget has; says whether that was all.
    fn forget(&mut self, replica: &str, through: i64) -> rusqlite::Result<bool> {
        let last: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT number FROM _outcomes WHERE replica = ?1 AND number <= ?2 ORDER BY number LIMIT 1 OFFSET ?3",
            )?
            .query_row((replica, through, self.left() - 1), |row| row.get(0))
            .optional()?;
        let removed = self
            .conn
            .prepare_cached("DELETE FROM _outcomes WHERE replica = ?1 AND number <= ?2")?
            .execute((replica, last.unwrap_or(through)))?;
        self.pruned.outcomes += removed as u64;
        self.spend(removed);
        Ok(last.is_none())
    }

    /// The lowest place that some replica holds which is not written off: what it has not passed is kept for it.
    fn floor(&mut self, retention: &Retention) -> rusqlite::Result<i64> {
        // What was shown longer ago than a replica may be silent holds nothing back.
        let shown_ms = self.before(retention.replica_silence);
        let floor: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT cursor FROM _replicas WHERE cursor IS NOT NULL AND cursor_ms >= ?1 ORDER BY cursor LIMIT 1",
            )?
            .query_row([shown_ms], |row| row.get(0))
            .optional()?;
        let head = meta(self.conn, "position")?;
        Ok(floor.unwrap_or(head).min(head))
    }

    /// Walks on through each model's table up to `last` and removes the tombstones that it meets.
    fn tombstones(&mut self, schema: &Schema, last: i64) -> rusqlite::Result<()> {
        for model in &schema.models {
            if self.budget == 0 {
                return Ok(());
            }
            let table = quoted(&model.name);
            let from: Option<i64> = self
                .conn
                .prepare_cached("SELECT through FROM _pruned WHERE model = ?1")?
                .query_row([&model.name], |row| row.get(0))
                .optional()?;
            let from = from.unwrap_or_default();
            let (mut through, mut looked_at, mut tombstones) = (from, 0, Vec::new());
            {
                let mut walk = self.conn.prepare_cached(&format!(
                    "SELECT _position, _deleted FROM {table} WHERE _position > ?1 AND _position <= ?2
                     ORDER BY _position LIMIT ?3"
                ))?;
                let mut rows = walk.query((from, last, self.left()))?;
                while let Some(row) = rows.next()? {
                    looked_at += 1;
                    through = row.get(0)?;
                    if row.get(1)? {
                        tombstones.push(through);
                    }
                }
            }
            self.spend(looked_at);
            if through == from {
                continue;
            }
            let mut remove = self
                .conn
                .prepare_cached(&format!("DELETE FROM {table} WHERE _position = ?1"))?;
            for position in &tombstones {
                remove.execute([position])?;
                self.highest = self.highest.max(*position);
            }
            self.pruned.tombstones += tombstones.len() as u64;
            self.conn
                .prepare_cached("INSERT OR REPLACE INTO _pruned (model, through) VALUES (?1, ?2)")?
                .execute((&model.name, through))?;
        }
        Ok(())
    }

    fn departures(&mut self, last: i64) -> rusqlite::Result<()> {
        let mut query = self
            .conn
            .prepare_cached("SELECT position FROM _departures WHERE position <= ?1 ORDER BY position LIMIT ?2")?;
        let old: Vec<i64> = query
            .query_map((last, self.left()), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let Some(last) = old.last() else { return Ok(()) };
        self.conn
            .prepare_cached("DELETE FROM _departures WHERE position <= ?1")?
            .execute([last])?;
        self.highest = self.highest.max(*last);
        self.pruned.departures += old.len() as u64;
        self.spend(old.len());
        Ok(())
    }

    /// Nobody goes on from a trace: they go by age alone.
    fn traces(&mut self, retention: &Retention) -> rusqlite::Result<()> {
        let (_, last) = ages::older_than(self.conn, self.now_ms, retention.traces)?;
        let removed = traces::prune(self.conn, last, self.budget)?;
        self.pruned.traces += removed as u64;
        self.spend(removed);
        Ok(())
    }

    /// Raises the low watermark over what was removed.
    fn finish(mut self) -> rusqlite::Result<Pruned> {
        let known = meta(self.conn, "low_watermark")?;
        if self.highest > known {
            self.conn
                .prepare_cached("UPDATE _meta SET value = ?1 WHERE key = 'low_watermark'")?
                .execute([self.highest])?;
        }
        self.pruned.low_watermark = Position(self.highest.max(known));
        self.pruned.more = self.budget == 0;
        Ok(self.pruned)
    }
}
