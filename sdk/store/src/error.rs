//! Failures, told apart by what the caller can do about them.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use tombolo_machine::StoreError;

/// Why a file could not be opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another client in this one, has it open, and it cannot be shared: that one was made with another
    /// schema or release, or is opening, removing or mending the file just now.
    #[error(
        "{0} is in use by another process with another schema, or is just being opened; close that one first, or try again"
    )]
    InUse(PathBuf),
    /// It was written by a newer release.
    #[error("the database file has format {found} and this release knows {known} at most; update the app")]
    Newer {
        /// The file's format.
        found: i64,
        /// The newest that this release knows.
        known: i64,
    },
    /// It is an SQLite database, but not one of ours.
    #[error("{0} is another program's file, or not a database at all; it was not touched: choose another file")]
    Foreign(PathBuf),
    /// It belongs to another account than the one it was opened for.
    #[error("{0} belongs to another account; open each account's own file, for its account")]
    WrongAccount(PathBuf),
    /// The lock file or its folder cannot be made.
    #[error("{path} cannot be opened: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// SQLite's error in our terms.
pub(crate) fn failure(error: rusqlite::Error) -> StoreError {
    match &error {
        rusqlite::Error::SqliteFailure(code, _) => match code.code {
            // No room for the index of the write-ahead log has a code of its own.
            _ if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full,
            ErrorCode::DiskFull => StoreError::Full,
            ErrorCode::ReadOnly => StoreError::ReadOnly,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(error.to_string()),
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy(error.to_string()),
            _ => StoreError::Other(error.to_string()),
        },
        _ => StoreError::Other(error.to_string()),
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(failure(error))
    }
}
