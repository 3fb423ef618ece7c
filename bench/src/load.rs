//! Fills a server before a workload begins: many creations in one request, some requests at once. Not measured.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value as Json, json};

use crate::child::{Server, http_client};
use crate::error::{Error, failed};

/// Creations in one request, each under an alias.
const BATCH: usize = 100;

/// Requests at once.
const AT_ONCE: usize = 8;

/// Creates `inputs` as records of `model`.
pub(crate) async fn create(server: &Server, model: &str, inputs: &[Json]) -> Result<(), Error> {
    let client = http_client()?;
    let next = Arc::new(AtomicUsize::new(0));
    let batches: Arc<Vec<Vec<Json>>> = Arc::new(inputs.chunks(BATCH).map(<[Json]>::to_vec).collect());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, next, batches) = (client.clone(), Arc::clone(&next), Arc::clone(&batches));
        let (url, key, model) = (server.url(), server.api_key(), model.to_owned());
        tasks.spawn(async move {
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                post(&client, &url, key, &creations(&model, batch)).await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| failed(e.to_string()))??;
    }
    Ok(())
}

/// A request that creates all of `batch`.
fn creations(model: &str, batch: &[Json]) -> Json {
    let (mut head, mut body) = (String::new(), String::new());
    let mut variables = Map::new();
    for (place, input) in batch.iter().enumerate() {
        let _ = write!(
            head,
            "{}$i{place}: Create{model}Input!",
            if place == 0 { "" } else { ", " }
        );
        let _ = write!(body, " m{place}: create{model}(input: $i{place}) {{ _version }}");
        variables.insert(format!("i{place}"), input.clone());
    }
    json!({ "query": format!("mutation({head}) {{{body} }}"), "variables": variables })
}

/// Sends one request and gives the answer's text; an answer with errors is an error.
pub(crate) async fn post(client: &reqwest::Client, url: &str, key: &str, request: &Json) -> Result<Vec<u8>, Error> {
    let answer = client
        .post(url)
        .header("x-api-key", key)
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .body(serde_json::to_vec(request)?)
        .send()
        .await?;
    let status = answer.status();
    let bytes = answer.bytes().await?.to_vec();
    if !status.is_success() || has_errors(&bytes) {
        let text = String::from_utf8_lossy(&bytes);
        return Err(failed(format!(
            "the server answered {status}: {}",
            text.chars().take(500).collect::<String>()
        )));
    }
    Ok(bytes)
}

/// Whether an answer has `errors`. Told without reading all of it: pages are large.
pub(crate) fn has_errors(answer: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Answer {
        #[serde(default)]
        errors: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Answer>(answer).map_or(true, |a| a.errors.is_some())
}
