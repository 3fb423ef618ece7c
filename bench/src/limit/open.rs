//! The floor of opening a file: SQLite's own opening of it, and one record read.

use std::path::Path;
use std::time::{Duration, Instant};

use super::tables::open_read;
use crate::error::{During as _, Error};

/// Has the system forget what it has read of the file, so that the next look at it is the disk's affair. A system that keeps
/// it all the same makes both sides faster.
pub(crate) fn forget(file: &Path) -> Result<(), Error> {
    let opened = std::fs::File::open(file).during(|| format!("cannot open {}", file.display()))?;
    opened.sync_all().during(|| format!("cannot sync {}", file.display()))?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&opened, 0, None, rustix::fs::Advice::DontNeed)
        .map_err(std::io::Error::from)
        .during(|| format!("cannot have {} forgotten", file.display()))?;
    Ok(())
}

/// Opens the database and reads one record by its key.
pub(crate) fn bare(file: &Path, id: &str) -> Result<Duration, Error> {
    let start = Instant::now();
    let connection = open_read(file)?;
    connection.query_row("SELECT \"carrier\" FROM \"Flight\" WHERE \"id\" = ?1", [id], |_| Ok(()))?;
    Ok(start.elapsed())
}
