//! The internal tables and their versions (`user_version`). Steps are never edited, only added.

use rusqlite::Connection;

/// Marks a file as ours (`PRAGMA application_id`): "TMBS".
pub(crate) const APPLICATION_ID: i64 = 0x544D_4253;

/// One step for each version, from the one before.
pub(crate) const STEPS: &[&str] = &[
    "
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
", "
    -- When each replica was last heard of; the lowest place in the feed that it has shown to hold, and when. stage: 0 alive;
    -- 1 silent for so long that its settled outcomes went; 2 written off; 3 nothing of it is left but this row.
    -- lost_through: a number up to here without an outcome may have taken effect, and nobody knows.
    ALTER TABLE _replicas ADD COLUMN last_seen_ms INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE _replicas ADD COLUMN cursor INTEGER;
    ALTER TABLE _replicas ADD COLUMN cursor_ms INTEGER;
    ALTER TABLE _replicas ADD COLUMN stage INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE _replicas ADD COLUMN lost_through INTEGER NOT NULL DEFAULT 0;
    INSERT OR IGNORE INTO _replicas (replica, settled_through) SELECT DISTINCT replica, 0 FROM _outcomes;
    -- Of what is there already nobody noted the time; it is no later than the newest change's.
    UPDATE _replicas SET last_seen_ms = (SELECT value FROM _meta WHERE key = 'last_changed_at');
    CREATE INDEX _replicas_seen ON _replicas (stage, last_seen_ms);
    CREATE INDEX _replicas_cursor ON _replicas (cursor) WHERE cursor IS NOT NULL;
    ALTER TABLE _departures ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
    UPDATE _departures SET at_ms = (SELECT value FROM _meta WHERE key = 'last_changed_at');
    -- Up to where each model's table has been looked through for old tombstones.
    CREATE TABLE _pruned (model TEXT PRIMARY KEY, through INTEGER NOT NULL) WITHOUT ROWID;
", "
    -- What tells a mutation from another one under the same number; 64 bits each, absent in outcomes of older releases.
    ALTER TABLE _outcomes ADD COLUMN digest INTEGER;
    ALTER TABLE _outcomes ADD COLUMN digest_under INTEGER;
",
    crate::traces::STEP,
    "
    -- Whether the field may miss values; what there is may miss them without being asked about it.
    ALTER TABLE _fields ADD COLUMN required INTEGER NOT NULL DEFAULT 1;
    -- Every schema that the database was opened with; `schema` in _meta is the hash of the last.
    CREATE TABLE _schemas (hash TEXT PRIMARY KEY, sdl TEXT NOT NULL, last_served_ms INTEGER NOT NULL);
", "
    -- Hash of the request as it came: what tells one that was refused unread from another.
    ALTER TABLE _outcomes ADD COLUMN digest_request INTEGER;
",
    crate::ages::STEP,
    "
    -- Whose each replica is, if its user has shown who that is.
    ALTER TABLE _replicas ADD COLUMN principal TEXT;
",
    crate::sessions::STEP,
];

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
