//! `tombolo schema` as a shell sees it: what the built binary prints, where, and how it ends.

#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

fn tombolo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(args)
        .env_remove("TOMBOLO_API_KEY")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

const GOOD: &str = "type Todo @model {\n  id: ID!\n  title: String!\n  done: Boolean\n}\n";

#[test]
fn a_good_schema_passes_with_nothing_on_standard_output() {
    let folder = Folder::new();
    let file = folder.file("schema.graphql", GOOD);
    let output = tombolo(&["schema", "check", &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("1 model"), "{}", stderr(&output));
}

#[test]
fn every_error_is_told_at_once_with_its_place() {
    let folder = Folder::new();
    let text = "type Todo @model {\n  id: ID!\n  title: Strin!\n  size: Nope\n}\n";
    let file = folder.file("schema.graphql", text);
    let output = tombolo(&["schema", "check", &file]);
    assert_eq!(code(&output), 1);
    assert_eq!(stdout(&output), "");
    let told = stderr(&output);
    assert!(told.contains(&format!("{file}:3:")), "{told}");
    assert!(told.contains(&format!("{file}:4:")), "{told}");
    assert!(told.contains("2 errors"), "{told}");
    assert!(!told.contains('\x1b'), "no colours away from a terminal");
    assert_eq!(code(&tombolo(&["schema", "print", &file])), 1);
}

#[test]
fn a_warning_is_told_and_passes() {
    let folder = Folder::new();
    let file = folder.file(
        "schema.graphql",
        "type Todo @model {\n  id: ID!\n  title: String @sparkle\n}\n",
    );
    let output = tombolo(&["schema", "check", &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stderr(&output).contains(&format!("warning: {file}:3:")),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_file_that_is_not_there_is_a_file_error_and_no_arguments_are_a_usage_error() {
    let output = tombolo(&["schema", "check", "/no/such/schema.graphql"]);
    assert_eq!(code(&output), 4);
    assert!(
        stderr(&output).contains("/no/such/schema.graphql: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(code(&tombolo(&["schema"])), 2);
    assert_eq!(code(&tombolo(&["schema", "check"])), 2);
}

#[test]
fn print_gives_the_generated_api() {
    let folder = Folder::new();
    let file = folder.file("schema.graphql", GOOD);
    let output = tombolo(&["schema", "print", &file]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let api = stdout(&output);
    for part in [
        "listTodos(",
        "input CreateTodoInput",
        "onUpdateTodo",
        "_version: Int!",
        "tomboloChanges",
    ] {
        assert!(api.contains(part), "{part} is missing:\n{api}");
    }
    assert!(api.ends_with('\n'));
}

#[test]
fn a_reader_that_stops_early_is_no_panic() {
    let folder = Folder::new();
    let models: String = (0..60).map(|i| GOOD.replace("Todo", &format!("Todo{i}x"))).collect();
    let file = folder.file("schema.graphql", &models);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tombolo"))
        .args(["schema", "print", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(told, "");
}

#[test]
fn diff_tells_what_breaks_and_its_exit_code_says_so() {
    let folder = Folder::new();
    let old = folder.file("old.graphql", GOOD);
    let wider = folder.file("wider.graphql", &GOOD.replace("  done", "  note: String\n  done"));
    let narrower = folder.file("narrower.graphql", &GOOD.replace("  done: Boolean\n", ""));
    let faulty = folder.file("faulty.graphql", "type Todo @model { id: ID! x: Nope }");

    let output = tombolo(&["schema", "diff", &old, &old]);
    assert_eq!((code(&output), stdout(&output).as_str()), (0, ""));

    let output = tombolo(&["schema", "diff", &old, &wider]);
    assert_eq!(
        (code(&output), stdout(&output).as_str()),
        (0, "compatible: Todo.note: field added\n")
    );

    let output = tombolo(&["schema", "diff", &old, &narrower]);
    assert_eq!(
        (code(&output), stdout(&output).as_str()),
        (1, "breaking: Todo.done: field removed\n")
    );

    let output = tombolo(&["schema", "diff", "--json", &old, &narrower]);
    assert_eq!(code(&output), 1);
    assert_eq!(
        stdout(&output),
        "{\"breaking\":true,\"text\":\"Todo.done: field removed\",\"allow\":\"Todo.done\"}\n"
    );

    assert_eq!(code(&tombolo(&["schema", "diff", &old, &faulty])), 4);
}

#[test]
fn each_command_helps_with_an_example_and_its_exit_codes() {
    let commands: [&[&str]; 8] = [
        &["schema"],
        &["schema", "check"],
        &["schema", "print"],
        &["schema", "diff"],
        &["import"],
        &["export"],
        &["client"],
        &["completions"],
    ];
    for command in commands {
        let output = tombolo(&[command, &["--help"]].concat());
        assert_eq!(code(&output), 0, "{command:?}");
        let help = stdout(&output);
        assert!(
            help.contains(&format!("\n  tombolo {}", command.join(" "))),
            "{command:?} has no example:\n{help}"
        );
        assert!(
            help.contains("Exit codes: 0 "),
            "{command:?} does not tell its exit codes:\n{help}"
        );
    }
}

#[test]
fn completions_for_the_three_shells() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef tombolo"),
        ("fish", "complete -c tombolo"),
    ] {
        let output = tombolo(&["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains(sign), "{shell}");
    }
    assert_eq!(code(&tombolo(&["completions", "cmd"])), 2);
}
