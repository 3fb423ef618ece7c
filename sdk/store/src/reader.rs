//! Reading: local queries, and the lists that the app looks at.

use rusqlite::types::ValueRef as SqlRef;
use rusqlite::{Connection, params_from_iter};
use tombolo_core::id::MutationNumber;
use tombolo_core::query::{Answer, Execution, RunStatement, Statement};
use tombolo_core::value::{Row, Value, ValueRef};
use tombolo_machine::{OutboxEntry, ScopeRow, StoreError};

use crate::ended::{self, Kept};
use crate::error::failure;
use crate::outbox;

/// A connection that only reads. It sees what was committed when a call began, all of it or none.
#[derive(Debug)]
pub struct Reader {
    conn: Connection,
}

impl Reader {
    pub(crate) fn new(conn: Connection) -> Self {
        Self { conn }
    }

    /// Runs a query's statements on one snapshot.
    ///
    /// # Errors
    /// The store's.
    pub fn answer(&mut self, execution: Execution<'_>) -> Result<Answer, StoreError> {
        self.snapshot(|conn| tombolo_core::query::answer(execution, &mut Runner(conn)))
    }

    /// Entries of the outbox after `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub fn outbox(&mut self, after: u64, limit: usize) -> Result<Vec<OutboxEntry>, StoreError> {
        outbox::list(&self.conn, after, limit)
    }

    /// The mutation under this number, on its way or ended, under whatever number it goes on.
    ///
    /// # Errors
    /// The store's.
    pub fn find(&mut self, number: MutationNumber) -> Result<Option<Kept>, StoreError> {
        self.snapshot(|conn| ended::find(conn, number))
    }

    /// Mutations with numbers after `after`, on their way and ended, in order, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub fn mutations(&mut self, after: u64, limit: usize) -> Result<Vec<Kept>, StoreError> {
        let mut all: Vec<Kept> = self.snapshot(|conn| {
            let waiting = outbox::list(conn, after, limit)?.into_iter().map(Kept::Waiting);
            let ended = ended::list(conn, after, limit)?.into_iter().map(Kept::Ended);
            Ok(waiting.chain(ended).collect())
        })?;
        all.sort_by_key(Kept::number);
        all.truncate(limit);
        Ok(all)
    }

    /// All scopes, by model name.
    ///
    /// # Errors
    /// The store's.
    pub fn scopes(&mut self) -> Result<Vec<ScopeRow>, StoreError> {
        outbox::scopes(&self.conn)
    }

    fn snapshot<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.conn.execute_batch("BEGIN").map_err(failure)?;
        let result = read(&self.conn);
        self.conn.execute_batch("ROLLBACK").map_err(failure)?;
        result
    }
}

/// Runs statements of a query on a connection.
pub(crate) struct Runner<'a>(pub &'a Connection);

impl RunStatement for Runner<'_> {
    type Error = StoreError;

    fn run(&mut self, statement: &Statement, row: &mut dyn FnMut(&dyn Row) -> bool) -> Result<(), StoreError> {
        let mut prepared = self.0.prepare_cached(&statement.sql).map_err(failure)?;
        let mut rows = prepared
            .query(params_from_iter(statement.params.iter().map(Param)))
            .map_err(failure)?;
        while let Some(found) = rows.next().map_err(failure)? {
            if !row(&SqlRow(found)) {
                break;
            }
        }
        Ok(())
    }
}

/// A value as it is bound.
pub(crate) struct Param<'a>(pub &'a Value);

impl rusqlite::ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self.0.as_ref() {
            ValueRef::Null => SqlRef::Null,
            ValueRef::Int(i) => SqlRef::Integer(i),
            ValueRef::Float(f) => SqlRef::Real(f),
            ValueRef::Text(t) => SqlRef::Text(t.as_bytes()),
        }))
    }
}

/// A driver's row as the core reads it.
struct SqlRow<'a>(&'a rusqlite::Row<'a>);

impl Row for SqlRow<'_> {
    fn get(&self, column: usize) -> ValueRef<'_> {
        match self.0.get_ref(column) {
            Ok(SqlRef::Integer(i)) => ValueRef::Int(i),
            Ok(SqlRef::Real(f)) => ValueRef::Float(f),
            Ok(SqlRef::Text(bytes)) => std::str::from_utf8(bytes).map_or(ValueRef::Null, ValueRef::Text),
            Ok(SqlRef::Null | SqlRef::Blob(_)) | Err(_) => ValueRef::Null,
        }
    }
}
