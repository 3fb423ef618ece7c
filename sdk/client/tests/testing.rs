//! The test kit with a real client: what an app developer's own tests look like.
#![allow(clippy::unwrap_used)]

use serde_json::json;
use tombolo::testing::{Server, TestClock};
use tombolo::{Client, Event, FinalOutcome, LinkStatus, Scope};

const SCHEMA: &str = "type Note @model { id: ID! text: String! }";

async fn phone(server: &Server, name: &str, folder: &tempfile::TempDir) -> Client {
    Client::builder()
        .schema(SCHEMA)
        .path(folder.path().join(format!("{name}.db")))
        .transport(server.phone(name))
        .scopes([Scope {
            model: "Note".into(),
            filter: None,
        }])
        .open()
        .await
        .unwrap()
}

async fn until(client: &Client, reached: impl FnMut(&tombolo::Status) -> bool) {
    client.status().wait_for(reached).await.unwrap();
}

#[tokio::test]
async fn a_phone_works_without_a_network_and_the_server_hears_of_it_later() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(SCHEMA).unwrap();
    server.network("anna").go_offline();
    let anna = phone(&server, "anna", &folder).await;
    anna.mutate(
        "mutation { createNote(input: { id: \"n1\", text: \"wet\" }) { id } }",
        json!(null),
    )
    .await
    .unwrap();
    assert_eq!(
        server.ask("{ getNote(id: \"n1\") { text } }", json!(null)).unwrap(),
        json!({ "getNote": null })
    );

    server.network("anna").go_online();
    anna.set_online(true).await.unwrap();
    until(&anna, |status| status.pending == 0 && status.up_to_date).await;
    let data = server.ask("{ getNote(id: \"n1\") { text } }", json!(null)).unwrap();
    assert_eq!(data, json!({ "getNote": { "text": "wet" } }));
    anna.close().await;
}

#[tokio::test]
async fn a_lost_answer_is_no_second_effect() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(SCHEMA).unwrap();
    let anna = phone(&server, "anna", &folder).await;
    until(&anna, |status| status.up_to_date).await;
    server.network("anna").lose_answers(1);
    anna.mutate(
        "mutation { createNote(input: { id: \"n1\", text: \"wet\" }) { id } }",
        json!(null),
    )
    .await
    .unwrap();
    until(&anna, |status| status.link != LinkStatus::Live).await;
    anna.set_online(true).await.unwrap();
    until(&anna, |status| status.pending == 0 && status.up_to_date).await;
    assert_eq!(server.network("anna").answers_lost(), 1);
    let data = server.ask("{ getNote(id: \"n1\") { _version } }", json!(null)).unwrap();
    assert_eq!(data, json!({ "getNote": { "_version": 1 } }));
    anna.close().await;
}

#[tokio::test]
async fn a_server_in_trouble_and_a_refused_credential_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(SCHEMA).unwrap();
    let anna = phone(&server, "anna", &folder).await;
    let mut events = anna.events();
    server.fail_next(1);
    anna.mutate(
        "mutation { createNote(input: { id: \"n1\", text: \"wet\" }) { id } }",
        json!(null),
    )
    .await
    .unwrap();
    loop {
        if let Event::Decided { outcome, .. } = events.recv().await.unwrap() {
            assert_eq!(outcome, FinalOutcome::Applied);
            break;
        }
    }
    server.network("anna").refuse_credential(true);
    until(&anna, |status| status.link == LinkStatus::Paused).await;
    server.network("anna").refuse_credential(false);
    anna.set_api_key("a fresh one").await.unwrap();
    until(&anna, |status| status.up_to_date).await;
    anna.close().await;
}

#[tokio::test]
async fn the_clock_is_the_tests() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    clock.set_wall_ms(0);
    let client = Client::builder()
        .schema(SCHEMA)
        .path(folder.path().join("replica.db"))
        .clock(clock.reader())
        .open()
        .await
        .unwrap();
    client
        .mutate(
            "mutation { createNote(input: { id: \"n1\", text: \"wet\" }) { id } }",
            json!(null),
        )
        .await
        .unwrap();
    let response = client
        .query("{ getNote(id: \"n1\") { createdAt } }", json!(null))
        .await
        .unwrap();
    assert_eq!(
        response.data(),
        r#"{"getNote":{"createdAt":"1970-01-01T00:00:00.000Z"}}"#
    );
    client.close().await;
}
