//! `tombolo codegen` as a shell sees it: what is written, what is left alone, and how it ends.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCHEMA: &str = "type Note @model {\n  id: ID!\n  text: String!\n}\ntype Tag @model {\n  id: ID!\n}\n";
const OPERATIONS: &str = "query Notes { listNotes { items { id text } } }\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.file("schema.graphql", SCHEMA);
        folder.file("queries/deep/notes.graphql", OPERATIONS);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Generates Rust into `out` from what the folder holds.
    fn generate(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tombolo"))
            .current_dir(self.0.path())
            .args(["codegen", "--schema", "schema.graphql", "--lang", "rust"])
            .args(more)
            .output()
            .unwrap()
    }

    fn out(&self, more: &[&str]) -> Output {
        self.generate(&[&["--out", "out", "--operations", "queries/**/*.graphql"], more].concat())
    }

    fn tree(&self) -> BTreeMap<PathBuf, String> {
        fn gather(folder: &Path, out: &mut BTreeMap<PathBuf, String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    gather(&path, out);
                } else {
                    out.insert(path.clone(), std::fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut out = BTreeMap::new();
        gather(&self.path("out"), &mut out);
        out
    }
}

fn told(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn a_second_run_changes_nothing() {
    let folder = Folder::new();
    let first = folder.out(&[]);
    assert_eq!(code(&first), 0, "{}", told(&first));
    assert!(folder.text("out/operations.rs").contains("pub async fn notes("));
    let before = folder.tree();
    let second = folder.out(&[]);
    assert!(told(&second).contains("0 files written"), "{}", told(&second));
    assert_eq!(folder.tree(), before);
    assert_eq!(code(&folder.out(&["--check"])), 0);
}

#[test]
fn what_is_generated_no_more_is_removed_and_nothing_else() {
    let folder = Folder::new();
    folder.out(&[]);
    folder.file("out/mine.rs", "// mine\n");
    folder.file("schema.graphql", "type Note @model {\n  id: ID!\n  text: String!\n}\n");
    let check = folder.out(&["--check"]);
    assert_eq!(code(&check), 1);
    assert!(told(&check).contains("tag.rs would be removed"), "{}", told(&check));
    assert!(folder.path("out/models/tag.rs").exists(), "--check writes nothing");
    let output = folder.out(&[]);
    assert!(told(&output).contains("1 removed"), "{}", told(&output));
    assert!(!folder.path("out/models/tag.rs").exists());
    assert_eq!(folder.text("out/mine.rs"), "// mine\n");
}

#[test]
fn a_generated_file_that_somebody_took_over_is_neither_overwritten_nor_removed() {
    let folder = Folder::new();
    folder.out(&[]);
    folder.file("out/models/tag.rs", "// mine now\n");
    let output = folder.out(&[]);
    assert_eq!(code(&output), 4);
    assert!(
        told(&output).contains("tag.rs: this file would be overwritten"),
        "{}",
        told(&output)
    );
    folder.file("schema.graphql", "type Note @model {\n  id: ID!\n  text: String!\n}\n");
    let output = folder.out(&[]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(told(&output).contains("it stays"), "{}", told(&output));
    assert_eq!(folder.text("out/models/tag.rs"), "// mine now\n");
}

#[test]
fn nothing_is_written_where_one_file_is_somebody_elses() {
    let folder = Folder::new();
    folder.file("out/mod.rs", "// mine\n");
    assert_eq!(code(&folder.out(&[])), 4);
    assert_eq!(folder.tree().len(), 1);
}

#[test]
fn a_list_that_leads_out_of_the_folder_removes_nothing_there() {
    let folder = Folder::new();
    folder.out(&[]);
    let ours = folder.text("out/mod.rs");
    folder.file("outside.rs", &ours);
    folder.file("out/.tombolo-codegen-rust", "../outside.rs\n/outside.rs\n");
    assert_eq!(code(&folder.out(&[])), 0);
    assert_eq!(folder.text("outside.rs"), ours);
}

#[test]
fn the_list_of_files_is_checked_and_mended() {
    let folder = Folder::new();
    folder.out(&[]);
    let list = folder.text("out/.tombolo-codegen-rust");
    std::fs::remove_file(folder.path("out/.tombolo-codegen-rust")).unwrap();
    let check = folder.out(&["--check"]);
    assert_eq!(code(&check), 1);
    assert!(
        told(&check).contains("tombolo-codegen-rust would be written"),
        "{}",
        told(&check)
    );
    folder.file("out/.tombolo-codegen-rust", "mod.rs\n<<<<<<< HEAD\n");
    assert_eq!(code(&folder.out(&["--check"])), 1);
    assert_eq!(code(&folder.out(&[])), 0);
    assert_eq!(folder.text("out/.tombolo-codegen-rust"), list);
    assert_eq!(code(&folder.out(&["--check"])), 0);
}

#[cfg(unix)]
#[test]
fn what_a_run_that_was_cut_short_has_written_is_known_to_the_next() {
    let folder = Folder::new();
    folder.out(&[]);
    let more = format!("{SCHEMA}type Alpha @model {{ id: ID! }}\n");
    folder.file("schema.graphql", &more);
    // The last file's folder cannot be made.
    folder.file("own/zz/last.rs.j2", "// the last\n");
    std::os::unix::fs::symlink("nowhere/at/all", folder.path("out/zz")).unwrap();
    let cut = folder.out(&["--templates", "own"]);
    assert_eq!(code(&cut), 4, "{}", told(&cut));
    assert!(folder.path("out/models/alpha.rs").exists());
    std::fs::remove_file(folder.path("out/zz")).unwrap();
    folder.file("schema.graphql", SCHEMA);
    assert_eq!(code(&folder.out(&[])), 0);
    assert!(!folder.path("out/models/alpha.rs").exists());
    let left = folder
        .tree()
        .into_keys()
        .find(|path| path.extension().is_some_and(|it| it == "new"));
    assert_eq!(left, None);
}

#[test]
fn a_type_that_is_renamed_in_letter_case_alone_has_its_file() {
    let folder = Folder::new();
    let swift = || {
        Command::new(env!("CARGO_BIN_EXE_tombolo"))
            .current_dir(folder.0.path())
            .args([
                "codegen",
                "--schema",
                "schema.graphql",
                "--lang",
                "swift",
                "--out",
                "out",
            ])
            .output()
            .unwrap()
    };
    assert_eq!(code(&swift()), 0);
    folder.file("schema.graphql", &SCHEMA.replace("Tag", "TAG"));
    assert_eq!(code(&swift()), 0);
    assert!(folder.text("out/TAG.swift").contains("struct TAG"));
    assert_eq!(
        folder.tree().keys().filter(|path| path.ends_with("Tag.swift")).count(),
        0
    );
    let again = swift();
    assert!(told(&again).contains("0 files written"), "{}", told(&again));
}

#[test]
fn files_whose_lines_git_ends_otherwise_are_the_same() {
    let folder = Folder::new();
    folder.out(&[]);
    for (path, text) in folder.tree() {
        std::fs::write(path, text.replace('\n', "\r\n")).unwrap();
    }
    let check = folder.out(&["--check"]);
    assert_eq!(code(&check), 0, "{}", told(&check));
    assert!(told(&folder.out(&[])).contains("0 files written"));
}

#[test]
fn an_invalid_operation_is_told_by_its_place_and_nothing_is_written() {
    let folder = Folder::new();
    folder.file(
        "queries/wrong.graphql",
        "query Wrong {\n  listNotes { items { txt } }\n}\n",
    );
    let output = folder.out(&[]);
    assert_eq!(code(&output), 1);
    let place = format!("{}:2:23: ", Path::new("queries").join("wrong.graphql").display());
    assert!(told(&output).contains(&place), "{}", told(&output));
    assert!(!folder.path("out").exists());
}

#[test]
fn a_pattern_that_matches_nothing_and_a_package_that_is_no_name_are_wrong_usage() {
    let folder = Folder::new();
    let output = folder.generate(&["--out", "out", "--operations", "nowhere/*.graphql"]);
    assert_eq!(code(&output), 2);
    assert!(told(&output).contains("matches no file"), "{}", told(&output));
    let output = folder.generate(&["--out", "out", "--operations", "queries"]);
    assert_eq!(code(&output), 2);
    assert!(told(&output).contains("'queries/**/*.graphql'"), "{}", told(&output));
    let output = folder.out(&["--package", "two words"]);
    assert_eq!(code(&output), 2, "{}", told(&output));
    let output = folder.generate(&[]);
    assert_eq!(code(&output), 2, "--out is needed");
}

#[test]
fn a_schema_with_errors_is_told_as_schema_check_tells_it() {
    let folder = Folder::new();
    folder.file("schema.graphql", "type Note @model { id: ID! text: Strin! }\n");
    let output = folder.out(&[]);
    assert_eq!(code(&output), 1);
    assert!(told(&output).contains("schema.graphql:1:"), "{}", told(&output));
}

#[test]
fn templates_of_ones_own_replace_add_and_take_away() {
    let folder = Folder::new();
    folder.file("own/models/[model].rs.j2", "pub struct {{ model.names.record }};\n");
    folder.file(
        "own/list.rs.j2",
        "{% for model in models %}\n// {{ model.name }}\n{% endfor %}\n",
    );
    folder.file("own/enums.rs.j2", "");
    let output = folder.out(&["--templates", "own"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    assert!(folder.text("out/models/note.rs").ends_with("\n\npub struct Note;\n"));
    assert!(folder.text("out/list.rs").ends_with("// Note\n// Tag\n"));
    assert!(!folder.path("out/enums.rs").exists());
    folder.file("own/list.rs.j2", "fine\n{{ nothing.there }}\n");
    let output = folder.out(&["--templates", "own"]);
    assert_eq!(code(&output), 1);
    assert!(told(&output).contains("list.rs.j2:2:"), "{}", told(&output));
}

#[test]
fn the_context_is_json_on_standard_output() {
    let folder = Folder::new();
    let output = folder.generate(&["--print-context"]);
    assert_eq!(code(&output), 0, "{}", told(&output));
    let context: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(context["models"][0]["name"], "Note");
}
