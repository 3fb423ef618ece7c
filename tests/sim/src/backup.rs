//! A database file as a backup keeps it: the file and its log, byte for byte.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// What stands beside a database that belongs to it; the last is made anew from the second.
const LOG: &str = "-wal";
const INDEX: &str = "-shm";

/// A kept database.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    file: Vec<u8>,
    log: Option<Vec<u8>>,
}

impl Kept {
    /// Of the database at `path`, between two of its transactions.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let log = beside(path, LOG);
        Ok(Self {
            file: std::fs::read(path)?,
            log: log.exists().then(|| std::fs::read(&log)).transpose()?,
        })
    }

    /// Puts it back at `path`, where nobody has a database open any more.
    pub(crate) fn put_back(&self, path: &Path) -> io::Result<()> {
        for suffix in [LOG, INDEX] {
            let other = beside(path, suffix);
            if other.exists() {
                std::fs::remove_file(other)?;
            }
        }
        std::fs::write(path, &self.file)?;
        match &self.log {
            Some(log) => std::fs::write(beside(path, LOG), log),
            None => Ok(()),
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
