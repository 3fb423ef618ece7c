//! The server's store in one SQLite file (or in memory).
//!
//! Every model is a plain table with real columns, so that a person can query it with `sqlite3`. `_position` is the
//! table's rowid: a table *is* its change feed, in order, without a second copy and without an index for it. Internal
//! tables begin with `_`, as no model may.
//!
//! One thread writes; a few read, each on its own connection and snapshot (WAL). [`SqliteStore::open_inline`] does
//! without threads, for the simulator. A second server on the same file is refused by a lock on `FILE.lock`; other programs
//! may read the file meanwhile.
//!
//! - `open`: options, locks, pragmas, internal tables and their versions;
//! - `migrate`: the schema's tables, columns and indexes, added to what is there;
//! - `tables`: the statements of each model, and rows from and to them;
//! - `write`, `read`: the transactions of [`tombolo_engine::Store`];
//! - `adopt`: records that another server kept, as they were there;
//! - `prune`: what is no longer kept, and what replicas hold; `ages`: since when, whatever the clock says;
//! - `traces`: what was merged and rejected, for people;
//! - `sessions`: what devices listen to that are not connected;
//! - `lanes`: the threads.

mod adopt;
mod ages;
mod error;
#[cfg(test)]
mod faults;
mod internal;
mod lanes;
mod migrate;
mod open;
mod prune;
mod read;
mod sessions;
mod tables;
pub mod traces;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use tombolo_core::id::{Epoch, ModelId, Position};
use tombolo_core::query::{Answer, Bound, FilterColumn, Supplied};
use tombolo_core::record::Record;
use tombolo_core::schema::Schema;
use tombolo_engine::{
    ChangePage, Head, PageRequest, Pruned, RecordsPage, ReplicaNote, Retention, ServedSchema, Store, StoreError,
    Submission, TracePage, TraceRequest, Verdict,
};

pub use adopt::{AdoptError, Adopted};
pub use error::{Misfit, OpenError};
pub use open::{Options, Synchronous};

pub use sessions::{KeptSession, SessionKey, is_over};

use lanes::Lanes;

/// For each model the columns whose change leaves a departure, and since which position.
pub(crate) type Watched = BTreeMap<ModelId, BTreeMap<FilterColumn, Position>>;

/// See the module. Dropping it waits for what was begun, and closes.
pub struct SqliteStore {
    lanes: Lanes,
    watched: Arc<RwLock<Watched>>,
    /// What the database was opened with before, and this schema.
    served: Vec<ServedSchema>,
    schema: Arc<Schema>,
    /// [`Options::epoch`].
    options_epoch: Option<String>,
    /// Held as long as the store is open; its lock goes with it.
    _lock: Option<std::fs::File>,
}

impl SqliteStore {
    /// The schema it was opened with.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Takes over records that another server kept, as they are: version, times, tombstone. All of them or none. They are to
    /// come in the order of their times of change; one that is here already is left as it is.
    ///
    /// # Errors
    /// The store, or a record that does not fit what is here.
    pub async fn adopt(&self, model: ModelId, records: Vec<Record>) -> Result<Adopted, AdoptError> {
        self.lanes.write(move |db| adopt::adopt(db, model, &records)).await?
    }

    /// Whether [`SqliteStore::adopt`] could take these over behind those that changed up to `newest` (in epoch milliseconds, 0 at
    /// first); nothing is written. Gives the time of the newest change after them, for the next ones.
    ///
    /// # Errors
    /// As [`SqliteStore::adopt`].
    pub async fn try_adopt(&self, model: ModelId, records: Vec<Record>, newest: i64) -> Result<i64, AdoptError> {
        self.lanes
            .write(move |db| adopt::try_adopt(db, model, &records, newest))
            .await?
    }

    fn watched_since(&self, model: ModelId, columns: &BTreeSet<FilterColumn>) -> Option<Position> {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let of_model = watched.get(&model);
        let since = columns
            .iter()
            .map(|column| of_model.and_then(|of_model| of_model.get(column)).copied());
        since
            .collect::<Option<Vec<_>>>()
            .map(|since| since.into_iter().max().unwrap_or_default())
    }
}

impl Store for SqliteStore {
    fn served(&self) -> Vec<ServedSchema> {
        self.served.clone()
    }

    fn answer(
        &self,
        bound: Arc<Bound>,
        supplied: Vec<(usize, Supplied)>,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        self.lanes.read(move |db| read::answer(db, &bound, supplied))
    }

    fn write(
        &self,
        batch: Arc<[Submission]>,
        now_ms: i64,
    ) -> impl Future<Output = Result<Vec<Verdict>, StoreError>> + Send {
        let watched = Arc::clone(&self.watched);
        self.lanes.write(move |db| write::write(db, &watched, &batch, now_ms))
    }

    fn changes(&self, page: PageRequest) -> impl Future<Output = Result<ChangePage, StoreError>> + Send {
        self.lanes.read(move |db| read::changes(db, &page))
    }

    fn records(
        &self,
        model: ModelId,
        after: Position,
        max: usize,
    ) -> impl Future<Output = Result<RecordsPage, StoreError>> + Send {
        self.lanes.read(move |db| read::records(db, model, after, max))
    }

    fn traces(&self, request: TraceRequest) -> impl Future<Output = Result<TracePage, StoreError>> + Send {
        self.lanes.read(move |db| traces::page(db, &request))
    }

    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send {
        self.lanes.read(read::head)
    }

    fn watch_fields(
        &self,
        model: ModelId,
        columns: BTreeSet<FilterColumn>,
    ) -> impl Future<Output = Result<Position, StoreError>> + Send {
        let known = self.watched_since(model, &columns);
        let watched = Arc::clone(&self.watched);
        async move {
            match known {
                Some(since) => Ok(since),
                None => {
                    self.lanes
                        .write(move |db| write::watch(db, &watched, model, &columns))
                        .await
                }
            }
        }
    }

    fn note(&self, notes: Vec<ReplicaNote>, now_ms: i64) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.lanes.write(move |db| prune::note(db, &notes, now_ms))
    }

    fn prune(&self, now_ms: i64, retention: Retention) -> impl Future<Output = Result<Pruned, StoreError>> + Send {
        self.lanes.write(move |db| prune::prune(db, now_ms, &retention))
    }

    fn renew_epoch(&self, was: Option<Epoch>) -> impl Future<Output = Result<Head, StoreError>> + Send {
        let fresh = self.options_epoch.clone();
        self.lanes
            .write(move |db| prune::renew_epoch(db, was.as_ref(), fresh.as_deref()))
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
