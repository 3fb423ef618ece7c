//! The server's store with what a disk may do to it.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tombolo_core::id::{Epoch, ModelId, Position};
use tombolo_core::query::{Answer, Bound, FilterColumn, Supplied};
use tombolo_engine::{
    ChangePage, Head, PageRequest, Pruned, RecordsPage, ReplicaNote, Retention, Store, StoreError, Submission,
    TracePage, TraceRequest, Verdict,
};
use tombolo_store_sqlite::SqliteStore;

/// What is wrong at the moment. Outlives the server's process: it is the disk's.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// The next write finds the disk full.
    pub(crate) fail_write: AtomicBool,
    /// The next read fails.
    pub(crate) fail_read: AtomicBool,
    /// Mutations over which the database fails, by replica and number.
    pub(crate) poison: Mutex<BTreeSet<(String, u64)>>,
}

impl Troubles {
    fn poisoned(&self, batch: &[Submission]) -> bool {
        let poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner);
        let mut envelopes = batch.iter().filter_map(|submission| submission.envelope.as_ref());
        // What would be written is the poison: that a mutation is given up can be noted.
        !poison.is_empty() && envelopes.any(|e| !e.void && poison.contains(&(e.replica.0.clone(), e.number.0)))
    }

    fn read(&self) -> Result<(), StoreError> {
        if self.fail_read.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Backend("a read failed, on purpose".into()));
        }
        Ok(())
    }
}

/// A store whose connection may outlive the process of the server.
pub(crate) struct Disk {
    store: Arc<SqliteStore>,
    troubles: Arc<Troubles>,
}

impl Disk {
    pub(crate) fn new(store: Arc<SqliteStore>, troubles: Arc<Troubles>) -> Self {
        Self { store, troubles }
    }

    /// The store itself.
    pub(crate) fn shared(&self) -> Arc<SqliteStore> {
        Arc::clone(&self.store)
    }
}

impl Store for Disk {
    fn answer(
        &self,
        bound: Arc<Bound>,
        supplied: Vec<(usize, Supplied)>,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send {
        let (store, failed) = (Arc::clone(&self.store), self.troubles.read());
        async move {
            failed?;
            store.answer(bound, supplied).await
        }
    }

    fn write(
        &self,
        batch: Arc<[Submission]>,
        now_ms: i64,
    ) -> impl Future<Output = Result<Vec<Verdict>, StoreError>> + Send {
        let store = Arc::clone(&self.store);
        let failed = if self.troubles.fail_write.swap(false, Ordering::SeqCst) {
            Err(StoreError::Full)
        } else if self.troubles.poisoned(&batch) {
            Err(StoreError::Backend("poison, on purpose".into()))
        } else {
            Ok(())
        };
        async move {
            failed?;
            store.write(batch, now_ms).await
        }
    }

    fn changes(&self, page: PageRequest) -> impl Future<Output = Result<ChangePage, StoreError>> + Send {
        let (store, failed) = (Arc::clone(&self.store), self.troubles.read());
        async move {
            failed?;
            store.changes(page).await
        }
    }

    fn records(
        &self,
        model: ModelId,
        after: Position,
        max: usize,
    ) -> impl Future<Output = Result<RecordsPage, StoreError>> + Send {
        let (store, failed) = (Arc::clone(&self.store), self.troubles.read());
        async move {
            failed?;
            store.records(model, after, max).await
        }
    }

    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send {
        self.store.head()
    }

    fn watch_fields(
        &self,
        model: ModelId,
        columns: BTreeSet<FilterColumn>,
    ) -> impl Future<Output = Result<Position, StoreError>> + Send {
        self.store.watch_fields(model, columns)
    }

    fn note(&self, notes: Vec<ReplicaNote>, now_ms: i64) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.store.note(notes, now_ms)
    }

    fn prune(&self, now_ms: i64, retention: Retention) -> impl Future<Output = Result<Pruned, StoreError>> + Send {
        self.store.prune(now_ms, retention)
    }

    fn traces(&self, request: TraceRequest) -> impl Future<Output = Result<TracePage, StoreError>> + Send {
        self.store.traces(request)
    }

    fn renew_epoch(&self, was: Option<Epoch>) -> impl Future<Output = Result<Head, StoreError>> + Send {
        self.store.renew_epoch(was)
    }
}
