//! W4: M queued mutations flushed.
//!
//! Limit: the server's rows and outcome rows written with bare SQLite, durably, 256 of each in one transaction.

use super::Setting;
use crate::child;
use crate::error::{Error, expect_count};
use crate::limit::tables::{Synchronous, Tables, count};
use crate::report::{Line, Unit};
use crate::stats::median;
use crate::worker::{Flushed, Job};

/// Mutations in one transaction of the limit: what the server takes at most.
const GROUP: usize = 256;

/// Runs the workload.
pub(crate) async fn run(setting: &Setting) -> Result<Vec<Line>, Error> {
    let options = &setting.options;
    let queued = options.queued as u64;
    let (mut flushed, mut queueing, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    let (mut client_peak, mut server_peak) = (None, None);
    for run in 0..options.runs {
        let server = setting.server(&format!("w4/{run}")).await?;
        let place = setting.place(&server, &format!("w4/{run}"))?;
        let result: Flushed = child::work(&Job::Flush {
            place,
            queued: options.queued,
        })?;
        expect_count("notes on the server", queued, count(server.database(), "Note")?)?;
        flushed.push(result.flushing_seconds);
        queueing.push(result.queueing_seconds);
        client_peak = client_peak.max(result.peak);
        server_peak = server_peak.max(server.peak());
        let mut tables = Tables::read(server.database(), &["Note", "_outcomes"])?;
        tables.renumber_last("number", options.queued)?;
        expect_count("rows of the limit", 2 * queued, tables.len() as u64)?;
        limits.push(
            tables
                .insert(&setting.limit_file(), GROUP, Synchronous::Full)?
                .as_secs_f64(),
        );
    }
    let rate = |seconds: &[f64]| queued as f64 / median(seconds);
    Ok(vec![
        Line::new(
            "W4",
            format!("{queued} queued mutations flushed"),
            Unit::PerSecond,
            rate(&flushed),
        )
        .against(
            format!("rows and outcomes, bare SQLite, durable, {GROUP} a commit"),
            rate(&limits),
        )
        .memory(client_peak, server_peak),
        Line::new(
            "W4",
            "before it, queueing them offline, 64 calls at once",
            Unit::PerSecond,
            rate(&queueing),
        )
        .against("the same limit", rate(&limits)),
    ])
}
