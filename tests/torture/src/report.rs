//! The table at the end.

use std::fmt;

use crate::books::Damage;
use crate::run::Outcome;

/// Most findings that are printed; the rest is counted.
const SHOWN: usize = 20;

impl Outcome {
    /// Whether everything is as promised.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.verdict.findings.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "  {name:<38} {value}");
        let verdict = &self.verdict;
        line("seed", self.settings.seed.to_string())?;
        line("phones", self.settings.phones.to_string())?;
        line("rounds", self.settings.rounds.to_string())?;
        line("kills of the server", self.server_kills.to_string())?;
        line(
            "kills of phones",
            format!(
                "{} ({} at work, the others while opening)",
                self.phone_kills, self.phone_kills_at_work
            ),
        )?;
        line("connections", self.faults.values().sum::<u64>().to_string())?;
        for (fault, count) in &self.faults {
            line(&format!("  {}", fault.name()), count.to_string())?;
        }
        line("calls", verdict.calls.to_string())?;
        line("  refused on the phone", verdict.refused.to_string())?;
        line(
            "  killed before they returned, fate unknown",
            verdict.unknown.to_string(),
        )?;
        line("mutations acknowledged", verdict.acknowledged.to_string())?;
        line("  folded into a waiting one", verdict.folded.to_string())?;
        line("  applied", verdict.applied.to_string())?;
        line(
            "  rejected with a reason",
            verdict.rejected.values().sum::<u64>().to_string(),
        )?;
        for (code, count) in &verdict.rejected {
            line(&format!("    {code}"), count.to_string())?;
        }
        line(
            "changes observed",
            format!("{} over {} links", self.observed.0, self.observed.1),
        )?;
        line("lost", verdict.count(Damage::Lost).to_string())?;
        line("doubled", verdict.count(Damage::Doubled).to_string())?;
        line("reordered", verdict.count(Damage::Reordered).to_string())?;
        line(
            "replicas' records unlike the server's",
            verdict.count(Damage::Unequal).to_string(),
        )?;
        line("other damage", verdict.count(Damage::Other).to_string())?;
        line(
            "time",
            format!(
                "{:.1} s of killing, {:.1} s until all was at rest",
                self.took.0.as_secs_f64(),
                self.took.1.as_secs_f64()
            ),
        )?;
        for finding in verdict.findings.iter().take(SHOWN) {
            writeln!(f, "  {:?}: {}", finding.damage, finding.words)?;
        }
        if let more @ 1.. = verdict.findings.len().saturating_sub(SHOWN) {
            writeln!(f, "  and {more} more")?;
        }
        Ok(())
    }
}
