//! Mutations that cannot succeed, and files that were copied: everything else goes on, and nothing is lost.

use std::collections::BTreeSet;

use serde_json::json;
use tombolo::{Event, FinalOutcome, MutationFilter, MutationState};
use tombolo_e2e::{Site, patiently};

/// What a note says on which the server fails, each time, as it would by a bug of its own.
const POISON: &str = "poison";

fn fail_on_poison(site: &Site) {
    let server = rusqlite::Connection::open(site.database()).unwrap();
    for when in ["INSERT", "UPDATE"] {
        let trigger = format!(
            "CREATE TRIGGER poison_{when} BEFORE {when} ON Note WHEN NEW.text = '{POISON}' \
             BEGIN SELECT RAISE(ABORT, 'poison'); END;"
        );
        server.execute_batch(&trigger).unwrap();
    }
}

#[tokio::test]
async fn poison_among_unrelated_mutations_keeps_nobody_waiting() {
    let site = Site::new().await;
    fail_on_poison(&site);
    let phone = site.offline_phone("a").await;
    let create = "mutation($input: CreateNoteInput!) { createNote(input: $input) { id } }";
    let refused = "mutation($input: CreateNoteInput!) {
        createNote(input: $input, condition: { author: { eq: \"nobody\" } }) { id } }";
    let mut poison = BTreeSet::new();
    for place in 0..300 {
        let (document, text) = match place % 50 {
            10 => (refused, "fine"),
            20 => (create, POISON),
            _ => (create, "fine"),
        };
        let input = json!({ "id": format!("n{place:03}"), "text": text, "author": "a" });
        let made = phone.client.mutate(document, json!({ "input": input })).await.unwrap();
        if text == POISON {
            poison.insert(made.numbers[0]);
        }
    }
    phone.client.set_online(true).await.unwrap();
    let status = phone.until(|status| status.up_to_date && status.pending <= 6).await;
    assert_eq!((status.pending, status.rejected), (6, 6));
    assert_eq!(site.records("Note", "").await.len(), 288);
    let left: BTreeSet<_> = phone
        .outbox()
        .await
        .iter()
        .filter(|item| item.reason.is_none())
        .map(|i| i.number)
        .collect();
    assert_eq!(left, poison, "the others have settled");
    // Each ends when the server can decide it.
    let server = rusqlite::Connection::open(site.database()).unwrap();
    server.execute_batch("DROP TRIGGER poison_INSERT").unwrap();
    for number in poison {
        // What waits to be sent again goes at once, as a person would have it; or it went by itself just now.
        if let Err(error) = phone.client.retry(number).await {
            assert_eq!(error.code(), "wrong_state", "{error}");
        }
        assert_eq!(
            patiently(phone.client.outcome(number)).await.unwrap(),
            FinalOutcome::Applied
        );
    }
    phone.settled().await;
}

#[tokio::test]
async fn poison_among_related_mutations_takes_down_only_what_hangs_on_it_and_names_it() {
    let site = Site::new().await;
    site.write("createNote", json!({ "id": "sick", "text": "x", "author": "a" }))
        .await;
    site.write("createNote", json!({ "id": "sound", "text": "x", "author": "a" }))
        .await;
    let phone = site.offline_phone("a").await;
    phone.sync().await;
    let edit = "mutation($id: ID!, $text: String!, $author: String!) {
        updateNote(input: { id: $id, text: $text }, condition: { author: { eq: $author } }) { id } }";
    let mut numbers = Vec::new();
    for place in 0..20 {
        for id in ["sick", "sound"] {
            let author = if place == 5 && id == "sick" { "nobody" } else { "a" };
            let variables = json!({ "id": id, "text": format!("edit {place}"), "author": author });
            let made = phone.client.mutate(edit, variables).await.unwrap();
            numbers.push((id, place, made.numbers[0]));
        }
    }
    phone.client.set_online(true).await.unwrap();
    phone.settled().await;
    let bad = numbers
        .iter()
        .find(|(id, place, _)| *id == "sick" && *place == 5)
        .unwrap()
        .2;
    for (id, place, number) in numbers {
        let mutation = phone.client.mutation(number).await.unwrap().unwrap();
        let wanted = if id == "sick" && place >= 5 {
            MutationState::Rejected
        } else {
            MutationState::Applied
        };
        assert_eq!(mutation.state, wanted, "{id} {place}");
        if wanted == MutationState::Rejected && place > 5 {
            let reason = mutation.reason.unwrap();
            assert!(reason.contains(&format!("mutation {bad}")), "{reason}");
        }
    }
    let notes = site.records("Note", "text").await;
    assert_eq!(
        (&notes["sick"]["text"], &notes["sound"]["text"]),
        (&json!("edit 4"), &json!("edit 19"))
    );
}

#[tokio::test]
async fn a_file_that_was_copied_goes_on_as_another_replica_and_loses_nothing() {
    let site = Site::new().await;
    let first = site.offline_phone("a").await;
    first
        .write(
            "createNote",
            json!({ "id": "both", "text": "made before the copy", "author": "a" }),
        )
        .await;
    first.close().await;
    std::fs::copy(site.replica("a"), site.replica("copy")).unwrap();

    let first = site.offline_phone("a").await;
    let second = site.offline_phone("copy").await;
    let mut events = second.client.events();
    for (phone, name) in [(&first, "first"), (&second, "second")] {
        for place in 0..3 {
            let id = format!("{name}{place}");
            phone
                .write("createNote", json!({ "id": id, "text": name, "author": "a" }))
                .await;
            phone.write("updateNote", json!({ "id": id, "done": true })).await;
        }
    }
    first.sync().await;
    let mut waiting = Vec::new();
    for item in second.outbox().await {
        waiting.push(item.number);
    }
    second.sync().await;
    for number in waiting {
        assert_eq!(
            patiently(second.client.outcome(number)).await.unwrap(),
            FinalOutcome::Applied
        );
    }
    let mut renewed = 0;
    while let Ok(event) = events.try_recv() {
        renewed += usize::from(matches!(event, Event::ReplicaRenewed { .. }));
    }
    assert_eq!(renewed, 1);
    first.sync().await;
    let notes = site.records("Note", "text _version").await;
    assert_eq!(notes.len(), 7, "{notes:?}");
    assert_eq!(notes["both"]["_version"], 1, "what both had queued took effect once");
    for phone in [&first, &second] {
        assert_eq!(phone.records("Note", "text _version").await, notes);
        let refused = phone
            .client
            .mutations(MutationFilter::in_states([MutationState::Rejected]))
            .await
            .unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
