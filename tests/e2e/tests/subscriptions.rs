//! `onCreate`, `onUpdate` and `onDelete` over bare `graphql-transport-ws`, as a client of any make speaks it.

use serde_json::{Value as Json, json};
use tombolo_e2e::Site;
use tombolo_e2e::wire::Socket;

/// Starts a subscription and makes sure that it stands: frames are handled in order.
async fn listen(socket: &mut Socket, id: &str, query: &str) {
    socket.subscribe(id, query, Json::Null).await;
    let answer = socket.run("stands", "{ __typename }", Json::Null).await;
    assert_eq!(answer["data"]["__typename"], "Query", "{answer}");
}

#[tokio::test]
async fn each_kind_of_change_comes_to_its_subscription_with_what_was_asked_for() {
    let site = Site::new().await;
    let mut socket = Socket::open(site.address()).await;
    listen(&mut socket, "c", "subscription { onCreateNote { id text done } }").await;
    listen(&mut socket, "u", "subscription { onUpdateNote { id text _version } }").await;
    listen(&mut socket, "d", "subscription { onDeleteNote { id _deleted } }").await;

    site.write("createNote", json!({ "id": "n", "text": "new" })).await;
    let created = socket.next("c").await;
    assert_eq!(
        created,
        json!({ "data": { "onCreateNote": { "id": "n", "text": "new", "done": null } } })
    );
    site.write("updateNote", json!({ "id": "n", "text": "newer", "_version": 1 }))
        .await;
    let updated = socket.next("u").await;
    assert_eq!(
        updated,
        json!({ "data": { "onUpdateNote": { "id": "n", "text": "newer", "_version": 2 } } })
    );
    site.write("deleteNote", json!({ "id": "n", "_version": 2 })).await;
    let deleted = socket.next("d").await;
    assert_eq!(
        deleted,
        json!({ "data": { "onDeleteNote": { "id": "n", "_deleted": true } } })
    );
}

#[tokio::test]
async fn a_filter_lets_through_what_it_says_and_a_replicas_write_comes_too() {
    let site = Site::new().await;
    let mut socket = Socket::open(site.address()).await;
    let query = "subscription { onCreateNote(filter: { severity: { eq: \"URGENT\" } }) { id } }";
    listen(&mut socket, "s", query).await;
    let phone = site.offline_phone("p").await;
    for (id, severity) in [("1", "INFO"), ("2", "URGENT"), ("3", "CAUTION"), ("4", "URGENT")] {
        phone
            .write("createNote", json!({ "id": id, "text": "t", "severity": severity }))
            .await;
    }
    phone.sync().await;
    let mut heard = vec![];
    for _ in 0..2 {
        heard.push(socket.next("s").await["data"]["onCreateNote"]["id"].clone());
    }
    heard.sort_by_key(Json::to_string);
    assert_eq!(heard, [json!("2"), json!("4")]);
    // Nothing else is waiting: the next frame heard is the answer of the next question.
    let answer = socket.run("q", "{ __typename }", Json::Null).await;
    assert_eq!(answer["data"]["__typename"], "Query");
}

#[tokio::test]
async fn after_complete_nothing_more_comes() {
    let site = Site::new().await;
    let mut socket = Socket::open(site.address()).await;
    listen(&mut socket, "s", "subscription { onCreateNote { id } }").await;
    socket.send(&json!({ "type": "complete", "id": "s" })).await;
    let created = socket
        .run(
            "m",
            "mutation { createNote(input: { id: \"n\", text: \"t\" }) { id } }",
            Json::Null,
        )
        .await;
    assert_eq!(created["data"]["createNote"]["id"], "n");
    assert_eq!(
        socket.run("q", "{ __typename }", Json::Null).await["data"]["__typename"],
        "Query"
    );
}
