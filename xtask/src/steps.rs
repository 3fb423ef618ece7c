//! Every check and every test, in one order, each timed, all of them tried even when an early one fails.
//!
//! Cheap steps come first, so that a slip of the pen is told within seconds. The client tests come late because they
//! need the built server; fuzzing comes last because it builds everything once more, with coverage.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::house::{Failed, House, Task};
use crate::{bindings, fuzz, tidy, tools};

/// How the same steps are run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// At a developer's desk: the lock file may follow the manifests.
    Daily,
    /// In CI: the lock file is law, and no room is spent on incremental builds.
    Ci,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Skipped(&'static str),
    Failed(String),
}

type Step = (&'static str, fn(&House, Mode) -> Result<Outcome, Failed>);

const STEPS: &[Step] = &[
    ("tools", tools_step),
    ("fmt", fmt_step),
    ("tidy", |house, _| tidy::run(house).map(|()| Outcome::Passed)),
    ("deny", deny_step),
    ("clippy", |house, mode| {
        passes(cargo(
            house,
            mode,
            &["clippy", "--workspace", "--all-targets"],
            &["-D", "warnings"],
        ))
    }),
    ("build", |house, mode| {
        passes(cargo(
            house,
            mode,
            &["build", "--workspace", "--bins", "--examples"],
            &[],
        ))
    }),
    ("test", |house, mode| {
        passes(cargo(house, mode, &["test", "--workspace", "--no-fail-fast"], &[]))
    }),
    ("doc", |house, mode| {
        passes(
            cargo(house, mode, &["doc", "--workspace", "--no-deps", "--lib"], &[]).env("RUSTDOCFLAGS", "-D warnings"),
        )
    }),
    ("clients", |house, mode| foreign_step(house, mode, CLIENTS)),
    ("bindings", bindings::step),
    ("transformer", |house, mode| foreign_step(house, mode, TRANSFORMER)),
    ("codegen", |house, mode| foreign_step(house, mode, CODEGEN)),
    ("fuzz", |house, _| fuzz::step(house).map(|()| Outcome::Passed)),
];

/// Runs the steps (all of them if `only` names none) and prints a summary.
pub(crate) fn run(house: &House, only: &[String], mode: Mode) -> Result<(), Failed> {
    let steps = chosen(only)?;
    let begin = Instant::now();
    let mut done: Vec<(&str, Outcome, Duration)> = Vec::new();
    for (name, step) in steps {
        println!("\n==> {name}");
        let start = Instant::now();
        let outcome = step(house, mode).unwrap_or_else(|failed| Outcome::Failed(failed.0));
        if let Outcome::Failed(why) = &outcome {
            eprintln!("{name} failed: {why}");
        }
        let stop = *name == "tools" && matches!(outcome, Outcome::Failed(_));
        done.push((name, outcome, start.elapsed()));
        if stop {
            break;
        }
    }
    println!("\n==> summary");
    for (name, outcome, took) in &done {
        println!("{}", summary_line(name, outcome, *took));
    }
    println!("in all {:.1} s", begin.elapsed().as_secs_f64());
    let failed: Vec<&str> = done
        .iter()
        .filter(|(_, outcome, _)| matches!(outcome, Outcome::Failed(_)))
        .map(|(name, ..)| *name)
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failed(format!("failed: {}", failed.join(", "))))
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>, Failed> {
    if let Some(unknown) = only.iter().find(|name| !STEPS.iter().any(|(step, _)| step == name)) {
        let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
        return Err(Failed(format!(
            "there is no step `{unknown}`; the steps are {}",
            names.join(", ")
        )));
    }
    Ok(STEPS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.iter().any(|wanted| wanted == name))
        .collect())
}

pub(crate) fn summary_line(name: &str, outcome: &Outcome, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Passed => format!("  {name:<11} ok       {seconds:>7.1} s"),
        Outcome::Skipped(why) => format!("  {name:<11} skipped  {seconds:>7.1} s  {why}"),
        Outcome::Failed(why) => {
            format!(
                "  {name:<11} FAILED   {seconds:>7.1} s  {}",
                why.lines().next().unwrap_or_default()
            )
        }
    }
}

fn passes(task: Task) -> Result<Outcome, Failed> {
    task.run().map(|()| Outcome::Passed)
}

/// A cargo command with the settings of the mode; `last` goes behind the `--`.
pub(crate) fn cargo(house: &House, mode: Mode, arguments: &[&str], last: &[&str]) -> Task {
    let mut task = house.cargo(arguments);
    if mode == Mode::Ci {
        task = task
            .args(["--locked"])
            .env("CARGO_INCREMENTAL", "0")
            .env("RUST_BACKTRACE", "1");
    }
    if last.is_empty() {
        task
    } else {
        task.args(["--"]).args(last)
    }
}

fn tools_step(house: &House, _: Mode) -> Result<Outcome, Failed> {
    let mut needed = vec![tools::CC, tools::GIT, tools::SQLITE];
    if [CLIENTS, TRANSFORMER, CODEGEN]
        .iter()
        .any(|folder| npm_tests(house, folder).is_some())
    {
        needed.extend([tools::NODE, tools::NPM]);
        if std::env::var_os("TOMBOLO_CHROMIUM").is_none() {
            needed.push(tools::CHROMIUM);
        }
        needed.extend([tools::MOSQUITTO, tools::MOSQUITTO_BROKER]);
        needed.push(tools::PYTHON_VENV);
    }
    tools::ensure(house, &needed)?;
    tools::ensure_rust_components(house)?;
    Ok(Outcome::Passed)
}

fn fmt_step(house: &House, mode: Mode) -> Result<Outcome, Failed> {
    for workspace in [&["--all"][..], &["--manifest-path", fuzz::MANIFEST]] {
        let task = house.cargo(&["fmt", "--check"]).args(workspace);
        // It would colour a log file too.
        let task = if mode == Mode::Ci {
            task.args(["--", "--color=never"])
        } else {
            task
        };
        task.run()?;
    }
    Ok(Outcome::Passed)
}

/// Licences, sources and bans. Optional: the tool takes minutes to build, and what it guards changes only when a
/// dependency does.
fn deny_step(house: &House, _: Mode) -> Result<Outcome, Failed> {
    if !house.cargo(&["deny", "--version"]).succeeds() {
        return Ok(Outcome::Skipped(
            "optional: cargo-deny is not installed (cargo install cargo-deny --locked)",
        ));
    }
    passes(house.cargo(&["deny", "check", "bans", "licenses", "sources"]))
}

/// The clients that others wrote, against the server that the build step left behind.
const CLIENTS: &str = "tests/clients";
/// The transformer whose API ours is, beside what the same binary prints.
const TRANSFORMER: &str = "tests/transformer";
/// Generated TypeScript, compiled and run. Generated Rust is compiled and run by the step `test`.
const CODEGEN: &str = "tests/codegen/typescript";

/// What npm and Python test in `folder`, with the binary that the build step left behind: all is installed first, and all is
/// tried even when an early one fails.
fn foreign_step(house: &House, mode: Mode, folder: &str) -> Result<Outcome, Failed> {
    let Some(folder) = npm_tests(house, folder) else {
        return Ok(Outcome::Skipped("there is no package.json"));
    };
    let server = server(house, mode)?;
    let suites = suites(&folder)?;
    for suite in &suites {
        suite.install(house)?;
    }
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for suite in &suites {
        let start = Instant::now();
        let outcome = match suite.tests(house).env("TOMBOLO_BIN", &server).run() {
            Ok(()) => Outcome::Passed,
            Err(why) => {
                failed.push(suite.folder.display().to_string());
                Outcome::Failed(why.0)
            }
        };
        let name = suite.folder.file_name().unwrap_or_default().to_string_lossy();
        lines.push(summary_line(&name, &outcome, start.elapsed()));
    }
    println!("\n{}", lines.join("\n"));
    if failed.is_empty() {
        Ok(Outcome::Passed)
    } else {
        Ok(Outcome::Failed(format!("tests in {}", failed.join(", "))))
    }
}

/// The server, built as the build step does it.
pub(crate) fn server(house: &House, mode: Mode) -> Result<PathBuf, Failed> {
    // The very command of that step: with other targets other features would be on, and much would be built anew.
    cargo(house, mode, &["build", "--workspace", "--bins", "--examples"], &[]).run()?;
    Ok(target_folder(house)?
        .join("debug")
        .join(format!("tombolo{}", std::env::consts::EXE_SUFFIX)))
}

/// Tests in another language, in a folder that says what they need.
#[derive(Debug, PartialEq, Eq)]
struct Suite {
    folder: PathBuf,
    language: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    /// `package.json`, with a lock file.
    Npm,
    /// `requirements.txt`, with hashes.
    Python,
}

impl Language {
    /// That of a folder with tests.
    fn of(folder: &Path) -> Option<Self> {
        [("package.json", Self::Npm), ("requirements.txt", Self::Python)]
            .into_iter()
            .find_map(|(file, language)| folder.join(file).is_file().then_some(language))
    }
}

/// Where a Python suite has what it needs, apart from the machine's.
const VENV: &str = ".venv";

impl Suite {
    fn install(&self, house: &House) -> Result<(), Failed> {
        match self.language {
            Language::Npm => house
                .task("npm")
                .args(["ci", "--no-audit", "--no-fund"])
                .folder(&self.folder)
                .run(),
            Language::Python => {
                house
                    .task("python3")
                    .args(["-m", "venv", "--clear", VENV])
                    .folder(&self.folder)
                    .run()?;
                let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
                self.python(house)
                    .args(pip)
                    .args(["--require-hashes", "--requirement", "requirements.txt"])
                    .run()
            }
        }
    }

    fn tests(&self, house: &House) -> Task {
        match self.language {
            Language::Npm => house.task("npm").args(["test"]).folder(&self.folder),
            // Sockets that a library leaves to the garbage collector are its own affair.
            Language::Python => {
                self.python(house)
                    .args(["-W", "ignore::ResourceWarning", "-m", "unittest", "--verbose"])
            }
        }
    }

    fn python(&self, house: &House) -> Task {
        let bin = self
            .folder
            .join(VENV)
            .join(if cfg!(windows) { "Scripts" } else { "bin" });
        house.task(bin.join("python")).folder(&self.folder)
    }
}

/// Those of the folder of the client tests, whose packages the others share, and those below it: clients whose packages
/// do not go together have one each.
fn suites(folder: &Path) -> Result<Vec<Suite>, Failed> {
    let unreadable = |e: std::io::Error| Failed(format!("{}: {e}", folder.display()));
    let mut suites = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        if let Some(language) = Language::of(&folder) {
            suites.push(Suite { folder, language });
        }
    }
    suites.sort_by(|a, b| a.folder.cmp(&b.folder));
    let language = Language::Npm;
    let folder = folder.to_owned();
    suites.insert(0, Suite { folder, language });
    Ok(suites)
}

fn npm_tests(house: &House, folder: &str) -> Option<PathBuf> {
    let folder = house.path(folder);
    folder.join("package.json").is_file().then_some(folder)
}

pub(crate) fn target_folder(house: &House) -> Result<PathBuf, Failed> {
    let metadata = tidy::metadata(house)?;
    match metadata["target_directory"].as_str() {
        Some(folder) => Ok(PathBuf::from(folder)),
        None => Err(Failed("cargo metadata names no target directory".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_every_step_runs() {
        assert_eq!(chosen(&[]).unwrap().len(), STEPS.len());
    }

    #[test]
    fn a_choice_keeps_the_order_of_the_house() {
        let names: Vec<&str> = chosen(&["doc".into(), "fmt".into()])
            .unwrap()
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names, ["fmt", "doc"]);
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_names_there_are() {
        let Err(failed) = chosen(&["format".into()]) else {
            panic!("`format` is no step")
        };
        assert!(
            failed.0.contains("no step `format`") && failed.0.contains("clippy"),
            "{failed}"
        );
    }

    #[test]
    fn every_suite_of_the_client_tests_is_found() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients");
        let suites = suites(&folder).unwrap();
        let names: Vec<_> = suites
            .iter()
            .skip(1)
            .filter_map(|suite| suite.folder.file_name()?.to_str())
            .collect();
        assert_eq!(
            names,
            [
                "amplify5",
                "appsync3",
                "appsync4",
                "browser",
                "datastore6",
                "mqtt",
                "mqtt-python"
            ]
        );
        assert_eq!(suites[0].folder, folder, "the shared one first");
        let python = |suite: &&Suite| suite.language == Language::Python;
        assert_eq!(suites.iter().filter(python).count(), 1);
    }

    #[test]
    fn the_summary_shows_the_first_line_of_a_failure() {
        let line = summary_line("fmt", &Outcome::Failed("one\ntwo".into()), Duration::from_millis(1500));
        assert!(
            line.contains("FAILED") && line.contains("1.5 s") && line.ends_with("one"),
            "{line}"
        );
    }
}
