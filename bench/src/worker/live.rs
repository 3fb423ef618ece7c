//! W2: replica A writes, replica B has a live query on the same record.

use std::time::{Duration, Instant};

use serde_json::json;

use super::replica::{mutate, open, wait_until, words};
use super::{Lived, Place, peak};
use crate::data;
use crate::error::{Error, failed};
use crate::stats::Spread;

const CREATE: &str = "mutation Create($input: CreateNoteInput!) { createNote(input: $input) { id } }";
const UPDATE: &str = "mutation Update($input: UpdateNoteInput!) { updateNote(input: $input) { id } }";
const WATCH: &str = "query Note($id: ID!) { getNote(id: $id) { id text } }";

/// Longest wait for one change.
const CHANGE_MAX: Duration = Duration::from_secs(30);

/// One after the other: A writes, B sees it.
pub(super) async fn run(place: &Place, samples: usize) -> Result<Lived, Error> {
    let writer = open(place, "writer", &["Note"], false).await?;
    let reader = open(place, "reader", &["Note"], false).await?;
    let note = data::note("live", 0);
    let id = note["id"].clone();
    mutate(&writer, CREATE, json!({ "input": note })).await?;
    let mut watch = reader.watch(WATCH, json!({ "id": id })).map_err(words)?;
    wait_until(&writer, |status| status.pending == 0 && status.up_to_date).await?;

    let (mut latencies, mut calls) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    // The first round warms caches and is not counted; it also waits for the creation to arrive.
    for round in 0..=samples {
        let text = format!("round {round}");
        let start = Instant::now();
        mutate(&writer, UPDATE, json!({ "input": { "id": id, "text": text } })).await?;
        let call = start.elapsed();
        loop {
            let answer = tokio::time::timeout(CHANGE_MAX, watch.next())
                .await
                .map_err(|_| failed(format!("the change of {text} did not arrive")))?
                .ok_or_else(|| failed("the live query has ended"))?
                .map_err(words)?;
            let data: serde_json::Value = serde_json::from_str(answer.data())?;
            if data["getNote"]["text"] == *text {
                break;
            }
        }
        if round > 0 {
            latencies.push(start.elapsed());
            calls.push(call);
        }
    }
    let peak = peak();
    wait_until(&writer, |status| status.pending == 0).await?;
    writer.close().await;
    reader.close().await;
    Ok(Lived {
        latency: Spread::of(&latencies),
        call: Spread::of(&calls),
        peak,
    })
}
