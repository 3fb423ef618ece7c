//! The `tombolo` binary: reads the command line, runs the subcommand, ends with its exit code.

use std::process::ExitCode;

use clap::Parser as _;
use tombolo_server::cli::{self, Cli, output};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::finish(Err(output::Failure::failed(format!("cannot start threads: {error}")))),
    };
    let ended = runtime.block_on(cli::run(cli));
    // Blocking work that nobody waits for any more (reading standard input) must not keep the process.
    runtime.shutdown_background();
    output::finish(ended)
}
