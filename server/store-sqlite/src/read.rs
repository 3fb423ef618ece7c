//! Answers, and pages of the change feed, each on one snapshot.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value as Json;
use tombolo_core::id::{Epoch, FieldId, ModelId, MutationNumber, Position};
use tombolo_core::query::{self, Answer, Bound, RunStatement, Statement, Supplied};
use tombolo_core::record::{Key, Meta, Record};
use tombolo_core::schema::{Model, Schema};
use tombolo_core::value::{Row, Value};
use tombolo_core::wire::batch::{LandedMutation, write_row};
use tombolo_engine::{ChangePage, Head, PageRequest, RecordsPage, StoreError, limits};

use crate::error::store_error;
use crate::open::{DELETED, Db};
use crate::tables::{Bind, SqlRow, quoted, stored};
use crate::write::meta;

/// Runs an operation's statements.
struct Runner<'a>(&'a Connection);

impl RunStatement for Runner<'_> {
    type Error = rusqlite::Error;

    fn run(&mut self, statement: &Statement, give: &mut dyn FnMut(&dyn Row) -> bool) -> rusqlite::Result<()> {
        each(self.0, statement, |row| give(&SqlRow(row)))
    }
}

/// Gives each row of `statement` until `give` says that it has enough.
fn each(
    conn: &Connection,
    statement: &Statement,
    mut give: impl FnMut(&rusqlite::Row<'_>) -> bool,
) -> rusqlite::Result<()> {
    let mut prepared = conn.prepare_cached(&statement.sql)?;
    let params = statement.params.iter().map(|value| Bind(value.as_ref()));
    let mut rows = prepared.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        if !give(row) {
            break;
        }
    }
    Ok(())
}

/// Answers `bound`.
pub(crate) fn answer(db: &mut Db, bound: &Bound, supplied: Vec<(usize, Supplied)>) -> Result<Answer, StoreError> {
    let run = || {
        let tx = db.conn.unchecked_transaction()?;
        let mut execution = bound.execute();
        for (root, with) in supplied {
            execution.supply(root, with);
        }
        query::answer(execution, &mut Runner(&tx))
    };
    run().map_err(store_error)
}

/// Reads the head.
pub(crate) fn head(db: &mut Db) -> Result<Head, StoreError> {
    db.conn
        .unchecked_transaction()
        .and_then(|tx| read_head(&tx))
        .map_err(store_error)
}

pub(crate) fn read_head(conn: &Connection) -> rusqlite::Result<Head> {
    let epoch = conn
        .prepare_cached("SELECT value FROM _meta WHERE key = 'epoch'")?
        .query_row((), |row| row.get(0))?;
    Ok(Head {
        epoch: Epoch(epoch),
        position: Position(meta(conn, "position")?),
        low_watermark: Position(meta(conn, "low_watermark")?),
    })
}

/// Reads one page of a scope's changes.
pub(crate) fn changes(db: &mut Db, page: &PageRequest) -> Result<ChangePage, StoreError> {
    let schema = &db.schema;
    let run = || {
        let tx = db.conn.unchecked_transaction()?;
        let head = read_head(&tx)?;
        let after = page.after.unwrap_or_default();
        // Departures first: if there are too many, the page ends at the last one taken.
        let (departed, upper) = departed(&tx, schema, page, head.position)?;
        let (rows, count, position) = rows(&tx, &schema[page.model], page, after, upper)?;
        let (left, left_count) = left(&tx, &schema[page.model], page, departed, position)?;
        Ok(ChangePage {
            head,
            position,
            rows,
            count,
            left,
            left_count,
            principal: match &page.replica {
                Some(replica) => tx
                    .prepare_cached("SELECT principal FROM _replicas WHERE replica = ?1")?
                    .query_row([&replica.0], |row| row.get(0))
                    .optional()?
                    .flatten(),
                None => None,
            },
            landed: landed(&tx, schema, page, position)?,
        })
    };
    run().map_err(store_error)
}

/// Reads the records that changed after `after`.
pub(crate) fn records(db: &mut Db, model: ModelId, after: Position, max: usize) -> Result<RecordsPage, StoreError> {
    let run = || {
        let tx = db.conn.unchecked_transaction()?;
        let head = read_head(&tx)?;
        let of = &db.schema[model];
        let mut query = tx.prepare_cached(&db.tables.of(model).after)?;
        // One more than asked for tells whether there are more.
        let most = i64::try_from(max).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows = query.query((after.0, most))?;
        let (mut records, mut bytes, mut more) = (Vec::new(), 0, false);
        while let Some(row) = rows.next()? {
            if records.len() == max || bytes >= limits::MISSED_BYTES {
                more = true;
                break;
            }
            let record = stored(of, &SqlRow(row));
            bytes += record.record.values.iter().map(text_bytes).sum::<usize>();
            records.push(record);
        }
        Ok(RecordsPage { head, records, more })
    };
    run().map_err(store_error)
}

/// What a value has of text, in bytes.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) | Value::Json(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    }
}

/// The rows after `after` and up to `upper`, and up to where they are all.
fn rows(
    conn: &Connection,
    model: &Model,
    page: &PageRequest,
    after: Position,
    upper: Position,
) -> rusqlite::Result<(Vec<u8>, usize, Position)> {
    let mut params = vec![Value::Int(after.0), Value::Int(upper.0)];
    let mut column = |field: &FieldId| {
        let name = quoted(&model.field_at(*field).name);
        match page.masks.iter().find(|(of, _)| of == field) {
            Some((_, rule)) => format!("CASE WHEN {} THEN t.{name} END", rule.sql(model, "t", &mut params)),
            None => format!("t.{name}"),
        }
    };
    let columns: Vec<String> = page.fields.iter().map(&mut column).collect();
    let filter = page.filter.as_ref().map(|filter| filter.sql(model, "t", &mut params));
    // NOT INDEXED: the table is in feed order, so a whole sync is one pass over it; by an index on a filtered field each
    // page would sort all of the scope again.
    let sql = format!(
        "SELECT {}{}t._version, t._deleted, t._lastChangedAt, t._position FROM {} AS t NOT INDEXED \
         WHERE t._position > ?1 AND t._position <= ?2{}{} ORDER BY t._position",
        columns.join(", "),
        if columns.is_empty() { "" } else { ", " },
        quoted(&model.name),
        if filter.is_some() { " AND " } else { "" },
        filter.as_deref().unwrap_or_default(),
    );
    let (mut out, mut count, mut position) = (vec![b'['], 0, after);
    let mut more = false;
    each(conn, &Statement { sql, params }, |row| {
        if count >= page.rows_max || out.len() >= page.bytes_max {
            more = true;
            return false;
        }
        if count > 0 {
            out.push(b',');
        }
        write_row(model, &page.fields, &SqlRow(row), &mut out);
        position = Position(row.get(page.fields.len() + 3).unwrap_or(position.0));
        count += 1;
        true
    })?;
    out.push(b']');
    Ok((out, count, if more { position } else { upper.max(after) }))
}

/// Departures of the page's model after its cursor, whose image matched the filter; and the position up to which they
/// are all.
#[allow(clippy::type_complexity, reason = "a list and a bound, used once")]
fn departed(
    conn: &Connection,
    schema: &Schema,
    page: &PageRequest,
    head: Position,
) -> rusqlite::Result<(Vec<(Position, String)>, Position)> {
    let (Some(after), Some(filter)) = (page.after, &page.filter) else {
        return Ok((Vec::new(), head));
    };
    let model = &schema[page.model];
    let mut query = conn.prepare_cached(
        "SELECT position, key, before FROM _departures WHERE model = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
    )?;
    let most = i64::try_from(limits::FEED_DEPARTURES_MAX).unwrap_or(i64::MAX);
    let mut rows = query.query((&model.name, after.0, most))?;
    let (mut departed, mut looked_at, mut last) = (Vec::new(), 0, head);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        last = Position(row.get(0)?);
        let before: String = row.get(2)?;
        if filter.matches(model, &record(schema, model, &before)) {
            departed.push((last, row.get(1)?));
        }
    }
    Ok((
        departed,
        if looked_at == limits::FEED_DEPARTURES_MAX {
            last
        } else {
            head
        },
    ))
}

/// The mutations of the page's replica that took effect in the page, of those that it has not settled, so they are few.
fn landed(
    conn: &Connection,
    schema: &Schema,
    page: &PageRequest,
    through: Position,
) -> rusqlite::Result<Vec<LandedMutation>> {
    let Some(replica) = &page.replica else {
        return Ok(Vec::new());
    };
    let after = page.after.unwrap_or_default();
    let most = i64::try_from(limits::FEED_LANDED_MAX).unwrap_or(i64::MAX);
    conn.prepare_cached(
        "SELECT number, position FROM _outcomes
         WHERE replica = ?1 AND number > coalesce((SELECT settled_through FROM _replicas WHERE replica = ?1), 0)
           AND kind IN (0, 1) AND model = ?2 AND position > ?3 AND position <= ?4
         ORDER BY position LIMIT ?5",
    )?
    .query_map(
        (&replica.0, &schema[page.model].name, after.0, through.0, most),
        |row| {
            Ok(LandedMutation {
                number: MutationNumber(row.get::<_, i64>(0)?.cast_unsigned()),
                position: Position(row.get(1)?),
            })
        },
    )?
    .collect()
}

/// The record in a departure's image.
fn record(schema: &Schema, model: &Model, image: &str) -> Record {
    let image: Json = serde_json::from_str(image).unwrap_or_default();
    let value = |field: &tombolo_core::schema::Field| match image.get(&field.name) {
        // A value that the schema no longer takes counts as absent.
        Some(json) => field.ty.parse_json(schema, json).unwrap_or(Value::Null),
        None => Value::Null,
    };
    let deleted = image.get(DELETED).is_some();
    Record {
        values: model.fields.iter().map(value).collect(),
        meta: Meta {
            deleted,
            ..Meta::default()
        },
    }
}

/// The keys of `departed`, up to `through`, that are not in the scope now.
fn left(
    conn: &Connection,
    model: &Model,
    page: &PageRequest,
    departed: Vec<(Position, String)>,
    through: Position,
) -> rusqlite::Result<(Vec<u8>, usize)> {
    let Some(filter) = &page.filter else {
        return Ok((b"[]".to_vec(), 0));
    };
    let keys: BTreeSet<String> = departed
        .into_iter()
        .filter(|(position, _)| *position <= through)
        .map(|(_, key)| key)
        .collect();
    let (mut out, mut count) = (vec![b'['], 0);
    for text in keys {
        let Some(key) = Key::from_text(model, &text) else {
            continue;
        };
        let mut params = key.0;
        let is = model.key.iter().enumerate();
        let is: Vec<String> = is
            .map(|(place, field)| format!("t.{} = ?{}", quoted(&model.field_at(*field).name), place + 1))
            .collect();
        let filter = filter.sql(model, "t", &mut params);
        let sql = format!(
            "SELECT 1 FROM {} AS t WHERE {} AND ({filter})",
            quoted(&model.name),
            is.join(" AND ")
        );
        let mut inside = false;
        each(conn, &Statement { sql, params }, |_| {
            inside = true;
            false
        })?;
        if !inside {
            if count > 0 {
                out.push(b',');
            }
            out.extend_from_slice(text.as_bytes());
            count += 1;
        }
    }
    out.push(b']');
    Ok((out, count))
}
