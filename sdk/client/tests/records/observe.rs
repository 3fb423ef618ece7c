//! What is told of changes to records.

use tombolo::{Observe, ObserveOptions, Observed, ObservedKind};

use super::*;

async fn next(observe: &mut Observe) -> Observed {
    tokio::time::timeout(PATIENCE, observe.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}

/// Nothing more is told before a mark that is made now.
async fn nothing_before_a_mark(client: &Client, observe: &mut Observe) {
    client
        .save(Save::record("Note", json!({ "id": "mark", "text": "m" })))
        .await
        .unwrap();
    let mark = next(observe).await;
    assert_eq!((mark.kind, mark.key), (ObservedKind::Created, json!({ "id": "mark" })));
    client.delete("Note", json!("mark"), None).await.unwrap();
    assert_eq!(next(observe).await.key, json!({ "id": "mark" }));
}

#[tokio::test]
async fn each_change_is_told_once_with_what_the_record_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(SCHEMA).unwrap();
    let anna = phone(&server, "anna", &folder).await;
    anna.save(Save::record("Note", json!({ "id": "old", "text": "there" })))
        .await
        .unwrap();
    settled(&anna).await;
    let mut observe = anna.observe("Note", ObserveOptions::default()).await.unwrap();
    server.network("anna").go_offline();
    until(&anna, |s| s.link != LinkStatus::Live).await;
    // Nothing of what is there; the app's own at once.
    anna.save(Save::record("Note", json!({ "id": "n1", "text": "a" })))
        .await
        .unwrap();
    let change = next(&mut observe).await;
    assert_eq!(
        (change.kind, &change.key),
        (ObservedKind::Created, &json!({ "id": "n1" }))
    );
    let record = parsed(&change.record.unwrap());
    assert_eq!((&record["text"], &record["_version"]), (&json!("a"), &json!(0)));
    // With the server's version it is another record to who looks at it.
    server.network("anna").go_online();
    anna.set_online(true).await.unwrap();
    settled(&anna).await;
    let change = next(&mut observe).await;
    assert_eq!(
        (change.kind, &change.key),
        (ObservedKind::Updated, &json!({ "id": "n1" }))
    );
    assert_eq!(parsed(&change.record.unwrap())["_version"], 1);
    server
        .ask(
            "mutation { updateNote(input: { id: \"old\", text: \"theirs\" }) { id } }",
            json!(null),
        )
        .unwrap();
    let theirs = next(&mut observe).await;
    assert_eq!(
        (theirs.kind, &theirs.key),
        (ObservedKind::Updated, &json!({ "id": "old" }))
    );
    server
        .ask("mutation { deleteNote(input: { id: \"old\" }) { id } }", json!(null))
        .unwrap();
    let gone = next(&mut observe).await;
    assert_eq!((gone.kind, &gone.key), (ObservedKind::Deleted, &json!({ "id": "old" })));
    assert_eq!(parsed(&gone.record.unwrap())["text"], "theirs");
    // Another model is none of its business.
    anna.save(Save::record("Folder", json!({ "name": "f" }))).await.unwrap();
    server.network("anna").go_offline();
    nothing_before_a_mark(&anna, &mut observe).await;
    anna.close().await;
    assert!(observe.next().await.is_none());
}

#[tokio::test]
async fn a_filter_makes_records_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    client
        .save(Save::record("Note", json!({ "id": "n1", "text": "wet" })))
        .await
        .unwrap();
    let options = |with_existing| ObserveOptions {
        filter: Some(json!({ "text": { "beginsWith": "w" } })),
        with_existing,
    };
    let mut observe = client.observe("Note", options(false)).await.unwrap();
    let mut existing = client.observe("Note", options(true)).await.unwrap();
    assert_eq!(next(&mut existing).await.kind, ObservedKind::Created);
    for (text, kind) in [
        ("dry", ObservedKind::Left),
        ("wild", ObservedKind::Created),
        ("wide", ObservedKind::Updated),
    ] {
        client
            .save(Save::record("Note", json!({ "id": "n1", "text": text })))
            .await
            .unwrap();
        for observe in [&mut observe, &mut existing] {
            let change = next(observe).await;
            assert_eq!(change.kind, kind, "{text}");
            assert_eq!(parsed(&change.record.unwrap())["text"], text);
        }
    }
    client
        .save(Save::record("Note", json!({ "id": "n2", "text": "dry" })))
        .await
        .unwrap();
    client.delete("Note", json!("n1"), None).await.unwrap();
    let gone = next(&mut observe).await;
    // The server has never heard of it.
    assert_eq!(
        (gone.kind, gone.record, gone.key),
        (ObservedKind::Left, None, json!({ "id": "n1" }))
    );
    let wrong = ObserveOptions {
        filter: Some(json!({ "nothing": {} })),
        ..ObserveOptions::default()
    };
    for with_existing in [false, true] {
        let wrong = ObserveOptions {
            with_existing,
            ..wrong.clone()
        };
        assert_eq!(client.observe("Note", wrong).await.unwrap_err().code(), "request");
    }
    assert_eq!(
        client
            .observe("Nope", ObserveOptions::default())
            .await
            .unwrap_err()
            .code(),
        "unknown_model"
    );
    client.close().await;
}

/// Changes that nobody asks for cost a bounded room, and each record's last state is told.
#[tokio::test]
async fn a_slow_reader_is_told_of_each_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    let mut observe = client.observe("Note", ObserveOptions::default()).await.unwrap();
    // More than a change set names.
    for round in 0..2 {
        for i in 0..300 {
            let record = json!({ "id": format!("n{i:03}"), "text": format!("r{round}") });
            client.save(Save::record("Note", record)).await.unwrap();
        }
    }
    client
        .save(Save::record("Note", json!({ "id": "z", "text": "last" })))
        .await
        .unwrap();
    let mut told = Vec::new();
    while told.len() < 301 {
        let change = next(&mut observe).await;
        assert_eq!(change.kind, ObservedKind::Created);
        assert!(!change.record.unwrap().contains("\"r0\""));
        told.push(change.key["id"].as_str().unwrap().to_owned());
    }
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), 301);
    for id in ["n001", "n002"] {
        client.delete("Note", json!(id), None).await.unwrap();
        assert_eq!(next(&mut observe).await.key, json!({ "id": id }));
    }
    nothing_before_a_mark(&client, &mut observe).await;
    client.close().await;
}

#[tokio::test]
async fn a_suspended_one_waits_and_then_tells_what_has_become_different() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    for id in ["a", "b", "c"] {
        client
            .save(Save::record("Note", json!({ "id": id, "text": "t" })))
            .await
            .unwrap();
    }
    let mut observe = client.observe("Note", ObserveOptions::default()).await.unwrap();
    client.suspend().await.unwrap();
    assert!(futures_util::poll!(std::pin::pin!(observe.next())).is_pending());
    // Another process goes on meanwhile.
    let other = alone(&folder).await;
    other
        .save(Save::record("Note", json!({ "id": "a", "text": "other" })))
        .await
        .unwrap();
    other.delete("Note", json!("b"), None).await.unwrap();
    other
        .save(Save::record("Note", json!({ "id": "d", "text": "new" })))
        .await
        .unwrap();
    other.close().await;
    client.resume().await.unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        let change = next(&mut observe).await;
        told.push((change.key["id"].as_str().unwrap().to_owned(), change.kind));
    }
    told.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        told,
        [
            ("a".to_owned(), ObservedKind::Updated),
            ("b".to_owned(), ObservedKind::Left),
            ("d".to_owned(), ObservedKind::Created)
        ]
    );
    nothing_before_a_mark(&client, &mut observe).await;
    client.close().await;
    assert!(StreamExt::next(&mut observe).await.is_none());
}

/// A transaction is told when it is whole.
#[tokio::test]
async fn nothing_is_told_from_within_a_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    let mut observe = client.observe("Note", ObserveOptions::default()).await.unwrap();
    let create = "mutation($id: ID!) { createNote(input: { id: $id, text: \"t\" }) { id } }";
    let failed = client
        .transaction(|t| {
            t.mutate(create, json!({ "id": "x" }))?;
            t.mutate(create, json!({ "id": "x" }))
        })
        .await;
    assert!(failed.is_err());
    client
        .transaction(|t| {
            t.mutate(create, json!({ "id": "a" }))?;
            t.mutate(create, json!({ "id": "b" }))
        })
        .await
        .unwrap();
    for id in ["a", "b"] {
        assert_eq!(next(&mut observe).await.key, json!({ "id": id }));
        // When the first is told the other is there.
        assert_eq!(get(&client, "b").await["text"], "t");
    }
    client.close().await;
}
