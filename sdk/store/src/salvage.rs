//! A damaged file: what the user meant is taken out of it row by row, the rest is fetched anew, and nothing is silent.
//!
//! The damaged file is kept, as `FILE.damaged-N` with its log beside it. The new one is written beside it under another
//! name and complete before anything is moved; a process that dies on the way goes on at the next opening:
//!
//! ```text
//! FILE damaged ─▶ FILE.salvaging written ─▶ renamed FILE.salvaged ─▶ FILE → FILE.damaged-N ─▶ FILE.salvaged → FILE
//!              └──────── dies: begun anew ────────┘└──────────────── dies: only moved ────────────────┘
//! ```
//!
//! What is copied: the outbox and what became of its mutations, the scopes without their cursors (so that a base sync is
//! due), and the replica's identity, if it and its count of numbers can be read. Otherwise the new file is a new replica:
//! then what the old one had sent is not sent again under another name, since it may have taken effect; it is shown to the
//! app as rejected with `OutcomeForgotten`, to look first.

mod torn;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};
use serde::{Deserialize, Serialize};
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_machine::{Ended, StoreError};

use crate::error::{OpenError, failure};
use crate::identity::SINCE;
use crate::locks::{DRAIN_FILE, Hold, Lock, OPEN_FILE, beside};
use crate::open::{Options, Store};
use crate::sql::quote;
use crate::{ended, outbox};

/// Damaged files kept beside the new one; with more than this many the app's folder is what needs help.
const DAMAGED_KEPT_MAX: u32 = 1_000;

/// Numbers looked up one by one where the outbox cannot be walked: as many as an outbox may hold entries.
const NUMBERS_PROBED_MAX: i64 = 100_000;

/// SQLite's page size, which no release has changed.
const PAGE_BYTES: u64 = 4096;

/// Where the new file's meta keeps the report.
const REPORT: &str = "salvage";

/// Set once that has been given out to be told.
const TOLD: &str = "salvage_told";

/// States of the outbox, as the table has them.
const QUEUED: i64 = 0;
const IN_FLIGHT: i64 = 1;
const ACKED: i64 = 2;
const REJECTED: i64 = 3;
const WEDGED: i64 = 4;
const GIVEN_UP: i64 = 5;

/// What a mutation says whose fate is not known.
const UNCERTAIN: &str = "the file was damaged and is a new replica now: this mutation, or the one that it was to replace, had \
                         been sent by the old one and may have been carried out; look at the record first, then discard it \
                         or try it again";

/// What one says that waited for a mutation which the server had refused.
const WITHOUT: &str = "it depends on a mutation that was rejected before the file was damaged";

/// What was saved out of a damaged file, and what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvage {
    /// Where the damaged file is kept.
    pub damaged: PathBuf,
    /// What was wrong, in the database's words.
    pub problem: String,
    /// The new file is the same replica; otherwise it is a new one.
    pub same_replica: bool,
    /// Mutations saved, in any state.
    pub mutations: u64,
    /// Of those, sent by the old replica and not answered, or made to replace such a one: they wait for the app, rejected. 0 for the same replica, which sends them
    /// again.
    pub uncertain: u64,
    /// Mutations that could be seen but not read.
    pub lost: u64,
    /// Of those saved, in a transaction of which a part was lost, or waiting for such a one: they wait for the app, rejected,
    /// since a part of a transaction is never sent without the rest.
    #[serde(default)]
    pub torn: u64,
    /// The outbox could be walked from end to end: nothing else was in it.
    pub whole: bool,
}

impl Store {
    /// Takes out of the damaged file at `path` what can be read, and opens the new one. To be called when [`Store::open`]
    /// gave [`StoreError::Corrupt`], whose words are the `problem`.
    ///
    /// # Errors
    /// See [`OpenError`]; the damaged file is then still there, under its own name or under its new one.
    /// [`OpenError::Foreign`] for a file that can never have been a database: nobody's text is moved aside.
    pub fn salvage(path: &Path, schema: Arc<Schema>, options: Options, problem: &str) -> Result<Self, OpenError> {
        // Alone: others that have the damaged file open would go on in it.
        let lock = Lock::take(&beside(path, OPEN_FILE), Hold::Alone, options.busy_timeout)?;
        if lock.is_none() {
            return Err(OpenError::InUse(path.to_owned()));
        }
        if !beside(path, ".salvaged").exists() {
            if !may_be_ours(path) {
                return Err(OpenError::Foreign(path.to_owned()));
            }
            write_new(path, &schema, &options, problem)?;
        }
        finish(path)?;
        drop(lock);
        Self::open(path, schema, options)
    }

    /// Notes that the file was found damaged in the middle of its use, where opening it may not show that: the next
    /// [`Store::open`] says so, and [`Store::salvage`] mends it.
    ///
    /// # Errors
    /// The system's.
    pub fn mark_damaged(&self, problem: &str) -> std::io::Result<()> {
        self.path().map_or(Ok(()), |path| mark(path, problem))
    }

    /// What was saved when this file was made out of a damaged one; `None` if it never was.
    ///
    /// # Errors
    /// The store's.
    pub fn salvaged(&self) -> Result<Option<Salvage>, StoreError> {
        let text: Option<String> = self
            .connection()
            .query_row("SELECT value FROM _meta WHERE name = ?1", [REPORT], |row| row.get(0))
            .optional()
            .map_err(failure)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// The same, once for each time that a file was salvaged: what is to be told as news.
    ///
    /// # Errors
    /// The store's.
    pub fn salvage_to_tell(&self) -> Result<Option<Salvage>, StoreError> {
        let untold = self
            .connection()
            .query_row(
                "SELECT 1 FROM _meta WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM _meta WHERE name = ?2)",
                [REPORT, TOLD],
                |_| Ok(()),
            )
            .optional()
            .map_err(failure)?;
        if untold.is_none() {
            return Ok(None);
        }
        self.connection()
            .execute("INSERT OR REPLACE INTO _meta (name, value) VALUES (?1, 1)", [TOLD])
            .map_err(failure)?;
        self.salvaged()
    }
}

/// Whether the file begins as a database does, or at least has the size of one of ours whose first page was spoiled.
fn may_be_ours(path: &Path) -> bool {
    const MAGIC: &[u8] = b"SQLite format 3\0";
    let begins = std::fs::File::open(path).and_then(|mut file| {
        let mut first = [0; MAGIC.len()];
        std::io::Read::read_exact(&mut file, &mut first).map(|()| first)
    });
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    begins.is_ok_and(|first| first == MAGIC) || (bytes >= 2 * PAGE_BYTES && bytes.is_multiple_of(PAGE_BYTES))
}

/// Notes beside the file that it was found damaged in the middle of its use, where opening it may not show that.
fn mark(path: &Path, problem: &str) -> std::io::Result<()> {
    std::fs::write(beside(path, ".damaged"), problem)
}

/// What was noted.
pub(crate) fn marked(path: &Path) -> Option<String> {
    std::fs::read_to_string(beside(path, ".damaged")).ok()
}

/// Removes what was kept of damaged files, and what an unfinished salvage left.
pub(crate) fn remove_damaged(path: &Path) -> Result<(), OpenError> {
    let kept = (0..DAMAGED_KEPT_MAX)
        .map(|number| beside(path, &format!(".damaged-{number}")))
        .take_while(|kept| kept.exists());
    let others = [".damaged", ".salvaging", ".salvaged"].map(|suffix| beside(path, suffix));
    for file in kept.chain(others) {
        for suffix in ["", "-wal", "-shm"] {
            let file = beside(&file, suffix);
            remove(&file).map_err(|source| OpenError::File { path: file, source })?;
        }
    }
    Ok(())
}

/// A salvage that died while it moved files: the new one is complete, and only has to take its place. To be asked under
/// the lock, before the file is opened.
pub(crate) fn finish(path: &Path) -> Result<(), OpenError> {
    let new = beside(path, ".salvaged");
    if !new.exists() {
        return Ok(());
    }
    let failed = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    let aside = read_report(&new)?.map(|report| report.damaged);
    let aside = aside.unwrap_or_else(|| beside(path, ".damaged-0"));
    // The log goes with its file, and never stays to be taken for the new one's.
    for suffix in ["", "-wal", "-shm"] {
        let from = beside(path, suffix);
        if from.exists() {
            std::fs::rename(&from, beside(&aside, suffix)).map_err(failed)?;
        }
    }
    remove(&beside(path, ".damaged")).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

fn read_report(path: &Path) -> Result<Option<Salvage>, OpenError> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let text: Option<String> = conn
        .query_row("SELECT value FROM _meta WHERE name = ?1", [REPORT], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Writes `FILE.salvaging` and renames it to `FILE.salvaged` when it is complete.
fn write_new(path: &Path, schema: &Arc<Schema>, options: &Options, problem: &str) -> Result<(), OpenError> {
    let temporary = beside(path, ".salvaging");
    let failed = |source| OpenError::File {
        path: temporary.clone(),
        source,
    };
    for suffix in ["", "-wal", "-shm"] {
        remove(&beside(&temporary, suffix)).map_err(failed)?;
    }
    let aside = (0..DAMAGED_KEPT_MAX)
        .map(|number| beside(path, &format!(".damaged-{number}")))
        .find(|aside| !aside.exists())
        .ok_or_else(|| {
            failed(std::io::Error::other(
                "too many damaged files stand beside it; move them away",
            ))
        })?;
    {
        let store = Store::open(
            &temporary,
            Arc::clone(schema),
            Options {
                again: false,
                ..options.clone()
            },
        )?;
        let old = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let new = store.connection();
        new.execute_batch("BEGIN IMMEDIATE")?;
        let mut report = Salvage {
            damaged: aside,
            problem: problem.to_owned(),
            same_replica: false,
            mutations: 0,
            uncertain: 0,
            lost: 0,
            torn: 0,
            whole: false,
        };
        if let Ok(old) = &old {
            copy(old, new, schema, &mut report)?;
        }
        new.execute(
            "INSERT OR REPLACE INTO _meta (name, value) VALUES (?1, ?2)",
            (REPORT, serde_json::to_string(&report).unwrap_or_default()),
        )?;
        new.execute_batch("COMMIT")?;
        // Into the file itself, so that it is whole without its log.
        new.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    }
    for suffix in [OPEN_FILE, DRAIN_FILE] {
        remove(&beside(&temporary, suffix)).map_err(failed)?;
    }
    std::fs::rename(&temporary, beside(path, ".salvaged")).map_err(failed)
}

/// Copies what can be read of `old` into `new`.
fn copy(old: &Connection, new: &Connection, schema: &Schema, report: &mut Salvage) -> Result<(), OpenError> {
    let meta = |name: &str| -> Option<Value> {
        old.query_row("SELECT value FROM _meta WHERE name = ?1", [name], |row| row.get(0))
            .ok()
    };
    let numbers_known = matches!(meta("last_number"), Some(Value::Integer(_)));
    report.same_replica = matches!(meta("replica"), Some(Value::Text(_))) && numbers_known;
    for name in names(old) {
        let identity = ["replica", SINCE, "last_number", "settled_through"].contains(&name.as_str());
        if name == REPORT || name == TOLD || name == "dropped" || (identity && !report.same_replica) {
            continue;
        }
        if let Some(value) = meta(&name) {
            new.execute(
                "INSERT OR REPLACE INTO _meta (name, value) VALUES (?1, ?2)",
                (&name, &value),
            )?;
        }
    }
    copy_scopes(old, new)?;
    let lost = copy_outbox(old, new, report)?;
    report.torn = torn::refuse(old, new, &lost, report.whole)?;
    // An earlier release did not keep it.
    new.execute(
        "UPDATE _outbox SET waits = (SELECT min(value) FROM json_each(depends_on)) WHERE depends_on IS NOT NULL",
        (),
    )?;
    // No row was.
    new.execute("UPDATE _outbox SET in_base = 0", ())?;
    if !report.same_replica {
        let was = match meta("replica") {
            Some(Value::Text(name)) => name,
            Some(_) | None => String::new(),
        };
        report.uncertain = leave_identity(new, &ReplicaId(was))?;
    }
    copy_renumbered(old, new)?;
    // Numbers are never given twice, whatever the count says.
    new.execute(
        "INSERT INTO _meta (name, value) SELECT 'last_number', coalesce(max(number), 0)
         FROM (SELECT number FROM _outbox UNION ALL SELECT number FROM _ended UNION ALL SELECT high + by FROM _renumbered)
         WHERE true
         ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        (),
    )?;
    // Every model's rows are gone: what unsettled mutations show is laid anew by the machine.
    let models: Vec<&str> = schema.models.iter().map(|model| model.name.as_str()).collect();
    new.execute(
        "INSERT OR REPLACE INTO _meta (name, value) VALUES ('dropped', ?1)",
        [serde_json::to_string(&models).unwrap_or_default()],
    )?;
    Ok(())
}

/// Makes the outbox that of a new replica; how many mutations there are of which nobody can say whether they were carried
/// out. The server would not know them by the new name: sent again, or made void, they could take effect twice.
fn leave_identity(new: &Connection, was: &ReplicaId) -> Result<u64, OpenError> {
    // Those that waited for a refused one, and those that waited for them. The server knew; it does not by the new name.
    let without = reason(ErrorType::DependencyRejected, WITHOUT);
    let waiting = format!(
        "UPDATE _outbox AS o SET state = ?1, reason = ?2 WHERE state = ?3 AND EXISTS (
           SELECT 1 FROM json_each({}) AS d JOIN _outbox AS p ON p.number = d.value WHERE p.state = ?1)",
        readable("o.depends_on")
    );
    while new.execute(&waiting, (REJECTED, &without, QUEUED))? > 0 {}
    let uncertain = reason(ErrorType::OutcomeForgotten, UNCERTAIN);
    let count = new.execute(
        "UPDATE _outbox SET state = ?1, reason = ?2 WHERE state IN (?3, ?4, ?5) OR (state = ?6 AND EXISTS (
           SELECT 1 FROM _outbox AS p WHERE p.number = _outbox.replaces AND p.state IN (?3, ?4, ?5)))",
        (REJECTED, &uncertain, IN_FLIGHT, WEDGED, GIVEN_UP, QUEUED),
    )?;
    // The server has carried these out, for a replica that is no more: the base sync brings what they made. They ended at
    // the newest moment that the file knows, as far as anyone can say.
    let newest_ms: Option<i64> = new.query_row(
        "SELECT max(at) FROM (SELECT created_at_ms AS at FROM _outbox UNION ALL SELECT ended_at_ms FROM _ended)",
        (),
        |row| row.get(0),
    )?;
    for entry in outbox::select(new, "WHERE state = 2 ORDER BY number", &[])? {
        let Some(outcome) = entry.outcome() else { continue };
        let ended = Ended {
            number: entry.number,
            first: entry.first,
            atomic: entry.atomic,
            replica: entry.replica.unwrap_or_else(|| was.clone()),
            intent: entry.intent,
            outcome,
            conflict: entry.conflict,
            became: None,
            author: entry.author,
            schema: entry.schema,
            created_at_ms: entry.created_at_ms,
            ended_at_ms: newest_ms.unwrap_or(entry.created_at_ms),
        };
        ended::put(new, &ended)?;
    }
    new.execute("DELETE FROM _outbox WHERE state = ?1", [ACKED])?;
    // What is left was never sent, and the server can find only what is: the rest is not named to it.
    for links in ["depends_on", "seen"] {
        let sql = format!(
            "UPDATE _outbox AS o SET {links} = (SELECT nullif(json_group_array(d.value), '[]') FROM json_each({}) AS d
               JOIN _outbox AS p ON p.number = d.value WHERE p.state = ?1) WHERE state = ?1 AND {links} IS NOT NULL",
            readable(&format!("o.{links}"))
        );
        new.execute(&sql, [QUEUED])?;
    }
    Ok(count as u64)
}

/// As the outbox keeps it.
fn reason(code: ErrorType, message: &str) -> String {
    serde_json::to_string(&RejectReason {
        code,
        message: message.to_owned(),
    })
    .unwrap_or_default()
}

/// A column of JSON, or an empty list where it cannot be read.
fn readable(column: &str) -> String {
    format!("CASE WHEN json_valid({column}) THEN {column} ELSE '[]' END")
}

/// Under which numbers mutations went on, as far as it can be read.
fn copy_renumbered(old: &Connection, new: &Connection) -> Result<(), OpenError> {
    let Ok(mut statement) = old.prepare("SELECT low, high, by FROM _renumbered") else {
        return Ok(());
    };
    let Ok(rows) = statement.query_map((), |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    }) else {
        return Ok(());
    };
    for row in rows.map_while(Result::ok) {
        new.execute("INSERT INTO _renumbered (low, high, by) VALUES (?1, ?2, ?3)", row)?;
    }
    Ok(())
}

/// The names in the meta table, as far as it can be walked.
fn names(old: &Connection) -> Vec<String> {
    let mut names = BTreeSet::new();
    for order in ["ASC", "DESC"] {
        let Ok(mut statement) = old.prepare(&format!("SELECT name FROM _meta ORDER BY name {order}")) else {
            continue;
        };
        let Ok(rows) = statement.query_map((), |row| row.get::<_, String>(0)) else {
            continue;
        };
        names.extend(rows.map_while(Result::ok));
    }
    names.into_iter().collect()
}

fn copy_scopes(old: &Connection, new: &Connection) -> Result<(), OpenError> {
    let Ok(mut statement) = old.prepare("SELECT model, filter FROM _scopes") else {
        return Ok(());
    };
    let Ok(rows) = statement.query_map((), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
    }) else {
        return Ok(());
    };
    let mut whole = true;
    for row in rows {
        let Ok((model, filter)) = row else {
            whole = false;
            break;
        };
        let readable = filter
            .as_deref()
            .is_none_or(|filter| serde_json::from_str::<serde_json::Value>(filter).is_ok());
        if readable {
            new.execute(
                "INSERT OR REPLACE INTO _scopes (model, filter, cursor, generation, base_sync, up_to_date)
                 VALUES (?1, ?2, NULL, 1, 1, 0)",
                (model, filter),
            )?;
        }
    }
    if !whole {
        // What a client noted beside the scopes it noted about all of them.
        new.execute("DELETE FROM _scopes WHERE substr(model, 1, 1) = '_'", ())?;
    }
    Ok(())
}

/// Tables whose rows are named by a mutation's number, each with the columns that must be readable as JSON.
const NUMBERED: [(&str, &[&str]); 2] = [("_outbox", &["key", "field_values"]), ("_ended", &["intent"])];

/// Copies the rows; the numbers of those in the outbox that could be seen and not read.
fn copy_outbox(old: &Connection, new: &Connection, report: &mut Salvage) -> Result<BTreeSet<i64>, OpenError> {
    let mut lost_there = BTreeSet::new();
    for (table, json) in NUMBERED {
        // As far as both files have it: the damaged one may be of an earlier release.
        let (theirs, ours) = (columns(old, table), columns(new, table));
        let shared: Vec<&String> = ours.iter().filter(|column| theirs.contains(column)).collect();
        if shared.is_empty() {
            continue;
        }
        let (numbers, whole) = numbers(old, table);
        let list: Vec<String> = shared.iter().map(|column| quote(column)).collect();
        let places: Vec<String> = (1..=shared.len()).map(|place| format!("?{place}")).collect();
        let select = format!("SELECT {} FROM {table} WHERE number = ?1", list.join(", "));
        let insert = format!(
            "INSERT OR REPLACE INTO {table} ({}) VALUES ({})",
            list.join(", "),
            places.join(", ")
        );
        let (mut saved, mut lost) = (0, BTreeSet::new());
        for number in numbers {
            let row = old.prepare_cached(&select).and_then(|mut statement| {
                statement
                    .query_row([number], |row| {
                        (0..shared.len())
                            .map(|at| row.get::<_, Value>(at))
                            .collect::<rusqlite::Result<Vec<_>>>()
                    })
                    .optional()
            });
            let readable = |row: &Vec<Value>| {
                shared.iter().zip(row).all(|(column, value)| match value {
                    Value::Text(text) if json.contains(&column.as_str()) => {
                        serde_json::from_str::<serde_json::Value>(text).is_ok()
                    }
                    _ => !json.contains(&column.as_str()),
                })
            };
            match row {
                Ok(Some(row)) if readable(&row) && new.execute(&insert, params_from_iter(&row)).is_ok() => saved += 1,
                // A number that was only guessed.
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => drop(lost.insert(number)),
            }
        }
        if table == "_outbox" {
            (report.mutations, report.lost, report.whole) = (saved, lost.len() as u64, whole);
            lost_there = lost;
        }
    }
    Ok(lost_there)
}

fn columns(conn: &Connection, table: &str) -> Vec<String> {
    conn.prepare("SELECT name FROM pragma_table_info(?1)")
        .and_then(|mut statement| statement.query_map([table], |row| row.get(0))?.collect())
        .unwrap_or_default()
}

/// Every number that the table, or an index of it, shows; and whether it could be walked from end to end.
fn numbers(old: &Connection, table: &str) -> (BTreeSet<i64>, bool) {
    let mut numbers: BTreeSet<i64> = BTreeSet::new();
    let mut walk = |sql: String| -> bool {
        let Ok(mut statement) = old.prepare(&sql) else {
            return false;
        };
        let Ok(mut rows) = statement.query(()) else {
            return false;
        };
        loop {
            match rows.next() {
                Ok(Some(row)) => match row.get(0) {
                    Ok(number) => drop(numbers.insert(number)),
                    Err(_) => return false,
                },
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    };
    let whole = walk(format!("SELECT number FROM {table} NOT INDEXED ORDER BY number"));
    if !whole {
        walk(format!("SELECT number FROM {table} NOT INDEXED ORDER BY number DESC"));
        walk(format!("SELECT number FROM {table} ORDER BY model, key"));
    }
    if let (false, Some(first), Some(last)) = (whole, numbers.first().copied(), numbers.last().copied()) {
        // Between the ends that were reached there may be more, on pages that only a look-up finds.
        let first = first.max(last.saturating_sub(NUMBERS_PROBED_MAX));
        numbers.extend(first..=last);
    }
    (numbers, whole)
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
