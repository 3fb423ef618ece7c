//! The one write transaction: load the facts, let the engine decide, write what was decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior};
use serde_json::Value as Json;
use tombolo_core::id::{ModelId, MutationId, Position, ReplicaId, Version};
use tombolo_core::query::FilterColumn;
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{Model, Schema};
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;
use tombolo_engine::decide::{self, Digest, Facts, Needs, StoredOutcome, Writes};
use tombolo_engine::{StoreError, Submission, Verdict};

use crate::Watched;
use crate::error::store_error;
use crate::open::{DELETED, Db};
use crate::tables::{self, Tables};
use crate::traces;
use crate::{ages, prune};

/// Decides and writes `batch`.
pub(crate) fn write(
    db: &mut Db,
    watched: &RwLock<Watched>,
    batch: &[Submission],
    now_ms: i64,
) -> Result<Vec<Verdict>, StoreError> {
    let Db { conn, schema, tables } = db;
    let watched = watched.read().unwrap_or_else(PoisonError::into_inner);
    let watched = watched
        .iter()
        .map(|(model, columns)| (*model, columns.keys().copied().collect()))
        .collect();
    let run = || -> rusqlite::Result<Vec<Verdict>> {
        // A transaction that is dropped, also by an error of its commit, is rolled back.
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let facts = load(&tx, schema, tables, batch, watched, now_ms)?;
        let before = (facts.head, facts.last_changed_at);
        let (verdicts, writes) = decide::decide(schema, facts, batch, now_ms);
        store(&tx, schema, tables, &writes, before)?;
        tx.commit()?;
        Ok(verdicts)
    };
    run().map_err(store_error)
}

fn load(
    conn: &Connection,
    schema: &Schema,
    tables: &Tables,
    batch: &[Submission],
    watched: BTreeMap<ModelId, BTreeSet<FilterColumn>>,
    now_ms: i64,
) -> rusqlite::Result<Facts> {
    let needs = Needs::of(batch);
    let mut facts = Facts {
        head: Position(meta(conn, "position")?),
        last_changed_at: meta(conn, "last_changed_at")?,
        watched,
        ..Facts::default()
    };
    let mut query = conn.prepare_cached(
        "SELECT kind, code, message, model, key, position, version, digest, digest_under, digest_request FROM _outcomes
         WHERE replica = ?1 AND number = ?2",
    )?;
    for id in needs.outcomes {
        let found = query
            .query_row((&id.replica.0, number(id.number.0)), |row| outcome(schema, row))
            .optional()?;
        if let Some(found) = found {
            facts.outcomes.insert(id, found);
        }
    }
    for id in Needs::own(batch) {
        let left_one = facts
            .outcomes
            .get(&id)
            .is_some_and(|outcome| outcome.kind != OutcomeKind::Applied);
        if left_one && let Some(trace) = traces::of(conn, &id)? {
            facts.traces.insert(id, Arc::new(trace));
        }
    }
    let mut query = conn.prepare_cached(
        "SELECT settled_through, lost_through, CASE stage WHEN 0 THEN last_seen_ms END, principal FROM _replicas
         WHERE replica = ?1",
    )?;
    let kept_ms = ages::now(conn, now_ms)?;
    for replica in &needs.replicas {
        let found = query
            .query_row([&replica.0], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, Option<i64>>(2)?,
                    row.get::<_, Option<String>>(3)?,
                ))
            })
            .optional()?;
        if let Some((settled, lost, last_seen_ms, principal)) = found {
            let through = |number: i64| u64::try_from(number).unwrap_or_default();
            facts.settled.insert(replica.clone(), through(settled));
            facts.lost.insert(replica.clone(), through(lost));
            // By the clock that the decision goes by; 0 says never.
            let seen_ms = last_seen_ms.map_or(0, |seen| now_ms.saturating_sub(kept_ms - seen).max(1));
            facts.last_seen_ms.insert(replica.clone(), seen_ms);
            facts
                .principals
                .extend(principal.map(|principal| (replica.clone(), principal)));
        }
    }
    for ((model, text), key) in Needs::rows(schema, batch, &facts.outcomes) {
        if let Some(found) = tables::load(conn, tables.of(model), &schema[model], &key)? {
            facts.rows.insert((model, text), found);
        }
    }
    Ok(facts)
}

pub(crate) fn meta(conn: &Connection, key: &str) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT value FROM _meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
}

/// SQLite's integers are signed; numbers beyond are refused before they come here.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn outcome(schema: &Schema, row: &Row<'_>) -> rusqlite::Result<StoredOutcome> {
    let kind = match row.get::<_, i64>(0)? {
        0 => OutcomeKind::Applied,
        1 => OutcomeKind::Merged,
        _ => OutcomeKind::Rejected,
    };
    let reason = match (row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(2)?) {
        (Some(code), message) => Some(RejectReason {
            code: error_type(code),
            message: message.unwrap_or_default(),
        }),
        (None, _) => None,
    };
    let about = match (row.get::<_, Option<String>>(3)?, row.get::<_, Option<String>>(4)?) {
        // A model that the schema no longer has: the outcome stands, the record cannot be shown.
        (Some(model), Some(key)) => schema
            .model_named(&model)
            .and_then(|model| Some((model, Key::from_text(&schema[model], &key)?))),
        _ => None,
    };
    let (position, version) = (Position(row.get(5)?), Version(row.get(6)?));
    let (of, request) = (row.get::<_, Option<i64>>(7)?, row.get::<_, Option<i64>>(9)?);
    let digest = row.get::<_, Option<i64>>(8)?.map(|under| Digest {
        under: under.cast_unsigned(),
        of: of.map(i64::cast_unsigned),
        request: request.map(i64::cast_unsigned),
    });
    Ok(StoredOutcome {
        kind,
        reason,
        row: about,
        position,
        version,
        digest,
    })
}

/// The code's name and back: as on the wire.
fn error_type(code: String) -> ErrorType {
    serde_json::from_value(Json::String(code.clone())).unwrap_or(ErrorType::Other(code))
}

fn store(
    conn: &Connection,
    schema: &Schema,
    tables: &Tables,
    writes: &Writes,
    before: (Position, i64),
) -> rusqlite::Result<()> {
    for row in &writes.rows {
        tables::write(conn, tables.of(row.model), &schema[row.model], row)?;
    }
    store_outcomes(conn, schema, &writes.outcomes)?;
    if !writes.departures.is_empty() {
        let mut put = conn.prepare_cached(
            "INSERT INTO _departures (position, model, key, before, at_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for departure in &writes.departures {
            let model = &schema[departure.model];
            let image = image(model, &departure.before);
            let at_ms = writes.last_changed_at;
            put.execute((departure.position.0, &model.name, departure.key.to_text(), image, at_ms))?;
        }
    }
    traces::store(conn, &writes.traces)?;
    for settled in &writes.settled {
        settle(conn, &settled.replica, settled.through, settled.forget_through)?;
    }
    if !writes.seen.is_empty() {
        let mut put = conn.prepare_cached(prune::SEEN)?;
        let kept_ms = ages::now(conn, writes.now_ms)?;
        for replica in &writes.seen {
            put.execute((&replica.0, kept_ms))?;
        }
    }
    for (replica, principal) in &writes.principals {
        belong(conn, replica, principal)?;
    }
    if (writes.head, writes.last_changed_at) != before {
        let mut put = conn.prepare_cached("UPDATE _meta SET value = ?2 WHERE key = ?1")?;
        put.execute(("position", writes.head.0))?;
        put.execute(("last_changed_at", writes.last_changed_at))?;
    }
    Ok(())
}

fn store_outcomes(
    conn: &Connection,
    schema: &Schema,
    outcomes: &[(MutationId, StoredOutcome)],
) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached(
        "INSERT INTO _outcomes (replica, number, kind, code, message, model, key, position, version, digest, digest_under,
           digest_request)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    for (id, outcome) in outcomes {
        let kind = match outcome.kind {
            OutcomeKind::Applied => 0,
            OutcomeKind::Merged => 1,
            OutcomeKind::Rejected => 2,
        };
        let row = outcome
            .row
            .as_ref()
            .map(|(model, key)| (schema[*model].name.as_str(), key.to_text()));
        put.execute((
            &id.replica.0,
            number(id.number.0),
            kind,
            outcome.reason.as_ref().map(|reason| reason.code.to_string()),
            outcome.reason.as_ref().map(|reason| reason.message.as_str()),
            row.as_ref().map(|(model, _)| *model),
            row.as_ref().map(|(_, key)| key.as_str()),
            outcome.position.0,
            outcome.version.0,
            outcome.digest.and_then(|digest| digest.of).map(u64::cast_signed),
            outcome.digest.map(|digest| digest.under.cast_signed()),
            outcome.digest.and_then(|digest| digest.request).map(u64::cast_signed),
        ))?;
    }
    Ok(())
}

/// Notes whose a replica is, once.
fn belong(conn: &Connection, replica: &ReplicaId, principal: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO _replicas (replica, settled_through, principal) VALUES (?1, 0, ?2)
         ON CONFLICT (replica) DO UPDATE SET principal = excluded.principal",
    )?
    .execute((&replica.0, principal))?;
    Ok(())
}

fn settle(conn: &Connection, replica: &ReplicaId, through: u64, forget_through: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO _replicas (replica, settled_through) VALUES (?1, ?2)
         ON CONFLICT (replica) DO UPDATE SET settled_through = excluded.settled_through",
    )?
    .execute((&replica.0, number(through)))?;
    if forget_through > 0 {
        conn.prepare_cached("DELETE FROM _outcomes WHERE replica = ?1 AND number <= ?2")?
            .execute((&replica.0, number(forget_through)))?;
    }
    Ok(())
}

/// A record's fields as a JSON object, absent ones left out; `_deleted` if it is a tombstone.
fn image(model: &Model, record: &Record) -> String {
    let present = model
        .fields
        .iter()
        .zip(&record.values)
        .filter(|(_, value)| !value.is_null());
    let mut image: serde_json::Map<String, Json> = present
        .map(|(field, value)| (field.name.clone(), value.to_json()))
        .collect();
    if record.meta.deleted {
        image.insert(DELETED.to_owned(), Json::Bool(true));
    }
    Json::Object(image).to_string()
}

/// Registers columns of `model` whose change is to leave a departure from now on.
pub(crate) fn watch(
    db: &mut Db,
    watched: &RwLock<Watched>,
    model: ModelId,
    columns: &BTreeSet<FilterColumn>,
) -> Result<Position, StoreError> {
    let Db { conn, schema, .. } = db;
    let definition = &schema[model];
    let mut run = || -> rusqlite::Result<BTreeMap<FilterColumn, Position>> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let head = meta(&tx, "position")?;
        let mut since = BTreeMap::new();
        for column in columns {
            let name = match column {
                FilterColumn::Field(field) => definition.field_at(*field).name.as_str(),
                FilterColumn::Deleted => DELETED,
            };
            tx.prepare_cached("INSERT OR IGNORE INTO _scope_fields (model, field, since) VALUES (?1, ?2, ?3)")?
                .execute((&definition.name, name, head))?;
            let position = tx
                .prepare_cached("SELECT since FROM _scope_fields WHERE model = ?1 AND field = ?2")?
                .query_row((&definition.name, name), |row| row.get(0))?;
            since.insert(*column, Position(position));
        }
        tx.commit()?;
        Ok(since)
    };
    let since = run().map_err(store_error)?;
    let newest = since.values().copied().max().unwrap_or_default();
    let mut watched = watched.write().unwrap_or_else(PoisonError::into_inner);
    watched.entry(model).or_default().extend(since);
    Ok(newest)
}
