//! The table of traces: written beside the outcomes, read in pages from the newest on, pruned by age and by count.

use std::sync::Arc;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value as Json;
use tombolo_core::id::{MutationId, MutationNumber, Position, ReplicaId};
use tombolo_core::schema::MutationKind;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_core::wire::trace::Trace;
use tombolo_engine::limits::TRACES_MAX;
use tombolo_engine::{KeptTrace, StoreError, TracePage, TraceRequest};

use crate::error::store_error;
use crate::open::Db;

/// The step that makes the table.
pub(crate) const STEP: &str = "
    -- What was merged and what was rejected, for people. outcome: 'merged' or 'rejected'; key, fields and payload: JSON.
    CREATE TABLE _traces (
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, replica TEXT, number INTEGER, author TEXT, model TEXT, key TEXT,
        kind TEXT, outcome TEXT NOT NULL, code TEXT, message TEXT, strategy TEXT, fields TEXT NOT NULL,
        payload TEXT NOT NULL, position INTEGER
    );
    CREATE INDEX _traces_at ON _traces (at_ms);
    CREATE INDEX _traces_of_replica ON _traces (replica, number) WHERE replica IS NOT NULL;
";

const COLUMNS: &str = "id, at_ms, replica, number, author, model, key, kind, outcome, code, message, strategy, fields, \
                       payload, position";

/// Writes `traces`, in order.
pub(crate) fn store(conn: &Connection, traces: &[Arc<Trace>]) -> rusqlite::Result<()> {
    if traces.is_empty() {
        return Ok(());
    }
    let mut put = conn.prepare_cached(
        "INSERT INTO _traces (at_ms, replica, number, author, model, key, kind, outcome, code, message, strategy, fields,
             payload, position)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for trace in traces {
        put.execute((
            trace.at,
            trace.replica.as_ref().map(|replica| replica.0.as_str()),
            trace.number.map(|number| i64::try_from(number.0).unwrap_or(i64::MAX)),
            trace.author.as_deref(),
            trace.model.as_deref(),
            trace.key.as_ref().and_then(|key| serde_json::to_string(key).ok()),
            trace.kind.as_ref().map(kind_name),
            outcome_name(trace.outcome),
            trace.code.as_ref().map(ToString::to_string),
            trace.message.as_deref(),
            trace.strategy.as_deref(),
            serde_json::to_string(&trace.fields).unwrap_or_default(),
            serde_json::to_string(&trace.payload).unwrap_or_default(),
            trace.position.map(|position| position.0),
        ))?;
    }
    Ok(())
}

/// The trace of a mutation, if it left one that is still kept.
pub(crate) fn of(conn: &Connection, id: &MutationId) -> rusqlite::Result<Option<Trace>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM _traces WHERE replica = ?1 AND number = ?2 ORDER BY id DESC LIMIT 1"
    ))?
    .query_row((&id.replica.0, i64::try_from(id.number.0).unwrap_or(i64::MAX)), |row| {
        read(row)
    })
    .optional()
}

/// One page, the newest first.
pub(crate) fn page(db: &mut Db, request: &TraceRequest) -> Result<TracePage, StoreError> {
    let run = || -> rusqlite::Result<TracePage> {
        let (sql, params) = statement(request);
        let mut query = db.conn.prepare_cached(&sql)?;
        let mut rows = query.query(rusqlite::params_from_iter(params))?;
        let mut page = TracePage::default();
        while let Some(row) = rows.next()? {
            if page.traces.len() == request.limit {
                page.next = page.traces.last().map(|kept| kept.id);
                break;
            }
            page.traces.push(KeptTrace {
                id: row.get(0)?,
                trace: read(row)?,
            });
        }
        Ok(page)
    };
    run().map_err(store_error)
}

fn statement(request: &TraceRequest) -> (String, Vec<Sql>) {
    let mut params: Vec<Sql> = Vec::new();
    let mut wheres: Vec<String> = Vec::new();
    let mut bind = |value: Sql| {
        params.push(value);
        format!("?{}", params.len())
    };
    if let Some(readable) = &request.readable {
        let names = serde_json::Value::from(readable.models.iter().cloned().collect::<Vec<_>>()).to_string();
        let models = bind(Sql::Text(names));
        let own = match &readable.author {
            Some(author) => format!(" OR author = {}", bind(Sql::Text(author.clone()))),
            None => String::new(),
        };
        wheres.push(format!("(model IN (SELECT value FROM json_each({models})){own})"));
    }
    for (column, value) in [
        ("model", request.model.as_ref()),
        ("replica", request.replica.as_ref().map(|replica| &replica.0)),
    ] {
        if let Some(value) = value {
            wheres.push(format!("{column} = {}", bind(Sql::Text(value.clone()))));
        }
    }
    if let Some(outcome) = request.outcome {
        wheres.push(format!(
            "outcome = {}",
            bind(Sql::Text(outcome_name(outcome).to_owned()))
        ));
    }
    if let Some(before) = request.before {
        wheres.push(format!("id < {}", bind(Sql::Integer(before))));
    }
    // One more than asked for tells whether there is a next page.
    let limit = bind(Sql::Integer(
        i64::try_from(request.limit).unwrap_or(i64::MAX).saturating_add(1),
    ));
    let wheres = match wheres.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", wheres.join(" AND ")),
    };
    (
        format!("SELECT {COLUMNS} FROM _traces{wheres} ORDER BY id DESC LIMIT {limit}"),
        params,
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<Trace> {
    let text = |column: usize| row.get::<_, Option<String>>(column);
    let parsed = |column: usize| -> rusqlite::Result<Option<Json>> {
        Ok(text(column)?.and_then(|text| serde_json::from_str(&text).ok()))
    };
    let outcome = match text(8)?.as_deref() {
        Some("merged") => OutcomeKind::Merged,
        _ => OutcomeKind::Rejected,
    };
    let kind: Option<MutationKind> = text(7)?.and_then(|name| serde_json::from_value(Json::String(name)).ok());
    let code: Option<ErrorType> =
        text(9)?.map(|name| serde_json::from_value(Json::String(name.clone())).unwrap_or(ErrorType::Other(name)));
    Ok(Trace {
        at: row.get(1)?,
        replica: text(2)?.map(ReplicaId),
        number: row
            .get::<_, Option<i64>>(3)?
            .map(|number| MutationNumber(u64::try_from(number).unwrap_or_default())),
        author: text(4)?,
        model: text(5)?,
        key: parsed(6)?.and_then(|key| serde_json::from_value(key).ok()),
        kind,
        outcome,
        code,
        message: text(10)?,
        strategy: text(11)?,
        fields: parsed(12)?
            .and_then(|fields| serde_json::from_value(fields).ok())
            .unwrap_or_default(),
        payload: parsed(13)?
            .and_then(|payload| serde_json::from_value(payload).ok())
            .unwrap_or_default(),
        position: row.get::<_, Option<i64>>(14)?.map(Position),
    })
}

/// Deletes traces up to the one with the id `through`, and the oldest ones beyond [`TRACES_MAX`]; at most `max_rows` of them, the
/// oldest first. Gives how many it deleted: with fewer than `max_rows` it is done.
///
/// # Errors
/// SQLite's.
pub fn prune(conn: &Connection, through: i64, max_rows: usize) -> rusqlite::Result<usize> {
    prune_to(conn, through, TRACES_MAX, max_rows)
}

/// Ids grow in the order of writing, and the newest row always stays, so that none is given twice: so the ids within reach of
/// the newest are as many as rows, or fewer.
fn prune_to(conn: &Connection, through: i64, keep: usize, max_rows: usize) -> rusqlite::Result<usize> {
    // Two statements, each along an index: together they would look at every row.
    let old = conn
        .prepare_cached(
            "DELETE FROM _traces WHERE id IN (SELECT id FROM _traces WHERE id <= ?1 AND id < (SELECT max(id) FROM _traces)
             ORDER BY id LIMIT ?2)",
        )?
        .execute((through, signed(max_rows)))?;
    let beyond = conn
        .prepare_cached(
            "DELETE FROM _traces WHERE id IN (
                 SELECT id FROM _traces WHERE id <= (SELECT max(id) FROM _traces) - ?1 ORDER BY id LIMIT ?2)",
        )?
        .execute((signed(keep), signed(max_rows - old.min(max_rows))))?;
    Ok(old + beyond)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn outcome_name(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Applied => "applied",
        OutcomeKind::Merged => "merged",
        OutcomeKind::Rejected => "rejected",
    }
}

fn kind_name(kind: &MutationKind) -> &'static str {
    match kind {
        MutationKind::Create => "create",
        MutationKind::Update => "update",
        MutationKind::Delete => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(times: &[i64]) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(STEP).unwrap();
        for at in times {
            conn.execute(
                "INSERT INTO _traces (at_ms, outcome, fields, payload) VALUES (?1, 'rejected', '[]', '{}')",
                [at],
            )
            .unwrap();
        }
        conn
    }

    fn left(conn: &Connection) -> Vec<i64> {
        let mut query = conn.prepare("SELECT at_ms FROM _traces ORDER BY id").unwrap();
        query
            .query_map((), |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn traces_older_than_their_life_go_and_the_others_stay() {
        let conn = table(&[1, 2, 3, 4, 5]);
        assert_eq!(prune(&conn, 3, 100).unwrap(), 3);
        assert_eq!(left(&conn), [4, 5]);
        assert_eq!(prune(&conn, 3, 100).unwrap(), 0);
    }

    #[test]
    fn one_call_deletes_no_more_than_it_may_the_oldest_first() {
        let conn = table(&[1, 2, 3, 4, 5]);
        assert_eq!(prune(&conn, 100, 2).unwrap(), 2);
        assert_eq!(left(&conn), [3, 4, 5]);
    }

    #[test]
    fn no_more_are_kept_than_there_may_be_however_young() {
        let conn = table(&[7; 5]);
        assert_eq!(prune_to(&conn, 0, 3, 100).unwrap(), 2);
        assert_eq!(left(&conn).len(), 3);
        // Ids go on growing after it.
        conn.execute_batch("INSERT INTO _traces (at_ms, outcome, fields, payload) VALUES (8, 'merged', '[]', '{}')")
            .unwrap();
        assert_eq!(prune_to(&conn, 0, 3, 100).unwrap(), 1);
        assert_eq!(left(&conn), [7, 7, 8]);
    }
}
