//! `tombolo import`, `export` and `client` as a shell sees them, against a server in this process.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};
use tombolo_server::config::Config;
use tombolo_server::{Running, Server};

const SCHEMA: &str = "
enum Colour { RED BLUE }
type Place { lat: Float! lon: Float! }
type Thing @model {
  id: ID!
  name: String!
  count: Int
  colour: Colour
  tags: [String]
  place: Place
}
";

const KEY: &str = "key";

/// A server, and a folder for the files of one test.
struct World {
    runtime: tokio::runtime::Runtime,
    running: Option<Running>,
    url: String,
    folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let running = runtime.block_on(Server::start(Config::in_memory(SCHEMA, KEY))).unwrap();
        let url = format!("http://{}/graphql", running.addr);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("schema.graphql"), SCHEMA).unwrap();
        Self {
            runtime,
            running: Some(running),
            url,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TOMBOLO_API_KEY", KEY);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn import(&self, file: &str) -> (i32, Json) {
        self.json(&["import", "--url", &self.url, "--model", "Thing", file])
    }

    /// Runs a command that prints one JSON document; its exit code and that document.
    fn json(&self, args: &[&str]) -> (i32, Json) {
        let output = self.run(args);
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(text.lines().count(), 1, "{args:?} printed {text:?} and said {said}");
        (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
    }

    fn export(&self) -> Vec<Json> {
        let output = self.run(&["export", "--url", &self.url, "--model", "Thing", "--meta"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn replica<'a>(&'a self, database: &'a str, command: &[&'a str]) -> Vec<&'a str> {
        let open = [
            "client",
            "--database",
            database,
            "--schema",
            "schema.graphql",
            "--url",
            &self.url,
        ];
        [&open, command].concat()
    }

    fn client(&self, database: &str, command: &[&str]) -> (i32, Json) {
        self.json(&self.replica(database, command))
    }
}

#[test]
fn good_lines_are_imported_and_bad_ones_told() {
    let world = World::new();
    let header = "id,name,count,colour,tags,place\n";
    world.write(
        "things.csv",
        &format!(
            "{header}t1,one,1,RED,\"[\"\"x\"\"]\",\"{{\"\"lat\"\":1,\"\"lon\"\":2}}\"\n\
             t2,\"two\nlines\",,,,\nt3,three,many,,,\n,without id,4.0,,,\nt1,again,,,,\n"
        ),
    );
    let (code, summary) = world.import("things.csv");
    assert_eq!((code, summary), (1, json!({"imported":3,"rejected":2,"skipped":0})));
    let told = world.read("things.csv.tombolo-errors.ndjson");
    let told: Vec<Json> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(
        told[0],
        json!({"line":5,"record":3,"code":"InvalidRecord","reason":"`count`: `many` is no whole number"})
    );
    assert_eq!(
        (&told[1]["line"], &told[1]["code"]),
        (&json!(7), &json!("ConditionalCheckFailedException"))
    );

    let things = world.export();
    assert_eq!(things.len(), 3);
    let one = things.iter().find(|t| t["id"] == "t1").unwrap();
    assert_eq!((&one["name"], &one["tags"]), (&json!("one"), &json!(["x"])));
    assert_eq!(
        (&one["place"], &one["_version"]),
        (&json!({"lat":1.0,"lon":2.0}), &json!(1))
    );
    assert!(things.iter().any(|t| t["name"] == "without id" && t["count"] == 4));

    let (code, again) = world.import("things.csv");
    assert_eq!(
        (code, again),
        (0, json!({"imported":0,"rejected":0,"skipped":5})),
        "nothing is left to do"
    );
}

#[test]
fn a_block_that_the_server_refuses_loses_only_its_bad_record() {
    let world = World::new();
    let lines: String = (0..450)
        .map(|i| format!("{{\"id\":\"t{}\",\"name\":\"n\"}}\n", if i == 300 { 7 } else { i }))
        .collect();
    world.write("things.ndjson", &lines);
    let (code, summary) = world.import("things.ndjson");
    assert_eq!((code, summary), (1, json!({"imported":449,"rejected":1,"skipped":0})));
    assert_eq!(world.export().len(), 449);
}

#[test]
fn of_the_lines_of_one_id_the_first_is_created() {
    let world = World::new();
    // Sixty-four pairs, each twice in one block: a race between the two lines of a pair would show.
    let lines: String = (0..64)
        .map(|i| format!("{{\"id\":\"t{i}\",\"name\":\"first\"}}\n{{\"id\":\"t{i}\",\"name\":\"second\"}}\n"))
        .collect();
    world.write("things.ndjson", &lines);
    let (code, summary) = world.import("things.ndjson");
    assert_eq!((code, summary), (1, json!({"imported":64,"rejected":64,"skipped":0})));
    let things = world.export();
    assert_eq!(things.len(), 64);
    for thing in &things {
        assert_eq!(thing["name"], "first", "{thing}");
    }
    let told = world.read("things.ndjson.tombolo-errors.ndjson");
    let told: Vec<u64> = told
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap()["line"].as_u64().unwrap())
        .collect();
    assert_eq!(told, (1..=64).map(|i| 2 * i).collect::<Vec<u64>>());
}

#[test]
fn a_repeated_import_has_no_second_effect_whatever_it_has_forgotten() {
    let world = World::new();
    let lines: String = (0..500).map(|i| format!("{{\"name\":\"n{i}\"}}\n")).collect();
    world.write("things.ndjson", &lines);
    assert_eq!(
        world.import("things.ndjson").1,
        json!({"imported":500,"rejected":0,"skipped":0})
    );

    // As if every answer had been lost: the same requests go out again under the same names.
    let file = world.path("things.ndjson.tombolo-import.json");
    let mut ledger: Json = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    ledger["done"] = json!(0);
    std::fs::write(&file, ledger.to_string()).unwrap();
    assert_eq!(
        world.import("things.ndjson").1,
        json!({"imported":500,"rejected":0,"skipped":0})
    );

    // As if the resume file were lost too: the records' ids come from the file.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(
        world.import("things.ndjson").1,
        json!({"imported":0,"rejected":500,"skipped":0})
    );

    let things = world.export();
    assert_eq!(things.len(), 500);
    assert!(things.iter().all(|t| t["_version"] == 1));
}

#[test]
fn an_import_that_is_killed_goes_on() {
    let world = World::new();
    let lines: String = (0..3000).map(|i| format!("{{\"name\":\"n{i}\"}}\n")).collect();
    world.write("things.ndjson", &lines);
    let mut child = world
        .command(&["import", "--url", &world.url, "--model", "Thing", "things.ndjson"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let resume = world.path("things.ndjson.tombolo-import.json");
    while !resume.exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, summary) = world.import("things.ndjson");
    assert_eq!((code, &summary["rejected"]), (0, &json!(0)), "{summary}");
    let things = world.export();
    assert_eq!(things.len(), 3000);
    assert!(things.iter().all(|t| t["_version"] == 1));
}

#[test]
fn wrong_arguments_wrong_keys_and_no_server_have_their_own_codes() {
    let world = World::new();
    world.write("things.csv", "id,nam\nt1,x\n");
    world.write("things.txt", "");
    let code = |args: &[&str]| world.run(args).status.code().unwrap();
    let url = world.url.as_str();
    assert_eq!(
        code(&["import", "--url", url, "--model", "Thing", "things.csv"]),
        4,
        "a header that does not fit"
    );
    assert_eq!(code(&["import", "--url", url, "--model", "Thing", "things.txt"]), 2);
    assert_eq!(code(&["import", "--url", url, "--model", "Thing", "nothing.csv"]), 4);
    assert_eq!(code(&["import", "--url", url, "--model", "Nope", "things.csv"]), 2);
    assert_eq!(
        code(&["import", "--url", "nowhere", "--model", "Thing", "things.csv"]),
        2
    );
    assert_eq!(
        code(&[
            "import",
            "--url",
            url,
            "--api-key",
            "wrong",
            "--model",
            "Thing",
            "things.csv"
        ]),
        3
    );
    assert_eq!(
        code(&["export", "--url", "http://127.0.0.1:1/graphql", "--model", "Thing"]),
        3
    );
    assert_eq!(code(&["export", "--url", url, "--model", "Thing", "--filter", "{"]), 2);
    assert_eq!(
        code(&[
            "export",
            "--url",
            url,
            "--model",
            "Thing",
            "--filter",
            "{\"nope\":{\"eq\":1}}"
        ]),
        1
    );
    assert!(
        !world.path("things.csv.tombolo-import.json").exists(),
        "nothing was begun"
    );
}

#[test]
fn an_export_can_be_imported() {
    let world = World::new();
    let lines: String = (0..1200)
        .map(|i| format!("{{\"id\":\"t{i:04}\",\"name\":\"a,\\\"{i}\\\"\",\"count\":{i},\"tags\":[\"x\",null]}}\n"))
        .collect();
    world.write("things.ndjson", &lines);
    assert_eq!(world.import("things.ndjson").0, 0);
    let (code, summary) = world.json(&["export", "--url", &world.url, "--model", "Thing", "out.csv"]);
    assert_eq!((code, summary), (0, json!({"exported":1200})));
    assert!(world.read("out.csv").starts_with("id,name,count,colour,tags,place,"));

    let other = World::new();
    other.write("out.csv", &world.read("out.csv"));
    assert_eq!(
        other.import("out.csv"),
        (0, json!({"imported":1200,"rejected":0,"skipped":0}))
    );
    let fields = |t: &Json| {
        [
            t["id"].clone(),
            t["name"].clone(),
            t["count"].clone(),
            t["tags"].clone(),
        ]
    };
    let (a, b) = (world.export(), other.export());
    assert!(a.iter().map(fields).eq(b.iter().map(fields)));

    let filtered = [
        "export",
        "--url",
        &world.url,
        "--model",
        "Thing",
        "--filter",
        "{\"count\":{\"lt\":10}}",
        "few.ndjson",
    ];
    assert_eq!(world.json(&filtered).1, json!({"exported":10}));
}

#[test]
fn two_replicas_on_a_command_line_come_together() {
    let world = World::new();
    let create = "mutation { createThing(input: { id: \"t\", name: \"new\", count: 1 }) { id name } }";
    let (code, answer) = world.client("a.db", &["exec", create]);
    assert_eq!(
        (code, answer),
        (0, json!({"data":{"createThing":{"id":"t","name":"new"}}}))
    );
    let (_, queued) = world.client("a.db", &["outbox", "list"]);
    assert_eq!(
        (&queued["model"], &queued["kind"], &queued["state"]),
        (&json!("Thing"), &json!("create"), &json!("queued"))
    );
    assert_eq!(world.client("a.db", &["status"]).1["pending"], 1);
    let report =
        |pushed: u64, pulled: u64| json!({"pushed":pushed,"rejected":0,"pulled":pulled,"pending":0,"upToDate":true});
    assert_eq!(world.client("a.db", &["sync"]), (0, report(1, 1)));
    assert_eq!(world.client("b.db", &["sync"]), (0, report(0, 1)));

    let set = |field: &str| format!("mutation {{ updateThing(input: {{ id: \"t\", {field} }}) {{ id }} }}");
    assert_eq!(world.client("a.db", &["exec", &set("name: \"from A\"")]).0, 0);
    assert_eq!(world.client("b.db", &["exec", &set("count: 2")]).0, 0);
    for database in ["a.db", "b.db", "a.db"] {
        assert_eq!(world.client(database, &["sync"]).0, 0);
    }
    for database in ["a.db", "b.db"] {
        let get = "query Q($id: ID!) { getThing(id: $id) { name count _version } }";
        let (_, answer) = world.client(database, &["exec", get, "--variables", "{\"id\":\"t\"}"]);
        assert_eq!(
            answer,
            json!({"data":{"getThing":{"name":"from A","count":2,"_version":3}}}),
            "{database}"
        );
    }
}

#[test]
fn local_commands_need_no_server_and_say_what_is_wrong() {
    let world = World::new();
    let open = ["client", "--database", "a.db", "--schema", "schema.graphql"];
    let run = |more: &[&str]| world.json(&[&open, more].concat());
    let code = |more: &[&str]| world.run(&[&open, more].concat()).status.code().unwrap();
    assert_eq!(
        run(&["exec", "{ listThings { items { id } } }"]),
        (0, json!({"data":{"listThings":{"items":[]}}}))
    );
    let (exit, answer) = run(&["exec", "{ nope }"]);
    assert_eq!((exit, &answer["data"]), (1, &Json::Null));
    assert!(
        answer["errors"][0]["message"].as_str().unwrap().contains("nope"),
        "{answer}"
    );
    assert_eq!(
        run(&["exec", "{ syncThings { items { id } } }"]).1["errors"][0]["errorType"],
        "UnsupportedOperation"
    );
    assert_eq!(
        run(&["exec", "mutation { deleteThing(input: { id: \"x\" }) { id } }"]).0,
        1
    );
    assert_eq!(code(&["exec", "{ x }", "--variables", "[]"]), 2);
    assert_eq!(code(&["sync"]), 2, "no --url");
    assert_eq!(code(&["outbox", "discard", "7"]), 1);
    assert_eq!(code(&["scope", "set", "Nope"]), 2);
    assert_eq!(code(&["scope", "set", "Thing", "{\"nope\":{\"eq\":1}}"]), 2);
    let filter = json!({"colour":{"eq":"RED"}});
    assert_eq!(
        run(&["scope", "set", "Thing", &filter.to_string()]),
        (0, json!({"model":"Thing","filter":filter}))
    );
    assert_eq!(run(&["scope", "list"]).1["filter"], filter);

    world.write(
        "b.db",
        "this is no database, however long one may look at it: it is text and nothing but text",
    );
    let foreign = ["client", "--database", "b.db", "--schema", "schema.graphql", "status"];
    assert_eq!(world.run(&foreign).status.code(), Some(4));
    assert_eq!(
        world
            .run(&["client", "--database", "a.db", "--schema", "none.graphql", "status"])
            .status
            .code(),
        Some(4)
    );

    let create = "mutation { createThing(input: { id: \"t\", name: \"new\" }) { id } }";
    assert_eq!(run(&["exec", create]).0, 0);
    let (_, queued) = run(&["outbox", "list"]);
    let number = queued["number"].to_string();
    assert_eq!(run(&["outbox", "discard", &number]).0, 0);
    let away = [
        &open[..],
        &["--url", "http://127.0.0.1:1/graphql", "sync", "--timeout", "0.5"],
    ]
    .concat();
    let (exit, report) = world.json(&away);
    assert_eq!(
        (exit, &report["upToDate"], &report["pending"]),
        (3, &json!(false), &json!(0))
    );
}

#[test]
fn watch_prints_a_change_that_another_replica_made() {
    let world = World::new();
    let watch = world.replica("b.db", &["watch", "{ listThings { items { name } } }"]);
    let mut child = world
        .command(&watch)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "{\"data\":{\"listThings\":{\"items\":[]}}}"
    );

    let (exit, _) = world.client("b.db", &["status"]);
    assert_eq!(exit, 0, "several processes may use a database");

    let create = "mutation { createThing(input: { name: \"seen\" }) { id } }";
    assert_eq!(world.client("a.db", &["exec", create]).0, 0);
    assert_eq!(world.client("a.db", &["sync"]).0, 0);
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "{\"data\":{\"listThings\":{\"items\":[{\"name\":\"seen\"}]}}}"
    );

    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn conflicts_tells_people_what_was_refused_and_programs_all_of_it() {
    let world = World::new();
    let conflicts = |more: &[&str]| {
        let output = world.run(&[&["conflicts", "--url", &world.url], more].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(conflicts(&[]), "");
    for (database, name) in [("a.db", "first"), ("b.db", "second")] {
        let create = format!("mutation {{ createThing(input: {{ id: \"x\", name: \"{name}\" }}) {{ id }} }}");
        let written = world.run(&world.replica(database, &["--offline", "exec", &create]));
        assert!(written.status.success(), "{written:?}");
        world.run(&world.replica(database, &["sync"]));
    }
    let text = conflicts(&[]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("  rejected  create  Thing  x  CREATE_OVER_EXISTING  by "),
        "{text}"
    );
    assert!(lines[1].starts_with("    ConditionalCheckFailedException: "), "{text}");
    assert!(lines[2].contains("\"name\":\"second\""), "{text}");
    let json: Json =
        serde_json::from_str(&conflicts(&["--json", "--model", "Thing", "--outcome", "rejected"])).unwrap();
    assert_eq!(json["payload"]["values"]["name"], "second");
    assert_eq!(conflicts(&["--outcome", "merged"]), "");
    assert_eq!(conflicts(&["--replica", "nobody"]), "");
    let refused = world.run(&["conflicts", "--url", &world.url, "--outcome", "lost"]);
    assert_eq!(refused.status.code(), Some(2));
}
