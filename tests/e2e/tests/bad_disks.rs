//! A full disk and files that cannot be written: a clear error, nothing lost, and on it goes once that is mended.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tombolo_e2e::disk::Disk;
use tombolo_e2e::phone::mutation;
use tombolo_e2e::process::{self, Replica, Said, ServerProcess};
use tombolo_e2e::{KEY, Phone, SCHEMA, Site, wire};

/// Enough for the databases, and quick to fill.
const DISK_KIB: u32 = 8 * 1024;

/// Larger than what a write-ahead log may have room for by chance.
const TEXT_BYTES: usize = 100_000;

fn schema_file(folder: &Path) -> PathBuf {
    let file = folder.join("schema.graphql");
    std::fs::write(&file, SCHEMA).unwrap();
    file
}

/// Runs `tombolo client` where `disk` is seen.
fn client(disk: &Disk, replica: &Replica, arguments: &[&str]) -> Said {
    let mut command = disk.tombolo();
    replica.arguments(&mut command, arguments);
    process::run(&mut command)
}

fn create(id: &str) -> String {
    let text = "x".repeat(TEXT_BYTES);
    format!("mutation {{ createNote(input: {{ id: \"{id}\", text: \"{text}\" }}) {{ id }} }}")
}

const IDS: &str = "{ listNotes { items { id } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_on_a_full_disk_refuses_the_write_and_keeps_what_it_has() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::small(folder.path(), DISK_KIB);
    let schema = schema_file(site.folder());
    let replica = Replica {
        database: folder.path().join("replica.db"),
        schema,
        url: Some(site.url()),
    };
    for id in ["1", "2"] {
        let said = client(&disk, &replica, &["exec", &create(id)]);
        assert_eq!(said.code(), Some(0), "{said:?}");
    }
    disk.fill();
    let said = client(&disk, &replica, &["exec", &create("3")]);
    assert_eq!((said.code(), said.lines.len()), (Some(4), 0), "{said:?}");
    assert!(
        said.words.contains("disk is full") && said.words.contains("free some space"),
        "{said:?}"
    );

    disk.make_room();
    let said = client(&disk, &replica, &["exec", IDS]);
    assert_eq!(
        said.lines,
        [json!({ "data": { "listNotes": { "items": [{ "id": "1" }, { "id": "2" }] } } })]
    );
    assert_eq!(client(&disk, &replica, &["exec", &create("3")]).code(), Some(0));
    let said = client(&disk, &replica, &["sync"]);
    assert_eq!(
        (said.code(), &said.lines[0]["pushed"], &said.lines[0]["rejected"]),
        (Some(0), &json!(3), &json!(0)),
        "{said:?}"
    );
    assert_eq!(site.records("Note", "").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_disk_fills_while_it_pulls_goes_on_later_where_it_was() {
    let site = Site::new().await;
    let text = "x".repeat(TEXT_BYTES);
    for i in 0..120 {
        site.write("createNote", json!({ "id": format!("{i:03}"), "text": text }))
            .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let schema = schema_file(site.folder());
    let replica = Replica {
        database: folder.path().join("replica.db"),
        schema,
        url: Some(site.url()),
    };
    let kept = tempfile::tempdir().unwrap();
    {
        // 12 MB do not go into 8.
        let disk = Disk::small(folder.path(), DISK_KIB);
        let said = client(&disk, &replica, &["exec", &create("mine")]);
        assert_eq!(said.code(), Some(0), "{said:?}");
        let said = client(&disk, &replica, &["sync", "--timeout", "3"]);
        assert_ne!(said.code(), Some(0), "{said:?}");
        assert_eq!(said.lines.len(), 1, "{said:?}");
        assert_eq!(said.lines[0]["upToDate"], false, "{said:?}");
        assert!(said.words.contains("disk is full"), "{said:?}");
        disk.copy_to(kept.path());
    }
    // On a larger disk.
    let replica = Replica {
        database: kept.path().join("replica.db"),
        ..replica
    };
    let line = replica.line(&["sync"]);
    assert_eq!((&line["pending"], &line["upToDate"]), (&json!(0), &json!(true)));
    let said = replica.line(&["exec", "{ listNotes(limit: 1000) { items { id } } }"]);
    assert_eq!(said["data"]["listNotes"]["items"].as_array().unwrap().len(), 121);
    assert_eq!(site.records("Note", "_version").await["mine"]["_version"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_on_a_full_disk_says_so_decides_nothing_and_resumes_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let schema = schema_file(aside.path());
    let disk = Disk::small(folder.path(), DISK_KIB);
    let mut command = disk.tombolo();
    process::dev_arguments(&mut command, folder.path(), &schema, "127.0.0.1:0");
    let server = ServerProcess::start(&mut command).unwrap();
    let text = "x".repeat(TEXT_BYTES);
    let write = |id: &str| {
        let body = json!({ "query": mutation("createNote"), "variables": { "input": { "id": id, "text": text } } });
        let address = server.address.clone();
        async move { wire::post(&address, KEY, &body).await }
    };
    assert_eq!(write("before").await.status, 200);

    let builder = tombolo::Client::builder()
        .schema(SCHEMA)
        .path(aside.path().join("phone.db"));
    let phone = Phone::open(builder.url(server.url()).api_key(KEY), aside.path().join("phone.db")).await;
    phone.settled().await;
    disk.fill();
    let reply = write("during").await;
    assert_eq!(
        (reply.status, reply.error().0.as_str()),
        (503, "InternalFailure"),
        "{reply:?}"
    );
    assert!(reply.error().1.contains("disk is full"), "{reply:?}");
    let ready = wire::get(&server.address, "/readyz").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("cannot write")));
    assert_eq!(wire::get(&server.address, "/healthz").await.status, 200);

    // Reads go on; a replica's mutation is not decided and waits.
    let read = wire::post(&server.address, KEY, &json!({ "query": IDS })).await.json();
    assert_eq!(
        read["data"]["listNotes"]["items"],
        json!([{ "id": "before" }]),
        "{read}"
    );
    phone.write("createNote", json!({ "id": "phone", "text": text })).await;
    phone
        .until(|status| status.last_error.as_ref().is_some_and(|e| e.code == "undecided"))
        .await;
    assert_eq!(phone.outbox().await.len(), 1);

    disk.make_room();
    phone.client.set_online(true).await.unwrap();
    phone.settled().await;
    assert_eq!(write("after").await.status, 200);
    let read = wire::post(
        &server.address,
        KEY,
        &json!({ "query": "{ listNotes { items { id _version } } }" }),
    )
    .await
    .json();
    let mut ids: Vec<&Json> = read["data"]["listNotes"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| &n["id"])
        .collect();
    ids.sort_by_key(|id| id.to_string());
    assert_eq!(ids, ["after", "before", "phone"], "what was refused left no trace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_cannot_be_written_says_so_and_is_as_it_was() {
    let site = Site::new().await;
    let folder = tempfile::tempdir().unwrap();
    let schema = schema_file(site.folder());
    let replica = Replica {
        database: folder.path().join("replica.db"),
        schema,
        url: Some(site.url()),
    };
    let text = "mutation { createNote(input: { id: \"n\", text: \"t\" }) { id } }";
    let _id = replica.line(&["exec", text]);

    for (read_only, part) in [
        (folder.path(), "Read-only file system"),
        (&*replica.database, "read-only"),
    ] {
        let disk = Disk::read_only(read_only);
        let said = client(&disk, &replica, &["exec", &text.replace("\"n\"", "\"m\"")]);
        assert_eq!((said.code(), said.lines.len()), (Some(4), 0), "{said:?}");
        assert!(said.words.contains(part), "{said:?}");
    }
    assert_eq!(replica.line(&["sync"])["pushed"], 1);
    assert_eq!(site.records("Note", "").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_write_its_files_does_not_start_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let aside = tempfile::tempdir().unwrap();
    let schema = schema_file(aside.path());
    let server = ServerProcess::start(&mut process::dev(folder.path(), &schema, "127.0.0.1:0")).unwrap();
    let body = json!({ "query": mutation("createNote"), "variables": { "input": { "id": "n", "text": "kept" } } });
    assert_eq!(wire::post(&server.address, KEY, &body).await.status, 200);
    server.kill();
    let database = folder.path().join("tombolo.sqlite");
    for (read_only, part) in [
        (folder.path(), "Read-only file system"),
        (&*database, "cannot be written"),
    ] {
        let disk = Disk::read_only(read_only);
        let mut command = disk.tombolo();
        process::dev_arguments(&mut command, folder.path(), &schema, "127.0.0.1:0");
        let said = ServerProcess::start(&mut command).unwrap_err();
        assert_eq!(said.code(), Some(4), "{said:?}");
        assert!(
            said.words.contains(part) && said.words.contains("tombolo.sqlite"),
            "{said:?}"
        );
    }
    let server = ServerProcess::start(&mut process::dev(folder.path(), &schema, "127.0.0.1:0")).unwrap();
    let read = wire::post(
        &server.address,
        KEY,
        &json!({ "query": "{ listNotes { items { id text } } }" }),
    )
    .await
    .json();
    assert_eq!(
        read["data"]["listNotes"]["items"],
        json!([{ "id": "n", "text": "kept" }])
    );
}
