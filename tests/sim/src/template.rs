//! Database files as they are when they were just made: made once in a process by the stores themselves, then copied for
//! each world. Making the tables anew for each replica of each seed took more time than playing the seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tombolo_core::schema::Schema;

use crate::{replica, server};

/// The file of a fresh replica, by its name (the identity stands in the file); `None` is the server's.
static FILES: Mutex<BTreeMap<Option<String>, Arc<[u8]>>> = Mutex::new(BTreeMap::new());

/// Puts the file of a fresh replica at `path`, unless there is one.
pub(crate) fn replica(path: &Path, schema: &Arc<Schema>, name: &str) -> Result<(), String> {
    put(path, Some(name.to_owned()), |path| {
        replica::open_store(path, schema, name, None).map(drop)
    })
}

/// Puts the file of a fresh server at `path`, unless there is one.
pub(crate) fn server(path: &Path, schema: &Arc<Schema>) -> Result<(), String> {
    put(path, None, |path| {
        server::open_store(path, schema, server::EPOCH).map(drop)
    })
}

fn put(path: &Path, which: Option<String>, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = files.get(&which).cloned() {
        drop(files);
        return std::fs::write(path, bytes).map_err(|error| error.to_string());
    }
    // The store is closed by `make`, which moves its log into the file.
    make(path)?;
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    files.insert(which, bytes.into());
    Ok(())
}
