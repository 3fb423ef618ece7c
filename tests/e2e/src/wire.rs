//! HTTP of bare bytes and a WebSocket of bare frames: clients that may also speak wrongly.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::{KEY, patiently};

/// An HTTP answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The first error's stable name and words.
    #[must_use]
    pub fn error(&self) -> (String, String) {
        first_error(&self.json())
    }
}

/// The stable name and the words of an answer's first error.
#[must_use]
pub fn first_error(answer: &Json) -> (String, String) {
    let error = &answer["errors"][0];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (text("errorType"), text("message"))
}

/// Posts a JSON body to `/graphql`.
pub async fn post(address: &str, key: &str, body: &Json) -> Reply {
    post_text(address, key, &body.to_string()).await
}

/// Posts any text to `/graphql`, as JSON.
pub async fn post_text(address: &str, key: &str, body: &str) -> Reply {
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nx-api-key: {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    exchange(address, &[head.as_bytes(), body.as_bytes()].concat()).await
}

/// Gets a path without a credential.
pub async fn get(address: &str, path: &str) -> Reply {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

/// Sends bytes and reads until the server closes.
pub async fn exchange(address: &str, bytes: &[u8]) -> Reply {
    patiently(async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        // A server that refuses early may close before it has read everything.
        let _refused = socket.write_all(bytes).await;
        let mut reply = Vec::new();
        let _reset = socket.read_to_end(&mut reply).await;
        let end = reply.windows(4).position(|w| w == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&reply)));
        let head = String::from_utf8_lossy(&reply[..end]).into_owned();
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply {
            status,
            body: reply[end + 4..].to_vec(),
        }
    })
    .await
}

/// What a socket hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A text frame.
    Frame(Json),
    /// The other side closed, with this code.
    Closed(u16),
    /// The other side is gone without a word.
    Gone,
}

/// A WebSocket that has agreed on `graphql-transport-ws`.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// A socket on which nothing has been said.
    pub async fn connect(address: &str) -> Self {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        let protocol = "graphql-transport-ws".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let stream = patiently(TcpStream::connect(address)).await.unwrap();
        let (socket, _) = patiently(tokio_tungstenite::client_async(request, stream))
            .await
            .unwrap();
        Self(socket)
    }

    /// A session past `connection_ack`.
    pub async fn open(address: &str) -> Self {
        let mut socket = Self::connect(address).await;
        socket
            .send(&json!({ "type": "connection_init", "payload": { "x-api-key": KEY } }))
            .await;
        assert_eq!(socket.hear().await, Heard::Frame(json!({ "type": "connection_ack" })));
        socket
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &Json) {
        self.say(Message::text(frame.to_string())).await;
    }

    /// Sends anything.
    pub async fn say(&mut self, message: Message) {
        self.try_say(message).await.unwrap();
    }

    /// Sends anything, to a server that may be gone.
    ///
    /// # Errors
    /// It is gone.
    pub async fn try_say(&mut self, message: Message) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        patiently(self.0.send(message)).await
    }

    /// Starts an operation.
    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Json) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(&json!({ "type": "subscribe", "id": id, "payload": payload }))
            .await;
    }

    /// The next thing heard; pings and pongs of the WebSocket itself are not.
    pub async fn hear(&mut self) -> Heard {
        patiently(async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return Heard::Frame(serde_json::from_str(&text).unwrap()),
                    Some(Ok(Message::Close(frame))) => return Heard::Closed(frame.map_or(1005, |f| f.code.into())),
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return Heard::Gone,
                }
            }
        })
        .await
    }

    /// The next frame, which must be one.
    pub async fn frame(&mut self) -> Json {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            other => panic!("instead of a frame: {other:?}"),
        }
    }

    /// The payload of the next frame, which must be a result of operation `id`.
    pub async fn next(&mut self, id: &str) -> Json {
        let frame = self.frame().await;
        assert_eq!((&frame["type"], &frame["id"]), (&json!("next"), &json!(id)), "{frame}");
        frame["payload"].clone()
    }

    /// Runs an operation that gives one result.
    pub async fn run(&mut self, id: &str, query: &str, variables: Json) -> Json {
        self.subscribe(id, query, variables).await;
        let result = self.next(id).await;
        assert_eq!(self.frame().await, json!({ "type": "complete", "id": id }));
        result
    }
}
