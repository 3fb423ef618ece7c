//! `tombolo completions SHELL`.

use clap::CommandFactory as _;

use super::Cli;
use super::output::{self, Exit, Outcome};

/// What `tombolo completions` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tombolo completions bash > ~/.local/share/bash-completion/completions/tombolo")]
pub struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Writes the script to standard output.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tombolo", &mut script);
    output::stdout_bytes(&script)?;
    Ok(Exit::Done)
}
