//! Tables, columns and indexes: made, renamed, dropped.

use std::collections::BTreeMap;

use rusqlite::Connection;
use tombolo_core::id::FieldId;
use tombolo_core::schema::{Field, Model};

use super::type_text;
use crate::tables::{META, quoted};

fn key_text(model: &Model) -> String {
    let names = model.key.iter().map(|field| model.field_at(*field).name.clone());
    serde_json::Value::from(names.collect::<Vec<_>>()).to_string()
}

pub(super) fn create(conn: &Connection, model: &Model) -> rusqlite::Result<()> {
    let column = |(place, field): (usize, &Field)| {
        let required = if model.key.contains(&FieldId(place)) {
            " NOT NULL"
        } else {
            ""
        };
        format!(
            "  {} {}{required}",
            quoted(&field.name),
            field.ty.storage().column_type()
        )
    };
    let mut columns: Vec<String> = model.fields.iter().enumerate().map(column).collect();
    columns.extend(
        [
            "  _version INTEGER NOT NULL",
            "  _deleted INTEGER NOT NULL",
            "  _lastChangedAt INTEGER NOT NULL",
            "  _position INTEGER PRIMARY KEY",
            "  _fieldVersions TEXT",
        ]
        .map(str::to_owned),
    );
    conn.execute_batch(&format!(
        "CREATE TABLE {} (\n{}\n)",
        quoted(&model.name),
        columns.join(",\n")
    ))?;
    conn.execute(
        "INSERT OR REPLACE INTO _models (model, key) VALUES (?1, ?2)",
        (&model.name, key_text(model)),
    )?;
    note_fields(conn, model)
}

pub(super) fn drop_table(conn: &Connection, model: &str) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("DROP TABLE {}", quoted(model)))?;
    conn.execute("DELETE FROM _fields WHERE model = ?1", [model])?;
    conn.execute("DELETE FROM _models WHERE model = ?1", [model])?;
    Ok(())
}

/// The model is gone, and with it what the change feed kept about it. Outcomes stay: they answer resends.
pub(super) fn forget_model(conn: &Connection, model: &str) -> rusqlite::Result<()> {
    drop_table(conn, model)?;
    conn.execute("DELETE FROM _departures WHERE model = ?1", [model])?;
    conn.execute("DELETE FROM _scope_fields WHERE model = ?1", [model])?;
    Ok(())
}

pub(super) fn rename_model(conn: &Connection, was: &str, is: &str) -> rusqlite::Result<()> {
    drop_indexes(conn, was)?;
    // By way of a third name, since SQLite takes names that differ in case alone for the same.
    let between = quoted("_renaming");
    conn.execute_batch(&format!(
        "ALTER TABLE {} RENAME TO {between}; ALTER TABLE {between} RENAME TO {}",
        quoted(was),
        quoted(is)
    ))?;
    // Every internal table that names models does so in a column of this name.
    let mut tables = conn.prepare(
        "SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
         WHERE t.type = 'table' AND substr(t.name, 1, 1) = '_' AND c.name = 'model' ORDER BY t.name",
    )?;
    let tables: Vec<String> = tables.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    for table in tables {
        let update = format!("UPDATE OR REPLACE {} SET model = ?2 WHERE model = ?1", quoted(&table));
        conn.execute(&update, (was, is))?;
    }
    Ok(())
}

pub(super) fn rename_field(conn: &Connection, model: &str, was: &str, is: &str) -> rusqlite::Result<()> {
    let table = quoted(model);
    let between = quoted("_renaming");
    conn.execute_batch(&format!(
        "ALTER TABLE {table} RENAME COLUMN {} TO {between}; ALTER TABLE {table} RENAME COLUMN {between} TO {}",
        quoted(was),
        quoted(is)
    ))?;
    for table in ["_fields", "_scope_fields"] {
        let update = format!("UPDATE OR REPLACE {table} SET field = ?3 WHERE model = ?1 AND field = ?2");
        conn.execute(&update, (model, was, is))?;
    }
    let (old, new) = (path(was), path(is));
    let moved = |column: &str| format!("json_remove(json_set({column}, ?2, json_extract({column}, ?1)), ?1)");
    conn.execute(
        &format!(
            "UPDATE {table} SET _fieldVersions = {} WHERE json_type(_fieldVersions, ?1) IS NOT NULL",
            moved("_fieldVersions")
        ),
        (&old, &new),
    )?;
    // `->` gives the member as JSON: an image's numbers, lists and texts stay what they are.
    conn.execute(
        "UPDATE _departures SET before = json_remove(json_set(before, ?2, json(before -> ?1)), ?1)
         WHERE model = ?3 AND json_type(before, ?1) IS NOT NULL",
        (&old, &new, model),
    )?;
    Ok(())
}

/// The JSON path of a field; names hold no quotes.
pub(super) fn path(field: &str) -> String {
    format!("$.\"{field}\"")
}

pub(super) fn add_column(conn: &Connection, model: &Model, field: &Field) -> rusqlite::Result<()> {
    conn.execute_batch(&format!(
        "ALTER TABLE {} ADD COLUMN {} {}",
        quoted(&model.name),
        quoted(&field.name),
        field.ty.storage().column_type()
    ))
}

pub(super) fn drop_column(conn: &Connection, model: &str, field: &str) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("ALTER TABLE {} DROP COLUMN {}", quoted(model), quoted(field)))?;
    for table in ["_fields", "_scope_fields"] {
        let delete = format!("DELETE FROM {table} WHERE model = ?1 AND field = ?2");
        conn.execute(&delete, (model, field))?;
    }
    Ok(())
}

/// Makes the table anew with another key. Of records that the new key does not tell apart the newest stays; those that
/// lack a part of it go.
pub(super) fn rekey(conn: &Connection, model: &Model) -> rusqlite::Result<()> {
    let (table, old) = (quoted(&model.name), quoted("_rekeying"));
    conn.execute_batch(&format!("ALTER TABLE {table} RENAME TO {old}"))?;
    conn.execute("DELETE FROM _fields WHERE model = ?1", [&model.name])?;
    create(conn, model)?;
    let names = |fields: &mut dyn Iterator<Item = &Field>| fields.map(|f| quoted(&f.name)).collect::<Vec<_>>();
    let mut columns = names(&mut model.fields.iter());
    columns.extend(META.map(quoted));
    let key = names(&mut model.key.iter().map(|id| model.field_at(*id)));
    let (columns, by) = (columns.join(", "), key.join(", "));
    let whole: Vec<String> = key.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    conn.execute_batch(&format!(
        "INSERT INTO {table} ({columns}) SELECT {columns} FROM {old}
         WHERE _position IN (SELECT max(_position) FROM {old} WHERE {} GROUP BY {by});
         DROP TABLE {old}",
        whole.join(" AND ")
    ))?;
    // These name records by the old key.
    conn.execute("DELETE FROM _departures WHERE model = ?1", [&model.name])?;
    conn.execute(
        "UPDATE _outcomes SET model = NULL, key = NULL WHERE model = ?1",
        [&model.name],
    )?;
    Ok(())
}

pub(super) fn note_fields(conn: &Connection, model: &Model) -> rusqlite::Result<()> {
    let mut put =
        conn.prepare_cached("INSERT OR REPLACE INTO _fields (model, field, type, required) VALUES (?1, ?2, ?3, ?4)")?;
    for field in &model.fields {
        put.execute((&model.name, &field.name, type_text(&field.ty), field.ty.required))?;
    }
    Ok(())
}

/// The indexes of a table, those that SQLite made itself left out.
fn present(conn: &Connection, table: &str) -> rusqlite::Result<Vec<(String, String)>> {
    conn.prepare_cached(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL ORDER BY name",
    )?
    .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

/// Only our own: one that a person made for a report has no dot after the model's name.
fn is_ours(name: &str, model: &str) -> bool {
    name.strip_prefix(model).is_some_and(|rest| rest.starts_with('.'))
}

/// Drops our indexes on the model's table, so that its columns can change.
pub(super) fn drop_indexes(conn: &Connection, model: &str) -> rusqlite::Result<()> {
    for (name, _) in present(conn, model)? {
        if is_ours(&name, model) {
            conn.execute_batch(&format!("DROP INDEX \"{name}\""))?;
        }
    }
    Ok(())
}

/// Makes the indexes that the model asks for and drops those it no longer does. Their names hold a dot, which no model's
/// name can.
pub(super) fn indexes(conn: &Connection, model: &Model) -> rusqlite::Result<()> {
    let columns = |fields: &[FieldId]| {
        let names = fields.iter().map(|field| quoted(&model.field_at(*field).name));
        names.collect::<Vec<_>>().join(", ")
    };
    let table = quoted(&model.name);
    let mut wanted = BTreeMap::new();
    let name = format!("{}.key", model.name);
    wanted.insert(
        name.clone(),
        format!("CREATE UNIQUE INDEX \"{name}\" ON {table} ({})", columns(&model.key)),
    );
    for (place, index) in model.indexes.iter().enumerate() {
        let mut fields = index.fields.clone();
        // Lists by an index end in the primary key, so that pages have an order.
        fields.extend(model.key.iter().filter(|field| !index.fields.contains(field)));
        let clean: String = index
            .name
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
            .collect();
        let name = format!("{}.{place}.{clean}", model.name);
        wanted.insert(
            name.clone(),
            format!("CREATE INDEX \"{name}\" ON {table} ({})", columns(&fields)),
        );
    }
    for (name, sql) in present(conn, &model.name)? {
        if wanted.get(&name) == Some(&sql) {
            wanted.remove(&name);
        } else if is_ours(&name, &model.name) {
            conn.execute_batch(&format!("DROP INDEX \"{name}\""))?;
        }
    }
    wanted.values().try_for_each(|sql| conn.execute_batch(sql))
}
