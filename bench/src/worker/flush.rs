//! W4: mutations queued offline, then flushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use super::replica::{mutate, open, wait_until, words};
use super::{Flushed, Place, peak};
use crate::data;
use crate::error::{Error, expect_count, failed};

const CREATE: &str = "mutation Create($input: CreateNoteInput!) { createNote(input: $input) { id } }";

/// Calls at once while queueing, which is not what W4 is about: an app with a form queues one at a time.
const CALLS: usize = 64;

/// Queues all offline, goes online, waits until all are settled.
pub(super) async fn run(place: &Place, queued: usize) -> Result<Flushed, Error> {
    let client = open(place, "flush", &["Note"], true).await?;
    let start = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let (client, next) = (client.clone(), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= queued {
                    return Ok::<_, Error>(());
                }
                mutate(&client, CREATE, json!({ "input": data::note("flush", number) })).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| failed(e.to_string()))??;
    }
    let queueing_seconds = start.elapsed().as_secs_f64();
    expect_count("queued mutations", queued as u64, client.status().borrow().pending)?;

    let start = Instant::now();
    client.set_online(true).await.map_err(words)?;
    wait_until(&client, |status| status.pending == 0 && status.up_to_date).await?;
    let flushing_seconds = start.elapsed().as_secs_f64();
    expect_count("rejected mutations", 0, client.status().borrow().rejected)?;
    let peak = peak();
    client.close().await;
    Ok(Flushed {
        queueing_seconds,
        flushing_seconds,
        peak,
    })
}
