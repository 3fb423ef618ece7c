//! SIGKILL to a replica's process, and then the books are checked: what was answered is there, nothing is there twice.

use std::io::BufRead as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use tombolo_e2e::process::{Process, Replica};
use tombolo_e2e::{SCHEMA, Site};

fn replica(site: &Site, name: &str) -> Replica {
    let schema = site.folder().join("schema.graphql");
    std::fs::write(&schema, SCHEMA).unwrap();
    Replica {
        database: site.replica(name),
        schema,
        url: Some(site.url()),
    }
}

fn create(id: &str) -> String {
    format!("mutation {{ createNote(input: {{ id: \"{id}\", text: \"written on {id}\" }}) {{ id }} }}")
}

fn sound(file: &Path) {
    let db = Connection::open(file).unwrap();
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

/// Moments to kill at, in milliseconds: different in each round, the same in each run. A test holds at any moment; these
/// only spread over what a command does.
fn moments(count: u64, within_ms: u64) -> impl Iterator<Item = Duration> {
    (0..count).map(move |i| Duration::from_millis((i * 2_654_435_761 % 1_000) * within_ms / 1_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exec_has_answered_survives_a_kill_before_sync() {
    let site = Site::new().await;
    site.write("createNote", json!({ "id": "shared", "text": "as found" }))
        .await;
    let replica = replica(&site, "r");
    assert_eq!(replica.line(&["sync"])["pulled"], 1);
    let edit = "mutation { updateNote(input: { id: \"shared\", severity: \"URGENT\" }) { id } }".to_owned();
    let mutations: Vec<String> = (0..8).map(|i| create(&format!("n{i}"))).chain([edit]).collect();
    for mutation in &mutations {
        let mut process = Process::start(replica.command(&["exec", mutation]).stdout(Stdio::piped()));
        let mut answer = String::new();
        process.output().read_line(&mut answer).unwrap();
        // The answer is out: the mutation is durable from here on, whatever becomes of the process.
        process.kill();
        let answer: Json = serde_json::from_str(&answer).unwrap();
        assert!(answer["errors"].is_null(), "{answer}");
    }
    let line = replica.line(&["sync"]);
    assert_eq!(
        (&line["pushed"], &line["rejected"], &line["pending"]),
        (&json!(9), &json!(0), &json!(0)),
        "{line}"
    );
    let notes = site.records("Note", "text severity _version").await;
    assert_eq!(notes.len(), 9);
    assert_eq!(
        notes["shared"],
        json!({ "id": "shared", "text": "as found", "severity": "URGENT", "_version": 2 })
    );
    assert!(
        notes
            .values()
            .filter(|n| n["id"] != "shared")
            .all(|n| n["_version"] == 1),
        "{notes:?}"
    );
    sound(&replica.database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exec_that_is_killed_at_any_moment_happened_or_did_not() {
    let site = Site::new().await;
    let replica = replica(&site, "r");
    assert_eq!(replica.line(&["sync"])["pulled"], 0);
    let mut answered = Vec::new();
    for (i, moment) in moments(15, 150).enumerate() {
        let id = format!("n{i:02}");
        let mut process = Process::start(replica.command(&["exec", &create(&id)]).stdout(Stdio::piped()));
        let output = process.output();
        std::thread::sleep(moment);
        process.kill();
        if output.lines().next().is_some_and(|line| line.unwrap().ends_with('}')) {
            answered.push(id);
        }
    }
    sound(&replica.database);
    let line = replica.line(&["sync"]);
    assert_eq!((&line["rejected"], &line["pending"]), (&json!(0), &json!(0)), "{line}");
    let notes = site.records("Note", "text _version").await;
    println!("{} of 15 happened, {} had been answered", notes.len(), answered.len());
    for id in &answered {
        assert!(notes.contains_key(id), "{id} was answered and is lost");
    }
    assert_eq!(line["pushed"], notes.len(), "{line}");
    for (id, note) in &notes {
        assert_eq!(
            *note,
            json!({ "id": id, "text": format!("written on {id}"), "_version": 1 })
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_is_killed_again_and_again_converges_in_the_end() {
    const FOUND: usize = 3_000;
    const OWN: usize = 150;
    let site = Site::new().await;
    for chunk in (0..FOUND).collect::<Vec<_>>().chunks(250) {
        let roots: String = chunk
            .iter()
            .map(|i| format!(" f{i}: createFlight(input: {{ id: \"f{i:04}\", carrier: \"UA\" }}) {{ id }}"))
            .collect();
        let answer = site.ask(&format!("mutation {{{roots} }}"), Json::Null).await;
        assert!(answer["errors"].is_null(), "{answer}");
    }
    let replica = replica(&site, "r");
    // Work to push: creates, and edits of what the first kills may leave half pulled.
    for chunk in (0..OWN).collect::<Vec<_>>().chunks(50) {
        let roots: String = chunk
            .iter()
            .map(|i| format!(" n{i}: createNote(input: {{ id: \"n{i:03}\", text: \"t\", tags: [\"{i}\"] }}) {{ id }}"))
            .collect();
        let _ids = replica.line(&["exec", &format!("mutation {{{roots} }}")]);
    }
    let mut killed = 0;
    for (i, moment) in moments(25, 120).enumerate() {
        // Something to push and something to pull in each round, after the first have brought the rest.
        let _id = replica.line(&["exec", &create(&format!("round{i:02}"))]);
        site.write(
            "updateFlight",
            json!({ "id": format!("f{i:04}"), "delay": i, "_version": 1 }),
        )
        .await;
        let mut process = Process::start(replica.command(&["sync"]).stdout(Stdio::null()).stderr(Stdio::null()));
        std::thread::sleep(moment);
        killed += u32::from(process.runs());
        process.kill();
        sound(&replica.database);
    }
    println!("{killed} of 25 were killed at work");
    let line = replica.line(&["sync"]);
    assert_eq!(
        (&line["rejected"], &line["pending"], &line["upToDate"]),
        (&json!(0), &json!(0), &json!(true)),
        "{line}"
    );
    let mut notes = site.records("Note", "tags _version").await;
    assert!(notes.values().all(|note| note["_version"] == 1), "twice: {notes:?}");
    assert_eq!(notes.len(), OWN + 25, "lost");
    notes.retain(|id, _| id.starts_with('n'));
    for (i, note) in notes.values().enumerate() {
        assert_eq!(
            *note,
            json!({ "id": format!("n{i:03}"), "tags": [i.to_string()], "_version": 1 }),
            "twice, or not whole"
        );
    }
    assert_eq!(count(&replica, "Flight"), FOUND);
    assert_eq!(count(&replica, "Note"), OWN + 25);
    let fields = "carrier delay _version";
    let said = replica.line(&[
        "exec",
        &format!("{{ listFlights(limit: 10000) {{ items {{ id {fields} }} }} }}"),
    ]);
    let held = tombolo_e2e::phone::by_id(&said["data"]["listFlights"]["items"]);
    assert_eq!(held, site.records("Flight", fields).await);
    let none = replica.run(&["outbox", "list"]);
    assert_eq!((none.code(), none.lines.len()), (Some(0), 0), "{none:?}");
}

/// Live records in the file itself, without us between.
fn count(replica: &Replica, table: &str) -> usize {
    let db = Connection::open(&replica.database).unwrap();
    let sql = format!("SELECT count(*) FROM \"{table}\" WHERE _deleted = 0");
    db.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap() as usize
}
