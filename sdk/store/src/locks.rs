//! Who else has the file open: two small files beside the database, locked by the system and never written.
//!
//! - `FILE.open` is locked in common by everyone who has the file open, and alone by whoever changes its tables' shape,
//!   moves it aside or removes it: nobody's rows vanish beneath him.
//! - `FILE.lock` is locked by the one of them that has the link and sends the queue.
//!
//! The system lets go of a lock when its process ends, however that ends. Here it is also let go of aloud: a process that is
//! just being started by this one may have copies of our descriptors for a moment, and a copy holds a lock too.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::OpenError;

/// Between two attempts to get a lock. It is had for moments only, so that looking again soon is cheap.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// Beside the database: locked by everyone who has it open.
pub(crate) const OPEN_FILE: &str = ".open";

/// Beside the database: locked by the one that has the link.
pub(crate) const DRAIN_FILE: &str = ".lock";

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// With others that hold it so.
    Common,
    /// With nobody else.
    Alone,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Tries once; `None` if another one's lock is in the way.
    pub(crate) fn try_take(path: &Path, hold: Hold) -> Result<Option<Self>, OpenError> {
        let failed = |source| OpenError::File {
            path: path.to_owned(),
            source,
        };
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
                .map_err(failed)?;
            let tried = match hold {
                Hold::Common => file.try_lock_shared(),
                Hold::Alone => file.try_lock(),
            };
            match tried {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            let lock = Self(file);
            // Whoever had it before may have removed it; then this is a lock that nobody else will ever look at.
            if lock.is_still(path) {
                return Ok(Some(lock));
            }
        }
    }

    /// Tries for a while.
    pub(crate) fn take(path: &Path, hold: Hold, within: Duration) -> Result<Option<Self>, OpenError> {
        let begun = Instant::now();
        loop {
            if let Some(lock) = Self::try_take(path, hold)? {
                return Ok(Some(lock));
            }
            if begun.elapsed() >= within {
                return Ok(None);
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    #[cfg(unix)]
    fn is_still(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let own = self.0.metadata().map(|m| (m.dev(), m.ino())).ok();
        own.is_some() && own == FileIdentity::of(path).0
    }

    /// Elsewhere an open file cannot be removed.
    #[cfg(not(unix))]
    fn is_still(&self, _path: &Path) -> bool {
        true
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked by its closing.
        let _ = self.0.unlock();
    }
}

/// Which file a path names, to be compared; equal to any other where the system has no such thing or removes no open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity(Option<(u64, u64)>);

impl FileIdentity {
    #[cfg(unix)]
    pub(crate) fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self(std::fs::metadata(path).map(|m| (m.dev(), m.ino())).ok())
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_path: &Path) -> Self {
        Self(None)
    }
}

/// `PATH` with something after its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
