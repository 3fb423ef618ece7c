//! How every command speaks: data on standard output, words for people on standard error, one meaning for each exit code.
//!
//! A command returns an [`Outcome`]; [`finish`] turns it into the process's exit code and says what went wrong. A reader
//! that closes standard output early (`tombolo export … | head`) ends the command quietly.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// The table of exit codes, as `--help` shows it under each command.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 the command's own failure (its help says which) · 2 wrong usage ·
            3 the server cannot be reached, does not answer in time or refuses the credential ·
            4 a file cannot be read, written or understood";

/// How often a progress bar is redrawn at most: often enough to look alive, rare enough to cost nothing.
const PROGRESS_REDRAW_HZ: u8 = 5;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done.
    Done,
    /// The command's own failure: a schema with errors, a breaking difference, rejected lines, a replica with work left.
    Failed,
    /// Arguments that do not go together, or name what does not exist.
    Usage,
    /// The server cannot be reached, does not answer in time or refuses the credential.
    Network,
    /// A file cannot be read, written or understood.
    File,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Network => 3,
            Self::File => 4,
        }
    }
}

/// A command that could not do its work.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Which code the process ends with.
    pub exit: Exit,
    /// What went wrong and what to do about it.
    pub message: String,
    /// Standard output was closed by its reader: nothing to say, and no one to say it to.
    quiet: bool,
}

impl Failure {
    /// A failure that ends the process with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            quiet: false,
        }
    }

    /// The command's own failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The server.
    pub fn network(message: impl Into<String>) -> Self {
        Self::new(Exit::Network, message)
    }

    /// A file, named.
    pub fn file(path: &Path, why: impl Display) -> Self {
        Self::new(Exit::File, format!("{}: {why}", path.display()))
    }

    fn stdout(error: &std::io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            Self {
                exit: Exit::Done,
                message: String::new(),
                quiet: true,
            }
        } else {
            Self::new(Exit::File, format!("standard output: {error}"))
        }
    }
}

/// What a command gives back.
pub type Outcome = Result<Exit, Failure>;

/// Says what went wrong, if anything did, and gives the process's exit code.
#[must_use]
pub fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(failure) => {
            if !failure.quiet {
                say(&format!("{} {}", paint("error:", Paint::Red), failure.message));
            }
            ExitCode::from(failure.exit.code())
        }
    }
}

/// How many there are, as people write it: `1 record`, `2 records`. For nouns whose plural takes an s.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

/// A line for people, on standard error. Nothing can be done if that is closed.
pub fn say(line: &str) {
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}

/// One JSON document on one line of standard output, flushed so that a reader sees it now.
///
/// # Errors
/// Standard output is closed or full.
pub fn json_line<T: Serialize>(document: &T) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec(document).map_err(|e| Failure::failed(e.to_string()))?;
    bytes.push(b'\n');
    stdout_bytes(&bytes)
}

/// Bytes to standard output as they are, flushed.
///
/// # Errors
/// Standard output is closed or full.
pub fn stdout_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|e| Failure::stdout(&e))
}

/// The failure that a write to `path` (or to standard output, without one) means.
#[must_use]
pub fn write_failure(path: Option<&Path>, error: &std::io::Error) -> Failure {
    match path {
        Some(path) => Failure::file(path, error),
        None => Failure::stdout(error),
    }
}

/// The colours that messages use, on a terminal only.
#[derive(Clone, Copy, Debug)]
pub enum Paint {
    /// Errors, and what breaks.
    Red,
    /// Warnings.
    Yellow,
    /// What is well.
    Green,
}

/// `text` in a colour if standard error is a terminal and `NO_COLOR` is not set.
#[must_use]
pub fn paint(text: &str, paint: Paint) -> String {
    paint_for(text, paint, std::io::stderr().is_terminal())
}

/// `text` in a colour if standard output is a terminal and `NO_COLOR` is not set.
#[must_use]
pub fn paint_stdout(text: &str, paint: Paint) -> String {
    paint_for(text, paint, std::io::stdout().is_terminal())
}

fn paint_for(text: &str, paint: Paint, terminal: bool) -> String {
    if !terminal || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) {
        return text.to_owned();
    }
    let code = match paint {
        Paint::Red => 31,
        Paint::Yellow => 33,
        Paint::Green => 32,
    };
    format!("\x1b[1;{code}m{text}\x1b[0m")
}

/// A progress bar on standard error, drawn only if that is a terminal. `total` in the unit of `inc` (bytes or records);
/// `None` for a count without an end.
#[must_use]
pub fn progress(total: Option<u64>, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(PROGRESS_REDRAW_HZ));
    let template = match total {
        Some(_) => format!("{{bar:30}} {{human_pos}}/{{human_len}} {unit} · {{per_sec}} · {{eta}} left {{msg}}"),
        None => format!("{{spinner}} {{human_pos}} {unit} · {{per_sec}} {{msg}}"),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_told_as_several() {
        let told = [0, 1, 2].map(|count| counted(count, "record"));
        assert_eq!(told, ["0 records", "1 record", "2 records"]);
    }

    #[test]
    fn each_way_of_ending_has_its_own_code() {
        let codes: Vec<u8> = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Network, Exit::File]
            .map(Exit::code)
            .to_vec();
        assert_eq!(codes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let gone = std::io::Error::from(ErrorKind::BrokenPipe);
        assert_eq!(write_failure(None, &gone).exit, Exit::Done);
        assert_eq!(write_failure(Some(Path::new("out.csv")), &gone).exit, Exit::File);
    }

    #[test]
    fn no_colours_away_from_a_terminal() {
        assert_eq!(paint_for("x", Paint::Red, false), "x");
    }
}
