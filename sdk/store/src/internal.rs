//! The store's own tables, by `user_version`. The outbox is among them: a change of the app's schema never touches it.

use rusqlite::Connection;

use crate::error::OpenError;

/// SQLite's `application_id` of a replica's file: "tmbo".
pub(crate) const APPLICATION_ID: i64 = 0x746D_626F;

/// Each brings the file from the version that is its place to the next one. Never edited once released, only added to.
const MIGRATIONS: &[&str] = &[
    r#"
    CREATE TABLE _meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE _models (model TEXT PRIMARY KEY, shape TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE _scopes (
        model TEXT PRIMARY KEY,
        filter TEXT,
        cursor TEXT,
        generation INTEGER NOT NULL,
        base_sync INTEGER NOT NULL,
        up_to_date INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE _outbox (
        number INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        atomic INTEGER NOT NULL,
        model TEXT NOT NULL,
        key TEXT NOT NULL,
        kind TEXT NOT NULL,
        field_values TEXT NOT NULL,
        base_version INTEGER,
        condition TEXT,
        state INTEGER NOT NULL,
        outcome TEXT,
        epoch TEXT,
        position INTEGER,
        reason TEXT,
        depends_on TEXT,
        seen TEXT,
        needs INTEGER NOT NULL,
        author TEXT,
        schema TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        tries INTEGER NOT NULL
    );
    CREATE INDEX _outbox_record ON _outbox (model, key, number);
    CREATE INDEX _outbox_first ON _outbox (first) WHERE atomic = 1;
    CREATE INDEX _outbox_queued ON _outbox (number) WHERE state = 0;
    CREATE INDEX _outbox_in_flight ON _outbox (number) WHERE state = 1;
    CREATE INDEX _outbox_acked ON _outbox (model, number) WHERE state = 2;
    CREATE INDEX _outbox_needs ON _outbox (needs) WHERE state <> 3;
    CREATE INDEX _outbox_links ON _outbox (number) WHERE depends_on IS NOT NULL OR seen IS NOT NULL;
"#,
    // Operations on counters and sets, beside the plain values.
    "ALTER TABLE _outbox ADD COLUMN operations TEXT;",
    // What the user saw in the fields that a mutation sets, where a conflict resolver may be asked.
    "ALTER TABLE _outbox ADD COLUMN base_values TEXT;",
    r#"
    -- replica: the identity that an entry was sent under, if the file has taken another since. replaces: the mutation that
    -- the app gave up for this one.
    ALTER TABLE _outbox ADD COLUMN replica TEXT;
    ALTER TABLE _outbox ADD COLUMN replaces INTEGER;
    ALTER TABLE _outbox ADD COLUMN conflict TEXT;
    CREATE INDEX _outbox_given_up ON _outbox (first) WHERE state = 5;
    -- What has left the outbox, in that order; intent is JSON and whole.
    CREATE TABLE _ended (
        id INTEGER PRIMARY KEY,
        number INTEGER NOT NULL UNIQUE,
        first INTEGER NOT NULL,
        atomic INTEGER NOT NULL,
        replica TEXT NOT NULL,
        author TEXT,
        model TEXT NOT NULL,
        key TEXT NOT NULL,
        kind TEXT NOT NULL,
        intent TEXT NOT NULL,
        schema TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT,
        conflict TEXT,
        became INTEGER,
        created_at_ms INTEGER NOT NULL,
        ended_at_ms INTEGER NOT NULL
    );
    CREATE INDEX _ended_at ON _ended (ended_at_ms);
    -- Mutations that go on under new numbers: n from low to high became n + by.
    CREATE TABLE _renumbered (low INTEGER NOT NULL, high INTEGER NOT NULL, by INTEGER NOT NULL);
"#,
    // The lowest number that an entry depends on: who waits for a number is found among few.
    "ALTER TABLE _outbox ADD COLUMN waits INTEGER;
     UPDATE _outbox SET waits = (SELECT min(value) FROM json_each(depends_on)) WHERE depends_on IS NOT NULL;
     CREATE INDEX _outbox_waits ON _outbox (waits) WHERE waits IS NOT NULL;",
    // Whether the base row contains the entry's effect.
    "ALTER TABLE _outbox ADD COLUMN in_base INTEGER NOT NULL DEFAULT 0;",
    // Names that the entry had before, under which a copy of the file may have sent it: `[[replica, number], …]`.
    "ALTER TABLE _outbox ADD COLUMN moved_from TEXT;",
    // Taken over from another client's queue: 1, and 2 if that client may have sent it.
    "ALTER TABLE _outbox ADD COLUMN imported INTEGER NOT NULL DEFAULT 0;
     CREATE INDEX _outbox_imported ON _outbox (number) WHERE imported <> 0;",
];

/// Brings the store's own tables to the newest version, in one transaction.
pub(crate) fn migrate(conn: &mut Connection) -> Result<(), OpenError> {
    let known = MIGRATIONS.len() as i64;
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == known {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for sql in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        tx.execute_batch(sql)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known)?;
    tx.commit()?;
    Ok(())
}

/// Whether the store's own tables are those of this release.
pub(crate) fn is_current(conn: &Connection) -> rusqlite::Result<bool> {
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(found == MIGRATIONS.len() as i64)
}

/// Refuses a file that is not ours, or of a newer release. Only reads: to be asked before anything is set in it.
pub(crate) fn check(conn: &Connection, path: &std::path::Path) -> Result<(), OpenError> {
    let known = MIGRATIONS.len() as i64;
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION_ID {
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        if application != 0 || tables > 0 || found > 0 {
            return Err(OpenError::Foreign(path.to_owned()));
        }
    }
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    Ok(())
}
