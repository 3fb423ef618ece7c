//! A subscriber that is never killed: it follows the change feed past the proxy, from its cursor again whenever the server
//! comes back, and holds each change against the one before.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::{KEY, MODELS};

/// Between two tries to reach a server that is dead.
const AGAIN: Duration = Duration::from_millis(10);

/// What has been seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// The newest version of each record, by model and id, and the number it carried if it is a cell.
    pub versions: BTreeMap<(String, String), (i64, i64)>,
    /// By model.
    cursors: BTreeMap<String, String>,
    /// Changes.
    pub changes: u64,
    /// Links.
    pub links: u64,
    /// What cannot be.
    pub findings: Vec<String>,
}

/// Follows the server at `address` until its runtime ends.
#[must_use]
pub fn start(address: SocketAddr) -> Arc<Mutex<Seen>> {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let own = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            // Whatever ends the link: the server was killed, and comes back.
            let _ended = follow(address, &own).await;
            tokio::time::sleep(AGAIN).await;
        }
    });
    seen
}

async fn follow(address: SocketAddr, seen: &Mutex<Seen>) -> Option<()> {
    let mut request = format!("ws://{address}/graphql").into_client_request().ok()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", "graphql-transport-ws".parse().ok()?);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.ok()?;
    let init = json!({ "type": "connection_init", "payload": { "x-api-key": KEY } });
    socket.send(Message::text(init.to_string())).await.ok()?;
    let scopes: Vec<Json> = {
        let seen = seen.lock().unwrap();
        MODELS
            .iter()
            .map(|model| json!({ "model": model, "cursor": seen.cursors.get(*model) }))
            .collect()
    };
    let query =
        "subscription($s: [TomboloScopeInput!]!) { tomboloChanges(scopes: $s) { model cursor reset fields rows } }";
    let subscribe = json!({
        "type": "subscribe", "id": "1", "payload": { "query": query, "variables": { "s": scopes } },
    });
    socket.send(Message::text(subscribe.to_string())).await.ok()?;
    seen.lock().unwrap().links += 1;
    loop {
        let Message::Text(text) = socket.next().await?.ok()? else {
            continue;
        };
        let frame: Json = serde_json::from_str(&text).ok()?;
        match frame["type"].as_str()? {
            "next" => seen.lock().unwrap().take(&frame["payload"]["data"]["tomboloChanges"]),
            "error" => {
                seen.lock()
                    .unwrap()
                    .findings
                    .push(format!("the feed is refused: {frame}"));
                return None;
            }
            _ => {}
        }
    }
}

impl Seen {
    fn take(&mut self, batch: &Json) {
        let (Some(model), Some(cursor)) = (batch["model"].as_str(), batch["cursor"].as_str()) else {
            return self.findings.push(format!("a batch without model or cursor: {batch}"));
        };
        if batch["reset"] == true {
            self.findings.push(format!(
                "the feed of {model} was reset: {:?} to {cursor}",
                self.cursors.get(model)
            ));
        }
        let before = self.cursors.insert(model.to_owned(), cursor.to_owned());
        let position = |cursor: &str| cursor.rsplit('.').next().and_then(|p| p.parse::<u64>().ok());
        if before.as_deref().map(position) > Some(position(cursor)) {
            self.findings
                .push(format!("the cursor of {model} went back from {before:?} to {cursor}"));
        }
        let fields: Vec<&str> = batch["fields"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let place = |name: &str| fields.iter().position(|field| *field == name);
        for row in batch["rows"].as_array().into_iter().flatten() {
            self.changes += 1;
            let int = |name: &str| place(name).and_then(|place| row[place].as_i64());
            let (Some(id), Some(version)) = (place("id").and_then(|place| row[place].as_str()), int("_version")) else {
                self.findings
                    .push(format!("a row of {model} without id or version: {row}"));
                continue;
            };
            self.row(model, id, version, int("seq").unwrap_or(0));
        }
    }

    fn row(&mut self, model: &str, id: &str, version: i64, seq: i64) {
        let record = (model.to_owned(), id.to_owned());
        if let Some((before, seq_before)) = self.versions.insert(record, (version, seq)) {
            if version <= before {
                self.findings
                    .push(format!("{model} {id} came as version {version} after version {before}"));
            }
            if model == "Cell" && seq <= seq_before {
                self.findings.push(format!(
                    "reordered: {id} held {seq} in version {version} after {seq_before} in version {before}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(cursor: &str, rows: Json) -> Json {
        json!({ "model": "Cell", "cursor": cursor, "reset": false, "fields": ["id", "seq", "_version"], "rows": rows })
    }

    #[test]
    fn what_goes_forward_is_right_and_what_goes_back_is_found() {
        let mut seen = Seen::default();
        seen.take(&batch("e.9", json!([["a", 1, 1], ["b", 2, 1]])));
        seen.take(&batch("e.10", json!([["a", 5, 3]])));
        assert!(seen.findings.is_empty(), "{:?}", seen.findings);
        for wrong in [
            batch("e.9", json!([])),
            batch("e.11", json!([["a", 6, 3]])),
            batch("e.12", json!([["b", 1, 2]])),
        ] {
            let before = seen.findings.len();
            seen.take(&wrong);
            assert_eq!(seen.findings.len(), before + 1, "{wrong}: {:?}", seen.findings);
        }
    }
}
