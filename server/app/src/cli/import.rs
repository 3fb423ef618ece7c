//! `tombolo import`: a file's records created in bulk, each exactly once, with nothing half applied.
//!
//! **The flow.** A thread reads the file in blocks of `--batch` records and checks each record against the types
//! that the server tells of its create input. Several blocks are in flight at once. What came of them is noted in the
//! file's order in the resume file (`import_ledger`), about once a second; a record whose fate is noted is *final*.
//!
//! **Names.** Every mutation carries a replica and a number (`extensions.tombolo`), so that the server answers a repeated
//! one with the outcome of the first. An import has two replicas, made with the resume file and kept in it:
//!
//! - a block of good records goes out as *one atomic request* of the first replica. Record `n` of the file has number
//!   `n`; the block's numbers are consecutive because its records are. All of them apply or none does;
//! - if the server rejects a block, one of its records is bad. The rejection is final, its numbers are spent; so each
//!   record is now sent by itself, as number `n` of the *second* replica, and the bad ones find themselves. So are the
//!   blocks that already had a bad record here, and those larger than `BATCH_BYTES_MAX`.
//!
//! Where the blocks begin depends on the file and on the batch size alone, and the resume file keeps that size: an import
//! that was killed sends the same requests again under the same names. What was applied without our hearing of it is
//! answered from the stored outcome.
//!
//! **Ids.** A create needs a key. If the model's `id` may be left out and a record leaves it out, the id is made from the
//! input's hash and the record's number: also an import whose resume file was lost finds its records standing.
//!
//! **Going wrong.** No link, a busy server: again with back-off, for `PATIENCE`; then the command ends with exit code 3
//! and goes on from the resume file when it is run again. A refused credential ends it at once. A rejected record is a
//! line of the errors file, and the import goes on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tombolo_core::id::Cursor;

use super::api::{Api, CreateApi};
use super::import_ledger::{Counts, Ledger, Rejection, Subject, beside, fingerprint};
use super::import_read::{Content, Format, Record, Records};
use super::import_send::Sender;
use super::output::{EXIT_CODES, Exit, Failure, Outcome, counted, json_line, progress, say};
use super::remote::{Remote, Reply, ServerArgs};

/// Records in one atomic request when `--batch` does not say: beyond some hundred the cost of a request is spread thin
/// enough, and a bad record sends the rest of its block one by one.
const BATCH_DEFAULT: u64 = 200;

/// Most records in one atomic request: what a server takes in one transaction.
const BATCH_MAX: u64 = 1_000;

/// Bytes of input beyond which a block is sent record by record: request bodies stay well under a server's limit.
pub(super) const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Blocks in flight: enough that the server's writer never waits for us, few enough that a kill leaves little to repeat.
const BLOCKS_IN_FLIGHT: usize = 8;

/// Time between two checkpoints: an `fsync` a second costs nothing, and a second's work is soon repeated.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// How long an import goes on trying without a single answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Creates records in bulk from a CSV or NDJSON file, each exactly once, however often it is run
#[derive(Debug, clap::Args)]
#[command(after_help = format!("Each record takes effect exactly once: what is done is kept in \
FILE.tombolo-import.json, and an import that was stopped or killed goes on when the same command is run again. CSV: \
the header names the fields, an empty cell is no value, lists and embedded values are JSON. The summary is JSON on \
standard output: {{\"imported\":n,\"rejected\":n,\"skipped\":n}}.

Examples:
  tombolo import --url http://127.0.0.1:4000/graphql --api-key KEY --model Flight flights.csv
  tombolo import --url $URL --model Plane --null NA --errors bad.ndjson planes.csv

{EXIT_CODES}
            Here 1 means: finished, but some records were rejected (the errors file names them)."))]
pub struct Args {
    /// Where, and who.
    #[command(flatten)]
    server: ServerArgs,
    /// The model whose records these are
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// Records in one atomic request; 1 sends each by itself
    #[arg(long, value_name = "N", default_value_t = BATCH_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=BATCH_MAX))]
    batch: u64,
    /// Where rejected records are told, one JSON line each [default: FILE.tombolo-errors.ndjson]
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
    /// Where the import keeps what is done [default: FILE.tombolo-import.json]
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// A cell text that means "no value", besides the empty one; may be given several times
    #[arg(long, value_name = "TEXT")]
    null: Vec<String>,
    /// The file's format [default: from its name]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The records: .csv, .ndjson or .jsonl
    file: PathBuf,
}

/// Records that are sent and finished together.
#[derive(Debug)]
pub(super) struct Block {
    /// The last record's number.
    pub last: u64,
    /// The records, with an input or with what is wrong.
    pub records: Vec<Record>,
    /// Their length in the file, in bytes.
    pub bytes: usize,
    /// Where the file was read to.
    pub offset: u64,
}

/// What came of a block: every record of it is final.
#[derive(Debug, Default)]
pub(super) struct BlockEnd {
    /// The last record's number.
    pub last: u64,
    /// Where the file was read to.
    pub offset: u64,
    pub counts: Counts,
    pub rejections: Vec<Rejection>,
}

/// Runs the command.
///
/// # Errors
/// The arguments, the server or a file; see [`Failure`].
pub async fn run(args: Args) -> Outcome {
    let format = args.format.or_else(|| Format::of(&args.file)).ok_or_else(|| {
        Failure::usage(format!(
            "{}: neither .csv nor .ndjson; say which with --format",
            args.file.display()
        ))
    })?;
    let remote = Remote::new(&args.server)?;
    let (sha256, length) = fingerprint(&args.file)?;
    let api = Api::fetch(&remote).await?.create(&args.model)?;
    let records = Records::open(&args.file, format, &api, &args.null)?;

    let resume = args
        .resume
        .clone()
        .unwrap_or_else(|| beside(&args.file, ".tombolo-import.json"));
    let errors = args
        .errors
        .clone()
        .unwrap_or_else(|| beside(&args.file, ".tombolo-errors.ndjson"));
    let subject = Subject {
        url: remote.url().to_owned(),
        model: args.model.clone(),
        sha256: sha256.clone(),
        epoch: epoch(&remote, &args.model).await?,
    };
    let ledger = Ledger::open(&resume, &errors, subject, args.batch)?;
    let skipped = ledger.done();
    if skipped > 0 {
        say(&format!(
            "{} done since an earlier run ({})",
            counted(skipped, "record"),
            resume.display()
        ));
    }
    let done = Arc::new(AtomicU64::new(skipped));
    let sender = Arc::new(Sender::new(
        remote,
        api.clone(),
        ledger.replica(),
        ledger.singles(),
        Arc::clone(&done),
    ));

    let (blocks, next) = mpsc::channel(BLOCKS_IN_FLIGHT);
    let ids = Ids {
        field: generated_id(&api),
        seed: sha256,
    };
    let (batch, from) = (ledger.batch(), ledger.done());
    let reader = std::thread::spawn(move || read_blocks(records, batch, from, &ids, &blocks));

    let mut run = Run {
        ledger,
        counts: Counts {
            skipped,
            ..Counts::default()
        },
        done,
        bar: progress(Some(length), "bytes"),
    };
    let sent = run.send(sender, next).await;
    let read = reader
        .join()
        .unwrap_or_else(|_| Err(Failure::failed("the reader of the file died")));
    let ended = run.ledger.checkpoint();
    run.bar.finish_and_clear();
    let stopped = match (sent, read, ended) {
        (Ok(stopped), Ok(()), Ok(())) => stopped,
        (Err(e), ..) | (_, Err(e), _) | (.., Err(e)) => {
            say(&format!(
                "{} done; run the same command again to go on",
                counted(run.ledger.done(), "record")
            ));
            return Err(e);
        }
    };
    json_line(&run.counts)?;
    if stopped {
        return Err(Failure::failed("interrupted; run the same command again to go on"));
    }
    if run.counts.rejected > 0 {
        say(&format!(
            "{} rejected: {}",
            counted(run.counts.rejected, "record"),
            errors.display()
        ));
        return Ok(Exit::Failed);
    }
    Ok(Exit::Done)
}

/// The identity of the server's history, as the change feed's cursors tell it; empty if this key may not read the feed.
async fn epoch(remote: &Remote, model: &str) -> Result<String, Failure> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        tombolo_changes: Page,
    }
    #[derive(serde::Deserialize)]
    struct Page {
        cursor: String,
    }
    let body = serde_json::json!({
        "query": "query ($scope: TomboloScopeInput!) { tomboloChanges(scope: $scope, limit: 1) { cursor } }",
        "variables": { "scope": { "model": model } },
    });
    let reply: Reply<Data> = remote.post(body.to_string()).await?;
    let cursor = reply
        .data
        .and_then(|data| data.tombolo_changes.cursor.parse::<Cursor>().ok());
    Ok(cursor.map(|cursor| cursor.epoch.0).unwrap_or_default())
}

/// The field that gets a made-up id when a record leaves it out: `id`, where the model lets it be left out.
fn generated_id(api: &CreateApi) -> Option<String> {
    api.fields
        .iter()
        .find(|f| f.name == "id" && !f.required && !f.list)
        .map(|f| f.name.clone())
}

/// Makes ids for records without one, the same for the same file.
#[derive(Debug)]
struct Ids {
    field: Option<String>,
    seed: String,
}

impl Ids {
    fn fill(&self, ordinal: u64, input: &mut Map<String, Json>) {
        let Some(field) = &self.field else { return };
        if input.get(field).is_none_or(Json::is_null) {
            use sha2::{Digest, Sha256};
            let hash = Sha256::digest(format!("tombolo import {} {ordinal}", self.seed));
            let mut bytes = [0; 16];
            bytes.copy_from_slice(hash.get(..16).unwrap_or(&[0; 16]));
            let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
            input.insert(field.clone(), Json::String(id.to_string()));
        }
    }
}

/// Reads the file into blocks of `batch` records, those up to `from` left out. Ends early, and well, when nobody takes
/// them any more.
fn read_blocks(
    mut records: Records,
    batch: u64,
    from: u64,
    ids: &Ids,
    blocks: &mpsc::Sender<Block>,
) -> Result<(), Failure> {
    let mut block = Block {
        last: 0,
        records: Vec::new(),
        bytes: 0,
        offset: 0,
    };
    while let Some(mut record) = records.next_record()? {
        block.last = record.ordinal;
        block.bytes = block.bytes.saturating_add(record.bytes);
        block.offset = records.offset();
        let full = record.ordinal.is_multiple_of(batch);
        if record.ordinal > from {
            if let Content::Input(input) = &mut record.content {
                ids.fill(record.ordinal, input);
            }
            block.records.push(record);
        }
        if full {
            let whole = std::mem::replace(
                &mut block,
                Block {
                    last: 0,
                    records: Vec::new(),
                    bytes: 0,
                    offset: 0,
                },
            );
            if !whole.records.is_empty() && blocks.blocking_send(whole).is_err() {
                return Ok(());
            }
        }
    }
    if !block.records.is_empty() {
        let _nobody = blocks.blocking_send(block);
    }
    Ok(())
}

struct Run {
    ledger: Ledger,
    counts: Counts,
    /// [`Ledger::done`] as it stands on disk, for the senders.
    done: Arc<AtomicU64>,
    bar: ProgressBar,
}

impl Run {
    /// Sends every block and notes what comes of each in the file's order. True if it was interrupted.
    async fn send(&mut self, sender: Arc<Sender>, mut next: mpsc::Receiver<Block>) -> Result<bool, Failure> {
        let mut flying: JoinSet<Result<BlockEnd, Failure>> = JoinSet::new();
        let mut ended: BTreeMap<u64, BlockEnd> = BTreeMap::new();
        let mut order: std::collections::VecDeque<u64> = std::collections::VecDeque::new();
        let mut checkpointed = Instant::now();
        let (mut more, mut stopped) = (true, false);
        let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
        while more || !flying.is_empty() {
            tokio::select! {
                block = next.recv(), if more && flying.len() < BLOCKS_IN_FLIGHT => match block {
                    Some(block) => {
                        order.push_back(block.last);
                        let sender = Arc::clone(&sender);
                        flying.spawn(async move { sender.send(block).await });
                    }
                    None => more = false,
                },
                Some(end) = flying.join_next(), if !flying.is_empty() => {
                    let end = end.map_err(|e| Failure::failed(format!("a request's task died: {e}")))??;
                    ended.insert(end.last, end);
                    while let Some(end) = order.front().and_then(|last| ended.remove(last)) {
                        order.pop_front();
                        self.note(&end)?;
                    }
                    if checkpointed.elapsed() >= CHECKPOINT_EVERY {
                        checkpointed = Instant::now();
                        self.ledger.checkpoint()?;
                        self.done.store(self.ledger.done(), Ordering::Relaxed);
                    }
                },
                _ = &mut interrupt, if !stopped => {
                    // What is in flight is waited for; no more is taken.
                    (stopped, more) = (true, false);
                    next.close();
                    while next.try_recv().is_ok() {}
                },
            }
        }
        Ok(stopped)
    }

    fn note(&mut self, end: &BlockEnd) -> Result<(), Failure> {
        self.ledger.note(end.last, end.counts, &end.rejections)?;
        self.counts.imported += end.counts.imported;
        self.counts.rejected += end.counts.rejected;
        self.counts.skipped += end.counts.skipped;
        self.bar.set_position(end.offset);
        self.bar.set_message(format!(
            "· {} imported, {} rejected",
            self.counts.imported, self.counts.rejected
        ));
        Ok(())
    }
}
