//! The conformance suite on each way of opening, and what is SQLite's own.
#![allow(clippy::unwrap_used)]

mod appsync;
mod echo;
mod opening;
mod sync;
mod upgrading;

use std::path::PathBuf;
use std::sync::Arc;

use tombolo_core::schema::Schema;
use tombolo_engine::suite::Place;
use tombolo_store_sqlite::{Options, SqliteStore, Synchronous};

/// What the disk does is SQLite's affair; without waiting for it the suite is fast.
fn options() -> Options {
    Options {
        synchronous: Synchronous::Normal,
        readers: 2,
        ..Options::default()
    }
}

/// Stores in files of a folder that goes with it.
struct Files {
    folder: tempfile::TempDir,
    inline: bool,
    made: std::sync::Mutex<Vec<PathBuf>>,
}

impl Files {
    fn new(inline: bool) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            inline,
            made: std::sync::Mutex::default(),
        }
    }

    fn open(&self, path: &std::path::Path, schema: &Arc<Schema>) -> SqliteStore {
        if self.inline {
            return SqliteStore::open_inline(Some(path), Arc::clone(schema), &options()).unwrap();
        }
        SqliteStore::open(path, Arc::clone(schema), &options()).unwrap()
    }
}

impl Place for Files {
    type Store = SqliteStore;

    fn fresh(&self, schema: &Arc<Schema>) -> SqliteStore {
        let mut made = self.made.lock().unwrap();
        let path = self.folder.path().join(format!("{}.sqlite", made.len()));
        made.push(path.clone());
        self.open(&path, schema)
    }

    /// The first file: cases that reopen a store begin with it.
    fn reopen(&self, store: SqliteStore, schema: &Arc<Schema>) -> Option<SqliteStore> {
        drop(store);
        let path = self.made.lock().unwrap().first().unwrap().clone();
        Some(self.open(&path, schema))
    }
}

struct Memory;

impl Place for Memory {
    type Store = SqliteStore;

    fn fresh(&self, schema: &Arc<Schema>) -> SqliteStore {
        SqliteStore::open_in_memory(Arc::clone(schema), &options()).unwrap()
    }

    fn reopen(&self, _: SqliteStore, _: &Arc<Schema>) -> Option<SqliteStore> {
        None
    }

    fn reopen_keeps(&self) -> bool {
        false
    }
}

mod file {
    use super::Files;
    tombolo_engine::store_suite!(Files::new(false));
}

mod inline {
    use super::Files;
    tombolo_engine::store_suite!(Files::new(true));
}

mod memory {
    use super::Memory;
    tombolo_engine::store_suite!(Memory);
}
