//! What a server refuses to be asked, how often, and from where.

use serde_json::{Value as Json, json};
use tombolo_server::guards::Guards;
use tombolo_server::{Config, Running, Server};

use crate::harness::{Heard, KEY, Reply, SCHEMA, Socket, create, exchange, request};

const JSON: (&str, &str) = ("content-type", "application/json");
const AUTH: (&str, &str) = ("x-api-key", KEY);

async fn guarded(guards: Guards) -> Running {
    let config = Config {
        guards,
        ..Config::in_memory(SCHEMA, KEY)
    };
    Server::start(config).await.unwrap()
}

async fn post(server: &Running, query: &str) -> Reply {
    let body = json!({ "query": query }).to_string();
    exchange(server.addr, &request("POST", "/graphql", &[AUTH, JSON], &body)).await
}

#[tokio::test]
async fn introspection_can_be_switched_off() {
    let open = guarded(Guards::default()).await;
    let answer = post(&open, "{ __schema { queryType { name } } }").await.json();
    assert_eq!(answer, json!({"data": {"__schema": {"queryType": {"name": "Query"}}}}));
    let closed = guarded(Guards {
        introspection: false,
        ..Guards::default()
    })
    .await;
    for (query, name, column) in [
        ("{ __schema { queryType { name } } }", "__schema", 3),
        ("{ __type(name: \"Todo\") { name } }", "__type", 3),
        (
            "{ listTodos { nextToken } hidden: __schema { queryType { name } } }",
            "__schema",
            35,
        ),
        ("{ ... on Query { __schema { queryType { name } } } }", "__schema", 18),
    ] {
        let message =
            format!("Validation error of type FieldUndefined: Field '{name}' in type 'Query' is undefined @ '{name}'");
        let error =
            json!({"path": null, "locations": [{"line": 1, "column": column, "sourceName": null}], "message": message});
        assert_eq!(
            post(&closed, query).await.json(),
            json!({"data": null, "errors": [error]}),
            "{query}"
        );
    }
    // Clients write this one into every selection.
    let answer = post(&closed, "{ __typename listTodos { __typename } }").await.json();
    assert_eq!(answer["errors"], Json::Null, "{answer}");
}

#[tokio::test]
async fn depth_reads_and_root_fields_are_bounded() {
    let server = guarded(Guards {
        query_depth_max: 4,
        resolvers_max: 3,
        root_fields_max: 2,
        ..Guards::default()
    })
    .await;
    for (query, refused) in [
        ("{ listTodos { items { id } } }", None),
        ("{ a: listTodos { nextToken } b: listTodos { nextToken } }", None),
        (
            "{ a: listTodos { nextToken } b: listTodos { nextToken } c: __typename }",
            Some("ROOT_FIELDS_MAX"),
        ),
        (
            "{ ... { ... { ... { ... { listTodos { items { id } } } } } } }",
            Some("DOCUMENT_DEPTH_MAX"),
        ),
    ] {
        let answer = post(&server, query).await.json();
        let error = &answer["errors"][0];
        match refused {
            None => assert_eq!(error, &Json::Null, "{query}: {answer}"),
            Some(limit) => {
                assert_eq!(error["errorType"], "LimitExceeded", "{query}: {answer}");
                assert!(error["message"].as_str().unwrap().contains(limit), "{query}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn reads_related_to_reads_are_counted() {
    let schema = "type Post @model { id: ID! comments: [Comment] @hasMany }
                  type Comment @model { id: ID! post: Post @belongsTo }";
    let config = Config {
        guards: Guards {
            resolvers_max: 2,
            ..Guards::default()
        },
        ..Config::in_memory(schema, KEY)
    };
    let server = Server::start(config).await.unwrap();
    let answer = post(&server, "{ listPosts { items { comments { items { id } } } } }")
        .await
        .json();
    assert_eq!(answer["errors"], Json::Null, "{answer}");
    let deep = "{ listPosts { items { comments { items { id post { id comments { items { id } } } } } } } }";
    let answer = post(&server, deep).await.json();
    assert_eq!(answer["errors"][0]["errorType"], "LimitExceeded", "{answer}");
}

#[tokio::test]
async fn an_identity_that_reads_too_often_is_told_to_wait_and_its_mutations_are_not() {
    let server = guarded(Guards {
        reads_per_second: 1,
        reads_burst: 3,
        ..Guards::default()
    })
    .await;
    let mut refused = 0;
    for _ in 0..6 {
        let reply = post(&server, "{ listTodos { nextToken } }").await;
        if reply.status != 200 {
            assert_eq!(
                (reply.status, reply.error_type().as_str()),
                (429, "ThrottlingException")
            );
            assert_eq!(reply.header("x-amzn-errortype"), Some("ThrottlingException"));
            assert_eq!(reply.header("retry-after"), Some("1"));
            refused += 1;
        }
    }
    assert!(refused >= 1, "a burst of 3 took 6");
    for _ in 0..20 {
        let reply = post(&server, &create("written")).await;
        assert_eq!((reply.status, &reply.json()["errors"]), (200, &Json::Null));
    }
    let mut socket = Socket::open(server.addr).await;
    let mut throttled = false;
    for i in 0..6 {
        socket.subscribe(&i.to_string(), "{ listTodos { nextToken } }").await;
        let frame = socket.frame().await;
        match frame["type"].as_str() {
            Some("error") => throttled |= frame["payload"][0]["errorType"] == "LimitExceeded",
            _ => assert_eq!(socket.frame().await["type"], "complete"),
        }
    }
    assert!(throttled);
}

#[tokio::test]
async fn an_identity_that_connects_too_often_is_told_to_come_back() {
    let server = guarded(Guards {
        connections_per_minute: 1,
        connections_burst: 2,
        ..Guards::default()
    })
    .await;
    let _first = Socket::open(server.addr).await;
    let _second = Socket::open(server.addr).await;
    let mut socket = Socket::connect(server.addr, Some("graphql-transport-ws"), Some(KEY)).await;
    socket.send(&json!({"type": "connection_init"})).await;
    assert_eq!(socket.hear().await, Heard::Closed(1013));
    let (mut socket, _) = Socket::dial(server.addr, "/graphql/realtime", &[("x-api-key", KEY)]).await;
    socket.send(&json!({"type": "connection_init"})).await;
    let error = json!({"errorType": "LimitExceededError", "errorCode": 429, "message": "Rate limit exceeded"});
    assert_eq!(
        socket.hear().await,
        Heard::Frame(json!({"type": "connection_error", "payload": {"errors": [error]}}))
    );
    assert_eq!(socket.hear().await, Heard::Closed(1011));
    // Who is refused for the credential costs nobody a place.
    let mut wrong = Socket::connect(server.addr, Some("graphql-transport-ws"), Some("wrong")).await;
    wrong.send(&json!({"type": "connection_init"})).await;
    assert_eq!(wrong.hear().await, Heard::Closed(4403));
}

#[tokio::test]
async fn only_pages_of_the_origins_that_are_named_may_call() {
    let server = guarded(Guards {
        cors_origins: vec!["https://app.example".to_owned()],
        ..Guards::default()
    })
    .await;
    for (origin, allowed) in [
        ("https://app.example", Some("https://app.example")),
        ("https://other.example", None),
    ] {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let reply = exchange(server.addr, &request("OPTIONS", "/graphql", &headers, "")).await;
        assert_eq!(reply.header("access-control-allow-origin"), allowed, "{origin}");
    }
}
