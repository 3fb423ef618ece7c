//! The story that the README tells, by the built binary alone: a server, two replicas, edits without a network.

use std::io::BufRead as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tombolo_e2e::process::{self, Process, Replica, ServerProcess};
use tombolo_e2e::{KEY, SCHEMA, wire};

struct Scene {
    folder: TempDir,
    server: ServerProcess,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let schema = folder.path().join("schema.graphql");
        std::fs::write(&schema, SCHEMA).unwrap();
        let mut dev = process::dev(&folder.path().join("data"), &schema, "127.0.0.1:0");
        let server = ServerProcess::start(&mut dev).unwrap();
        Self { folder, server }
    }

    fn replica(&self, name: &str) -> Replica {
        let at = |file: &str| Path::join(self.folder.path(), file);
        Replica {
            database: at(name),
            schema: at("schema.graphql"),
            url: Some(self.server.url()),
        }
    }

    async fn ask(&self, query: &str) -> Json {
        wire::post(&self.server.address, KEY, &json!({ "query": query }))
            .await
            .json()
    }
}

const NOTES: &str = "{ listNotes { items { id text severity _version } } }";

#[tokio::test]
async fn two_replicas_edit_without_a_network_and_both_edits_stand() {
    let scene = Scene::new();
    let made = scene
        .ask("mutation { createNote(input: { id: \"n\", text: \"as found\" }) { id } }")
        .await;
    assert_eq!(made["data"]["createNote"]["id"], "n", "{made}");
    let (a, b) = (scene.replica("a.db"), scene.replica("b.db"));
    for replica in [&a, &b] {
        let report = replica.line(&["sync"]);
        assert_eq!(
            report,
            json!({ "pushed": 0, "rejected": 0, "pulled": 1, "pending": 0, "upToDate": true })
        );
    }
    let edit = "mutation($i: UpdateNoteInput!) { updateNote(input: $i) { id text severity } }";
    let ours = json!({ "i": { "id": "n", "text": "written by A" } }).to_string();
    let said = a.line(&["--offline", "exec", edit, "--variables", &ours]);
    assert_eq!(
        said,
        json!({ "data": { "updateNote": { "id": "n", "text": "written by A", "severity": null } } })
    );
    let theirs = json!({ "i": { "id": "n", "severity": "URGENT" } }).to_string();
    let said = b.line(&["--offline", "exec", edit, "--variables", &theirs]);
    assert_eq!(
        said,
        json!({ "data": { "updateNote": { "id": "n", "text": "as found", "severity": "URGENT" } } })
    );
    for id in ["1", "2", "3"] {
        let create = format!("mutation {{ createNote(input: {{ id: \"{id}\", text: \"new\" }}) {{ id }} }}");
        let _id = a.line(&["--offline", "exec", &create]);
    }
    assert_eq!(a.run(&["outbox", "list"]).lines.len(), 4);
    assert_eq!(a.line(&["status"])["pending"], 4);

    assert_eq!(a.line(&["sync"])["pushed"], 4);
    assert_eq!(b.line(&["sync"])["pushed"], 1);
    let _again = a.line(&["sync"]);
    let (held_a, held_b) = (a.line(&["exec", NOTES]), b.line(&["exec", NOTES]));
    assert_eq!(held_a, held_b);
    assert_eq!(held_a, scene.ask(NOTES).await);
    let note = &held_a["data"]["listNotes"]["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|n| n["id"] == "n")
        .unwrap()
        .clone();
    assert_eq!(
        *note,
        json!({ "id": "n", "text": "written by A", "severity": "URGENT", "_version": 3 })
    );
}

#[tokio::test]
async fn a_watch_prints_a_line_when_another_replica_has_written() {
    let scene = Scene::new();
    let (a, b) = (scene.replica("a.db"), scene.replica("b.db"));
    let _report = a.line(&["sync"]);
    let query = "{ listNotes { items { text } } }";
    let mut watching = Process::start(
        b.command(&["watch", query])
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    );
    let mut lines = watching
        .output()
        .lines()
        .map(|line| serde_json::from_str::<Json>(&line.unwrap()).unwrap());
    assert_eq!(lines.next(), Some(json!({ "data": { "listNotes": { "items": [] } } })));
    let _id = a.line(&[
        "exec",
        "mutation { createNote(input: { text: \"wet runway\" }) { id } }",
    ]);
    let began = Instant::now();
    assert_eq!(a.line(&["sync"])["pushed"], 1);
    assert_eq!(
        lines.next(),
        Some(json!({ "data": { "listNotes": { "items": [{ "text": "wet runway" }] } } }))
    );
    println!("from the start of `sync` on A to the line on B: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_scope_set_on_the_command_line_holds_exactly_its_records() {
    let scene = Scene::new();
    for (id, carrier) in [("1", "UA"), ("2", "AA"), ("3", "UA")] {
        let create = format!("mutation {{ createFlight(input: {{ id: \"{id}\", carrier: \"{carrier}\" }}) {{ id }} }}");
        assert!(scene.ask(&create).await["errors"].is_null());
    }
    let replica = scene.replica("ua.db");
    let _set = replica.line(&["scope", "set", "Flight", r#"{"carrier":{"eq":"UA"}}"#]);
    let ids = |replica: &Replica| {
        let said = replica.line(&["exec", "{ listFlights { items { id } } }"]);
        tombolo_e2e::phone::by_id(&said["data"]["listFlights"]["items"])
            .into_keys()
            .collect::<Vec<_>>()
    };
    assert_eq!(replica.line(&["sync"])["pulled"], 2);
    assert_eq!(ids(&replica), ["1", "3"]);
    let edit = "mutation { updateFlight(input: { id: \"1\", carrier: \"DL\" }) { id } }";
    assert!(scene.ask(edit).await["errors"].is_null());
    let _report = replica.line(&["sync"]);
    assert_eq!(ids(&replica), ["3"]);
    let wrong = replica.run(&["scope", "set", "Flight", r#"{"pilot":{"eq":"Ada"}}"#]);
    assert_eq!((wrong.code(), wrong.lines.len()), (Some(2), 0), "{wrong:?}");
    assert!(wrong.words.contains("pilot"), "{wrong:?}");
}

#[tokio::test]
async fn sync_ends_with_a_code_of_its_own_where_there_is_no_server_or_no_entry() {
    let scene = Scene::new();
    let replica = scene.replica("a.db");
    let _id = replica.line(&[
        "exec",
        "mutation { createNote(input: { id: \"n\", text: \"t\" }) { id } }",
    ]);
    let mut wrong = process::tombolo();
    let stranger = Replica {
        url: None,
        ..replica.clone()
    };
    stranger.arguments(
        &mut wrong,
        &["--url", &scene.server.url(), "--api-key", "not that one", "sync"],
    );
    let said = process::run(&mut wrong);
    assert_eq!((said.code(), said.lines.len()), (Some(3), 1), "{said:?}");
    assert!(said.words.contains("credential"), "{said:?}");
    let gone = Replica {
        url: Some(scene.server.url()),
        ..replica.clone()
    };
    scene.server.kill();
    let said = gone.run(&["sync", "--timeout", "0.5"]);
    assert_eq!(
        (said.code(), &said.lines[0]["pending"]),
        (Some(3), &json!(1)),
        "{said:?}"
    );
    assert_eq!(replica.run(&["outbox", "list"]).lines.len(), 1);
}
