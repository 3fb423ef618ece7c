//! Sessions that outlive their connections, and the server's process.
//!
//! What is kept of a session is what its device listens to: the QoS of its response topic, and of each open subscription the
//! request and a bookmark of what the device has acknowledged. Messages are not kept; they are made again from the bookmark. So
//! a session costs what its requests cost, however long its device is away, and what was sent and not acknowledged is sent again.
//!
//! What the device opens or ends is written down before it is acknowledged. Bookmarks are written down every
//! [`SAVE_INTERVAL`] and when a connection ends: a server that is killed tells some events again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::Qos;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tombolo_core::wire::graphql::Request;
use tombolo_engine::{Bookmark, Engine, StoreError};
use tombolo_store_sqlite::{KeptSession, SessionKey, SqliteStore, is_over};

use crate::operations::{Begun, Mark, NEVER_BEGUN};
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

/// About what a subscription has beside its request.
const SUBSCRIPTION_BYTES: usize = 128;

/// What is kept of a session, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    /// The QoS of the response topic, if the device listens to it.
    granted: Option<u8>,
    subscriptions: BTreeMap<String, Subscription>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Subscription {
    request: Request,
    bookmark: Bookmark,
    /// Of the operation that serves it in the present connection.
    #[serde(skip)]
    serial: u64,
}

impl Subscription {
    fn bytes(&self) -> usize {
        SUBSCRIPTION_BYTES + serde_json::to_string(&self.request).map_or(SESSION_BYTES_MAX, |text| text.len())
    }
}

/// A session that is kept.
#[derive(Debug)]
pub(super) struct Kept {
    key: SessionKey,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The connection that it is of; nobody else changes it.
    holder: u64,
    expiry_s: u32,
    left_ms: Option<i64>,
    stored: Stored,
}

impl Kept {
    /// Nothing that runs under the lock can panic halfway through a change.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        let inner = self.inner();
        is_over(inner.left_ms, inner.expiry_s, now_ms())
    }

    fn row(&self) -> Option<KeptSession> {
        let inner = self.inner();
        Some(KeptSession {
            key: self.key.clone(),
            state: serde_json::to_string(&inner.stored).ok()?,
            expiry_s: inner.expiry_s,
            left_ms: inner.left_ms,
        })
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
enum Change {
    Keep(Arc<Kept>),
    Forget,
}

#[derive(Debug, Default)]
struct State {
    /// How many are kept, about.
    count: usize,
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
    Clean,
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
        let found = store.session(key.clone()).await?;
        let mut state = self.state();
        let live = state.live.get(&key).and_then(Weak::upgrade);
        let forgotten = matches!(state.changed.get(&key), Some(Change::Forget));
        let before = match (live, found) {
            (Some(live), _) if live.is_over() => None,
            (Some(live), _) => Some(live),
            (None, Some(row)) if !forgotten && !is_over(row.left_ms, row.expiry_s, now_ms()) => read(row).map(Arc::new),
            (None, Some(_) | None) => None,
        };
        if let Some(before) = before {
            let mut inner = before.inner();
            if !wanted.clean {
                if inner.holder < holder {
                    inner.holder = holder;
                    inner.left_ms = None;
                    inner.expiry_s = wanted.expiry_s;
                    for subscription in inner.stored.subscriptions.values_mut() {
                        subscription.serial = NEVER_BEGUN;
                    }
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
        }
        let full = state.count + state.changed.len() >= self.max.get().copied().unwrap_or_default();
        if wanted.expiry_s == 0 || full {
            return Ok(Beginning::Clean);
        }
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
            true => Ok(0),
            false => store.keep_sessions(kept, forgotten).await,
        };
        let mut state = self.state();
        match &written {
            Ok(grown) => {
                state.count = state
                    .count
                    .saturating_add_signed(isize::try_from(*grown).unwrap_or_default())
            }
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

/// A session as it was written down.
fn read(row: KeptSession) -> Option<Kept> {
    match serde_json::from_str(&row.state) {
        Ok(stored) => Some(Kept {
            key: row.key,
            inner: Mutex::new(Inner {
                holder: 0,
                expiry_s: row.expiry_s,
                left_ms: row.left_ms,
                stored,
            }),
        }),
        // The device is told that there is no session, and begins another.
        Err(error) => {
            tracing::warn!(%error, client = row.key.1, "a session cannot be read");
            None
        }
    }
}

/// A connection's hold on its session. Once another connection has taken the session, nothing that is done here counts.
#[derive(Debug)]
pub(super) struct Keeping {
    sessions: Arc<Sessions>,
    kept: Arc<Kept>,
    holder: u64,
}

/// The session's subscriptions would have more than [`SESSION_BYTES_MAX`].
#[derive(Clone, Copy, Debug)]
pub(super) struct TooMuch;

impl Keeping {
    /// Changes the session, if it is still this connection's; what `change` gives is whether it did.
    fn change(&self, change: impl FnOnce(&mut Inner) -> bool) {
        let changed = {
            let mut inner = self.kept.inner();
            inner.holder == self.holder && change(&mut inner)
        };
        if changed {
            let keep = Change::Keep(Arc::clone(&self.kept));
            self.sessions.state().changed.insert(self.kept.key.clone(), keep);
        }
    }

    /// Waits until what changed is written down; false if it cannot be.
    pub(super) async fn save(&self) -> bool {
        let (waits, written) = oneshot::channel();
        self.sessions.state().waiting.push((self.kept.key.clone(), waits));
        self.sessions.wake.notify_one();
        written.await.unwrap_or(false)
    }

    /// Seconds that the session is kept.
    pub(super) fn expiry_s(&self) -> u32 {
        self.kept.inner().expiry_s
    }

    pub(super) fn granted(&self) -> Option<Qos> {
        match self.kept.inner().stored.granted {
            None => None,
            Some(0) => Some(Qos::AtMostOnce),
            Some(_) => Some(Qos::AtLeastOnce),
        }
    }

    pub(super) fn grant(&self, qos: Option<Qos>) {
        let granted = qos.map(|qos| u8::from(qos != Qos::AtMostOnce));
        self.change(|inner| std::mem::replace(&mut inner.stored.granted, granted) != granted);
    }

    /// What the device listens to.
    pub(super) fn subscriptions(&self) -> Vec<(String, Request, Bookmark)> {
        let inner = self.kept.inner();
        let each = inner.stored.subscriptions.iter();
        each.map(|(id, of)| (id.clone(), of.request.clone(), of.bookmark.clone()))
            .collect()
    }

    /// Whether it listens to just this under this id.
    pub(super) fn has(&self, id: &str, request: &Request) -> bool {
        let inner = self.kept.inner();
        inner
            .stored
            .subscriptions
            .get(id)
            .is_some_and(|of| of.request == *request)
    }

    /// A subscription that was gone on with.
    pub(super) fn gone_on(&self, id: &str, serial: u64) {
        self.change(|inner| {
            if let Some(of) = inner.stored.subscriptions.get_mut(id) {
                of.serial = serial;
            }
            false
        });
    }

    /// A subscription more.
    pub(super) fn put(&self, id: String, request: Request, begun: Begun) -> Result<(), TooMuch> {
        let new = Subscription {
            request,
            bookmark: begun.bookmark,
            serial: begun.serial,
        };
        let mut put = Ok(());
        self.change(|inner| {
            let others: usize = inner.stored.subscriptions.values().map(Subscription::bytes).sum();
            if others + new.bytes() > SESSION_BYTES_MAX {
                put = Err(TooMuch);
                return false;
            }
            inner.stored.subscriptions.insert(id, new);
            true
        });
        put
    }

    /// A subscription less; whether there was one.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut removed = false;
        self.change(|inner| {
            removed = inner.stored.subscriptions.remove(id).is_some();
            removed
        });
        removed
    }

    /// The device has what the mark is of.
    pub(super) fn reached(&self, mark: Mark) {
        self.change(|inner| {
            let Some(of) = inner.stored.subscriptions.get_mut(&*mark.id) else {
                return false;
            };
            if of.serial != mark.serial {
                return false;
            }
            match mark.bookmark {
                Some(bookmark) => of.bookmark = bookmark,
                None => drop(inner.stored.subscriptions.remove(&*mark.id)),
            }
            true
        });
    }

    /// The connection ends, and the session is kept for so many seconds, or as long as was said before.
    pub(super) fn leave(&self, expiry_s: Option<u32>) {
        let mut forget = false;
        self.change(|inner| {
            inner.expiry_s = expiry_s.unwrap_or(inner.expiry_s);
            inner.left_ms = Some(now_ms());
            forget = inner.expiry_s == 0;
            if forget {
                // What is acknowledged from now on changes nothing any more.
                inner.holder = u64::MAX;
            }
            true
        });
        if forget {
            let mut state = self.sessions.state();
            state.changed.insert(self.kept.key.clone(), Change::Forget);
            state.live.remove(&self.kept.key);
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let mut state = self.sessions.state();
        let only_mine = Arc::strong_count(&self.kept) == 1;
        let of_this = |kept: &Weak<Kept>| std::ptr::eq(kept.as_ptr(), Arc::as_ptr(&self.kept));
        if only_mine && state.live.get(&self.kept.key).is_some_and(of_this) {
            state.live.remove(&self.kept.key);
        }
    }
}
