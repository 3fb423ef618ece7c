//! Database files and ports that cannot be used: the caller is told which and why, and the file is as it was.

use std::path::Path;

use rusqlite::Connection;
use serde_json::json;
use tombolo::OpenError;
use tombolo_e2e::process::{self, Replica, ServerProcess};
use tombolo_e2e::{Phone, SCHEMA, Site, phone};
use tombolo_server::config::SchemaSource;
use tombolo_server::{Server, StartError};

fn user_version(file: &Path) -> i64 {
    Connection::open(file)
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap()
}

fn set_user_version(file: &Path, version: i64) {
    Connection::open(file)
        .unwrap()
        .pragma_update(None, "user_version", version)
        .unwrap();
}

/// A database of somebody else's; its bytes.
fn foreign(file: &Path) -> Vec<u8> {
    let db = Connection::open(file).unwrap();
    db.execute_batch("CREATE TABLE contacts (name TEXT); INSERT INTO contacts VALUES ('Ada')")
        .unwrap();
    db.close().unwrap();
    std::fs::read(file).unwrap()
}

/// The schema of the tests as a file.
fn schema_file(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("schema.graphql");
    std::fs::write(&file, SCHEMA).unwrap();
    file
}

fn database_error(error: StartError) -> String {
    match error {
        StartError::Database { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

// --- a file of a newer version ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicas_file_of_a_newer_release_is_refused_and_kept() {
    let site = Site::new().await;
    let phone = site.offline_phone("p").await;
    phone.write("createNote", json!({ "id": "n", "text": "unsent" })).await;
    phone.close().await;
    let file = site.replica("p");
    let version = user_version(&file);
    set_user_version(&file, 999);
    let error = site.builder("p").open().await.unwrap_err();
    assert_eq!(error.code(), "newer_file");
    let tombolo::Error::Open(OpenError::Newer { found: 999, known }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(*known, version);
    assert!(error.to_string().contains("update the app"), "{error}");
    assert_eq!(user_version(&file), 999);

    set_user_version(&file, version);
    let phone = site.offline_phone("p").await;
    assert_eq!(phone.outbox().await.len(), 1);
    assert_eq!(phone.sync().await.pushed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_file_of_a_newer_version_is_refused_and_kept() {
    let mut site = Site::new().await;
    site.write("createNote", json!({ "id": "n", "text": "kept" })).await;
    site.stop().await;
    let version = user_version(&site.database());
    set_user_version(&site.database(), 999);
    let reason = database_error(site.try_start().await.unwrap_err());
    assert!(reason.contains("newer version") && reason.contains("999"), "{reason}");
    set_user_version(&site.database(), version);
    site.start().await;
    assert_eq!(site.records("Note", "text").await["n"]["text"], "kept");
}

// --- a file of something else ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_another_program_is_refused_and_not_touched() {
    let mut site = Site::new().await;
    let bytes = foreign(&site.replica("p"));
    let error = site.builder("p").open().await.unwrap_err();
    assert_eq!(error.code(), "foreign_file");
    assert!(error.to_string().contains("another program"), "{error}");
    assert!(
        std::fs::read(site.replica("p")).unwrap() == bytes,
        "the replica changed a file that is not its own"
    );

    site.stop().await;
    let theirs = site.folder().join("theirs.db");
    let bytes = foreign(&theirs);
    let database = tombolo_server::config::Database::File(theirs.clone());
    let reason = database_error(
        site.try_start_with(|config| config.database = database)
            .await
            .unwrap_err(),
    );
    assert!(reason.contains("is not a database of this server"), "{reason}");
    assert!(
        std::fs::read(theirs).unwrap() == bytes,
        "the server changed a file that is not its own"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_database_is_refused_and_not_touched() {
    let mut site = Site::new().await;
    let text = "Dear diary, ".repeat(500);
    std::fs::write(site.replica("p"), &text).unwrap();
    let error = site.builder("p").open().await.unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
    assert_eq!(std::fs::read_to_string(site.replica("p")).unwrap(), text);

    site.stop().await;
    let diary = site.folder().join("diary.txt");
    std::fs::write(&diary, &text).unwrap();
    let database = tombolo_server::config::Database::File(diary.clone());
    let reason = database_error(
        site.try_start_with(|config| config.database = database)
            .await
            .unwrap_err(),
    );
    assert!(
        reason.contains("not a database") && reason.contains("diary.txt"),
        "{reason}"
    );
    assert_eq!(std::fs::read_to_string(diary).unwrap(), text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_not_there_is_named() {
    let mut site = Site::new().await;
    let nowhere = site.folder().join("nowhere/replica.db");
    let error = site.builder("p").path(&nowhere).open().await.unwrap_err();
    assert_eq!(error.code(), "open");
    assert!(error.to_string().contains("nowhere/replica.db"), "{error}");
    site.stop().await;
    let database = tombolo_server::config::Database::File(nowhere);
    let reason = database_error(
        site.try_start_with(|config| config.database = database)
            .await
            .unwrap_err(),
    );
    assert!(
        reason.contains("nowhere/replica.db") && reason.contains("folder exists"),
        "{reason}"
    );
}

// --- two processes on one database ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replicas_file_that_is_open_is_not_given_another_schema() {
    let site = Site::new().await;
    let phone = site.offline_phone("p").await;
    phone.write("createNote", json!({ "id": "n", "text": "first" })).await;
    // A second client in this process, and a second process, both of another release of the app.
    let other = SCHEMA.replace("severity: String", "urgency: String");
    let error = site.builder("p").schema(other.clone()).open().await.unwrap_err();
    assert!(matches!(&error, tombolo::Error::Open(OpenError::InUse(_))), "{error:?}");
    assert!(error.code() == "in_use" && error.can_retry(), "{error}");
    let file = site.folder().join("other.graphql");
    std::fs::write(&file, other).unwrap();
    let mut replica = Replica {
        database: site.replica("p"),
        schema: file,
        url: Some(site.url()),
    };
    let create = "mutation { createNote(input: { id: \"m\", text: \"second\" }) { id } }";
    let said = replica.run(&["exec", create]);
    assert_eq!((said.code(), said.lines.len()), (Some(4), 0), "{said:?}");
    assert!(said.words.contains("in use"), "{said:?}");
    // The first goes on; another process of the same release shares its file.
    phone
        .write("updateNote", json!({ "id": "n", "text": "still first" }))
        .await;
    replica.schema = schema_file(site.folder());
    assert_eq!(replica.line(&["exec", create])["data"]["createNote"]["id"], "m");
    phone.close().await;
    assert_eq!(replica.line(&["sync"])["pushed"], 2);
    assert_eq!(site.records("Note", "text").await["n"]["text"], "still first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_servers_file_belongs_to_one_process_at_a_time() {
    let site = Site::new().await;
    site.write("createNote", json!({ "id": "n", "text": "kept" })).await;
    let mut second = site.config().clone();
    second.listen = "127.0.0.1:0".to_owned();
    let reason = database_error(Server::start(second).await.unwrap_err());
    assert!(reason.contains("in use by another server"), "{reason}");

    // A process beside it: `dev` keeps its database as tombolo.sqlite in its folder.
    let folder = tempfile::tempdir().unwrap();
    let schema = schema_file(folder.path());
    let first = ServerProcess::start(&mut process::dev(folder.path(), &schema, "127.0.0.1:0")).unwrap();
    let said = ServerProcess::start(&mut process::dev(folder.path(), &schema, "127.0.0.1:0")).unwrap_err();
    assert_eq!(said.code(), Some(4), "{said:?}");
    assert!(said.words.contains("in use by another server"), "{said:?}");
    first.kill();
    // The lock went with its process.
    drop(ServerProcess::start(&mut process::dev(folder.path(), &schema, "127.0.0.1:0")).unwrap());
    assert_eq!(site.records("Note", "text").await["n"]["text"], "kept");
}

// --- a schema that does not match the data ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_would_lose_the_servers_data_is_refused_with_the_mend() {
    let mut site = Site::new().await;
    site.write("createNote", json!({ "id": "n", "text": "kept", "author": "Ada" }))
        .await;
    site.write("createFlight", json!({ "id": "f", "carrier": "UA" })).await;
    site.stop().await;
    let source = |text: String| SchemaSource::Text {
        name: "schema.graphql".into(),
        text,
    };
    let changed = SCHEMA
        .replace("author: String", "author: Int")
        .replace("type Flight", "type Trip")
        .replace("delay: Int", "delay: Float");
    let reason = database_error(
        site.try_start_with(|config| config.schema = source(changed))
            .await
            .unwrap_err(),
    );
    for part in [
        "Note.author",
        "its type was String and would be Int",
        "Flight: the schema no longer has this model",
        "put `type Flight @model` back",
    ] {
        assert!(reason.contains(part), "{reason}\nlacks: {part}");
    }
    let rekeyed = SCHEMA.replace(
        "type Note @model {\n  id: ID!",
        "type Note @model {\n  id: ID!\n  place: ID! @primaryKey",
    );
    assert_ne!(rekeyed, SCHEMA);
    let reason = database_error(
        site.try_start_with(|config| config.schema = source(rekeyed))
            .await
            .unwrap_err(),
    );
    assert!(reason.contains("Note: its primary key was"), "{reason}");
    // What would be lost is named, and lost only when it is asked for by that name; a new field is simply there.
    let without = SCHEMA.replace("  author: String\n", "  mood: String\n");
    let reason = database_error(
        site.try_start_with(|config| config.schema = source(without.clone()))
            .await
            .unwrap_err(),
    );
    assert!(reason.contains("--allow-breaking Note.author"), "{reason}");
    site.try_start_with(|config| {
        config.schema = source(without);
        config.allow_breaking = ["Note.author".to_owned()].into();
    })
    .await
    .unwrap();
    assert_eq!(
        site.records("Note", "text mood").await["n"],
        json!({ "id": "n", "text": "kept", "mood": null })
    );
    site.stop().await;
    site.try_start_with(|config| config.schema = source(SCHEMA.into()))
        .await
        .unwrap();
    assert_eq!(site.records("Note", "author").await["n"]["author"], json!(null));
    assert_eq!(site.records("Flight", "carrier").await["f"]["carrier"], "UA");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_does_not_match_a_replicas_rows_drops_the_rows_and_keeps_the_outbox() {
    let site = Site::new().await;
    site.write("createNote", json!({ "id": "n", "text": "as found", "author": "Ada" }))
        .await;
    let phone = site.offline_phone("p").await;
    phone.sync().await;
    phone.write("updateNote", json!({ "id": "n", "text": "unsent" })).await;
    phone
        .write("createNote", json!({ "id": "m", "text": "unsent too" }))
        .await;
    let before = phone.outbox().await;
    phone.close().await;

    // The app's update believes that `author` is a number: its cached rows cannot stand.
    let wrong = SCHEMA.replace("author: String", "author: Int");
    let phone = Phone::open(site.builder("p").schema(wrong).offline(true), site.replica("p")).await;
    assert_eq!(phone.outbox().await, before, "the queue survives");
    phone.close().await;
    // The next update mends that.
    let phone = site.offline_phone("p").await;
    assert_eq!(phone.outbox().await, before);
    let report = phone.sync().await;
    assert_eq!((report.pushed, report.rejected), (2, 0));
    let fields = "text author _version";
    assert_eq!(phone.records("Note", fields).await, site.records("Note", fields).await);
    assert_eq!(
        phone.records("Note", fields).await["n"],
        json!({ "id": "n", "text": "unsent", "author": "Ada", "_version": 2 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_cannot_work_is_refused_by_place() {
    let mut site = Site::new().await;
    let broken = SCHEMA.replace("[Note]", "[Nota]");
    let error = site.builder("p").schema(&broken).open().await.unwrap_err();
    assert_eq!(error.code(), "schema");
    assert!(
        error.to_string().contains("schema.graphql:7:") && error.to_string().contains("Nota"),
        "{error}"
    );
    site.stop().await;
    let source = SchemaSource::Text {
        name: "schema.graphql".into(),
        text: broken,
    };
    let error = site.try_start_with(|config| config.schema = source).await.unwrap_err();
    assert!(
        matches!(error, StartError::Schema(_)) && error.to_string().contains("schema.graphql:7:"),
        "{error}"
    );
}

// --- a port in use ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named_and_the_data_stay_free() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let mut second = site.config().clone();
    second.database = tombolo_server::config::Database::File(folder.path().join("second.db"));
    let error = Server::start(second).await.unwrap_err();
    assert!(
        matches!(&error, StartError::InUse(address) if address == site.address()),
        "{error:?}"
    );
    assert!(error.to_string().contains("in use by another program"), "{error}");

    let schema = schema_file(folder.path());
    let said = ServerProcess::start(&mut process::dev(folder.path(), &schema, site.address())).unwrap_err();
    assert_eq!(said.code(), Some(1), "{said:?}");
    assert!(
        said.words.contains("in use") && said.words.contains("--listen"),
        "{said:?}"
    );
    // Elsewhere it starts at once: nothing was left locked.
    drop(ServerProcess::start(&mut process::dev(folder.path(), &schema, "127.0.0.1:0")).unwrap());
    let answer = site
        .ask(
            &phone::mutation("createNote"),
            json!({ "input": { "id": "n", "text": "t" } }),
        )
        .await;
    assert!(answer["errors"].is_null(), "{answer}");
}
