//! Transactions of which a part was lost: what is left of them must not go out as if it were the whole.
//!
//! The same goes for what waits for a single mutation that was lost, or was to replace one: the server would wait for what
//! never comes, or carry out the whole of an edit on top of what it edits.
//!
//! The server carries out an atomic request as it comes: of three mutations it would carry out the two that were saved, give
//! the second the number of the first, and not know the third again. So what is left is rejected, and what waits for it too.
//!
//! That a part in the middle or the first one is missing shows in the numbers, which follow each other. That the last one
//! is missing shows in the index of transactions; where that is damaged too, in that the number after it was lost or that
//! nobody knows how far the outbox went. Then a transaction may be rejected that was whole: the app can try it again.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension};
use tombolo_core::wire::graphql::ErrorType;

use super::{GIVEN_UP, IN_FLIGHT, NUMBERS_PROBED_MAX, QUEUED, REJECTED, WEDGED, readable, reason};
use crate::error::OpenError;

/// What a mutation says that was not sent.
const TORN: &str = "a part of its transaction was lost when the file was damaged: nothing of it has been sent";

/// What one says that had been sent.
const TORN_SENT: &str = "a part of its transaction was lost when the file was damaged: it had been sent and may have been \
                         carried out; look at the records first, then discard it or try it again";

/// What one says that waited.
const WITHOUT: &str =
    "it depends on a mutation that was lost, or lost a part of its transaction, when the file was damaged";

struct Row {
    first: i64,
    atomic: bool,
    state: i64,
    /// What it waits for, and what it is to replace.
    parents: Vec<i64>,
}

impl Row {
    fn is_undecided(&self) -> bool {
        [QUEUED, IN_FLIGHT, WEDGED, GIVEN_UP].contains(&self.state)
    }
}

/// Rejects in `new` what is left of such transactions and what waits for them; how many mutations that are. `lost`: numbers
/// that could be seen in the outbox and not read; `whole`: it could be walked from end to end.
pub(super) fn refuse(old: &Connection, new: &Connection, lost: &BTreeSet<i64>, whole: bool) -> Result<u64, OpenError> {
    let rows = rows(new)?;
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut children: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (number, row) in &rows {
        groups
            .entry(if row.atomic { row.first } else { *number })
            .or_default()
            .push(*number);
        for parent in &row.parents {
            children.entry(*parent).or_default().push(*number);
        }
    }
    let ended = numbers(new, "SELECT number FROM _ended")?;
    let is_there = |number: i64| rows.contains_key(&number) || ended.contains(&number);
    let index = numbers_of_groups(old);
    let end = (!whole).then(|| end(new)).transpose()?.flatten();
    let is_torn = |first: i64, last: i64| {
        let gap = last.saturating_sub(first) > NUMBERS_PROBED_MAX || !(first..=last).all(is_there);
        let tail = match &index {
            Some(groups) => groups.get(&first).is_some_and(|all| !all.iter().copied().all(is_there)),
            None => {
                let next = last.saturating_add(1);
                lost.contains(&next) || (!whole && !rows.contains_key(&next) && end.is_none_or(|end| end > last))
            }
        };
        gap || !is_there(first) || tail
    };
    let mut waiting: Vec<(i64, bool)> = Vec::new();
    for (first, members) in &groups {
        let atomic = members.iter().any(|number| rows[number].atomic);
        let undecided = members.iter().any(|number| rows[number].is_undecided());
        if let (true, true, Some(last)) = (atomic, undecided, members.last())
            && is_torn(*first, *last)
        {
            waiting.push((*first, true));
        }
    }
    for child in lost.iter().filter_map(|number| children.get(number)).flatten() {
        let row = &rows[child];
        if row.state == QUEUED {
            waiting.push((if row.atomic { row.first } else { *child }, false));
        }
    }
    let mut refused = BTreeSet::new();
    while let Some((first, itself)) = waiting.pop() {
        for number in groups.get(&first).into_iter().flatten() {
            let row = &rows[number];
            if !row.is_undecided() || !refused.insert(*number) {
                continue;
            }
            let reason = match (row.state == QUEUED, itself) {
                (true, true) => reason(ErrorType::DependencyRejected, TORN),
                (true, false) => reason(ErrorType::DependencyRejected, WITHOUT),
                (false, _) => reason(ErrorType::OutcomeForgotten, TORN_SENT),
            };
            new.execute(
                "UPDATE _outbox SET state = ?2, reason = ?3 WHERE number = ?1",
                (number, REJECTED, reason),
            )?;
            for child in children.get(number).into_iter().flatten() {
                let row = &rows[child];
                waiting.push((if row.atomic { row.first } else { *child }, false));
            }
        }
    }
    Ok(refused.len() as u64)
}

fn rows(new: &Connection) -> rusqlite::Result<BTreeMap<i64, Row>> {
    let mut statement = new.prepare(&format!(
        "SELECT number, first, atomic, state, {}, replaces FROM _outbox",
        readable("depends_on")
    ))?;
    let rows = statement.query_map((), |row| {
        let depends_on: Option<String> = row.get(4)?;
        let mut parents: Vec<i64> = depends_on
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        parents.extend(row.get::<_, Option<i64>>(5)?);
        let found = Row {
            first: row.get(1)?,
            atomic: row.get(2)?,
            state: row.get(3)?,
            parents,
        };
        Ok((row.get(0)?, found))
    })?;
    rows.collect()
}

fn numbers(conn: &Connection, sql: &str) -> rusqlite::Result<BTreeSet<i64>> {
    conn.prepare(sql)?.query_map((), |row| row.get(0))?.collect()
}

/// The last number that was given, where it could be read.
fn end(new: &Connection) -> rusqlite::Result<Option<i64>> {
    new.query_row("SELECT value FROM _meta WHERE name = 'last_number'", (), |row| {
        row.get(0)
    })
    .optional()
}

/// Each transaction's numbers, from the index of transactions alone; `None` if that cannot be read from end to end.
fn numbers_of_groups(old: &Connection) -> Option<BTreeMap<i64, BTreeSet<i64>>> {
    let mut statement = old
        .prepare("SELECT first, number FROM _outbox INDEXED BY _outbox_first WHERE atomic = 1 ORDER BY first")
        .ok()?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).ok()?;
    let mut groups: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for row in rows {
        let (first, number) = row.ok()?;
        groups.entry(first).or_default().insert(number);
    }
    Some(groups)
}
