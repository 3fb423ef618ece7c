//! How long the server keeps what only a replica that was away still needs, and for whom.
//!
//! Tombstones and departures tell a replica what has left; outcomes tell it what became of what it sent. All three could
//! be kept for ever. What makes it safe to drop them stands in three rules, none of which asks a clock:
//!
//! - whatever is dropped from the feed raises the *low watermark* ([`crate::Head::low_watermark`]); a cursor below it is
//!   answered by a base sync, never by a page that would lack something;
//! - a base sync that is under way needs nothing from before it began: its cursors say when that was
//!   ([`tombolo_core::id::FeedCursor`]), so that pruning does not make it begin again;
//! - a replica of which outcomes are dropped that it has not settled is *written off*: a number up to the highest that
//!   was decided for it is refused from then on, since nobody knows any more whether it took effect.
//!
//! Ages only say when dropping is worth it: [`Retention`]. They are no clock's word: a store counts what passed from one
//! prune to the next, at most a day, so that a clock that jumps makes things a day older at worst. What a replica holds is known from the cursors with
//! which it asks, and from nothing else: what it was sent it may not have kept. They are noted in memory and written
//! down together now and then ([`limits::NOTE_INTERVAL_MS`]); losing them costs a base sync at worst.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tombolo_core::id::{Epoch, ModelId, Position, ReplicaId};

use crate::limits;
use crate::service::Engine;
use crate::store::{Head, Store, StoreError};

/// How long things are kept for those who were away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Tombstones and departures are kept at least this long, and until every replica that is not written off has passed
    /// them; so are outcomes. Default [`limits::TOMBSTONES_KEPT`].
    pub tombstones: Duration,
    /// A replica that has not been heard of for this long is written off. Default [`limits::REPLICA_SILENCE_MAX`].
    pub replica_silence: Duration,
    /// How long conflicts and refusals can be looked up. Default [`limits::TRACES_KEPT`].
    pub traces: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            tombstones: limits::TOMBSTONES_KEPT,
            replica_silence: limits::REPLICA_SILENCE_MAX,
            traces: limits::TRACES_KEPT,
        }
    }
}

/// What one call of [`Store::prune`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Tombstones removed.
    pub tombstones: u64,
    /// Departures removed.
    pub departures: u64,
    /// Outcomes removed.
    pub outcomes: u64,
    /// Traces removed.
    pub traces: u64,
    /// Replicas written off.
    pub written_off: u64,
    /// Cursors below this one begin with a base sync.
    pub low_watermark: Position,
    /// It stopped at its bound: call again soon.
    pub more: bool,
}

impl Pruned {
    /// Whether anything was removed or written off.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.tombstones + self.departures + self.outcomes + self.traces + self.written_off == 0
    }

    /// Adds what a further call did.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            tombstones: self.tombstones + next.tombstones,
            departures: self.departures + next.departures,
            outcomes: self.outcomes + next.outcomes,
            traces: self.traces + next.traces,
            written_off: self.written_off + next.written_off,
            low_watermark: next.low_watermark,
            more: next.more,
        }
    }
}

/// A replica was heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaNote {
    /// Which.
    pub replica: ReplicaId,
    /// The lowest place in the feed that it has shown to hold; `None` if it showed none.
    pub holds: Option<Position>,
}

/// Replicas that were heard of since it was last written down.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// For each scope that it asked for the newest place that it holds.
    replicas: BTreeMap<ReplicaId, BTreeMap<ModelId, Position>>,
    written_ms: Option<i64>,
}

impl Notes {
    /// Nothing that runs under the lock can panic halfway through a change.
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `replica` asks for a scope of `model` from a cursor that proves that it `holds` everything up to there.
    pub(crate) fn see(&self, replica: &ReplicaId, model: ModelId, holds: Position) {
        let mut noted = self.noted();
        if let Some(scopes) = noted.replicas.get_mut(replica) {
            scopes.insert(model, holds);
        } else if noted.replicas.len() < limits::NOTES_MAX {
            noted.replicas.insert(replica.clone(), BTreeMap::from([(model, holds)]));
        }
    }

    /// Whether it is time to write them down.
    fn is_due(&self, now_ms: i64) -> bool {
        let mut noted = self.noted();
        let since = *noted.written_ms.get_or_insert(now_ms);
        // A clock that went back must not keep it from being written down.
        now_ms < since || now_ms - since >= limits::NOTE_INTERVAL_MS
    }

    /// Some of them, taken.
    fn take(&self, now_ms: i64) -> Vec<ReplicaNote> {
        let mut noted = self.noted();
        noted.written_ms = Some(now_ms);
        let count = noted.replicas.len().min(limits::NOTES_PER_COMMIT_MAX);
        let mut taken = Vec::with_capacity(count);
        while taken.len() < count {
            let Some((replica, scopes)) = noted.replicas.pop_first() else {
                break;
            };
            let holds = scopes.into_values().min();
            taken.push(ReplicaNote { replica, holds });
        }
        taken
    }
}

impl<S: Store> Engine<S> {
    /// Removes what nobody needs any more, at most [`limits::PRUNE_ROWS_MAX`] rows; first writes down which replicas were
    /// heard of. Call again soon while it says that there is [`Pruned::more`].
    ///
    /// # Errors
    /// The store's; nothing was removed then.
    pub async fn prune(&self, now_ms: i64, retention: &Retention) -> Result<Pruned, StoreError> {
        self.note_replicas(now_ms).await?;
        self.store.prune(now_ms, *retention).await
    }

    /// Writes down which replicas were heard of and what they hold: hourly with [`Engine::prune`], and before the server
    /// ends.
    ///
    /// # Errors
    /// The store's. What was not written down is forgotten, which costs those replicas a base sync at worst.
    pub async fn note_replicas(&self, now_ms: i64) -> Result<(), StoreError> {
        loop {
            let notes = self.notes.take(now_ms);
            if notes.is_empty() {
                return Ok(());
            }
            self.store.note(notes, now_ms).await?;
        }
    }

    /// The same for a part of them, if it is time.
    pub(crate) async fn note_some(&self, now_ms: i64) {
        if !self.notes.is_due(now_ms) {
            return;
        }
        let notes = self.notes.take(now_ms);
        if !notes.is_empty() {
            // A store in trouble says so to those who wait for an answer; a lost note costs a base sync at worst.
            let _lost = self.store.note(notes, now_ms).await;
        }
    }

    /// Gives the history a new identity: the database is not what it was (a restored backup). Every replica begins with a
    /// base sync and sends again what was acknowledged in the old history and not yet seen in its feed.
    ///
    /// With `was` only if the identity is still that one.
    ///
    /// # Errors
    /// The store's; the identity is then as it was.
    pub async fn renew_epoch(&self, was: Option<Epoch>) -> Result<Head, StoreError> {
        let head = self.store.renew_epoch(was).await?;
        self.set_epoch(head.epoch.clone());
        self.hub.wake_all();
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str) -> ReplicaId {
        ReplicaId(name.into())
    }

    #[test]
    fn a_replica_holds_what_its_lowest_scope_holds() {
        let notes = Notes::default();
        notes.see(&replica("a"), ModelId(0), Position(7));
        notes.see(&replica("a"), ModelId(1), Position(3));
        notes.see(&replica("a"), ModelId(1), Position(5));
        let want = ReplicaNote {
            replica: replica("a"),
            holds: Some(Position(5)),
        };
        assert_eq!(notes.take(0), [want]);
        assert_eq!(notes.take(0), []);
    }

    #[test]
    fn noting_is_bounded_in_memory_and_in_time() {
        let notes = Notes::default();
        assert!(!notes.is_due(1_000));
        assert!(!notes.is_due(1_000 + limits::NOTE_INTERVAL_MS - 1));
        assert!(notes.is_due(1_000 + limits::NOTE_INTERVAL_MS));
        assert!(notes.is_due(0), "a clock that went back");
        for i in 0..limits::NOTES_MAX + 10 {
            notes.see(&replica(&format!("{i}")), ModelId(0), Position(1));
        }
        assert_eq!(notes.noted().replicas.len(), limits::NOTES_MAX);
        assert_eq!(notes.take(5).len(), limits::NOTES_PER_COMMIT_MAX);
    }
}
