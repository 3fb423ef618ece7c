//! `tombolo completions SHELL`.

use clap::CommandFactory as _;

use super::Cli;
use super::output::{self, Exit, Outcome};

/// What `tombolo completions` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:
  tombolo completions bash > ~/.local/share/bash-completion/completions/tombolo
  tombolo completions zsh > ~/.zfunc/_tombolo
  tombolo completions fish > ~/.config/fish/completions/tombolo.fish

{}", output::EXIT_CODES))]
pub struct Args {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Writes the script to standard output.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(args: &Args) -> Outcome {
    // Into memory first: the generator panics on a writer that fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tombolo", &mut script);
    output::stdout_bytes(&script)?;
    Ok(Exit::Done)
}
