//! AppSync's real-time protocol: the handshake, the frames, their timing and their order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use futures_util::SinkExt as _;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;
use tombolo_server::auth::ApiKey;
use tombolo_server::{Config, Running, Server};

use crate::harness::{Heard, KEY, SCHEMA, Socket, ask, create, start, start_with};

const PATH: &str = "/graphql/realtime";
const OTHER_KEY: &str = "another key for tests";
const CREATED: &str = "subscription operation { onCreateTodo { id title _version _deleted } }";

/// `host` and the key, as AppSync's clients put them together.
fn authorization(key: &str) -> Json {
    json!({"host": "127.0.0.1:1", "x-amz-date": "20261122T083159Z", "x-api-key": key})
}

fn subprotocols(object: &Json) -> String {
    format!(
        "graphql-ws, header-{}",
        BASE64_URL_SAFE_NO_PAD.encode(object.to_string())
    )
}

fn start_frame(id: &str, key: &str, request: &Json) -> Json {
    json!({"id": id, "type": "start", "payload": {
        "data": request.to_string(),
        "extensions": {"authorization": authorization(key)},
    }})
}

impl Socket {
    /// A session of this protocol past `connection_ack` and the first `ka`.
    async fn open_realtime(server: &Running) -> Self {
        let protocols = subprotocols(&authorization(KEY));
        let (mut socket, _) = Self::dial(server.addr, PATH, &[("sec-websocket-protocol", &protocols)]).await;
        socket.send(&json!({"type": "connection_init"})).await;
        assert_eq!(socket.frame().await, acknowledged());
        assert_eq!(socket.frame().await, json!({"type": "ka"}));
        socket
    }

    async fn start(&mut self, id: &str, query: &str) {
        self.send(&start_frame(id, KEY, &json!({"query": query, "variables": {}})))
            .await;
    }

    /// Starts a subscription and waits until it stands.
    async fn stand(&mut self, id: &str, query: &str) {
        self.start(id, query).await;
        assert_eq!(self.news().await, json!({"id": id, "type": "start_ack"}));
    }

    /// The next frame that is no `ka`.
    async fn news(&mut self) -> Json {
        loop {
            let frame = self.frame().await;
            if frame["type"] != "ka" {
                return frame;
            }
        }
    }

    /// How the socket ends, and the frames before that.
    async fn end(&mut self) -> (Vec<Json>, u16) {
        let mut frames = Vec::new();
        loop {
            match self.hear().await {
                Heard::Frame(frame) => frames.push(frame),
                Heard::Closed(code) => return (frames, code),
            }
        }
    }
}

fn acknowledged() -> Json {
    json!({"type": "connection_ack", "payload": {"connectionTimeoutMs": 300_000}})
}

#[tokio::test]
async fn a_credential_is_read_wherever_a_client_carries_it() {
    let server = start().await;
    let object = authorization(KEY);
    let in_query = BASE64_STANDARD.encode(object.to_string());
    let subprotocol = subprotocols(&object);
    for path in [PATH, "/graphql"] {
        let query = format!("{path}?header={in_query}&payload=e30=");
        for (name, path, headers) in [
            (
                "a subprotocol",
                path,
                vec![("sec-websocket-protocol", subprotocol.as_str())],
            ),
            (
                "the query",
                query.as_str(),
                vec![("sec-websocket-protocol", "graphql-ws")],
            ),
            (
                "headers",
                path,
                vec![("sec-websocket-protocol", "graphql-ws"), ("x-api-key", KEY)],
            ),
        ] {
            let (mut socket, protocol) = Socket::dial(server.addr, path, &headers).await;
            assert_eq!(protocol.as_deref(), Some("graphql-ws"), "{name} at {path}");
            socket.send(&json!({"type": "connection_init"})).await;
            assert_eq!(socket.frame().await, acknowledged(), "{name} at {path}");
            assert_eq!(socket.frame().await, json!({"type": "ka"}), "{name} at {path}");
        }
    }
    // The other protocol is spoken where it is asked for.
    let mut socket = Socket::open(server.addr).await;
    socket.subscribe("q", "{ __typename }").await;
    socket.result("q").await;
}

#[tokio::test]
async fn a_handshake_that_is_refused_is_told_why_and_closed() {
    let server = start().await;
    let offered = |text: &str| format!("graphql-ws, header-{text}");
    let unauthorized = ("UnauthorizedException", 401, 4401);
    let table = [
        ("nothing", "graphql-ws".to_owned(), unauthorized),
        ("a wrong key", subprotocols(&authorization("wrong")), unauthorized),
        ("no key", subprotocols(&json!({"host": "h"})), unauthorized),
        (
            "a key that is no string",
            subprotocols(&json!({"x-api-key": 1})),
            unauthorized,
        ),
        ("no base64", offered("!!!"), ("BadRequestException", 400, 4401)),
        ("no JSON", offered("bm9wZQ"), ("BadRequestException", 400, 4401)),
    ];
    for (name, protocols, (error_type, error_code, close)) in table {
        for first in [
            json!({"type": "connection_init"}),
            start_frame("1", KEY, &json!({"query": CREATED})),
        ] {
            let (mut socket, protocol) =
                Socket::dial(server.addr, PATH, &[("sec-websocket-protocol", &protocols)]).await;
            assert_eq!(protocol.as_deref(), Some("graphql-ws"), "{name}");
            socket.send(&first).await;
            let (frames, code) = socket.end().await;
            let error = &frames[0]["payload"]["errors"][0];
            assert_eq!(
                (frames.len(), &frames[0]["type"], code),
                (1, &json!("connection_error"), close),
                "{name}: {frames:?}"
            );
            assert_eq!(
                (&error["errorType"], &error["errorCode"]),
                (&json!(error_type), &json!(error_code)),
                "{name}"
            );
            assert!(error["message"].is_string(), "{name}");
        }
    }
}

#[tokio::test]
async fn silence_after_connecting_has_an_end() {
    let server = start_with(|limits| limits.init_timeout_ms = 20).await;
    let (mut socket, _) = Socket::dial(server.addr, PATH, &[("x-api-key", KEY)]).await;
    assert_eq!(socket.end().await, (vec![], 4408));
}

#[tokio::test]
async fn a_subscription_is_acknowledged_told_of_its_records_and_completed() {
    let server = start().await;
    let mut socket = Socket::open_realtime(&server).await;
    let sent = Instant::now();
    socket.stand("1", CREATED).await;
    assert!(
        sent.elapsed() >= Duration::from_millis(10),
        "a start_ack that comes at once"
    );
    let created = ask(server.addr, &create("seen"), Json::Null).await;
    let todo = json!({"id": created["data"]["createTodo"]["id"], "title": "seen", "_version": 1, "_deleted": null});
    let data = json!({"id": "1", "type": "data", "payload": {"data": {"onCreateTodo": todo}}});
    assert_eq!(socket.news().await, data);

    socket.send(&json!({"id": "1", "type": "stop"})).await;
    assert_eq!(socket.news().await, json!({"id": "1", "type": "complete"}));
    ask(server.addr, &create("unseen"), Json::Null).await;
    // The id is free again, and `connection_init` need not come once only.
    socket.stand("1", CREATED).await;
    socket.send(&json!({"type": "connection_init"})).await;
    assert_eq!(socket.news().await, acknowledged());
    ask(server.addr, &create("seen again"), Json::Null).await;
    assert_eq!(
        socket.news().await["payload"]["data"]["onCreateTodo"]["title"],
        "seen again"
    );
    socket.send(&json!({"type": "connection_terminate"})).await;
    assert_eq!(socket.hear().await, Heard::Closed(1000));
}

#[tokio::test]
async fn a_start_without_a_connection_init_before_it_is_served() {
    let server = start().await;
    let (mut socket, _) = Socket::dial(server.addr, PATH, &[("x-api-key", KEY)]).await;
    socket.stand("1", CREATED).await;
}

#[tokio::test]
async fn a_start_that_fails_is_told_why_and_the_socket_lives() {
    let server = start_with(|limits| limits.subscriptions_max = 3).await;
    let mut socket = Socket::open_realtime(&server).await;
    socket.stand("stands", CREATED).await;
    let with = |payload: Json| json!({"id": "1", "type": "start", "payload": payload});
    let request = |query: &str| start_frame("1", KEY, &json!({"query": query}));
    let data = json!({"query": CREATED}).to_string();
    let table = [
        (
            "a wrong key",
            start_frame("1", "wrong", &json!({"query": CREATED})),
            "UnauthorizedException",
        ),
        ("no authorization", with(json!({"data": data})), "UnauthorizedException"),
        (
            "an authorization that is no object",
            with(json!({"data": data, "extensions": {"authorization": KEY}})),
            "UnauthorizedException",
        ),
        (
            "no payload",
            json!({"id": "1", "type": "start"}),
            "UnsupportedOperation",
        ),
        (
            "no data",
            with(json!({"extensions": {"authorization": authorization(KEY)}})),
            "UnsupportedOperation",
        ),
        (
            "data that is no string",
            with(json!({"data": {"query": CREATED}, "extensions": {"authorization": authorization(KEY)}})),
            "UnsupportedOperation",
        ),
        (
            "data that is no request",
            with(json!({"data": "{", "extensions": {"authorization": authorization(KEY)}})),
            "BadRequestException",
        ),
        (
            "a query",
            request("{ listTodos { items { id } } }"),
            "UnsupportedOperation",
        ),
        ("a mutation", request(&create("never")), "UnsupportedOperation"),
        (
            "the feed of replicas",
            request("subscription { tomboloChanges(scopes: [{model: \"Todo\"}]) { rows } }"),
            "UnsupportedOperation",
        ),
        (
            "what the rules refuse",
            request("subscription { onCreateDiary { id } }"),
            "Unauthorized",
        ),
        (
            "a type that nobody knows",
            json!({"id": "1", "type": "subscribe"}),
            "UnsupportedOperation",
        ),
    ];
    for (name, frame, error_type) in table {
        socket.send(&frame).await;
        let answer = socket.news().await;
        assert_eq!(
            (&answer["id"], &answer["type"]),
            (&json!("1"), &json!("error")),
            "{name}: {answer}"
        );
        let errors = answer["payload"]["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("{name}: {answer}"));
        assert_eq!(errors[0]["errorType"], error_type, "{name}: {answer}");
        assert!(errors[0]["message"].is_string(), "{name}: {answer}");
    }
    for query in ["subscription { onCreateNothing { id } }", "subscription {"] {
        socket.send(&request(query)).await;
        let answer = socket.news().await;
        assert_eq!(
            (&answer["id"], &answer["type"]),
            (&json!("1"), &json!("error")),
            "{query}: {answer}"
        );
        assert!(
            answer["payload"]["errors"][0]["message"].is_string(),
            "{query}: {answer}"
        );
    }
    socket.stand("2", CREATED).await;
    socket.stand("3", CREATED).await;
    socket.start("4", CREATED).await;
    let refused = socket.news().await;
    assert_eq!(
        refused["payload"],
        json!({"errors": [{"errorType": "MaxSubscriptionsReachedError", "message": "Max number of 3 subscriptions reached"}]})
    );
    // What stood, stands: nothing else was created, and each is told.
    ask(server.addr, &create("seen"), Json::Null).await;
    for id in ["stands", "2", "3"] {
        let news = socket.news().await;
        assert_eq!((&news["id"], &news["type"]), (&json!(id), &json!("data")), "{news}");
    }
}

#[tokio::test]
async fn frames_that_are_none_end_the_socket_with_a_reason() {
    let server = start().await;
    let long = start_frame(&"x".repeat(257), KEY, &json!({"query": CREATED})).to_string();
    let table = [
        "hello",
        "[]",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"start"}"#,
        r#"{"type":"stop"}"#,
        r#"{"type":"stop","id":""}"#,
        r#"{"type":"stop","id":7}"#,
        &long,
    ];
    for frame in table {
        let mut socket = Socket::open_realtime(&server).await;
        socket.say(frame).await;
        let (frames, code) = socket.end().await;
        assert_eq!(
            (&frames[0]["type"], code),
            (&json!("connection_error"), 4400),
            "{frame}: {frames:?}"
        );
        assert_eq!(frames[0]["payload"]["errors"][0]["errorCode"], 400, "{frame}");
    }
    let mut socket = Socket::open_realtime(&server).await;
    socket.0.send(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(socket.end().await.1, 4400);
    // A type without an id has nobody who waits for an answer.
    let mut socket = Socket::open_realtime(&server).await;
    socket.send(&json!({"type": "ping"})).await;
    socket.stand("1", CREATED).await;
}

#[tokio::test]
async fn each_start_is_judged_by_its_own_credential() {
    let mut config = Config::in_memory(SCHEMA, KEY);
    let soon = Timestamp::now() + Duration::from_secs(2);
    config.api_keys.push(ApiKey::from_clear("short", OTHER_KEY).until(soon));
    let server = Server::start(config).await.unwrap();
    // Connected by the one that lasts, and by the one that does not: what is open goes on by what it was started with.
    let mut lasting = Socket::open_realtime(&server).await;
    let protocols = subprotocols(&authorization(OTHER_KEY));
    let (mut passing, _) = Socket::dial(server.addr, PATH, &[("sec-websocket-protocol", &protocols)]).await;
    for socket in [&mut lasting, &mut passing] {
        socket.stand("kept", CREATED).await;
        socket
            .send(&start_frame("lost", OTHER_KEY, &json!({"query": CREATED})))
            .await;
        assert_eq!(socket.news().await, json!({"id": "lost", "type": "start_ack"}));
    }
    for socket in [&mut lasting, &mut passing] {
        // The socket goes with it, so that the client comes back with a fresh credential: an error it would take for the end.
        let (_, code) = socket.end().await;
        assert!(Timestamp::now() >= soon, "not before its time");
        assert_eq!(code, 1011);
    }
    let mut fresh = Socket::open_realtime(&server).await;
    fresh
        .send(&start_frame("late", OTHER_KEY, &json!({"query": CREATED})))
        .await;
    let refused = fresh.news().await;
    assert_eq!(
        (&refused["id"], &refused["payload"]["errors"][0]["errorType"]),
        (&json!("late"), &json!("UnauthorizedException"))
    );
    fresh.stand("kept", CREATED).await;
}

#[tokio::test]
async fn a_start_under_an_id_in_use_takes_the_place_of_the_first() {
    let server = start().await;
    let mut old = Socket::open_realtime(&server).await;
    old.stand("1", CREATED).await;
    old.stand("1", "subscription { onCreateTodo { title } }").await;
    // The same id on another socket is another subscription.
    let mut new = Socket::open_realtime(&server).await;
    new.stand("1", CREATED).await;
    for title in ["first", "second"] {
        ask(server.addr, &create(title), Json::Null).await;
        assert_eq!(
            old.news().await["payload"],
            json!({"data": {"onCreateTodo": {"title": title}}})
        );
        assert_eq!(new.news().await["payload"]["data"]["onCreateTodo"]["title"], title);
    }
}

#[tokio::test]
async fn no_data_comes_before_its_start_ack() {
    let server = start().await;
    let mut socket = Socket::open_realtime(&server).await;
    socket.stand("old", CREATED).await;
    for i in 0..30 {
        let id = format!("new {i}");
        socket.start(&id, CREATED).await;
        ask(server.addr, &create(&id), Json::Null).await;
        let mut acknowledged = false;
        loop {
            let frame = socket.news().await;
            match (frame["type"].as_str(), frame["id"].as_str()) {
                (Some("start_ack"), Some(of)) if of == id && !acknowledged => {
                    acknowledged = true;
                    socket.send(&json!({"id": id, "type": "stop"})).await;
                }
                (Some("data"), Some("old")) => {}
                (Some("data"), Some(of)) if of == id => assert!(acknowledged, "{frame}"),
                (Some("complete"), Some(of)) if of == id => break,
                _ => panic!("{frame}"),
            }
        }
    }
}

#[tokio::test]
async fn a_records_versions_come_in_order_whichever_subscription_tells_of_them() {
    const RECORDS: usize = 40;
    let server = start().await;
    let mut socket = Socket::open_realtime(&server).await;
    for kind in ["Create", "Update", "Delete"] {
        let query = format!("subscription {{ on{kind}Todo {{ id title _version _deleted _lastChangedAt }} }}");
        socket.stand(kind, &query).await;
    }
    // Without waiting for answers, so that one commit holds several versions of a record.
    let mut writer = Socket::open(server.addr).await;
    for record in 0..RECORDS {
        let mutations = [
            format!("createTodo(input: {{id: \"{record}\", title: \"1\"}})"),
            format!("updateTodo(input: {{id: \"{record}\", title: \"2\", _version: 1}})"),
            format!("deleteTodo(input: {{id: \"{record}\", _version: 2}})"),
        ];
        for (step, mutation) in mutations.iter().enumerate() {
            let query = format!("mutation {{ {mutation} {{ id }} }}");
            writer.subscribe(&format!("{record}-{step}"), &query).await;
        }
    }
    let mut versions: BTreeMap<String, i64> = BTreeMap::new();
    for _ in 0..3 * RECORDS {
        let frame = socket.news().await;
        let todo = &frame["payload"]["data"][format!("on{}Todo", frame["id"].as_str().unwrap())];
        let version = versions.entry(todo["id"].as_str().unwrap().to_owned()).or_default();
        *version += 1;
        assert_eq!(todo["_version"], *version, "{frame}");
        assert_eq!(
            todo["_deleted"],
            if *version == 3 { json!(true) } else { Json::Null },
            "{frame}"
        );
    }
    assert_eq!(versions.len(), RECORDS);
    assert!(versions.values().all(|version| *version == 3), "{versions:?}");
}

#[tokio::test]
async fn a_hundred_models_fit_on_one_socket() {
    const MODELS: usize = 100;
    let schema: String = (0..MODELS)
        .map(|i| format!("type Thing{i} @model {{ id: ID! title: String }}\n"))
        .collect();
    let server = Server::start(Config::in_memory(schema, KEY)).await.unwrap();
    let mut socket = Socket::open_realtime(&server).await;
    // All at once, as DataStore does it.
    for i in 0..MODELS {
        for kind in ["Create", "Update", "Delete"] {
            let query = format!("subscription {{ on{kind}Thing{i} {{ id title _version }} }}");
            socket.start(&format!("{kind}{i}"), &query).await;
        }
    }
    for _ in 0..3 * MODELS {
        let frame = socket.news().await;
        assert_eq!(frame["type"], "start_ack", "{frame}");
    }
    for i in 0..MODELS {
        let mutation = format!("mutation {{ createThing{i}(input: {{title: \"t\"}}) {{ id }} }}");
        ask(server.addr, &mutation, Json::Null).await;
        let frame = socket.news().await;
        assert_eq!(
            (&frame["id"], &frame["type"]),
            (&json!(format!("Create{i}")), &json!("data")),
            "{frame}"
        );
    }
}

#[tokio::test]
async fn keep_alives_come_under_load() {
    let server = start_with(|limits| limits.ping_interval_ms = 20).await;
    let mut socket = Socket::open_realtime(&server).await;
    socket.stand("1", CREATED).await;
    let addr = server.addr;
    let began = Instant::now();
    let writing = tokio::spawn(async move {
        let mut written = 0;
        while began.elapsed() < Duration::from_millis(600) {
            ask(addr, &create("busy"), Json::Null).await;
            written += 1;
        }
        written
    });
    let (mut heard, mut data) = (0, 0);
    while began.elapsed() < Duration::from_millis(600) {
        match socket.frame().await["type"].as_str() {
            Some("ka") => heard += 1,
            _ => data += 1,
        }
    }
    let written: usize = writing.await.unwrap();
    assert!(data > 0 && written > 0);
    // 30 in all; a machine that is busy with other things may be late.
    assert!(heard >= 5, "{heard} keep-alives beside {data} of {written} records");
}

#[tokio::test]
async fn a_client_that_is_too_slow_is_told_to_come_back() {
    let server = start().await;
    let mut deaf = Socket::open_realtime(&server).await;
    deaf.stand("1", CREATED).await;
    // More than the ring of recent changes holds, and than the buffers on the way.
    let long = "x".repeat(200_000);
    for _ in 0..250 {
        ask(server.addr, &create(&long), Json::Null).await;
    }
    let (frames, code) = deaf.end().await;
    assert_eq!(code, 1011);
    assert!(frames.iter().all(|frame| frame["type"] != "error"));
    assert!(frames.len() < 250, "nothing was lost, so that nothing is shown here");
}

#[tokio::test]
async fn who_waits_for_what_is_rare_is_not_too_slow() {
    let server = start().await;
    let mut socket = Socket::open_realtime(&server).await;
    let rare = "subscription($filter: ModelSubscriptionTodoFilterInput) { onCreateTodo(filter: $filter) { title } }";
    let request = json!({"query": rare, "variables": {"filter": {"title": {"eq": "rare"}}}});
    socket.send(&start_frame("1", KEY, &request)).await;
    assert_eq!(socket.news().await["type"], "start_ack");
    let long = "x".repeat(200_000);
    for _ in 0..250 {
        ask(server.addr, &create(&long), Json::Null).await;
    }
    ask(server.addr, &create("rare"), Json::Null).await;
    assert_eq!(
        socket.news().await["payload"],
        json!({"data": {"onCreateTodo": {"title": "rare"}}})
    );
}

#[tokio::test]
async fn a_server_that_ends_tells_its_clients_to_come_back() {
    let server = start().await;
    let mut socket = Socket::open_realtime(&server).await;
    socket.stand("1", CREATED).await;
    let ending = tokio::spawn(server.shutdown());
    assert_eq!(socket.end().await, (vec![], 1011));
    drop(socket);
    ending.await.unwrap();
}

#[tokio::test]
async fn a_frame_above_the_limit_ends_the_socket() {
    let server = start_with(|limits| limits.body_bytes_max = 1000).await;
    let mut socket = Socket::open_realtime(&server).await;
    // The server may close before all of it is taken.
    let _cut = socket.0.send(Message::text("x".repeat(5000))).await;
    let heard = crate::harness::patiently(futures_util::StreamExt::next(&mut socket.0)).await;
    assert!(!matches!(heard, Some(Ok(Message::Text(_)))), "{heard:?}");
}
