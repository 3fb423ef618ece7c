//! The mark beside an old file that says who has taken it over: what one replica has taken no other takes again, nor the same
//! one when it is made anew. Without it the next account on the device would send the last one's mutations.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::report::ImportError;
use crate::locks::beside;

/// Beside the old file.
const CLAIM_FILE: &str = ".tombolo";

/// An old file's mark.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    /// The name of the replica's file: its folder may be another after an update of the app.
    replica: String,
    account: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// The replica's file.
    replica: String,
    /// Whose it is, if it is somebody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    /// Everything is in it: the commit has succeeded.
    done: bool,
}

impl Claim {
    /// The mark for the old file at `path` by the replica whose file is `replica`, opened for this account. An app may keep
    /// each account's file in a folder of its own under the same name.
    #[must_use]
    pub fn of(path: &Path, replica: &Path, account: Option<&str>) -> Self {
        Self {
            path: beside(path, CLAIM_FILE),
            replica: replica
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            account: account.map(str::to_owned),
        }
    }

    /// Whether the old file is still to be had: nobody has begun to take it, or this replica had begun and not finished.
    ///
    /// # Errors
    /// The mark cannot be read: nobody knows then.
    pub fn is_free(&self) -> Result<bool, ImportError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => {
                let mark: Mark = serde_json::from_slice(&bytes).map_err(|error| ImportError::Layout {
                    path: self.path.display().to_string(),
                    problem: error.to_string(),
                })?;
                // Without an account it may have been begun before the app named one.
                let anothers = mark
                    .account
                    .as_ref()
                    .zip(self.account.as_ref())
                    .is_some_and(|(a, b)| a != b);
                Ok(!mark.done && mark.replica == self.replica && !anothers)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Notes that this replica is about to commit what it took.
    ///
    /// # Errors
    /// The mark cannot be written; nothing may be committed then.
    pub fn begin(&self) -> Result<(), ImportError> {
        self.write(false)
    }

    /// Notes that the commit has succeeded.
    ///
    /// # Errors
    /// The mark cannot be written. The import stands; this replica's own report says so.
    pub fn finish(&self) -> Result<(), ImportError> {
        self.write(true)
    }

    fn write(&self, done: bool) -> Result<(), ImportError> {
        let mark = Mark {
            replica: self.replica.clone(),
            account: self.account.clone(),
            done,
        };
        let new = beside(&self.path, ".new");
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec(&mark)?)?;
            file.sync_all()?;
            drop(file);
            std::fs::rename(&new, &self.path)?;
            // The commit that follows survives a power cut, and so must the mark.
            #[cfg(unix)]
            if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::File::open(folder)?.sync_all()?;
            }
            Ok(())
        };
        write().map_err(|source| self.failed(source))
    }

    /// Removes the old file, its logs and the mark.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub fn remove_all(&self, path: &Path) -> Result<(), ImportError> {
        // The mark last: as long as the file is there, it is marked.
        let all = ["", "-wal", "-shm", "-journal"].map(|suffix| beside(path, suffix));
        for file in all.iter().chain([&self.path]) {
            match std::fs::remove_file(file) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(self.failed(source)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> ImportError {
        ImportError::File {
            path: self.path.display().to_string(),
            source,
        }
    }
}
