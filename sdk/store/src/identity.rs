//! Whose file it is.

use rusqlite::{Connection, OptionalExtension, params};
use tombolo_core::id::ReplicaId;
use tombolo_machine::StoreError;

use crate::error::failure;
use crate::outbox;

/// In `_meta`: the highest number taken before the present identity began.
pub(crate) const SINCE: &str = "replica_since";

type Result<T> = std::result::Result<T, StoreError>;

pub(crate) fn read(conn: &Connection) -> Result<ReplicaId> {
    let found: Option<String> = conn
        .prepare_cached("SELECT value FROM _meta WHERE name = 'replica'")
        .and_then(|mut s| s.query_row([], |row| row.get(0)).optional())
        .map_err(failure)?;
    found
        .map(ReplicaId)
        .ok_or_else(|| StoreError::Corrupt("the replica's identity is missing".to_owned()))
}

/// Takes a fresh identity: the one that the driver gave when it opened the file, or, if that is in use already, one derived
/// from it.
pub(crate) fn renew(conn: &Connection, present: &ReplicaId, given: &ReplicaId, last_number: u64) -> Result<ReplicaId> {
    let used: bool = conn
        .query_row(
            "SELECT ?1 = ?2 OR EXISTS (SELECT 1 FROM _outbox WHERE replica = ?1) OR EXISTS (SELECT 1 FROM _ended WHERE \
             replica = ?1)",
            params![given.0, present.0],
            |row| row.get(0),
        )
        .map_err(failure)?;
    let fresh = if used {
        // Still random by what was given, and told apart by the numbers, which only grow.
        ReplicaId(format!("{}-{}", given.0, last_number))
    } else {
        given.clone()
    };
    conn.execute("UPDATE _meta SET value = ?1 WHERE name = 'replica'", [&fresh.0])
        .map_err(failure)?;
    outbox::set_meta_number(conn, SINCE, last_number)?;
    Ok(fresh)
}
