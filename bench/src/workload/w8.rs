//! W8: the SDK as an app has it, in Rust and through each language's package: size of the library, cold open and first query of
//! a large replica, memory, a local write, and a write until the live query shows it.
//!
//! Limits: SQLite's own opening of the same cold file and one record; the bare list; for the languages plain Rust, which does the
//! same job on a copy of the same file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::w6::flights;
use super::{Setting, copy_database};
use crate::child;
use crate::error::{During as _, Error, failed};
use crate::limit::tables::{count, empty_log, open_read, remove};
use crate::limit::{list, open};
use crate::options::repository_file;
use crate::report::{Line, Unit};
use crate::stats::{Spread, median};
use crate::worker::{App, AppDone, Job, Place, REPLICA, replica_file};

/// Times that the file is opened cold.
const OPENINGS: usize = 11;

/// The most that the library may weigh for one kind of processor.
const LIBRARY_BYTES_MAX: f64 = 5e6;

const UPDATE: &str = "mutation Update($input: UpdateFlightInput!) { updateFlight(input: $input) { id } }";

/// Runs the workload on the replica that W1 has made.
pub(crate) fn run(setting: &Setting, large: &Place, notes: &mut Vec<String>) -> Result<Vec<Line>, Error> {
    let options = &setting.options;
    let kept = setting.directory.join("app-before.sqlite");
    copy_database(&replica_file(&large.directory, REPLICA), &kept)?;
    empty_log(&kept)?;
    let rows = count(&kept, "Flight")?;
    let (plain, watched) = flights(&kept, options.samples)?;
    let file = setting.directory.join("app.sqlite");
    let job = App {
        file: file.to_string_lossy().into_owned(),
        schema: std::fs::read_to_string(&setting.schema).during(|| "cannot read the schema".to_owned())?,
        query: list::document(),
        update: UPDATE.to_owned(),
        plain: Vec::new(),
        watched: Vec::new(),
    };
    let first = plain.first().cloned().unwrap_or_default();
    let one = |what: String, figure: f64| Line::new("W8", what, Unit::Seconds, figure);
    let mut lines = library(options.library.as_deref(), notes)?;

    // Opened only: the file stays as it is but for SQLite's own marks.
    let (mut opens, mut bare, mut queries, mut memory, mut floor) = (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..if options.smoke { 1 } else { OPENINGS } {
        fresh(&kept, &file)?;
        open::forget(&file)?;
        bare.push(open::bare(&file, &first)?.as_secs_f64());
        fresh(&kept, &file)?;
        open::forget(&file)?;
        let done: AppDone = child::work(&Job::App(job.clone()))?;
        opens.push(done.open_seconds);
        queries.push(done.first_query_seconds);
        if let (Some(before), Some(after)) = (done.resident_before, done.resident_after) {
            memory.push(after as f64);
            floor.push(before as f64);
        }
    }
    lines.push(
        one(
            format!("cold open of {rows} rows, p50 of {}", opens.len()),
            median(&opens),
        )
        .against("bare SQLite opens the cold file and reads one record", median(&bare)),
    );
    lines.push(
        one(
            "first query after it, 1000 rows × 10 fields".to_owned(),
            median(&queries),
        )
        .against("bare statement, JSON by hand, warm", bare_list(&kept)?),
    );
    if !memory.is_empty() {
        lines.push(
            Line::new(
                "W8",
                "memory with the file open, after that query",
                Unit::Bytes,
                median(&memory),
            )
            .against("the process before it opened the file", median(&floor)),
        );
    }

    let job = App { plain, watched, ..job };
    let mut rust = Vec::new();
    let languages = languages(options.smoke);
    let mut others: Vec<Vec<AppDone>> = languages.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.runs {
        fresh(&kept, &file)?;
        rust.push(child::work::<AppDone>(&Job::App(job.clone()))?);
        for ((language, script), done) in languages.iter().zip(&mut others) {
            fresh(&kept, &file)?;
            done.push(through(language, script, &setting.directory, &job)?);
        }
    }
    let spread = |runs: &[AppDone], of: fn(&AppDone) -> Spread| {
        let spreads: Vec<Spread> = runs.iter().map(of).collect();
        Spread::median(&spreads)
    };
    for (what, of) in [
        ("local write", (|done| done.write) as fn(&AppDone) -> Spread),
        ("write to live list query", |done| done.live),
    ] {
        let plain = spread(&rust, of);
        lines.push(one(format!("{what}, plain Rust, p50"), plain.p50));
        for ((language, _), done) in languages.iter().zip(&others) {
            let other = spread(done, of);
            lines.push(one(format!("{what}, {language}, p50"), other.p50).against("plain Rust, p50", plain.p50));
            lines.push(one("the same, p99".to_owned(), other.p99).against("plain Rust, p99", plain.p99));
        }
    }
    if languages.is_empty() {
        notes.push("W8: no language but Rust: `cargo xtask bindings` and each one's ci.sh make them".to_owned());
    }
    Ok(lines)
}

/// A copy that nobody has opened yet.
fn fresh(kept: &Path, file: &Path) -> Result<(), Error> {
    remove(file)?;
    copy_database(kept, file)
}

/// The library as it goes onto a phone, if it was built.
fn library(given: Option<&Path>, notes: &mut Vec<String>) -> Result<Vec<Line>, Error> {
    let Some(file) = given else {
        notes.push(
            "W8: no library to weigh; `cargo build --profile phone -p tombolo-ffi` makes it, `--library FILE` names it"
                .to_owned(),
        );
        return Ok(Vec::new());
    };
    let length = std::fs::metadata(file)
        .during(|| format!("cannot read {}", file.display()))?
        .len();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Ok(vec![
        Line::new(
            "W8",
            format!("{name}, {}, stripped", std::env::consts::ARCH),
            Unit::Bytes,
            length as f64,
        )
        .against("the most that it may weigh", LIBRARY_BYTES_MAX),
    ])
}

fn bare_list(file: &Path) -> Result<f64, Error> {
    let connection = open_read(file)?;
    let mut out = Vec::new();
    list::answer(&connection, &mut out)?;
    let start = Instant::now();
    list::answer(&connection, &mut out)?;
    Ok(start.elapsed().as_secs_f64())
}

/// The languages whose program was built, with its script.
fn languages(smoke: bool) -> Vec<(&'static str, PathBuf)> {
    if smoke {
        return Vec::new();
    }
    ["kotlin", "swift", "python"]
        .into_iter()
        .map(|language| (language, repository_file(&format!("bindings/{language}/bench.sh"))))
        .filter(|(_, script)| {
            let ready = Command::new(script)
                .arg("--ready")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            ready.is_ok_and(|status| status.success())
        })
        .collect()
}

/// Has a language's program do the job.
fn through(language: &str, script: &Path, folder: &Path, job: &App) -> Result<AppDone, Error> {
    let file = folder.join("app-job.json");
    std::fs::write(&file, serde_json::to_vec(job)?).during(|| format!("cannot write {}", file.display()))?;
    let output = Command::new(script)
        .arg(&file)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .during(|| format!("cannot start {}", script.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rfind(|line| line.starts_with('{'));
    match last {
        Some(line) if output.status.success() => Ok(serde_json::from_str(line)?),
        _ => Err(failed(format!(
            "the {language} program ended with {}: {}",
            output.status,
            said.trim()
        ))),
    }
}
