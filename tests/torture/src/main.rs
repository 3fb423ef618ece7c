//! `cargo xtask torture`: processes killed without a warning, and the books checked afterwards.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line: its output is what it is for.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tombolo_torture::{phone, run};

/// Kills a server and phones with SIGKILL, round after round, under a network that fails, and then checks that no
/// acknowledged mutation was lost, doubled or reordered. Example: `cargo xtask torture --rounds 300`.
#[derive(Parser, Debug)]
#[command(name = "torture", args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    inner: Option<Inner>,
    /// Kills of the server, and as many of phones
    #[arg(long, default_value_t = 30)]
    rounds: u64,
    /// What is decided by chance follows from it; without it from the clock
    #[arg(long)]
    seed: Option<u64>,
    /// Phones
    #[arg(long, default_value_t = 4)]
    phones: u64,
    /// The `tombolo` binary; by default the one beside this one
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Keep the files here instead of in a folder that goes if all is well
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Inner {
    /// A phone's process; started by the torture itself
    #[command(hide = true)]
    Phone(phone::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    match args.inner {
        Some(Inner::Phone(args)) => match runtime.block_on(phone::run(args)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(words) => failed(&words),
        },
        None => torture(&runtime, args),
    }
}

fn torture(runtime: &tokio::runtime::Runtime, args: Args) -> ExitCode {
    let Ok(own) = std::env::current_exe() else {
        return failed("this program does not know where it is");
    };
    let server = args
        .server
        .unwrap_or_else(|| own.with_file_name(format!("tombolo{}", std::env::consts::EXE_SUFFIX)));
    let (folder, kept) = match args.folder {
        Some(folder) => match std::fs::create_dir_all(&folder) {
            Ok(()) => (folder, None),
            Err(error) => return failed(&format!("{}: {error}", folder.display())),
        },
        None => match tempfile::tempdir() {
            Ok(folder) => (folder.path().to_owned(), Some(folder)),
            Err(error) => return failed(&error.to_string()),
        },
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = args.seed.unwrap_or_else(|| now.map_or(0, |now| now.as_secs()));
    println!("torture: seed {seed}, {} rounds, {} phones", args.rounds, args.phones);
    let settings = run::Settings {
        rounds: args.rounds,
        seed,
        phones: args.phones.max(1),
        server,
        phone: own,
        folder: folder.clone(),
    };
    let outcome = runtime.block_on(run::run(settings));
    if let Ok(outcome) = &outcome {
        println!("{outcome}");
    }
    let words = match outcome {
        Ok(outcome) if outcome.is_good() => return ExitCode::SUCCESS,
        Ok(outcome) => format!("{} findings", outcome.verdict.findings.len()),
        Err(words) => words,
    };
    // What is left shows what happened.
    if let Some(kept) = kept {
        let _path = kept.keep();
    }
    failed(&format!("seed {seed}: {words}; the files are in {}", folder.display()))
}

fn failed(words: &str) -> ExitCode {
    eprintln!("error: {words}");
    ExitCode::FAILURE
}
