//! Plans from seeds. Each seed first draws how unkind its world is, so that rare states are reached deep and not only
//! thinly everywhere; then operations, with a rough idea of which replica knows which records, so that most of them apply.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use crate::op::{Kind, Op, RecordName};
use crate::plan::Plan;

/// Records of each model: few, so that replicas meet on them.
const RECORDS: u32 = 8;
const LISTS: u32 = 3;
pub(crate) const COLORS: [&str; 3] = ["red", "green", "blue"];

/// Most replicas of a world.
pub(crate) const REPLICAS_MAX: usize = 6;

/// How likely each kind of operation is in one world, relative to the others.
struct Weather {
    weights: Vec<(What, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Create,
    Edit,
    Delete,
    Transaction,
    Query,
    Scope,
    RemoveScope,
    ReturnScope,
    Offline,
    Online,
    Drop,
    Delay,
    Topics,
    Duplicate,
    Echo,
    Cut,
    Expire,
    Token,
    Switch,
    Kill,
    FailReplica,
    Disk,
    Copy,
    Restore,
    RestartServer,
    CopyServer,
    RestoreServer,
    FailCommit,
    FailRead,
    Poison,
    Compact,
    Cure,
    Refresh,
    Retry,
    EditAndRetry,
    Discard,
    Dismiss,
    Revoke,
    Grant,
    AddReplica,
    Wall,
    Advance,
    Quiesce,
}

impl Weather {
    fn draw(rng: &mut Rng) -> Self {
        // A third of the worlds knows few faults, a third about half of them, a third nearly all.
        let kindness = rng.u32(1..=3);
        let mut some = |most: u32| {
            if rng.u32(0..4) < kindness { rng.u32(1..=most) } else { 0 }
        };
        let (offline, expire, poison, revoke) = (some(12), some(4), some(3), some(2));
        let (removed, copies, backups) = (some(2), some(2), some(2));
        let fault = vec![
            (What::Delete, some(12)),
            (What::Transaction, some(5)),
            (What::Query, some(6)),
            (What::Scope, some(5)),
            (What::RemoveScope, removed),
            (What::ReturnScope, removed),
            (What::Offline, offline),
            (What::Online, offline + 4),
            (What::Drop, some(12)),
            (What::Delay, some(4)),
            (What::Topics, some(4)),
            (What::Duplicate, some(8)),
            (What::Echo, some(4)),
            (What::Cut, some(5)),
            (What::Expire, expire),
            (What::Token, expire * 2),
            (What::Switch, some(6)),
            (What::Kill, some(12)),
            (What::FailReplica, some(5)),
            (What::Disk, some(2)),
            (What::Copy, copies),
            (What::Restore, copies * 2),
            (What::RestartServer, some(6)),
            (What::CopyServer, backups),
            (What::RestoreServer, backups),
            (What::FailCommit, some(4)),
            (What::FailRead, some(3)),
            (What::Compact, some(3)),
            (What::Poison, poison),
            (What::Cure, poison.div_ceil(2)),
            (What::Refresh, some(2)),
            (What::Retry, poison),
            (What::EditAndRetry, 1 + some(3)),
            (What::Discard, some(3)),
            (What::Dismiss, 2),
            (What::Revoke, revoke),
            (What::Grant, revoke),
            (What::AddReplica, some(2)),
            (What::Wall, some(3)),
            (What::Advance, 6),
            // What is never decided is wedged after many tries: only when a world comes to rest is there time for that.
            (What::Quiesce, if poison > 0 { 3 } else { 1 }),
        ];
        let mut weights = vec![(What::Create, 14), (What::Edit, 30)];
        weights.extend(fault);
        Self { weights }
    }

    fn pick(&self, rng: &mut Rng) -> What {
        let mut at = rng.u32(0..self.weights.iter().map(|(_, weight)| weight).sum());
        for (what, weight) in &self.weights {
            if at < *weight {
                return *what;
            }
            at -= weight;
        }
        What::Edit
    }
}

/// What the generator believes of the world: rough, since it knows nothing of orders and merges.
struct Guess {
    rng: Rng,
    weather: Weather,
    /// Records that each replica knows.
    known: Vec<BTreeSet<RecordName>>,
    online: Vec<bool>,
    full: Vec<bool>,
    /// Goes by MQTT.
    mqtt: Vec<bool>,
    color: BTreeMap<RecordName, String>,
    scope: Vec<Option<String>>,
    made: u32,
    files: bool,
    /// Replicas of whose file there is a backup; `None` is the server's.
    copied: BTreeSet<Option<usize>>,
    /// Models that a replica does not want.
    removed: BTreeSet<(usize, Kind)>,
}

impl Plan {
    /// Makes the plan of `seed` with about `length` operations.
    #[must_use]
    pub fn generate(seed: u64, length: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::draw(&mut rng);
        let replicas = match rng.u8(0..10) {
            0..=3 => 2,
            4..=6 => 3,
            7 | 8 => 4,
            _ => rng.usize(5..=REPLICAS_MAX),
        };
        let reopen = rng.u8(0..3) == 0;
        let mut guess = Guess {
            rng,
            weather,
            known: vec![BTreeSet::new(); replicas],
            online: vec![true; replicas],
            full: vec![false; replicas],
            mqtt: vec![false; replicas],
            color: BTreeMap::new(),
            scope: vec![None; replicas],
            made: 0,
            files: reopen,
            copied: BTreeSet::new(),
            removed: BTreeSet::new(),
        };
        let mut ops = Vec::with_capacity(length + 8);
        // Some replicas begin with a narrow scope.
        for replica in 0..replicas {
            if guess.rng.u8(0..4) == 0 {
                let color = Some(guess.color());
                guess.set_scope(replica, color.clone());
                ops.push(Op::SetScope { replica, color });
            }
            // Some go by MQTT from the beginning.
            if guess.rng.u8(0..3) == 0 {
                if let Some(mqtt) = guess.mqtt.get_mut(replica) {
                    *mqtt = true;
                }
                ops.push(Op::Switch { replica, mqtt: true });
            }
            ops.push(Op::GoOnline(replica));
        }
        while ops.len() < length {
            let Some(op) = guess.next() else { continue };
            ops.push(op);
            if guess.rng.u8(0..3) == 0 {
                let count = guess.rng.u32(1..40);
                if count > 12 {
                    guess.spread();
                }
                ops.push(Op::Step(count));
            }
        }
        // Let what was hindered come to its end, so that the last look sees the whole.
        ops.push(Op::Cure);
        ops.extend(Kind::ALL.map(Op::GrantScope));
        ops.extend((0..guess.known.len()).map(Op::Retry));
        ops.push(Op::Quiesce);
        Self {
            seed,
            replicas,
            reopen,
            ops,
        }
    }
}

impl Guess {
    fn color(&mut self) -> String {
        COLORS
            .get(self.rng.usize(0..COLORS.len()))
            .map_or_else(String::new, |color| (*color).to_owned())
    }

    fn kind(&mut self) -> Kind {
        match self.rng.u8(0..11) {
            0..=6 => Kind::Todo,
            7 => Kind::Note,
            8 => Kind::Tag,
            9 => Kind::Card,
            _ => Kind::Tally,
        }
    }

    fn sees(&self, replica: usize, record: RecordName) -> bool {
        if self.removed.contains(&(replica, record.kind)) {
            return false;
        }
        let scope = self.scope.get(replica).and_then(Option::as_ref);
        record.kind != Kind::Todo || scope.is_none() || self.color.get(&record) == scope
    }

    /// Those who are online come to know what the others know.
    fn spread(&mut self) {
        let all: BTreeSet<RecordName> = self
            .known
            .iter()
            .zip(&self.online)
            .filter(|(_, online)| **online)
            .flat_map(|(known, _)| known.iter().copied())
            .collect();
        for replica in 0..self.known.len() {
            if self.online.get(replica) == Some(&true) {
                let seen = all.iter().copied().filter(|r| self.sees(replica, *r)).collect();
                if let Some(known) = self.known.get_mut(replica) {
                    *known = seen;
                }
            }
        }
    }

    fn know(&mut self, replica: usize, record: RecordName, color: &str) {
        self.color.insert(record, color.to_owned());
        if let Some(known) = self.known.get_mut(replica) {
            known.insert(record);
        }
    }

    fn set_scope(&mut self, replica: usize, color: Option<String>) {
        if let Some(scope) = self.scope.get_mut(replica) {
            *scope = color;
        }
        let kept = self.known.get(replica).cloned().unwrap_or_default();
        let kept = kept.into_iter().filter(|record| self.sees(replica, *record)).collect();
        if let Some(known) = self.known.get_mut(replica) {
            *known = kept;
        }
    }

    /// A record that the replica probably shows.
    fn some_record(&mut self, replica: usize) -> Option<RecordName> {
        let known = self.known.get(replica)?;
        let at = self.rng.usize(0..known.len().max(1));
        known.iter().nth(at).copied()
    }

    /// A number that the replica probably does not show; another replica may.
    fn fresh(&mut self, replica: usize, kind: Kind, numbers: u32) -> Option<RecordName> {
        let from = self.rng.u32(0..numbers);
        (0..numbers)
            .map(|step| RecordName {
                kind,
                number: (from + step) % numbers,
            })
            .find(|record| !self.known.get(replica).is_some_and(|known| known.contains(record)))
    }

    /// The next operation; `None` if what was drawn makes no sense here.
    fn next(&mut self) -> Option<Op> {
        let replica = self.rng.usize(0..self.known.len());
        let what = self.weather.pick(&mut self.rng);
        self.made += 1;
        let made = self.made;
        Some(match what {
            What::Create => {
                let kind = self.kind();
                let record = self.fresh(replica, kind, RECORDS)?;
                let color = self.color();
                self.know(replica, record, &color);
                let list = (kind == Kind::Todo && self.rng.bool()).then(|| self.rng.u32(0..LISTS));
                Op::Create {
                    replica,
                    record,
                    list,
                    title: format!("c{made}"),
                    color,
                }
            }
            What::Edit => self.edit(replica)?,
            What::Delete => {
                let record = self.some_record(replica)?;
                if let Some(known) = self.known.get_mut(replica) {
                    known.remove(&record);
                }
                Op::Delete { replica, record }
            }
            What::Transaction => {
                let list = self.fresh(replica, Kind::List, LISTS)?;
                let todo = |number| RecordName {
                    kind: Kind::Todo,
                    number,
                };
                let known = self.known.get(replica)?;
                let free = |n: &u32| !known.contains(&todo(*n)) && !known.contains(&todo(n + 1));
                let record = (0..RECORDS).filter(free).nth(self.rng.usize(0..3))?;
                self.know(replica, list, "");
                self.know(replica, todo(record), "red");
                self.know(replica, todo(record + 1), "red");
                Op::Transaction {
                    replica,
                    list: list.number,
                    record,
                    title: format!("x{made}"),
                }
            }
            What::Query => Op::RunQuery {
                replica,
                query: self.rng.u64(0..1_000_000),
            },
            What::Scope => {
                let color = self.rng.bool().then(|| self.color());
                if self.scope.get(replica) == Some(&color) {
                    return None;
                }
                self.removed.remove(&(replica, Kind::Todo));
                self.set_scope(replica, color.clone());
                Op::SetScope { replica, color }
            }
            What::RemoveScope => {
                let kind = self.kind();
                self.removed.insert((replica, kind)).then_some(())?;
                let known = self.known.get_mut(replica)?;
                known.retain(|record| record.kind != kind);
                Op::RemoveScope { replica, kind }
            }
            What::ReturnScope => {
                let at = self.rng.usize(0..self.removed.len().max(1));
                let (replica, kind) = self.removed.iter().nth(at).copied()?;
                self.removed.remove(&(replica, kind));
                Op::ReturnScope { replica, kind }
            }
            What::Offline | What::Online => {
                let online = what == What::Online;
                let was = self.online.get_mut(replica)?;
                // Mostly something new; an app may say it again.
                if std::mem::replace(was, online) == online && self.rng.u8(0..4) != 0 {
                    return None;
                }
                if online {
                    Op::GoOnline(replica)
                } else {
                    Op::GoOffline(replica)
                }
            }
            What::Drop => Op::DropLink(replica),
            What::Delay => Op::DelayLink {
                replica,
                ms: match self.rng.u8(0..8) {
                    0..=3 => 0,
                    4..=6 => self.rng.u64(1..12_000),
                    // Beyond what a link may owe in silence.
                    _ => self.rng.u64(12_000..50_000),
                },
            },
            What::Topics => Op::ReorderAcrossTopics {
                replica,
                on: self.rng.u8(0..4) != 0,
            },
            What::Duplicate => Op::Duplicate(replica),
            What::Echo => Op::Echo(replica),
            What::Cut => Op::Cut {
                replica,
                up: self.rng.bool(),
            },
            What::Expire => Op::ExpireToken(replica),
            What::Token => Op::FreshToken(replica),
            What::Switch => {
                let mqtt = self.mqtt.get_mut(replica)?;
                // Mostly the other one; an app may choose the same again.
                *mqtt ^= self.rng.u8(0..8) != 0;
                Op::Switch { replica, mqtt: *mqtt }
            }
            What::Kill => Op::Kill {
                replica,
                after: self.rng.bool(),
            },
            What::FailReplica => Op::FailReplica(replica),
            What::Disk => {
                let files = self.files;
                let full = self.full.get_mut(replica).filter(|_| files)?;
                *full = !*full;
                Op::Disk { replica, full: *full }
            }
            What::Copy => {
                self.copied.insert(Some(replica));
                Op::CopyFile(replica)
            }
            What::Restore => {
                let copied: Vec<usize> = self.copied.iter().copied().flatten().collect();
                Op::RestoreFile(copied.get(self.rng.usize(0..copied.len().max(1))).copied()?)
            }
            What::RestartServer => Op::RestartServer,
            What::CopyServer => {
                self.copied.insert(None);
                Op::CopyServer
            }
            What::RestoreServer => self.copied.contains(&None).then_some(Op::RestoreServer)?,
            What::FailCommit => Op::FailCommit,
            What::FailRead => Op::FailRead,
            What::Compact => Op::CompactFeed {
                silence: if self.rng.bool() {
                    3_600_000
                } else {
                    self.rng.u64(1..60_000)
                },
            },
            What::Poison => Op::Poison(replica),
            What::Cure => Op::Cure,
            What::Refresh => Op::Refresh(replica),
            What::Retry => Op::Retry(replica),
            What::EditAndRetry => Op::EditAndRetry {
                replica,
                title: format!("e{made}"),
            },
            What::Discard => Op::Discard(replica),
            What::Dismiss => Op::Dismiss(replica),
            What::Revoke => Op::RevokeScope(self.kind()),
            What::Grant => Op::GrantScope(self.kind()),
            What::AddReplica => {
                if self.known.len() >= REPLICAS_MAX {
                    return None;
                }
                self.known.push(BTreeSet::new());
                self.online.push(true);
                self.full.push(false);
                self.mqtt.push(false);
                self.scope.push(None);
                Op::AddReplica
            }
            What::Wall => Op::SetWall {
                replica: self.rng.bool().then_some(replica),
                ms: self.rng.i64(-90_000_000..90_000_000),
            },
            What::Advance => Op::Advance(self.rng.u64(1..40_000)),
            What::Quiesce => {
                self.online.fill(true);
                self.full.fill(false);
                self.spread();
                Op::Quiesce
            }
        })
    }

    fn edit(&mut self, replica: usize) -> Option<Op> {
        let record = self.some_record(replica)?;
        let made = self.made;
        if record.kind == Kind::Tally {
            let whole = if self.rng.u8(0..3) == 0 { "=" } else { "" };
            let sign = if self.rng.u8(0..3) == 0 { "-" } else { "+" };
            let (field, value) = match self.rng.u8(0..6) {
                0 | 1 => ("likes", format!("{whole}{sign}{}", self.rng.u32(1..5))),
                2 | 3 => ("members", format!("{whole}{sign}m{}", self.rng.u32(0..5))),
                4 => ("best", self.rng.u32(0..100).to_string()),
                _ => ("title", format!("t{made}")),
            };
            return Some(Op::Edit {
                replica,
                record,
                field: field.into(),
                value,
            });
        }
        let (field, value) = match self.rng.u8(0..4) {
            _ if record.kind == Kind::List => ("title", format!("t{made}")),
            0 => ("title", format!("t{made}")),
            1 => ("body", format!("b{made}")),
            2 => ("color", self.color()),
            _ => ("rank", made.to_string()),
        };
        if field == "color" {
            self.color.insert(record, value.clone());
            if !self.sees(replica, record)
                && let Some(known) = self.known.get_mut(replica)
            {
                known.remove(&record);
            }
        }
        Some(Op::Edit {
            replica,
            record,
            field: field.into(),
            value,
        })
    }
}
