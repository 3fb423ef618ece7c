//! A phone: a process with a replica, which mutates without pause until it is killed. Its journal is its only memory
//! beside the replica's file; a new process goes on where the dead one stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tombolo::{Client, Error, LinkStatus, OutboxItem};

use crate::journal::{Fate, Journal, Line, Op, calls};
use crate::{CELLS, KEY, SCHEMA, SEATS, TALLIES, chance};

/// Between two looks at the link: when it is not open it is tried again at once, since no phone here lives long enough to
/// sit out a back-off.
const NUDGE: Duration = Duration::from_millis(150);

/// Longest pause between two calls, in milliseconds.
const PAUSE_MS: u64 = 12;

/// Calls of all phones with the same number divided by this try to make the same claim.
const CALLS_FOR_A_CLAIM: u64 = 25;

/// How long a phone may take to push and pull everything once the network is good.
const DRAIN: Duration = Duration::from_secs(120);

/// What a phone is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Its name
    #[arg(long)]
    pub name: String,
    /// Its file
    #[arg(long)]
    pub file: PathBuf,
    /// Its journal
    #[arg(long)]
    pub journal: PathBuf,
    /// The server's GraphQL address
    #[arg(long)]
    pub url: String,
    /// What its decisions follow from
    #[arg(long)]
    pub seed: u64,
    /// Push and pull everything, print the outbox as JSON, and end
    #[arg(long)]
    pub drain: bool,
}

/// Lives as it is told.
///
/// # Errors
/// The SDK's or the journal's, in words.
pub async fn run(args: Args) -> Result<(), String> {
    let began = Instant::now();
    let client = Client::builder()
        .schema(SCHEMA)
        .path(&args.file)
        .url(&args.url)
        .api_key(KEY)
        .seed(args.seed)
        .offline(true)
        .open()
        .await
        .map_err(|e| format!("{} does not open: {e}", args.file.display()))?;
    if args.drain {
        return drain(client).await;
    }
    let (journal, lines) = Journal::open(&args.journal).map_err(|e| e.to_string())?;
    let mut phone = Phone {
        client,
        journal,
        next: 1,
        made: BTreeSet::new(),
        deleted: BTreeSet::new(),
        cells: BTreeMap::new(),
        args,
    };
    phone.remember(&lines).await?;
    phone.note(&Line::Opened {
        ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })?;
    phone.client.set_online(true).await.map_err(|e| e.to_string())?;
    let nudging = tokio::spawn(nudge(phone.client.clone()));
    let died = phone.live().await;
    nudging.abort();
    died
}

async fn nudge(client: Client) {
    let status = client.status();
    loop {
        tokio::time::sleep(NUDGE).await;
        let waiting = status.borrow().link == LinkStatus::Waiting;
        if waiting && client.set_online(true).await.is_err() {
            return;
        }
    }
}

/// Pushes and pulls until nothing is left, then prints what the outbox still holds.
async fn drain(client: Client) -> Result<(), String> {
    let report = client.sync_once(DRAIN).await.map_err(|e| e.to_string())?;
    let outbox = client.outbox().await.map_err(|e| e.to_string())?;
    let status = client.status().borrow().clone();
    client.close().await;
    let said = json!({
        "complete": report.is_complete(),
        "trouble": report.trouble,
        "wedged": status.wedged,
        "outbox": outbox,
    });
    #[expect(clippy::print_stdout, reason = "this is how a phone tells who started it")]
    {
        println!("{said}");
    }
    Ok(())
}

struct Phone {
    args: Args,
    client: Client,
    journal: Journal,
    /// The next call's number.
    next: u64,
    /// Logs that were made alone and may be deleted.
    made: BTreeSet<String>,
    deleted: BTreeSet<String>,
    /// For each cell that there is, the number that it shows.
    cells: BTreeMap<String, u64>,
}

impl Phone {
    fn note(&mut self, line: &Line) -> Result<(), String> {
        self.journal.write(line).map_err(|e| format!("the journal: {e}"))
    }

    fn broken(&mut self, words: String) -> Result<(), String> {
        self.note(&Line::Broken { words })
    }

    /// Goes on where the process before was killed, and holds the file against what that process was told.
    async fn remember(&mut self, lines: &[Line]) -> Result<(), String> {
        let calls = calls(lines);
        self.next = calls.last().map_or(1, |call| call.n + 1);
        // At most the last call is open: those before it were looked for by the processes before this one.
        if let Some(last) = calls.last().filter(|call| call.fate == Fate::Unknown) {
            let outbox = self.outbox().await?;
            let mut numbers = numbers_of(&last.op, last.n, &outbox);
            if matches!(last.op, Op::Claim { .. }) {
                // It may be an earlier call that stands there: then this one was about to be refused.
                let earlier: BTreeSet<u64> = calls
                    .iter()
                    .filter_map(|call| match &call.fate {
                        Fate::Acknowledged(numbers) => Some(numbers),
                        Fate::Refused | Fate::Unknown => None,
                    })
                    .flatten()
                    .copied()
                    .collect();
                numbers.retain(|number| !earlier.contains(number));
            }
            if !numbers.is_empty() {
                let expected = if matches!(last.op, Op::Pair { .. }) { 2 } else { 1 };
                if numbers.len() != expected {
                    self.broken(format!("call {} is in the outbox in part: {:?}", last.n, last.op))?;
                }
                self.note(&Line::Found { n: last.n, numbers })?;
            }
        }
        let mut shown: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for call in &calls {
            let (Fate::Acknowledged(_) | Fate::Unknown) = call.fate else {
                continue;
            };
            let certain = call.fate != Fate::Unknown;
            match &call.op {
                Op::Create { id } => {
                    if certain {
                        self.made.insert(id.clone());
                    }
                }
                Op::Delete { id } => {
                    self.deleted.insert(id.clone());
                }
                Op::Cell { id } => {
                    let may_show = shown.entry(id.clone()).or_default();
                    if certain {
                        may_show.clear();
                    } else if may_show.is_empty() {
                        // 0 stands for: there is no such cell.
                        may_show.insert(0);
                    }
                    may_show.insert(call.n);
                }
                Op::Pair { .. } | Op::Seat { .. } | Op::Claim { .. } | Op::Add { .. } => {}
            }
        }
        for (id, may_show) in shown {
            let shows = self.cell(&id).await?.unwrap_or(0);
            if !may_show.contains(&shows) {
                self.broken(format!("after a kill {id} shows {shows}, not one of {may_show:?}"))?;
            }
            if shows > 0 {
                self.cells.insert(id, shows);
            }
        }
        // The newest are the ones that a kill could have taken.
        let newest: Vec<String> = self.made.iter().rev().take(30).cloned().collect();
        for id in newest {
            if !self.deleted.contains(&id) && self.log(&id).await?.is_none() {
                self.broken(format!("after a kill {id} is gone from the phone that made it"))?;
            }
        }
        Ok(())
    }

    async fn live(&mut self) -> Result<(), String> {
        loop {
            let n = self.next;
            let mut rng = chance(self.args.seed, &self.args.name, n);
            let op = self.draw(n, &mut rng);
            self.call(n, op, &mut rng).await?;
            self.next += 1;
            tokio::time::sleep(Duration::from_millis(rng.u64(0..PAUSE_MS))).await;
        }
    }

    fn draw(&self, n: u64, rng: &mut fastrand::Rng) -> Op {
        let name = &self.args.name;
        match rng.u32(0..100) {
            0..32 => Op::Create {
                id: format!("{name}-{n:06}"),
            },
            32..42 => {
                // One of the newer ones: those may still be on their way.
                let made: Vec<&String> = self.made.iter().filter(|id| !self.deleted.contains(*id)).collect();
                let back = rng.usize(0..40);
                match made.len().checked_sub(1 + back).and_then(|at| made.get(at)) {
                    Some(id) => Op::Delete { id: (*id).clone() },
                    None => Op::Create {
                        id: format!("{name}-{n:06}"),
                    },
                }
            }
            42..50 => Op::Pair {
                ids: [format!("{name}-{n:06}-a"), format!("{name}-{n:06}-b")],
            },
            50..80 => Op::Cell {
                id: format!("{name}-cell-{}", rng.u64(0..CELLS)),
            },
            80..88 => Op::Add {
                id: format!("tally-{}", rng.u64(0..TALLIES)),
                by: rng.i64(1..5),
                last: format!("{name}-{n:06}"),
            },
            88..95 => Op::Seat {
                id: format!("seat-{}", rng.u64(0..SEATS)),
                holder: format!("{name}-{n:06}"),
            },
            _ => Op::Claim {
                id: format!("claim-{}", n / CALLS_FOR_A_CLAIM),
            },
        }
    }

    async fn call(&mut self, n: u64, op: Op, rng: &mut fastrand::Rng) -> Result<(), String> {
        self.note(&Line::Begin { n, op: op.clone() })?;
        let called = self.mutate(n, &op).await;
        match called {
            Ok(numbers) => self.note(&Line::End { n, numbers })?,
            Err(error) => {
                let expected = matches!(
                    (&error, &op),
                    // The server has been asked for nothing yet, or the claim is known to be taken.
                    (Error::UnknownRecord { .. }, Op::Seat { .. } | Op::Add { .. })
                        | (Error::Refused(_), Op::Claim { .. })
                );
                self.note(&Line::Refused {
                    n,
                    code: error.code().to_owned(),
                })?;
                if !expected {
                    self.broken(format!("call {n} is refused here: {op:?}: {error}"))?;
                }
                return Ok(());
            }
        }
        match op {
            Op::Create { id } => drop(self.made.insert(id)),
            Op::Delete { id } => drop(self.deleted.insert(id)),
            Op::Cell { id } => {
                if rng.u32(0..4) == 0 {
                    let shows = self.cell(&id).await?;
                    if shows != Some(n) {
                        self.broken(format!("{id} shows {shows:?} right after {n} was written"))?;
                    }
                }
                self.cells.insert(id, n);
            }
            Op::Pair { .. } | Op::Seat { .. } | Op::Claim { .. } | Op::Add { .. } => {}
        }
        Ok(())
    }

    async fn mutate(&self, n: u64, op: &Op) -> Result<Vec<u64>, Error> {
        let name = &self.args.name;
        let log = |id: &str, pair: Option<&str>| json!({ "i": { "id": id, "phone": name, "seq": n, "pair": pair, "text": text(n) } });
        const LOG: &str = "mutation($i: CreateLogInput!) { createLog(input: $i) { id } }";
        if let Op::Pair { ids: [a, b] } = op {
            let done = self
                .client
                .transaction(|t| {
                    t.mutate(LOG, log(a, Some(b)))?;
                    t.mutate(LOG, log(b, Some(a)))
                })
                .await?;
            return Ok(done.numbers.iter().map(|number| number.0).collect());
        }
        let (document, variables) = match op {
            Op::Create { id } => (LOG, log(id, None)),
            Op::Delete { id } => (
                "mutation($i: DeleteLogInput!) { deleteLog(input: $i) { id } }",
                json!({ "i": { "id": id } }),
            ),
            Op::Cell { id } if self.cells.contains_key(id) => (
                "mutation($i: UpdateCellInput!) { updateCell(input: $i) { id } }",
                json!({ "i": { "id": id, "seq": n, "text": text(n) } }),
            ),
            Op::Cell { id } => (
                "mutation($i: CreateCellInput!) { createCell(input: $i) { id } }",
                json!({ "i": { "id": id, "phone": name, "seq": n, "text": text(n) } }),
            ),
            Op::Seat { id, holder } => (
                "mutation($i: UpdateSeatInput!) { updateSeat(input: $i) { id } }",
                json!({ "i": { "id": id, "holder": holder } }),
            ),
            Op::Claim { id } => (
                "mutation($i: CreateClaimInput!) { createClaim(input: $i) { id } }",
                json!({ "i": { "id": id, "by": name } }),
            ),
            Op::Add { id, by, last } => (
                "mutation($i: UpdateTallyInput!) { updateTally(input: $i) { id } }",
                json!({ "i": { "id": id, "last": last, "_operations": { "hits": { "add": by } } } }),
            ),
            Op::Pair { .. } => unreachable!("made above"),
        };
        let done = self.client.mutate(document, variables).await?;
        Ok(done.numbers.iter().map(|number| number.0).collect())
    }

    async fn outbox(&self) -> Result<Vec<OutboxItem>, String> {
        self.client.outbox().await.map_err(|e| e.to_string())
    }

    async fn cell(&self, id: &str) -> Result<Option<u64>, String> {
        let data = self.query("query($id: ID!) { getCell(id: $id) { seq } }", id).await?;
        Ok(data["getCell"]["seq"].as_u64())
    }

    async fn log(&self, id: &str) -> Result<Option<u64>, String> {
        let data = self.query("query($id: ID!) { getLog(id: $id) { seq } }", id).await?;
        Ok(data["getLog"]["seq"].as_u64())
    }

    async fn query(&self, text: &str, id: &str) -> Result<Json, String> {
        let answer = self.client.query(text, json!({ "id": id })).await;
        answer.and_then(|answer| answer.data_as()).map_err(|e| e.to_string())
    }
}

/// Fills a frame, so that a cut falls into one: some lengths are short, some are longer than a network packet.
fn text(n: u64) -> String {
    let length = [0, 20, 200, 3_000][usize::try_from(n % 4).unwrap_or(0)];
    "x".repeat(length)
}

/// The numbers under which a call's mutations stand in the outbox; none if it did not happen, or has been settled.
fn numbers_of(op: &Op, n: u64, outbox: &[OutboxItem]) -> Vec<u64> {
    let with = |model: &str, field: &str, value: Json| {
        let found = outbox
            .iter()
            .filter(|item| item.model == model && item.values.get(field) == Some(&value));
        found.map(|item| item.number.0).collect()
    };
    match op {
        Op::Create { .. } | Op::Pair { .. } => with("Log", "seq", json!(n)),
        Op::Cell { .. } => with("Cell", "seq", json!(n)),
        Op::Seat { holder, .. } => with("Seat", "holder", json!(holder)),
        Op::Claim { id } => with("Claim", "id", json!(id)),
        Op::Add { last, .. } => with("Tally", "last", json!(last)),
        Op::Delete { id } => outbox
            .iter()
            .filter(|item| item.model == "Log" && item.kind == tombolo::MutationKind::Delete && item.key == [json!(id)])
            .map(|item| item.number.0)
            .collect(),
    }
}
