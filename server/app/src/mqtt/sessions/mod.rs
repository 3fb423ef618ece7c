//! Sessions that outlive their connections, and the server's process.
//!
//! What is kept of a session is what its device listens to: the QoS of its response topic, and of each open subscription the
//! request and a bookmark of what the device has acknowledged. Messages are not kept; they are made again from the bookmark. So
//! a session costs what its requests cost, however long its device is away, and what was sent and not acknowledged is sent again.
//!
//! What the device opens or ends is written down before it is acknowledged. Bookmarks are written down every
//! [`SAVE_INTERVAL`] and when a connection ends: a server that is killed tells some events again.

mod keeping;
mod kept;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tombolo_engine::{Engine, StoreError};
use tombolo_store_sqlite::{KeptSession, SessionKey, SqliteStore, is_over};

pub(super) use keeping::Keeping;
use kept::{Inner, Kept, Stored, read};

use crate::operations::NEVER_BEGUN;
use crate::upkeep::now_ms;

/// Longest time that a session is kept after its device went: a week in a field or a drawer. Tombstones are kept for longer.
pub const SESSION_EXPIRY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the open subscriptions of one session may have, in bytes of their requests: some two hundred of usual length.
pub const SESSION_BYTES_MAX: usize = 64 * 1024;

/// How often bookmarks are written down: how long ago the events may be that a device is told again after the server was killed.
pub const SAVE_INTERVAL: Duration = Duration::from_secs(10);

/// Sessions written by one transaction: some milliseconds.
const SAVED_AT_ONCE_MAX: usize = 500;

/// How often sessions are looked through for those whose time is over.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(3600);

/// What is to be written.
#[derive(Clone, Debug)]
enum Change {
    Keep(Arc<Kept>),
    Forget,
}

#[derive(Debug, Default)]
struct State {
    /// How many there are, once what changed is written.
    count: usize,
    /// How often changes were written.
    writings: u64,
    /// Those that somebody holds, or that are yet to be written.
    live: BTreeMap<SessionKey, Weak<Kept>>,
    changed: BTreeMap<SessionKey, Change>,
    waiting: Vec<(SessionKey, oneshot::Sender<bool>)>,
}

/// All sessions that are kept.
#[derive(Debug, Default)]
pub struct Sessions {
    state: Mutex<State>,
    wake: Notify,
    max: OnceLock<usize>,
    ended: CancellationToken,
}

/// What a device wants of its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// A new one, whatever there was.
    pub(super) clean: bool,
    /// Seconds that it is to be kept after the connection.
    pub(super) expiry_s: u32,
}

/// A connection's session.
pub(super) enum Beginning {
    /// Nothing outlives the connection.
    Clean {
        /// What there was is to be forgotten before the device hears of it.
        forgets: bool,
    },
    /// It is kept; `present`: it was there before.
    Kept {
        /// The connection's hold on it.
        keeping: Arc<Keeping>,
        present: bool,
    },
}

impl Sessions {
    /// Nothing that runs under the lock can panic halfway through a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of a connection that begins. `holder` is the number of the connection's seat.
    pub(super) async fn begin(
        self: &Arc<Self>,
        store: &SqliteStore,
        key: SessionKey,
        wanted: Wanted,
        holder: u64,
    ) -> Result<Beginning, StoreError> {
        let found = self.find(store, &key).await?;
        let mut state = self.state();
        let live = state.live.get(&key).and_then(Weak::upgrade);
        let forgotten = matches!(state.changed.get(&key), Some(Change::Forget));
        // A row, or what will be one.
        let counted = live.is_some() || (found.is_some() && !forgotten);
        let mut forgets = false;
        let before = match (live, found) {
            (Some(live), _) if live.is_over() => None,
            (Some(live), _) => Some(live),
            (None, Some(row)) if !forgotten && !is_over(row.left_ms, row.expiry_s, now_ms()) => read(row).map(Arc::new),
            (None, Some(_) | None) => None,
        };
        if let Some(before) = before {
            let mut inner = before.inner();
            // A later connection has it: this one ends.
            if inner.holder >= holder {
                return Ok(Beginning::Clean { forgets: false });
            }
            if !wanted.clean {
                inner.holder = holder;
                inner.left_ms = None;
                inner.expiry_s = wanted.expiry_s;
                for subscription in inner.stored.subscriptions.values_mut() {
                    subscription.serial = NEVER_BEGUN;
                }
                drop(inner);
                let keeping = self.hold(&mut state, before, holder);
                return Ok(Beginning::Kept { keeping, present: true });
            }
            // Whoever had it changes nothing any more.
            inner.holder = u64::MAX;
            drop(inner);
            state.live.remove(&key);
            state.changed.insert(key.clone(), Change::Forget);
            forgets = true;
        }
        let room = counted || state.count < self.max.get().copied().unwrap_or_default();
        if wanted.expiry_s == 0 || !room {
            state.count = state.count.saturating_sub(usize::from(forgets));
            return Ok(Beginning::Clean { forgets });
        }
        state.count += usize::from(!counted);
        let kept = Arc::new(Kept {
            key,
            inner: Mutex::new(Inner {
                holder,
                expiry_s: wanted.expiry_s,
                left_ms: None,
                stored: Stored::default(),
            }),
        });
        let keeping = self.hold(&mut state, kept, holder);
        Ok(Beginning::Kept {
            keeping,
            present: false,
        })
    }

    /// The session's row, as it is when this returns.
    async fn find(&self, store: &SqliteStore, key: &SessionKey) -> Result<Option<KeptSession>, StoreError> {
        loop {
            let writings = self.state().writings;
            let found = store.session(key.clone()).await?;
            // What was read may have been written over, or forgotten, since.
            if found.is_none() || self.state().writings == writings {
                return Ok(found);
            }
        }
    }

    /// Waits until what changed of this session is written down; false if it cannot be.
    pub(super) async fn write_down(&self, key: SessionKey) -> bool {
        let (waits, written) = oneshot::channel();
        self.state().waiting.push((key, waits));
        self.wake.notify_one();
        written.await.unwrap_or(false)
    }

    fn hold(self: &Arc<Self>, state: &mut State, kept: Arc<Kept>, holder: u64) -> Arc<Keeping> {
        state.live.insert(kept.key.clone(), Arc::downgrade(&kept));
        state.changed.insert(kept.key.clone(), Change::Keep(Arc::clone(&kept)));
        Arc::new(Keeping {
            sessions: Arc::clone(self),
            kept,
            holder,
        })
    }

    /// Writes down what changes, until [`Sessions::end`]; no more than about `max` are kept.
    pub(crate) async fn run(self: Arc<Self>, engine: Arc<Engine<SqliteStore>>, max: usize) {
        let _set = self.max.set(max);
        let store = engine.store();
        match store.begin_sessions(now_ms()).await {
            Ok(count) => self.state().count = count,
            Err(error) => tracing::warn!(%error, "sessions of MQTT devices cannot be looked through"),
        }
        let mut due = Instant::now() + SAVE_INTERVAL;
        let mut expire = Instant::now() + EXPIRE_INTERVAL;
        loop {
            let all = tokio::select! {
                () = self.wake.notified() => false,
                () = sleep_until(due) => true,
                () = self.ended.cancelled() => true,
            };
            while self.save(store, all).await {}
            if all {
                due = Instant::now() + SAVE_INTERVAL;
            }
            if self.ended.is_cancelled() {
                return;
            }
            if expire <= Instant::now() {
                expire = Instant::now() + EXPIRE_INTERVAL;
                match store.expire_sessions(now_ms()).await {
                    Ok(gone) => {
                        let mut state = self.state();
                        state.count = state.count.saturating_sub(gone);
                    }
                    Err(error) => tracing::warn!(%error, "sessions of MQTT devices cannot be looked through"),
                }
            }
        }
    }

    /// Writes down what is left, and no more after it.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Writes some of what changed: what is waited for, or `all`. Whether there is more to write.
    async fn save(&self, store: &SqliteStore, all: bool) -> bool {
        let (changes, waiting) = {
            let mut state = self.state();
            let state = &mut *state;
            let most = state.waiting.len().min(SAVED_AT_ONCE_MAX);
            let waiting: Vec<_> = state.waiting.drain(..most).collect();
            let mut changes = BTreeMap::new();
            for (key, _) in &waiting {
                if let Some(change) = state.changed.remove(key) {
                    changes.insert(key.clone(), change);
                }
            }
            while all && changes.len() < SAVED_AT_ONCE_MAX {
                match state.changed.pop_first() {
                    Some((key, change)) => changes.insert(key, change),
                    None => break,
                };
            }
            (changes, waiting)
        };
        let (mut kept, mut forgotten) = (Vec::new(), Vec::new());
        for (key, change) in &changes {
            match change {
                Change::Keep(session) => kept.extend(session.row()),
                Change::Forget => forgotten.push(key.clone()),
            }
        }
        let written = match changes.is_empty() {
            true => Ok(()),
            false => store.keep_sessions(kept, forgotten).await,
        };
        let mut state = self.state();
        match &written {
            Ok(()) => state.writings += 1,
            Err(error) => {
                tracing::warn!(%error, "sessions of MQTT devices cannot be written down; it is tried again");
                for (key, change) in &changes {
                    state.changed.entry(key.clone()).or_insert_with(|| change.clone());
                }
            }
        }
        for (_, waits) in waiting {
            // It may be gone.
            let _gone = waits.send(written.is_ok());
        }
        let keys: Vec<SessionKey> = changes.keys().cloned().collect();
        drop(changes);
        for key in keys {
            if state.live.get(&key).is_some_and(|kept| kept.strong_count() == 0) {
                state.live.remove(&key);
            }
        }
        written.is_ok() && (!state.waiting.is_empty() || (all && !state.changed.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use mqtt_protocol_core::mqtt::packet::Qos;
    use tombolo_core::id::{Epoch, Position};
    use tombolo_core::schema::Schema;
    use tombolo_store_sqlite::Options;

    use tombolo_core::wire::graphql::Request;
    use tombolo_engine::Bookmark;

    use super::*;
    use crate::operations::{Begun, Mark};

    const HOUR: Wanted = Wanted {
        clean: false,
        expiry_s: 3600,
    };

    fn store() -> SqliteStore {
        let schema = Arc::new(Schema::parse("type A @model { id: ID! }", "a.graphql").unwrap());
        SqliteStore::open_in_memory(schema, &Options::default()).unwrap()
    }

    fn sessions(max: usize) -> Arc<Sessions> {
        let sessions = Arc::new(Sessions::default());
        sessions.max.set(max).unwrap();
        sessions
    }

    async fn begin(
        sessions: &Arc<Sessions>,
        store: &SqliteStore,
        id: &str,
        holder: u64,
    ) -> Option<(Arc<Keeping>, bool)> {
        let key = (String::new(), id.to_owned());
        match sessions.begin(store, key, HOUR, holder).await.unwrap() {
            Beginning::Clean { .. } => None,
            Beginning::Kept { keeping, present } => Some((keeping, present)),
        }
    }

    fn begun(serial: u64, position: i64) -> Begun {
        let (epoch, position) = (Epoch("e".into()), Position(position));
        Begun {
            serial,
            bookmark: Bookmark::Events { epoch, position },
        }
    }

    fn mark(serial: u64, position: i64) -> Mark {
        Mark {
            id: "s".into(),
            serial,
            bookmark: Some(begun(serial, position).bookmark),
        }
    }

    fn at(keeping: &Keeping) -> i64 {
        match keeping.subscriptions().as_slice() {
            [(_, _, Bookmark::Events { position, .. })] => position.0,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn no_more_are_kept_than_may_be() {
        let (sessions, store) = (sessions(2), store());
        let first = begin(&sessions, &store, "a", 1).await.unwrap();
        let _second = begin(&sessions, &store, "b", 2).await.unwrap();
        assert!(
            begin(&sessions, &store, "c", 3).await.is_none(),
            "it is told that nothing is kept"
        );
        assert!(!sessions.save(&store, true).await, "all is written");
        // What changes in them makes them no more.
        first.0.grant(Some(Qos::AtLeastOnce));
        assert_eq!(sessions.state().count, 2);
        assert!(begin(&sessions, &store, "c", 4).await.is_none());
        first.0.leave(Some(0));
        drop(first);
        sessions.save(&store, true).await;
        assert!(begin(&sessions, &store, "c", 5).await.is_some());
        assert!(
            begin(&sessions, &store, "b", 6).await.is_some(),
            "its own place is free to itself"
        );
    }

    #[tokio::test]
    async fn marks_of_another_operation_or_connection_do_not_count() {
        let (sessions, store) = (sessions(2), store());
        let (first, _) = begin(&sessions, &store, "a", 1).await.unwrap();
        first.put("s".into(), Request::default(), begun(7, 10)).unwrap();
        first.reached(mark(6, 99));
        assert_eq!(at(&first), 10);
        first.reached(mark(7, 11));
        assert_eq!(at(&first), 11);
        let (second, present) = begin(&sessions, &store, "a", 2).await.unwrap();
        assert!(present);
        first.reached(mark(7, 12));
        first.leave(Some(0));
        assert_eq!(at(&second), 11);
        second.gone_on("s", 1);
        second.reached(mark(1, 13));
        // Another process reads what was written down.
        while sessions.save(&store, true).await {}
        let (third, present) = begin(&self::sessions(2), &store, "a", 1).await.unwrap();
        assert_eq!((present, at(&third)), (true, 13));
    }
}
