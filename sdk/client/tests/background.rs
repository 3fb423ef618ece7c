//! Background: suspended and resumed, two clients on one file of which one has the link, a `Stream`, a transport of one's own.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{CREATE, PATIENCE, Server, read, settle, until};
use futures_util::StreamExt as _;
use serde_json::json;
use tombolo::{Client, LinkStatus};

const IDS: &str = "{ listNotes { items { id } } }";

async fn create(client: &Client, id: &str) {
    client.mutate(CREATE, json!({ "id": id, "text": "t" })).await.unwrap();
}

/// The descriptors of this process that lead to a file in `folder`.
#[cfg(target_os = "linux")]
fn open_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let own = std::fs::read_dir("/proc/self/fd").unwrap();
    own.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|file| file.starts_with(folder))
        .collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_suspended_client_has_no_descriptor_of_its_file_and_holds_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let client = server.client(folder.path()).open().await.unwrap();
    create(&client, "a").await;
    settle(&client).await;
    let open = open_files(folder.path());
    for suffix in ["replica.db", "replica.db-wal", "replica.db.lock", "replica.db.open"] {
        assert!(open.iter().any(|file| file.ends_with(suffix)), "{suffix}: {open:?}");
    }
    client.suspend().await.unwrap();
    assert_eq!(open_files(folder.path()), [""; 0].map(std::path::PathBuf::from));
    for lock in ["replica.db.lock", "replica.db.open"] {
        std::fs::File::open(folder.path().join(lock))
            .unwrap()
            .try_lock()
            .unwrap();
    }
    assert!(
        !folder.path().join("replica.db-wal").exists(),
        "tidied by the connection that closed last"
    );
    client.resume().await.unwrap();
    settle(&client).await;
    client.close().await;
    assert_eq!(open_files(folder.path()), [""; 0].map(std::path::PathBuf::from));
}

#[tokio::test]
async fn a_suspended_client_refuses_calls_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let client = server.client(folder.path()).open().await.unwrap();
    settle(&client).await;
    let mut watch = client.watch(IDS, json!(null)).unwrap();
    assert!(watch.next().await.unwrap().unwrap().data().contains("[]"));
    client.suspend().await.unwrap();
    client.suspend().await.unwrap();
    assert!(client.is_suspended());
    assert_eq!(client.status().borrow().link, LinkStatus::Offline);
    let codes = [
        client.query(IDS, json!(null)).await.unwrap_err().code(),
        client.mutate(CREATE, json!({ "text": "t" })).await.unwrap_err().code(),
        client.outbox().await.unwrap_err().code(),
        client.sync_once(PATIENCE).await.unwrap_err().code(),
        client.sign_out(tombolo::SignOut::Discard).await.unwrap_err().code(),
    ];
    assert_eq!(codes, ["suspended"; 5]);
    // The world goes on meanwhile.
    server.write("Note", json!({ "id": "theirs", "text": "t" }));
    let waiting = tokio::time::timeout(Duration::from_millis(300), watch.next()).await;
    assert!(waiting.is_err(), "a live query waits");
    client.resume().await.unwrap();
    client.resume().await.unwrap();
    let seen = tokio::time::timeout(PATIENCE, async {
        while !watch.next().await.unwrap().unwrap().data().contains("theirs") {}
    });
    seen.await.unwrap();
    create(&client, "mine").await;
    settle(&client).await;
    assert_eq!(server.applied(), 1);
    client.suspend().await.unwrap();
    client.close().await;
}

/// A phone in flight mode that lands while the app sleeps: the system says so once.
#[tokio::test]
async fn what_is_said_of_the_network_while_suspended_counts_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let client = server.client(folder.path()).open().await.unwrap();
    settle(&client).await;
    for online in [false, true, false] {
        client.suspend().await.unwrap();
        client.set_online(online).await.unwrap();
        client.resume().await.unwrap();
        let wanted = |status: &tombolo::Status| (status.link == LinkStatus::Live) == online;
        until(&client, wanted).await;
    }
    // A round that is cut off by the suspension leaves no wish behind.
    server.set(|b| b.reachable = false);
    let round = tokio::spawn({
        let client = client.clone();
        async move { client.sync_once(PATIENCE).await }
    });
    until(&client, |status| status.link != LinkStatus::Offline).await;
    client.suspend().await.unwrap();
    round.abort();
    assert!(round.await.unwrap_err().is_cancelled());
    client.resume().await.unwrap();
    assert_eq!(client.status().borrow().link, LinkStatus::Offline);
    client.close().await;
}

#[tokio::test]
async fn suspending_in_the_middle_of_a_sync_and_dying_then_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    server.set(|b| b.page_rows = 3);
    for i in 0..200 {
        server.write("Note", json!({ "id": format!("s{i:03}"), "text": "t" }));
    }
    let client = server.client(folder.path()).open().await.unwrap();
    for i in 0..20 {
        create(&client, &format!("m{i:02}")).await;
    }
    until(&client, |status| {
        status.link == LinkStatus::CatchingUp || status.up_to_date
    })
    .await;
    client.suspend().await.unwrap();
    // Killed while suspended: nobody closes anything. The threads of the forgotten client hold nothing.
    std::mem::forget(client);
    let client = server.client(folder.path()).open().await.unwrap();
    settle(&client).await;
    assert_eq!(server.applied(), 20);
    let notes = read(&client, "{ listNotes(limit: 1000) { items { id } } }").await;
    assert_eq!(notes["listNotes"]["items"].as_array().unwrap().len(), 220);
    client.close().await;
}

#[tokio::test]
async fn of_two_clients_on_a_file_one_has_the_link_and_sends_what_both_queue() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let app = server.client(folder.path()).open().await.unwrap();
    settle(&app).await;
    let extension = server.client(folder.path()).open().await.unwrap();
    assert_eq!(extension.status().borrow().link, LinkStatus::Elsewhere);
    let mut watch = app.watch(IDS, json!(null)).unwrap();
    assert!(watch.next().await.is_some());
    create(&extension, "from the extension").await;
    // Seen by the other one's live query, sent by it, and its end known here.
    let seen = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
    assert!(seen.unwrap().unwrap().data().contains("from the extension"));
    until(&extension, |status| status.pending == 0).await;
    let report = extension.sync_once(PATIENCE).await.unwrap();
    assert_eq!(
        (report.pending, report.up_to_date),
        (0, false),
        "nothing is left to do here"
    );
    assert_eq!(server.applied(), 1);
    // The app is suspended: the extension takes the link.
    create(&app, "last words").await;
    app.suspend().await.unwrap();
    create(&extension, "alone").await;
    settle(&extension).await;
    assert_eq!(server.applied(), 3);
    app.resume().await.unwrap();
    until(&app, |status| {
        status.link == LinkStatus::Elsewhere && status.pending == 0
    })
    .await;
    let notes = read(&app, IDS).await;
    assert_eq!(notes["listNotes"]["items"].as_array().unwrap().len(), 3);
    extension.close().await;
    settle(&app).await;
    app.close().await;
}

#[tokio::test]
async fn a_client_that_is_offline_leaves_the_link_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let app = server.client(folder.path()).offline(true).open().await.unwrap();
    let extension = server.client(folder.path()).open().await.unwrap();
    create(&app, "a").await;
    until(&app, |status| status.pending == 0).await;
    assert_eq!(server.applied(), 1);
    app.set_online(true).await.unwrap();
    assert_eq!(app.status().borrow().link, LinkStatus::Elsewhere);
    extension.set_online(false).await.unwrap();
    settle(&app).await;
    app.close().await;
    extension.close().await;
}

#[tokio::test]
async fn a_live_query_is_a_stream_that_loses_nothing_when_it_is_not_awaited_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let client = Server::new().client(folder.path()).offline(true).open().await.unwrap();
    let watch = client.watch(IDS, json!(null)).unwrap();
    let mut texts = watch.map(|answer| answer.unwrap().data().to_owned());
    assert!(texts.next().await.unwrap().contains("[]"));
    // Polled once and dropped, again and again.
    for _ in 0..10 {
        let polled = tokio::time::timeout(Duration::ZERO, texts.next()).await;
        assert!(polled.is_err());
    }
    create(&client, "a").await;
    assert!(texts.next().await.unwrap().contains("\"a\""));
    client.close().await;
    assert!(texts.next().await.is_none());
}
