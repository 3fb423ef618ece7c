//! W6: the large replica, offline: writes, the list query, the list query live.

use std::time::{Duration, Instant};

use serde_json::json;

use super::first_sync::REPLICA;
use super::replica::{mutate, open, words};
use super::{Local, Place, peak};
use crate::error::{Error, expect_count, failed};
use crate::limit::list;
use crate::stats::Spread;

const UPDATE: &str = "mutation Update($input: UpdateFlightInput!) { updateFlight(input: $input) { id } }";

/// Longest wait for a live answer.
const CHANGE_MAX: Duration = Duration::from_secs(30);

/// What a write sets; no flight of the data set has it.
const DELAY: i64 = 9_000;

/// In this order: the list query, plain writes, writes under a live list query.
pub(super) async fn run(place: &Place, plain: &[String], watched: &[String], queries: usize) -> Result<Local, Error> {
    let client = open(place, REPLICA, &["Flight"], true).await?;
    let document = list::document();

    let mut lists = Vec::with_capacity(queries);
    let mut list_answer = serde_json::Value::Null;
    for round in 0..=queries {
        let start = Instant::now();
        let answer = client.query(&document, serde_json::Value::Null).await.map_err(words)?;
        if round > 0 {
            lists.push(start.elapsed());
        } else {
            list_answer = serde_json::from_str(answer.data())?;
        }
    }

    let mut writes = Vec::with_capacity(plain.len());
    for (place, id) in plain.iter().enumerate() {
        let variables = json!({ "input": { "id": id, "depDelay": DELAY + place as i64 } });
        let start = Instant::now();
        mutate(&client, UPDATE, variables).await?;
        writes.push(start.elapsed());
    }

    let mut lives = Vec::with_capacity(watched.len());
    let mut watch = client.watch(&document, serde_json::Value::Null).map_err(words)?;
    watch
        .next()
        .await
        .ok_or_else(|| failed("the live query has ended"))?
        .map_err(words)?;
    for (place, id) in watched.iter().enumerate() {
        let delay = DELAY + place as i64;
        let variables = json!({ "input": { "id": id, "depDelay": delay } });
        let start = Instant::now();
        mutate(&client, UPDATE, variables).await?;
        let answer = tokio::time::timeout(CHANGE_MAX, watch.next())
            .await
            .map_err(|_| failed("a local write did not reach a live query"))?
            .ok_or_else(|| failed("the live query has ended"))?
            .map_err(words)?;
        lives.push(start.elapsed());
        let data: serde_json::Value = serde_json::from_str(answer.data())?;
        let items = data["listFlights"]["items"].as_array();
        let seen = items.is_some_and(|items| items.iter().any(|item| item["id"] == **id && item["depDelay"] == delay));
        expect_count("live answers with the write", 1, u64::from(seen))?;
    }
    let pending = client.status().borrow().pending;
    expect_count("pending mutations", (plain.len() + watched.len()) as u64, pending)?;
    let peak = peak();
    client.close().await;
    Ok(Local {
        write: Spread::of(&writes),
        list: Spread::of(&lists),
        list_answer,
        live: Spread::of(&lives),
        peak,
    })
}
