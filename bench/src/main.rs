//! The workloads of the design, each printed beside its physical limit, which is measured in the same run.
//!
//! `cargo xtask bench` starts this program. It starts others of itself: a server for each workload, and a worker that
//! holds the replicas or makes the load, so that the peak memory of each side is that of a process. `docs/bench.md` says
//! what each workload is and how to read the table.

mod child;
mod data;
mod error;
mod host;
mod limit;
mod load;
mod options;
mod report;
mod stats;
mod worker;
mod workload;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use tombolo_server::cli::{self, Cli, output};

use error::{During as _, Error, failed};
use host::Host;
use options::{Options, Part, Workload};
use report::Report;
use workload::{Setting, poison, w1, w2, w3, w4, w5, w6, w7, w8};

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(&failed(format!("cannot start threads: {error}"))),
    };
    let ended = match options.part.clone() {
        // What the `tombolo` binary does, and of the same build as this bench.
        Some(Part::Server { arguments }) => {
            let command = Cli::parse_from(std::iter::once("tombolo".to_owned()).chain(arguments));
            let ended = runtime.block_on(cli::run(command));
            runtime.shutdown_background();
            return output::finish(ended);
        }
        Some(Part::Worker { job }) => runtime.block_on(worker::run(&job)),
        None => runtime.block_on(bench(options.settled())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&error),
    }
}

fn say(error: &Error) -> ExitCode {
    // Without a standard error nobody can be told.
    let _ = writeln!(std::io::stderr().lock(), "tombolo-bench: {error}");
    ExitCode::FAILURE
}

/// What is being done, for who waits.
fn progress(words: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}

async fn bench(options: Options) -> Result<(), Error> {
    let parent = match &options.directory {
        Some(directory) => directory.clone(),
        None => beside_this_program()?,
    };
    std::fs::create_dir_all(&parent).during(|| format!("cannot make {}", parent.display()))?;
    let mut folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&parent)
        .during(|| format!("cannot make a folder in {}", parent.display()))?;
    folder.disable_cleanup(options.keep);
    let host = Host::look(folder.path())?;
    let open_files = host::raise_open_files();
    let setting = Setting::new(options, folder.path().to_owned());
    let options = &setting.options;
    let mut notes = vec![
        format!(
            "median of {} runs; replicas and server in processes of their own on one machine",
            options.runs
        ),
        "durability: server synchronous=FULL, replica FULL for mutations and NORMAL for the feed (the defaults)"
            .to_owned(),
    ];
    w5::check_open_files(options, open_files)?;
    let mut lines = Vec::new();
    let on_large = [Workload::W1, Workload::W6, Workload::W8];
    if on_large.iter().any(|workload| options.wants(*workload)) {
        progress("W1: filling a server, then first syncs");
        let (large, found) = w1::run(&setting, options.wants(Workload::W1), &mut notes).await?;
        lines.extend(found);
        if options.wants(Workload::W6) {
            progress("W6: local writes and live queries");
            lines.extend(w6::run(&setting, &large)?);
        }
        if options.wants(Workload::W8) {
            progress("W8: the SDK as an app has it");
            lines.extend(w8::run(&setting, &large, &mut notes)?);
        }
    }
    if options.wants(Workload::W2) {
        progress("W2: writer to reader's live query");
        lines.extend(w2::run(&setting).await?);
    }
    if options.wants(Workload::W3) {
        progress("W3: one write to many subscribers");
        lines.extend(w3::run(&setting, &mut notes).await?);
    }
    if options.wants(Workload::W4) {
        progress("W4: a queue flushed");
        lines.extend(w4::run(&setting).await?);
    }
    if options.wants(Workload::W5) {
        progress("W5: connections held");
        lines.extend(w5::run(&setting, &mut notes).await?);
    }
    if options.wants(Workload::W7) {
        progress("W7: many writers");
        lines.extend(w7::run(&setting).await?);
    }
    if options.wants(Workload::Poison) {
        progress("poison: a queue in which some mutations cannot succeed");
        lines.extend(poison::run(&setting).await?);
    }
    lines.sort_by_key(|line| line.workload);
    if options.smoke {
        notes.push("smoke: sizes are tiny, times mean nothing".to_owned());
    }
    let report = Report {
        command: command_line(),
        host,
        notes,
        lines,
    };
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").during(|| format!("cannot write {}", file.display()))?;
    }
    write!(std::io::stdout().lock(), "{}", report.text()).during(|| "cannot print the report".to_owned())?;
    if options.keep {
        progress(&format!("files are in {}", setting.directory.display()));
    }
    Ok(())
}

/// The disk of the build is a real one more often than that of `/tmp`.
fn beside_this_program() -> Result<PathBuf, Error> {
    let program = std::env::current_exe().during(|| "cannot find this program".to_owned())?;
    program
        .parent()
        .map(std::path::Path::to_owned)
        .ok_or_else(|| failed("this program has no folder"))
}

fn command_line() -> String {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    ["cargo xtask bench".to_owned()]
        .into_iter()
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}
