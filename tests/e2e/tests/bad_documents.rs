//! GraphQL that is wrong: at the server and at the replica, each with a clear error, and nothing written or lost.

use serde_json::{Value as Json, json};
use tombolo_e2e::wire::{self, first_error};
use tombolo_e2e::{KEY, Phone, Site};

/// What each wrong document's error has to say. Variables are `null` for most.
fn table() -> Vec<(&'static str, String, Json, &'static [&'static str])> {
    let deep = |levels: usize| {
        let mut text = String::from("{ listFlights { items ");
        for _ in 0..levels {
            text.push_str("{ notes { items ");
        }
        text.push_str("{ id }");
        text.push_str(&"} }".repeat(levels));
        text.push_str(" } }");
        text
    };
    vec![
        ("cut off", "{ listNotes { items {".into(), Json::Null, &["expected"]),
        ("no GraphQL", "SELECT * FROM notes".into(), Json::Null, &["expected"]),
        ("empty", String::new(), Json::Null, &["unexpected"]),
        (
            "an unknown field",
            "{ listNotes { items { colour } } }".into(),
            Json::Null,
            &["colour"],
        ),
        (
            "an unknown root field",
            "{ listTrains { items { id } } }".into(),
            Json::Null,
            &["listTrains"],
        ),
        (
            "an unknown argument",
            "{ listNotes(sort: ASC) { items { id } } }".into(),
            Json::Null,
            &["sort"],
        ),
        (
            "an unknown field in a filter",
            "{ listNotes(filter: { colour: { eq: \"red\" } }) { items { id } } }".into(),
            Json::Null,
            &["colour"],
        ),
        (
            "an unknown field in an input",
            "mutation { createNote(input: { text: \"t\", colour: \"red\" }) { id } }".into(),
            Json::Null,
            &["colour"],
        ),
        (
            "a required field left out",
            "mutation { createNote(input: { id: \"x\" }) { id } }".into(),
            Json::Null,
            &["text"],
        ),
        (
            "a literal of the wrong type",
            "mutation { createNote(input: { text: 5 }) { id } }".into(),
            Json::Null,
            &["String"],
        ),
        (
            "a variable that is missing",
            "mutation($i: CreateNoteInput!) { createNote(input: $i) { id } }".into(),
            Json::Null,
            &["i"],
        ),
        (
            "a variable of the wrong type",
            "mutation($i: CreateNoteInput!) { createNote(input: $i) { id } }".into(),
            json!({ "i": { "text": 5 } }),
            &["text"],
        ),
        (
            "an unknown field in a variable",
            "mutation($i: CreateNoteInput!) { createNote(input: $i) { id } }".into(),
            json!({ "i": { "text": "t", "colour": "red" } }),
            &["colour"],
        ),
        (
            "a variable that is not declared",
            "{ getNote(id: $id) { id } }".into(),
            json!({ "id": "x" }),
            &["id"],
        ),
        (
            "a leaf with a selection",
            "{ listNotes { items { text { length } } } }".into(),
            Json::Null,
            &["String"],
        ),
        (
            "an object without a selection",
            "{ listNotes }".into(),
            Json::Null,
            &["subselection"],
        ),
        ("over-deep", deep(40), Json::Null, &["deep"]),
        (
            "over-large",
            format!("{{ listNotes {{ items {{ id }} }} }} # {}", "x".repeat(2 << 20)),
            Json::Null,
            &["1048576"],
        ),
        (
            "too many tokens",
            format!("{{ {} }}", "getNote(id: \"x\") { id } ".repeat(5_000)),
            Json::Null,
            &["30000"],
        ),
        (
            "a record that is too large",
            "mutation($i: CreateNoteInput!) { createNote(input: $i) { id } }".into(),
            json!({ "i": { "text": "x".repeat(500 << 10) } }),
            &["409600"],
        ),
        (
            "a page that is too long",
            "{ listNotes(limit: -1) { items { id } } }".into(),
            Json::Null,
            &["limit"],
        ),
        (
            "a page token of nobody's",
            "{ listNotes(nextToken: \"tomorrow\") { items { id } } }".into(),
            Json::Null,
            &["nextToken"],
        ),
    ]
}

fn says(name: &str, error: &(String, String), parts: &[&str]) {
    assert!(!error.1.is_empty(), "{name}: no words: {error:?}");
    for part in parts {
        assert!(
            error.1.to_lowercase().contains(&part.to_lowercase()),
            "{name}: {error:?} does not say {part}"
        );
    }
}

#[tokio::test]
async fn the_server_refuses_each_with_words_and_writes_nothing() {
    let site = Site::new().await;
    site.write("createNote", json!({ "id": "n", "text": "as it was" }))
        .await;
    for (name, query, variables, parts) in table() {
        let body = json!({ "query": query, "variables": variables });
        let reply = wire::post(site.address(), KEY, &body).await;
        // What cannot be parsed has AppSync's status and words; beside them stands what the parser says.
        let parser = reply.json()["errors"][0]["errorInfo"].as_str().map(str::to_owned);
        let status = if parser.is_some() { 400 } else { 200 };
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        let (kind, words) = reply.error();
        says(name, &(kind, format!("{words} {}", parser.unwrap_or_default())), parts);
        assert!(
            reply.json()["data"]
                .as_object()
                .is_none_or(|d| d.values().all(Json::is_null)),
            "{name}"
        );
    }
    let notes = site.records("Note", "text _version").await;
    assert_eq!(notes.len(), 1);
    assert_eq!(notes["n"], json!({ "id": "n", "text": "as it was", "_version": 1 }));
}

#[tokio::test]
async fn a_replica_refuses_each_with_words_and_queues_nothing() {
    let site = Site::new().await;
    let phone = site.offline_phone("p").await;
    phone
        .write("createNote", json!({ "id": "n", "text": "as it was" }))
        .await;
    for (name, query, variables, parts) in table() {
        let mutation = query.starts_with("mutation");
        let error = if mutation {
            phone.client.mutate(&query, variables).await.map(|m| m.response)
        } else {
            phone.client.query(&query, variables).await
        };
        let error = match error {
            Ok(response) => {
                let answer: Json = serde_json::from_str(&response.to_json()).unwrap();
                assert!(!mutation, "{name}: taken: {answer}");
                first_error(&answer)
            }
            Err(error) => {
                assert_eq!(error.code(), "request", "{name}");
                (error.code().to_owned(), error.to_string())
            }
        };
        says(name, &error, parts);
    }
    assert_eq!(phone.outbox().await.len(), 1);
    assert_eq!(phone.records("Note", "text").await["n"]["text"], "as it was");
    assert_eq!(phone.sync().await.pushed, 1);
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_by_name() {
    let site = Site::new().await;
    let table = [
        ("empty", String::new(), 400, "MalformedHttpRequestException"),
        ("no JSON", "query { x }".into(), 400, "MalformedHttpRequestException"),
        ("no query", "{}".into(), 400, "MalformedHttpRequestException"),
        ("a batch", "[]".into(), 400, "MalformedHttpRequestException"),
        (
            "variables of the wrong kind",
            r#"{"query":"{ __typename }","variables":[1]}"#.into(),
            400,
            "MalformedHttpRequestException",
        ),
        (
            "too large",
            format!(r#"{{"query":"{}"}}"#, "x".repeat(6 << 20)),
            413,
            "LimitExceeded",
        ),
    ];
    for (name, body, status, kind) in table {
        let reply = wire::post_text(site.address(), KEY, &body).await;
        assert_eq!(
            (reply.status, reply.error().0.as_str()),
            (status, kind),
            "{name}: {reply:?}"
        );
        assert!(!reply.error().1.is_empty(), "{name}");
    }
    let reply = wire::post(site.address(), "a wrong key", &json!({ "query": "{ __typename }" })).await;
    assert_eq!((reply.status, reply.error().0.as_str()), (401, "UnauthorizedException"));
    // It lives.
    assert_eq!(wire::get(site.address(), "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_replica_tells_what_needs_the_network_from_what_is_wrong() {
    let site = Site::new().await;
    let phone: Phone = site.offline_phone("p").await;
    let error = phone
        .client
        .query("{ syncNotes { items { id } } }", Json::Null)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "needs_network", "{error}");
    let error = phone
        .client
        .query("mutation { deleteNote(input: { id: \"x\" }) { id } }", Json::Null)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "request", "{error}");
    let error = phone
        .try_write("updateNote", json!({ "id": "nowhere", "text": "t" }))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "unknown_record", "{error}");
    assert!(phone.outbox().await.is_empty());
}

/// A mutation that the server's schema does not know yet (the app is newer) is held until the server is upgraded, and holds up
/// nothing else.
#[tokio::test]
async fn a_mutation_that_the_server_does_not_know_yet_is_held_until_it_does() {
    let site = Site::new().await;
    let newer = tombolo_e2e::SCHEMA.replace("author: String", "author: String colour: String");
    let phone = Phone::open(site.builder("p").schema(newer).offline(true), site.replica("p")).await;
    let strange = phone
        .write("createNote", json!({ "id": "1", "text": "t", "colour": "red" }))
        .await;
    phone.write("createNote", json!({ "id": "2", "text": "t" })).await;
    phone.client.set_online(true).await.unwrap();
    phone.until(|status| status.held == 1 && status.pending == 1).await;
    let outbox = phone.outbox().await;
    assert_eq!(outbox.len(), 1, "{outbox:?}");
    assert_eq!(outbox[0].number, strange);
    assert_eq!(outbox[0].values["colour"], "red", "what the user wrote is still there");
    assert_eq!(phone.ids("Note").await, ["1", "2"], "and still to be seen");
    assert_eq!(site.records("Note", "").await.len(), 1);
}
