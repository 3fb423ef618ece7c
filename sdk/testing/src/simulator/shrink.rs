//! Cutting a failing script down: larger pieces first, then smaller ones, as long as the same invariant breaks.

use super::found::Found;
use super::hand::ViewPlace;
use super::script::{Script, ScriptStep};
use super::world::Run;
use super::{ConflictSimulator, Failure};
use crate::limits::SHRINK_RUNS_MAX;

/// The shortest script found that breaks the same invariant as `steps`.
pub(crate) fn shrink(simulator: &ConflictSimulator, seed: u64, steps: Vec<ScriptStep>) -> Result<Found, Failure> {
    let before = steps.len();
    let mut runs = 1;
    let mut run = simulator.play(&steps)?;
    let invariant = run.broken.as_ref().map(|broken| broken.invariant.clone());
    // What did not apply is not needed.
    let mut best: Vec<ScriptStep> = run
        .applied
        .iter()
        .filter_map(|place| steps.get(*place).cloned())
        .collect();
    let breaks = |candidate: &[ScriptStep], runs: &mut usize| -> Result<Option<Run>, Failure> {
        *runs += 1;
        let run = simulator.play(candidate)?;
        let same = run.broken.as_ref().map(|broken| &broken.invariant) == invariant.as_ref();
        Ok(same.then_some(run))
    };
    match breaks(&best, &mut runs)? {
        Some(again) => run = again,
        None => best = steps,
    }
    let mut size = best.len().div_ceil(2).max(1);
    loop {
        let mut cut = false;
        let mut at = 0;
        while at < best.len() && runs < SHRINK_RUNS_MAX {
            let mut candidate = best.clone();
            candidate.drain(at..(at + size).min(best.len()));
            match breaks(&candidate, &mut runs)? {
                Some(shorter) => {
                    (best, run, cut) = (candidate, shorter, true);
                }
                None => at += size,
            }
        }
        if size == 1 && (!cut || runs >= SHRINK_RUNS_MAX) {
            break;
        }
        if !cut {
            size = size.div_ceil(2);
        }
        if size > 1 && runs >= SHRINK_RUNS_MAX {
            break;
        }
    }
    let mut found = found(simulator, seed, best, run, runs);
    found.steps_before = before;
    Ok(found)
}

/// The finding that a run is.
pub(crate) fn found(simulator: &ConflictSimulator, seed: u64, steps: Vec<ScriptStep>, run: Run, runs: usize) -> Found {
    let (invariant, place, says) = match run.broken {
        Some(broken) => (broken.invariant, broken.place, broken.says),
        None => (String::new(), ViewPlace::Server, String::new()),
    };
    Found {
        seed,
        invariant,
        place,
        says,
        steps_before: steps.len(),
        script: Script(steps),
        runs,
        given: simulator.setup.given.clone(),
        ended: run.ended,
    }
}
