//! What is kept of one session.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tombolo_core::wire::graphql::Request;
use tombolo_engine::Bookmark;
use tombolo_store_sqlite::{KeptSession, SessionKey, is_over};

use super::SESSION_BYTES_MAX;
use crate::upkeep::now_ms;

/// About what a subscription has beside its request.
const SUBSCRIPTION_BYTES: usize = 128;

/// What is kept of a session, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// The QoS of the response topic, if the device listens to it.
    pub(super) granted: Option<u8>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Subscription {
    pub(super) request: Request,
    pub(super) bookmark: Bookmark,
    /// Of the operation that serves it in the present connection.
    #[serde(skip)]
    pub(super) serial: u64,
}

impl Subscription {
    pub(super) fn bytes(&self) -> usize {
        SUBSCRIPTION_BYTES + serde_json::to_string(&self.request).map_or(SESSION_BYTES_MAX, |text| text.len())
    }
}

/// A session that is kept.
#[derive(Debug)]
pub(in crate::mqtt) struct Kept {
    pub(super) key: SessionKey,
    pub(super) inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    /// The connection that it is of; nobody else changes it.
    pub(super) holder: u64,
    pub(super) expiry_s: u32,
    pub(super) left_ms: Option<i64>,
    pub(super) stored: Stored,
}

impl Kept {
    /// Nothing that runs under the lock can panic halfway through a change.
    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_over(&self) -> bool {
        let inner = self.inner();
        is_over(inner.left_ms, inner.expiry_s, now_ms())
    }

    pub(super) fn row(&self) -> Option<KeptSession> {
        let inner = self.inner();
        Some(KeptSession {
            key: self.key.clone(),
            state: serde_json::to_string(&inner.stored).ok()?,
            expiry_s: inner.expiry_s,
            left_ms: inner.left_ms,
        })
    }
}

/// A session as it was written down.
pub(super) fn read(row: KeptSession) -> Option<Kept> {
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
