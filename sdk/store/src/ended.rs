//! What has ended, and what goes on under another number, as rows.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value as Json;
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_machine::{Ended, FinalOutcome, Intent, OutboxEntry, Renumbered, StoreError};

use crate::error::failure;
use crate::outbox::{self, kind_in, kind_out, number_in, number_out};

const COLUMNS: &str = "number, first, atomic, replica, author, model, key, kind, intent, schema, outcome, reason, conflict, \
                       became, created_at_ms, ended_at_ms";

type Result<T> = std::result::Result<T, StoreError>;

/// A mutation as the file knows it: on its way, or ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// It stands in the outbox.
    Waiting(OutboxEntry),
    /// It has left the outbox.
    Ended(Ended),
}

impl Kept {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> MutationNumber {
        match self {
            Self::Waiting(entry) => entry.number,
            Self::Ended(ended) => ended.number,
        }
    }

    /// Its final state, if it has one by now.
    #[must_use]
    pub fn outcome(&self) -> Option<FinalOutcome> {
        match self {
            Self::Waiting(entry) => entry.outcome(),
            Self::Ended(ended) => Some(ended.outcome.clone()),
        }
    }
}

pub(crate) fn put(conn: &Connection, ended: &Ended) -> Result<()> {
    let (outcome, reason) = match &ended.outcome {
        FinalOutcome::Applied => ("applied", None),
        FinalOutcome::Merged => ("merged", None),
        FinalOutcome::Rejected(reason) => ("rejected", serde_json::to_string(reason).ok()),
        FinalOutcome::Discarded => ("discarded", None),
    };
    // The whole intent, with members that later releases add to it.
    let intent = serde_json::to_string(&ended.intent).map_err(|error| StoreError::Other(error.to_string()))?;
    conn.prepare_cached(&format!(
        "INSERT INTO _ended ({COLUMNS}) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16) \
         ON CONFLICT (number) DO UPDATE SET became = excluded.became"
    ))
    .and_then(|mut s| {
        s.execute(params![
            number_out(ended.number),
            number_out(ended.first),
            ended.atomic,
            ended.replica.0,
            ended.author,
            ended.intent.model,
            ended.intent.key_text(),
            kind_out(ended.intent.kind),
            intent,
            ended.schema,
            outcome,
            reason,
            ended.conflict.as_ref().map(Json::to_string),
            ended.became.map(number_out),
            ended.created_at_ms,
            ended.ended_at_ms,
        ])
    })
    .map_err(failure)?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Ended> {
    let reason = || {
        let text: Option<String> = row.get(11)?;
        let unreadable = RejectReason {
            code: ErrorType::BadRequest,
            message: "the reason cannot be read".to_owned(),
        };
        Ok::<_, rusqlite::Error>(
            text.and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or(unreadable),
        )
    };
    let outcome = match row.get::<_, String>(10)?.as_str() {
        "applied" => FinalOutcome::Applied,
        "merged" => FinalOutcome::Merged,
        "rejected" => FinalOutcome::Rejected(reason()?),
        _ => FinalOutcome::Discarded,
    };
    let intent: Option<Intent> = serde_json::from_str(&row.get::<_, String>(8)?).ok();
    let intent = match intent {
        Some(intent) => intent,
        // Written by a newer release, in other words: what the columns say is left.
        None => outbox::bare_intent(
            row.get(5)?,
            kind_in(&row.get::<_, String>(7)?),
            &row.get::<_, String>(6)?,
        ),
    };
    Ok(Ended {
        number: number_in(row.get(0)?),
        first: number_in(row.get(1)?),
        atomic: row.get(2)?,
        replica: ReplicaId(row.get(3)?),
        intent,
        outcome,
        conflict: row
            .get::<_, Option<String>>(12)?
            .and_then(|text| serde_json::from_str(&text).ok()),
        became: row.get::<_, Option<i64>>(13)?.map(number_in),
        author: row.get(4)?,
        schema: row.get(9)?,
        created_at_ms: row.get(14)?,
        ended_at_ms: row.get(15)?,
    })
}

pub(crate) fn get(conn: &Connection, number: MutationNumber) -> Result<Option<Ended>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM _ended WHERE number = ?1"))
        .and_then(|mut s| s.query_row([number_out(number)], read).optional())
        .map_err(failure)
}

pub(crate) fn list(conn: &Connection, after: u64, limit: usize) -> Result<Vec<Ended>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM _ended WHERE number > ?1 ORDER BY number LIMIT ?2"
    ))
    .and_then(|mut s| {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        s.query_map([number_out(MutationNumber(after)), limit], read)?.collect()
    })
    .map_err(failure)
}

/// Rows are numbered in the order in which they ended and go from the oldest on, so that the newest ones are those above a
/// bound.
pub(crate) fn trim(conn: &Connection, keep: u64, recent_ms: i64, most: u64, before_ms: i64) -> Result<()> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    // Both bounds by an index: looking at each recent row in every step would cost more than the step.
    conn.prepare_cached(
        "DELETE FROM _ended WHERE id <= min((SELECT max(id) FROM _ended) - ?1, \
           (SELECT id FROM _ended WHERE ended_at_ms < ?2 ORDER BY ended_at_ms DESC, id DESC LIMIT 1))",
    )
    .and_then(|mut s| s.execute(params![signed(keep), recent_ms]))
    .map_err(failure)?;
    conn.prepare_cached("DELETE FROM _ended WHERE id <= (SELECT max(id) FROM _ended) - ?1")
        .and_then(|mut s| s.execute([signed(most)]))
        .map_err(failure)?;
    conn.prepare_cached("DELETE FROM _ended WHERE ended_at_ms < ?1")
        .and_then(|mut s| s.execute([before_ms]))
        .map_err(failure)?;
    Ok(())
}

pub(crate) fn put_renumbered(conn: &Connection, renumbered: &Renumbered) -> Result<()> {
    conn.execute(
        "INSERT INTO _renumbered (low, high, by) VALUES (?1, ?2, ?3)",
        params![
            number_out(renumbered.low),
            number_out(renumbered.high),
            i64::try_from(renumbered.by).unwrap_or(i64::MAX)
        ],
    )
    .map_err(failure)?;
    Ok(())
}

/// Later mutations of a record that are known to have taken effect; as many rows are looked at as are kept.
pub(crate) fn took_effect_after(
    conn: &Connection,
    model: &str,
    key: &str,
    number: MutationNumber,
) -> Result<Vec<MutationNumber>> {
    conn.prepare_cached(
        "SELECT number FROM _ended WHERE number > ?3 AND model = ?1 AND key = ?2 AND outcome IN ('applied', 'merged')
         ORDER BY number",
    )
    .and_then(|mut s| {
        let rows = s.query_map((model, key, number_out(number)), |row| row.get::<_, i64>(0))?;
        rows.map(|number| Ok(MutationNumber(number?.cast_unsigned()))).collect()
    })
    .map_err(failure)
}

/// The mutation, under whatever number it stands now.
pub(crate) fn find(conn: &Connection, number: MutationNumber) -> Result<Option<Kept>> {
    let mut number = number;
    loop {
        if let Some(entry) = outbox::entry(conn, number)? {
            return Ok(Some(Kept::Waiting(entry)));
        }
        if let Some(ended) = get(conn, number)? {
            return Ok(Some(Kept::Ended(ended)));
        }
        let by: Option<i64> = conn
            .prepare_cached("SELECT by FROM _renumbered WHERE low <= ?1 AND high >= ?1")
            .and_then(|mut s| s.query_row([number_out(number)], |row| row.get(0)).optional())
            .map_err(failure)?;
        // Numbers only grow, so this ends.
        match by.and_then(|by| u64::try_from(by).ok()).filter(|by| *by > 0) {
            Some(by) => number = MutationNumber(number.0 + by),
            None => return Ok(None),
        }
    }
}
