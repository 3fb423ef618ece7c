//! The table of device sessions that outlive their connections: what a device listens to and how far it has come, not what it
//! is still to be told.

use rusqlite::{Connection, OptionalExtension as _};
use tombolo_engine::StoreError;

use crate::SqliteStore;
use crate::error::store_error;

/// The step that makes the table.
pub(crate) const STEP: &str = "
    -- Sessions of MQTT devices. state: JSON of what the device listens to; left_ms: when it went, NULL while it is connected.
    CREATE TABLE _mqtt_sessions (
        author TEXT NOT NULL, client_id TEXT NOT NULL, state TEXT NOT NULL, expiry_s INTEGER NOT NULL, left_ms INTEGER,
        PRIMARY KEY (author, client_id)
    ) WITHOUT ROWID;
    CREATE INDEX _mqtt_sessions_left ON _mqtt_sessions (left_ms);
";

/// Whose session it is: the caller's name and the client id.
pub type SessionKey = (String, String);

/// A session as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSession {
    /// Whose.
    pub key: SessionKey,
    /// What the listener keeps of it.
    pub state: String,
    /// Seconds that it is kept after its device went.
    pub expiry_s: u32,
    /// When its device went, in epoch milliseconds; `None` while it is connected.
    pub left_ms: Option<i64>,
}

/// Whether the time of a session is over whose device went at `left_ms`.
#[must_use]
pub fn is_over(left_ms: Option<i64>, expiry_s: u32, now_ms: i64) -> bool {
    left_ms.is_some_and(|left| left.saturating_add(i64::from(expiry_s) * 1000) < now_ms)
}

impl SqliteStore {
    /// Says of the devices that were connected when the last process ended that they went now, and forgets the sessions whose time
    /// is over. Gives how many there are.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin_sessions(&self, now_ms: i64) -> Result<usize, StoreError> {
        self.lanes
            .write(move |db| {
                let tx = db.conn.transaction().map_err(store_error)?;
                let run = || {
                    tx.execute("UPDATE _mqtt_sessions SET left_ms = ?1 WHERE left_ms IS NULL", [now_ms])?;
                    expire(&tx, now_ms)?;
                    tx.query_row("SELECT count(*) FROM _mqtt_sessions", [], |row| row.get::<_, i64>(0))
                };
                let count = run().map_err(store_error)?;
                tx.commit().map_err(store_error)?;
                Ok(usize::try_from(count).unwrap_or_default())
            })
            .await
    }

    /// A session, if it is kept.
    ///
    /// # Errors
    /// The store's.
    pub async fn session(&self, key: SessionKey) -> Result<Option<KeptSession>, StoreError> {
        self.lanes
            .read(move |db| {
                let run = || {
                    db.conn
                        .prepare_cached(
                            "SELECT state, expiry_s, left_ms FROM _mqtt_sessions WHERE author = ?1 AND client_id = ?2",
                        )?
                        .query_row((&key.0, &key.1), |row| {
                            Ok(KeptSession {
                                key: key.clone(),
                                state: row.get(0)?,
                                expiry_s: row.get(1)?,
                                left_ms: row.get(2)?,
                            })
                        })
                        .optional()
                };
                run().map_err(store_error)
            })
            .await
    }

    /// Keeps these sessions as they are now and forgets those, all in one transaction.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep_sessions(&self, kept: Vec<KeptSession>, forgotten: Vec<SessionKey>) -> Result<(), StoreError> {
        self.lanes
            .write(move |db| {
                let tx = db.conn.transaction().map_err(store_error)?;
                let run = || {
                    let mut forget =
                        tx.prepare_cached("DELETE FROM _mqtt_sessions WHERE author = ?1 AND client_id = ?2")?;
                    for (author, client_id) in &forgotten {
                        forget.execute((author, client_id))?;
                    }
                    let mut keep = tx.prepare_cached(
                        "INSERT OR REPLACE INTO _mqtt_sessions (author, client_id, state, expiry_s, left_ms)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?;
                    for session in &kept {
                        let (author, client_id) = &session.key;
                        keep.execute((author, client_id, &session.state, session.expiry_s, session.left_ms))?;
                    }
                    Ok(())
                };
                run().map_err(store_error)?;
                tx.commit().map_err(store_error)
            })
            .await
    }

    /// Forgets the sessions whose time is over. Gives how many.
    ///
    /// # Errors
    /// The store's.
    pub async fn expire_sessions(&self, now_ms: i64) -> Result<usize, StoreError> {
        self.lanes
            .write(move |db| expire(&db.conn, now_ms).map_err(store_error))
            .await
    }
}

fn expire(conn: &Connection, now_ms: i64) -> rusqlite::Result<usize> {
    conn.execute(
        "DELETE FROM _mqtt_sessions WHERE left_ms IS NOT NULL AND left_ms + expiry_s * 1000 < ?1",
        [now_ms],
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use tombolo_core::schema::Schema;
    use tombolo_engine::suite::block_on;

    use super::*;
    use crate::Options;

    fn store() -> SqliteStore {
        let schema = Arc::new(Schema::parse("type A @model { id: ID! }", "a.graphql").unwrap());
        SqliteStore::open_inline(None, schema, &Options::default()).unwrap()
    }

    fn key(id: &str) -> SessionKey {
        ("ann".into(), id.into())
    }

    fn session(id: &str, expiry_s: u32, left_ms: Option<i64>) -> KeptSession {
        let state = format!("of {id}");
        KeptSession {
            key: key(id),
            state,
            expiry_s,
            left_ms,
        }
    }

    fn keep(store: &SqliteStore, kept: &[KeptSession], forgotten: &[&str]) {
        let forgotten = forgotten.iter().map(|id| key(id)).collect();
        block_on(store.keep_sessions(kept.to_vec(), forgotten)).unwrap()
    }

    /// Which of these are there, with when their devices went.
    fn found(store: &SqliteStore, ids: &[&str]) -> Vec<(String, Option<i64>)> {
        let each = ids.iter().filter_map(|id| block_on(store.session(key(id))).unwrap());
        each.map(|session| (session.key.1, session.left_ms)).collect()
    }

    #[test]
    fn what_is_kept_is_found_as_it_was_and_by_its_own_key() {
        let store = store();
        let mut one = session("d", 7, None);
        let mut of_bob = session("d", 8, Some(9));
        of_bob.key.0 = "bob".into();
        keep(&store, &[one.clone(), of_bob.clone()], &[]);
        assert_eq!(block_on(store.session(one.key.clone())).unwrap(), Some(one.clone()));
        assert_eq!(
            block_on(store.session(of_bob.key.clone())).unwrap(),
            Some(of_bob.clone())
        );
        one.state = "another".into();
        one.left_ms = Some(5);
        keep(&store, std::slice::from_ref(&one), &[]);
        assert_eq!(block_on(store.session(one.key.clone())).unwrap(), Some(one));
        keep(&store, &[], &["d"]);
        assert_eq!(block_on(store.session(key("d"))).unwrap(), None);
        assert_eq!(block_on(store.session(of_bob.key.clone())).unwrap(), Some(of_bob));
    }

    #[test]
    fn a_process_that_begins_says_that_the_connected_went_now_and_forgets_what_is_over() {
        let store = store();
        let now = 1_000_000;
        let kept = [
            session("connected", 1, None),
            session("connected, kept for no time", 0, None),
            session("just not over", 10, Some(now - 10_000)),
            session("just over", 10, Some(now - 10_001)),
            session("over", 0, Some(0)),
            session("of the future", 1, Some(now + 5_000)),
        ];
        keep(&store, &kept, &[]);
        assert_eq!(block_on(store.begin_sessions(now)).unwrap(), 4);
        let ids = kept.each_ref().map(|session| session.key.1.as_str());
        let there = [
            ("connected", now),
            ("connected, kept for no time", now),
            ("just not over", now - 10_000),
            ("of the future", now + 5_000),
        ];
        assert_eq!(found(&store, &ids), there.map(|(id, left)| (id.to_owned(), Some(left))));
        // Later, by another process: those that went before did not go now.
        assert_eq!(block_on(store.begin_sessions(now + 1_001)).unwrap(), 1);
        assert_eq!(found(&store, &ids), [("of the future".to_owned(), Some(now + 5_000))]);
    }

    #[test]
    fn whose_device_is_connected_does_not_expire() {
        let store = store();
        let kept = [
            session("connected", 0, None),
            session("in time", 2, Some(1_000)),
            session("a week", 7 * 24 * 3600, Some(0)),
        ];
        keep(&store, &kept, &[]);
        assert_eq!(block_on(store.expire_sessions(3_000)).unwrap(), 0);
        assert_eq!(block_on(store.expire_sessions(3_001)).unwrap(), 1);
        let week = 7 * 24 * 3600 * 1000;
        assert_eq!(block_on(store.expire_sessions(week)).unwrap(), 0);
        assert_eq!(block_on(store.expire_sessions(week + 1)).unwrap(), 1);
        assert_eq!(block_on(store.expire_sessions(i64::MAX)).unwrap(), 0);
        assert_eq!(
            found(&store, &["connected", "in time", "a week"]),
            [("connected".to_owned(), None)]
        );
    }

    #[test]
    fn a_time_is_over_after_its_last_millisecond() {
        for (left, expiry_s, now, over) in [
            (None, 0, i64::MAX, false),
            (Some(5), 0, 4, false),
            (Some(5), 0, 5, false),
            (Some(5), 0, 6, true),
            (Some(5), 1, 1_005, false),
            (Some(5), 1, 1_006, true),
            // Seconds without end are some 136 years, and no clock overflows.
            (Some(0), u32::MAX, i64::from(u32::MAX) * 1000, false),
            (Some(0), u32::MAX, i64::from(u32::MAX) * 1000 + 1, true),
            (Some(i64::MAX), 1, i64::MAX, false),
        ] {
            assert_eq!(is_over(left, expiry_s, now), over, "{left:?} {expiry_s} {now}");
        }
    }

    #[test]
    fn the_database_and_the_process_agree_on_what_is_over() {
        for now in [9_999, 10_000, 10_001] {
            let store = store();
            keep(&store, &[session("d", 3, Some(7_000))], &[]);
            let gone = block_on(store.expire_sessions(now)).unwrap() == 1;
            assert_eq!(gone, is_over(Some(7_000), 3, now), "{now}");
        }
    }
}
