//! What came of a run.

use std::collections::BTreeMap;
use std::fmt;

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
    pub counts: BTreeMap<&'static str, u64>,
    /// The first law that did not hold.
    pub violation: Option<Violation>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} operations, {} did not apply, {} steps, hash {:016x}",
            self.ops, self.skipped, self.steps, self.hash
        )?;
        for (name, count) in &self.counts {
            writeln!(f, "  {name:<28} {count}")?;
        }
        match &self.violation {
            Some(violation) => write!(f, "{violation}"),
            None => write!(f, "no violation"),
        }
    }
}
