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
