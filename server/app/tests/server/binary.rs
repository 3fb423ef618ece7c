//! The binary itself: what it prints, what works when pasted, how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn tombolo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tombolo"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TOMBOLO_") || name == "CARGO_MANIFEST_DIR") {
        command.env_remove(name);
    }
    command
}

/// A process that ends with its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

fn dev(data: &Path, more: &[&str]) -> (Process, String) {
    let mut child = tombolo()
        .args(["dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("Ctrl-C") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended: {said}");
    }
    (Process(child), said)
}

fn shell(line: &str) -> Output {
    Command::new("sh").args(["-c", line]).output().unwrap()
}

fn terminate(mut process: Process) -> Option<i32> {
    let ok = Command::new("kill")
        .args(["-TERM", &process.0.id().to_string()])
        .status()
        .unwrap()
        .success();
    assert!(ok, "kill");
    process.0.wait().unwrap().code()
}

#[test]
fn dev_loads_the_example_once_prints_lines_that_work_and_ends_in_order() {
    let data = tempfile::tempdir().unwrap();
    let (process, said) = dev(data.path(), &[]);
    let curl = said
        .lines()
        .find(|l| l.trim_start().starts_with("curl "))
        .unwrap_or_else(|| panic!("no curl: {said}"));
    let answer = shell(curl);
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(
        answer.status.success() && text.contains("\"carrier\":\""),
        "{curl}\n{text}\n{answer:?}"
    );

    let all = curl.replace("listAirlines(limit: 3)", "listPlanes(limit: 1)");
    assert!(
        String::from_utf8_lossy(&shell(&all.replace("carrier name", "tailnum")).stdout).contains("tailnum"),
        "{all}"
    );
    let gone = curl.replace(
        "{ listAirlines(limit: 3) { items { carrier name } } }",
        "mutation { deleteNote(input: {id: \\\"note-1\\\"}) { id } }",
    );
    assert!(
        String::from_utf8_lossy(&shell(&gone).stdout).contains("note-1"),
        "{gone}"
    );
    assert!(
        said.contains("WebSocket  ws://127.0.0.1:") && said.contains("dev-key") && said.contains(" client --database "),
        "{said}"
    );
    assert_eq!(terminate(process), Some(0));

    // What was deleted stays deleted.
    let (process, said) = dev(data.path(), &[]);
    let curl = said.lines().find(|l| l.trim_start().starts_with("curl ")).unwrap();
    let note = curl.replace(
        "{ listAirlines(limit: 3) { items { carrier name } } }",
        "{ getNote(id: \\\"note-1\\\") { _deleted } }",
    );
    let text = String::from_utf8_lossy(&shell(&note).stdout).into_owned();
    assert!(text.contains("\"_deleted\":true"), "{note}\n{text}");
    assert_eq!(terminate(process), Some(0));
}

#[test]
fn dev_takes_a_schema_and_a_key_of_ones_own() {
    let data = tempfile::tempdir().unwrap();
    let schema = data.path().join("my schema.graphql");
    std::fs::write(&schema, "type Thing @model { id: ID! name: String }").unwrap();
    let (process, said) = dev(
        data.path(),
        &["--schema", schema.to_str().unwrap(), "--api-key", "it's mine"],
    );
    let curl = said.lines().find(|l| l.trim_start().starts_with("curl ")).unwrap();
    let text = String::from_utf8_lossy(&shell(curl).stdout).into_owned();
    assert!(text.contains("\"listThings\":{\"items\":[]"), "{curl}\n{text}");
    assert_eq!(terminate(process), Some(0));
}

#[test]
fn dev_serves_tls_with_a_certificate_of_its_own_and_prints_lines_that_trust_it() {
    let data = tempfile::tempdir().unwrap();
    let schema = data.path().join("schema.graphql");
    std::fs::write(&schema, "type Thing @model { id: ID! name: String }").unwrap();
    let arguments = ["--tls", "--schema", schema.to_str().unwrap()];
    let (process, said) = dev(data.path(), &arguments);
    assert!(
        said.contains("https://127.0.0.1:") && said.contains("wss://127.0.0.1:"),
        "{said}"
    );
    let line = |begins: &str| {
        said.lines()
            .map(str::trim_start)
            .find(|l| l.starts_with(begins))
            .unwrap_or_else(|| panic!("{said}"))
    };
    let curl = line("curl -sS ");
    let text = String::from_utf8_lossy(&shell(curl).stdout).into_owned();
    assert!(text.contains("\"listThings\":{\"items\":[]"), "{curl}\n{text}");
    assert!(
        !shell(&curl.replace("--cacert", "--resolve x:1:127.0.0.1 #"))
            .status
            .success()
    );

    let root = data.path().join("tls/root.pem");
    let url = line("GraphQL").split_whitespace().nth(1).unwrap();
    let database = data.path().join("a.sqlite");
    let client = |trust: &[&str], command: &[&str]| {
        let mut line = tombolo();
        line.arg("client")
            .args(trust)
            .arg("--database")
            .arg(&database)
            .arg("--schema")
            .arg(&schema);
        line.args(["--url", url, "--api-key", "dev-key"])
            .args(command)
            .output()
            .unwrap()
    };
    let trust = ["--ca", root.to_str().unwrap()];
    let written = client(
        &trust,
        &["exec", "mutation { createThing(input: {name: \"n\"}) { id } }"],
    );
    assert!(written.status.success(), "{written:?}");
    let synced = client(&trust, &["sync"]);
    assert!(synced.status.success(), "{synced:?}");
    let text = String::from_utf8_lossy(&shell(curl).stdout).into_owned();
    assert!(text.contains("\"name\":\"n\""), "{text}");
    // Nobody trusts it who was not told to.
    assert!(!client(&[], &["sync", "--timeout", "1"]).status.success());
    let export = tombolo()
        .args(["export", "--url", url, "--api-key", "dev-key", "--model", "Thing"])
        .env("TOMBOLO_CA", &root)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&export.stdout).contains("\"n\""), "{export:?}");
    assert_eq!(terminate(process), Some(0));
}

#[test]
fn a_port_in_use_ends_dev_with_words_and_a_code() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let data = tempfile::tempdir().unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let ended = tombolo()
        .args(["dev", "--listen", &listen, "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{words}");
    assert!(words.contains("is in use") && words.contains("--listen"), "{words}");
}

#[test]
fn serve_reads_its_file_prints_it_without_secrets_and_serves() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.graphql"), "type Thing @model { id: ID! }").unwrap();
    let config = dir.path().join("tombolo.toml");
    let key = "0123456789abcdef";
    std::fs::write(
        &config,
        format!("listen = \"127.0.0.1:0\"\nschema = \"s.graphql\"\n[[api_keys]]\nname = \"a\"\nkey = \"{key}\"\n[log]\nformat = \"json\"\n"),
    )
    .unwrap();
    let printed = tombolo()
        .args(["serve", "--print-config", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(
        text.contains("(redacted)") && text.contains("batch_max = 256") && !text.contains(key),
        "{text}"
    );

    let mut child = tombolo()
        .args(["serve", "--config"])
        .arg(&config)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let process = Process(child);
    let mut line = String::new();
    while !line.contains("\"listening\"") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended");
    }
    let log: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(
        log["fields"]["addr"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{log}"
    );
    assert_eq!(terminate(process), Some(0));
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains(key), "{rest}");
}

#[test]
fn a_wrong_configuration_ends_serve_by_place() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tombolo.toml");
    std::fs::write(&config, "lisen = 1\n").unwrap();
    let ended = tombolo().args(["serve", "--config"]).arg(&config).output().unwrap();
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(4), "{words}");
    assert!(words.contains("tombolo.toml:1:1: unknown field `lisen`"), "{words}");
}
