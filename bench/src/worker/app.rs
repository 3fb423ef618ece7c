//! W8: what an app does with a replica that is there already: opens it, asks, writes, watches. The same job is done by a
//! program in each other language (`bindings/LANGUAGE/bench.sh`), which gets it as a file and prints the same result.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::replica::words;
use crate::error::{Error, failed};
use crate::host;
use crate::stats::Spread;

/// Longest wait for a live answer.
const CHANGE_MAX: Duration = Duration::from_secs(30);

/// What an app does, without a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct App {
    /// The replica's file; the program has it alone.
    pub(crate) file: String,
    /// The schema's text.
    pub(crate) schema: String,
    /// The first query, which is then watched.
    pub(crate) query: String,
    /// The mutation, with variables `{"input":{"id":ID,"depDelay":INT}}`.
    pub(crate) update: String,
    /// Records to write, one after the other. The n-th gets the `depDelay` 8000 + n, which no record has (W6 writes 9000 + n).
    pub(crate) plain: Vec<String>,
    /// Records to write while the query is watched; each changes its answer.
    pub(crate) watched: Vec<String>,
}

/// How long that took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AppDone {
    /// To open the file, from the call to its return.
    pub(crate) open_seconds: f64,
    /// The first query after that.
    pub(crate) first_query_seconds: f64,
    /// Memory of the process before it, after the first query, in bytes; `None` where the system does not tell.
    pub(crate) resident_before: Option<u64>,
    /// See above.
    pub(crate) resident_after: Option<u64>,
    /// A mutation's call.
    pub(crate) write: Spread,
    /// From a mutation's call to the live query's new answer.
    pub(crate) live: Spread,
}

/// Through plain Rust.
pub(super) async fn run(job: &App) -> Result<AppDone, Error> {
    let resident = || host::resident_memory(std::process::id());
    let resident_before = resident();
    let start = Instant::now();
    let client = tombolo::Client::builder()
        .schema(&job.schema)
        .path(&job.file)
        .open()
        .await
        .map_err(words)?;
    let open_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    client.query(&job.query, json!(null)).await.map_err(words)?;
    let first_query_seconds = start.elapsed().as_secs_f64();
    let resident_after = resident();

    let input = |place: usize, id: &str| json!({ "input": { "id": id, "depDelay": 8_000 + place } });
    let mut writes = Vec::with_capacity(job.plain.len());
    for (place, id) in job.plain.iter().enumerate() {
        let start = Instant::now();
        client.mutate(&job.update, input(place, id)).await.map_err(words)?;
        writes.push(start.elapsed());
    }
    let mut watch = client.watch(&job.query, json!(null)).map_err(words)?;
    let mut answer = async || {
        let next = tokio::time::timeout(CHANGE_MAX, watch.next()).await;
        let next = next.map_err(|_| failed("a local write did not reach a live query"))?;
        next.ok_or_else(|| failed("the live query has ended"))?.map_err(words)
    };
    answer().await?;
    let mut lives = Vec::with_capacity(job.watched.len());
    for (place, id) in job.watched.iter().enumerate() {
        let start = Instant::now();
        client.mutate(&job.update, input(place, id)).await.map_err(words)?;
        answer().await?;
        lives.push(start.elapsed());
    }
    client.close().await;
    Ok(AppDone {
        open_seconds,
        first_query_seconds,
        resident_before,
        resident_after,
        write: Spread::of(&writes),
        live: Spread::of(&lives),
    })
}
