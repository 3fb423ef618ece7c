//! Poison: one mutation in each 1,000 of 10,000 cannot succeed. How fast all others settle, beside the same queue without it.
//!
//! Two kinds of poison: mutations that the server refuses, and mutations on which it fails each time (a trigger in its
//! database raises an error: what a bug or a corrupt index would do). Two kinds of queue: records that have nothing to do
//! with each other, and chains of 100 edits of one record each, where what comes after a poison hangs on it.

use super::Setting;
use crate::child;
use crate::error::{Error, expect_count};
use crate::report::{Line, Unit};
use crate::stats::median;
use crate::worker::{Job, POISON, Poison, Poisoned, Queue};

/// Runs the workload.
pub(crate) async fn run(setting: &Setting) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    for related in [false, true] {
        let mut without = None;
        for poison in [Poison::None, Poison::Refused, Poison::Undecidable] {
            let (mut rates, mut last, mut server_peak) = (Vec::new(), None, None);
            for run in 0..setting.options.runs {
                let name = format!("poison/{related}-{poison:?}-{run}");
                let server = setting.server(&name).await?;
                fail_on_poison(server.database())?;
                let place = setting.place(&server, &name)?;
                let queued = setting.options.queued;
                let queue = Queue {
                    queued,
                    poison,
                    related,
                };
                let result: Poisoned = child::work(&Job::Poison { place, queue })?;
                expect_count(
                    "settled and others",
                    queued as u64,
                    result.settled + ended_otherwise(poison, &result),
                )?;
                rates.push(result.settled as f64 / result.seconds);
                server_peak = server_peak.max(server.peak());
                last = Some(result);
            }
            let Some(last) = last else { continue };
            let rate = median(&rates);
            let without = *without.get_or_insert(rate);
            let line = Line::new("poison", words(&last, poison, related), Unit::PerSecond, rate)
                .against("the same queue without poison, settled", without)
                .memory(last.peak, server_peak);
            lines.push(line);
        }
    }
    Ok(lines)
}

fn ended_otherwise(poison: Poison, result: &Poisoned) -> u64 {
    match poison {
        Poison::None => 0,
        Poison::Refused | Poison::Undecidable => result.poisoned + result.dependents,
    }
}

fn words(result: &Poisoned, poison: Poison, related: bool) -> String {
    let queue = if related {
        "chains of edits"
    } else {
        "unrelated records"
    };
    let Poisoned {
        settled,
        poisoned,
        dependents,
        ..
    } = result;
    match poison {
        Poison::None => format!("{queue}: {settled} settled, no poison"),
        Poison::Refused => format!("{queue}: {settled} settled, {poisoned} refused and {dependents} that hang on them"),
        Poison::Undecidable => {
            format!("{queue}: {settled} settled, {poisoned} undecidable and {dependents} that wait for them")
        }
    }
}

/// Makes the server fail on every write of a poisoned note, as a bug of its own would.
fn fail_on_poison(database: &std::path::Path) -> Result<(), Error> {
    let open = || rusqlite::Connection::open(database);
    let set = |conn: rusqlite::Connection| {
        conn.busy_timeout(std::time::Duration::from_secs(10))?;
        let trigger = |when: &str| {
            format!(
                "CREATE TRIGGER poison_{when} BEFORE {when} ON Note WHEN NEW.text = '{POISON}'
                 BEGIN SELECT RAISE(ABORT, 'poison'); END;"
            )
        };
        conn.execute_batch(&(trigger("INSERT") + &trigger("UPDATE")))
    };
    Ok(open().and_then(set)?)
}
