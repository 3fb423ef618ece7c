//! W7: mutations per second on the server, durable, by many clients that each wait for their answer.
//!
//! Limit: the server's rows written with bare SQLite, durably, as many in one transaction as there are clients: more
//! cannot be waiting.

use super::Setting;
use crate::child;
use crate::error::{Error, expect_count};
use crate::limit::tables::{Synchronous, Tables, count};
use crate::report::{Line, Unit};
use crate::stats::{Spread, median};
use crate::worker::{Job, Link, Written};

/// Runs the workload over both links.
pub(crate) async fn run(setting: &Setting) -> Result<Vec<Line>, Error> {
    let mut lines = one_link(setting, Link::WebSocket, "WebSocket").await?;
    lines.extend(one_link(setting, Link::Http, "HTTP").await?);
    Ok(lines)
}

async fn one_link(setting: &Setting, link: Link, name: &str) -> Result<Vec<Line>, Error> {
    let options = &setting.options;
    let writes = options.writes as u64;
    let (mut seconds, mut latencies, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    let (mut client_peak, mut server_peak) = (None, None);
    for run in 0..options.runs {
        let folder = format!("w7/{name}-{run}");
        let server = setting.server(&folder).await?;
        let job = Job::Writes {
            place: setting.place(&server, &folder)?,
            link,
            clients: options.clients,
            writes: options.writes,
            author: format!("crew-{run}"),
        };
        let result: Written = child::work(&job)?;
        expect_count("notes on the server", writes, count(server.database(), "Note")?)?;
        seconds.push(result.seconds);
        latencies.push(result.latency);
        client_peak = client_peak.max(result.peak);
        server_peak = server_peak.max(server.peak());
        let tables = Tables::read(server.database(), &["Note"])?;
        limits.push(
            tables
                .insert(&setting.limit_file(), options.clients, Synchronous::Full)?
                .as_secs_f64(),
        );
    }
    let (figure, limit) = (median(&seconds), median(&limits));
    let latency = Spread::median(&latencies);
    // A client's own wait at the limit: the rate shared by all.
    let wait = limit * options.clients as f64 / writes as f64;
    Ok(vec![
        Line::new(
            "W7",
            format!("{} clients, {name}, durable", options.clients),
            Unit::PerSecond,
            writes as f64 / figure,
        )
        .against(
            format!("bare SQLite, durable, {} a commit", options.clients),
            writes as f64 / limit,
        )
        .memory(client_peak, server_peak),
        Line::new("W7", "one answer, p50", Unit::Seconds, latency.p50).against("one such commit", wait),
        Line::new("W7", "one answer, p99", Unit::Seconds, latency.p99).against("one such commit", wait),
    ])
}
