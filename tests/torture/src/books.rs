//! The books: what the phones were told against what the files hold. Pure, so that each rule can be shown to go red.
//!
//! A call whose return was never told may have happened or not, but whole: it widens what is allowed by one, and each
//! phone looks for it in its outbox after the kill, so that few remain.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value as Json;

use crate::files::{Row, Tables};
use crate::journal::{Call, Fate, Op};

/// One phone's books.
#[derive(Clone, Debug, Default)]
pub struct Phone {
    /// Its name.
    pub name: String,
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// What its outbox holds when everything is at rest.
    pub outbox: Vec<Entry>,
    /// What its file holds.
    pub tables: Tables,
}

/// A mutation that the outbox still holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// Its model.
    pub model: String,
    /// Where it stands.
    pub state: String,
    /// Why.
    pub reason: Option<String>,
    /// The code of a refusal.
    pub reason_code: Option<String>,
}

/// What kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// An acknowledged mutation without effect and without a reason.
    Lost,
    /// An effect too many.
    Doubled,
    /// An earlier effect over a later one.
    Reordered,
    /// A replica that does not equal the server.
    Unequal,
    /// Anything else that cannot be.
    Other,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub damage: Damage,
    /// In words.
    pub words: String,
}

/// What the books say.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Calls that were made.
    pub calls: u64,
    /// Mutations whose call returned, or that were found in the outbox after a kill.
    pub acknowledged: u64,
    /// Of those, folded into one that waited: they have its number, and its effect is theirs.
    pub folded: u64,
    /// Numbers that took effect.
    pub applied: u64,
    /// Numbers that are listed as rejected, by code.
    pub rejected: BTreeMap<String, u64>,
    /// Calls that the phone refused itself; nothing was queued.
    pub refused: u64,
    /// Calls whose fate no one was told.
    pub unknown: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// How many findings of one kind.
    #[must_use]
    pub fn count(&self, damage: Damage) -> usize {
        self.findings.iter().filter(|finding| finding.damage == damage).count()
    }

    fn find(&mut self, damage: Damage, words: String) {
        self.findings.push(Finding { damage, words });
    }
}

/// Checks the books.
#[must_use]
pub fn check(server: &Tables, phones: &[Phone]) -> Verdict {
    let mut verdict = Verdict::default();
    for phone in phones {
        totals(&mut verdict, phone);
        logs(&mut verdict, server, phone);
        cells(&mut verdict, server, phone);
        equal(&mut verdict, server, phone);
    }
    strangers(&mut verdict, server, phones);
    seats(&mut verdict, server, phones);
    claims(&mut verdict, server, phones);
    tallies(&mut verdict, server, phones);
    verdict
}

fn row<'a>(tables: &'a Tables, model: &str, id: &str) -> Option<&'a Row> {
    tables.get(model)?.get(id)
}

fn int(row: &Row, column: &str) -> i64 {
    row.get(column).and_then(Json::as_i64).unwrap_or(0)
}

fn word<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Json::as_str).unwrap_or_default()
}

fn is_deleted(row: &Row) -> bool {
    int(row, "_deleted") != 0
}

impl Phone {
    fn is_rejected(&self, number: u64) -> Option<&str> {
        let entry = self.outbox.iter().find(|entry| entry.number == number)?;
        Some(entry.reason_code.as_deref().unwrap_or("without a code"))
    }

    /// Calls of one kind: what they are about, their number and their fate.
    fn about<'a, T: 'a>(&'a self, pick: impl Fn(&'a Op) -> Option<T> + 'a) -> impl Iterator<Item = (T, u64, &'a Fate)> {
        self.calls
            .iter()
            .filter_map(move |call| pick(&call.op).map(|about| (about, call.n, &call.fate)))
    }
}

fn totals(verdict: &mut Verdict, phone: &Phone) {
    let mut distinct = BTreeSet::new();
    for call in &phone.calls {
        verdict.calls += 1;
        match &call.fate {
            Fate::Acknowledged(numbers) => {
                verdict.acknowledged += numbers.len() as u64;
                verdict.folded += numbers.iter().filter(|number| !distinct.insert(**number)).count() as u64;
                if numbers.is_empty() {
                    verdict.find(Damage::Lost, format!("{} call {} gave no number", phone.name, call.n));
                }
            }
            Fate::Refused => verdict.refused += 1,
            Fate::Unknown => verdict.unknown += 1,
        }
    }
    for entry in &phone.outbox {
        let named = format!("{} mutation {} of {}", phone.name, entry.number, entry.model);
        if entry.state != "rejected" {
            verdict.find(
                Damage::Lost,
                format!("{named} is still {}: {:?}", entry.state, entry.reason),
            );
        } else if entry.reason.as_deref().unwrap_or_default().is_empty() {
            verdict.find(Damage::Lost, format!("{named} is rejected without a reason"));
        }
        distinct.remove(&entry.number);
        let code = entry.reason_code.clone().unwrap_or_else(|| entry.state.clone());
        *verdict.rejected.entry(code).or_default() += 1;
    }
    verdict.applied += distinct.len() as u64;
}

fn logs(verdict: &mut Verdict, server: &Tables, phone: &Phone) {
    let mut deletes: BTreeMap<&str, &Fate> = BTreeMap::new();
    for (id, _, fate) in phone.about(|op| match op {
        Op::Delete { id } => Some(id.as_str()),
        Op::Create { .. } | Op::Pair { .. } | Op::Cell { .. } | Op::Seat { .. } | Op::Claim { .. } | Op::Add { .. } => {
            None
        }
    }) {
        if *fate != Fate::Refused {
            deletes.insert(id, fate);
        }
        if let Fate::Acknowledged(numbers) = fate
            && let Some(code) = numbers.iter().find_map(|number| phone.is_rejected(*number))
        {
            verdict.find(
                Damage::Lost,
                format!("the delete of {id}, which is its phone's own, was rejected: {code}"),
            );
        }
    }
    let created = phone.about(|op| match op {
        Op::Create { id } => Some(vec![id.as_str()]),
        Op::Pair { ids } => Some(ids.iter().map(String::as_str).collect()),
        Op::Delete { .. } | Op::Cell { .. } | Op::Seat { .. } | Op::Claim { .. } | Op::Add { .. } => None,
    });
    for (ids, n, fate) in created {
        let there = ids.iter().filter(|id| row(server, "Log", id).is_some()).count();
        if ids.len() == 2 && there == 1 {
            verdict.find(Damage::Other, format!("half of the transaction {ids:?} took effect"));
        }
        for (place, id) in ids.into_iter().enumerate() {
            let rejected = match fate {
                Fate::Acknowledged(numbers) => numbers.get(place).and_then(|number| phone.is_rejected(*number)),
                Fate::Refused | Fate::Unknown => None,
            };
            if let Some(code) = rejected {
                // Only one who creates it twice meets it.
                verdict.find(
                    Damage::Doubled,
                    format!("the create of {id}, which is nobody else's, was rejected: {code}"),
                );
            }
            let delete = deletes.get(id);
            match row(server, "Log", id) {
                None if matches!(fate, Fate::Acknowledged(_)) && delete.is_none() => {
                    verdict.find(Damage::Lost, format!("{id} was acknowledged and is not there"));
                }
                // Never acknowledged, or taken back by its delete before it was ever sent.
                None => {}
                Some(_) if *fate == Fate::Refused => {
                    verdict.find(Damage::Other, format!("{id} was refused and is there"));
                }
                Some(row) => log(verdict, id, n, row, delete.copied()),
            }
        }
    }
}

fn log(verdict: &mut Verdict, id: &str, n: u64, row: &Row, delete: Option<&Fate>) {
    if int(row, "seq") != n as i64 {
        verdict.find(Damage::Other, format!("{id} holds {} instead of {n}", int(row, "seq")));
    }
    let version = int(row, "_version");
    match (is_deleted(row), delete) {
        (true, None) => verdict.find(Damage::Other, format!("{id} was deleted by nobody")),
        (false, Some(Fate::Acknowledged(_))) => {
            verdict.find(Damage::Lost, format!("{id} was deleted and is there"));
        }
        (false, _) if version != 1 => {
            verdict.find(
                Damage::Doubled,
                format!("{id} was written once and has version {version}"),
            );
        }
        (true, Some(_)) if version != 2 => {
            verdict.find(
                Damage::Doubled,
                format!("{id} was made and deleted and has version {version}"),
            );
        }
        (true, Some(_)) | (false, _) => {}
    }
}

/// What the calls about one record come to.
#[derive(Default)]
struct Tally {
    numbers: BTreeSet<u64>,
    unknown: i64,
    /// The last acknowledged call.
    last: u64,
    /// All calls that may show: the last one acknowledged, and later ones whose fate is unknown.
    may_show: BTreeSet<u64>,
}

fn cells(verdict: &mut Verdict, server: &Tables, phone: &Phone) {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for (id, n, fate) in phone.about(|op| match op {
        Op::Cell { id } => Some(id.as_str()),
        Op::Create { .. }
        | Op::Delete { .. }
        | Op::Pair { .. }
        | Op::Seat { .. }
        | Op::Claim { .. }
        | Op::Add { .. } => None,
    }) {
        let tally = tallies.entry(id).or_default();
        match fate {
            Fate::Acknowledged(numbers) => {
                for number in numbers {
                    tally.numbers.insert(*number);
                    if let Some(code) = phone.is_rejected(*number) {
                        verdict.find(
                            Damage::Lost,
                            format!("{n} in {id}, which is its phone's own, was rejected: {code}"),
                        );
                    }
                }
                tally.last = n;
                tally.may_show.clear();
                tally.may_show.insert(n);
            }
            Fate::Unknown => {
                tally.unknown += 1;
                tally.may_show.insert(n);
            }
            Fate::Refused => {}
        }
    }
    for (id, tally) in tallies {
        let Some(row) = row(server, "Cell", id) else {
            if !tally.numbers.is_empty() {
                verdict.find(Damage::Lost, format!("{id} was acknowledged and is not there"));
            }
            continue;
        };
        let (version, least) = (int(row, "_version"), tally.numbers.len() as i64);
        if version < least {
            verdict.find(
                Damage::Lost,
                format!("{id} has version {version} after {least} mutations"),
            );
        }
        if version > least + tally.unknown {
            let unknown = tally.unknown;
            verdict.find(
                Damage::Doubled,
                format!("{id} has version {version} after {least} mutations and {unknown} of unknown fate"),
            );
        }
        let shows = int(row, "seq") as u64;
        if !tally.may_show.contains(&shows) {
            let damage = if shows < tally.last {
                Damage::Reordered
            } else {
                Damage::Other
            };
            verdict.find(
                damage,
                format!("{id} shows {shows}; the last acknowledged is {}", tally.last),
            );
        }
    }
}

fn seats(verdict: &mut Verdict, server: &Tables, phones: &[Phone]) {
    let mut tallies: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut holders: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for phone in phones {
        let mut counted: BTreeSet<(&str, u64)> = BTreeSet::new();
        for ((id, holder), _, fate) in phone.about(|op| match op {
            Op::Seat { id, holder } => Some((id.as_str(), holder.as_str())),
            Op::Create { .. }
            | Op::Delete { .. }
            | Op::Pair { .. }
            | Op::Cell { .. }
            | Op::Claim { .. }
            | Op::Add { .. } => None,
        }) {
            let (applied, unknown) = tallies.entry(id).or_default();
            let why_not = match fate {
                Fate::Acknowledged(numbers) => {
                    let rejected = numbers.iter().find_map(|number| phone.is_rejected(*number));
                    if rejected.is_none() {
                        *applied += numbers.iter().filter(|number| counted.insert((id, **number))).count() as i64;
                    }
                    rejected
                }
                Fate::Unknown => {
                    *unknown += 1;
                    None
                }
                Fate::Refused => Some("refused on the phone"),
            };
            holders.insert(holder, why_not);
        }
    }
    for (id, (applied, unknown)) in tallies {
        let Some(row) = row(server, "Seat", id) else {
            verdict.find(Damage::Lost, format!("{id} is not there"));
            continue;
        };
        let (version, least) = (int(row, "_version"), 1 + applied);
        if version < least {
            verdict.find(
                Damage::Lost,
                format!("{id} has version {version}; {applied} mutations were told to be applied"),
            );
        }
        if version > least + unknown {
            verdict.find(
                Damage::Doubled,
                format!("{id} has version {version} after {applied} applied mutations and {unknown} of unknown fate"),
            );
        }
        let holder = word(row, "holder");
        match holders.get(holder) {
            _ if holder.is_empty() && applied == 0 => {}
            None => verdict.find(Damage::Other, format!("{id} is held by `{holder}`, which nobody wrote")),
            Some(Some(code)) => {
                verdict.find(
                    Damage::Other,
                    format!("{id} is held by `{holder}`, which was rejected: {code}"),
                );
            }
            Some(None) => {}
        }
    }
}

fn claims(verdict: &mut Verdict, server: &Tables, phones: &[Phone]) {
    let mut won: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut unknown: BTreeSet<(&str, &str)> = BTreeSet::new();
    for phone in phones {
        for (id, _, fate) in phone.about(|op| match op {
            Op::Claim { id } => Some(id.as_str()),
            Op::Create { .. }
            | Op::Delete { .. }
            | Op::Pair { .. }
            | Op::Cell { .. }
            | Op::Seat { .. }
            | Op::Add { .. } => None,
        }) {
            match fate {
                Fate::Acknowledged(numbers) => {
                    let winners = won.entry(id).or_default();
                    if numbers.iter().all(|number| phone.is_rejected(*number).is_none()) {
                        winners.push(&phone.name);
                    }
                }
                Fate::Unknown => drop(unknown.insert((id, &phone.name))),
                Fate::Refused => {}
            }
        }
    }
    for (id, winners) in won {
        let Some(row) = row(server, "Claim", id) else {
            verdict.find(Damage::Lost, format!("{id} was acknowledged and is not there"));
            continue;
        };
        let by = word(row, "by");
        if int(row, "_version") != 1 {
            verdict.find(
                Damage::Doubled,
                format!("{id} was made once and has version {}", int(row, "_version")),
            );
        }
        if winners.len() > 1 {
            verdict.find(Damage::Doubled, format!("{id} was told to be made by {winners:?}"));
        }
        let may_be = winners.contains(&by) || unknown.contains(&(id, by));
        if !may_be {
            verdict.find(
                Damage::Lost,
                format!("{id} is {by}'s, but {winners:?} were told that it is theirs"),
            );
        }
        if !winners.is_empty() && !winners.contains(&by) {
            verdict.find(
                Damage::Lost,
                format!("{winners:?} made {id} without a word of refusal, and it is {by}'s"),
            );
        }
    }
}

/// What was added is there, once. Additions never conflict, so none may be rejected.
fn tallies(verdict: &mut Verdict, server: &Tables, phones: &[Phone]) {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for phone in phones {
        for ((id, by), n, fate) in phone.about(|op| match op {
            Op::Add { id, by, .. } => Some((id.as_str(), *by)),
            Op::Create { .. }
            | Op::Delete { .. }
            | Op::Pair { .. }
            | Op::Cell { .. }
            | Op::Seat { .. }
            | Op::Claim { .. } => None,
        }) {
            let (certain, unknown) = sums.entry(id).or_default();
            match fate {
                Fate::Acknowledged(numbers) => {
                    *certain += by;
                    if let Some(code) = numbers.iter().find_map(|number| phone.is_rejected(*number)) {
                        verdict.find(
                            Damage::Lost,
                            format!("call {n} of {}, an addition, was rejected: {code}", phone.name),
                        );
                    }
                }
                Fate::Unknown => *unknown += by,
                Fate::Refused => {}
            }
        }
    }
    for (id, (certain, unknown)) in sums {
        let holds = row(server, "Tally", id).map_or(0, |row| int(row, "hits"));
        if holds < certain {
            verdict.find(Damage::Lost, format!("{id} holds {holds}; {certain} were added"));
        }
        if holds > certain + unknown {
            verdict.find(
                Damage::Doubled,
                format!("{id} holds {holds}; {certain} were added, and {unknown} of unknown fate"),
            );
        }
    }
}

/// Records that no call made.
fn strangers(verdict: &mut Verdict, server: &Tables, phones: &[Phone]) {
    let known: BTreeSet<&str> = phones
        .iter()
        .flat_map(|phone| &phone.calls)
        .flat_map(|call| match &call.op {
            Op::Create { id } | Op::Cell { id } | Op::Claim { id } => vec![id.as_str()],
            Op::Pair { ids } => ids.iter().map(String::as_str).collect(),
            Op::Delete { .. } | Op::Seat { .. } | Op::Add { .. } => Vec::new(),
        })
        .collect();
    for model in ["Log", "Cell", "Claim"] {
        for id in server.get(model).into_iter().flat_map(BTreeMap::keys) {
            if !known.contains(id.as_str()) {
                verdict.find(Damage::Other, format!("{model} {id} was made by nobody"));
            }
        }
    }
}

/// A phone at rest holds what the server holds, tombstones included.
fn equal(verdict: &mut Verdict, server: &Tables, phone: &Phone) {
    let empty = BTreeMap::new();
    for (model, theirs) in server {
        let ours = phone.tables.get(model).unwrap_or(&empty);
        let ids: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for id in ids {
            let (on_server, on_phone) = (theirs.get(id), ours.get(id));
            if on_server != on_phone {
                verdict.find(
                    Damage::Unequal,
                    format!(
                        "{model} {id} on {}: {on_phone:?}, on the server: {on_server:?}",
                        phone.name
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
