//! Opening: options, the lock against a second server, pragmas, versions.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tombolo_core::id::Position;
use tombolo_core::query::FilterColumn;
use tombolo_core::schema::Schema;
use tombolo_engine::{ServedSchema, StoreError};

use crate::error::{OpenError, store_error};
use crate::lanes::{Lane, Lanes};
use crate::tables::Tables;
use crate::{SqliteStore, Watched, internal, migrate};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When the disk has it: survives a power cut.
    #[default]
    Full,
    /// When the operating system has it: survives a kill of the process.
    Normal,
}

/// How to open.
#[derive(Clone, Debug)]
pub struct Options {
    /// Default: [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// Threads that read. Default: as many as cores, at least 2, at most 16.
    pub readers: usize,
    /// How long to wait for another process that holds the file (a backup, `sqlite3`). Default 5 s: SQLite's own tools
    /// hold it for milliseconds.
    pub busy_timeout: Duration,
    /// The identity of a database that is made now. Default: a random UUID. With one given, later identities
    /// ([`tombolo_engine::Store::renew_epoch`]) follow from it too; only for tests, which want every run alike.
    pub epoch: Option<String>,
    /// Names of breaking changes of the schema that may be made although they lose data: what [`crate::Misfit::allow`] gave.
    /// Default: none.
    pub allow_breaking: BTreeSet<String>,
    /// Open the database only if nothing has to be changed for it; otherwise [`OpenError::Unfit`]. Default: false.
    pub as_it_is: bool,
}

impl Default for Options {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            synchronous: Synchronous::default(),
            readers: cores.clamp(2, 16),
            busy_timeout: Duration::from_secs(5),
            epoch: None,
            allow_breaking: BTreeSet::new(),
            as_it_is: false,
        }
    }
}

/// Prepared statements kept on each connection: some ten for each model, and the plans of common queries.
const STATEMENTS_KEPT: usize = 512;

/// One connection and what it needs to know.
pub(crate) struct Db {
    pub(crate) conn: Connection,
    pub(crate) schema: Arc<Schema>,
    pub(crate) tables: Arc<Tables>,
}

impl SqliteStore {
    /// Opens the database in the file at `path`, made if it does not exist, and fits it to `schema`.
    ///
    /// # Errors
    /// Nothing is changed then; each names the mend.
    pub fn open(path: impl AsRef<Path>, schema: Arc<Schema>, options: &Options) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let lock = lock(path)?;
        let fail = |source| OpenError::Store {
            path: path.to_owned(),
            source,
        };
        let (writer, watched, served) = open_writer(Some(path), &schema, options)?;
        let readers = (0..options.readers.max(1))
            .map(|_| connect(Some(path), &schema, &writer.tables, options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(fail)?;
        let threads = |error: std::io::Error| fail(StoreError::Backend(error.to_string()));
        let writer = Lane::start("store-writer", vec![writer]).map_err(threads)?;
        let readers = Some(Lane::start("store-reader", readers).map_err(threads)?);
        Ok(Self::new(
            Lanes::Threads { writer, readers },
            watched,
            served,
            schema,
            options,
            Some(lock),
        ))
    }

    /// Opens a new database in memory, with one thread that writes and reads. It is gone when the store is dropped.
    ///
    /// # Errors
    /// Only if SQLite itself cannot.
    pub fn open_in_memory(schema: Arc<Schema>, options: &Options) -> Result<Self, OpenError> {
        let (writer, watched, served) = open_writer(None, &schema, options)?;
        let writer = Lane::start("store", vec![writer]).map_err(|error| OpenError::Store {
            path: memory(),
            source: StoreError::Backend(error.to_string()),
        })?;
        Ok(Self::new(
            Lanes::Threads { writer, readers: None },
            watched,
            served,
            schema,
            options,
            None,
        ))
    }

    /// Opens a database, in memory without a `path`, that does everything in the caller's thread: each future is ready
    /// when first polled. For the simulator and for tests.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_inline(path: Option<&Path>, schema: Arc<Schema>, options: &Options) -> Result<Self, OpenError> {
        let lock = path.map(lock).transpose()?;
        let (db, watched, served) = open_writer(path, &schema, options)?;
        Ok(Self::new(Lanes::inline(db), watched, served, schema, options, lock))
    }

    fn new(
        lanes: Lanes,
        watched: Watched,
        served: Vec<ServedSchema>,
        schema: Arc<Schema>,
        options: &Options,
        lock: Option<File>,
    ) -> Self {
        Self {
            lanes,
            watched: Arc::new(RwLock::new(watched)),
            served,
            schema,
            options_epoch: options.epoch.clone(),
            _lock: lock,
        }
    }
}

fn memory() -> PathBuf {
    PathBuf::from(":memory:")
}

/// Takes the lock that keeps a second server out. The operating system frees it when the process ends, however it ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let fail = |source| OpenError::Lock {
        path: lock_path.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(fail)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Lock {
            path: lock_path,
            source,
        }),
    }
}

fn connect(
    path: Option<&Path>,
    schema: &Arc<Schema>,
    tables: &Arc<Tables>,
    options: &Options,
) -> Result<Db, StoreError> {
    let conn = open_connection(path, options).map_err(store_error)?;
    Ok(Db {
        conn,
        schema: Arc::clone(schema),
        tables: Arc::clone(tables),
    })
}

fn open_connection(path: Option<&Path>, options: &Options) -> rusqlite::Result<Connection> {
    // No URI: a path is a path. No mutex: each connection stays on one thread.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match path {
        Some(path) => Connection::open_with_flags(path, flags)?,
        None => Connection::open_in_memory_with_flags(flags)?,
    };
    conn.busy_timeout(options.busy_timeout)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // KiB: 64 MB a connection at most, of which only what is used is taken.
    conn.pragma_update(None, "cache_size", -64_000)?;
    conn.pragma_update(
        None,
        "synchronous",
        match options.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        },
    )?;
    Ok(conn)
}

fn open_writer(
    path: Option<&Path>,
    schema: &Arc<Schema>,
    options: &Options,
) -> Result<(Db, Watched, Vec<ServedSchema>), OpenError> {
    let shown = path.map_or_else(memory, Path::to_owned);
    let fail = |error: rusqlite::Error| OpenError::Store {
        path: shown.clone(),
        source: store_error(error),
    };
    let mut conn = open_connection(path, options).map_err(fail)?;
    // The writer's few statements: a plan that may depend on a bound value is made again at each use of the statement once
    // its bindings are cleared, which the statement cache does: 30 to 80 µs a time. With this no plan depends on bound
    // values. Not for readers: there the better plan is worth more (a list query took twice as long with it).
    conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(fail)?;
    let version: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(fail)?;
    let application: i64 = conn
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(fail)?;
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))
        .map_err(fail)?;
    let ours = application == internal::APPLICATION_ID;
    if !ours && (application != 0 || version != 0 || tables != 0) {
        return Err(OpenError::Foreign { path: shown });
    }
    if version > internal::VERSION {
        return Err(OpenError::Newer {
            path: shown,
            found: version,
            known: internal::VERSION,
        });
    }
    if path.is_some() && !options.as_it_is {
        // The answer is the mode that was reached; a file system without shared memory keeps the old one, which works too.
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            .map_err(fail)?;
        // Bytes that the log may keep after a checkpoint.
        conn.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))
            .map_err(fail)?;
    }
    let tx = conn
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(fail)?;
    let epoch = options
        .epoch
        .clone()
        .unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    if options.as_it_is {
        let fits = version == internal::VERSION && migrate::is_current(&tx, schema).map_err(fail)?;
        if !fits {
            return Err(OpenError::Unfit { path: shown });
        }
    } else {
        internal::upgrade(&tx, version, &epoch).map_err(fail)?;
        migrate::fit(&tx, schema, &shown, &options.allow_breaking)?;
    }
    tx.commit().map_err(fail)?;
    let watched = watched(&conn, schema).map_err(fail)?;
    let served = migrate::served(&conn).map_err(fail)?;
    let tables = Arc::new(Tables::new(schema));
    Ok((
        Db {
            conn,
            schema: Arc::clone(schema),
            tables,
        },
        watched,
        served,
    ))
}

/// The name under which [`FilterColumn::Deleted`] is registered.
pub(crate) const DELETED: &str = "_deleted";

fn watched(conn: &Connection, schema: &Schema) -> rusqlite::Result<Watched> {
    let mut watched = Watched::new();
    let mut query = conn.prepare("SELECT model, field, since FROM _scope_fields")?;
    let mut rows = query.query(())?;
    while let Some(row) = rows.next()? {
        let (model, field): (String, String) = (row.get(0)?, row.get(1)?);
        let Some(model) = schema.model_named(&model) else {
            continue;
        };
        let column = match field.as_str() {
            DELETED => Some(FilterColumn::Deleted),
            name => schema[model].field(name).map(FilterColumn::Field),
        };
        if let Some(column) = column {
            watched.entry(model).or_default().insert(column, Position(row.get(2)?));
        }
    }
    Ok(watched)
}
