//! A server in this process, an HTTP client of bare bytes (so that wrong bytes can be sent too) and a WebSocket client.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tombolo_server::limits::Limits;
use tombolo_server::{Config, Running, Server};

pub(crate) const KEY: &str = "a key for tests";

pub(crate) const SCHEMA: &str = "
type Todo @model {
  id: ID!
  title: String!
  done: Boolean
}
type Diary @model @auth(rules: [{ allow: owner }]) {
  id: ID!
  text: String
}
";

/// A test that waits for longer than this waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn start() -> Running {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut Limits)) -> Running {
    let mut config = Config::in_memory(SCHEMA, KEY);
    change(&mut config.limits);
    Server::start(config).await.unwrap()
}

pub(crate) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|l| l.split_once(':'))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn error_type(&self) -> String {
        self.json()["errors"][0]["errorType"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    }
}

/// Sends bytes and reads until the server closes.
pub(crate) async fn exchange(addr: SocketAddr, bytes: &[u8]) -> Reply {
    patiently(async {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        // A server that refuses early may close before it has read everything.
        let _refused = socket.write_all(bytes).await;
        let mut reply = Vec::new();
        let _reset = socket.read_to_end(&mut reply).await;
        let end = reply
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {reply:?}"));
        let head = String::from_utf8(reply[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply {
            status,
            head,
            body: reply[end + 4..].to_vec(),
        }
    })
    .await
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" || !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}

/// A request as a well-behaved client sends it.
pub(crate) async fn ask(addr: SocketAddr, query: &str, variables: Json) -> Json {
    let body = json!({"query": query, "variables": variables}).to_string();
    let headers = [("x-api-key", KEY), ("content-type", "application/json")];
    let reply = exchange(addr, &request("POST", "/graphql", &headers, &body)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

pub(crate) async fn titles(addr: SocketAddr) -> Vec<String> {
    let answer = ask(addr, "{ listTodos(limit: 1000) { items { title } } }", Json::Null).await;
    let items = answer["data"]["listTodos"]["items"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .clone();
    items.iter().map(|i| i["title"].as_str().unwrap().to_owned()).collect()
}

/// What a socket hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Frame(Json),
    Closed(u16),
}

pub(crate) struct Socket(pub(crate) WebSocketStream<TcpStream>);

impl Socket {
    pub(crate) async fn connect(addr: SocketAddr, protocol: Option<&str>, key: Option<&str>) -> Self {
        let mut headers = Vec::new();
        headers.extend(protocol.map(|protocol| ("sec-websocket-protocol", protocol)));
        headers.extend(key.map(|key| ("x-api-key", key)));
        Self::dial(addr, "/graphql", &headers).await.0
    }

    /// Connects to `path` with `headers`; gives the subprotocol of the answer too.
    pub(crate) async fn dial(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (Self, Option<String>) {
        let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(addr).await.unwrap();
        match patiently(tokio_tungstenite::client_async(request, stream)).await {
            Ok((socket, answer)) => {
                let protocol = answer.headers().get("sec-websocket-protocol");
                (Self(socket), protocol.map(|p| p.to_str().unwrap().to_owned()))
            }
            Err(error) => panic!("no WebSocket: {error}"),
        }
    }

    /// A session past `connection_ack`.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let mut socket = Self::connect(addr, Some("graphql-transport-ws"), None).await;
        socket
            .send(&json!({"type": "connection_init", "payload": {"x-api-key": KEY}}))
            .await;
        assert_eq!(socket.hear().await, Heard::Frame(json!({"type": "connection_ack"})));
        socket
    }

    pub(crate) async fn send(&mut self, frame: &Json) {
        self.say(&frame.to_string()).await;
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(&json!({"type": "subscribe", "id": id, "payload": {"query": query}}))
            .await;
    }

    pub(crate) async fn hear(&mut self) -> Heard {
        patiently(async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Heard::Frame(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(Some(frame)))) => return Heard::Closed(frame.code.into()),
                    Some(Ok(Message::Close(None))) => return Heard::Closed(CloseCode::Status.into()),
                    Some(Ok(_)) => {}
                    None => return Heard::Closed(0),
                    Some(Err(error)) => panic!("the socket broke: {error}"),
                }
            }
        })
        .await
    }

    /// The next frame, which must be one.
    pub(crate) async fn frame(&mut self) -> Json {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            Heard::Closed(code) => panic!("closed with {code}"),
        }
    }

    /// The result of an operation that gives one.
    pub(crate) async fn result(&mut self, id: &str) -> Json {
        let next = self.frame().await;
        assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!(id)), "{next}");
        assert_eq!(self.frame().await, json!({"type": "complete", "id": id}));
        next["payload"].clone()
    }
}

pub(crate) fn create(title: &str) -> String {
    format!("mutation {{ createTodo(input: {{title: \"{title}\"}}) {{ id title _version }} }}")
}
