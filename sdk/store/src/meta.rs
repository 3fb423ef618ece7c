//! Whose file it is: the account, the seal, the replica's identity, the schema that its tables follow.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use tombolo_core::id::ReplicaId;
use tombolo_machine::StoreError;

use crate::error::{OpenError, failure};
use crate::locks::{DRAIN_FILE, Hold, Lock, OPEN_FILE, beside};
use crate::{internal, outbox};

// Names in `_meta`.
const ACCOUNT: &str = "account";
const SEALED: &str = "sealed";
const REPLICA: &str = "replica";
const SCHEMA: &str = "schema";

// Words of the seal.
const KEPT: &str = "kept";
const DISCARDED: &str = "discarded";

/// How an account has ended its use of a file. It is a mark that every process respects, not encryption: who can read the
/// file can read what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Everything stays; it opens again for its account only.
    Kept,
    /// It is to be removed as soon as nobody has it open, and never read again.
    Discarded,
}

/// What can be said of a file without opening it as a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Whose it is; `None` for a file that was opened without an account.
    pub account: Option<String>,
    /// Its account has signed out.
    pub sealed: bool,
    /// Mutations that the server has not decided (given up ones too: it is still to be told), and refused ones that the app has not taken note of.
    pub unsent: u64,
}

pub(crate) fn text(conn: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    conn.prepare_cached("SELECT value FROM _meta WHERE name = ?1")
        .and_then(|mut s| s.query_row([name], |row| row.get(0)).optional())
        .map_err(failure)
}

pub(crate) fn set_text(conn: &Connection, name: &str, value: &str) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO _meta (name, value) VALUES (?1, ?2)")
        .and_then(|mut s| s.execute([name, value]))
        .map_err(failure)?;
    Ok(())
}

fn has_meta(conn: &Connection) -> Result<bool, StoreError> {
    conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_meta')",
        [],
        |row| row.get(0),
    )
    .map_err(failure)
}

pub(crate) fn data_version(conn: &Connection) -> Result<i64, StoreError> {
    conn.prepare_cached("PRAGMA data_version")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(failure)
}

/// The replica's identity; a file without one gets `fresh`.
pub(crate) fn replica(conn: &Connection, fresh: &ReplicaId) -> Result<ReplicaId, StoreError> {
    if let Some(known) = text(conn, REPLICA)? {
        return Ok(ReplicaId(known));
    }
    conn.execute(
        "INSERT OR IGNORE INTO _meta (name, value) VALUES (?1, ?2)",
        [REPLICA, &fresh.0],
    )
    .map_err(failure)?;
    // Another process may have been quicker.
    Ok(text(conn, REPLICA)?.map_or_else(|| fresh.clone(), ReplicaId))
}

pub(crate) fn schema(conn: &Connection) -> Result<Option<String>, StoreError> {
    text(conn, SCHEMA)
}

pub(crate) fn note_schema(conn: &Connection, hash: &str) -> Result<(), StoreError> {
    if schema(conn)?.as_deref() == Some(hash) {
        return Ok(());
    }
    set_text(conn, SCHEMA, hash)
}

/// The seal on a file; a new file has none.
pub(crate) fn seal(conn: &Connection) -> Result<Option<Seal>, StoreError> {
    if !has_meta(conn)? {
        return Ok(None);
    }
    Ok(text(conn, SEALED)?.map(|seal| if seal == DISCARDED { Seal::Discarded } else { Seal::Kept }))
}

pub(crate) fn set_seal(conn: &Connection, seal: Seal) -> Result<(), StoreError> {
    let word = match seal {
        Seal::Kept => KEPT,
        Seal::Discarded => DISCARDED,
    };
    set_text(conn, SEALED, word)
}

/// Refuses a file of another account. Only reads: to be asked before anything is set in it.
pub(crate) fn check_account(conn: &Connection, path: &Path, given: Option<&str>) -> Result<(), OpenError> {
    if !has_meta(conn)? {
        return Ok(());
    }
    match text(conn, ACCOUNT)? {
        Some(owner) if given != Some(&owner) => Err(OpenError::WrongAccount(path.to_owned())),
        Some(_) | None => Ok(()),
    }
}

/// Somebody uses the file: from now on it is this account's, and not sealed. `again`: goes on with it, which ends no seal.
/// Gives the seal that stands against it, upon which nothing has changed; a file that was given up stays so.
pub(crate) fn sign_in(conn: &Connection, account: Option<&str>, again: bool) -> Result<Option<Seal>, StoreError> {
    let other = account.filter(|account| !matches!(text(conn, ACCOUNT), Ok(Some(known)) if known == **account));
    if other.is_none() && seal(conn)?.is_none() {
        return Ok(None);
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(failure)?;
    if let Some(account) = other {
        set_text(&tx, ACCOUNT, account)?;
    }
    if account.is_some() && !again {
        tx.execute("DELETE FROM _meta WHERE name = ?1 AND value = ?2", [SEALED, KEPT])
            .map_err(failure)?;
    }
    // Another process may have given the file up since it was looked at.
    let against = seal(&tx)?;
    if against.is_none() {
        tx.commit().map_err(failure)?;
    }
    Ok(against)
}

/// Looks at a replica's file without opening it as one; `None` if it has been given up and waits to be removed.
///
/// # Errors
/// See [`OpenError`].
pub fn peek(path: &Path) -> Result<Option<Peek>, OpenError> {
    let Some(_common) = Lock::try_take(&beside(path, OPEN_FILE), Hold::Common)? else {
        return Err(OpenError::InUse(path.to_owned()));
    };
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(crate::open::BUSY_TIMEOUT)?;
    conn.pragma_update(None, "query_only", true)?;
    internal::check(&conn, path)?;
    if !has_meta(&conn)? {
        return Ok(None);
    }
    let sealed = seal(&conn)?;
    if sealed == Some(Seal::Discarded) {
        return Ok(None);
    }
    let counts = outbox::counts(&conn)?;
    Ok(Some(Peek {
        account: text(&conn, ACCOUNT)?,
        sealed: sealed.is_some(),
        unsent: counts.queued + counts.in_flight + counts.wedged + counts.rejected + counts.given_up,
    }))
}

/// Removes a file that was sealed as [`Seal::Discarded`], and what stands beside it, once nobody has it open; false if
/// somebody still had after `within`. Then it goes when it is next opened.
///
/// # Errors
/// See [`OpenError`].
pub fn discard(path: &Path, within: Duration) -> Result<bool, OpenError> {
    let Some(_alone) = Lock::take(&beside(path, OPEN_FILE), Hold::Alone, within)? else {
        return Ok(false);
    };
    remove_files(path)?;
    for lock in [DRAIN_FILE, OPEN_FILE] {
        remove(&beside(path, lock))?;
    }
    Ok(true)
}

/// Removes the database. The file itself goes first: the seal may stand in its log alone, and SQLite drops a log without
/// its file.
pub(crate) fn remove_files(path: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm"] {
        remove(&beside(path, suffix))?;
    }
    // An import that was killed.
    crate::datastore::clean(path);
    // What was kept of damaged ones holds the same account's records.
    crate::salvage::remove_damaged(path)
}

fn remove(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(OpenError::File {
            path: path.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(sealed: Option<Seal>) -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        internal::migrate(&mut conn).unwrap();
        assert_eq!(sign_in(&conn, Some("ada"), false).unwrap(), None);
        if let Some(sealed) = sealed {
            set_seal(&conn, sealed).unwrap();
        }
        conn
    }

    /// Also when the other process gives it up at the last moment, after this one has looked.
    #[test]
    fn a_file_that_was_given_up_stays_given_up_whoever_signs_in() {
        for (account, again) in [(Some("ada"), false), (Some("ada"), true), (None, false)] {
            let conn = file(Some(Seal::Discarded));
            assert_eq!(sign_in(&conn, account, again).unwrap(), Some(Seal::Discarded));
            assert_eq!(seal(&conn).unwrap(), Some(Seal::Discarded));
        }
    }

    #[test]
    fn an_account_that_comes_back_ends_its_seal_and_one_that_goes_on_does_not() {
        let conn = file(Some(Seal::Kept));
        assert_eq!(sign_in(&conn, Some("ada"), true).unwrap(), Some(Seal::Kept));
        assert_eq!(sign_in(&conn, Some("ada"), false).unwrap(), None);
        assert_eq!(seal(&conn).unwrap(), None);
    }
}
