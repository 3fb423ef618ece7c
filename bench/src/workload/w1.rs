//! W1: first sync of N rows.
//!
//! Limits: the rows of the replica's own table inserted into the same table with bare SQLite, as many in one transaction
//! as the replica takes from one page; and, apart, the feed's pages moved over loopback HTTP with gzip.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::Setting;
use crate::child::{self, Server, http_client};
use crate::data::Flights;
use crate::error::{Error, expect_count, failed};
use crate::limit::bytes;
use crate::limit::tables::{Synchronous, Tables, count, remove};
use crate::load;
use crate::options::repository_file;
use crate::report::{Line, Unit};
use crate::stats::median;
use crate::worker::{Job, Place, REPLICA, Synced, replica_file};

/// Rows that the replica asks for in one page of its first sync, and writes in one transaction.
pub(crate) const PAGE_ROWS: usize = tombolo::limits::PAGE_ROWS as usize;

/// Starts a server, fills it, runs the workload; lines only if they are `wanted`. Gives the place of the replica, with
/// which W6 goes on; the server has ended then.
pub(crate) async fn run(setting: &Setting, wanted: bool, notes: &mut Vec<String>) -> Result<(Place, Vec<Line>), Error> {
    let options = &setting.options;
    let file = options
        .data
        .clone()
        .unwrap_or_else(|| repository_file("data/flights/Flight.csv"));
    let flights = Flights::load(&file, options.rows)?;
    notes.push(format!(
        "W1, W6: {}; pages of {PAGE_ROWS} rows, one transaction each",
        flights.source
    ));
    let server = setting.server("w1").await?;
    load::create(&server, "Flight", &flights.inputs).await?;
    let rows = flights.inputs.len() as u64;
    drop(flights);
    expect_count("flights on the server", rows, count(server.database(), "Flight")?)?;

    let place = setting.place(&server, "w1")?;
    let replica = replica_file(&place.directory, REPLICA);
    let runs = if wanted { options.runs } else { 1 };
    let (mut synced, mut inserted, mut moved) = (Vec::new(), Vec::new(), Vec::new());
    let (mut client_peak, mut server_peak) = (None, None);
    let pages = if wanted {
        Arc::new(pages(&server).await?)
    } else {
        Arc::default()
    };
    for _ in 0..runs {
        remove(&replica)?;
        server.reset_peak();
        let result: Synced = child::work(&Job::FirstSync(place.clone()))?;
        expect_count("flights on the replica", rows, count(&replica, "Flight")?)?;
        synced.push(result.seconds);
        client_peak = client_peak.max(result.peak);
        server_peak = server_peak.max(server.peak());
        if wanted {
            let tables = Tables::read(&replica, &["Flight"])?;
            inserted.push(
                tables
                    .insert(&setting.limit_file(), PAGE_ROWS, Synchronous::Normal)?
                    .as_secs_f64(),
            );
            moved.push(bytes::move_pages(Arc::clone(&pages)).await?.as_secs_f64());
        }
    }
    let mut lines = Vec::new();
    if wanted {
        let (seconds, insert, bytes) = (median(&synced), median(&inserted), median(&moved));
        let megabytes = pages.iter().map(Vec::len).sum::<usize>() as f64 / 1e6;
        let rate = |seconds: f64| rows as f64 / seconds;
        lines.push(
            Line::new(
                "W1",
                format!("first sync of {rows} rows"),
                Unit::PerSecond,
                rate(seconds),
            )
            .against("the same rows into the same table, bare SQLite", rate(insert))
            .memory(client_peak, server_peak),
        );
        lines.push(
            Line::new("W1", "the same, time", Unit::Seconds, seconds)
                .against(format!("its {megabytes:.0} MB moved over loopback HTTP, gzip"), bytes),
        );
        lines.push(
            Line::new("W1", "the same, time", Unit::Seconds, seconds)
                .against("both limits one after the other", insert + bytes),
        );
    }
    Ok((place, lines))
}

/// The feed's pages as the replica takes them, decompressed.
async fn pages(server: &Server) -> Result<Vec<Vec<u8>>, Error> {
    let client = http_client()?;
    let document = "query Page($scope: TomboloScopeInput!, $limit: Int) \
        { tomboloChanges(scope: $scope, limit: $limit) { model cursor upToDate reset fields rows left } }";
    let (mut pages, mut cursor) = (Vec::new(), Json::Null);
    loop {
        let scope = json!({ "model": "Flight", "cursor": cursor });
        let request = json!({ "query": document, "variables": { "scope": scope, "limit": PAGE_ROWS } });
        let page = load::post(&client, &server.url(), server.api_key(), &request).await?;
        let head: Head = serde_json::from_slice(&page)?;
        pages.push(page);
        if head.data.tombolo_changes.up_to_date {
            return Ok(pages);
        }
        if cursor == head.data.tombolo_changes.cursor {
            return Err(failed("the change feed does not move on"));
        }
        cursor = Json::String(head.data.tombolo_changes.cursor);
    }
}

#[derive(serde::Deserialize)]
struct Head {
    data: HeadData,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadData {
    tombolo_changes: HeadBatch,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadBatch {
    cursor: String,
    up_to_date: bool,
}
