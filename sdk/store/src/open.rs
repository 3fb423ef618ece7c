//! Opening the file: who else has it, whose it is, the pragmas, the migrations.
//!
//! Several processes may have one file open (see [`crate::locks`]). Whoever finds nobody else there brings it in line with
//! its schema; whoever comes second takes it as it is, or is refused if it was made by another schema.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;
use tombolo_machine::{OutboxCounts, StoreError};

use crate::error::{OpenError, failure};
use crate::locks::{DRAIN_FILE, FileIdentity, Hold, Lock, OPEN_FILE, beside};
use crate::meta::{self, Seal};
use crate::reader::Reader;
use crate::sql::ModelSql;
use crate::tx::Tx;
use crate::{evolve, internal, outbox, salvage};

/// How long a connection waits for another one's write lock, and an opening for another one's opening. A process holds
/// the lock for one transaction: a page of the feed takes it some 50 ms, so that five seconds mean that something is stuck.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks at whether those that have the file open are gone.
const OPEN_POLL: Duration = Duration::from_millis(10);

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
    /// A fresh random UUID at each opening: the identity that a new file gets, and that a file takes which turns out to have
    /// been copied or restored from a backup. Any other keeps the one that it has.
    pub fresh_replica: ReplicaId,
    /// See [`Durability`].
    pub durability: Durability,
    /// Largest size of the file in pages of 4 KiB; reaching it is like a full disk. `None`: what the disk holds.
    pub pages_max: Option<u32>,
    /// Whose file it is. A file that has no account yet gets this one; a file of another one is refused.
    pub account: Option<String>,
    /// This process had it open before and goes on with it: a file that is gone, or that its account has signed out of
    /// meanwhile, gives [`StoreError::SignedOut`] instead of being made anew.
    pub again: bool,
    /// How long to wait for another process that is writing or opening; default [`BUSY_TIMEOUT`].
    pub busy_timeout: Duration,
}

impl Options {
    /// The defaults, for a file that is to get this identity if it has none.
    #[must_use]
    pub fn new(fresh_replica: ReplicaId) -> Self {
        Self {
            fresh_replica,
            durability: Durability::default(),
            pages_max: None,
            account: None,
            again: false,
            busy_timeout: BUSY_TIMEOUT,
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
    fresh_replica: ReplicaId,
    durability: Durability,
    busy_timeout: Duration,
    /// What `PRAGMA synchronous` stands at: 2 = FULL.
    synchronous_full: bool,
    /// `PRAGMA data_version` as of which `replica` was read.
    data_version: i64,
    /// The right to the link, as long as it is held.
    drain: Option<Lock>,
    /// Held until the store is dropped, after the connection.
    _open: Option<Lock>,
}

/// One attempt to open.
enum Attempt {
    Opened(Box<Store>),
    /// Somebody has the file open and it cannot be shared as it is.
    Occupied,
}

impl Store {
    /// Opens or makes the file at `path`. If nobody else has it open, it is brought in line with `schema`; otherwise it
    /// must be so already.
    ///
    /// # Errors
    /// See [`OpenError`]; the file is then as it was. With [`StoreError::Corrupt`] there is [`Store::salvage`].
    pub fn open(path: &Path, schema: Arc<Schema>, options: Options) -> Result<Self, OpenError> {
        let begun = Instant::now();
        loop {
            match Self::attempt(path, &schema, &options)? {
                Attempt::Opened(store) => return Ok(*store),
                Attempt::Occupied if begun.elapsed() >= options.busy_timeout => {
                    return Err(OpenError::InUse(path.to_owned()));
                }
                Attempt::Occupied => std::thread::sleep(OPEN_POLL),
            }
        }
    }

    fn attempt(path: &Path, schema: &Arc<Schema>, options: &Options) -> Result<Attempt, OpenError> {
        let lock_path = beside(path, OPEN_FILE);
        let Some(alone) = Lock::try_take(&lock_path, Hold::Alone)? else {
            let Some(common) = Lock::try_take(&lock_path, Hold::Common)? else {
                return Ok(Attempt::Occupied);
            };
            let conn = connect(path, options)?;
            if !is_ready(&conn, schema)? {
                return Ok(Attempt::Occupied);
            }
            return Self::with(conn, Some((path, common)), schema, options);
        };
        salvage::finish(path)?;
        if let Some(problem) = salvage::marked(path) {
            return Err(StoreError::Corrupt(problem).into());
        }
        let mut conn = connect(path, options)?;
        if meta::seal(&conn)? == Some(Seal::Discarded) {
            // Given up while others still had it open; they are gone now.
            drop(conn);
            meta::remove_files(path)?;
            conn = connect(path, options)?;
        }
        make_ready(&mut conn, schema, options)?;
        let identity = FileIdentity::of(path);
        drop(alone);
        let Some(common) = Lock::take(&lock_path, Hold::Common, options.busy_timeout)? else {
            return Ok(Attempt::Occupied);
        };
        // Between the two locks another one may have been here alone.
        if FileIdentity::of(path) != identity || !is_ready(&conn, schema)? {
            return Ok(Attempt::Occupied);
        }
        Self::with(conn, Some((path, common)), schema, options)
    }

    /// A store in memory, gone when it is dropped. It has no readers: queries run on its one connection
    /// ([`Tx::answer`]).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_in_memory(schema: Arc<Schema>, options: Options) -> Result<Self, OpenError> {
        let mut conn = Connection::open_in_memory()?;
        make_ready(&mut conn, &schema, &options)?;
        match Self::with(conn, None, &schema, &options)? {
            Attempt::Opened(store) => Ok(*store),
            Attempt::Occupied => Err(StoreError::SignedOut.into()),
        }
    }

    /// The store on a file that is as the schema wants it.
    fn with(
        conn: Connection,
        place: Option<(&Path, Lock)>,
        schema: &Arc<Schema>,
        options: &Options,
    ) -> Result<Attempt, OpenError> {
        pragmas(&conn, options.busy_timeout)?;
        // The writer's few statements: a plan that may depend on a bound value is made again at each use of the statement
        // once its bindings are cleared, which the statement cache does: 30 to 80 µs a time. With this no plan depends on
        // bound values. Not for readers: there the better plan is worth more (a list query took twice as long with it).
        conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        if let Some(pages) = options.pages_max {
            conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        // Before the seal is looked at: whoever seals it after that is noticed by the next transaction.
        let data_version = meta::data_version(&conn)?;
        match meta::sign_in(&conn, options.account.as_deref(), options.again)? {
            None => {}
            Some(Seal::Discarded) if !options.again => return Ok(Attempt::Occupied),
            Some(Seal::Discarded | Seal::Kept) => return Err(StoreError::SignedOut.into()),
        }
        let replica = meta::replica(&conn, &options.fresh_replica)?;
        let (path, open) = place.map(|(path, lock)| (path.to_owned(), lock)).unzip();
        Ok(Attempt::Opened(Box::new(Self {
            conn,
            path,
            schema: Arc::clone(schema),
            sql: schema.models.iter().map(ModelSql::new).collect(),
            replica,
            fresh_replica: options.fresh_replica.clone(),
            durability: options.durability,
            busy_timeout: options.busy_timeout,
            synchronous_full: true,
            data_version,
            drain: None,
            _open: open,
        })))
    }

    /// Asks for the right to the link, which one store on a file has at a time; true if it is had. It is kept until
    /// [`Store::stop_draining`], or until the store is dropped or its process ends.
    ///
    /// # Errors
    /// The lock file cannot be opened.
    pub fn try_drain(&mut self) -> Result<bool, OpenError> {
        let Some(path) = &self.path else { return Ok(true) };
        if self.drain.is_none() {
            self.drain = Lock::try_take(&beside(path, DRAIN_FILE), Hold::Alone)?;
        }
        Ok(self.drain.is_some())
    }

    /// Whether this store has the right to the link.
    #[must_use]
    pub fn drains(&self) -> bool {
        self.drain.is_some() || self.path.is_none()
    }

    /// Gives the right to the link back.
    pub fn stop_draining(&mut self) {
        self.drain = None;
    }

    /// A number that moves when another connection has committed, as [`tombolo_machine::StoreTx::data_version`] says it:
    /// cheap enough to ask several times a second.
    ///
    /// # Errors
    /// The store's.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        meta::data_version(&self.conn)
    }

    /// Ends this account's use of the file, for every process: the next transaction of each gives
    /// [`StoreError::SignedOut`]. What is in the outbox at that moment is counted, and how it is sealed may depend on that:
    /// nobody writes between the two.
    ///
    /// # Errors
    /// The store's; nothing has changed then.
    pub fn seal(&mut self, how: impl FnOnce(&OutboxCounts) -> Seal) -> Result<(OutboxCounts, Seal), StoreError> {
        let tx = self.begin(true)?;
        let counts = outbox::counts(tx.conn)?;
        let seal = how(&counts);
        meta::set_seal(tx.conn, seal)?;
        tx.commit()?;
        Ok((counts, seal))
    }

    /// This replica's identity as of the opening; [`Tx`] gives the present one.
    #[must_use]
    pub fn replica(&self) -> &ReplicaId {
        &self.replica
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.conn
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
    /// The store's; [`StoreError::SignedOut`] if another process has signed out of the file, [`StoreError::Busy`] if one
    /// writes for longer than the bound.
    pub fn begin(&mut self, durable: bool) -> Result<Tx<'_>, StoreError> {
        if durable != self.synchronous_full {
            let level = if durable { "FULL" } else { "NORMAL" };
            self.conn.pragma_update(None, "synchronous", level).map_err(failure)?;
            self.synchronous_full = durable;
        }
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(failure)?;
        let looked = self.look_at_others();
        let mut tx = Tx::begun(
            &self.conn,
            &self.schema,
            &self.sql,
            &self.fresh_replica,
            self.data_version,
        );
        // Dropping it rolls back.
        looked?;
        tx.read_replica()?;
        Ok(tx)
    }

    /// Reads anew what another process may have written over.
    fn look_at_others(&mut self) -> Result<(), StoreError> {
        let now = meta::data_version(&self.conn)?;
        if now != self.data_version {
            if meta::seal(&self.conn)?.is_some() {
                return Err(StoreError::SignedOut);
            }
            self.replica = meta::replica(&self.conn, &self.replica)?;
            self.data_version = now;
        }
        Ok(())
    }

    /// A further connection that only reads; `None` for a store in memory. Each call opens a new one.
    ///
    /// # Errors
    /// The store's.
    pub fn reader(&self) -> Result<Option<Reader>, StoreError> {
        let Some(path) = &self.path else { return Ok(None) };
        let conn = Connection::open(path).map_err(failure)?;
        pragmas(&conn, self.busy_timeout).map_err(failure)?;
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

/// A connection on a file that is ours, or new, and this account's. Only reads.
fn connect(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    if options.again && !path.exists() {
        return Err(StoreError::SignedOut.into());
    }
    let conn = Connection::open(path)?;
    conn.busy_timeout(options.busy_timeout)?;
    internal::check(&conn, path)?;
    meta::check_account(&conn, path, options.account.as_deref())?;
    if options.again && meta::seal(&conn)?.is_some() {
        return Err(StoreError::SignedOut.into());
    }
    Ok(conn)
}

/// Brings a file that nobody else has open in line with this release and the schema.
fn make_ready(conn: &mut Connection, schema: &Schema, options: &Options) -> Result<(), OpenError> {
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    pragmas(conn, options.busy_timeout)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    if let Some(pages) = options.pages_max {
        conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    internal::migrate(conn)?;
    evolve::evolve(conn, schema)?;
    meta::note_schema(conn, &schema.hash)?;
    Ok(())
}

/// Whether a file that others may have open is as this release and the schema want it.
fn is_ready(conn: &Connection, schema: &Schema) -> Result<bool, OpenError> {
    Ok(internal::is_current(conn)?
        && meta::schema(conn)?.as_ref() == Some(&schema.hash)
        && meta::seal(conn)? != Some(Seal::Discarded))
}

fn pragmas(conn: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    conn.busy_timeout(busy_timeout)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update_and_check(None, "journal_size_limit", JOURNAL_SIZE_LIMIT, |_| Ok(()))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}
