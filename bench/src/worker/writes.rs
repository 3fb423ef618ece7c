//! W7's load: raw clients, each with one mutation on its way, all of them creating notes until the count is reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::{Link, Place, Written, peak};
use crate::child::http_client;
use crate::data;
use crate::error::{Error, failed};
use crate::load::{has_errors, post};
use crate::stats::Spread;

/// What each client sends.
const CREATE: &str = "mutation Create($input: CreateNoteInput!) { createNote(input: $input) { id _version } }";

/// The load, shared by its clients.
struct Load {
    place: Place,
    writes: usize,
    author: String,
    next: AtomicUsize,
    /// All are connected before the first writes.
    ready: Barrier,
}

/// Runs `clients` until `writes` are done.
pub(super) async fn run(
    place: &Place,
    link: Link,
    clients: usize,
    writes: usize,
    author: &str,
) -> Result<Written, Error> {
    let load = Arc::new(Load {
        place: place.clone(),
        writes,
        author: author.to_owned(),
        next: AtomicUsize::new(0),
        ready: Barrier::new(clients + 1),
    });
    let http = http_client()?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (load, http) = (Arc::clone(&load), http.clone());
        tasks.spawn(async move {
            match link {
                Link::WebSocket => by_socket(&load).await,
                Link::Http => by_http(&load, &http).await,
            }
        });
    }
    tokio::select! {
        _ = load.ready.wait() => {}
        // A client that ends before all are ready has failed to connect.
        Some(ended) = tasks.join_next() => { ended.map_err(|e| failed(e.to_string()))??; }
    }
    let start = Instant::now();
    let mut times = Vec::with_capacity(writes);
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended.map_err(|e| failed(e.to_string()))??);
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Written {
        seconds,
        latency: Spread::of(&times),
        peak: peak(),
    })
}

impl Load {
    /// The next request, until all are given out.
    fn next(&self) -> Option<serde_json::Value> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.writes)
            .then(|| json!({ "query": CREATE, "variables": { "input": data::note(&self.author, number) } }))
    }
}

async fn by_http(load: &Load, http: &reqwest::Client) -> Result<Vec<Duration>, Error> {
    // Connects.
    post(
        http,
        &load.place.url,
        &load.place.api_key,
        &json!({ "query": "{ __typename }" }),
    )
    .await?;
    load.ready.wait().await;
    let mut times = Vec::new();
    while let Some(request) = load.next() {
        let start = Instant::now();
        post(http, &load.place.url, &load.place.api_key, &request).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

async fn by_socket(load: &Load) -> Result<Vec<Duration>, Error> {
    let mut socket = open(&load.place.url, &load.place.api_key, WebSocketConfig::default()).await?;
    load.ready.wait().await;
    let mut times = Vec::new();
    while let Some(request) = load.next() {
        let id = times.len().to_string();
        let frame = json!({ "id": id, "type": "subscribe", "payload": request }).to_string();
        let start = Instant::now();
        socket.send(Message::text(frame)).await?;
        loop {
            let text = receive(&mut socket).await?;
            if text.contains(r#""type":"complete""#) {
                break;
            }
            if text.contains(r#""type":"error""#) || (text.contains(r#""type":"next""#) && payload_has_errors(&text)) {
                return Err(failed(format!(
                    "the server answered {}",
                    text.chars().take(500).collect::<String>()
                )));
            }
        }
        times.push(start.elapsed());
    }
    Ok(times)
}

fn payload_has_errors(frame: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        payload: &'a serde_json::value::RawValue,
    }
    serde_json::from_str::<Frame<'_>>(frame).map_or(true, |f| has_errors(f.payload.get().as_bytes()))
}

/// Opens a socket and says who one is.
pub(super) async fn open(url: &str, api_key: &str, config: WebSocketConfig) -> Result<Socket, Error> {
    let mut request = url.replacen("http", "ws", 1).into_client_request()?;
    request.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_static("graphql-transport-ws"),
    );
    let (mut socket, _) = connect_async_with_config(request, Some(config), true).await?;
    let init = json!({ "type": "connection_init", "payload": { "x-api-key": api_key } });
    socket.send(Message::text(init.to_string())).await?;
    let first = receive(&mut socket).await?;
    if !first.contains("connection_ack") {
        return Err(failed(format!("the server answered connection_init with {first}")));
    }
    Ok(socket)
}

/// A socket of `graphql-transport-ws`.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The next text frame; pings are answered by the library when it writes next.
pub(super) async fn receive(socket: &mut Socket) -> Result<String, Error> {
    loop {
        match socket
            .next()
            .await
            .ok_or_else(|| failed("the server has closed the socket"))??
        {
            Message::Text(text) => return Ok(text.as_str().to_owned()),
            Message::Close(frame) => return Err(failed(format!("the server has closed the socket: {frame:?}"))),
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
        }
    }
}
