//! What an app does without a network: reads, writes, refusals, live queries, the file across restarts.
#![allow(clippy::unwrap_used)]

mod common;

use common::{CREATE, DELETE, SCHEMA, Server, UPDATE, read};
use serde_json::{Value as Json, json};
use tombolo::{Client, Error, Event, LinkStatus, OutboxState, Scope};

async fn offline(folder: &tempfile::TempDir) -> Client {
    Server::new().client(folder.path()).offline(true).open().await.unwrap()
}

#[tokio::test]
async fn a_mutation_is_seen_at_once_and_queued() {
    let folder = tempfile::tempdir().unwrap();
    let client = offline(&folder).await;
    let made = client.mutate(CREATE, json!({ "text": "wet" })).await.unwrap();
    let note: Json = serde_json::from_str(made.response.data()).unwrap();
    let id = note["createNote"]["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 36, "a fresh uuid");
    assert_eq!(note["createNote"]["done"], json!(false), "the default is filled in");
    assert_eq!(note["createNote"]["_version"], json!(0), "the server has not seen it");
    assert_eq!(
        read(&client, "{ listNotes { items { text } } }").await["listNotes"]["items"],
        json!([{ "text": "wet" }])
    );
    let updated = client
        .mutate(UPDATE, json!({ "input": { "id": id, "author": "Ada" } }))
        .await
        .unwrap();
    assert!(
        updated.response.data().contains(r#""text":"wet","author":"Ada""#),
        "{}",
        updated.response.data()
    );
    let outbox = client.outbox().await.unwrap();
    // The update is folded into the create that was never sent.
    assert_eq!(
        (outbox.len(), outbox[0].state, outbox[0].number),
        (1, OutboxState::Queued, made.numbers[0])
    );
    assert_eq!(updated.numbers, made.numbers);
    assert_eq!(client.status().borrow().pending, 1);
    let gone = client.mutate(DELETE, json!({ "id": id })).await.unwrap();
    assert!(
        gone.response.data().contains(r#""text":"wet""#),
        "{}",
        gone.response.data()
    );
    assert_eq!(
        read(&client, "{ listNotes { items { id } } }").await["listNotes"]["items"],
        json!([])
    );
    assert!(
        client.outbox().await.unwrap().is_empty(),
        "what was never sent is taken back"
    );
    client.close().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let client = offline(&folder).await;
    client
        .mutate(CREATE, json!({ "id": "a", "text": "wet" }))
        .await
        .unwrap();
    for (text, variables, code) in [
        ("mutation {", json!(null), "request"),
        (
            "mutation { createNote(input: { text: \"x\", colour: \"red\" }) { id } }",
            json!(null),
            "request",
        ),
        (
            "mutation { createNote(input: { text: 7 }) { id } }",
            json!(null),
            "request",
        ),
        (
            "mutation { createNote(input: { author: \"x\" }) { id } }",
            json!(null),
            "request",
        ),
        (CREATE, json!({}), "request"),
        (CREATE, json!([1]), "request"),
        (CREATE, json!({ "id": "a", "text": "again" }), "refused"),
        (
            UPDATE,
            json!({ "input": { "id": "nobody", "text": "x" } }),
            "unknown_record",
        ),
        (DELETE, json!({ "id": "nobody" }), "unknown_record"),
        ("{ listNotes { items { id } } }", json!(null), "request"),
    ] {
        let error = client.mutate(text, variables).await.unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(!error.can_retry() && !error.needs_sign_in());
    }
    for (text, code) in [
        ("{ listNotes { items { colour } } }", "request"),
        ("{ syncNotes { items { id } } }", "needs_network"),
        ("mutation { deleteNote(input: { id: \"a\" }) { id } }", "request"),
        ("subscription { onCreateNote { id } }", "request"),
    ] {
        let error = client.query(text, Json::Null).await.unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
    }
    assert_eq!(client.outbox().await.unwrap().len(), 1);
    client.close().await;
}

#[tokio::test]
async fn a_transaction_is_queued_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let client = offline(&folder).await;
    let failed = client
        .transaction(|t| {
            t.mutate(CREATE, json!({ "id": "a", "text": "one" }))?;
            t.mutate(UPDATE, json!({ "input": { "id": "nobody", "text": "two" } }))
        })
        .await;
    assert_eq!(failed.unwrap_err().code(), "unknown_record");
    assert!(client.outbox().await.unwrap().is_empty());
    assert_eq!(
        read(&client, "{ getNote(id: \"a\") { id } }").await["getNote"],
        Json::Null
    );

    let done = client
        .transaction(|t| {
            t.mutate(CREATE, json!({ "id": "a", "text": "one" }))?;
            t.mutate(UPDATE, json!({ "input": { "id": "a", "stars": 3 } }))
        })
        .await
        .unwrap();
    assert_eq!((done.responses.len(), done.numbers.len()), (2, 2));
    let outbox = client.outbox().await.unwrap();
    assert!(
        outbox.iter().all(|item| item.transaction == done.numbers[0]),
        "{outbox:?}"
    );
    assert_eq!(
        read(&client, "{ getNote(id: \"a\") { text stars } }").await["getNote"],
        json!({ "text": "one", "stars": 3 })
    );
    client.close().await;
}

#[tokio::test]
async fn a_watch_gives_each_new_answer_once() {
    let folder = tempfile::tempdir().unwrap();
    let client = offline(&folder).await;
    let mut watch = client.watch("{ listNotes { items { text } } }", Json::Null).unwrap();
    let mut next = async || watch.next().await.unwrap().unwrap().data().to_owned();
    assert_eq!(next().await, r#"{"listNotes":{"items":[]}}"#);
    // Neither of these changes the answer: another model, and a field that is not asked for.
    client
        .mutate("mutation { createTag(input: { name: \"t\" }) { id } }", Json::Null)
        .await
        .unwrap();
    client
        .mutate(CREATE, json!({ "id": "a", "text": "one" }))
        .await
        .unwrap();
    assert_eq!(next().await, r#"{"listNotes":{"items":[{"text":"one"}]}}"#);
    client
        .mutate(UPDATE, json!({ "input": { "id": "a", "stars": 1 } }))
        .await
        .unwrap();
    // Taken together.
    for text in ["two", "three", "four"] {
        client
            .mutate(UPDATE, json!({ "input": { "id": "a", "text": text } }))
            .await
            .unwrap();
    }
    assert_eq!(next().await, r#"{"listNotes":{"items":[{"text":"four"}]}}"#);
    client.close().await;
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn the_file_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let client = offline(&folder).await;
    let made = client
        .mutate(CREATE, json!({ "id": "a", "text": "wet" }))
        .await
        .unwrap();
    let other = client.clone();
    client.close().await;
    assert_eq!(other.outbox().await.unwrap_err().code(), "closed");
    assert!(matches!(
        other.query("{ __typename }", Json::Null).await,
        Err(Error::Closed)
    ));

    let client = offline(&folder).await;
    assert_eq!(client.outbox().await.unwrap()[0].number, made.numbers[0]);
    assert_eq!(client.status().borrow().pending, 1);
    assert_eq!(client.status().borrow().link, LinkStatus::Offline);
    client.discard(made.numbers[0]).await.unwrap();
    assert_eq!(
        read(&client, "{ getNote(id: \"a\") { id } }").await["getNote"],
        Json::Null
    );
    assert_eq!(
        client.discard(made.numbers[0]).await.unwrap_err().code(),
        "unknown_mutation"
    );
    client.close().await;
}

#[tokio::test]
async fn scopes_are_chosen_once_and_new_models_join() {
    let names = |client: &Client| client.scopes().into_iter().map(|s| s.model).collect::<Vec<_>>();
    let folder = tempfile::tempdir().unwrap();
    let client = offline(&folder).await;
    assert_eq!(names(&client), ["Note", "Tag"]);
    client.remove_scope("Tag").await.unwrap();
    assert_eq!(
        client.set_scope("Nothing", None).await.unwrap_err().code(),
        "unknown_model"
    );
    let wrong = client
        .set_scope("Note", Some(json!({ "colour": { "eq": "red" } })))
        .await;
    assert_eq!(wrong.unwrap_err().code(), "request");
    client.close().await;

    let grown = format!("{SCHEMA} type Photo @model {{ id: ID! }}");
    let client = Server::with(&grown)
        .client(folder.path())
        .offline(true)
        .open()
        .await
        .unwrap();
    assert_eq!(names(&client), ["Note", "Photo"], "what was removed stays removed");
    client.close().await;

    let folder = tempfile::tempdir().unwrap();
    let only = Scope {
        model: "Note".into(),
        filter: Some(json!({ "stars": { "gt": 3 } })),
    };
    let client = Server::new()
        .client(folder.path())
        .scopes([only])
        .offline(true)
        .open()
        .await
        .unwrap();
    assert_eq!(names(&client), ["Note"]);
    client.close().await;
}

#[tokio::test]
async fn a_mistaken_call_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replica.db");
    assert_eq!(
        Client::builder().path(&path).open().await.unwrap_err().code(),
        "incomplete"
    );
    assert_eq!(
        Client::builder().schema(SCHEMA).open().await.unwrap_err().code(),
        "incomplete"
    );
    let broken = Client::builder()
        .schema("type Note @model { id: Wrong! }")
        .path(&path)
        .open()
        .await;
    assert_eq!(broken.unwrap_err().code(), "schema");
    let missing = Client::builder()
        .schema_path(folder.path().join("none.graphql"))
        .path(&path)
        .open()
        .await;
    assert_eq!(missing.unwrap_err().code(), "schema_file");
    let address = Client::builder()
        .schema(SCHEMA)
        .path(&path)
        .url("not an address")
        .open()
        .await;
    assert_eq!(address.unwrap_err().code(), "endpoint");
    let client = Client::builder().schema(SCHEMA).path(&path).open().await.unwrap();
    assert_eq!(client.set_online(true).await.unwrap_err().code(), "incomplete");
    client.close().await;
    std::fs::write(
        folder.path().join("text.db"),
        "this is a diary, not a database, and longer than a header",
    )
    .unwrap();
    let foreign = Client::builder()
        .schema(SCHEMA)
        .path(folder.path().join("text.db"))
        .open()
        .await;
    assert!(foreign.is_err());
}

#[tokio::test]
async fn a_file_that_was_salvaged_is_told_once_to_whoever_asks_first() {
    let folder = tempfile::tempdir().unwrap();
    let client = offline(&folder).await;
    let mut events = client.events();
    client.mutate(CREATE, json!({ "text": "wet" })).await.unwrap();
    assert!(events.try_recv().is_err(), "nothing is wrong");
    client.close().await;
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
        .collect();
    let mut bytes = std::fs::read(&files[0]).unwrap();
    bytes[..4096].fill(7);
    std::fs::write(&files[0], bytes).unwrap();

    let client = offline(&folder).await;
    let salvage = client.salvage().unwrap().clone();
    let told = client.events().try_recv().unwrap();
    assert_eq!(
        told,
        Event::Salvaged {
            damaged: salvage.damaged.to_str().unwrap().to_owned(),
            problem: salvage.problem,
            same_replica: false,
            mutations: salvage.mutations,
            uncertain: salvage.uncertain,
            lost: salvage.lost,
            whole: false,
        }
    );
    assert!(salvage.damaged.exists());
    assert!(client.events().try_recv().is_err(), "once");
    client.close().await;
    let client = offline(&folder).await;
    assert!(client.events().try_recv().is_err(), "and not again at the next opening");
    assert!(client.salvage().is_some(), "where it can still be read");
    client.close().await;
}

/// What the app must not be kept from by an old file that is of no use.
#[tokio::test]
async fn a_datastore_file_that_cannot_be_taken_keeps_nobody_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("database.db");
    let open = || {
        tombolo::Client::builder()
            .schema("type Note @model { id: ID! text: String! }")
            .path(folder.path().join("replica.db"))
            .import_datastore(&old)
            .open()
    };
    let client = open().await.unwrap();
    assert_eq!(client.datastore_import(), None, "no file is no error");
    client.close().await;
    for round in 0..2 {
        std::fs::write(&old, "a text that is no database").unwrap();
        let client = open().await.unwrap();
        let report = client.datastore_import().unwrap();
        assert_eq!(report.state, tombolo::ImportState::Failed, "{round}: {report:?}");
        assert!(report.error.unwrap().contains("is not a file of Amplify DataStore"));
        let told = client.events().try_recv().unwrap();
        assert!(matches!(told, tombolo::Event::Imported(report) if report.state == tombolo::ImportState::Failed));
        client
            .query("{ listNotes { items { id } } }", serde_json::Value::Null)
            .await
            .unwrap();
        client.close().await;
        assert_eq!(std::fs::read(&old).unwrap(), b"a text that is no database");
    }
}

/// A process that is killed between the commit of an import and the end of its mark leaves a mark that was begun. The next
/// opening finishes it: whoever comes later, also a replica of the same name that is made anew, finds the file taken, and has
/// nothing to tell of it.
#[tokio::test]
async fn a_mark_that_was_begun_is_finished_by_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("database.db");
    rusqlite::Connection::open(&old)
        .unwrap()
        .execute_batch(
            "create table MutationEvent (id, createdAt, inProcess, json, modelId, modelName, mutationType);
             create table MutationSyncMetadata (id, deleted, lastChangedAt, version);
             create table Note (id text primary key not null, text text);
             insert into Note values ('n', 'wet'); insert into MutationSyncMetadata values ('Note|n', 0, 5, 4);",
        )
        .unwrap();
    std::fs::create_dir(folder.path().join("anew")).unwrap();
    let open = |replica: &str| {
        tombolo::Client::builder()
            .schema("type Note @model { id: ID! text: String! }")
            .path(folder.path().join(replica))
            .import_datastore(&old)
            .open()
    };
    let mark = || -> Json {
        let bytes = std::fs::read(folder.path().join("database.db.tombolo")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    };
    let client = open("replica.db").await.unwrap();
    let told = client.events().try_recv().unwrap();
    assert!(matches!(told, Event::Imported(report) if report.records == 1));
    client.close().await;
    let mut begun = mark();
    assert_eq!(begun["done"], json!(true));
    begun["done"] = json!(false);
    std::fs::write(folder.path().join("database.db.tombolo"), begun.to_string()).unwrap();

    let client = open("replica.db").await.unwrap();
    assert_eq!(mark()["done"], json!(true));
    assert!(client.events().try_recv().is_err(), "it was told before");
    client.close().await;
    for other in ["another.db", "anew/replica.db"] {
        let client = open(other).await.unwrap();
        let state = client.datastore_import().unwrap().state;
        assert_eq!(state, tombolo::ImportState::TakenBefore, "{other}");
        assert!(client.events().try_recv().is_err(), "nothing was taken: {other}");
        let notes = read(&client, "{ listNotes { items { id } } }").await;
        assert_eq!(notes["listNotes"]["items"], json!([]), "{other}");
        client.close().await;
    }
}
