//! The outbox and the scopes as rows.

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde_json::{Map, Value as Json, json};
use tombolo_core::id::{Cursor, Epoch, MutationId, MutationNumber, Position, ReplicaId, Version};
use tombolo_core::schema::MutationKind;
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;
use tombolo_machine::{EntryState, Imported, Intent, OutboxCounts, OutboxEntry, ScopeRow, StoreError};

use crate::error::failure;

const COLUMNS: &str = "number, first, atomic, model, key, kind, field_values, base_version, condition, state, outcome, epoch, \
                       position, reason, depends_on, seen, author, schema, created_at_ms, tries, operations, replica, \
                       replaces, conflict, base_values, in_base, moved_from, imported";

// States as numbers; the indexes of the table know them.
const QUEUED: i64 = 0;
const IN_FLIGHT: i64 = 1;
const ACKED: i64 = 2;
const REJECTED: i64 = 3;
const WEDGED: i64 = 4;
const GIVEN_UP: i64 = 5;

type Result<T> = std::result::Result<T, StoreError>;

pub(crate) fn number_out(number: MutationNumber) -> i64 {
    i64::try_from(number.0).unwrap_or(i64::MAX)
}

pub(crate) fn number_in(number: i64) -> MutationNumber {
    MutationNumber(u64::try_from(number).unwrap_or(0))
}

fn numbers_out(numbers: &[MutationNumber]) -> Option<String> {
    (!numbers.is_empty()).then(|| Json::from(numbers.iter().map(|n| n.0).collect::<Vec<_>>()).to_string())
}

fn numbers_in(text: Option<String>) -> Vec<MutationNumber> {
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

fn names_out(names: &[MutationId]) -> Option<String> {
    let pairs = || names.iter().map(|name| json!([name.replica.0, name.number.0]));
    (!names.is_empty()).then(|| Json::from_iter(pairs()).to_string())
}

fn names_in(text: Option<String>) -> Vec<MutationId> {
    let pairs: Vec<(ReplicaId, MutationNumber)> = text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let name = |(replica, number)| MutationId { replica, number };
    pairs.into_iter().map(name).collect()
}

fn imported_out(imported: Option<Imported>) -> i64 {
    match imported {
        None => 0,
        Some(Imported::Unsent) => 1,
        Some(Imported::MaySent) => 2,
    }
}

fn imported_in(number: i64) -> Option<Imported> {
    match number {
        0 => None,
        1 => Some(Imported::Unsent),
        _ => Some(Imported::MaySent),
    }
}

/// How many entries were taken over from another client's queue and are still here: not settled, or refused and not taken
/// note of.
pub(crate) fn imported(conn: &Connection) -> Result<u64> {
    conn.prepare_cached("SELECT count(*) FROM _outbox WHERE imported <> 0")
        .and_then(|mut s| s.query_row([], |row| row.get::<_, i64>(0)))
        .map(|count| u64::try_from(count).unwrap_or(0))
        .map_err(failure)
}

/// The columns that say where an entry stands.
struct StateColumns {
    state: i64,
    outcome: Option<&'static str>,
    epoch: Option<String>,
    position: Option<i64>,
    reason: Option<String>,
}

impl StateColumns {
    fn of(entry: &OutboxEntry) -> Self {
        let landed = entry.landed.as_ref();
        let mut columns = Self {
            state: QUEUED,
            outcome: None,
            epoch: landed.map(|at| at.epoch.0.clone()),
            position: landed.map(|at| at.position.0),
            reason: None,
        };
        columns.state = match &entry.state {
            EntryState::Queued => QUEUED,
            EntryState::InFlight => IN_FLIGHT,
            EntryState::Acked { outcome, cursor } => {
                columns.outcome = Some(match outcome {
                    OutcomeKind::Merged => "merged",
                    OutcomeKind::Applied | OutcomeKind::Rejected => "applied",
                });
                columns.epoch = cursor.as_ref().map(|c| c.epoch.0.clone());
                columns.position = cursor.as_ref().map(|c| c.position.0);
                ACKED
            }
            EntryState::Rejected(why) => {
                columns.reason = serde_json::to_string(why).ok();
                REJECTED
            }
            EntryState::Wedged { reason } => {
                columns.reason = Some(reason.clone());
                WEDGED
            }
            EntryState::GivenUp => GIVEN_UP,
        };
        columns
    }
}

pub(crate) fn kind_out(kind: MutationKind) -> &'static str {
    match kind {
        MutationKind::Create => "create",
        MutationKind::Update => "update",
        MutationKind::Delete => "delete",
    }
}

pub(crate) fn kind_in(kind: &str) -> MutationKind {
    match kind {
        "create" => MutationKind::Create,
        "delete" => MutationKind::Delete,
        _ => MutationKind::Update,
    }
}

/// The lowest number that an entry is or was, depends on or has seen: the server is to keep the outcomes from there on.
fn needs(entry: &OutboxEntry) -> MutationNumber {
    let links = entry.depends_on.iter().chain(&entry.seen);
    let names = entry.moved_from.iter().map(|name| &name.number);
    links
        .chain(names)
        .copied()
        .min()
        .map_or(entry.number, |link| link.min(entry.number))
}

/// The lowest number that it depends on.
fn waits(entry: &OutboxEntry) -> Option<i64> {
    entry.depends_on.iter().min().copied().map(number_out)
}

pub(crate) fn put(conn: &Connection, entry: &OutboxEntry) -> Result<()> {
    let intent = &entry.intent;
    let at = StateColumns::of(entry);
    let operations = (!intent.operations.is_empty()).then(|| Json::Object(intent.operations.clone()).to_string());
    let base = (!intent.base.is_empty()).then(|| Json::Object(intent.base.clone()).to_string());
    let values: [&dyn ToSql; 30] = [
        &number_out(entry.number),
        &number_out(entry.first),
        &entry.atomic,
        &intent.model,
        &intent.key_text(),
        &kind_out(intent.kind),
        &Json::Object(intent.values.clone()).to_string(),
        &intent.base_version.map(|v| v.0),
        &intent.condition.as_ref().map(Json::to_string),
        &at.state,
        &at.outcome,
        &at.epoch,
        &at.position,
        &at.reason,
        &numbers_out(&entry.depends_on),
        &numbers_out(&entry.seen),
        &entry.author,
        &entry.schema,
        &entry.created_at_ms,
        &i64::from(entry.tries),
        &operations,
        &entry.replica.as_ref().map(|replica| replica.0.as_str()),
        &entry.replaces.map(number_out),
        &entry.conflict.as_ref().map(Json::to_string),
        &base,
        &entry.in_base,
        &names_out(&entry.moved_from),
        &imported_out(entry.imported),
        &number_out(needs(entry)),
        &waits(entry),
    ];
    let places: Vec<String> = (1..=values.len()).map(|at| format!("?{at}")).collect();
    conn.prepare_cached(&format!(
        "INSERT OR REPLACE INTO _outbox ({COLUMNS}, needs, waits) VALUES ({})",
        places.join(",")
    ))
    .and_then(|mut s| s.execute(values))
    .map_err(failure)?;
    Ok(())
}

/// Where an entry stands changes several times, what the user meant does not: its payload is not written again.
pub(crate) fn set_state(conn: &Connection, entry: &OutboxEntry) -> Result<()> {
    let at = StateColumns::of(entry);
    conn.prepare_cached(
        "UPDATE _outbox SET state = ?2, outcome = ?3, epoch = ?4, position = ?5, reason = ?6, tries = ?7, conflict = ?8, \
         replica = ?9, in_base = ?10 WHERE number = ?1",
    )
    .and_then(|mut s| {
        s.execute(params![
            number_out(entry.number),
            at.state,
            at.outcome,
            at.epoch,
            at.position,
            at.reason,
            i64::from(entry.tries),
            entry.conflict.as_ref().map(Json::to_string),
            entry.replica.as_ref().map(|replica| replica.0.as_str()),
            entry.in_base,
        ])
    })
    .map_err(failure)?;
    Ok(())
}

pub(crate) fn set_links(conn: &Connection, entry: &OutboxEntry) -> Result<()> {
    conn.prepare_cached("UPDATE _outbox SET depends_on = ?2, seen = ?3, needs = ?4, waits = ?5 WHERE number = ?1")
        .and_then(|mut s| {
            s.execute(params![
                number_out(entry.number),
                numbers_out(&entry.depends_on),
                numbers_out(&entry.seen),
                number_out(needs(entry)),
                waits(entry),
            ])
        })
        .map_err(failure)?;
    Ok(())
}

/// An intent of which nothing but its record is known.
pub(crate) fn bare_intent(model: String, kind: MutationKind, key: &str) -> Intent {
    Intent {
        model,
        kind,
        key: serde_json::from_str(key).unwrap_or_default(),
        values: Map::new(),
        operations: Map::new(),
        base: Map::new(),
        base_version: None,
        condition: None,
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<OutboxEntry> {
    let reason: Option<String> = row.get(13)?;
    let (epoch, position): (Option<String>, Option<i64>) = (row.get(11)?, row.get(12)?);
    let at = epoch.zip(position).map(|(epoch, position)| Cursor {
        epoch: Epoch(epoch),
        position: Position(position),
    });
    let state = match row.get::<_, i64>(9)? {
        QUEUED => EntryState::Queued,
        ACKED => {
            let merged = row.get::<_, Option<String>>(10)?.as_deref() == Some("merged");
            EntryState::Acked {
                outcome: if merged {
                    OutcomeKind::Merged
                } else {
                    OutcomeKind::Applied
                },
                cursor: at.clone(),
            }
        }
        REJECTED => EntryState::Rejected(
            reason
                .as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or(RejectReason {
                    code: ErrorType::BadRequest,
                    message: "the reason cannot be read".to_owned(),
                }),
        ),
        WEDGED => EntryState::Wedged {
            reason: reason.unwrap_or_default(),
        },
        GIVEN_UP => EntryState::GivenUp,
        // Sent, as far as anyone knows: resending is always safe.
        _ => EntryState::InFlight,
    };
    let kind = kind_in(&row.get::<_, String>(5)?);
    Ok(OutboxEntry {
        number: number_in(row.get(0)?),
        first: number_in(row.get(1)?),
        atomic: row.get(2)?,
        intent: Intent {
            model: row.get(3)?,
            kind,
            key: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
            values: serde_json::from_str(&row.get::<_, String>(6)?).unwrap_or_default(),
            operations: row
                .get::<_, Option<String>>(20)?
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            base: row
                .get::<_, Option<String>>(24)?
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            base_version: row.get::<_, Option<i64>>(7)?.map(Version),
            condition: row
                .get::<_, Option<String>>(8)?
                .and_then(|text| serde_json::from_str(&text).ok()),
        },
        landed: at.filter(|_| !matches!(state, EntryState::Acked { .. })),
        in_base: row.get(25)?,
        state,
        depends_on: numbers_in(row.get(14)?),
        seen: numbers_in(row.get(15)?),
        author: row.get(16)?,
        schema: row.get(17)?,
        created_at_ms: row.get(18)?,
        tries: u32::try_from(row.get::<_, i64>(19)?).unwrap_or(u32::MAX),
        replica: row.get::<_, Option<String>>(21)?.map(ReplicaId),
        replaces: row.get::<_, Option<i64>>(22)?.map(number_in),
        moved_from: names_in(row.get(26)?),
        imported: imported_in(row.get(27)?),
        conflict: row
            .get::<_, Option<String>>(23)?
            .and_then(|text| serde_json::from_str(&text).ok()),
    })
}

pub(crate) fn select(conn: &Connection, rest: &str, params: &[&dyn ToSql]) -> Result<Vec<OutboxEntry>> {
    let mut statement = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM _outbox {rest}"))
        .map_err(failure)?;
    statement
        .query_map(params, read)
        .and_then(Iterator::collect)
        .map_err(failure)
}

fn numbers(conn: &Connection, sql: &str, params: &[&dyn ToSql]) -> Result<Vec<MutationNumber>> {
    let mut statement = conn.prepare_cached(sql).map_err(failure)?;
    statement
        .query_map(params, |row| row.get(0).map(number_in))
        .and_then(Iterator::collect)
        .map_err(failure)
}

pub(crate) fn list(conn: &Connection, after: u64, limit: usize) -> Result<Vec<OutboxEntry>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    select(
        conn,
        "WHERE number > ?1 ORDER BY number LIMIT ?2",
        &[&number_out(MutationNumber(after)), &limit],
    )
}

pub(crate) fn entry(conn: &Connection, number: MutationNumber) -> Result<Option<OutboxEntry>> {
    Ok(select(conn, "WHERE number = ?1", &[&number_out(number)])?.pop())
}

pub(crate) fn group(conn: &Connection, first: MutationNumber) -> Result<Vec<OutboxEntry>> {
    let first = number_out(first);
    let alone = select(conn, "WHERE number = ?1 AND atomic = 0", &[&first])?;
    if alone.is_empty() {
        select(conn, "WHERE first = ?1 AND atomic = 1 ORDER BY number", &[&first])
    } else {
        Ok(alone)
    }
}

pub(crate) fn of_record(conn: &Connection, model: &str, key: &str) -> Result<Vec<OutboxEntry>> {
    select(conn, "WHERE model = ?1 AND key = ?2 ORDER BY number", &[&model, &key])
}

pub(crate) fn sendable(conn: &Connection, author: Option<&str>, limit: usize) -> Result<Vec<MutationNumber>> {
    numbers(
        conn,
        "SELECT number FROM _outbox AS o WHERE state = 0 AND number = first AND (author IS NULL OR author = ?2) AND (depends_on IS NULL OR NOT EXISTS ( \
           SELECT 1 FROM json_each(o.depends_on) AS d JOIN _outbox AS p ON p.number = d.value WHERE p.state IN (0, 1, 4, 5))) \
         ORDER BY number LIMIT ?1",
        &[&i64::try_from(limit).unwrap_or(i64::MAX), &author],
    )
}

pub(crate) fn in_flight(conn: &Connection) -> Result<Vec<MutationNumber>> {
    numbers(
        conn,
        "SELECT first FROM _outbox WHERE state = 1 UNION SELECT first FROM _outbox WHERE state = 5 ORDER BY first",
        &[],
    )
}

pub(crate) fn acked(
    conn: &Connection,
    model: &str,
    epoch: &str,
    through: Position,
    others: bool,
) -> Result<Vec<OutboxEntry>> {
    select(
        conn,
        "WHERE state = 2 AND model = ?1 AND ((epoch = ?2 AND position <= ?3) OR (?4 AND epoch IS NOT ?2)) ORDER BY number",
        &[&model, &epoch, &through.0, &others],
    )
}

pub(crate) fn dependents(conn: &Connection, number: MutationNumber) -> Result<Vec<OutboxEntry>> {
    select(
        conn,
        // By `needs`, of which few are lower than a number just decided; by number it would be the whole rest of the outbox.
        "AS o INDEXED BY _outbox_needs WHERE needs <= ?1 AND state <> 3 AND number > ?1 AND state IN (0, 1, 4) AND ( \
           EXISTS (SELECT 1 FROM json_each(o.depends_on) AS d WHERE d.value = ?1) \
           OR EXISTS (SELECT 1 FROM json_each(o.seen) AS s WHERE s.value = ?1)) ORDER BY +number",
        &[&number_out(number)],
    )
}

pub(crate) fn waiting_for(conn: &Connection, number: MutationNumber) -> Result<Vec<OutboxEntry>> {
    select(
        conn,
        "AS o INDEXED BY _outbox_waits WHERE waits <= ?1 AND number > ?1 AND state IN (0, 1, 4) \
         AND EXISTS (SELECT 1 FROM json_each(o.depends_on) AS d WHERE d.value = ?1) ORDER BY +number",
        &[&number_out(number)],
    )
}

pub(crate) fn queued_after(conn: &Connection, number: MutationNumber, replica: &ReplicaId) -> Result<Vec<OutboxEntry>> {
    select(
        conn,
        "WHERE state = 0 AND number > ?1 AND replica = ?2 ORDER BY number",
        &[&number_out(number), &replica.0],
    )
}

pub(crate) fn linked_after(conn: &Connection, number: MutationNumber) -> Result<Vec<OutboxEntry>> {
    select(
        conn,
        "WHERE number > ?1 AND depends_on IS NOT NULL ORDER BY number",
        &[&number_out(number)],
    )
}

pub(crate) fn keep_replica(conn: &Connection, replica: &ReplicaId) -> Result<()> {
    conn.execute("UPDATE _outbox SET replica = ?1 WHERE replica IS NULL", [&replica.0])
        .map_err(failure)?;
    Ok(())
}

pub(crate) fn remove(conn: &Connection, number: MutationNumber) -> Result<()> {
    conn.prepare_cached("DELETE FROM _outbox WHERE number = ?1")
        .and_then(|mut s| s.execute([number_out(number)]))
        .map_err(failure)?;
    Ok(())
}

pub(crate) fn counts(conn: &Connection) -> Result<OutboxCounts> {
    let mut counts = OutboxCounts::default();
    let mut statement = conn
        .prepare_cached("SELECT state, count(*) FROM _outbox GROUP BY state ORDER BY state")
        .map_err(failure)?;
    let mut rows = statement.query([]).map_err(failure)?;
    while let Some(row) = rows.next().map_err(failure)? {
        let (state, count): (i64, i64) = (row.get(0).map_err(failure)?, row.get(1).map_err(failure)?);
        let slot = match state {
            QUEUED => &mut counts.queued,
            ACKED => &mut counts.acked,
            REJECTED => &mut counts.rejected,
            WEDGED => &mut counts.wedged,
            GIVEN_UP => &mut counts.given_up,
            _ => &mut counts.in_flight,
        };
        *slot += u64::try_from(count).unwrap_or(0);
    }
    Ok(counts)
}

pub(crate) fn unsettled_keys(conn: &Connection, model: &str) -> Result<Vec<String>> {
    conn.prepare_cached("SELECT DISTINCT key FROM _outbox WHERE model = ?1 AND state NOT IN (3, 5) ORDER BY key")
        .and_then(|mut s| s.query_map([model], |row| row.get(0))?.collect())
        .map_err(failure)
}

pub(crate) fn oldest_needed(conn: &Connection) -> Result<Option<u64>> {
    let oldest: Option<i64> = conn
        .prepare_cached("SELECT min(needs) FROM _outbox WHERE state <> 3")
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(failure)?;
    Ok(oldest.map(|n| number_in(n).0))
}

pub(crate) fn meta_number(conn: &Connection, name: &str) -> Result<u64> {
    let found: Option<i64> = conn
        .prepare_cached("SELECT value FROM _meta WHERE name = ?1")
        .and_then(|mut s| s.query_row([name], |row| row.get(0)).optional())
        .map_err(failure)?;
    Ok(found.map_or(0, |n| number_in(n).0))
}

pub(crate) fn set_meta_number(conn: &Connection, name: &str, number: u64) -> Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO _meta (name, value) VALUES (?1, ?2)")
        .and_then(|mut s| s.execute(params![name, number_out(MutationNumber(number))]))
        .map_err(failure)?;
    Ok(())
}

pub(crate) fn take_dropped(conn: &Connection) -> Result<Vec<String>> {
    let text: Option<String> = conn
        .query_row("DELETE FROM _meta WHERE name = 'dropped' RETURNING value", [], |row| {
            row.get(0)
        })
        .optional()
        .map_err(failure)?;
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

pub(crate) fn scopes(conn: &Connection) -> Result<Vec<ScopeRow>> {
    conn.prepare_cached("SELECT model, filter, cursor, generation, base_sync, up_to_date FROM _scopes ORDER BY model")
        .and_then(|mut s| {
            s.query_map([], |row| {
                Ok(ScopeRow {
                    model: row.get(0)?,
                    filter: row
                        .get::<_, Option<String>>(1)?
                        .and_then(|text| serde_json::from_str(&text).ok()),
                    cursor: row.get(2)?,
                    generation: row.get(3)?,
                    base_sync: row.get(4)?,
                    up_to_date: row.get(5)?,
                })
            })?
            .collect()
        })
        .map_err(failure)
}

pub(crate) fn put_scope(conn: &Connection, scope: &ScopeRow) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO _scopes (model, filter, cursor, generation, base_sync, up_to_date) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut s| {
        s.execute(params![
            scope.model,
            scope.filter.as_ref().map(Json::to_string),
            scope.cursor,
            scope.generation,
            scope.base_sync,
            scope.up_to_date
        ])
    })
    .map_err(failure)?;
    Ok(())
}
