//! Filters on subscriptions over AppSync's real-time protocol: every operator, `and` and `or`, and lists within lists.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tombolo_core::limits::FILTER_NODES_MAX;
use tombolo_server::{Config, Running, Server};

use crate::harness::{KEY, Socket, ask};

const SCHEMA: &str = "
enum Kind { A B }
type Place { lat: Float }
type Thing @model {
  id: ID!
  name: String
  count: Int
  share: Float
  done: Boolean
  kind: Kind
  at: AWSDateTime
  tags: [String]
  sizes: [Int]
  place: Place
}
";

/// What is created, in this order.
fn things() -> Vec<Json> {
    vec![
        json!({"id": "1", "name": "apple", "count": 1, "share": 0.5, "done": true, "kind": "A", "tags": ["x", "y"], "sizes": [1, 2]}),
        json!({"id": "2", "name": "banana", "count": 2, "share": 1.5, "done": false, "kind": "B", "tags": ["y"], "sizes": [3]}),
        json!({"id": "3", "name": "cherry", "count": 3, "share": -2.0, "kind": "A", "at": "2026-01-02T03:04:05.000Z", "tags": []}),
        json!({"id": "4"}),
    ]
}

/// A filter and the ids of those who are told of.
fn table() -> Vec<(Json, &'static [&'static str])> {
    vec![
        (json!(null), &["1", "2", "3", "4"]),
        (json!({}), &["1", "2", "3", "4"]),
        (json!({"name": {"eq": "apple"}}), &["1"]),
        (json!({"name": {"ne": "apple"}}), &["2", "3", "4"]),
        (json!({"name": {"lt": "banana"}}), &["1"]),
        (json!({"name": {"le": "banana"}}), &["1", "2"]),
        (json!({"name": {"gt": "banana"}}), &["3"]),
        (json!({"name": {"ge": "banana"}}), &["2", "3"]),
        (json!({"name": {"contains": "an"}}), &["2"]),
        (json!({"name": {"notContains": "an"}}), &["1", "3", "4"]),
        (json!({"name": {"notIn": ["apple", "plum"]}}), &["2", "3", "4"]),
        (json!({"count": {"ne": 2}}), &["1", "3", "4"]),
        (json!({"count": {"notIn": [1, 2]}}), &["3", "4"]),
        (json!({"done": {"ne": true}}), &["2", "3", "4"]),
        (json!({"tags": {"notContains": "y"}}), &["3", "4"]),
        (json!({"name": {"beginsWith": "ch"}}), &["3"]),
        (json!({"name": {"between": ["apple", "banana"]}}), &["1", "2"]),
        (json!({"name": {"in": ["apple", "cherry", "plum"]}}), &["1", "3"]),
        (json!({"id": {"eq": "2"}}), &["2"]),
        (json!({"id": {"in": ["2", "4"]}}), &["2", "4"]),
        (json!({"count": {"eq": 2}}), &["2"]),
        (json!({"count": {"lt": 2}}), &["1"]),
        (json!({"count": {"le": 2}}), &["1", "2"]),
        (json!({"count": {"gt": 2}}), &["3"]),
        (json!({"count": {"ge": 2}}), &["2", "3"]),
        (json!({"count": {"between": [2, 3]}}), &["2", "3"]),
        (json!({"count": {"in": [1, 3]}}), &["1", "3"]),
        (json!({"share": {"gt": 0.25}}), &["1", "2"]),
        (json!({"share": {"in": [-2.0]}}), &["3"]),
        (json!({"done": {"eq": true}}), &["1"]),
        (json!({"at": {"eq": "2026-01-02T03:04:05.000Z"}}), &["3"]),
        (json!({"tags": {"contains": "y"}}), &["1", "2"]),
        (json!({"name": {"gt": "a", "lt": "b"}}), &["1"]),
        (json!({"name": {"ge": "apple"}, "count": {"ge": 2}}), &["2", "3"]),
        (
            json!({"and": [{"count": {"gt": 1}}, {"name": {"contains": "a"}}]}),
            &["2"],
        ),
        (json!({"or": [{"count": {"eq": 1}}, {"count": {"eq": 3}}]}), &["1", "3"]),
        (
            json!({"or": [{"and": [{"count": {"gt": 1}}, {"count": {"lt": 3}}]}, {"and": [{"or": [{"name": {"eq": "apple"}}, {"name": {"eq": "plum"}}]}]}]}),
            &["1", "2"],
        ),
        (
            json!({"and": [{"or": [{"id": {"eq": "1"}}, {"or": [{"id": {"eq": "2"}}, {"id": {"eq": "3"}}]}]}, {"count": {"ge": 2}}]}),
            &["2", "3"],
        ),
        (
            json!({"count": {"ge": 1}, "or": [{"name": {"eq": "apple"}}, {"name": {"eq": "cherry"}}]}),
            &["1", "3"],
        ),
        (json!({"and": [{"id": {"eq": null}}]}), &[]),
    ]
}

async fn open(server: &Running) -> Socket {
    let headers = [("sec-websocket-protocol", "graphql-ws"), ("x-api-key", KEY)];
    let (mut socket, _) = Socket::dial(server.addr, "/graphql/realtime", &headers).await;
    socket.send(&json!({"type": "connection_init"})).await;
    assert_eq!(socket.frame().await["type"], "connection_ack");
    socket
}

async fn begin(socket: &mut Socket, id: &str, filter: &Json) -> Json {
    let query =
        "subscription operation($filter: ModelSubscriptionThingFilterInput) { onCreateThing(filter: $filter) { id } }";
    let request = json!({"query": query, "variables": {"filter": filter}}).to_string();
    let authorization = json!({"x-api-key": KEY});
    let payload = json!({"data": request, "extensions": {"authorization": authorization}});
    socket
        .send(&json!({"id": id, "type": "start", "payload": payload}))
        .await;
    loop {
        let frame = socket.frame().await;
        if frame["type"] != "ka" {
            return frame;
        }
    }
}

#[tokio::test]
async fn every_operator_tells_of_those_who_match_and_of_no_other() {
    let server = Server::start(Config::in_memory(SCHEMA, KEY)).await.unwrap();
    let mut socket = open(&server).await;
    for (place, (filter, _)) in table().iter().enumerate() {
        let frame = begin(&mut socket, &place.to_string(), filter).await;
        assert_eq!(frame, json!({"id": place.to_string(), "type": "start_ack"}), "{filter}");
    }
    // The last: when it has been told of the last thing, so have all others of what came before.
    begin(&mut socket, "end", &Json::Null).await;
    let create = "mutation($input: CreateThingInput!) { createThing(input: $input) { id } }";
    for thing in things() {
        let answer = ask(server.addr, create, json!({ "input": thing })).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
    }
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    loop {
        let frame = socket.frame().await;
        if frame["type"] == "ka" {
            continue;
        }
        let thing = frame["payload"]["data"]["onCreateThing"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let id = frame["id"].as_str().unwrap().to_owned();
        if id == "end" && thing == "4" {
            break;
        }
        assert!(told.insert((id, thing)), "told twice: {frame}");
    }
    for (place, (filter, expected)) in table().iter().enumerate() {
        let of = |(id, thing): &(String, String)| (*id == place.to_string()).then(|| thing.clone());
        let heard: Vec<String> = told.iter().filter_map(of).collect();
        assert_eq!(heard, *expected, "{filter}");
    }
}

#[tokio::test]
async fn a_filter_that_is_none_is_refused_in_words_that_clients_know() {
    let server = Server::start(Config::in_memory(SCHEMA, KEY)).await.unwrap();
    let mut socket = open(&server).await;
    // DataStore subscribes without its filter upon the first of these, and filters for itself.
    for (filter, message) in [
        (
            json!({"not": {"name": {"eq": "x"}}}),
            "The variables input contains a field name 'not' that is not defined for input object type 'ModelSubscriptionThingFilterInput'",
        ),
        (
            json!({"name": {"attributeExists": true}}),
            "The variables input contains a field name 'attributeExists' that is not defined for input object type 'ModelSubscriptionStringInput'",
        ),
    ] {
        let frame = begin(&mut socket, "1", &filter).await;
        let error = json!({"path": null, "locations": null, "message": message});
        assert_eq!(
            frame,
            json!({"id": "1", "type": "error", "payload": {"errors": [error]}}),
            "{filter}"
        );
    }
    let many: Vec<Json> = (0..=FILTER_NODES_MAX)
        .map(|n| json!({"name": {"eq": n.to_string()}}))
        .collect();
    let frame = begin(&mut socket, "1", &json!({ "or": many })).await;
    let message = frame["payload"]["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("Filters exceed maximum attributes limit"), "{frame}");
    for filter in [
        json!({"name": {"between": ["a"]}}),
        json!({"name": {"eq": 1}}),
        json!({"name": 1}),
        json!({"place": {"lat": {"eq": 1.0}}}),
    ] {
        assert_eq!(begin(&mut socket, "1", &filter).await["type"], "error", "{filter}");
    }
}
