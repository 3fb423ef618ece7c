//! What becomes of values when their field's type changes.

use rusqlite::types::ValueRef as SqlValue;
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value as Json;
use tombolo_core::schema::{Field, FieldType, Model, Schema, Storage};
use tombolo_core::value::Value;

use super::alter::path;
use crate::tables::{Bind, quoted};
use crate::write::meta;

/// The column that takes the values while their old one still stands.
const BESIDE: &str = "_converting";

/// Values that are read, made anew and written together; a table may be larger than memory.
const ROWS_AT_ONCE: usize = 1_000;

/// Gives every value of a field the field's type, from the type `old`. `lossy`: a value that does not fit is lost (a default
/// takes its place if the field is required), and the loss is a change of its record.
pub(super) fn convert(
    conn: &Connection,
    schema: &Schema,
    model: &Model,
    field: &Field,
    old: &FieldType,
    lossy: bool,
) -> rusqlite::Result<()> {
    let (table, column) = (quoted(&model.name), quoted(&field.name));
    let anew = old.storage().column_type() != field.ty.storage().column_type();
    let target = if anew { quoted(BESIDE) } else { column.clone() };
    if anew {
        let class = field.ty.storage().column_type();
        conn.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {target} {class}"))?;
    }
    let mut head = meta(conn, "position")?;
    let before = head;
    // Records that take a new place go behind this one and are not met again.
    let page = format!(
        "SELECT _position, {column} FROM {table} WHERE {column} IS NOT NULL AND _position > ?1 AND _position <= ?2
         ORDER BY _position LIMIT {ROWS_AT_ONCE}"
    );
    let keep = format!("UPDATE {table} SET {target} = ?2 WHERE _position = ?1");
    let change = format!(
        "UPDATE {table} SET {target} = ?2, _position = ?3, _version = _version + 1,
         _fieldVersions = json_set(coalesce(_fieldVersions, '{{}}'), ?4, _version + 1) WHERE _position = ?1"
    );
    let mut after = 0_i64;
    loop {
        let rows: Vec<(i64, Json)> = conn
            .prepare_cached(&page)?
            .query_map((after, before), |row| {
                Ok((row.get(0)?, json(old.storage(), row.get_ref(1)?)))
            })?
            .collect::<Result<_, _>>()?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (position, was) in rows {
            let (is, lost) = made(schema, field, &was);
            if lost && lossy {
                head += 1;
                conn.prepare_cached(&change)?
                    .execute((position, Bind(is.as_ref()), head, path(&field.name)))?;
            } else if anew || is.to_json() != was {
                conn.prepare_cached(&keep)?.execute((position, Bind(is.as_ref())))?;
            }
        }
    }
    if head != before {
        conn.execute("UPDATE _meta SET value = ?1 WHERE key = 'position'", [head])?;
        // No departures say which records have left a scope that looks at this field: replicas begin with a base sync.
        conn.execute(
            "UPDATE _meta SET value = ?1 WHERE key = 'low_watermark'
             AND EXISTS (SELECT 1 FROM _scope_fields WHERE model = ?2 AND field = ?3)",
            (head, &model.name, &field.name),
        )?;
    }
    if anew {
        conn.execute_batch(&format!(
            "ALTER TABLE {table} DROP COLUMN {column}; ALTER TABLE {table} RENAME COLUMN {target} TO {column}"
        ))?;
    }
    Ok(())
}

/// The value of the field's type that `was` becomes, and whether something of it is lost.
fn made(schema: &Schema, field: &Field, was: &Json) -> (Value, bool) {
    let ty = field.ty.with_required(false);
    if let Ok(value) = ty.fit(schema, was) {
        return (value, false);
    }
    if let (Some(_), Json::Array(items)) = (ty.list, was) {
        let fits = |item: &&Json| !item.is_null() && FieldType::single(ty.kind.clone()).fit(schema, item).is_ok();
        let kept = Json::Array(items.iter().filter(fits).cloned().collect());
        return (ty.fit(schema, &kept).unwrap_or(Value::Null), true);
    }
    let default = field.default.clone().filter(|_| field.ty.required);
    (default.unwrap_or(Value::Null), true)
}

/// A column's value as JSON. What was stored as text may be an embedded value of a type that is gone.
fn json(storage: Storage, value: SqlValue<'_>) -> Json {
    match value {
        SqlValue::Null | SqlValue::Blob(_) => Json::Null,
        SqlValue::Integer(int) if storage == Storage::Bool => Json::Bool(int != 0),
        SqlValue::Integer(int) => Json::from(int),
        SqlValue::Real(real) => Json::from(real),
        SqlValue::Text(text) => {
            let text = String::from_utf8_lossy(text);
            match storage {
                Storage::Json => serde_json::from_str(&text).unwrap_or(Json::Null),
                Storage::Bool | Storage::Int | Storage::Float | Storage::Text => Json::String(text.into_owned()),
            }
        }
    }
}

/// Values in use that the enum `name` does not have, in their order.
pub(super) fn beyond_the_enum(
    conn: &Connection,
    schema: &Schema,
    model: &Model,
    field: &Field,
    name: &str,
) -> rusqlite::Result<Vec<String>> {
    let (table, column) = (quoted(&model.name), quoted(&field.name));
    let from = if field.ty.list.is_some() {
        format!("SELECT j.value AS v FROM {table} AS t, json_each(t.{column}) AS j WHERE t.{column} IS NOT NULL")
    } else {
        format!("SELECT {column} AS v FROM {table}")
    };
    let known = schema.enums.get(name).cloned().unwrap_or_default();
    let sql = format!(
        "SELECT DISTINCT v FROM ({from}) WHERE v IS NOT NULL AND v NOT IN (SELECT value FROM json_each(?1)) ORDER BY v"
    );
    conn.prepare(&sql)?
        .query_map([Json::from(known).to_string()], |row| row.get(0))?
        .collect()
}

/// Gives the default to every record that lacks a value: not a change, since each replica does the same with the records
/// that it holds. Which records have come into a scope that looks at this field, and which have left it, no departure
/// says: replicas begin with a base sync then, also one that holds everything up to now.
pub(super) fn fill(conn: &Connection, model: &Model, field: &Field, default: &Value) -> rusqlite::Result<()> {
    let (table, column) = (quoted(&model.name), quoted(&field.name));
    let missing = format!("SELECT 1 FROM {table} WHERE {column} IS NULL LIMIT 1");
    if conn.query_row(&missing, (), |_| Ok(())).optional()?.is_some() {
        let fill = format!("UPDATE {table} SET {column} = ?1 WHERE {column} IS NULL");
        conn.execute(&fill, [Bind(default.as_ref())])?;
        let watched = conn.execute(
            "UPDATE _meta SET value = value + 1 WHERE key = 'position'
             AND EXISTS (SELECT 1 FROM _scope_fields WHERE model = ?1 AND field = ?2)",
            (&model.name, &field.name),
        )?;
        if watched > 0 {
            let head = meta(conn, "position")?;
            conn.execute("UPDATE _meta SET value = ?1 WHERE key = 'low_watermark'", [head])?;
        }
    }
    Ok(())
}
