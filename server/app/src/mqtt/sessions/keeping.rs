//! One connection's hold on its session.

use std::sync::{Arc, Weak};

use mqtt_protocol_core::mqtt::packet::Qos;
use tombolo_core::wire::graphql::Request;
use tombolo_engine::Bookmark;

use super::kept::{Inner, Kept, Subscription};
use super::{Change, SESSION_BYTES_MAX, Sessions};
use crate::operations::{Begun, Mark};
use crate::upkeep::now_ms;

/// A connection's hold on its session. Once another connection has taken the session, nothing that is done here counts.
#[derive(Debug)]
pub(in crate::mqtt) struct Keeping {
    pub(super) sessions: Arc<Sessions>,
    pub(super) kept: Arc<Kept>,
    pub(super) holder: u64,
}

/// The session's subscriptions would have more than [`SESSION_BYTES_MAX`].
#[derive(Clone, Copy, Debug)]
pub(in crate::mqtt) struct TooMuch;

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

    /// Waits until what changed is written down; false if it cannot be, or another connection has the session: nothing that was
    /// done here since counts.
    pub(in crate::mqtt) async fn save(&self) -> bool {
        self.sessions.write_down(self.kept.key.clone()).await && self.kept.inner().holder == self.holder
    }

    /// Seconds that the session is kept.
    pub(in crate::mqtt) fn expiry_s(&self) -> u32 {
        self.kept.inner().expiry_s
    }

    pub(in crate::mqtt) fn granted(&self) -> Option<Qos> {
        match self.kept.inner().stored.granted {
            None => None,
            Some(0) => Some(Qos::AtMostOnce),
            Some(_) => Some(Qos::AtLeastOnce),
        }
    }

    pub(in crate::mqtt) fn grant(&self, qos: Option<Qos>) {
        let granted = qos.map(|qos| u8::from(qos != Qos::AtMostOnce));
        self.change(|inner| std::mem::replace(&mut inner.stored.granted, granted) != granted);
    }

    /// What the device listens to.
    pub(in crate::mqtt) fn subscriptions(&self) -> Vec<(String, Request, Bookmark)> {
        let inner = self.kept.inner();
        let each = inner.stored.subscriptions.iter();
        each.map(|(id, of)| (id.clone(), of.request.clone(), of.bookmark.clone()))
            .collect()
    }

    /// Whether it listens to just this under this id.
    pub(in crate::mqtt) fn has(&self, id: &str, request: &Request) -> bool {
        let inner = self.kept.inner();
        inner
            .stored
            .subscriptions
            .get(id)
            .is_some_and(|of| of.request == *request)
    }

    /// A subscription that was gone on with.
    pub(in crate::mqtt) fn gone_on(&self, id: &str, serial: u64) {
        self.change(|inner| {
            if let Some(of) = inner.stored.subscriptions.get_mut(id) {
                of.serial = serial;
            }
            false
        });
    }

    /// A subscription more.
    pub(in crate::mqtt) fn put(&self, id: String, request: Request, begun: Begun) -> Result<(), TooMuch> {
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
    pub(in crate::mqtt) fn remove(&self, id: &str) -> bool {
        let mut removed = false;
        self.change(|inner| {
            removed = inner.stored.subscriptions.remove(id).is_some();
            removed
        });
        removed
    }

    /// The device has what the mark is of.
    pub(in crate::mqtt) fn reached(&self, mark: Mark) {
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
    pub(in crate::mqtt) fn leave(&self, expiry_s: Option<u32>) {
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
            state.count = state.count.saturating_sub(1);
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
