//! Plans: written as text, one operation a line, read back, cut down. How they are made from a seed stands in `generate`.

use std::fmt;
use std::str::FromStr;

use crate::op::{BadOp, Op};

/// What is to happen in a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Seeds the order of deliveries and the machines' jitter; with the operations it decides everything.
    pub seed: u64,
    /// How many replicas there are from the beginning.
    pub replicas: usize,
    /// Whether a process that dies opens its file anew. Otherwise the connection outlives it, which is faster; what was
    /// committed and what was not is the same.
    pub reopen: bool,
    /// What happens, in order.
    pub ops: Vec<Op>,
}

impl Plan {
    /// The plan without the operations `from..to`.
    #[must_use]
    pub fn without(&self, from: usize, to: usize) -> Self {
        let mut ops = self.ops.clone();
        ops.drain(from..to.min(self.ops.len()));
        Self { ops, ..*self }
    }

    /// Cuts the plan down as far as it still `fails`: by ever smaller pieces, then with fewer replicas and fewer steps.
    #[must_use]
    pub fn shrink(&self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let mut best = self.clone();
        loop {
            let before = best.clone();
            best = best.cut(&mut fails);
            while best.replicas > 1 {
                let fewer = Self {
                    replicas: best.replicas - 1,
                    ..best.clone()
                };
                if !fails(&fewer) {
                    break;
                }
                best = fewer;
            }
            for at in 0..best.ops.len() {
                while let Some(Op::Step(count)) = best.ops.get(at).filter(|op| **op != Op::Step(1)) {
                    let mut fewer = best.clone();
                    let count = *count / 2;
                    if let Some(op) = fewer.ops.get_mut(at) {
                        *op = Op::Step(count.max(1));
                    }
                    if !fails(&fewer) {
                        break;
                    }
                    best = fewer;
                }
            }
            if best == before {
                return best;
            }
        }
    }

    fn cut(&self, fails: &mut impl FnMut(&Self) -> bool) -> Self {
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

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "replicas {}", self.replicas)?;
        if self.reopen {
            writeln!(f, "reopen")?;
        }
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
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
            .peekable();
        let mut head = |name: &str| {
            let (_, line) = lines.next()?;
            line.strip_prefix(name)?.trim().parse::<u64>().ok()
        };
        let seed = head("seed").ok_or(BadPlan::Head)?;
        let replicas = head("replicas")
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n > 0)
            .ok_or(BadPlan::Head)?;
        let reopen = lines.next_if(|(_, line)| *line == "reopen").is_some();
        let ops = lines
            .map(|(line, text)| text.parse().map_err(|source| BadPlan::Op { line, source }))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            seed,
            replicas,
            reopen,
            ops,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_text() {
        for seed in 0..300 {
            let plan = Plan::generate(seed, 100);
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
        let small = plan.shrink(wanted);
        assert_eq!((small.ops.len(), small.replicas), (3, 1));
    }
}
