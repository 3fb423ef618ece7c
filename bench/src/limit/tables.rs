//! The same rows into the same tables with bare SQLite: tables, indexes and rows are read from the database that the
//! product has made, so that both sides do the same work whatever its tables look like.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::error::{Error, failed};

/// When a commit has reached the disk: SQLite's `synchronous`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synchronous {
    /// At the next checkpoint: survives the death of the process, not of the power.
    Normal,
    /// Before it returns.
    Full,
}

impl Synchronous {
    fn pragma(self) -> &'static str {
        match self {
            Self::Normal => "PRAGMA synchronous=NORMAL",
            Self::Full => "PRAGMA synchronous=FULL",
        }
    }
}

/// Some tables of a database, with their rows.
pub(crate) struct Tables {
    /// What makes them and their indexes.
    statements: Vec<String>,
    /// Each table's.
    rows: Vec<TableRows>,
}

/// One table's rows.
struct TableRows {
    /// Quoted names.
    columns: Vec<String>,
    insert: String,
    rows: Vec<Vec<Value>>,
}

impl Tables {
    /// Reads `tables` from the database at `file`, which may be in use. Rows come in the order in which they were written.
    pub(crate) fn read(file: &Path, tables: &[&str]) -> Result<Self, Error> {
        let connection = open_read(file)?;
        let (mut statements, mut rows) = (Vec::new(), Vec::new());
        for table in tables {
            let made = definitions(&connection, table)?;
            if made.is_empty() {
                return Err(failed(format!("{} has no table {table}", file.display())));
            }
            statements.extend(made);
            rows.push(read_rows(&connection, table)?);
        }
        Ok(Self { statements, rows })
    }

    /// Brings the last table to `count` rows, copies of what it has with numbers of their own in the column `number`: the
    /// server forgets outcomes that the replica has settled, yet each was written once.
    pub(crate) fn renumber_last(&mut self, number: &str, count: usize) -> Result<(), Error> {
        let table = self.rows.last_mut().ok_or_else(|| failed("no table was read"))?;
        let column = table.columns.iter().position(|c| *c == quoted(number));
        let (Some(column), false) = (column, table.rows.is_empty()) else {
            return Err(failed(format!("no rows with a column {number}")));
        };
        let known = std::mem::take(&mut table.rows);
        table.rows = (1..)
            .zip(known.iter().cycle().take(count))
            .map(|(number, row)| {
                let mut row = row.clone();
                row[column] = Value::Integer(number);
                row
            })
            .collect();
        Ok(())
    }

    /// Rows of all tables.
    pub(crate) fn len(&self) -> usize {
        self.rows.iter().map(|t| t.rows.len()).sum()
    }

    /// Inserts everything into a new database at `file`, `group` rows of each table in one transaction, and tells how
    /// long it took from the first `BEGIN` to the last commit.
    pub(crate) fn insert(&self, file: &Path, group: usize, synchronous: Synchronous) -> Result<Duration, Error> {
        remove(file)?;
        let mut connection = open_write(file, synchronous)?;
        for statement in &self.statements {
            connection.execute_batch(statement)?;
        }
        let groups = self
            .rows
            .iter()
            .map(|t| t.rows.len().div_ceil(group))
            .max()
            .unwrap_or(0);
        let start = Instant::now();
        for place in 0..groups {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            for table in &self.rows {
                let mut insert = transaction.prepare_cached(&table.insert)?;
                for row in table.rows.iter().skip(place * group).take(group) {
                    insert.execute(params_from_iter(row))?;
                }
            }
            transaction.commit()?;
        }
        Ok(start.elapsed())
    }
}

fn definitions(connection: &Connection, table: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ?1 AND sql IS NOT NULL AND type IN ('table', 'index')
         ORDER BY type DESC, rowid",
    )?;
    let found = statement.query_map([table], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn read_rows(connection: &Connection, table: &str) -> Result<TableRows, Error> {
    let columns = columns(connection, table)?;
    let list = columns.join(", ");
    let table = quoted(table);
    // Server tables know the order of writing; of others the rowid tells it, where there is one.
    let by_rowid = format!("SELECT {list} FROM {table} ORDER BY rowid");
    let sql = if columns.iter().any(|c| c == "\"_position\"") {
        format!("SELECT {list} FROM {table} ORDER BY \"_position\"")
    } else if connection.prepare(&by_rowid).is_ok() {
        by_rowid
    } else {
        format!("SELECT {list} FROM {table}")
    };
    let mut statement = connection.prepare(&sql)?;
    let found = statement.query_map([], |row| (0..columns.len()).map(|c| row.get(c)).collect())?;
    let marks = vec!["?"; columns.len()].join(", ");
    Ok(TableRows {
        insert: format!("INSERT INTO {table} ({list}) VALUES ({marks})"),
        rows: found.collect::<Result<_, _>>()?,
        columns,
    })
}

/// The quoted names of a table's columns that can be written.
pub(crate) fn columns(connection: &Connection, table: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0")?;
    let found = statement.query_map([table], |row| row.get::<_, String>(0))?;
    Ok(found.map(|name| name.map(|n| quoted(&n))).collect::<Result<_, _>>()?)
}

/// A name as SQL takes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A reader of a database that others may be using.
pub(crate) fn open_read(file: &Path) -> Result<Connection, Error> {
    let connection =
        Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// The bare writer: a WAL, as both sides of the product have it.
pub(crate) fn open_write(file: &Path, synchronous: Synchronous) -> Result<Connection, Error> {
    let connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA journal_mode=WAL")?;
    connection.execute_batch(synchronous.pragma())?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Moves the write-ahead log into the database and leaves it empty.
pub(crate) fn empty_log(file: &Path) -> Result<(), Error> {
    let connection = open_write(file, Synchronous::Full)?;
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

/// Counts the rows of a table.
pub(crate) fn count(file: &Path, table: &str) -> Result<u64, Error> {
    let connection = open_read(file)?;
    let sql = format!("SELECT count(*) FROM {}", quoted(table));
    Ok(connection
        .query_row(&sql, [], |row| row.get::<_, i64>(0))?
        .unsigned_abs())
}

/// Removes a database with its WAL.
pub(crate) fn remove(file: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(Error::Io {
                    what: format!("cannot remove {}", name.display()),
                    source,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_copied_with_their_indexes_and_rows() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let made = open_write(&from, Synchronous::Normal).unwrap();
        made.execute_batch(
            "CREATE TABLE \"A\"(\"id\" TEXT PRIMARY KEY, \"order\" INTEGER) WITHOUT ROWID;
             CREATE INDEX \"A.order\" ON \"A\"(\"order\");
             CREATE TABLE b(n INTEGER, text TEXT GENERATED ALWAYS AS (n || '!') VIRTUAL);
             INSERT INTO \"A\" VALUES ('x', 1), ('y', NULL);
             INSERT INTO b(n) VALUES (1), (2), (3);",
        )
        .unwrap();
        let tables = Tables::read(&from, &["A", "b"]).unwrap();
        assert_eq!(tables.len(), 5);
        let mut numbered = Tables::read(&from, &["b"]).unwrap();
        numbered.renumber_last("n", 5).unwrap();
        assert_eq!(numbered.len(), 5);
        assert!(numbered.renumber_last("none", 5).is_err());
        tables.insert(&to, 2, Synchronous::Full).unwrap();
        assert_eq!((count(&to, "A").unwrap(), count(&to, "b").unwrap()), (2, 3));
        let indexes: i64 = open_read(&to)
            .unwrap()
            .query_row("SELECT count(*) FROM sqlite_master WHERE name = 'A.order'", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(indexes, 1);
        assert!(Tables::read(&from, &["missing"]).is_err());
    }
}
