//! The internal tables and their versions (`user_version`). Steps are never edited, only added.

use rusqlite::Connection;

/// Marks a file as ours (`PRAGMA application_id`): "TMBS".
pub(crate) const APPLICATION_ID: i64 = 0x544D_4253;

/// One step for each version, from the one before.
const STEPS: [&str; 1] = ["
    -- Facts about the whole: epoch, position, last_changed_at, low_watermark.
    CREATE TABLE _meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    -- What became of each mutation of a replica. kind: 0 applied, 1 merged, 2 rejected.
    CREATE TABLE _outcomes (
        replica TEXT NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL, code TEXT, message TEXT,
        model TEXT, key TEXT, position INTEGER NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY (replica, number)
    ) WITHOUT ROWID;
    -- Up to where each replica has settled.
    CREATE TABLE _replicas (replica TEXT PRIMARY KEY, settled_through INTEGER NOT NULL) WITHOUT ROWID;
    -- Images of records before changes that may have taken them out of a scope; before: a JSON object of its fields.
    CREATE TABLE _departures (
        position INTEGER PRIMARY KEY, model TEXT NOT NULL, key TEXT NOT NULL, before TEXT NOT NULL
    );
    CREATE INDEX _departures_of_model ON _departures (model, position);
    -- Columns that some scope's filter looks at, and since which position their changes leave departures.
    CREATE TABLE _scope_fields (
        model TEXT NOT NULL, field TEXT NOT NULL, since INTEGER NOT NULL, PRIMARY KEY (model, field)
    ) WITHOUT ROWID;
    -- The shape of the stored models: types as in the schema, without the outermost `!`; the key fields as a JSON array.
    CREATE TABLE _models (model TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE _fields (
        model TEXT NOT NULL, field TEXT NOT NULL, type TEXT NOT NULL, PRIMARY KEY (model, field)
    ) WITHOUT ROWID;
"];

/// The version that this program writes.
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// Brings the internal tables from version `from` to [`VERSION`].
pub(crate) fn upgrade(conn: &Connection, from: i64, epoch: &str) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        conn.execute_batch(step)?;
    }
    if from == 0 {
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
        let mut put = conn.prepare("INSERT INTO _meta (key, value) VALUES (?1, ?2)")?;
        put.execute(("epoch", epoch))?;
        for key in ["position", "last_changed_at", "low_watermark"] {
            put.execute((key, 0))?;
        }
    }
    conn.pragma_update(None, "user_version", VERSION)
}
