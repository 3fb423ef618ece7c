//! A cursor of another server, and cursors of nobody's: the replica syncs anew from the start and keeps its outbox.

use serde_json::{Value as Json, json};
use tombolo_e2e::{KEY, Phone, Site};

#[tokio::test]
async fn at_another_server_a_replica_starts_anew_and_keeps_its_outbox() {
    let (old, new) = (Site::new().await, Site::new().await);
    old.write("createNote", json!({ "id": "both", "text": "the old server's" }))
        .await;
    old.write("createNote", json!({ "id": "old", "text": "only there" }))
        .await;
    new.write("createNote", json!({ "id": "new", "text": "only here" }))
        .await;
    new.write("createNote", json!({ "id": "both", "text": "the new server's" }))
        .await;
    let phone = old.offline_phone("p").await;
    phone.sync().await;
    phone
        .write("createNote", json!({ "id": "mine", "text": "unsent" }))
        .await;
    phone.write("updateNote", json!({ "id": "both", "author": "me" })).await;
    phone.close().await;

    // The same file, the same account, another server behind the name.
    let builder = old.builder("p").url(new.url()).offline(true);
    let phone = Phone::open(builder, old.replica("p")).await;
    assert_eq!(phone.outbox().await.len(), 2);
    phone.sync().await;
    let truth = new.records("Note", "text author").await;
    assert_eq!(
        phone.records("Note", "text author").await,
        truth,
        "what only the old server had is gone"
    );
    assert_eq!(truth["mine"]["text"], "unsent");
    assert_eq!(truth["new"]["text"], "only here");
    let outbox = phone.outbox().await;
    // The edit was made on a version of the old server's; it reached an end that the app can see either way.
    assert!(
        outbox.iter().all(|item| item.state == tombolo::OutboxState::Rejected),
        "{outbox:?}"
    );
    assert_eq!(old.records("Note", "").await.len(), 2, "the old server was not touched");
    // And from there on by delta again.
    new.write("updateNote", json!({ "id": "new", "text": "changed" })).await;
    assert_eq!(phone.sync().await.pulled, 1);
}

#[tokio::test]
async fn a_live_replica_notices_that_its_server_is_another_one_now() {
    let mut site = Site::new().await;
    site.write("createNote", json!({ "id": "old", "text": "from before" }))
        .await;
    let phone = site.phone("p").await;
    phone.settled().await;
    site.stop().await;
    phone
        .write("createNote", json!({ "id": "mine", "text": "unsent" }))
        .await;
    // The data are lost, and a new database takes the old one's place.
    for end in ["", "-wal", "-shm"] {
        let mut name = site.database().into_os_string();
        name.push(end);
        let _not_there = std::fs::remove_file(name);
    }
    site.start().await;
    site.write("createNote", json!({ "id": "new", "text": "from after" }))
        .await;
    phone.client.set_online(true).await.unwrap();
    let texts = "{ listNotes { items { id } } }";
    phone
        .until_data(texts, |data| {
            tombolo_e2e::phone::by_id(&data["listNotes"]["items"])
                .keys()
                .eq(["mine", "new"])
        })
        .await;
    phone.settled().await;
    assert_eq!(site.records("Note", "").await.len(), 2);
}

#[tokio::test]
async fn the_server_answers_a_foreign_cursor_with_a_reset_and_nonsense_with_words() {
    let site = Site::new().await;
    site.write("createNote", json!({ "id": "n", "text": "t" })).await;
    let query =
        "query($c: String) { tomboloChanges(scope: { model: \"Note\", cursor: $c }) { cursor reset upToDate rows } }";
    let first = site.ask(query, json!({ "c": null })).await["data"]["tomboloChanges"].clone();
    assert_eq!((&first["reset"], rows(&first)), (&json!(false), 1), "{first}");
    let own = first["cursor"].as_str().unwrap();
    let next = site.ask(query, json!({ "c": own })).await["data"]["tomboloChanges"].clone();
    assert_eq!((&next["reset"], rows(&next)), (&json!(false), 0), "{next}");

    let foreign = "00000000-0000-4000-8000-000000000000.1";
    let reset = site.ask(query, json!({ "c": foreign })).await["data"]["tomboloChanges"].clone();
    assert_eq!((&reset["reset"], rows(&reset)), (&json!(true), 1), "{reset}");
    // From the future of this very server: a backup was restored.
    let (epoch, _) = own.rsplit_once('.').unwrap();
    let future = site.ask(query, json!({ "c": format!("{epoch}.999999") })).await["data"]["tomboloChanges"].clone();
    assert_eq!((&future["reset"], rows(&future)), (&json!(true), 1), "{future}");

    for nonsense in ["", "tomorrow", "..", "x.y", &format!("{epoch}.-1")] {
        let answer = tombolo_e2e::wire::post(
            site.address(),
            KEY,
            &json!({ "query": query, "variables": { "c": nonsense } }),
        )
        .await;
        let answer = answer.json();
        let reset = answer["data"]["tomboloChanges"]["reset"] == true;
        let words = answer["errors"][0]["message"]
            .as_str()
            .is_some_and(|m| m.contains("cursor"));
        assert!(reset || words, "{nonsense}: {answer}");
    }
}

/// How many rows a batch has.
fn rows(batch: &Json) -> usize {
    match &batch["rows"] {
        Json::Array(rows) => rows.len(),
        Json::String(text) => serde_json::from_str::<Vec<Json>>(text).unwrap().len(),
        other => panic!("{other}"),
    }
}
