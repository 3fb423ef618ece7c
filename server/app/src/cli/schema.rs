//! `tombolo schema`: what a schema file says, before anything runs on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tombolo_core::schema::{Schema, SchemaMessage, diff};

use super::output::{
    EXIT_CODES, Exit, Failure, Outcome, Paint, counted, json_line, paint, paint_stdout, say, stdout_bytes,
};

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
    /// Tells what changes between two schemas, and which of it breaks released apps or stored records
    #[command(after_help = format!("Each difference is a line on standard output that begins with `breaking:` or `compatible:`.

Examples:
  tombolo schema diff released.graphql schema.graphql
  tombolo schema diff --json released.graphql schema.graphql

{EXIT_CODES}
            Here 1 means: at least one difference is breaking; a file with schema errors is 4."))]
    Diff {
        /// One JSON document a difference: {"breaking":true,"text":"…","allow":"…"}
        #[arg(long)]
        json: bool,
        /// The schema that apps in the field were built with
        old: PathBuf,
        /// The schema that is to take its place
        new: PathBuf,
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
        Command::Diff { json, old, new } => compare(old, new, *json),
    }
}

fn check(file: &Path) -> Outcome {
    let Some(schema) = read(file)? else {
        return Ok(Exit::Failed);
    };
    let models = counted(schema.models.len() as u64, "model");
    let warnings = match schema.warnings.len() {
        0 => String::new(),
        n => format!(", {}", counted(n as u64, "warning")),
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

fn compare(old: &Path, new: &Path, json: bool) -> Outcome {
    let (old_schema, new_schema) = (read(old)?, read(new)?);
    let faulty = |file: &Path| Failure::file(file, "the schema has errors, so it cannot be compared");
    let old_schema = old_schema.ok_or_else(|| faulty(old))?;
    let new_schema = new_schema.ok_or_else(|| faulty(new))?;
    let differences = diff(&old_schema, &new_schema);
    for difference in &differences {
        if json {
            let mut line = serde_json::json!({ "breaking": difference.breaking, "text": difference.text });
            if let Some(name) = &difference.allow {
                line["allow"] = serde_json::Value::from(name.as_str());
            }
            json_line(&line)?;
            continue;
        }
        let (word, colour) = if difference.breaking {
            ("breaking:", Paint::Red)
        } else {
            ("compatible:", Paint::Green)
        };
        stdout_bytes(format!("{} {}\n", paint_stdout(word, colour), difference.text).as_bytes())?;
    }
    let breaking = differences.iter().filter(|d| d.breaking).count();
    match differences.len() {
        0 => say("no differences"),
        all => say(&format!("{}, {breaking} breaking", counted(all as u64, "difference"))),
    }
    let names: BTreeSet<&str> = differences.iter().filter_map(|d| d.allow.as_deref()).collect();
    if !names.is_empty() {
        let names: Vec<&str> = names.into_iter().collect();
        say(&format!(
            "a server that holds data of these refuses to start, unless it is told to lose exactly that: --allow-breaking {}",
            names.join(",")
        ));
    }
    Ok(if breaking > 0 { Exit::Failed } else { Exit::Done })
}

fn warn(warnings: &[SchemaMessage]) {
    for warning in warnings {
        say(&format!("{} {warning}", paint("warning:", Paint::Yellow)));
    }
}

/// Reads a schema and tells its errors and warnings. `None` if it has errors.
pub(super) fn read(file: &Path) -> Result<Option<Schema>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::file(file, e))?;
    match Schema::parse(&text, &file.display().to_string()) {
        Ok(schema) => {
            warn(&schema.warnings);
            Ok(Some(schema))
        }
        Err(errors) => {
            warn(&errors.warnings);
            for error in &errors.errors {
                say(&format!("{} {error}", paint("error:", Paint::Red)));
            }
            let count = counted(errors.errors.len() as u64, "error");
            say(&format!("{}: {count}", file.display()));
            Ok(None)
        }
    }
}
