//! Plans: generated from a seed, written as text, one operation a line, read back, cut down.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

use crate::op::{BadOp, Op};

/// What is to happen in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seeds the order of deliveries and the machines' jitter; with the operations it decides everything.
    pub seed: u64,
    /// How many replicas.
    pub replicas: usize,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

/// Records that todos and lists are drawn from: few, so that replicas meet on them.
const RECORDS: u32 = 8;
const LISTS: u32 = 3;
const COLORS: [&str; 3] = ["red", "green", "blue"];

/// How unkind a world is: each seed first draws its own weights, so that rare states are reached deep and not only
/// thinly everywhere.
struct Weather {
    offline: u32,
    drop: u32,
    duplicate: u32,
    kill: u32,
    restart: u32,
    fail: u32,
    scope: u32,
    transaction: u32,
    delete: u32,
}

impl Weather {
    fn draw(rng: &mut Rng) -> Self {
        let mut some = |most: u32| if rng.bool() { rng.u32(0..=most) } else { 0 };
        Self {
            offline: some(12),
            drop: some(12),
            duplicate: some(8),
            kill: some(12),
            restart: some(6),
            fail: some(4),
            scope: some(4),
            transaction: some(5),
            delete: some(12),
        }
    }
}

impl Plan {
    /// Makes the plan of `seed` with about `length` operations.
    #[must_use]
    pub fn generate(seed: u64, length: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let weather = Weather::draw(&mut rng);
        let replicas = rng.usize(2..=4);
        let mut ops = Vec::with_capacity(length + 2);
        // Some replicas begin with a narrow scope.
        for replica in 0..replicas {
            if rng.u8(0..4) == 0 {
                ops.push(Op::SetScope {
                    replica,
                    color: Some((*COLORS.first().unwrap_or(&"red")).to_owned()),
                });
            }
            ops.push(Op::GoOnline(replica));
        }
        let mut made = 0_u32;
        while ops.len() < length {
            let op = next(&mut rng, &weather, replicas, &mut made);
            ops.push(op);
            if rng.u8(0..3) == 0 {
                ops.push(Op::Step(rng.u32(1..40)));
            }
        }
        ops.push(Op::Quiesce);
        Self { seed, replicas, ops }
    }

    /// The plan without the operations `from..to`.
    #[must_use]
    pub fn without(&self, from: usize, to: usize) -> Self {
        let mut ops = self.ops.clone();
        ops.drain(from..to.min(self.ops.len()));
        Self { ops, ..*self }
    }

    /// Cuts the plan down as far as it still `fails`, by ever smaller pieces.
    #[must_use]
    pub fn shrink(&self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let mut best = self.clone();
        let mut piece = best.ops.len().div_ceil(2).max(1);
        loop {
            let mut from = 0;
            let mut cut = false;
            while from < best.ops.len() {
                let candidate = best.without(from, from + piece);
                if !candidate.ops.is_empty() && fails(&candidate) {
                    best = candidate;
                    cut = true;
                } else {
                    from += piece;
                }
            }
            if piece == 1 && !cut {
                return best;
            }
            if !cut {
                piece = (piece / 2).max(1);
            }
        }
    }
}

fn next(rng: &mut Rng, weather: &Weather, replicas: usize, made: &mut u32) -> Op {
    let replica = rng.usize(0..replicas);
    let record = rng.u32(0..RECORDS);
    let color = COLORS
        .get(rng.usize(0..COLORS.len()))
        .map_or_else(String::new, |c| (*c).to_owned());
    *made += 1;
    let weights = [
        24,                  // edit
        12,                  // create
        weather.delete,      // delete
        weather.transaction, // transaction
        weather.offline,     // offline
        weather.offline + 6, // online
        weather.drop,        // drop
        weather.duplicate,   // duplicate
        weather.kill,        // kill
        weather.restart,     // restart the server
        weather.fail,        // fail a commit
        weather.scope,       // scope
        2,                   // dismiss
        8,                   // advance
        1,                   // quiesce
    ];
    let mut pick = rng.u32(0..weights.iter().sum());
    let mut which = 0;
    for (i, weight) in weights.iter().enumerate() {
        if pick < *weight {
            which = i;
            break;
        }
        pick -= weight;
    }
    match which {
        0 => {
            let (field, value) = match rng.u8(0..4) {
                0 => ("title", format!("t{made}")),
                1 => ("body", format!("b{made}")),
                2 => ("color", color),
                _ => ("rank", made.to_string()),
            };
            Op::Edit {
                replica,
                record,
                field: field.into(),
                value,
            }
        }
        1 => {
            let list = rng.bool().then(|| rng.u32(0..LISTS));
            Op::Create {
                replica,
                record,
                list,
                title: format!("c{made}"),
                color,
            }
        }
        2 => Op::Delete { replica, record },
        3 => Op::Transaction {
            replica,
            list: rng.u32(0..LISTS),
            record,
            title: format!("x{made}"),
        },
        4 => Op::GoOffline(replica),
        5 => Op::GoOnline(replica),
        6 => Op::DropLink(replica),
        7 => Op::Duplicate(replica),
        8 => Op::Kill {
            replica,
            after: rng.bool(),
        },
        9 => Op::RestartServer,
        10 => Op::FailCommit,
        11 => Op::SetScope {
            replica,
            color: rng.bool().then_some(color),
        },
        12 => Op::Dismiss(replica),
        13 => Op::Advance(rng.u64(1..40_000)),
        _ => Op::Quiesce,
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "replicas {}", self.replicas)?;
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}

/// A text that is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    /// The first two lines are not `seed N` and `replicas N`.
    #[error("a plan begins with the lines `seed N` and `replicas N`")]
    Head,
    /// A line is no operation.
    #[error("line {line}: {source}")]
    Op {
        /// Which, from 1.
        line: usize,
        /// What it says.
        source: BadOp,
    },
}

impl FromStr for Plan {
    type Err = BadPlan;

    /// Reads what [`fmt::Display`] wrote; empty lines and lines that begin with `#` are for people.
    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let mut head = |name: &str| {
            let (_, line) = lines.next()?;
            line.strip_prefix(name)?.trim().parse::<u64>().ok()
        };
        let seed = head("seed").ok_or(BadPlan::Head)?;
        let replicas = head("replicas")
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n > 0)
            .ok_or(BadPlan::Head)?;
        let ops = lines
            .map(|(line, text)| text.parse().map_err(|source| BadPlan::Op { line, source }))
            .collect::<Result<_, _>>()?;
        Ok(Self { seed, replicas, ops })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_text() {
        for seed in 0..200 {
            let plan = Plan::generate(seed, 60);
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }

    #[test]
    fn a_bad_line_is_named() {
        let text = "seed 1\nreplicas 2\n\n# a remark\nonline 0\nfly 3\n";
        assert_eq!(
            text.parse::<Plan>(),
            Err(BadPlan::Op {
                line: 6,
                source: BadOp("fly 3".into())
            })
        );
        assert_eq!("replicas 2".parse::<Plan>(), Err(BadPlan::Head));
    }

    #[test]
    fn shrinking_keeps_what_fails_and_nothing_else() {
        let plan = Plan::generate(7, 120);
        let wanted = |p: &Plan| {
            p.ops.iter().any(|op| matches!(op, Op::Quiesce))
                && p.ops.iter().filter(|op| matches!(op, Op::Edit { .. })).count() >= 2
        };
        assert!(wanted(&plan));
        assert_eq!(plan.shrink(wanted).ops.len(), 3);
    }
}
