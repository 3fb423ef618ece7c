//! The copy of an old file: which adapter wrote it, its tables, what its records were synced at.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use tombolo_core::id::Version;
use tombolo_core::record::Meta;
use tombolo_machine::StoreError;

use super::copy::{self, Copied};
use super::report::{ImportError, ImportFormat};
use super::values::PRIMARY_KEY;
use crate::sql::quote;

/// Tables that are the adapters' own.
const IOS: &[&str] = &[
    "MutationEvent",
    "MutationSyncMetadata",
    "MutationSyncMetadataCopy",
    "ModelSyncMetadata",
];
const ANDROID: &[&str] = &[
    "PersistentRecord",
    "ModelMetadata",
    "ModelMetadataCopy",
    "LastSyncMetadata",
    "PersistentModelVersion",
    "migration_flags",
    "android_metadata",
];

/// A copy of a file of Amplify DataStore, open to be read.
#[derive(Debug)]
pub struct DatastoreFile {
    path: PathBuf,
    format: ImportFormat,
    conn: Connection,
    /// Dropped after the connection.
    _copy: Copied,
}

/// What the old file says its records were synced at.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// By model and identifier.
    named: BTreeMap<(String, String), Meta>,
    /// By identifier alone, as older releases wrote it.
    bare: BTreeMap<String, Meta>,
}

impl Metadata {
    /// What the record of this model is synced at.
    pub(super) fn of(&self, model: &str, id: &str) -> Option<Meta> {
        let named = self.named.get(&(model.to_owned(), id.to_owned()));
        named.or_else(|| self.bare.get(id)).copied()
    }

    /// The identifiers of a model's tombstones.
    pub(super) fn tombstones(&self, model: &str) -> impl Iterator<Item = (&String, &Meta)> {
        self.named
            .range((model.to_owned(), String::new())..)
            .take_while(move |((of, _), _)| of == model)
            .filter(|(_, meta)| meta.deleted)
            .map(|((_, id), meta)| (id, meta))
    }

    /// Forgets identifiers without a model's name that records of several models have: whose they are nobody knows.
    pub(super) fn forget_shared(&mut self, shared: impl IntoIterator<Item = String>) {
        for id in shared {
            self.bare.remove(&id);
        }
    }

    pub(super) fn has_bare(&self) -> bool {
        !self.bare.is_empty()
    }
}

impl DatastoreFile {
    /// Copies the file at `path` to a place beside `replica` and opens the copy. `None` if there is no file.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn open(path: &Path, replica: &Path) -> Result<Option<Self>, ImportError> {
        copy::clean(replica);
        if !path.try_exists().map_err(|source| ImportError::File {
            path: path.display().to_string(),
            source,
        })? {
            return Ok(None);
        }
        let copy = Copied::of(path, replica)?;
        let damaged = |error: rusqlite::Error| Self::refused(path, &error);
        let conn = Connection::open(&copy.path).map_err(damaged)?;
        let check: String = conn
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(damaged)?;
        if check != "ok" {
            return Err(ImportError::Damaged {
                path: path.display().to_string(),
                problem: check,
            });
        }
        let tables = names(
            &conn,
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
        )
        .map_err(damaged)?;
        let has = |own: &[&str]| {
            own.iter()
                .any(|name| *name != "android_metadata" && tables.iter().any(|t| t == name))
        };
        let format = match (has(IOS), has(ANDROID)) {
            (true, false) => ImportFormat::Ios,
            (false, true) => ImportFormat::Android,
            (false, false) => return Err(ImportError::Foreign(path.display().to_string())),
            (true, true) if is_of_javascript(&conn).map_err(damaged)? => {
                return Err(ImportError::JavaScript(path.display().to_string()));
            }
            (true, true) => {
                return Err(ImportError::Layout {
                    path: path.display().to_string(),
                    problem: "it has the tables of both adapters".to_owned(),
                });
            }
        };
        Ok(Some(Self {
            path: path.to_owned(),
            format,
            conn,
            _copy: copy,
        }))
    }

    fn refused(path: &Path, error: &rusqlite::Error) -> ImportError {
        let path = path.display().to_string();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => ImportError::Foreign(path),
            _ => match failure_words(error) {
                StoreError::Full => StoreError::Full.into(),
                other => ImportError::Damaged {
                    path,
                    problem: other.to_string(),
                },
            },
        }
    }

    /// Reading failed.
    pub(super) fn failed(&self, error: &rusqlite::Error) -> ImportError {
        Self::refused(&self.path, error)
    }

    pub(super) fn layout(&self, problem: String) -> ImportError {
        ImportError::Layout {
            path: self.path.display().to_string(),
            problem,
        }
    }

    /// The old file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which adapter wrote it.
    #[must_use]
    pub fn format(&self) -> ImportFormat {
        self.format
    }

    pub(super) fn conn(&self) -> &Connection {
        &self.conn
    }

    /// The tables that hold records.
    pub(super) fn tables(&self) -> Result<Vec<String>, ImportError> {
        let all = names(
            &self.conn,
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        );
        let mut all = all.map_err(|error| self.failed(&error))?;
        let own = match self.format {
            ImportFormat::Ios => IOS,
            ImportFormat::Android => ANDROID,
        };
        all.retain(|name| !own.contains(&name.as_str()));
        Ok(all)
    }

    /// A table's columns, none if there is no such table.
    pub(super) fn columns(&self, table: &str) -> Result<Vec<String>, ImportError> {
        self.conn
            .prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")
            .and_then(|mut statement| statement.query_map([table], |row| row.get(0))?.collect())
            .map_err(|error| self.failed(&error))
    }

    /// The columns of one of the adapters' own tables, which must have those that are needed; `None` without the table.
    pub(super) fn own_columns(&self, table: &str, needed: &[&str]) -> Result<Option<Vec<String>>, ImportError> {
        let columns = self.columns(table)?;
        if columns.is_empty() {
            return Ok(None);
        }
        match needed.iter().find(|name| !columns.iter().any(|column| column == *name)) {
            Some(name) => Err(self.layout(format!("its table {table} has no column {name}"))),
            None => Ok(Some(columns)),
        }
    }

    pub(super) fn count(&self, table: &str) -> Result<u64, ImportError> {
        self.conn
            .query_row(&format!("SELECT count(*) FROM {}", quote(table)), [], |row| {
                row.get::<_, i64>(0)
            })
            .map(|count| u64::try_from(count).unwrap_or(0))
            .map_err(|error| self.failed(&error))
    }

    /// The column that holds a record's identifier, of a table whose model nobody knows any more.
    fn identifier(&self, table: &str) -> Result<Option<String>, ImportError> {
        let columns = self.columns(table)?;
        let named = |name: &str| columns.iter().find(|column| *column == name).cloned();
        if let Some(of_several) = named(PRIMARY_KEY) {
            return Ok(Some(of_several));
        }
        let keys: rusqlite::Result<Vec<String>> = self
            .conn
            .prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0")
            .and_then(|mut statement| statement.query_map([table], |row| row.get(0))?.collect());
        Ok(match keys.map_err(|error| self.failed(&error))?.as_slice() {
            [key] => Some(key.clone()),
            [] | [_, _, ..] => named("id"),
        })
    }

    /// How many rows of a table the file knows no version of.
    pub(super) fn unversioned(&self, table: &str, metadata: &Metadata) -> Result<u64, ImportError> {
        let Some(id) = self.identifier(table)? else {
            return self.count(table);
        };
        let sql = format!(
            "SELECT coalesce(CAST({} AS TEXT), '') FROM {}",
            quote(&id),
            quote(table)
        );
        let ids = names(&self.conn, &sql).map_err(|error| self.failed(&error))?;
        Ok(ids.iter().filter(|id| metadata.of(table, id).is_none()).count() as u64)
    }

    /// Of identifiers that are named without a model, those that several tables have.
    pub(super) fn shared_ids(&self, tables: &[String]) -> Result<Vec<String>, ImportError> {
        let mut parts = Vec::new();
        for table in tables {
            if self.columns(table)?.iter().any(|column| column == "id") {
                parts.push(format!("SELECT CAST(id AS TEXT) AS id FROM {}", quote(table)));
            }
        }
        if parts.len() < 2 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT id FROM ({}) WHERE id IS NOT NULL GROUP BY id HAVING count(*) > 1 ORDER BY id",
            parts.join(" UNION ALL ")
        );
        names(&self.conn, &sql).map_err(|error| self.failed(&error))
    }

    /// What the records were synced at.
    pub(super) fn metadata(&self) -> Result<Metadata, ImportError> {
        let (table, version, deleted, changed) = match self.format {
            ImportFormat::Ios => ("MutationSyncMetadata", "version", "deleted", "lastChangedAt"),
            ImportFormat::Android => ("ModelMetadata", "_version", "_deleted", "_lastChangedAt"),
        };
        let mut metadata = Metadata::default();
        let Some(columns) = self.own_columns(table, &["id", version])? else {
            return Ok(metadata);
        };
        let or_null = |name: &str| match columns.iter().any(|column| column == name) {
            true => quote(name),
            false => "NULL".to_owned(),
        };
        let sql = format!(
            "SELECT id, {}, {}, {} FROM {} ORDER BY id",
            quote(version),
            or_null(deleted),
            or_null(changed),
            quote(table)
        );
        let read = |row: &Row<'_>| -> rusqlite::Result<(String, Meta)> {
            let meta = Meta {
                version: Version(int(row.get_ref(1)?).unwrap_or(0)),
                deleted: int(row.get_ref(2)?).unwrap_or(0) != 0,
                last_changed_at: int(row.get_ref(3)?).unwrap_or(0),
            };
            Ok((row.get(0)?, meta))
        };
        let rows: rusqlite::Result<Vec<_>> = self
            .conn
            .prepare(&sql)
            .and_then(|mut statement| statement.query_map([], read)?.collect());
        for (id, meta) in rows.map_err(|error| self.failed(&error))? {
            // Without a version it says nothing.
            if meta.version.0 <= 0 {
                continue;
            }
            match id.split_once('|') {
                Some((model, id)) => drop(metadata.named.insert((model.to_owned(), id.to_owned()), meta)),
                None => drop(metadata.bare.insert(id, meta)),
            }
        }
        Ok(metadata)
    }

    /// Milliseconds since 1970 of a time as the adapter wrote it.
    pub(super) fn moment(&self, text: &str) -> Option<i64> {
        self.conn
            .query_row(
                "SELECT CAST(round((julianday(?1) - 2440587.5) * 86400000) AS INTEGER)",
                [text],
                |row| row.get::<_, Option<i64>>(0),
            )
            .optional()
            .ok()
            .flatten()
            .flatten()
    }
}

fn failure_words(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full,
        _ => StoreError::Other(error.to_string()),
    }
}

/// Whether the queue is that of DataStore for JavaScript: its adapter for React Native has a table of either name.
fn is_of_javascript(conn: &Connection) -> rusqlite::Result<bool> {
    let columns = names(conn, "SELECT name FROM pragma_table_info('MutationEvent')")?;
    let has = |name: &str| columns.iter().any(|column| column == name);
    Ok(has("operation") && has("data"))
}

fn names(conn: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    conn.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// A number, whichever way it was written.
pub(super) fn int(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(int) => Some(int),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number that was written as a real one"
        )]
        ValueRef::Real(real) => Some(real as i64),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}
