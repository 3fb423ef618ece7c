//! AppSync's older hand-shake: a subscription over HTTP, and its events over MQTT.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tombolo_server::guards::Guards;
use tombolo_server::mqtt::handshake::TICKETS_PER_IDENTITY_MAX;
use tombolo_server::{Config, Running, Server};

use crate::harness::{KEY, Reply, SCHEMA, ask, create, exchange, patiently, request, start, start_with};

const QUERY: &str = "subscription { onCreateTodo { title } }";
const SDK: (&str, &str) = ("x-amz-user-agent", "aws-amplify/2.0.1");

async fn shake(server: &Running, query: &str, more: &[(&str, &str)]) -> Reply {
    let body = json!({ "query": query }).to_string();
    let mut headers = vec![("x-api-key", KEY), ("content-type", "application/json"), SDK];
    headers.extend_from_slice(more);
    exchange(server.addr, &request("POST", "/graphql", &headers, &body)).await
}

/// What an answer promises.
#[derive(Debug)]
struct Ticket {
    url: String,
    client: String,
    topic: String,
}

impl Ticket {
    fn of(answer: &Json) -> Self {
        let subscription = &answer["extensions"]["subscription"];
        let connection = &subscription["mqttConnections"][0];
        let text = |value: &Json| value.as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        assert_eq!(subscription["mqttConnections"].as_array().map(Vec::len), Some(1));
        assert_eq!(connection["topics"], json!([connection["topics"][0]]));
        Self {
            url: text(&connection["url"]),
            client: text(&connection["client"]),
            topic: text(&connection["topics"][0]),
        }
    }
}

/// One connection of MQTT 3.1 in bare bytes.
struct Line(WebSocketStream<TcpStream>);

impl Line {
    /// Connects; the last byte of CONNACK.
    async fn connect(server: &Running, ticket: &Ticket) -> (Self, u8) {
        let (_, query) = ticket.url.split_once('?').unwrap();
        let mut upgrade = format!("ws://{}/mqtt?{query}", server.addr)
            .into_client_request()
            .unwrap();
        let headers = upgrade.headers_mut();
        headers.insert("sec-websocket-protocol", "mqttv3.1".parse().unwrap());
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let (socket, _) = patiently(tokio_tungstenite::client_async(upgrade, stream))
            .await
            .unwrap();
        let mut line = Self(socket);
        let mut body = b"\x00\x06MQIsdp\x03\x02\x00\x3c".to_vec();
        body.extend(text(&ticket.client));
        line.say(0x10, body).await;
        let connack = line.hear().await.unwrap();
        assert_eq!(connack.get(..3), Some(&b"\x20\x02\x00"[..]));
        (line, connack[3])
    }

    async fn say(&mut self, kind: u8, body: Vec<u8>) {
        let mut packet = vec![kind, u8::try_from(body.len()).unwrap()];
        assert!(packet[1] < 0x80);
        packet.extend(body);
        self.0.send(Message::binary(packet)).await.unwrap();
    }

    async fn subscribe(&mut self, topic: &str) {
        let mut body = vec![0, 1];
        body.extend(text(topic));
        body.push(0);
        self.say(0x82, body).await;
    }

    /// The next message; `None` at the end.
    async fn hear(&mut self) -> Option<Vec<u8>> {
        patiently(async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Some(bytes.to_vec()),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        })
        .await
    }

    /// The payload of the next message, which must be a short PUBLISH with QoS 0 on `topic`.
    async fn event(&mut self, topic: &str) -> Json {
        let bytes = self.hear().await.unwrap();
        let mut head = vec![0x30, u8::try_from(bytes.len() - 2).unwrap()];
        head.extend(text(topic));
        let payload = bytes
            .strip_prefix(head.as_slice())
            .unwrap_or_else(|| panic!("{bytes:?}"));
        serde_json::from_slice(payload).unwrap()
    }
}

/// A text as MQTT writes it.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

#[tokio::test]
async fn the_connection_is_told_from_the_hand_shake_on() {
    let server = start().await;
    let reply = shake(&server, QUERY, &[]).await;
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!(answer["data"], json!({"onCreateTodo": null}));
    let ticket = Ticket::of(&answer);
    let (url, token) = ticket.url.split_once("?token=").unwrap();
    assert_eq!((url, token.len()), ("ws://test/mqtt", 43));
    let told = &answer["extensions"]["subscription"]["newSubscriptions"]["onCreateTodo"];
    assert_eq!(told["topic"], ticket.topic);
    assert!(told["expireTime"].is_i64());

    ask(server.addr, &create("before"), Json::Null).await;
    let (mut line, code) = Line::connect(&server, &ticket).await;
    assert_eq!(code, 0);
    ask(server.addr, &create("connected"), Json::Null).await;
    line.subscribe(&ticket.topic).await;
    assert_eq!(
        line.hear().await.unwrap(),
        b"\x90\x03\x00\x01\x00",
        "SUBACK comes first"
    );
    ask(server.addr, &create("after"), Json::Null).await;
    for title in ["before", "connected", "after"] {
        let expected = json!({"data": {"onCreateTodo": {"title": title}}});
        assert_eq!(line.event(&ticket.topic).await, expected);
    }
    // Once is once, and its owner goes on.
    let (_, code) = Line::connect(&server, &ticket).await;
    assert_eq!(code, 5);
    server.shutdown().await;
    assert_eq!(line.hear().await, None, "the end of the server is the connection's");
}

#[tokio::test]
async fn another_topic_is_the_end() {
    let server = start().await;
    let [ann, bob] = [
        Ticket::of(&shake(&server, QUERY, &[]).await.json()),
        Ticket::of(&shake(&server, QUERY, &[]).await.json()),
    ];
    let (mut line, _) = Line::connect(&server, &ann).await;
    line.subscribe(&bob.topic).await;
    assert_eq!(line.hear().await, None);
    let stolen = Ticket {
        url: bob.url.clone(),
        client: ann.client,
        topic: bob.topic.clone(),
    };
    assert_eq!(Line::connect(&server, &stolen).await.1, 5, "another's token");
    let (mut line, code) = Line::connect(&server, &bob).await;
    assert_eq!(code, 0);
    line.subscribe(&bob.topic).await;
    assert_eq!(line.hear().await.unwrap(), b"\x90\x03\x00\x01\x00");
    ask(server.addr, &create("a"), Json::Null).await;
    assert_eq!(line.event(&bob.topic).await["data"]["onCreateTodo"]["title"], "a");
}

#[tokio::test]
async fn what_is_refused_has_errors_and_no_topic() {
    let server = start().await;
    for (query, kind) in [
        ("subscription { onNothing { id } }", "none"),
        // API keys are no owners.
        ("subscription { onCreateDiary { id } }", "Unauthorized"),
        (
            "subscription { tomboloChanges(scopes: [{model: \"Todo\"}]) { rows } }",
            "UnsupportedOperation",
        ),
    ] {
        let reply = shake(&server, query, &[]).await;
        let answer = reply.json();
        assert_eq!((reply.status, reply.error_type().as_str()), (200, kind), "{answer}");
        assert_eq!(answer["extensions"], Json::Null);
    }
}

#[tokio::test]
async fn only_who_calls_itself_an_sdk_of_appsyncs_is_meant() {
    let server = start().await;
    let body = json!({ "query": QUERY }).to_string();
    let plain = [("x-api-key", KEY), ("content-type", "application/json")];
    let reply = exchange(server.addr, &request("POST", "/graphql", &plain, &body)).await;
    assert_eq!(
        (reply.status, reply.error_type().as_str()),
        (400, "UnsupportedOperation")
    );
    let accept = ("accept", "application/graphql-response+json");
    let reply = shake(&server, QUERY, &[accept]).await;
    assert_eq!(
        (reply.status, reply.error_type().as_str()),
        (400, "UnsupportedOperation")
    );
    let reply = shake(&server, QUERY, &[("accept", "text/event-stream")]).await;
    assert_eq!(reply.status, 406);
}

#[tokio::test]
async fn the_url_is_as_the_proxy_in_front_says() {
    let server = start().await;
    let forwarded = [("x-forwarded-host", "api.example"), ("x-forwarded-proto", "https")];
    let ticket = Ticket::of(&shake(&server, QUERY, &forwarded).await.json());
    assert!(
        ticket.url.starts_with("wss://api.example/mqtt?token="),
        "{}",
        ticket.url
    );
    let reply = shake(&server, QUERY, &[("x-forwarded-host", "a/b?c")]).await;
    assert_eq!(
        (reply.status, reply.error_type().as_str()),
        (400, "MalformedHttpRequestException")
    );
}

#[tokio::test]
async fn one_identity_leaves_room_for_others() {
    let mut config = Config::in_memory(SCHEMA, KEY);
    let other = "another key for tests";
    config
        .api_keys
        .push(tombolo_server::auth::ApiKey::from_clear("other", other));
    let server = Arc::new(Server::start(config).await.unwrap());
    let mut last = None;
    for _ in 0..TICKETS_PER_IDENTITY_MAX {
        let reply = shake(&server, QUERY, &[]).await;
        last = Some(Ticket::of(&reply.json()));
    }
    let reply = shake(&server, QUERY, &[]).await;
    assert_eq!((reply.status, reply.error_type().as_str()), (200, "LimitExceeded"));
    let body = json!({ "query": QUERY }).to_string();
    let headers = [("x-api-key", other), ("content-type", "application/json"), SDK];
    let reply = exchange(server.addr, &request("POST", "/graphql", &headers, &body)).await;
    Ticket::of(&reply.json());
    let (_line, code) = Line::connect(&server, &last.unwrap()).await;
    assert_eq!(code, 0);
    Ticket::of(&shake(&server, QUERY, &[]).await.json());
}

#[tokio::test]
async fn hand_shakes_count_as_connections() {
    let guards = Guards {
        connections_per_minute: 1,
        connections_burst: 2,
        ..Guards::default()
    };
    let config = Config {
        guards,
        ..Config::in_memory(SCHEMA, KEY)
    };
    let server = Server::start(config).await.unwrap();
    for _ in 0..2 {
        Ticket::of(&shake(&server, QUERY, &[]).await.json());
    }
    let reply = shake(&server, QUERY, &[]).await;
    assert_eq!(
        (reply.status, reply.error_type().as_str()),
        (429, "ThrottlingException")
    );
}

#[tokio::test]
async fn who_comes_late_is_refused() {
    let server = start_with(|limits| limits.ticket_hold_ms = 1).await;
    let ticket = Ticket::of(&shake(&server, QUERY, &[]).await.json());
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    assert_eq!(Line::connect(&server, &ticket).await.1, 5);
}
