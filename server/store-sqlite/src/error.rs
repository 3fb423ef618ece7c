//! What can go wrong, told apart.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use tombolo_engine::StoreError;

/// Why a database could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server has it.
    #[error("{} is in use by another server: stop that one, or give this one another file", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// A later version of this program made it.
    #[error(
        "{} was written by a newer version of this program (format {found}; this one knows up to {known}): \
         use that version, or restore a backup made before the upgrade",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this program knows.
        known: i64,
    },
    /// A database of something else.
    #[error("{} is not a database of this server: give the path of one, or of a file that does not exist yet", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The schema does not fit the data that is there.
    #[error("the schema does not fit the data in the database:\n{}", misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Schema {
        /// Everything that does not fit.
        misfits: Vec<Misfit>,
    },
    /// It would have to be changed, and was to be opened as it is.
    #[error("{} is of another schema or version and would have to be fitted to this one first: start a server on it", path.display())]
    Unfit {
        /// The database.
        path: PathBuf,
    },
    /// The lock file could not be made or locked.
    #[error("{}: {source}: check that its folder exists and may be written", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database itself.
    #[error("{}: {source}", path.display())]
    Store {
        /// The database.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

/// One thing in the schema that would lose data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// `Model` or `Model.field`.
    pub place: String,
    /// What does not fit.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
    /// The name by which [`crate::Options::allow_breaking`] allows it all the same.
    pub allow: String,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} ({}; to lose it knowingly: --allow-breaking {})",
            self.place, self.problem, self.mend, self.allow
        )
    }
}

/// SQLite's error as the engine knows it.
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    if error
        .sqlite_error()
        .is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE)
    {
        // No room for the index of the write-ahead log has a code of its own.
        return StoreError::Full;
    }
    let Some(code) = error.sqlite_error_code() else {
        return StoreError::Backend(error.to_string());
    };
    match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
        ErrorCode::DiskFull => StoreError::Full,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreError::ReadOnly,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(error.to_string()),
        _ => StoreError::Backend(error.to_string()),
    }
}
