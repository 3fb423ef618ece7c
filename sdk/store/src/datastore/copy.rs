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
        Self::by(old, replica, |from, to| std::fs::copy(from, to).map(drop), COPY_PAUSE)
    }

    /// The same with this way to copy one file: whoever gives it may write to the old file meanwhile.
    fn by(
        old: &Path,
        replica: &Path,
        mut copy: impl FnMut(&Path, &Path) -> std::io::Result<()>,
        pause: Duration,
    ) -> Result<Self, ImportError> {
        let copied = Self {
            path: beside(replica, COPY),
        };
        for attempt in 0..COPIES_MAX {
            if attempt > 0 {
                std::thread::sleep(pause);
            }
            remove(&copied.path);
            let before = stamps(old)?;
            for suffix in ["", LOGS[0], LOGS[1]] {
                let from = beside(old, suffix);
                match copy(&from, &beside(&copied.path, suffix)) {
                    Ok(()) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The copy of an old file of which one part is written to behind each of the first so many copies of a part; that part as
    /// it is then, and all files that are left.
    fn copy_of(writes: usize, written: &str) -> (Result<Vec<u8>, ImportError>, Vec<u8>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let (old, replica) = (dir.path().join("old.db"), dir.path().join("replica.db"));
        std::fs::write(&old, "0").unwrap();
        let mut left = writes;
        let copy = |from: &Path, to: &Path| {
            std::fs::copy(from, to)?;
            if left > 0 {
                left -= 1;
                let file = beside(&old, written);
                let mut content = std::fs::read(&file).unwrap_or_default();
                // Longer each time: a clock may be too coarse to tell two writes apart.
                content.push(b'1');
                std::fs::write(&file, content)?;
            }
            Ok(())
        };
        let copied = Copied::by(&old, &replica, copy, Duration::ZERO);
        let read = copied.map(|copied| std::fs::read(beside(&copied.path, written)).unwrap());
        let stands = std::fs::read(beside(&old, written)).unwrap();
        let names = std::fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        (read, stands, names)
    }

    #[test]
    fn a_file_that_is_written_to_all_the_time_is_in_use_and_one_that_rests_is_taken() {
        for written in ["", LOGS[0], LOGS[1]] {
            let (read, _, names) = copy_of(usize::MAX, written);
            assert!(matches!(read, Err(ImportError::InUse(_))), "{written}: {read:?}");
            let both = [String::from("old.db"), format!("old.db{written}")];
            assert_eq!(names, both[usize::from(written.is_empty())..], "no copy is left");
            // At rest after one write, and after the last that is waited for.
            for writes in [1, COPIES_MAX - 1] {
                let (read, stands, _) = copy_of(writes, written);
                assert_eq!(read.unwrap(), stands, "{written} after {writes} writes");
            }
        }
        assert_eq!(copy_of(0, "").0.unwrap(), b"0");
    }
}
