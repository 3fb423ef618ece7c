//! `tombolo import-appsync`: a DynamoDB table of AppSync's, as it was exported, into a server's database: versions, times,
//! tombstones and owners as they were, so that apps find their records as they left them.
//!
//! **Where.** Straight into the database file, under the lock that a server holds: with a running one the command ends
//! before it has done anything. No mutation could carry `_version` or a tombstone.
//!
//! **The order.** Positions follow time: within a model `_lastChangedAt` never decreases, or a delta sync would miss
//! records. An export has no order, and a large one comes in many files. So every file is read and checked first; of each
//! line stays where it is, when its record changed, and a digest of its key (some 70 bytes of memory a record); then the lines are read again in the order of those times. Files
//! of gzip cannot be read at a place, so all lines go to one temporary file in between.
//!
//! **All or nothing at first, exactly once always.** If any line is bad, or does not fit what the database holds, that is told and
//! nothing is written.
//! Writing goes by blocks of one transaction. An import that was killed goes on when it is run again: what is there
//! stands, and the order is the same.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tombolo_core::id::ModelId;
use tombolo_core::record::Record;
use tombolo_core::schema::{Model, Schema};
use tombolo_store_sqlite::{AdoptError, OpenError, Options, SqliteStore};

use super::dynamodb;
use super::lines::read_line;
use super::output::{EXIT_CODES, Exit, Failure, Outcome, counted, json_line, progress, say};
use crate::auth::CLOCK_LEEWAY;
use crate::config::{Database, SchemaSource};
use crate::{serve, server};

/// Records in one transaction: large enough that its commit costs little, small enough that a kill repeats little.
const BLOCK: usize = 2_000;

/// Longest line, in bytes: DynamoDB's items have 400 KB, and its JSON ten times that at the worst.
const LINE_BYTES_MAX: usize = 4 << 20;

/// Bad lines that are told; the rest is counted.
const BAD_LINES_MAX: usize = 100;

/// Takes over a DynamoDB table of AppSync's, as it was exported, into a server's database
#[derive(Debug, clap::Args)]
#[command(after_help = format!("The files are an export to S3 as DynamoDB JSON, or items one a line. No server may have \
the database open. If a line is bad, all bad lines are told and nothing is written. Run again, it goes on where it was \
killed; records that are there stay. The summary is JSON on standard output: {{\"added\":n,\"standing\":n,\"tombstones\":n}}.

Examples:
  tombolo import-appsync --config tombolo.toml --model Post AWSDynamoDB/01234-abc/data
  tombolo import-appsync --config tombolo.toml --model Post items.json --check

{EXIT_CODES}
            Here 1 means: lines are bad (standard error names them), or the database holds something else."))]
pub struct Args {
    /// The server's configuration, which names the schema and the database
    #[arg(long, value_name = "FILE", env = "TOMBOLO_CONFIG", conflicts_with_all = ["schema", "database"])]
    config: Option<PathBuf>,
    /// The schema that the server is started with
    #[arg(long, value_name = "FILE", requires = "database")]
    schema: Option<PathBuf>,
    /// The server's database; made if it is not there
    #[arg(long, value_name = "FILE", requires = "schema")]
    database: Option<PathBuf>,
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
    let (schema, database) = place(&args)?;
    let schema = server::read_schema(&schema);
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
    // Before the long part: a server that has it open is told at once. What is not there, or not of this schema, is not made so
    // for lines that may be bad.
    drop(tokio::task::block_in_place(|| open_as_it_is(&database, &schema))?);
    let beside = (!args.check).then_some(database.as_path());
    let spooled = tokio::task::block_in_place(|| spool(&schema, model, &files, beside))?;
    let Some(mut spooled) = spooled else {
        return Ok(Exit::Failed);
    };
    let places = std::mem::take(&mut spooled.places);
    let mut summary = Summary {
        tombstones: spooled.tombstones,
        ..Summary::default()
    };
    let mut read = |block: &[Place]| -> Result<Vec<Record>, Failure> {
        let item = |place: &Place| {
            let line = spooled.line(*place)?;
            Ok(dynamodb::item(&schema, &schema[model], &line)
                .map_err(Failure::failed)?
                .record)
        };
        block.iter().map(item).collect()
    };
    let store = match args.check {
        true => tokio::task::block_in_place(|| open_as_it_is(&database, &schema))?,
        false => Some(tokio::task::block_in_place(|| open(&database, &schema))?),
    };
    if let Some(store) = &store {
        let mut newest = 0;
        for block in places.chunks(BLOCK) {
            let tried = store.try_adopt(model, read(block)?, newest).await;
            newest = tried.map_err(|e| refused(&database, &e))?;
        }
    }
    let Some(store) = store.filter(|_| !args.check) else {
        say(&format!("{} can be imported", counted(places.len() as u64, "record")));
        json_line(&summary)?;
        return Ok(Exit::Done);
    };
    let bar = progress(Some(places.len() as u64), "records");
    for block in places.chunks(BLOCK) {
        let adopted = store
            .adopt(model, read(block)?)
            .await
            .map_err(|e| refused(&database, &e))?;
        summary.added += adopted.added;
        summary.standing += adopted.standing;
        bar.inc(block.len() as u64);
    }
    bar.finish_and_clear();
    json_line(&summary)?;
    Ok(Exit::Done)
}

/// The schema and the database, by the configuration or by the arguments.
fn place(args: &Args) -> Result<(SchemaSource, PathBuf), Failure> {
    let Some(config) = &args.config else {
        return match (&args.schema, &args.database) {
            (Some(schema), Some(database)) => Ok((SchemaSource::File(schema.clone()), database.clone())),
            _ => Err(Failure::usage(
                "give --config FILE, or --schema FILE and --database FILE",
            )),
        };
    };
    let settings = super::database::settings(config)?;
    match settings.config.database {
        Database::File(database) => Ok((settings.config.schema, database)),
        Database::Memory => Err(Failure::usage(
            "the database is in memory: it is gone when its server ends",
        )),
    }
}

fn open(database: &Path, schema: &Arc<Schema>) -> Result<SqliteStore, Failure> {
    SqliteStore::open(database, Arc::clone(schema), &Options::default())
        .map_err(|e| Failure::file(database, format!("{e}; no server may have it open meanwhile")))
}

/// The database, if it is there and can be opened without a change.
fn open_as_it_is(database: &Path, schema: &Arc<Schema>) -> Result<Option<SqliteStore>, Failure> {
    if !database.exists() {
        return Ok(None);
    }
    let options = Options {
        as_it_is: true,
        ..Options::default()
    };
    match SqliteStore::open(database, Arc::clone(schema), &options) {
        Ok(store) => Ok(Some(store)),
        // Fitted when it is written to; whether the records fit is seen then.
        Err(OpenError::Unfit { .. }) => Ok(None),
        Err(e) => Err(Failure::file(
            database,
            format!("{e}; no server may have it open meanwhile"),
        )),
    }
}

fn refused(database: &Path, error: &AdoptError) -> Failure {
    let mend = match error {
        AdoptError::Store(_) => "what was written stands; run the same command again to go on",
        AdoptError::Earlier { .. } => {
            "the database has records of another origin, or an app has come before the import: import into a new one"
        }
        AdoptError::Late { .. } => {
            "import all files of a model by one command, before apps come to the server, or into a new database"
        }
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

/// Where a file is.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
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

/// Reads and checks every file; `None` if lines are bad, which have been told. What is to be written waits beside
/// `database`, where there must be room for it anyway.
fn spool(
    schema: &Schema,
    model: ModelId,
    files: &[PathBuf],
    database: Option<&Path>,
) -> Result<Option<Spooled>, Failure> {
    // Without a name: whatever ends this process, nothing is left behind.
    let lines = match database {
        Some(database) => tempfile::tempfile_in(folder_of(database)),
        None => tempfile::tempfile(),
    };
    let lines = lines.map_err(|e| Failure::failed(format!("the temporary file: {e}")))?;
    let now = Timestamp::now() + CLOCK_LEEWAY;
    let mut checked = Checked {
        files,
        newest: now.as_millisecond(),
        keys: HashMap::new(),
        out: BufWriter::new(lines),
        offset: 0,
        places: Vec::new(),
        tombstones: 0,
        bad: 0,
        unknown: std::collections::BTreeMap::new(),
    };
    let bar = progress(Some(files.len() as u64), "files");
    for at in 0..files.len() {
        checked.file(schema, model, at, &bar)?;
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

struct Checked<'a> {
    files: &'a [PathBuf],
    /// No change can be later, in epoch milliseconds.
    newest: i64,
    /// Half of the SHA-256 of each key, and where it stands, by file and line.
    keys: HashMap<[u8; 16], (usize, u64)>,
    out: BufWriter<File>,
    offset: u64,
    places: Vec<Place>,
    tombstones: u64,
    bad: usize,
    unknown: std::collections::BTreeMap<String, u64>,
}

impl Checked<'_> {
    fn file(&mut self, schema: &Schema, model: ModelId, at: usize, bar: &ProgressBar) -> Result<(), Failure> {
        let Some(path) = self.files.get(at) else { return Ok(()) };
        let fail = |e: std::io::Error| Failure::file(path, e);
        let file = File::open(path).map_err(fail)?;
        let mut reader: Box<dyn BufRead> = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
            Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::new(file))
        };
        for number in 1_u64.. {
            let (line, bytes) = read_line(&mut reader, LINE_BYTES_MAX)
                .map_err(|e| Failure::file(path, format!("line {number}: {e}")))?;
            if bytes == 0 {
                break;
            }
            let read = match std::str::from_utf8(&line).map(str::trim) {
                _ if bytes > LINE_BYTES_MAX => Err(format!(
                    "the line has {bytes} bytes and no item has more than {LINE_BYTES_MAX}: write one item a line"
                )),
                Ok("") => continue,
                Ok(text) => dynamodb::item(schema, &schema[model], text)
                    .and_then(|item| self.check(&schema[model], &item, (at, number)).map(|()| (item, text))),
                Err(error) => Err(format!("it is no UTF-8: {error}")),
            };
            match read {
                Ok((item, text)) => self.keep(&item, text)?,
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

    /// Whether the item can stand beside those before it; `at` is where it is, by file and line.
    fn check(&mut self, model: &Model, item: &dynamodb::Item, at: (usize, u64)) -> Result<(), String> {
        let changed_at = item.record.meta.last_changed_at;
        if changed_at > self.newest {
            return Err(format!(
                "it was changed in the future ({changed_at} ms, by `_lastChangedAt` or else `updatedAt`), from where the \
                 server's clock could not come back: give it the time of its last change"
            ));
        }
        let digest = Sha256::digest(item.record.key(&model.key).to_text());
        match self.keys.insert(*digest.first_chunk().unwrap_or(&[0; 16]), at) {
            None => Ok(()),
            Some((file, line)) => Err(format!(
                "its key was there before, {}:{line}: keep the one with the higher `_version`",
                self.files
                    .get(file)
                    .map(|file| file.display().to_string())
                    .unwrap_or_default()
            )),
        }
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
