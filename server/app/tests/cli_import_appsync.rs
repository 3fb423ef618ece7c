//! `tombolo import-appsync` as a shell sees it: exports in DynamoDB's form, made by hand, and what a server says of them.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};
use tombolo_server::config::{Config, Database};
use tombolo_server::{Running, Server};

const SCHEMA: &str = "
type Note @model {
  id: ID!
  text: String!
  n: Int
  meta: AWSJSON
  owner: String
}
";

const KEY: &str = "key";

struct World {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("schema.graphql"), SCHEMA).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self { folder, runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, lines: &[String]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = lines.join("\n");
        if name.ends_with(".gz") {
            let file = std::fs::File::create(path).unwrap();
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::default());
            out.write_all(text.as_bytes()).unwrap();
            out.finish().unwrap();
        } else {
            std::fs::write(path, text).unwrap();
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tombolo"))
            .args(args)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Exit code, the summary (null without one), what was said.
    fn import(&self, paths: &[&str]) -> (i32, Json, String) {
        let fixed = [
            "import-appsync",
            "--schema",
            "schema.graphql",
            "--database",
            "db.sqlite",
            "--model",
            "Note",
        ];
        let output = self.run(&[&fixed, paths].concat());
        let summary = serde_json::from_slice(&output.stdout).unwrap_or(Json::Null);
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), summary, said)
    }

    fn serve(&self) -> Running {
        let mut config = Config::in_memory(SCHEMA, KEY);
        config.database = Database::File(self.path("db.sqlite"));
        self.runtime.block_on(Server::start(config)).unwrap()
    }

    /// What the server answers to one query, asked from outside by `curl`'s place in this house: the `export` command.
    fn export(&self, running: &Running) -> Vec<Json> {
        let url = format!("http://{}/graphql", running.addr);
        let output = self.run(&[
            "export",
            "--url",
            &url,
            "--api-key",
            KEY,
            "--model",
            "Note",
            "--meta",
            "--deleted",
        ]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A line of a table export.
fn line(id: &str, version: u32, changed_at: i64, deleted: bool) -> String {
    let mut item = json!({
        "id": { "S": id }, "text": { "S": format!("text of {id}") }, "n": { "N": "5" },
        "meta": { "M": { "a": { "N": "1" } } },
        "owner": { "S": "0a1b::alice" },
        "createdAt": { "S": "2024-01-01T00:00:00.000Z" }, "updatedAt": { "S": "2024-02-01T10:00:00.123Z" },
        "_version": { "N": version.to_string() }, "_lastChangedAt": { "N": changed_at.to_string() },
        "__typename": { "S": "Note" },
    });
    if deleted {
        item["_deleted"] = json!({ "BOOL": true });
        item["_ttl"] = json!({ "N": "1709294400" });
    }
    json!({ "Item": item }).to_string()
}

const T: i64 = 1_706_781_600_000;

#[test]
fn an_export_of_several_files_becomes_the_records_that_apps_left() {
    let world = World::new();
    // No file is in order, and their times interleave.
    world.write(
        "export/data/one.json.gz",
        &[line("c", 1, T + 30, false), line("a", 3, T + 10, false)],
    );
    world.write(
        "export/data/two.json",
        &[line("d", 2, T + 40, true), String::new(), line("b", 7, T + 20, false)],
    );
    world.write("export/data/manifest-files.json", &["{}".to_owned()]);
    let (code, summary, said) = world.import(&["export/data"]);
    assert_eq!(
        (code, summary),
        (0, json!({"added":4,"standing":0,"tombstones":1})),
        "{said}"
    );

    let running = world.serve();
    let notes = world.export(&running);
    assert_eq!(notes.len(), 4);
    let known: Vec<Json> = notes
        .iter()
        .map(|n| json!([n["id"], n["_version"], n["_lastChangedAt"], n["_deleted"]]))
        .collect();
    assert_eq!(
        known,
        [
            json!(["a", 3, T + 10, null]),
            json!(["b", 7, T + 20, null]),
            json!(["c", 1, T + 30, null]),
            json!(["d", 2, T + 40, true])
        ]
    );
    let a = &notes[0];
    assert_eq!(
        (&a["text"], &a["n"], &a["meta"]),
        (&json!("text of a"), &json!(5), &json!(r#"{"a":1}"#))
    );
    assert_eq!(a["owner"], "0a1b::alice");
    assert_eq!(
        (&a["createdAt"], &a["updatedAt"]),
        (&json!("2024-01-01T00:00:00.000Z"), &json!("2024-02-01T10:00:00.123Z"))
    );
    world.runtime.block_on(running.shutdown());
}

#[test]
fn what_cannot_be_told_apart_or_comes_from_the_future_is_told_before_anything_is_written() {
    let world = World::new();
    let century = 4_102_444_800_000;
    world.write("one.json", &[line("a", 1, T, false), line("b", 9, T + 1, false)]);
    world.write("two.json", &[line("b", 2, T + 2, false), line("c", 1, century, false)]);
    std::fs::write(world.path("three.json"), b"{\"Item\":{\"id\":{\"S\":\"\xff\"}}}\n").unwrap();
    let long = line("d", 1, T, false).replace("text of d", &"x".repeat(4 << 20));
    world.write("four.json.gz", &[long, line("e", 1, T, false)]);
    let (code, summary, said) = world.import(&["one.json", "two.json", "three.json", "four.json.gz"]);
    assert_eq!((code, summary), (1, Json::Null), "{said}");
    for says in [
        // Files are read in the order of their names.
        "two.json:1: its key was there before, one.json:2: keep the one with the higher `_version`",
        "two.json:2: it was changed in the future (4102444800000 ms,",
        "three.json:1: it is no UTF-8",
        "four.json.gz:1: the line has 4194",
        "4 bad lines: nothing was written",
    ] {
        assert!(said.contains(says), "{says}\n{said}");
    }
    let running = world.serve();
    assert!(world.export(&running).is_empty());
    world.runtime.block_on(running.shutdown());
}

#[test]
fn run_again_it_goes_on_where_it_was_killed() {
    let world = World::new();
    let all: Vec<String> = (0..10).map(|i| line(&format!("n{i}"), 1, T + i, false)).collect();
    // What a killed import leaves is the older part.
    world.write("part.json", &all[..4]);
    world.write("all.json", &all.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(
        world.import(&["part.json"]).1,
        json!({"added":4,"standing":0,"tombstones":0})
    );
    assert_eq!(
        world.import(&["all.json"]).1,
        json!({"added":6,"standing":4,"tombstones":0})
    );
    assert_eq!(
        world.import(&["all.json"]).1,
        json!({"added":0,"standing":10,"tombstones":0})
    );
    let running = world.serve();
    assert_eq!(world.export(&running).len(), 10);
    world.runtime.block_on(running.shutdown());
}

#[test]
fn bad_lines_are_told_by_place_with_the_mend_and_nothing_is_written() {
    let world = World::new();
    let bad = line("b", 1, T, false).replace(r#""text":{"S":"text of b"},"#, "");
    let other = line("c", 1, T, false).replace(r#"{"S":"Note"}"#, r#"{"S":"Post"}"#);
    world.write("items.json", &[line("a", 1, T, false), bad, other, "{".to_owned()]);
    let (code, summary, said) = world.import(&["items.json"]);
    assert_eq!((code, summary), (1, Json::Null));
    let told: Vec<&str> = said.lines().collect();
    assert_eq!(told.len(), 4, "{said}");
    assert!(
        told[0].starts_with("items.json:2: `text` is missing: make the field optional"),
        "{said}"
    );
    assert!(told[1].starts_with("items.json:3: an item of `Post`"), "{said}");
    assert!(told[2].starts_with("items.json:4: no JSON object"), "{said}");
    assert_eq!(told[3], "3 bad lines: nothing was written");
    let running = world.serve();
    assert!(world.export(&running).is_empty());
    world.runtime.block_on(running.shutdown());
}

#[test]
fn older_records_do_not_go_behind_newer_ones() {
    let world = World::new();
    world.write("new.json", &[line("a", 1, T + 10, false)]);
    world.write("old.json", &[line("b", 1, T, false)]);
    world.write("again.json", &[line("a", 2, T + 20, false)]);
    assert_eq!(world.import(&["new.json"]).0, 0);
    for check in [&["--check"][..], &[]] {
        let (code, summary, said) = world.import(&[check, &["old.json"]].concat());
        assert_eq!((code, summary), (1, Json::Null));
        assert!(said.contains("import all files of a model by one command"), "{said}");
        let (code, _, said) = world.import(&[check, &["again.json"]].concat());
        assert_eq!(code, 1);
        assert!(said.contains("at version 1, and comes at version 2"), "{said}");
    }
    // What does not fit keeps the rest out, too, though it comes many blocks later.
    let mut many: Vec<String> = (0..5_000)
        .map(|i| line(&format!("n{i}"), 1, T + 100 + i, false))
        .collect();
    many.push(line("a", 2, T + 9_000, false));
    world.write("many.json", &many);
    assert_eq!(world.import(&["many.json"]).0, 1);
    let running = world.serve();
    assert_eq!(world.export(&running).len(), 1);
    world.runtime.block_on(running.shutdown());
}

#[test]
fn neither_a_check_nor_bad_lines_fit_the_database_to_another_schema() {
    let world = World::new();
    world.write("items.json", &[line("a", 1, T, false)]);
    world.write("more.json", &[line("b", 1, T + 1, false)]);
    world.write("bad.json", &["{}".to_owned()]);
    assert_eq!(world.import(&["items.json"]).0, 0);
    let wider = format!("{SCHEMA}\ntype Other @model {{ id: ID! }}");
    std::fs::write(world.path("schema.graphql"), wider).unwrap();
    // All of it in the one file: a process may end before its last connection has tidied the journal.
    let bytes = || {
        let database = rusqlite::Connection::open(world.path("db.sqlite")).unwrap();
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        database.query_row(checkpoint, [], |_| Ok(())).unwrap();
        drop(database);
        std::fs::read(world.path("db.sqlite")).unwrap()
    };
    let before = bytes();
    assert_eq!(world.import(&["more.json", "--check"]).0, 0);
    assert_eq!(world.import(&["bad.json"]).0, 1);
    assert_eq!(bytes(), before);
    assert_eq!(world.import(&["more.json"]).0, 0);
    assert_ne!(bytes(), before);
}

#[test]
fn the_configuration_says_where_too_and_bad_lines_make_no_database() {
    let world = World::new();
    std::fs::create_dir(world.path("etc")).unwrap();
    let config = "schema = \"../schema.graphql\"\ndatabase = \"../db.sqlite\"\n\
                  [[api_keys]]\nname = \"k\"\nkey = \"0123456789abcdef\"\n";
    std::fs::write(world.path("etc/tombolo.toml"), config).unwrap();
    world.write("items.json", &[line("a", 1, T, false)]);
    world.write("bad.json", &["{}".to_owned()]);
    let import = |rest: &[&str]| world.run(&[&["import-appsync", "--model", "Note"], rest].concat());
    let output = import(&["--config", "etc/tombolo.toml", "bad.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!world.path("db.sqlite").exists());
    let output = import(&["--config", "etc/tombolo.toml", "items.json"]);
    assert!(output.status.success(), "{output:?}");
    assert!(world.path("db.sqlite").exists());
    for wrong in [&["items.json"][..], &["--schema", "schema.graphql", "items.json"]] {
        assert_eq!(import(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_running_server_is_not_gone_behind() {
    let world = World::new();
    let running = world.serve();
    world.write("items.json", &[line("a", 1, T, false)]);
    let (code, _, said) = world.import(&["items.json"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("no server may have it open"), "{said}");
    assert!(world.export(&running).is_empty());
    world.runtime.block_on(running.shutdown());
}

#[test]
fn a_check_writes_nothing() {
    let world = World::new();
    world.write("items.json", &[line("a", 1, T, false)]);
    let (code, _, said) = world.import(&["--check", "items.json"]);
    assert_eq!(code, 0);
    assert_eq!(said.trim(), "1 record can be imported");
    assert!(!world.path("db.sqlite").exists());
}
