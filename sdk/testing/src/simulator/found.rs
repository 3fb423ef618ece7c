//! What a simulation found, told so that a person can follow it.

use std::fmt;

use serde_json::Value as Json;
use tombolo_core::wire::trace::{FieldTrace, Trace};
use tombolo_machine::FinalOutcome;

use super::hand::ViewPlace;
use super::script::{Script, ScriptStep, phone_name};

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) invariant: String,
    pub(crate) place: ViewPlace,
    pub(crate) says: String,
}

/// A mutation and its end.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) step: usize,
    pub(crate) text: String,
    pub(crate) outcome: Option<FinalOutcome>,
    /// What the server tells of it (`tomboloConflicts`), if it was merged or rejected.
    pub(crate) trace: Option<Trace>,
}

/// A broken invariant with the shortest script that breaks it. Its text tells the story; [`Found::script`] can be played
/// again with `ConflictSimulator::replay`.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed that found it.
    pub seed: u64,
    /// The invariant's name.
    pub invariant: String,
    /// Whose data broke it.
    pub place: ViewPlace,
    /// What the invariant said.
    pub says: String,
    /// The shrunk script.
    pub script: Script,
    /// Steps of the script as it was found.
    pub steps_before: usize,
    /// Runs spent on shrinking.
    pub runs: usize,
    pub(crate) given: Vec<(String, Json)>,
    pub(crate) ended: Vec<Ended>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            ViewPlace::Server => "on the server".to_owned(),
            ViewPlace::Phone(phone) => format!("on {}", phone_name(phone)),
        };
        writeln!(f, "\"{}\" does not hold {place}: {}", self.invariant, self.says)?;
        writeln!(
            f,
            "(seed {}, shrunk from {} steps to {} in {} runs)\n",
            self.seed,
            self.steps_before,
            self.script.0.len(),
            self.runs
        )?;
        for (text, variables) in &self.given {
            write!(f, "  given {text}")?;
            match variables {
                Json::Null => writeln!(f)?,
                variables => writeln!(f, " {variables}")?,
            }
        }
        for (place, step) in self.script.0.iter().enumerate() {
            writeln!(f, "  {:>3}  {}", place + 1, told(step))?;
            for ended in self.ended.iter().filter(|ended| ended.step == place) {
                writeln!(f, "         {}", ended.text)?;
                let outcome = match &ended.outcome {
                    None => continue,
                    Some(FinalOutcome::Applied) => "applied as sent".to_owned(),
                    Some(FinalOutcome::Merged) => "merged with a change that it had not seen".to_owned(),
                    Some(FinalOutcome::Rejected(reason)) => format!("rejected: {reason}"),
                    Some(FinalOutcome::Discarded) => "taken back".to_owned(),
                };
                write!(f, "           in the end: {outcome}")?;
                let Some(trace) = &ended.trace else {
                    writeln!(f)?;
                    continue;
                };
                match &trace.strategy {
                    Some(rule) => writeln!(f, ", by {rule}")?,
                    None => writeln!(f)?,
                }
                for field in &trace.fields {
                    writeln!(f, "             {}", decided(field))?;
                }
            }
        }
        writeln!(f, "       all come online and sync\n")?;
        write!(f, "to play it again, give this to `replay`:\n{}", self.script)
    }
}

/// One field in conflict, the rule that decided and what it dropped, as `tombolo conflicts` tells it too.
fn decided(trace: &FieldTrace) -> String {
    let FieldTrace {
        field,
        rule,
        base,
        server,
        incoming,
        result,
    } = trace;
    let base = match base {
        None | Some(Json::Null) => String::new(),
        Some(base) => format!("was {base}, "),
    };
    let dropped = match (result == server, result == incoming) {
        (true, true) => "nothing dropped",
        (true, false) => "dropped what was sent",
        (false, true) => "dropped the server's",
        (false, false) => "made of both",
    };
    format!("{field} by {rule}: {base}server {server}, sent {incoming} -> {result} ({dropped})")
}

fn told(step: &ScriptStep) -> String {
    match step {
        ScriptStep::Act { phone, action, .. } => format!("{} does {action}", phone_name(*phone)),
        other => other.to_string(),
    }
}
