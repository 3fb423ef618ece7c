//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;

use crate::coverage::Coverage;

/// A law that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The law's name.
    pub oracle: &'static str,
    /// What was seen.
    pub detail: String,
    /// The operation at which it was seen, from 1; its number in the plan.
    pub at: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "violation of `{}` at operation {}: {}",
            self.oracle, self.at, self.detail
        )
    }
}

/// Under which heading a count is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What the plan injected.
    Fault,
    /// What became of mutations.
    Mutation,
    /// What else happened.
    Event,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Hash of every effect and of every row at the end.
    pub hash: u64,
    /// Operations carried out.
    pub ops: u64,
    /// Operations that did not apply (an edit of a record that is not there, a drop of a link that is down).
    pub skipped: u64,
    /// Single steps: messages, commits, timers.
    pub steps: u64,
    /// What happened how often.
    pub counts: BTreeMap<(Group, &'static str), u64>,
    /// The machine's state × event table.
    pub coverage: Coverage,
    /// The first law that did not hold.
    pub violation: Option<Violation>,
}

impl Report {
    /// How often something happened, whatever its group.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts
            .iter()
            .filter(|((_, n), _)| *n == name)
            .map(|(_, c)| c)
            .sum()
    }
}

/// Counts by group, as lines of text.
pub fn write_counts(f: &mut impl fmt::Write, counts: &BTreeMap<(Group, &'static str), u64>) -> fmt::Result {
    for (group, heading) in [
        (Group::Fault, "faults injected"),
        (Group::Mutation, "mutations"),
        (Group::Event, "events"),
    ] {
        let of_group = || counts.iter().filter(|((g, _), _)| *g == group);
        writeln!(f, "{heading}: {}", of_group().map(|(_, count)| count).sum::<u64>())?;
        for ((_, name), count) in of_group() {
            writeln!(f, "  {name:<36} {count:>10}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} operations, {} did not apply, {} steps, hash {:016x}",
            self.ops, self.skipped, self.steps, self.hash
        )?;
        write_counts(f, &self.counts)?;
        match &self.violation {
            Some(violation) => write!(f, "{violation}"),
            None => write!(f, "no violation"),
        }
    }
}
