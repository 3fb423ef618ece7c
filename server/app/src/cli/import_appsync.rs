//! `tombolo import-appsync`: a DynamoDB table of AppSync's, as it was exported, into a server's database: versions, times,
//! tombstones and owners as they were, so that apps find their records as they left them.
//!
//! **Where.** Straight into the database file, under the lock that a server holds: with a running one the command ends
//! before it has done anything. No mutation could carry `_version` or a tombstone.
//!
//! **The order.** Positions follow time: within a model `_lastChangedAt` never decreases, or a delta sync would miss
//! records. An export has no order, and a large one comes in many files. So every file is read and checked first; of each
//! line stays where it is and when its record changed; then the lines are read again in the order of those times. Files
//! of gzip cannot be read at a place, so all lines go to one temporary file in between.
//!
//! **All or nothing at first, exactly once always.** If any line is bad, all bad ones are told and nothing is written.
//! Writing goes by blocks of one transaction. An import that was killed goes on when it is run again: what is there
//! stands, and the order is the same.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;
use tombolo_core::id::ModelId;
use tombolo_core::schema::Schema;
use tombolo_store_sqlite::{AdoptError, Options, SqliteStore};

use super::dynamodb;
use super::output::{EXIT_CODES, Exit, Failure, Outcome, counted, json_line, progress, say};
use crate::config::SchemaSource;
use crate::{serve, server};

/// Records in one transaction: large enough that its commit costs little, small enough that a kill repeats little.
const BLOCK: usize = 2_000;

/// Bad lines that are told; the rest is counted.
const BAD_LINES_MAX: usize = 100;

/// Takes over a DynamoDB table of AppSync's, as it was exported, into a server's database
#[derive(Debug, clap::Args)]
#[command(after_help = format!("The files are an export to S3 as DynamoDB JSON, or items one a line. No server may have \
the database open. If a line is bad, all bad lines are told and nothing is written. Run again, it goes on where it was \
killed; records that are there stay. The summary is JSON on standard output: {{\"added\":n,\"standing\":n,\"tombstones\":n}}.

Examples:
  tombolo import-appsync --schema schema.graphql --database tombolo.sqlite --model Post AWSDynamoDB/01234-abc/data
  tombolo import-appsync --schema schema.graphql --database tombolo.sqlite --model Post items.json --check

{EXIT_CODES}
            Here 1 means: lines are bad (standard error names them), or the database holds something else."))]
pub struct Args {
    /// The schema that the server is started with
    #[arg(long, value_name = "FILE")]
    schema: PathBuf,
    /// The server's database; made if it is not there
    #[arg(long, value_name = "FILE")]
    database: PathBuf,
    /// The model whose table this is
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Only read and check: nothing is written
    #[arg(long)]
    check: bool,
    /// Export files (.json, .json.gz) or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// What standard output says at the end.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Summary {
    added: u64,
    standing: u64,
    /// Of both.
    tombstones: u64,
}

/// A line in the temporary file, and its record's time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    changed_at: i64,
    offset: u64,
    bytes: usize,
}

/// Runs the command.
///
/// # Errors
/// The arguments, the schema, a file or the database; see [`Failure`].
pub async fn run(args: Args) -> Outcome {
    let schema = server::read_schema(&SchemaSource::File(args.schema.clone()));
    let schema = Arc::new(schema.map_err(|e| serve::failure(&e))?);
    let model = schema.model_named(&args.model).ok_or_else(|| {
        let names: Vec<&str> = schema.models.iter().map(|m| m.name.as_str()).collect();
        Failure::usage(format!(
            "--model {}: the schema has no such model; it has {}",
            args.model,
            names.join(", ")
        ))
    })?;
    let files = files(&args.paths)?;
    // Before the long part: a server that has it open is told at once.
    let store = if args.check {
        None
    } else {
        Some(open(&args.database, &schema)?)
    };
    let spooled = tokio::task::block_in_place(|| spool(&schema, model, &files, &args.database))?;
    let Some(mut spooled) = spooled else {
        return Ok(Exit::Failed);
    };
    let mut summary = Summary {
        tombstones: spooled.tombstones,
        ..Summary::default()
    };
    let Some(store) = store else {
        say(&format!(
            "{} can be imported",
            counted(spooled.places.len() as u64, "record")
        ));
        json_line(&summary)?;
        return Ok(Exit::Done);
    };
    let bar = progress(Some(spooled.places.len() as u64), "records");
    for block in std::mem::take(&mut spooled.places).chunks(BLOCK) {
        let mut records = Vec::with_capacity(block.len());
        for place in block {
            let line = spooled.line(*place)?;
            let item = dynamodb::item(&schema, &schema[model], &line).map_err(Failure::failed)?;
            records.push(item.record);
        }
        let adopted = store
            .adopt(model, records)
            .await
            .map_err(|e| refused(&args.database, &e))?;
        summary.added += adopted.added;
        summary.standing += adopted.standing;
        bar.inc(block.len() as u64);
    }
    bar.finish_and_clear();
    json_line(&summary)?;
    Ok(Exit::Done)
}

fn open(database: &Path, schema: &Arc<Schema>) -> Result<SqliteStore, Failure> {
    SqliteStore::open(database, Arc::clone(schema), &Options::default())
        .map_err(|e| Failure::file(database, format!("{e}; no server may have it open meanwhile")))
}

fn refused(database: &Path, error: &AdoptError) -> Failure {
    let mend = match error {
        AdoptError::Store(_) => "what was written before stands; run the same command again to go on",
        AdoptError::Earlier { .. } => "one key is in the export twice, or the database has records of another origin",
        AdoptError::Late { .. } => "import a model's files by one command, before a server is started on the database",
    };
    Failure::failed(format!("{}: {error}: {mend}", database.display()))
}

/// The export files of `paths`: files as they are, of folders those that hold items.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        for entry in std::fs::read_dir(path).map_err(|e| Failure::file(path, e))? {
            let entry = entry.map_err(|e| Failure::file(path, e))?.path();
            let name = entry.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let items = name.ends_with(".json") || name.ends_with(".json.gz");
            if items && !name.starts_with("manifest-") {
                found.push(entry);
            }
        }
        if found.len() == before {
            return Err(Failure::file(
                path,
                "no .json or .json.gz file in it: name the export's `data` folder",
            ));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// All lines of an export, checked, in the order in which they are to be written.
struct Spooled {
    lines: File,
    places: Vec<Place>,
    tombstones: u64,
}

impl Spooled {
    fn line(&mut self, place: Place) -> Result<String, Failure> {
        let fail = |e: std::io::Error| Failure::failed(format!("the temporary file: {e}"));
        let mut bytes = vec![0; place.bytes];
        self.lines.seek(SeekFrom::Start(place.offset)).map_err(fail)?;
        self.lines.read_exact(&mut bytes).map_err(fail)?;
        String::from_utf8(bytes).map_err(|e| Failure::failed(e.to_string()))
    }
}

/// Reads and checks every file; `None` if lines are bad, which have been told.
fn spool(schema: &Schema, model: ModelId, files: &[PathBuf], database: &Path) -> Result<Option<Spooled>, Failure> {
    let path = super::import_ledger::beside(database, ".tombolo-import");
    let fail = |e: std::io::Error| Failure::file(&path, e);
    let lines = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(fail)?;
    // Its name goes at once: whatever ends this process, nothing is left behind.
    std::fs::remove_file(&path).map_err(fail)?;
    let mut checked = Checked {
        out: BufWriter::new(lines),
        offset: 0,
        places: Vec::new(),
        tombstones: 0,
        bad: 0,
        unknown: std::collections::BTreeMap::new(),
    };
    let bar = progress(Some(files.len() as u64), "files");
    for file in files {
        checked.file(schema, model, file, &bar)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (name, count) in &checked.unknown {
        say(&format!(
            "`{name}` of {} is no field of `{}`: left out",
            counted(*count, "item"),
            schema[model].name
        ));
    }
    if checked.bad > 0 {
        let more = checked.bad.saturating_sub(BAD_LINES_MAX);
        let rest = if more > 0 {
            format!(" ({more} more than shown)")
        } else {
            String::new()
        };
        say(&format!(
            "{}{rest}: nothing was written",
            counted(checked.bad as u64, "bad line")
        ));
        return Ok(None);
    }
    let lines = checked
        .out
        .into_inner()
        .map_err(|e| Failure::failed(format!("the temporary file: {e}")))?;
    checked.places.sort_unstable();
    Ok(Some(Spooled {
        lines,
        places: checked.places,
        tombstones: checked.tombstones,
    }))
}

struct Checked {
    out: BufWriter<File>,
    offset: u64,
    places: Vec<Place>,
    tombstones: u64,
    bad: usize,
    unknown: std::collections::BTreeMap<String, u64>,
}

impl Checked {
    fn file(&mut self, schema: &Schema, model: ModelId, path: &Path, bar: &ProgressBar) -> Result<(), Failure> {
        let fail = |e: std::io::Error| Failure::file(path, e);
        let file = File::open(path).map_err(fail)?;
        let mut reader: Box<dyn BufRead> = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
            Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::new(file))
        };
        let mut line = String::new();
        for number in 1_u64.. {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) => return Err(Failure::file(path, format!("line {number}: {e}"))),
            }
            let text = line.trim();
            if text.is_empty() {
                continue;
            }
            match dynamodb::item(schema, &schema[model], text) {
                Ok(item) => self.keep(&item, text)?,
                Err(why) => {
                    self.bad += 1;
                    if self.bad <= BAD_LINES_MAX {
                        bar.suspend(|| say(&format!("{}:{number}: {why}", path.display())));
                    }
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, item: &dynamodb::Item, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .map_err(|e| Failure::failed(format!("the temporary file: {e}")))?;
        self.places.push(Place {
            changed_at: item.record.meta.last_changed_at,
            offset: self.offset,
            bytes: text.len(),
        });
        self.offset += text.len() as u64;
        self.tombstones += u64::from(item.record.meta.deleted);
        for name in &item.unknown {
            *self.unknown.entry(name.clone()).or_default() += 1;
        }
        Ok(())
    }
}
