//! One torture from start to end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::process::{Child, Command};

use crate::books::{self, Damage, Finding, Verdict};
use crate::journal::{self, Line, calls};
use crate::observer::{self, Seen};
use crate::proxy::{Fault, Proxy};
use crate::server::Home;
use crate::{SEATS, TALLIES, chance, files};

/// How long a process lives before it is killed, in milliseconds: from before it can do anything to well at work.
const LIFE_MS: std::ops::RangeInclusive<u64> = 50..=400;

/// How long the observer may take to see the last change once all is at rest.
const OBSERVED: Duration = Duration::from_secs(20);

/// What a torture is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Kills of the server, and kills of phones.
    pub rounds: u64,
    /// What decisions follow from.
    pub seed: u64,
    /// Phones.
    pub phones: u64,
    /// The `tombolo` binary.
    pub server: PathBuf,
    /// The binary of this package, which is also the phone.
    pub phone: PathBuf,
    /// Where everything is kept.
    pub folder: PathBuf,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was asked for.
    pub settings: Settings,
    /// Kills of the server while it served.
    pub server_kills: u64,
    /// Kills of phones.
    pub phone_kills: u64,
    /// Of those, phones that had opened their file.
    pub phone_kills_at_work: u64,
    /// What connections suffered.
    pub faults: BTreeMap<Fault, u64>,
    /// The books, with what else was found.
    pub verdict: Verdict,
    /// Changes that the observer saw, over so many links.
    pub observed: (u64, u64),
    /// How long the killing took, and how long until all was at rest.
    pub took: (Duration, Duration),
}

/// Tortures.
///
/// # Errors
/// What kept it from being done, in words; damage is not an error but stands in the outcome.
pub async fn run(settings: Settings) -> Result<Outcome, String> {
    let began = Instant::now();
    let home = Home::new(&settings.server, &settings.folder)
        .await
        .map_err(|e| format!("{}: {e}", settings.folder.display()))?;
    let proxy = Proxy::start(home.address, settings.seed)
        .await
        .map_err(|e| e.to_string())?;
    let server = home.start().await?;
    for seat in 0..SEATS {
        home.ask(&format!(
            "mutation {{ createSeat(input: {{ id: \"seat-{seat}\" }}) {{ id }} }}"
        ))
        .await?;
    }
    for tally in 0..TALLIES {
        home.ask(&format!(
            "mutation {{ createTally(input: {{ id: \"tally-{tally}\" }}) {{ id }} }}"
        ))
        .await?;
    }
    let seen = observer::start(home.address);
    let phones = Phones {
        settings: settings.clone(),
        url: proxy.url(),
    };

    let (server, killed) = tokio::join!(kill_servers(&home, server, &settings), phones.kill());
    let (mut server, server_kills) = server?;
    let killed = killed?;
    let killing = began.elapsed();

    proxy.calm();
    // The first time each pushes what is its own, the second time it pulls what the others had pushed.
    phones.drain().await?;
    let drained = phones.drain().await?;
    server.check()?;
    let on_server = files::read(&home.database())?;
    let mut all = Vec::new();
    let mut findings = Vec::new();
    for (name, said) in drained {
        let lines = journal::read(&phones.journal(&name)).map_err(|e| e.to_string())?;
        findings.extend(lines.iter().filter_map(|line| match line {
            Line::Broken { words } => Some(other(format!("{name}: {words}"))),
            Line::Begin { .. } | Line::End { .. } | Line::Refused { .. } | Line::Found { .. } | Line::Opened { .. } => {
                None
            }
        }));
        if said["complete"] != true {
            findings.push(other(format!("{name} does not come to rest: {said}")));
        }
        all.push(books::Phone {
            calls: calls(&lines),
            outbox: serde_json::from_value(said["outbox"].clone()).map_err(|e| format!("{name}: {e}: {said}"))?,
            tables: files::read(&phones.file(&name))?,
            name,
        });
    }
    let mut verdict = books::check(&on_server, &all);
    findings.extend(observed(&seen, &on_server).await);
    for log in std::iter::once(home.log()).chain((0..settings.phones).map(|i| phones.log(&name(i)))) {
        findings.extend(panics(&log));
    }
    verdict.findings.extend(findings);
    let observed = {
        let seen = seen.lock().unwrap();
        (seen.changes, seen.links)
    };
    server.kill().await?;
    Ok(Outcome {
        server_kills,
        phone_kills: killed.0,
        phone_kills_at_work: killed.1,
        faults: proxy.counts(),
        verdict,
        observed,
        took: (killing, began.elapsed() - killing),
        settings,
    })
}

fn name(phone: u64) -> String {
    format!("p{phone}")
}

fn other(words: String) -> Finding {
    Finding {
        damage: Damage::Other,
        words,
    }
}

async fn kill_servers(
    home: &Home,
    mut server: crate::server::Server,
    settings: &Settings,
) -> Result<(crate::server::Server, u64), String> {
    let mut kills = 0;
    for round in 0..settings.rounds {
        let life = chance(settings.seed, "server", round).u64(LIFE_MS);
        tokio::time::sleep(Duration::from_millis(life)).await;
        server.kill().await?;
        kills += 1;
        server = home.start().await?;
    }
    Ok((server, kills))
}

/// The phones' processes.
struct Phones {
    settings: Settings,
    url: String,
}

impl Phones {
    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.settings.folder.join(format!("{name}.{extension}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path(name, "sqlite")
    }

    fn journal(&self, name: &str) -> PathBuf {
        self.path(name, "journal")
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path(name, "log")
    }

    fn command(&self, name: &str) -> Result<Command, String> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log(name))
            .map_err(|e| e.to_string())?;
        let mut command = Command::new(&self.settings.phone);
        command
            .arg("phone")
            .args(["--name", name, "--url", &self.url])
            .args(["--seed", &self.settings.seed.to_string()])
            .arg("--file")
            .arg(self.file(name))
            .arg("--journal")
            .arg(self.journal(name))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    fn start(&self, name: &str) -> Result<Child, String> {
        self.command(name)?.spawn().map_err(|e| e.to_string())
    }

    /// Lets them live and kills one after the other; gives how many, and how many of those had opened their file.
    async fn kill(&self) -> Result<(u64, u64), String> {
        let mut alive: Vec<Child> = (0..self.settings.phones)
            .map(|phone| self.start(&name(phone)))
            .collect::<Result<_, _>>()?;
        let mut opened: Vec<usize> = vec![0; alive.len()];
        let (mut kills, mut at_work) = (0, 0);
        for round in 0..self.settings.rounds {
            let mut rng = chance(self.settings.seed, "phone", round);
            tokio::time::sleep(Duration::from_millis(rng.u64(LIFE_MS))).await;
            let which = rng.usize(0..alive.len());
            let named = name(which as u64);
            kill(&mut alive[which], &named).await?;
            kills += 1;
            let lines = journal::read(&self.journal(&named)).map_err(|e| e.to_string())?;
            let openings = lines.iter().filter(|line| matches!(line, Line::Opened { .. })).count();
            at_work += u64::from(openings > opened[which]);
            opened[which] = openings;
            alive[which] = self.start(&named)?;
        }
        for (which, child) in alive.iter_mut().enumerate() {
            kill(child, &name(which as u64)).await?;
        }
        Ok((kills, at_work))
    }

    /// Has each push and pull everything; what each then says.
    async fn drain(&self) -> Result<Vec<(String, Json)>, String> {
        let mut draining = Vec::new();
        for phone in 0..self.settings.phones {
            let named = name(phone);
            let mut command = self.command(&named)?;
            command.arg("--drain").stdout(Stdio::piped());
            draining.push((named, command.spawn().map_err(|e| e.to_string())?));
        }
        let mut said = Vec::new();
        for (named, child) in draining {
            let output = child.wait_with_output().await.map_err(|e| e.to_string())?;
            let words = serde_json::from_slice(&output.stdout);
            let words = words.map_err(|e| format!("{named} ended with {} and said {e}", output.status))?;
            said.push((named, words));
        }
        Ok(said)
    }
}

async fn kill(child: &mut Child, named: &str) -> Result<(), String> {
    match child.try_wait() {
        Ok(None) => child.kill().await.map_err(|e| e.to_string()),
        Ok(Some(status)) => Err(format!("{named} ended by itself: {status}; see its log")),
        Err(error) => Err(error.to_string()),
    }
}

/// What the observer found, and whether it has seen the newest version of everything.
async fn observed(seen: &Arc<Mutex<Seen>>, server: &files::Tables) -> Vec<Finding> {
    let missing = || {
        let seen = seen.lock().unwrap();
        let rows = server
            .iter()
            .flat_map(|(model, rows)| rows.iter().map(move |(id, row)| (model, id, row)));
        let unseen = rows.filter(|(model, id, row)| {
            let version = seen
                .versions
                .get(&((*model).clone(), (*id).clone()))
                .map(|(version, _)| *version);
            version != row["_version"].as_i64()
        });
        unseen.map(|(model, id, _)| format!("{model} {id}")).collect::<Vec<_>>()
    };
    let began = Instant::now();
    while !missing().is_empty() && began.elapsed() < OBSERVED {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let missing = missing();
    let mut findings = Vec::new();
    if let Some(first) = missing.first() {
        findings.push(other(format!(
            "the observer missed {} records, {first} among them",
            missing.len()
        )));
    }
    for words in &seen.lock().unwrap().findings {
        let damage = if words.starts_with("reordered") {
            Damage::Reordered
        } else {
            Damage::Other
        };
        findings.push(Finding {
            damage,
            words: format!("the observer: {words}"),
        });
    }
    findings
}

/// Panics and errors that a process has logged: none may be there, whatever happens around it.
fn panics(log: &Path) -> Vec<Finding> {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    text.lines()
        .filter(|line| line.contains("panicked at") || line.contains(" ERROR "))
        .map(|line| other(format!("{}: {line}", log.display())))
        .collect()
}
