//! Opening the file: the lock, the pragmas, the migrations.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;
use tombolo_machine::StoreError;

use crate::error::{OpenError, failure};
use crate::reader::Reader;
use crate::sql::ModelSql;
use crate::tx::Tx;
use crate::{evolve, internal};

/// How long a connection waits for another one's lock, in milliseconds. Only a checkpoint or a foreign process can hold it.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Page cache of each connection, in KiB: a phone's memory is its apps' first limit.
const CACHE_KIB: i64 = 2_000;

/// The write-ahead log is cut back to this size, in bytes, after a checkpoint.
const JOURNAL_SIZE_LIMIT: i64 = 4 << 20;

/// Statements kept prepared by each connection: about 15 for each model in use.
const STATEMENTS_KEPT: usize = 256;

/// Whether a mutation survives a power cut when its call returns. A kill of the process it survives in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It does: each enqueueing commit is synced to the disk.
    #[default]
    Full,
    /// It may be lost with the power if it was made within the last moments. Faster on slow flash.
    Normal,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The identity that a new file gets: a fresh random UUID. A file that has one keeps it.
    pub fresh_replica: ReplicaId,
    /// See [`Durability`].
    pub durability: Durability,
    /// Largest size of the file in pages of 4 KiB; reaching it is like a full disk. `None`: what the disk holds.
    pub pages_max: Option<u32>,
}

impl Options {
    /// The defaults, for a file that is to get this identity if it has none.
    #[must_use]
    pub fn new(fresh_replica: ReplicaId) -> Self {
        Self {
            fresh_replica,
            durability: Durability::default(),
            pages_max: None,
        }
    }
}

/// A replica's database, open for writing.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    /// `None` in memory.
    path: Option<PathBuf>,
    schema: Arc<Schema>,
    sql: Vec<ModelSql>,
    replica: ReplicaId,
    durability: Durability,
    /// What `PRAGMA synchronous` stands at: 2 = FULL.
    synchronous_full: bool,
    /// Held until the store is dropped.
    _lock: Option<File>,
}

impl Store {
    /// Opens or makes the file at `path` and brings it in line with `schema`.
    ///
    /// # Errors
    /// See [`OpenError`]; the file is then as it was.
    pub fn open(path: &Path, schema: Arc<Schema>, options: Options) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let conn = Connection::open(path)?;
        Self::with(conn, Some(path.to_owned()), Some(lock), schema, options)
    }

    /// A store in memory, gone when it is dropped. It has no readers: queries run on its one connection
    /// ([`Tx::answer`]).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in_memory(schema: Arc<Schema>, options: Options) -> Result<Self, OpenError> {
        Self::with(Connection::open_in_memory()?, None, None, schema, options)
    }

    fn with(
        mut conn: Connection,
        path: Option<PathBuf>,
        lock: Option<File>,
        schema: Arc<Schema>,
        options: Options,
    ) -> Result<Self, OpenError> {
        internal::check(&conn, path.as_deref().unwrap_or_else(|| Path::new(":memory:")))?;
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        pragmas(&conn)?;
        // The writer's few statements: a plan that may depend on a bound value is made again at each use of the statement
        // once its bindings are cleared, which the statement cache does: 30 to 80 µs a time. With this no plan depends on
        // bound values. Not for readers: there the better plan is worth more (a list query took twice as long with it).
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        if let Some(pages) = options.pages_max {
            conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        internal::migrate(&mut conn)?;
        evolve::evolve(&mut conn, &schema)?;
        let replica: Option<String> = conn
            .query_row("SELECT value FROM _meta WHERE name = 'replica'", [], |row| row.get(0))
            .optional()?;
        let replica = match replica {
            Some(replica) => ReplicaId(replica),
            None => {
                conn.execute(
                    "INSERT INTO _meta (name, value) VALUES ('replica', ?1)",
                    [&options.fresh_replica.0],
                )?;
                options.fresh_replica
            }
        };
        let sql = schema.models.iter().map(ModelSql::new).collect();
        Ok(Self {
            conn,
            path,
            schema,
            sql,
            replica,
            durability: options.durability,
            synchronous_full: true,
            _lock: lock,
        })
    }

    /// This replica's identity.
    #[must_use]
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    /// The schema that the tables follow.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Whether commits that enqueue are durable; what `tombolo_machine::Settings::durable_enqueue` wants to know.
    #[must_use]
    pub fn durable_enqueue(&self) -> bool {
        self.durability == Durability::Full
    }

    /// Begins the one writing transaction. `durable`: its commit is on the disk when it returns, and with it all that was
    /// committed before. Dropping the transaction rolls it back.
    ///
    /// # Errors
    /// The store's.
    pub fn begin(&mut self, durable: bool) -> Result<Tx<'_>, StoreError> {
        if durable != self.synchronous_full {
            let level = if durable { "FULL" } else { "NORMAL" };
            self.conn.pragma_update(None, "synchronous", level).map_err(failure)?;
            self.synchronous_full = durable;
        }
        Tx::begin(&self.conn, &self.schema, &self.sql, &self.replica)
    }

    /// A further connection that only reads; `None` for a store in memory. Each call opens a new one.
    ///
    /// # Errors
    /// The store's.
    pub fn reader(&self) -> Result<Option<Reader>, StoreError> {
        let Some(path) = &self.path else { return Ok(None) };
        let conn = Connection::open(path).map_err(failure)?;
        pragmas(&conn).map_err(failure)?;
        conn.pragma_update(None, "query_only", true).map_err(failure)?;
        Ok(Some(Reader::new(conn)))
    }

    /// Moves what it can from the write-ahead log into the file, without waiting for readers: before the app is
    /// suspended.
    ///
    /// # Errors
    /// The store's.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
            .map_err(failure)
    }
}

fn pragmas(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update_and_check(None, "journal_size_limit", JOURNAL_SIZE_LIMIT, |_| Ok(()))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}

/// Only one process, and one store in it, writes a file: `FILE.lock` is locked as long as it does. The lock goes with
/// the process, however that ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(|source| OpenError::File {
            path: lock_path.clone(),
            source,
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::File {
            path: lock_path,
            source,
        }),
    }
}
