//! `tombolo schema`: what a schema file says, before anything runs on it.

use std::path::{Path, PathBuf};

use tombolo_core::schema::Schema;

use super::output::{EXIT_CODES, Exit, Failure, Outcome, Paint, paint, say, stdout_bytes};

/// Checks, prints and compares schema files
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Examples:
  tombolo schema check schema.graphql
  tombolo schema print schema.graphql > api.graphql
  tombolo schema diff released.graphql schema.graphql

{EXIT_CODES}"))]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tells every error and warning of a schema file, by line and column
    #[command(after_help = format!("Example:
  tombolo schema check schema.graphql

{EXIT_CODES}
            Here 1 means: the schema has errors. Warnings alone are 0."))]
    Check {
        /// The schema, in SDL
        file: PathBuf,
    },
    /// Prints the generated API, in SDL, on standard output
    #[command(after_help = format!("Example:
  tombolo schema print schema.graphql > api.graphql

{EXIT_CODES}
            Here 1 means: the schema has errors."))]
    Print {
        /// The schema, in SDL
        file: PathBuf,
    },
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read, or is no schema where one is needed.
pub fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::Check { file } => check(file),
        Command::Print { file } => print(file),
    }
}

fn check(file: &Path) -> Outcome {
    let Some(schema) = read(file)? else {
        return Ok(Exit::Failed);
    };
    let count = schema.models.len();
    let models = if count == 1 {
        "1 model".to_owned()
    } else {
        format!("{count} models")
    };
    let warnings = match schema.warnings.len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        n => format!(", {n} warnings"),
    };
    say(&format!(
        "{} {}: {models}{warnings}",
        paint("ok:", Paint::Green),
        file.display()
    ));
    Ok(Exit::Done)
}

fn print(file: &Path) -> Outcome {
    let Some(schema) = read(file)? else {
        return Ok(Exit::Failed);
    };
    stdout_bytes(schema.api_sdl.as_bytes())?;
    if !schema.api_sdl.ends_with('\n') {
        stdout_bytes(b"\n")?;
    }
    Ok(Exit::Done)
}

/// Reads a schema and tells its errors and warnings. `None` if it has errors.
fn read(file: &Path) -> Result<Option<Schema>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::file(file, e))?;
    match Schema::parse(&text, &file.display().to_string()) {
        Ok(schema) => {
            for warning in &schema.warnings {
                say(&format!("{} {warning}", paint("warning:", Paint::Yellow)));
            }
            Ok(Some(schema))
        }
        Err(errors) => {
            for error in &errors.errors {
                say(&format!("{} {error}", paint("error:", Paint::Red)));
            }
            let count = errors.errors.len();
            say(&format!(
                "{}: {count} {}",
                file.display(),
                if count == 1 { "error" } else { "errors" }
            ));
            Ok(None)
        }
    }
}
