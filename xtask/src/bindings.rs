//! The bindings: the library with its C surface, and what uniffi writes for Kotlin, Swift and Python, laid where each
//! language's package looks for it (nothing of it is kept in the repository); and each language's own tests against it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::house::{Failed, House, failed};
use crate::steps::{self, Mode, Outcome};

/// The languages whose packages have a `ci.sh`: it installs what it needs, compiles the package with generated code and
/// examples, and runs the scenarios of tests/bindings against a real server.
const LANGUAGES: &[&str] = &["python", "kotlin", "swift"];

/// Where each language's package has what was written for it.
const KOTLIN: &str = "bindings/kotlin/generated";
const SWIFT: &str = "bindings/swift/Sources/TomboloFFI";
const SWIFT_C: &str = "bindings/swift/Sources/CTomboloFFI";
const PYTHON: &str = "bindings/python/src/tombolo/_ffi";

/// What Swift's side needs beside what uniffi writes, and can only be said in the same file: uniffi's own answer to a library of
/// another API is to end the process.
const SWIFT_MORE: &str = "
/// Whether the library is the one that this file was written for. Nothing may be called in another.
public func libraryMatches() -> Bool {
    if case .ok = initializationResult { true } else { false }
}
";

/// What `uniffi-bindgen` writes into one folder, and where each file goes.
const FILES: &[(&str, &str, &str)] = &[
    (
        "dev/tombolo/ffi/tombolo_ffi.kt",
        KOTLIN,
        "dev/tombolo/ffi/tombolo_ffi.kt",
    ),
    ("TomboloFFI.swift", SWIFT, "TomboloFFI.swift"),
    ("CTomboloFFI.h", SWIFT_C, "CTomboloFFI.h"),
    ("CTomboloFFI.modulemap", SWIFT_C, "module.modulemap"),
    ("tombolo_ffi.py", PYTHON, "tombolo_ffi.py"),
];

/// What is built where nothing else was: the least.
pub(crate) const ALONE: &[&str] = &["--package", "tombolo-ffi", "--package", "tombolo-bindgen"];
/// And behind the build step: the same packages as there, or every dependency would be compiled again with other features.
const BEHIND: &[&str] = &["--workspace", "--lib", "--bins", "--examples"];

/// Builds the library in the daily profile, with what tests of the bindings call, and writes the three languages' sides.
pub(crate) fn generate(house: &House, mode: Mode, what: &[&str]) -> Result<PathBuf, Failed> {
    let build = [&["build", "--features", "testing"], what].concat();
    steps::cargo(house, mode, &build, &[]).run()?;
    let folder = steps::target_folder(house)?.join("debug");
    let library = library(&folder);
    let written = folder.join("bindings");
    write(house, &folder, &library, &written)?;
    Ok(library)
}

/// Every language's tests, with the server that the build step left behind. All are tried even when an early one fails.
pub(crate) fn step(house: &House, mode: Mode) -> Result<Outcome, Failed> {
    let server = steps::server(house, mode)?;
    let library = generate(house, mode, BEHIND)?;
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for language in LANGUAGES {
        let start = Instant::now();
        let script = house.path(&format!("bindings/{language}/ci.sh"));
        let ended = house
            .task(&script)
            .env("TOMBOLO_BIN", &server)
            .env("TOMBOLO_LIBRARY", &library)
            .run();
        let outcome = match ended {
            Ok(()) => Outcome::Passed,
            Err(why) => {
                failed.push(*language);
                Outcome::Failed(why.0)
            }
        };
        lines.push(steps::summary_line(language, &outcome, start.elapsed()));
    }
    println!("\n{}", lines.join("\n"));
    if failed.is_empty() {
        Ok(Outcome::Passed)
    } else {
        Ok(Outcome::Failed(format!("the bindings for {}", failed.join(", "))))
    }
}

/// The built library for this system.
fn library(folder: &Path) -> PathBuf {
    let (before, after) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    folder.join(format!("{before}tombolo_ffi{after}"))
}

fn write(house: &House, folder: &Path, library: &Path, written: &Path) -> Result<(), Failed> {
    // What an earlier version wrote under another name must not be taken for this one's.
    match std::fs::remove_dir_all(written) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed(format!("removing {}", written.display()))(error));
        }
        Ok(()) | Err(_) => {}
    }
    house
        .task(folder.join(format!("tombolo-bindgen{}", std::env::consts::EXE_SUFFIX)))
        .args(["generate"])
        .args([library])
        .args(["--language", "kotlin", "--language", "swift", "--language", "python"])
        .args(["--no-format", "--out-dir"])
        .args([written])
        .run()?;
    for (from, to, name) in FILES {
        let (from, to) = (written.join(from), house.path(to).join(name));
        copy(&from, &to, if *name == "TomboloFFI.swift" { SWIFT_MORE } else { "" })?;
    }
    Ok(())
}

/// Copies a file, with `more` behind, unless it is there already like that: what was compiled from it stays fresh.
fn copy(from: &Path, to: &Path, more: &str) -> Result<(), Failed> {
    let mut text = std::fs::read(from).map_err(failed(format!("reading {}", from.display())))?;
    text.extend_from_slice(more.as_bytes());
    if std::fs::read(to).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(failed(format!("making {}", folder.display())))?;
    }
    std::fs::write(to, text).map_err(failed(format!("writing {}", to.display())))
}
