//! `graphql-transport-ws`: the protocol kept, and its violations closed with its codes.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::SinkExt as _;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;
use tombolo_server::auth::ApiKey;
use tombolo_server::{Config, Server};

use crate::harness::{Heard, KEY, SCHEMA, Socket, ask, create, start, start_with, titles};

const PROTOCOL: Option<&str> = Some("graphql-transport-ws");

#[tokio::test]
async fn each_violation_is_closed_with_its_code() {
    let init = json!({"type": "connection_init", "payload": {"x-api-key": KEY}}).to_string();
    let watch = json!({"type": "subscribe", "id": "1", "payload": {"query": "subscription { onCreateTodo { id } }"}})
        .to_string();
    let long = json!({"type": "subscribe", "id": "x".repeat(257), "payload": {"query": "{ __typename }"}}).to_string();
    let table: &[(&str, &[&str], u16)] = &[
        ("no JSON", &["hello"], 4400),
        ("JSON of another kind", &["[]"], 4400),
        ("no type", &["{}"], 4400),
        ("a type that nobody knows", &[r#"{"type":"start"}"#], 4400),
        (
            "a type that only servers say",
            &[&init, r#"{"type":"connection_ack"}"#],
            4400,
        ),
        (
            "a subscribe without an id",
            &[&init, r#"{"type":"subscribe","payload":{"query":"{__typename}"}}"#],
            4400,
        ),
        (
            "a subscribe with an empty id",
            &[
                &init,
                r#"{"type":"subscribe","id":"","payload":{"query":"{__typename}"}}"#,
            ],
            4400,
        ),
        ("a subscribe with a long id", &[&init, &long], 4400),
        (
            "a subscribe without a query",
            &[&init, r#"{"type":"subscribe","id":"1","payload":{}}"#],
            4400,
        ),
        ("a complete without an id", &[&init, r#"{"type":"complete"}"#], 4400),
        ("an operation before the init", &[&watch], 4401),
        ("an init without a key", &[r#"{"type":"connection_init"}"#], 4403),
        (
            "an init with a wrong key",
            &[r#"{"type":"connection_init","payload":{"x-api-key":"wrong"}}"#],
            4403,
        ),
        (
            "an init with a key that is no string",
            &[r#"{"type":"connection_init","payload":{"x-api-key":1}}"#],
            4403,
        ),
        ("a second init", &[&init, &init], 4429),
        ("an id in use", &[&init, &watch, &watch], 4409),
    ];
    let server = start().await;
    for (name, frames, code) in table {
        let mut socket = Socket::connect(server.addr, PROTOCOL, None).await;
        for frame in *frames {
            socket.say(frame).await;
        }
        loop {
            match socket.hear().await {
                Heard::Frame(frame) => assert_eq!(frame["type"], "connection_ack", "{name}"),
                Heard::Closed(got) => break assert_eq!(got, *code, "{name}"),
            }
        }
    }
    let mut socket = Socket::open(server.addr).await;
    socket.0.send(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(socket.hear().await, Heard::Closed(4400));
}

#[tokio::test]
async fn a_client_of_another_subprotocol_is_told_so() {
    let server = start().await;
    let mut none = Socket::connect(server.addr, None, Some(KEY)).await;
    assert_eq!(none.hear().await, Heard::Closed(4406));
}

#[tokio::test]
async fn silence_after_connecting_has_an_end() {
    let server = start_with(|limits| limits.init_timeout_ms = 20).await;
    let mut socket = Socket::connect(server.addr, PROTOCOL, Some(KEY)).await;
    assert_eq!(socket.hear().await, Heard::Closed(4408));
}

#[tokio::test]
async fn a_key_in_the_upgrades_header_counts_and_one_in_the_init_wins() {
    let server = start().await;
    for (header, payload, expected) in [
        (Some(KEY), None, Heard::Frame(json!({"type": "connection_ack"}))),
        (
            Some("wrong"),
            Some(json!({"X-Api-Key": KEY})),
            Heard::Frame(json!({"type": "connection_ack"})),
        ),
        (Some(KEY), Some(json!({"x-api-key": "wrong"})), Heard::Closed(4403)),
    ] {
        let mut socket = Socket::connect(server.addr, PROTOCOL, header).await;
        socket
            .send(&json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(socket.hear().await, expected, "{header:?} {payload:?}");
    }
}

#[tokio::test]
async fn all_three_kinds_of_operation_run_on_one_socket() {
    let server = start().await;
    let mut socket = Socket::open(server.addr).await;
    socket.send(&json!({"type": "ping"})).await;
    assert_eq!(socket.frame().await, json!({"type": "pong"}));

    socket
        .subscribe("watch", "subscription { onCreateTodo { title } }")
        .await;
    // Answered after the subscription stands, since frames are handled in order.
    socket.subscribe("q", "{ listTodos { items { id } } }").await;
    assert_eq!(socket.result("q").await, json!({"data": {"listTodos": {"items": []}}}));

    let created = ask(server.addr, &create("seen"), Json::Null).await;
    assert_eq!(created["data"]["createTodo"]["title"], "seen");
    let next = socket.frame().await;
    assert_eq!(
        next,
        json!({"type": "next", "id": "watch", "payload": {"data": {"onCreateTodo": {"title": "seen"}}}})
    );

    socket.send(&json!({"type": "complete", "id": "watch"})).await;
    socket.subscribe("m", &create("unseen")).await;
    let result = socket.result("m").await;
    assert_eq!(result["data"]["createTodo"]["title"], "unseen", "{result}");
    // The id is free again.
    socket.subscribe("watch", "{ __typename }").await;
    assert_eq!(socket.result("watch").await, json!({"data": {"__typename": "Query"}}));
}

#[tokio::test]
async fn an_operation_that_cannot_start_is_answered_and_the_socket_lives() {
    let server = start().await;
    let mut socket = Socket::open(server.addr).await;
    for query in ["{ nothing }", "{", "subscription { onCreateDiary { id } }"] {
        socket.subscribe("1", query).await;
        let frame = socket.frame().await;
        assert_eq!(
            (&frame["type"], &frame["id"]),
            (&json!("error"), &json!("1")),
            "{query}: {frame}"
        );
        assert!(frame["payload"][0]["message"].is_string(), "{query}: {frame}");
    }
    socket.subscribe("1", "{ __typename }").await;
    socket.result("1").await;
}

#[tokio::test]
async fn pipelined_mutations_are_carried_out_in_order() {
    let server = start().await;
    let mut socket = Socket::open(server.addr).await;
    for i in 0..300 {
        socket.subscribe(&i.to_string(), &create(&format!("{i:03}"))).await;
    }
    let mut done = BTreeSet::new();
    while done.len() < 300 {
        let frame = socket.frame().await;
        if frame["type"] == "complete" {
            done.insert(frame["id"].as_str().unwrap().to_owned());
        } else {
            assert_eq!(frame["payload"]["data"]["createTodo"]["_version"], 1, "{frame}");
        }
    }
    // The change feed gives records by position: the order in which they were written.
    let feed = ask(
        server.addr,
        "{ tomboloChanges(scope: {model: \"Todo\"}, limit: 1000) { fields rows upToDate } }",
        Json::Null,
    )
    .await;
    let batch = &feed["data"]["tomboloChanges"];
    let column = batch["fields"]
        .as_array()
        .unwrap()
        .iter()
        .position(|f| f == "title")
        .unwrap();
    let titles: Vec<_> = batch["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r[column].as_str().unwrap())
        .collect();
    assert_eq!(titles, (0..300).map(|i| format!("{i:03}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_change_feed_catches_up_and_stays() {
    let server = start().await;
    ask(server.addr, &create("before"), Json::Null).await;
    let mut socket = Socket::open(server.addr).await;
    socket
        .subscribe("feed", "subscription { tomboloChanges(scopes: [{model: \"Todo\"}]) { model cursor upToDate reset fields rows left } }")
        .await;
    let first = socket.frame().await["payload"]["data"]["tomboloChanges"].clone();
    assert_eq!(
        (&first["upToDate"], first["rows"].as_array().map(Vec::len)),
        (&json!(true), Some(1)),
        "{first}"
    );
    ask(server.addr, &create("after"), Json::Null).await;
    let second = socket.frame().await["payload"]["data"]["tomboloChanges"].clone();
    assert!(second["rows"].to_string().contains("after"), "{second}");
    assert_ne!(first["cursor"], second["cursor"]);
}

#[tokio::test]
async fn subscriptions_above_the_limit_are_refused_one_by_one() {
    let server = start_with(|limits| limits.subscriptions_max = 2).await;
    let mut socket = Socket::open(server.addr).await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, "subscription { onCreateTodo { id } }").await;
    }
    let frame = socket.frame().await;
    assert_eq!(
        (&frame["id"], &frame["payload"][0]["errorType"]),
        (&json!("3"), &json!("LimitExceeded")),
        "{frame}"
    );
    socket.send(&json!({"type": "complete", "id": "1"})).await;
    socket.subscribe("3", "subscription { onCreateTodo { title } }").await;
    socket.subscribe("q", "{ __typename }").await;
    socket.result("q").await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_slows_down_nobody() {
    let server = start().await;
    let mut deaf = Socket::open(server.addr).await;
    for i in 0..50 {
        deaf.subscribe(&i.to_string(), "subscription { onCreateTodo { id title _version } }")
            .await;
    }
    let long = "x".repeat(10_000);
    for _ in 0..100 {
        let answer = ask(server.addr, &create(&long), Json::Null).await;
        assert_eq!(answer["data"]["createTodo"]["_version"], 1);
    }
    assert_eq!(titles(server.addr).await.len(), 100);
}

#[tokio::test]
async fn a_frame_above_the_limit_ends_the_socket() {
    let server = start_with(|limits| limits.body_bytes_max = 1000).await;
    let mut socket = Socket::open(server.addr).await;
    // The server may close before all of it is taken.
    let _cut = socket.0.send(Message::text("x".repeat(5000))).await;
    let heard = crate::harness::patiently(futures_util::StreamExt::next(&mut socket.0)).await;
    assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
    assert!(titles(server.addr).await.is_empty());
}

#[tokio::test]
async fn a_socket_is_closed_when_its_key_expires() {
    let mut config = Config::in_memory(SCHEMA, "another key for tests");
    let soon = Timestamp::now() + Duration::from_secs(2);
    config.api_keys.push(ApiKey::from_clear("short", KEY).until(soon));
    let server = Server::start(config).await.unwrap();
    let mut socket = Socket::open(server.addr).await;
    socket.subscribe("s", "subscription { onCreateTodo { title } }").await;
    assert_eq!(socket.hear().await, Heard::Closed(4403));
    assert!(Timestamp::now() >= soon, "not before its time");
    // The one beside it goes on.
    let mut other = Socket::connect(server.addr, PROTOCOL, Some("another key for tests")).await;
    other.send(&json!({"type": "connection_init"})).await;
    assert_eq!(other.frame().await, json!({"type": "connection_ack"}));
}
