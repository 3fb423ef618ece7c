//! W6: local writes and live queries on a large replica, without a network.
//!
//! Limits: the rows of each write in one bare transaction on a copy of the replica, at the same `synchronous`; the list
//! query as one bare statement with JSON written by hand; for the live query one after the other.

use std::time::Instant;

use super::{Setting, copy_database};
use crate::child;
use crate::error::{Error, expect_count, failed};
use crate::limit::tables::{Synchronous, count, empty_log, open_read, remove};
use crate::limit::{list, write};
use crate::report::{Line, Unit};
use crate::stats::Spread;
use crate::worker::{Job, Local, Place, REPLICA, replica_file};

/// List queries for each run.
const QUERIES: usize = 200;

/// Runs the workload on the replica that W1 has made.
pub(crate) fn run(setting: &Setting, large: &Place) -> Result<Vec<Line>, Error> {
    let options = &setting.options;
    let file = replica_file(&large.directory, REPLICA);
    let kept = setting.directory.join("large-before.sqlite");
    copy_database(&file, &kept)?;
    // Product and limit both begin with an empty log: on many disks a sync is far cheaper where the log need not grow.
    empty_log(&kept)?;
    let rows = count(&kept, "Flight")?;
    let (plain, watched) = flights(&kept, options.samples)?;

    let queries = if options.smoke { 3 } else { QUERIES };
    let (mut writes, mut lists, mut lives) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bare_writes, mut bare_lists) = (Vec::new(), Vec::new());
    let mut client_peak = None;
    for run in 0..options.runs {
        remove(&file)?;
        copy_database(&kept, &file)?;
        let (bare, answer) = bare_list(&kept, queries)?;
        let result: Local = child::work(&Job::Local {
            place: large.clone(),
            plain: plain.clone(),
            watched: watched.clone(),
            queries,
        })?;
        if result.list_answer != answer {
            return Err(failed("the list query's answer is not that of bare SQLite"));
        }
        client_peak = client_peak.max(result.peak);
        let before = setting.directory.join(format!("large-limit-{run}.sqlite"));
        copy_database(&kept, &before)?;
        let ids: Vec<_> = plain.iter().chain(&watched).cloned().collect();
        bare_writes.push(Spread::of(&write::repeat(&before, &file, &ids, Synchronous::Full)?));
        remove(&before)?;
        bare_lists.push(bare);
        writes.push(result.write);
        lists.push(result.list);
        lives.push(result.live);
    }
    let [writes, lists, lives] = [writes, lists, lives].map(|runs| Spread::median(&runs));
    let (bare_write, bare_list) = (Spread::median(&bare_writes), Spread::median(&bare_lists));
    let one = |what: &str, figure: f64| Line::new("W6", what, Unit::Seconds, figure);
    Ok(vec![
        one(&format!("local write, {rows} rows, p50 of {}", plain.len()), writes.p50)
            .against("the same rows in one bare transaction, FULL", bare_write.p50)
            .memory(client_peak, None),
        one("the same, p99", writes.p99).against("the same, p99", bare_write.p99),
        one("list query, 1000 rows × 10 fields, p50", lists.p50).against("bare statement, JSON by hand", bare_list.p50),
        one("the same, p99", lists.p99).against("the same, p99", bare_list.p99),
        one("local write to live list query, p50", lives.p50)
            .against("bare write, then bare list", bare_write.p50 + bare_list.p50),
        one("the same, p99", lives.p99).against("the same, p99", bare_write.p99 + bare_list.p99),
    ])
}

/// Flights to write: `wanted` from all over the table, and as many others within the list query's page.
pub(super) fn flights(file: &std::path::Path, wanted: usize) -> Result<(Vec<String>, Vec<String>), Error> {
    let connection = open_read(file)?;
    let mut statement = connection.prepare("SELECT \"id\" FROM \"Flight\" WHERE \"_deleted\" = 0 ORDER BY \"id\"")?;
    let ids = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    let watched: Vec<_> = ids.iter().take(list::ROWS).take(wanted).cloned().collect();
    let rest = ids.get(watched.len()..).unwrap_or_default();
    let plain: Vec<_> = rest
        .iter()
        .step_by((rest.len() / wanted.max(1)).max(1))
        .take(wanted)
        .cloned()
        .collect();
    expect_count(
        "flights to write",
        2 * wanted as u64,
        (plain.len() + watched.len()) as u64,
    )?;
    Ok((plain, watched))
}

fn bare_list(file: &std::path::Path, queries: usize) -> Result<(Spread, serde_json::Value), Error> {
    let connection = open_read(file)?;
    let mut out = Vec::new();
    // Warms the caches, and gives the answer to compare with.
    list::answer(&connection, &mut out)?;
    let answer = serde_json::from_slice(&out)?;
    let mut times = Vec::with_capacity(queries);
    for _ in 0..queries {
        let start = Instant::now();
        let rows = list::answer(&connection, &mut out)?;
        times.push(start.elapsed());
        expect_count("rows of the list", list::ROWS as u64, rows)?;
    }
    Ok((Spread::of(&times), answer))
}
