//! A copy of the old file that can be read as it would be after a crash, without a byte being written to the old one.
//!
//! To read a database that has a log beside it, SQLite writes: it rolls a journal back, or makes the index of a write-ahead
//! log. So the file and its log are copied, and the copy is opened. If neither has changed between the beginning and the end
//! of the copying, the copy is what a power cut at that moment would have left, which is the last commit: also if somebody
//! holds the file locked in the middle of a transaction.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::report::ImportError;
use crate::locks::beside;

/// Beside the replica, while the copy is read.
const COPY: &str = ".datastore";

/// Logs that SQLite reads with a database.
const LOGS: [&str; 2] = ["-wal", "-journal"];

/// Times that the file is copied anew when somebody has written meanwhile. Who writes that often has not stopped.
const COPIES_MAX: usize = 5;

/// Before it is copied anew.
const COPY_PAUSE: Duration = Duration::from_millis(50);

/// A copy, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) path: PathBuf,
}

impl Copied {
    /// Copies the database at `old` to a place beside `replica`.
    pub(super) fn of(old: &Path, replica: &Path) -> Result<Self, ImportError> {
        let copied = Self {
            path: beside(replica, COPY),
        };
        for attempt in 0..COPIES_MAX {
            if attempt > 0 {
                std::thread::sleep(COPY_PAUSE);
            }
            remove(&copied.path);
            let before = stamps(old)?;
            for suffix in ["", LOGS[0], LOGS[1]] {
                let from = beside(old, suffix);
                match std::fs::copy(&from, beside(&copied.path, suffix)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() => {}
                    Err(source) => return Err(failed(&from, source)),
                }
            }
            if before == stamps(old)? {
                return Ok(copied);
            }
        }
        Err(ImportError::InUse(old.display().to_string()))
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes what an import that was killed has left beside the replica.
pub(crate) fn clean(replica: &Path) {
    remove(&beside(replica, COPY));
}

fn remove(path: &Path) {
    for suffix in ["", "-shm", LOGS[0], LOGS[1]] {
        let file = beside(path, suffix);
        if let Err(error) = std::fs::remove_file(&file)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %file.display(), "a copy of the DataStore file could not be removed");
        }
    }
}

/// Size and time of the file and its logs; `None` for one that is not there.
fn stamps(old: &Path) -> Result<Vec<Option<(u64, SystemTime)>>, ImportError> {
    ["", LOGS[0], LOGS[1]]
        .iter()
        .map(|suffix| {
            let file = beside(old, suffix);
            match std::fs::metadata(&file) {
                Ok(data) => data
                    .modified()
                    .map(|at| Some((data.len(), at)))
                    .map_err(|source| failed(&file, source)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !suffix.is_empty() => Ok(None),
                Err(source) => Err(failed(&file, source)),
            }
        })
        .collect()
}

fn failed(path: &Path, source: std::io::Error) -> ImportError {
    ImportError::File {
        path: path.display().to_string(),
        source,
    }
}
