//! The models' tables follow the app's schema by themselves, in one transaction when the store opens: killed at any point,
//! the file opens as the old or as the new one.
//!
//! - a new model: new tables;
//! - a model or a field of another name (`@renamed`): its tables or column take the new name, and so does its scope;
//! - a new field: a new column. Its values have come already, into `_extra`, if the server had it before this app: nothing
//!   is pulled again;
//! - a field that is gone: its column goes, its values stay in `_extra`, should it come back;
//! - a wider type: the values are converted;
//! - a field that became required with a default: the default fills it, as it does on the server;
//! - another key, or another storage class of a field: the cached rows cannot be kept; the tables are made anew and a
//!   base sync is due;
//! - a model that is gone: its cached rows go.
//!
//! The outbox is never touched. What unsettled mutations show on dropped rows is laid anew by the machine.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tombolo_core::schema::{Field, Model, Schema, Storage};

use crate::error::OpenError;
use crate::reader::Param;
use crate::sql::{EXTRA, base_table, create_index, create_table, quote};

/// A model's tables as they stand in the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    key: Vec<String>,
    /// Field name → storage class.
    fields: BTreeMap<String, String>,
    /// Fields that may not miss a value.
    #[serde(default)]
    required: BTreeSet<String>,
    /// Values of fields that the schema does not have are kept. Not so in files of the first releases.
    #[serde(default)]
    extra: bool,
}

impl Shape {
    fn of(model: &Model) -> Self {
        let names = |fields: &mut dyn Iterator<Item = &Field>| fields.map(|f| f.name.clone()).collect::<Vec<_>>();
        Self {
            key: names(&mut model.key.iter().filter_map(|f| model.fields.get(f.0))),
            fields: model
                .fields
                .iter()
                .map(|f| (f.name.clone(), f.ty.storage().name().to_owned()))
                .collect(),
            required: names(&mut model.fields.iter().filter(|f| f.ty.required))
                .into_iter()
                .collect(),
            extra: true,
        }
    }

    /// The field of the file that is `field` of the schema: of the same name, or of the newest of its former ones.
    fn source(&self, model: &Model, field: &Field) -> Option<&str> {
        let stands = |name: &&String| model.field(name).is_none();
        let held = |name: &String| self.fields.get_key_value(name).map(|(name, _)| name.as_str());
        held(&field.name).or_else(|| field.former.iter().rev().filter(stands).find_map(held))
    }

    /// Whether rows of `self` can become rows of `model`.
    fn can_become(&self, model: &Model) -> bool {
        let key = model.key.iter().filter_map(|f| model.fields.get(f.0));
        let key: Vec<Option<&str>> = key.map(|field| self.source(model, field)).collect();
        let kept = self.key.len() == key.len() && self.key.iter().zip(&key).all(|(was, is)| Some(was.as_str()) == *is);
        let fits = |field: &Field| match self.source(model, field).and_then(|name| self.fields.get(name)) {
            None => true,
            Some(class) => {
                class == field.ty.storage().name() || (widens(class, field) && !self.key.contains(&field.name))
            }
        };
        self.extra && kept && model.fields.iter().all(fits)
    }
}

/// Whether every value of the class is one of the field's, once converted.
fn widens(class: &str, field: &Field) -> bool {
    class == Storage::Int.name() && field.ty.storage() == Storage::Float
}

/// Brings the models' tables in line with `schema`.
pub(crate) fn evolve(conn: &mut Connection, schema: &Schema) -> Result<(), OpenError> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut stored: BTreeMap<String, Option<Shape>> = tx
        .prepare("SELECT model, shape FROM _models ORDER BY model")?
        .query_map([], |row| {
            Ok((row.get(0)?, serde_json::from_str(&row.get::<_, String>(1)?).ok()))
        })?
        .collect::<Result<_, _>>()?;
    let mut dropped = Vec::new();
    for model in &schema.models {
        let stands = |name: &&String| stored.contains_key(*name) && schema.model_named(name).is_none();
        if !stored.contains_key(&model.name)
            && let Some(was) = model.former.iter().rev().find(stands)
        {
            rename_model(&tx, was, &model.name)?;
            if let Some(shape) = stored.remove(was) {
                stored.insert(model.name.clone(), shape);
            }
        }
        let new = Shape::of(model);
        match stored.remove(&model.name) {
            Some(Some(old)) if old == new => {}
            Some(Some(old)) if old.can_become(model) => {
                drop_indexes(&tx, model, &BTreeMap::new())?;
                alter(&tx, model, &old)?;
                // The optimistic updates lie over other base rows now.
                dropped.push(model.name.clone());
            }
            old => {
                if old.is_some() {
                    drop_model(&tx, &model.name)?;
                }
                tx.execute_batch(&create_table(model, false))?;
                tx.execute_batch(&create_table(model, true))?;
                // A model that comes back may find mutations of its own still in the outbox.
                dropped.push(model.name.clone());
            }
        }
        indexes_as_wanted(&tx, model)?;
        let shape = serde_json::to_string(&new).unwrap_or_default();
        tx.execute(
            "INSERT OR REPLACE INTO _models (model, shape) VALUES (?1, ?2)",
            params![model.name, shape],
        )?;
    }
    for name in stored.keys() {
        drop_model(&tx, name)?;
    }
    if !dropped.is_empty() {
        let text = serde_json::to_string(&dropped).unwrap_or_default();
        tx.execute(
            "INSERT OR REPLACE INTO _meta (name, value) VALUES ('dropped', ?1)",
            [text],
        )?;
    }
    tx.commit()?;
    Ok(())
}

fn rename_model(tx: &Connection, was: &str, is: &str) -> rusqlite::Result<()> {
    for (name, _) in indexes(tx, was)? {
        tx.execute_batch(&format!("DROP INDEX {}", quote(&name)))?;
    }
    // By way of a third name, since SQLite takes names that differ in case alone for the same.
    for (was, is) in [(was.to_owned(), is.to_owned()), (base_table(was), base_table(is))] {
        let between = quote("_renaming");
        tx.execute_batch(&format!(
            "ALTER TABLE {} RENAME TO {between}; ALTER TABLE {between} RENAME TO {}",
            quote(&was),
            quote(&is)
        ))?;
    }
    tx.execute("DELETE FROM _models WHERE model = ?1", [was])?;
    tx.execute("UPDATE OR REPLACE _scopes SET model = ?2 WHERE model = ?1", [was, is])?;
    Ok(())
}

/// Rows of `old` become rows of `model`.
fn alter(tx: &Connection, model: &Model, old: &Shape) -> rusqlite::Result<()> {
    let mut sources = BTreeMap::new();
    for field in &model.fields {
        if let Some(was) = old.source(model, field) {
            sources.insert(field.name.as_str(), was.to_owned());
        }
    }
    let taken: BTreeSet<&String> = sources.values().collect();
    for table in [model.name.clone(), base_table(&model.name)] {
        for (name, class) in old.fields.iter().filter(|(name, _)| !taken.contains(name)) {
            put_aside(tx, &table, name, class)?;
        }
        for field in &model.fields {
            let Some(was) = sources.get(field.name.as_str()) else {
                add_column(tx, &table, &field.name, field)?;
                continue;
            };
            if *was != field.name {
                rename_column(tx, &table, was, &field.name)?;
            }
            if old.fields.get(was).is_some_and(|class| widens(class, field)) {
                convert(tx, &table, field)?;
            }
        }
        take_back(tx, &table, model)?;
        for field in model.fields.iter().filter(|field| field.ty.required) {
            let was_required = sources
                .get(field.name.as_str())
                .is_some_and(|was| old.required.contains(was));
            if let (false, Some(default)) = (was_required, &field.default) {
                let column = quote(&field.name);
                tx.execute(
                    &format!("UPDATE {} SET {column} = ?1 WHERE {column} IS NULL", quote(&table)),
                    [Param(default)],
                )?;
            }
        }
    }
    let renamed: BTreeMap<&str, &str> = sources.iter().map(|(is, was)| (was.as_str(), *is)).collect();
    rename_in_scope(tx, &model.name, &renamed)
}

fn add_column(tx: &Connection, table: &str, name: &str, field: &Field) -> rusqlite::Result<()> {
    let class = field.ty.storage().column_type();
    tx.execute_batch(&format!(
        "ALTER TABLE {} ADD COLUMN {} {class}",
        quote(table),
        quote(name)
    ))
}

fn rename_column(tx: &Connection, table: &str, was: &str, is: &str) -> rusqlite::Result<()> {
    let (table, between) = (quote(table), quote("_renaming"));
    tx.execute_batch(&format!(
        "ALTER TABLE {table} RENAME COLUMN {} TO {between}; ALTER TABLE {table} RENAME COLUMN {between} TO {}",
        quote(was),
        quote(is)
    ))
}

/// A column that takes numbers of another class.
fn convert(tx: &Connection, table: &str, field: &Field) -> rusqlite::Result<()> {
    const BESIDE: &str = "_converting";
    add_column(tx, table, BESIDE, field)?;
    let (table, beside, column) = (quote(table), quote(BESIDE), quote(&field.name));
    tx.execute_batch(&format!(
        "UPDATE {table} SET {beside} = {column}; ALTER TABLE {table} DROP COLUMN {column};
         ALTER TABLE {table} RENAME COLUMN {beside} TO {column}"
    ))
}

/// The column of a field that is gone goes; its values stay.
fn put_aside(tx: &Connection, table: &str, name: &str, class: &str) -> rusqlite::Result<()> {
    let (table, column) = (quote(table), quote(name));
    let value = if class == Storage::Json.name() {
        format!("json({column})")
    } else if class == Storage::Bool.name() {
        format!("json(iif({column}, 'true', 'false'))")
    } else {
        column.clone()
    };
    tx.execute(
        &format!(
            "UPDATE {table} SET {EXTRA} = json_set(coalesce({EXTRA}, '{{}}'), ?1, {value}) WHERE {column} IS NOT NULL"
        ),
        [path(name)],
    )?;
    tx.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}"))
}

/// Values that were kept because no column took them go into the columns that do now.
fn take_back(tx: &Connection, table: &str, model: &Model) -> rusqlite::Result<()> {
    let table = quote(table);
    let any = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE {EXTRA} IS NOT NULL)");
    if !tx.query_row(&any, [], |row| row.get(0))? {
        return Ok(());
    }
    for field in &model.fields {
        let (types, value) = match field.ty.storage() {
            Storage::Bool => ("'true', 'false'", format!("json_extract({EXTRA}, ?1)")),
            Storage::Int => ("'integer'", format!("json_extract({EXTRA}, ?1)")),
            Storage::Float => ("'integer', 'real'", format!("json_extract({EXTRA}, ?1)")),
            Storage::Text => ("'text'", format!("json_extract({EXTRA}, ?1)")),
            Storage::Json => (
                "'array', 'object', 'text', 'integer', 'real', 'true', 'false'",
                format!("{EXTRA} -> ?1"),
            ),
        };
        for name in field.former.iter().chain([&field.name]) {
            let column = quote(&field.name);
            let take = format!(
                "UPDATE {table} SET {column} = {value}, {EXTRA} = nullif(json_remove({EXTRA}, ?1), '{{}}')
                 WHERE json_type({EXTRA}, ?1) IN ({types})"
            );
            tx.execute(&take, [path(name)])?;
        }
    }
    Ok(())
}

/// The JSON path of a field; names hold no quotes.
fn path(name: &str) -> String {
    format!("$.\"{name}\"")
}

/// The scope's filter speaks the new names too.
fn rename_in_scope(tx: &Connection, model: &str, renamed: &BTreeMap<&str, &str>) -> rusqlite::Result<()> {
    let filter: Option<Option<String>> = tx
        .query_row("SELECT filter FROM _scopes WHERE model = ?1", [model], |row| row.get(0))
        .optional()?;
    let Some(filter) = filter
        .flatten()
        .and_then(|text| serde_json::from_str::<Json>(&text).ok())
    else {
        return Ok(());
    };
    let named = names_in_filter(&filter, renamed);
    if named != filter {
        tx.execute(
            "UPDATE _scopes SET filter = ?2 WHERE model = ?1",
            [model, &named.to_string()],
        )?;
    }
    Ok(())
}

fn names_in_filter(filter: &Json, renamed: &BTreeMap<&str, &str>) -> Json {
    match filter {
        Json::Object(members) => {
            let member = |(name, value): (&String, &Json)| match name.as_str() {
                "and" | "or" | "not" => (name.clone(), names_in_filter(value, renamed)),
                other => ((*renamed.get(other).unwrap_or(&other)).to_owned(), value.clone()),
            };
            Json::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        Json::Array(items) => Json::Array(items.iter().map(|item| names_in_filter(item, renamed)).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => filter.clone(),
    }
}

fn drop_model(tx: &Connection, name: &str) -> rusqlite::Result<()> {
    tx.execute_batch(&format!(
        "DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {}",
        quote(name),
        quote(&base_table(name))
    ))?;
    tx.execute("DELETE FROM _models WHERE model = ?1", [name])?;
    tx.execute(
        "UPDATE _scopes SET cursor = NULL, generation = generation + 1, base_sync = 1, up_to_date = 0 WHERE model = ?1",
        [name],
    )?;
    Ok(())
}

fn indexes(tx: &Connection, model: &str) -> rusqlite::Result<BTreeMap<String, String>> {
    tx.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL")?
        .query_map([model], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn indexes_as_wanted(tx: &Connection, model: &Model) -> rusqlite::Result<()> {
    let wanted: BTreeMap<String, String> = model.indexes.iter().map(|index| create_index(model, index)).collect();
    drop_indexes(tx, model, &wanted)?;
    let present = indexes(tx, &model.name)?;
    for (name, sql) in wanted {
        if !present.contains_key(&name) {
            tx.execute_batch(&sql)?;
        }
    }
    Ok(())
}

/// Drops the secondary indexes that are not as wanted.
fn drop_indexes(tx: &Connection, model: &Model, wanted: &BTreeMap<String, String>) -> rusqlite::Result<()> {
    for (name, sql) in indexes(tx, &model.name)? {
        if wanted.get(&name) != Some(&sql) {
            tx.execute_batch(&format!("DROP INDEX {}", quote(&name)))?;
        }
    }
    Ok(())
}
