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

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};
    use tombolo_core::id::{Epoch, Position};

    use super::*;

    /// As databases have it. Whoever changes the format still reads this: add another text, and leave this one.
    const BEFORE: &str = r#"{"granted":1,"subscriptions":{"events":{"request":{"query":"subscription ($t: String) { onCreateA(filter: { t: { eq: $t } }) { id } }","operationName":"S","variables":{"t":"x"},"extensions":{"tombolo":{"replica":"r"}}},"bookmark":{"epoch":"e","position":7}},"feed":{"request":{"query":"subscription { tomboloChanges { rows } }"},"bookmark":{"cursors":["e.7/3~r",null]}}}}"#;

    fn request(query: &str) -> Request {
        Request {
            query: query.into(),
            ..Request::default()
        }
    }

    fn stored() -> Stored {
        let mut filtered = request("subscription ($t: String) { onCreateA(filter: { t: { eq: $t } }) { id } }");
        filtered.operation_name = Some("S".into());
        filtered.variables = json!({ "t": "x" }).as_object().cloned();
        filtered.extensions = json!({ "tombolo": { "replica": "r" } }).as_object().cloned();
        let events = Bookmark::Events {
            epoch: Epoch("e".into()),
            position: Position(7),
        };
        let feed = Bookmark::Feed {
            cursors: vec![Some("e.7/3~r".into()), None],
        };
        let of = |request, bookmark| Subscription {
            request,
            bookmark,
            serial: 9,
        };
        let subscriptions = [
            ("events".to_owned(), of(filtered, events)),
            (
                "feed".to_owned(),
                of(request("subscription { tomboloChanges { rows } }"), feed),
            ),
        ];
        Stored {
            granted: Some(1),
            subscriptions: subscriptions.into(),
        }
    }

    #[test]
    fn a_session_is_written_down_as_it_always_was() {
        assert_eq!(serde_json::to_string(&stored()).unwrap(), BEFORE);
        let empty = serde_json::to_string(&Stored::default()).unwrap();
        assert_eq!(empty, r#"{"granted":null,"subscriptions":{}}"#);
    }

    #[test]
    fn a_session_that_was_written_down_before_is_read() {
        let row = |state: &str| KeptSession {
            key: ("ann".into(), "d".into()),
            state: state.into(),
            expiry_s: 60,
            left_ms: Some(5),
        };
        let kept = read(row(BEFORE)).unwrap();
        assert_eq!(kept.row(), Some(row(BEFORE)));
        let inner = kept.inner();
        assert_eq!((inner.holder, inner.stored.granted), (0, Some(1)), "it is nobody's yet");
        for (id, before) in stored().subscriptions {
            let found = &inner.stored.subscriptions[&id];
            assert_eq!((&found.request, &found.bookmark), (&before.request, &before.bookmark));
            assert_eq!(found.serial, 0, "no operation serves it yet");
        }
        drop(inner);
        // A device that listens to nothing, by QoS 0, and one whose text is of no session.
        for granted in [Json::Null, json!(0)] {
            let text = json!({ "granted": granted, "subscriptions": {} }).to_string();
            assert_eq!(read(row(&text)).unwrap().row(), Some(row(&text)));
        }
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"granted":1,"subscriptions":{"s":{"request":{"query":""},"bookmark":{}}}}"#,
        ] {
            assert!(read(row(bad)).is_none(), "{bad}");
        }
    }
}
