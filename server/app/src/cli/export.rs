//! `tombolo export`: every record of a model, or those of a filter, as CSV or NDJSON, by primary key.
//!
//! Pages come from the model's list query, whose page tokens are places in the order of the key: each record comes once,
//! whatever is written meanwhile, and two exports of the same data are equal files. A file is written aside
//! (`FILE.partial`) and takes its name when it is whole; what is done is kept in `FILE.tombolo-export.json`, so that the
//! same command goes on after a lost link or a kill.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tombolo_core::limits::LIST_LIMIT_MAX;

use super::api::{Api, ListApi};
use super::import_ledger::beside;
use super::import_read::Format;
use super::output::{
    EXIT_CODES, Exit, Failure, Outcome, counted, json_line, progress, say, stdout_bytes, write_failure,
};
use super::remote::{Remote, RemoteError, Reply, ServerArgs};

/// How long an export goes on trying without an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// First and longest wait before a page is asked for again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Time between two notes of what is done.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Columns that the server keeps, for `--meta`.
const META: [&str; 2] = ["_version", "_lastChangedAt"];

/// Writes a model's records as CSV or NDJSON, to a file or to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Records come in the order of their primary key, each once. A file appears under its \
name only when it is whole; run the same command again to go on after an interruption. With FILE a summary is printed: \
{{\"exported\":n}}.

Examples:
  tombolo export --url http://127.0.0.1:4000/graphql --api-key KEY --model Airline airlines.csv
  tombolo export --url $URL --model Flight --filter '{{\"carrier\":{{\"eq\":\"UA\"}}}}' --format ndjson | head

{EXIT_CODES}"))]
pub struct Args {
    /// Where, and who.
    #[command(flatten)]
    server: ServerArgs,
    /// The model whose records to write
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Only records that match: the JSON of the model's filter input
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// The format [default: from the file's name; NDJSON on standard output]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Tombstones too, told apart by `_deleted`
    #[arg(long)]
    deleted: bool,
    /// Also `_version` and `_lastChangedAt`
    #[arg(long)]
    meta: bool,
    /// Where to [default: standard output]
    file: Option<PathBuf>,
}

/// One page of the list query, under the alias `page`.
#[derive(Debug, Deserialize)]
struct Data {
    page: Option<Page>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Option<Map<String, Json>>>,
    next_token: Option<String>,
}

/// What an unfinished export to a file has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Progress {
    /// What makes it the same export: server, request, filter, format.
    subject: Json,
    next_token: String,
    /// Length of the partial file, in bytes.
    bytes: u64,
    exported: u64,
}

/// Runs the command.
///
/// # Errors
/// The arguments, the server or the file; see [`Failure`].
pub async fn run(args: Args) -> Outcome {
    let filter = filter(args.filter.as_deref(), args.deleted)?;
    let format = match (args.format, &args.file) {
        (Some(format), _) => format,
        (None, None) => Format::Ndjson,
        (None, Some(file)) => Format::of(file).ok_or_else(|| {
            Failure::usage(format!(
                "{}: neither .csv nor .ndjson; say which with --format",
                file.display()
            ))
        })?,
    };
    let remote = Remote::new(&args.server)?;
    let api = Api::fetch(&remote).await?.list(&args.model)?;
    let columns = columns(&api, &args);
    let query = document(&api, &columns);
    let subject = serde_json::json!([remote.url(), query, filter, format == Format::Csv]);

    let mut out = Target::open(args.file.as_deref(), &subject)?;
    if out.exported > 0 {
        say(&format!(
            "{} done since an earlier run",
            counted(out.exported, "record")
        ));
    } else if format == Format::Csv {
        out.write(&csv_line(columns.iter().map(|c| Json::String(c.name.clone())))?)?;
    }
    let bar = progress(None, "records");
    let mut checkpointed = Instant::now();
    let mut token = out.token.clone();
    loop {
        let page = fetch(&remote, &query, &filter, token.as_deref()).await?;
        let mut bytes = Vec::new();
        for record in page.items.into_iter().flatten() {
            match format {
                Format::Ndjson => {
                    serde_json::to_writer(&mut bytes, &record).map_err(|e| Failure::failed(e.to_string()))?;
                    bytes.push(b'\n');
                }
                Format::Csv => {
                    let cells = columns
                        .iter()
                        .map(|c| record.get(&c.name).cloned().unwrap_or(Json::Null));
                    bytes.extend_from_slice(&csv_line(cells)?);
                }
            }
            out.exported += 1;
        }
        out.write(&bytes)?;
        bar.set_position(out.exported);
        token = page.next_token;
        let Some(token) = &token else { break };
        if checkpointed.elapsed() >= CHECKPOINT_EVERY {
            checkpointed = Instant::now();
            out.checkpoint(&subject, token)?;
        }
    }
    bar.finish_and_clear();
    let exported = out.exported;
    if out.finish()? {
        json_line(&serde_json::json!({ "exported": exported }))?;
    } else {
        say(&counted(exported, "record"));
    }
    Ok(Exit::Done)
}

/// The filter to send: the caller's, and unless they are wanted no tombstones.
fn filter(text: Option<&str>, deleted: bool) -> Result<Json, Failure> {
    let own = match text {
        None => None,
        Some(text) => match serde_json::from_str::<Json>(text) {
            Ok(own @ Json::Object(_)) => Some(own),
            Ok(_) => return Err(Failure::usage("--filter: the filter must be a JSON object")),
            Err(e) => return Err(Failure::usage(format!("--filter: no JSON: {e}"))),
        },
    };
    let alive = serde_json::json!({ "_deleted": { "ne": true } });
    Ok(match (own, deleted) {
        (None, true) => Json::Null,
        (None, false) => alive,
        (Some(own), true) => own,
        (Some(own), false) => serde_json::json!({ "and": [own, alive] }),
    })
}

/// One column of the output: its name, and what selects it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    selection: String,
}

fn columns(api: &ListApi, args: &Args) -> Vec<Column> {
    let own = api.fields.iter().map(|f| Column {
        name: f.name.clone(),
        selection: f.selection.clone(),
    });
    let kept = |name: &str| Column {
        name: name.to_owned(),
        selection: name.to_owned(),
    };
    let meta = META.into_iter().filter(|_| args.meta).map(kept);
    let deleted = args.deleted.then(|| kept("_deleted"));
    own.chain(meta).chain(deleted).collect()
}

fn document(api: &ListApi, columns: &[Column]) -> String {
    let selection: Vec<&str> = columns.iter().map(|c| c.selection.as_str()).collect();
    format!(
        "query Export($filter: {}, $limit: Int, $token: String) \
         {{ page: {}(filter: $filter, limit: $limit, nextToken: $token) {{ items {{ {} }} nextToken }} }}",
        api.filter,
        api.query,
        selection.join(" ")
    )
}

/// One page, asked for until it comes.
async fn fetch(remote: &Remote, query: &str, filter: &Json, token: Option<&str>) -> Result<Page, Failure> {
    let variables = serde_json::json!({ "filter": filter, "limit": LIST_LIMIT_MAX, "token": token });
    let body = serde_json::json!({ "query": query, "variables": variables }).to_string();
    let (started, mut wait) = (Instant::now(), RETRY.0);
    loop {
        match remote.post::<Data>(body.clone()).await {
            Ok(Reply {
                data: Some(Data { page: Some(page) }),
                errors,
                ..
            }) if errors.is_empty() => return Ok(page),
            Ok(reply) => return Err(Failure::failed(format!("the server answered: {}", reply.error_text()))),
            Err(RemoteError::Invalid { message, .. }) => {
                return Err(Failure::failed(format!("the server answered: {message}")));
            }
            Err(e) if e.may_pass() && started.elapsed() + wait < PATIENCE => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
            Err(e) => return Err(e.into()),
        }
    }
}

/// One CSV line: null is the empty cell, lists and embedded values are JSON.
fn csv_line(cells: impl Iterator<Item = Json>) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let fail = |e: &dyn std::fmt::Display| Failure::failed(format!("a record cannot be written as CSV: {e}"));
    for cell in cells {
        let text = match cell {
            Json::Null => String::new(),
            Json::String(text) => text,
            other => other.to_string(),
        };
        writer.write_field(text).map_err(|e| fail(&e))?;
    }
    writer.write_record(None::<&[u8]>).map_err(|e| fail(&e))?;
    writer.into_inner().map_err(|e| fail(&e))
}

/// Where an export goes.
struct Target {
    file: Option<Aside>,
    exported: u64,
    token: Option<String>,
}

/// A file that is being written aside.
struct Aside {
    path: PathBuf,
    partial: PathBuf,
    progress: PathBuf,
    writer: BufWriter<File>,
    bytes: u64,
}

impl Target {
    fn open(path: Option<&Path>, subject: &Json) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self {
                file: None,
                exported: 0,
                token: None,
            });
        };
        let (partial, progress) = (beside(path, ".partial"), beside(path, ".tombolo-export.json"));
        let fail = |e| Failure::file(&partial, e);
        let kept = (std::fs::read(&progress).ok())
            .and_then(|text| serde_json::from_slice::<Progress>(&text).ok())
            .filter(|kept| kept.subject == *subject);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&partial)
            .map_err(fail)?;
        file.try_lock()
            .map_err(|_| Failure::file(&partial, "another export is writing this file"))?;
        let length = file.metadata().map_err(fail)?.len();
        let kept = kept.filter(|kept| kept.bytes <= length);
        let bytes = kept.as_ref().map_or(0, |kept| kept.bytes);
        file.set_len(bytes).map_err(fail)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(fail)?;
        let writer = BufWriter::with_capacity(1 << 16, file);
        let (exported, token) = kept.map_or((0, None), |kept| (kept.exported, Some(kept.next_token)));
        Ok(Self {
            file: Some(Aside {
                path: path.to_owned(),
                partial,
                progress,
                writer,
                bytes,
            }),
            exported,
            token,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.file {
            None => stdout_bytes(bytes),
            Some(aside) => {
                aside.bytes += bytes.len() as u64;
                aside
                    .writer
                    .write_all(bytes)
                    .map_err(|e| write_failure(Some(&aside.partial), &e))
            }
        }
    }

    fn checkpoint(&mut self, subject: &Json, token: &str) -> Result<(), Failure> {
        let Some(aside) = &mut self.file else { return Ok(()) };
        let fail = |e| Failure::file(&aside.partial, e);
        aside.writer.flush().map_err(fail)?;
        aside.writer.get_ref().sync_data().map_err(fail)?;
        let progress = Progress {
            subject: subject.clone(),
            next_token: token.to_owned(),
            bytes: aside.bytes,
            exported: self.exported,
        };
        let text = serde_json::to_vec(&progress).map_err(|e| Failure::failed(e.to_string()))?;
        let new = beside(&aside.progress, ".new");
        std::fs::write(&new, text).map_err(|e| Failure::file(&new, e))?;
        std::fs::rename(&new, &aside.progress).map_err(|e| Failure::file(&aside.progress, e))
    }

    /// Gives the file its name. False if there is none.
    fn finish(self) -> Result<bool, Failure> {
        let Some(mut aside) = self.file else { return Ok(false) };
        let fail = |e| Failure::file(&aside.path, e);
        aside.writer.flush().map_err(fail)?;
        aside.writer.get_ref().sync_data().map_err(fail)?;
        std::fs::rename(&aside.partial, &aside.path).map_err(fail)?;
        match std::fs::remove_file(&aside.progress) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::file(&aside.progress, e)),
            _ => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_are_left_out_unless_wanted() {
        assert_eq!(filter(None, true).unwrap(), Json::Null);
        assert_eq!(filter(None, false).unwrap().to_string(), r#"{"_deleted":{"ne":true}}"#);
        assert_eq!(
            filter(Some(r#"{"a":{"eq":1}}"#), false).unwrap().to_string(),
            r#"{"and":[{"a":{"eq":1}},{"_deleted":{"ne":true}}]}"#
        );
        assert_eq!(filter(Some("[]"), false).unwrap_err().exit, Exit::Usage);
        assert_eq!(filter(Some("{"), false).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn cells_are_quoted_and_nested_values_are_json() {
        let cells = [
            Json::Null,
            Json::from("a,\"b\""),
            Json::from(1.5),
            serde_json::json!(["x"]),
            Json::from(true),
        ];
        assert_eq!(
            csv_line(cells.into_iter()).unwrap(),
            b",\"a,\"\"b\"\"\",1.5,\"[\"\"x\"\"]\",true\n"
        );
    }

    #[test]
    fn a_file_takes_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let subject = Json::from("s");
        let mut out = Target::open(Some(&path), &subject).unwrap();
        out.write(b"one\n").unwrap();
        out.exported = 1;
        out.checkpoint(&subject, "t1").unwrap();
        out.write(b"half").unwrap();
        assert!(!path.exists());
        drop(out);

        let mut out = Target::open(Some(&path), &subject).unwrap();
        assert_eq!((out.exported, out.token.as_deref()), (1, Some("t1")));
        out.write(b"two\n").unwrap();
        assert!(out.finish().unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn another_export_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ndjson");
        let mut out = Target::open(Some(&path), &Json::from("s")).unwrap();
        out.write(b"one\n").unwrap();
        out.checkpoint(&Json::from("s"), "t1").unwrap();
        drop(out);
        let out = Target::open(Some(&path), &Json::from("other")).unwrap();
        assert_eq!((out.exported, out.token.as_deref()), (0, None));
    }
}
