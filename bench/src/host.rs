//! The machine that the figures were made on, and the memory that processes took. Linux tells both in `/proc`; elsewhere
//! they are unknown, which is printed as `n/a`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::error::Error;
use crate::stats::Spread;

/// How often a durable commit is measured for the head of the report.
const COMMITS_MEASURED: usize = 50;

/// The machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    /// Processors that this process may use.
    pub(crate) cores: usize,
    /// Their name.
    pub(crate) processor: String,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Bytes of memory.
    pub(crate) memory_bytes: Option<u64>,
    /// Processes waiting or running in the last minute, on average, before the bench began: figures of a busy machine
    /// are worse than they should be, their ratios less so.
    pub(crate) load: Option<f64>,
    /// One row committed to a WAL with `synchronous=FULL` where the bench keeps its files.
    pub(crate) durable_commit: Spread,
    /// `release` or `dev`.
    pub(crate) profile: &'static str,
    /// SQLite's version.
    pub(crate) sqlite: &'static str,
}

impl Host {
    /// Looks around; `directory` is where the bench keeps its files.
    pub(crate) fn look(directory: &Path) -> Result<Self, Error> {
        let first = |file: &str, key: &str| -> Option<String> {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|l| l.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let read = |file: &str| fs::read_to_string(file).ok().map(|t| t.trim().to_owned());
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: first("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            kernel: format!(
                "{} {}",
                std::env::consts::OS,
                read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "n/a".to_owned())
            ),
            memory_bytes: first("/proc/meminfo", "MemTotal").as_deref().and_then(kilobytes),
            load: read("/proc/loadavg").and_then(|t| t.split(' ').next()?.parse().ok()),
            durable_commit: durable_commit(&directory.join("commit.sqlite"))?,
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
            sqlite: rusqlite::version(),
        })
    }

    /// A few lines for people.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} cores ({}), {} memory, load {} · {} · SQLite {} · {} profile\n\
             one durable commit (WAL, synchronous=FULL) here: p50 {:.2} ms, p99 {:.2} ms",
            self.cores,
            self.processor,
            bytes(self.memory_bytes),
            self.load.map_or_else(|| "n/a".to_owned(), |l| format!("{l:.1}")),
            self.kernel,
            self.sqlite,
            self.profile,
            self.durable_commit.p50 * 1e3,
            self.durable_commit.p99 * 1e3,
        )
    }
}

fn durable_commit(file: &Path) -> Result<Spread, Error> {
    let connection = rusqlite::Connection::open(file)?;
    connection.execute_batch("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(a INTEGER)")?;
    let mut times = Vec::with_capacity(COMMITS_MEASURED);
    for _ in 0..COMMITS_MEASURED {
        let start = Instant::now();
        connection.execute("INSERT INTO t VALUES (1)", [])?;
        times.push(start.elapsed());
    }
    Ok(Spread::of(&times))
}

fn kilobytes(text: &str) -> Option<u64> {
    Some(text.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Peak memory (resident set) of a process so far, in bytes; `None` where the system does not tell.
pub(crate) fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    kilobytes(status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim())
}

/// Memory (resident set) of a process now, in bytes; `None` where the system does not tell.
pub(crate) fn resident_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    kilobytes(status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.trim())
}

/// Lets this process and its children have as many files open as the system allows; how many those are.
pub(crate) fn raise_open_files() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        // `None` is no limit at all.
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => maximum,
            Err(_) => current,
        }
    }
    #[cfg(not(unix))]
    None
}

/// Begins the process's peak anew, so that a workload's peak is not that of what went before it. Does nothing where
/// the system cannot.
pub(crate) fn reset_peak_memory(process: u32) {
    // 5 resets the peak resident set: proc(5), clear_refs. Refused means that the peak stays; it is then too high,
    // never too low.
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// Bytes for people.
pub(crate) fn bytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "n/a".to_owned(),
        |b| format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_peak() {
        let before = peak_memory(std::process::id()).unwrap();
        assert!(before > 1 << 20);
        let block = vec![1u8; 64 << 20];
        let with = peak_memory(std::process::id()).unwrap();
        assert!(with >= before.max(64 << 20), "{before} {with} {}", block.len());
        drop(block);
        reset_peak_memory(std::process::id());
        assert!(peak_memory(std::process::id()).unwrap() < with);
    }
}
