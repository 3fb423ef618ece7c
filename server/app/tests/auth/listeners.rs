//! What callers hear over HTTP and on sockets, from a whole server.

use axum::http::{HeaderName, StatusCode};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tombolo_core::access::AuthMode;
use tombolo_server::auth::AuthConfig;
use tombolo_server::limits::Limits;
use tombolo_server::{Config, Running, Server};

use crate::harness::{Heard, Reply, SCHEMA, Socket, exchange, patiently, request};
use crate::issuer::Fake;
use crate::signer::{Sent, user};
use crate::tokens::{Pair, claims};

struct World {
    pair: Pair,
    issuer: Fake,
    running: Running,
}

async fn world() -> World {
    let pair = Pair::rsa("k1");
    let issuer = Fake::start(&[&pair]).await;
    let limits = Limits {
        mutation_hold_ms: 200,
        ..Limits::default()
    };
    let config = Config {
        limits,
        api_keys: Vec::new(),
        default_auth: AuthMode::Oidc,
        auth: AuthConfig {
            issuers: vec![issuer.config()],
            iam: vec![user()],
            ..AuthConfig::default()
        },
        ..Config::in_memory(SCHEMA, "not used")
    };
    let running = Server::start(config).await.unwrap();
    World { pair, issuer, running }
}

impl World {
    fn token(&self, ends: i64) -> String {
        let now = Timestamp::now().as_second();
        let change = json!({ "iat": now, "exp": now + ends });
        self.pair.sign(&claims(&self.issuer.url, &change))
    }

    async fn post(&self, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = json!({ "query": "{ __typename }" }).to_string();
        exchange(self.running.addr, &request("POST", "/graphql", &all, &body)).await
    }
}

#[tokio::test]
async fn over_http_each_refusal_has_appsyncs_words() {
    let world = world().await;
    let good = world.token(600);
    let reply = world.post(&[("authorization", &good)]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["data"]["__typename"], "Query");
    let (ended, forged) = (world.token(-5), Pair::other_rsa("k1"));
    let forged = forged.sign(&claims(&world.issuer.url, &json!({})));
    let table: [(&[(&str, &str)], &str); 6] = [
        (&[], "Missing authorization header"),
        (&[("authorization", "letmein")], "Unable to parse JWT token."),
        (&[("authorization", &ended)], "Token has expired."),
        (
            &[("authorization", &forged)],
            "You are not authorized to make this call.",
        ),
        (&[("x-api-key", "guessed")], "You are not authorized to make this call."),
        (
            &[("authorization", "AWS4-HMAC-SHA256 x")],
            "Valid authorization header not provided.",
        ),
    ];
    for (headers, message) in table {
        let reply = world.post(headers).await;
        assert_eq!(reply.status, 401, "{headers:?}");
        assert_eq!(reply.json()["errors"][0]["message"], message, "{headers:?}");
        assert_eq!(
            reply.header("x-amzn-errortype"),
            Some("UnauthorizedException"),
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_is_not_the_callers_fault() {
    let world = world().await;
    world.issuer.moods().failing = Some(StatusCode::BAD_GATEWAY);
    let token = world.token(600);
    let reply = world.post(&[("authorization", &token)]).await;
    assert_eq!(
        (reply.status, reply.header("retry-after")),
        (503, Some("1")),
        "{reply:?}"
    );
    assert_eq!(reply.error_type(), "InternalFailure");
    let mut socket = Socket::connect(world.running.addr, Some("graphql-transport-ws"), None).await;
    socket.send(&init(&token)).await;
    assert_eq!(
        socket.hear().await,
        Heard::Closed(1013),
        "it comes again with the same token"
    );
    // AppSync's clients do not come again after an UnauthorizedException.
    let headers = [
        ("authorization", token.as_str()),
        ("sec-websocket-protocol", "graphql-ws"),
    ];
    let (mut socket, _) = Socket::dial(world.running.addr, "/graphql/realtime", &headers).await;
    socket.send(&json!({"type": "connection_init"})).await;
    assert_eq!(socket.hear().await, Heard::Closed(1011));
}

#[tokio::test]
async fn a_start_that_cannot_be_checked_at_the_moment_ends_the_socket_and_not_the_subscription() {
    let world = world().await;
    let (good, other) = (world.token(600), Pair::other_rsa("k2"));
    let headers = [
        ("authorization", good.as_str()),
        ("sec-websocket-protocol", "graphql-ws"),
    ];
    let (mut socket, _) = Socket::dial(world.running.addr, "/graphql/realtime", &headers).await;
    socket.send(&json!({"type": "connection_init"})).await;
    assert!(matches!(socket.hear().await, Heard::Frame(frame) if frame["type"] == "connection_ack"));
    assert_eq!(socket.hear().await, Heard::Frame(json!({"type": "ka"})));
    // A key that the issuer may have made just now.
    world.issuer.moods().failing = Some(StatusCode::BAD_GATEWAY);
    let token = other.sign(&claims(&world.issuer.url, &json!({})));
    let data = json!({"query": "subscription { onCreateTodo { id } }"}).to_string();
    let extensions = json!({"authorization": {"Authorization": token}});
    let start = json!({"id": "1", "type": "start", "payload": {"data": data, "extensions": extensions}});
    socket.send(&start).await;
    assert_eq!(socket.hear().await, Heard::Closed(1011));
}

#[tokio::test]
async fn a_socket_is_for_one_token_and_ends_with_it() {
    let world = world().await;
    let mut socket = Socket::connect(world.running.addr, Some("graphql-transport-ws"), None).await;
    socket.send(&init(&world.token(2))).await;
    assert_eq!(socket.hear().await, Heard::Frame(json!({"type": "connection_ack"})));
    assert_eq!(socket.hear().await, Heard::Closed(4403));
    let mut socket = Socket::connect(world.running.addr, Some("graphql-transport-ws"), None).await;
    socket.send(&init(&world.token(-1))).await;
    assert_eq!(socket.hear().await, Heard::Closed(4403));
}

#[tokio::test]
async fn a_socket_may_be_opened_by_a_signed_upgrade() {
    let world = world().await;
    let addr = world.running.addr;
    let sent = Sent {
        method: "GET",
        url: format!("http://{addr}/graphql"),
        time: Timestamp::now(),
        headers: Vec::new(),
        body: String::new(),
        ..Sent::default()
    };
    let connect = async |path: &str| {
        let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
        let mut headers = sent.sign().headers;
        headers.push(("sec-websocket-protocol".to_owned(), "graphql-transport-ws".to_owned()));
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = TcpStream::connect(addr).await.unwrap();
        let (socket, _) = patiently(tokio_tungstenite::client_async(request, stream))
            .await
            .unwrap();
        let mut socket = Socket(socket);
        socket.send(&json!({ "type": "connection_init" })).await;
        socket.hear().await
    };
    assert_eq!(
        connect("/graphql").await,
        Heard::Frame(json!({"type": "connection_ack"}))
    );
    assert_eq!(connect("/graphql?x=1").await, Heard::Closed(4403));
}

fn init(token: &str) -> Json {
    json!({ "type": "connection_init", "payload": { "Authorization": token } })
}

#[tokio::test]
async fn a_signed_request_is_read_and_one_signed_late_is_told_so() {
    let world = world().await;
    let sent = Sent {
        url: format!("http://{}/graphql", world.running.addr),
        time: Timestamp::now(),
        body: json!({ "query": "{ __typename }" }).to_string(),
        ..Sent::default()
    };
    let send = async |sent: &Sent, body: &str| {
        let arrived = sent.sign();
        let mut text = format!(
            "POST /graphql HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in &arrived.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        exchange(world.running.addr, format!("{text}\r\n{body}").as_bytes()).await
    };
    let reply = send(&sent, &sent.body).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = send(&sent, &sent.body.replace("__typename", "x")).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    let late = Sent {
        time: "2020-01-01T00:00:00Z".parse().unwrap(),
        ..sent.clone()
    };
    let reply = send(&late, &late.body).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    assert_eq!(
        reply.header("x-amzn-errortype"),
        Some("BadRequestException"),
        "clients set their clocks by it"
    );
    assert!(reply.header("date").is_some(), "and by this");
}
