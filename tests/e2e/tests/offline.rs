//! Two replicas that wrote without a network come together.

use serde_json::json;
use tombolo::{OutboxState, RejectReason};
use tombolo_e2e::{Phone, Site};

/// What a note is compared by.
const NOTE: &str = "text author severity done tags _version";

/// A server with one note that both replicas hold.
async fn two_with_a_note() -> (Site, Phone, Phone) {
    let site = Site::new().await;
    site.write(
        "createNote",
        json!({ "id": "n", "text": "as found", "author": "nobody" }),
    )
    .await;
    let (a, b) = (site.offline_phone("a").await, site.offline_phone("b").await);
    a.sync().await;
    b.sync().await;
    (site, a, b)
}

async fn agree(site: &Site, phones: &[&Phone]) {
    let truth = site.records("Note", NOTE).await;
    for phone in phones {
        assert_eq!(phone.records("Note", NOTE).await, truth);
        assert!(phone.outbox().await.is_empty());
    }
}

#[tokio::test]
async fn edits_of_different_fields_of_one_record_both_stand() {
    let (site, a, b) = two_with_a_note().await;
    a.write("updateNote", json!({ "id": "n", "text": "written by A" }))
        .await;
    b.write("updateNote", json!({ "id": "n", "severity": "URGENT", "done": true }))
        .await;
    // Each shows its own, at once and without a network.
    assert_eq!(
        a.records("Note", "text severity").await["n"],
        json!({"id":"n","text":"written by A","severity":null})
    );
    assert_eq!(
        b.records("Note", "text severity").await["n"],
        json!({"id":"n","text":"as found","severity":"URGENT"})
    );

    assert_eq!(a.sync().await.pushed, 1);
    assert_eq!(b.sync().await.pushed, 1);
    a.sync().await;
    let expected = json!({
        "id": "n", "text": "written by A", "author": "nobody", "severity": "URGENT", "done": true, "tags": null,
        "_version": 3
    });
    assert_eq!(site.records("Note", NOTE).await["n"], expected);
    agree(&site, &[&a, &b]).await;
}

#[tokio::test]
async fn an_edit_of_the_same_field_keeps_the_servers_and_lists_are_joined() {
    let (site, a, b) = two_with_a_note().await;
    a.write("updateNote", json!({ "id": "n", "text": "A's", "tags": ["a"] }))
        .await;
    b.write(
        "updateNote",
        json!({ "id": "n", "text": "B's", "tags": ["b"], "author": "B" }),
    )
    .await;
    a.sync().await;
    b.sync().await;
    a.sync().await;
    let note = site.records("Note", NOTE).await["n"].clone();
    assert_eq!(note["text"], "A's", "{note}");
    assert_eq!(note["tags"], json!(["a", "b"]), "{note}");
    assert_eq!(note["author"], "B", "{note}");
    agree(&site, &[&a, &b]).await;
}

#[tokio::test]
async fn records_made_offline_arrive_once_whoever_syncs_and_how_often() {
    let site = Site::new().await;
    let (a, b) = (site.offline_phone("a").await, site.offline_phone("b").await);
    for (phone, name) in [(&a, "a"), (&b, "b")] {
        for i in 0..5 {
            phone
                .write(
                    "createNote",
                    json!({ "id": format!("{name}{i}"), "text": format!("{name} {i}") }),
                )
                .await;
        }
        // Edited before it was ever sent, and taken back before it was ever sent.
        phone
            .write("updateNote", json!({ "id": format!("{name}0"), "done": true }))
            .await;
        phone
            .write(
                "createNote",
                json!({ "id": format!("{name}-never"), "text": "taken back" }),
            )
            .await;
        phone
            .write("deleteNote", json!({ "id": format!("{name}-never") }))
            .await;
    }
    for phone in [&a, &b, &a, &a, &b] {
        phone.sync().await;
    }
    let notes = site.records("Note", NOTE).await;
    assert_eq!(notes.len(), 10, "{notes:?}");
    assert_eq!(
        (&notes["a0"]["done"], &notes["b0"]["done"]),
        (&json!(true), &json!(true))
    );
    assert!(
        notes
            .values()
            .filter(|n| n["done"].is_null())
            .all(|n| n["_version"] == 1),
        "{notes:?}"
    );
    agree(&site, &[&a, &b]).await;
}

#[tokio::test]
async fn an_edit_of_a_deleted_record_is_refused_listed_and_gone() {
    let (site, a, b) = two_with_a_note().await;
    a.write("deleteNote", json!({ "id": "n" })).await;
    let edit = b.write("updateNote", json!({ "id": "n", "text": "too late" })).await;
    assert_eq!(a.ids("Note").await, [""; 0], "deleted here at once");
    a.sync().await;
    let report = b.sync().await;
    assert_eq!((report.pushed, report.rejected), (0, 1));

    let outbox = b.outbox().await;
    assert_eq!(outbox.len(), 1, "{outbox:?}");
    assert_eq!((outbox[0].number, outbox[0].state), (edit, OutboxState::Rejected));
    assert_eq!(outbox[0].reason_code.as_deref(), Some("ConflictUnhandled"));
    assert_eq!(
        outbox[0].values["text"], "too late",
        "what was refused is still there to be read"
    );
    assert_eq!(b.ids("Note").await, [""; 0]);
    b.client.discard(edit).await.unwrap();
    agree(&site, &[&a, &b]).await;
}

#[tokio::test]
async fn a_delete_that_has_not_seen_the_newest_edit_is_refused_and_the_record_is_back() {
    let (site, a, b) = two_with_a_note().await;
    a.write("updateNote", json!({ "id": "n", "text": "do keep this" }))
        .await;
    let delete = b.write("deleteNote", json!({ "id": "n" })).await;
    assert_eq!(b.ids("Note").await, [""; 0]);
    a.sync().await;
    assert_eq!(b.sync().await.rejected, 1);
    assert_eq!(b.records("Note", "text").await["n"]["text"], "do keep this");
    b.client.discard(delete).await.unwrap();
    agree(&site, &[&a, &b]).await;
}

#[tokio::test]
async fn a_create_of_an_id_that_another_took_meanwhile_is_refused_with_what_follows_from_it() {
    let site = Site::new().await;
    let (a, b) = (site.offline_phone("a").await, site.offline_phone("b").await);
    a.write("createSeat", json!({ "id": "12A", "passenger": "Ada" })).await;
    a.sync().await;
    let create = b.write("createSeat", json!({ "id": "12A", "passenger": "Ben" })).await;
    let other = b
        .write("createSeat", json!({ "id": "12B", "passenger": "Ben's bag" }))
        .await;
    let report = b.sync().await;
    assert_eq!((report.pushed, report.rejected), (1, 1), "the other one is not held up");
    let outbox = b.outbox().await;
    assert_eq!(outbox.len(), 1, "{outbox:?}");
    assert_eq!(outbox[0].number, create);
    assert_ne!(create, other);
    assert_eq!(
        outbox[0].reason_code.as_deref(),
        Some("ConditionalCheckFailedException")
    );
    assert_eq!(b.records("Seat", "passenger").await["12A"]["passenger"], "Ada");
}

#[tokio::test]
async fn a_refused_edit_is_rolled_back_and_told_to_the_app() {
    let site = Site::new().await;
    site.write("createSeat", json!({ "id": "1C", "passenger": "nobody" }))
        .await;
    let (a, b) = (site.offline_phone("a").await, site.offline_phone("b").await);
    a.sync().await;
    b.sync().await;
    a.write("updateSeat", json!({ "id": "1C", "passenger": "Ada" })).await;
    let mut events = b.client.events();
    let number = b.write("updateSeat", json!({ "id": "1C", "passenger": "Ben" })).await;
    assert_eq!(b.records("Seat", "passenger").await["1C"]["passenger"], "Ben");
    a.sync().await;
    assert_eq!(b.sync().await.rejected, 1);
    assert_eq!(
        b.records("Seat", "passenger").await["1C"]["passenger"],
        "Ada",
        "rolled back"
    );
    let told = loop {
        if let tombolo::Event::Decided { number: told, outcome } = events.recv().await.unwrap() {
            assert_eq!(told, number);
            break outcome;
        }
    };
    let tombolo::FinalOutcome::Rejected(RejectReason { code, .. }) = told else {
        panic!("{told:?}")
    };
    assert_eq!(code, tombolo::ErrorType::ConflictUnhandled);
    let status = b.client.status().borrow().clone();
    assert_eq!((status.rejected, status.pending), (1, 0));

    b.client.discard(number).await.unwrap();
    assert!(b.outbox().await.is_empty());
    assert_eq!(b.client.status().borrow().rejected, 0);
    // And again, having seen it: now it goes through.
    b.write("updateSeat", json!({ "id": "1C", "passenger": "Ben" })).await;
    assert_eq!(b.sync().await.pushed, 1);
    assert_eq!(site.records("Seat", "passenger").await["1C"]["passenger"], "Ben");
}

#[tokio::test]
async fn what_was_queued_can_be_taken_back_before_it_is_sent() {
    let (site, a, b) = two_with_a_note().await;
    let edit = a.write("updateNote", json!({ "id": "n", "text": "never mind" })).await;
    a.client.discard(edit).await.unwrap();
    assert_eq!(a.records("Note", "text").await["n"]["text"], "as found");
    assert_eq!(a.sync().await.pushed, 0);
    b.sync().await;
    agree(&site, &[&a, &b]).await;
}
