//! Replicas with an open link.

use std::time::Instant;

use serde_json::json;
use tombolo::LinkStatus;
use tombolo_e2e::{Phone, Site, patiently};

const TEXTS: &str = "{ listNotes { items { text } } }";

#[tokio::test]
async fn a_watch_on_b_brings_a_change_of_a() {
    let site = Site::new().await;
    let (a, b) = (site.phone("a").await, site.phone("b").await);
    a.settled().await;
    b.settled().await;
    let mut watch = b.client.watch(TEXTS, json!(null)).unwrap();
    let first = patiently(watch.next()).await.unwrap().unwrap();
    assert_eq!(first.data(), r#"{"listNotes":{"items":[]}}"#);

    let began = Instant::now();
    a.write("createNote", json!({ "id": "n", "text": "wet runway" })).await;
    let second = patiently(watch.next()).await.unwrap().unwrap();
    println!("from the call on A to the live query on B: {:?}", began.elapsed());
    assert_eq!(second.data(), r#"{"listNotes":{"items":[{"text":"wet runway"}]}}"#);

    // Back the other way, and gone.
    b.write("updateNote", json!({ "id": "n", "text": "dry runway" })).await;
    let own = patiently(watch.next()).await.unwrap().unwrap();
    assert_eq!(own.data(), r#"{"listNotes":{"items":[{"text":"dry runway"}]}}"#);
    a.until_data(TEXTS, |data| data["listNotes"]["items"][0]["text"] == "dry runway")
        .await;
    a.write("deleteNote", json!({ "id": "n" })).await;
    let last = patiently(watch.next()).await.unwrap().unwrap();
    assert_eq!(last.data(), r#"{"listNotes":{"items":[]}}"#);
}

#[tokio::test]
async fn a_watch_never_flickers_back_while_its_own_quick_edits_are_on_their_way() {
    let site = Site::new().await;
    let a = site.phone("a").await;
    a.write("createNote", json!({ "id": "n", "text": "0" })).await;
    a.settled().await;
    let mut watch = a.client.watch(TEXTS, json!(null)).unwrap();
    let seen = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            let answer = patiently(watch.next()).await.unwrap().unwrap();
            let data: serde_json::Value = answer.data_as().unwrap();
            let number: u32 = data["listNotes"]["items"][0]["text"].as_str().unwrap().parse().unwrap();
            seen.push(number);
            if number == 50 {
                return seen;
            }
        }
    });
    for i in 1..=50 {
        a.write("updateNote", json!({ "id": "n", "text": i.to_string() })).await;
    }
    let seen = seen.await.unwrap();
    assert!(seen.is_sorted(), "{seen:?}");
    a.settled().await;
    assert_eq!(a.records("Note", "text").await["n"]["text"], "50");
    assert_eq!(site.records("Note", "text").await["n"]["text"], "50");
}

#[tokio::test]
async fn many_replicas_write_at_once_and_all_come_to_hold_the_same() {
    let site = Site::new().await;
    let mut phones = Vec::new();
    for i in 0..6 {
        phones.push(site.phone(&format!("p{i}")).await);
    }
    let fields = "text author severity";
    site.write(
        "createNote",
        json!({ "id": "shared", "text": "0", "author": "0", "severity": "0" }),
    )
    .await;
    for phone in &phones {
        phone
            .until_data(TEXTS, |data| data["listNotes"]["items"].as_array().unwrap().len() == 1)
            .await;
    }
    let write = |i: usize, phone: Phone| async move {
        for n in 0..10 {
            let id = format!("{i}-{n}");
            phone.write("createNote", json!({ "id": id, "text": "t" })).await;
            let field = ["text", "author", "severity"][(i + n) % 3];
            phone
                .write("updateNote", json!({ "id": "shared", field: format!("{i}-{n}") }))
                .await;
        }
    };
    let tasks: Vec<_> = phones
        .iter()
        .cloned()
        .enumerate()
        .map(|(i, p)| tokio::spawn(write(i, p)))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for phone in &phones {
        phone.until(|status| status.pending == 0).await;
    }
    let truth = site.records("Note", fields).await;
    assert_eq!(truth.len(), 61);
    for phone in &phones {
        let text = format!("{{ listNotes(limit: 1000) {{ items {{ id {fields} }} }} }}");
        phone
            .until_data(&text, |data| {
                tombolo_e2e::phone::by_id(&data["listNotes"]["items"]) == truth
            })
            .await;
        assert_eq!(phone.client.status().borrow().rejected, 0);
    }
}

#[tokio::test]
async fn going_offline_and_online_again_is_seen_in_the_status_and_loses_nothing() {
    let site = Site::new().await;
    let (a, b) = (site.phone("a").await, site.phone("b").await);
    a.until(|status| status.link == LinkStatus::Live).await;
    a.client.set_online(false).await.unwrap();
    a.until(|status| status.link == LinkStatus::Offline).await;
    a.write("createNote", json!({ "id": "a", "text": "from A" })).await;
    b.write("createNote", json!({ "id": "b", "text": "from B" })).await;
    b.settled().await;
    assert_eq!(a.ids("Note").await, ["a"]);
    assert_eq!(a.client.status().borrow().pending, 1);
    a.client.set_online(true).await.unwrap();
    a.until_data(TEXTS, |data| data["listNotes"]["items"].as_array().unwrap().len() == 2)
        .await;
    b.until_data(TEXTS, |data| data["listNotes"]["items"].as_array().unwrap().len() == 2)
        .await;
}
