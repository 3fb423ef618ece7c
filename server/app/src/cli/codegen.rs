//! `tombolo codegen`: typed code for an app, from its schema and its operations.

use std::path::{Path, PathBuf};

use tombolo_codegen::{Errors, Language, Options, context_json, generate};

use super::codegen_files::{Folder, Plan};
use super::output::{EXIT_CODES, Exit, Failure, Outcome, Paint, counted, paint, say, stdout_bytes};
use super::schema;

/// Write typed code for an app: models, inputs, predicates, live queries, and a function for each operation
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Only files that changed are written. Generated files that are generated no more are removed; files of others are
neither overwritten nor removed.

Examples:
  tombolo codegen --schema schema.graphql --lang kotlin --out app/src/main/generated --package com.example.flights
  tombolo codegen --schema schema.graphql --lang swift --out Sources/Generated --operations 'queries/**/*.graphql'
  tombolo codegen --schema schema.graphql --lang rust --out src/generated --check

{EXIT_CODES}
            Here 1 means: the schema, an operation or a template has errors; with --check: something would change."))]
pub struct Args {
    /// The schema, in SDL
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// The language
    #[arg(long, value_enum)]
    lang: Lang,
    /// The folder that the files go to; made if it is not there
    #[arg(long, value_name = "DIR", required_unless_present = "print_context")]
    out: Option<PathBuf>,
    /// Files with operations and fragments; may be given more than once. `**` goes through folders
    #[arg(long, value_name = "GLOB")]
    operations: Vec<String>,
    /// A folder of templates that take the place of the built-in ones of the same name, or stand beside them
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
    /// The package or module of the code [default: tombolo.generated in Kotlin, Generated in Swift, generated elsewhere]
    #[arg(long, value_name = "NAME")]
    package: Option<String>,
    /// Writes nothing, and fails if anything would change: for CI
    #[arg(long)]
    check: bool,
    /// Prints what templates see, as JSON, and writes nothing
    #[arg(long, conflicts_with = "check")]
    print_context: bool,
}

/// A language, as clap knows it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Lang {
    Swift,
    Kotlin,
    Rust,
    #[value(name = "typescript")]
    TypeScript,
    Python,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Swift => Self::Swift,
            Lang::Kotlin => Self::Kotlin,
            Lang::Rust => Self::Rust,
            Lang::TypeScript => Self::TypeScript,
            Lang::Python => Self::Python,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A file cannot be read or written, or is not ours to overwrite; a glob that matches nothing.
pub fn run(args: &Args) -> Outcome {
    let language = Language::from(args.lang);
    let Some(schema) = schema::read(&args.schema)? else {
        return Ok(Exit::Failed);
    };
    let operations = operations(&args.operations)?;
    let options = Options {
        language,
        package: args.package.clone(),
        templates: args
            .templates
            .as_deref()
            .map(templates)
            .transpose()?
            .unwrap_or_default(),
    };
    let Some(out) = args.out.as_deref().filter(|_| !args.print_context) else {
        return match context_json(&schema, &operations, &options) {
            Ok(json) => stdout_bytes((json + "\n").as_bytes()).map(|()| Exit::Done),
            Err(errors) => Ok(told(&errors)),
        };
    };
    let files = match generate(&schema, &operations, &options) {
        Ok(files) => files,
        Err(errors) => return Ok(told(&errors)),
    };
    let folder = Folder::new(out, language);
    let plan = folder.plan(&files)?;
    for path in &plan.left_alone {
        say(&format!(
            "{} {} is generated no more, but has another first line than generated files: it stays",
            paint("note:", Paint::Yellow),
            out.join(path).display()
        ));
    }
    if args.check {
        return Ok(checked(out, &plan, &folder.list_path()));
    }
    folder.carry_out(&plan)?;
    say(&format!(
        "{} {}: {} written, {} unchanged, {} removed",
        paint("ok:", Paint::Green),
        out.display(),
        counted(plan.written.len() as u64, "file"),
        plan.unchanged,
        plan.removed.len()
    ));
    Ok(Exit::Done)
}

fn checked(out: &Path, plan: &Plan<'_>, list: &Path) -> Exit {
    let written = plan
        .written
        .iter()
        .map(|file| (out.join(&file.path), "would be written"));
    let removed = plan.removed.iter().map(|path| (out.join(path), "would be removed"));
    let list = plan.list_changed.then(|| (list.to_owned(), "would be written"));
    let mut exit = Exit::Done;
    for (path, what) in written.chain(removed).chain(list) {
        say(&format!("{} {} {what}", paint("error:", Paint::Red), path.display()));
        exit = Exit::Failed;
    }
    if exit == Exit::Failed {
        say("run the same command without --check, and commit what it writes");
    }
    exit
}

fn told(errors: &Errors) -> Exit {
    for error in &errors.0 {
        say(&format!("{} {error}", paint("error:", Paint::Red)));
    }
    say(&format!(
        "nothing was generated: {}",
        counted(errors.0.len() as u64, "error")
    ));
    // An option is wrong usage, as everywhere.
    if errors.0.iter().all(|error| error.file.starts_with("--")) {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

/// The files that the globs match, each once, by path.
fn operations(globs: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for text in globs {
        let found = glob::glob(text).map_err(|error| Failure::usage(format!("--operations {text}: {error}")))?;
        let (before, mut folder) = (paths.len(), false);
        for path in found {
            let path = path.map_err(|error| Failure::file(error.path(), error.error()))?;
            folder |= path.is_dir();
            if path.is_file() {
                paths.push(path);
            }
        }
        if paths.len() == before && folder {
            let whole = text.trim_end_matches(['/', '\\', '*']);
            let message = format!("--operations {text} is a folder (give the files in it: '{whole}/**/*.graphql')");
            return Err(Failure::usage(message));
        }
        if paths.len() == before {
            let mend = "correct the path, or quote the pattern so that it reaches this command as it stands";
            return Err(Failure::usage(format!("--operations {text} matches no file ({mend})")));
        }
    }
    paths.sort();
    paths.dedup();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, error))?;
        Ok((path.display().to_string(), text))
    };
    paths.into_iter().map(read).collect()
}

/// Every template below `folder`, by its path in it.
fn templates(folder: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut out = Vec::new();
    let mut due = vec![folder.to_owned()];
    while let Some(next) = due.pop() {
        let entries = std::fs::read_dir(&next).map_err(|error| Failure::file(&next, error))?;
        for entry in entries {
            let path = entry.map_err(|error| Failure::file(&next, error))?.path();
            if path.is_dir() {
                due.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(|error| Failure::file(&path, error))?;
            let name = path.strip_prefix(folder).unwrap_or(&path);
            out.push((name.to_string_lossy().replace('\\', "/"), text));
        }
    }
    out.sort();
    Ok(out)
}
