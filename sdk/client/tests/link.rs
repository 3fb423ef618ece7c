//! What happens when there is a server: pushing, pulling, refusals, lost answers, refused keys, HTTP alone.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{CREATE, PATIENCE, Server, UPDATE, read, settle, until};
use serde_json::{Value as Json, json};
use tombolo::{ErrorType, Event, FinalOutcome, LinkStatus, OutboxState};

const TEXTS: &str = "{ listNotes(limit: 1000) { items { id text author } } }";

#[tokio::test]
async fn two_replicas_edit_offline_and_come_together() {
    let server = Server::new();
    let (folder_a, folder_b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a = server.client(folder_a.path()).open().await.unwrap();
    let b = server.client(folder_b.path()).open().await.unwrap();
    a.mutate(CREATE, json!({ "id": "n", "text": "first" })).await.unwrap();
    settle(&a).await;
    let mut watch = b.watch("{ getNote(id: \"n\") { text author } }", Json::Null).unwrap();
    let seen = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = watch.next().await.unwrap().unwrap();
            if answer.data().contains("first") {
                break;
            }
        }
    });
    seen.await.unwrap();

    a.set_online(false).await.unwrap();
    b.set_online(false).await.unwrap();
    a.mutate(UPDATE, json!({ "input": { "id": "n", "text": "from A" } }))
        .await
        .unwrap();
    b.mutate(UPDATE, json!({ "input": { "id": "n", "author": "from B" } }))
        .await
        .unwrap();
    for number in 0..3 {
        a.mutate(CREATE, json!({ "text": format!("made offline {number}") }))
            .await
            .unwrap();
    }
    let pushed = a.sync_once(PATIENCE).await.unwrap();
    assert_eq!(
        (pushed.pushed, pushed.rejected, pushed.pending, pushed.up_to_date),
        (4, 0, 0, true),
        "{pushed:?}"
    );
    assert_eq!(a.status().borrow().link, LinkStatus::Offline, "offline again after");
    let pushed = b.sync_once(PATIENCE).await.unwrap();
    assert_eq!((pushed.pushed, pushed.pulled >= 4), (1, true), "{pushed:?}");
    a.sync_once(PATIENCE).await.unwrap();
    let (of_a, of_b) = (read(&a, TEXTS).await, read(&b, TEXTS).await);
    assert_eq!(of_a, of_b);
    assert_eq!(of_a["listNotes"]["items"].as_array().unwrap().len(), 4);
    let note = read(&a, "{ getNote(id: \"n\") { text author } }").await;
    assert_eq!(note["getNote"], json!({ "text": "from A", "author": "from B" }));
    assert!(a.outbox().await.unwrap().is_empty() && b.outbox().await.unwrap().is_empty());
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_refused_mutation_is_rolled_back_listed_and_told() {
    let server = Server::new();
    server.set(|b| b.reject_text = Some("swear".into()));
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).open().await.unwrap();
    let mut events = client.events();
    let bad = client
        .mutate(CREATE, json!({ "id": "bad", "text": "swear" }))
        .await
        .unwrap();
    let good = client
        .mutate(CREATE, json!({ "id": "good", "text": "kind" }))
        .await
        .unwrap();
    settle(&client).await;
    let mut told = Vec::new();
    while let Ok(Event::Decided { number, outcome }) = events.try_recv() {
        told.push((
            number,
            matches!(outcome, FinalOutcome::Rejected(r) if r.code == ErrorType::ConditionalCheckFailedException),
        ));
    }
    told.sort();
    assert_eq!(told, [(bad.numbers[0], true), (good.numbers[0], false)]);
    let ids = read(&client, "{ listNotes { items { id } } }").await;
    assert_eq!(ids["listNotes"]["items"], json!([{ "id": "good" }]), "rolled back");
    let outbox = client.outbox().await.unwrap();
    assert_eq!((outbox.len(), outbox[0].state), (1, OutboxState::Rejected));
    assert_eq!(
        outbox[0].reason_code.as_deref(),
        Some("ConditionalCheckFailedException")
    );
    assert_eq!(client.status().borrow().rejected, 1);
    client.discard(bad.numbers[0]).await.unwrap();
    assert!(client.outbox().await.unwrap().is_empty());
    client.close().await;
}

#[tokio::test]
async fn a_lost_answer_has_one_effect() {
    let server = Server::new();
    server.set(|b| (b.lose_answers, b.undecided) = (2, 1));
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).open().await.unwrap();
    client
        .mutate(CREATE, json!({ "id": "n", "text": "once" }))
        .await
        .unwrap();
    settle(&client).await;
    assert_eq!(server.applied(), 1);
    assert_eq!(
        read(&client, "{ getNote(id: \"n\") { _version } }").await["getNote"]["_version"],
        json!(1)
    );
    client.close().await;
}

#[tokio::test]
async fn a_refused_key_pauses_until_another_is_given() {
    let server = Server::new();
    server.set(|b| b.key = "new-key".into());
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).open().await.unwrap();
    let mut events = client.events();
    client
        .mutate(CREATE, json!({ "id": "n", "text": "kept" }))
        .await
        .unwrap();
    until(&client, |status| status.link == LinkStatus::Paused).await;
    let error = client.sync_once(PATIENCE).await.unwrap_err();
    assert!(error.needs_sign_in(), "{error}");
    assert_eq!(client.status().borrow().pending, 1, "local life goes on");
    client.set_api_key("new-key").await.unwrap();
    settle(&client).await;
    assert_eq!(server.field("Note", "n", "text"), Some(json!("kept")));
    assert!(!matches!(events.try_recv(), Ok(Event::Stalled)));
    client.close().await;
}

#[tokio::test]
async fn a_base_sync_comes_page_by_page() {
    for http in [true, false] {
        let server = Server::new();
        server.set(|b| b.http = http);
        for number in 0..105 {
            server.write("Note", json!({ "id": format!("n{number:03}"), "text": "old" }));
        }
        let folder = tempfile::tempdir().unwrap();
        let client = server.client(folder.path()).open().await.unwrap();
        settle(&client).await;
        let notes = read(&client, TEXTS).await;
        assert_eq!(
            notes["listNotes"]["items"].as_array().unwrap().len(),
            105,
            "http: {http}"
        );
        server.write("Note", json!({ "id": "n000", "text": "new" }));
        let mut watch = client.watch("{ getNote(id: \"n000\") { text } }", Json::Null).unwrap();
        let live = async { while !watch.next().await.unwrap().unwrap().data().contains("new") {} };
        tokio::time::timeout(PATIENCE, live).await.unwrap();
        client.close().await;
    }
}

#[tokio::test]
async fn without_sockets_http_does_it_all() {
    let server = Server::new();
    server.set(|b| b.sockets = false);
    for number in 0..25 {
        server.write("Note", json!({ "id": format!("n{number:03}"), "text": "old" }));
    }
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).offline(true).open().await.unwrap();
    client
        .mutate(CREATE, json!({ "id": "mine", "text": "by HTTP" }))
        .await
        .unwrap();
    let report = client.sync_once(PATIENCE).await.unwrap();
    assert!(report.is_complete() && report.pushed == 1, "{report:?}");
    assert_eq!(
        read(&client, TEXTS).await["listNotes"]["items"]
            .as_array()
            .unwrap()
            .len(),
        26
    );
    assert_eq!(server.applied(), 1);
    client.close().await;
}

#[tokio::test]
async fn no_network_is_no_error() {
    let server = Server::new();
    server.set(|b| b.reachable = false);
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).open().await.unwrap();
    client
        .mutate(CREATE, json!({ "id": "n", "text": "later" }))
        .await
        .unwrap();
    let report = client.sync_once(Duration::from_millis(100)).await.unwrap();
    assert_eq!((report.pushed, report.pending, report.up_to_date), (0, 1, false));
    assert!(report.trouble.unwrap().contains("no network"));
    server.set(|b| b.reachable = true);
    client.set_online(true).await.unwrap();
    settle(&client).await;
    assert_eq!(server.applied(), 1);
    client.close().await;
}

#[tokio::test]
async fn a_round_that_is_dropped_leaves_no_link_behind() {
    let server = Server::new();
    server.set(|b| b.undecided = u32::MAX);
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).offline(true).open().await.unwrap();
    client
        .mutate(CREATE, json!({ "id": "n", "text": "later" }))
        .await
        .unwrap();
    tokio::select! {
        report = client.sync_once(PATIENCE) => panic!("{report:?}"),
        () = until(&client, |status| status.link == LinkStatus::Live) => {}
    }
    until(&client, |status| status.link == LinkStatus::Offline).await;
    client.close().await;
}

#[tokio::test]
async fn dropping_the_last_handle_carries_out_what_was_called() {
    let server = Server::new();
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).open().await.unwrap();
    client
        .mutate(CREATE, json!({ "id": "n", "text": "kept" }))
        .await
        .unwrap();
    drop(client);
    // The file is released soon after.
    let client = loop {
        match server.client(folder.path()).open().await {
            Ok(client) => break client,
            Err(error) => assert!(error.can_retry(), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    settle(&client).await;
    assert_eq!(server.applied(), 1);
    client.close().await;
}
