//! The models' tables follow the app's schema by themselves, in one transaction when the store opens.
//!
//! - a new model: new tables;
//! - a new field: a new column, and a base sync is due, so that its values come; the rows stay meanwhile;
//! - a field that is gone: its column goes;
//! - another key, or another storage class of a field: the cached rows cannot be kept; the tables are made anew and a
//!   base sync is due;
//! - a model that is gone: its cached rows go.
//!
//! The outbox is never touched. What unsettled mutations show on dropped rows is laid anew by the machine.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use tombolo_core::schema::{Model, Schema};

use crate::error::OpenError;
use crate::sql::{base_table, create_index, create_table, quote};

/// A model's tables as they stand in the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Shape {
    key: Vec<String>,
    /// Field name → storage class.
    fields: BTreeMap<String, String>,
}

impl Shape {
    fn of(model: &Model) -> Self {
        Self {
            key: model
                .key
                .iter()
                .filter_map(|f| model.fields.get(f.0))
                .map(|f| f.name.clone())
                .collect(),
            fields: model
                .fields
                .iter()
                .map(|f| (f.name.clone(), f.ty.storage().name().to_owned()))
                .collect(),
        }
    }

    /// Whether rows of `self` can become rows of `new` by adding and dropping columns.
    fn can_become(&self, new: &Self) -> bool {
        self.key == new.key
            && self
                .fields
                .iter()
                .all(|(name, class)| new.fields.get(name).is_none_or(|other| other == class))
    }
}

/// Brings the models' tables in line with `schema`.
pub(crate) fn evolve(conn: &mut Connection, schema: &Schema) -> Result<(), OpenError> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut dropped = Vec::new();
    for model in &schema.models {
        let new = Shape::of(model);
        let old: Option<String> = tx
            .query_row("SELECT shape FROM _models WHERE model = ?1", [&model.name], |row| {
                row.get(0)
            })
            .optional()?;
        let old: Option<Shape> = old.and_then(|text| serde_json::from_str(&text).ok());
        match old {
            Some(old) if old == new => {}
            Some(old) if old.can_become(&new) => {
                drop_indexes(&tx, model, &BTreeMap::new())?;
                alter(&tx, model, &old, &new)?;
            }
            old => {
                if old.is_some() {
                    drop_model(&tx, &model.name)?;
                }
                create(&tx, model)?;
                // A model that comes back may find mutations of its own still in the outbox.
                dropped.push(model.name.clone());
            }
        }
        let wanted: BTreeMap<String, String> = model.indexes.iter().map(|index| create_index(model, index)).collect();
        drop_indexes(&tx, model, &wanted)?;
        let present = indexes(&tx, &model.name)?;
        for (name, sql) in wanted {
            if !present.contains_key(&name) {
                tx.execute_batch(&sql)?;
            }
        }
        let shape = serde_json::to_string(&new).unwrap_or_default();
        tx.execute(
            "INSERT OR REPLACE INTO _models (model, shape) VALUES (?1, ?2)",
            params![model.name, shape],
        )?;
    }
    let known: BTreeSet<&str> = schema.models.iter().map(|m| m.name.as_str()).collect();
    let stored: Vec<String> = tx
        .prepare("SELECT model FROM _models ORDER BY model")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in stored.iter().filter(|name| !known.contains(name.as_str())) {
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

fn create(tx: &Connection, model: &Model) -> rusqlite::Result<()> {
    tx.execute_batch(&create_table(model, false))?;
    tx.execute_batch(&create_table(model, true))
}

fn alter(tx: &Connection, model: &Model, old: &Shape, new: &Shape) -> rusqlite::Result<()> {
    let mut grown = false;
    for table in [model.name.clone(), base_table(&model.name)] {
        for name in old.fields.keys().filter(|name| !new.fields.contains_key(*name)) {
            tx.execute_batch(&format!("ALTER TABLE {} DROP COLUMN {}", quote(&table), quote(name)))?;
        }
        for field in model
            .fields
            .iter()
            .filter(|field| !old.fields.contains_key(&field.name))
        {
            grown = true;
            tx.execute_batch(&format!(
                "ALTER TABLE {} ADD COLUMN {} {}",
                quote(&table),
                quote(&field.name),
                field.ty.storage().column_type()
            ))?;
        }
    }
    if grown {
        base_sync_due(tx, &model.name)?;
    }
    Ok(())
}

fn drop_model(tx: &Connection, name: &str) -> rusqlite::Result<()> {
    tx.execute_batch(&format!(
        "DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {}",
        quote(name),
        quote(&base_table(name))
    ))?;
    tx.execute("DELETE FROM _models WHERE model = ?1", [name])?;
    base_sync_due(tx, name)
}

fn base_sync_due(tx: &Connection, model: &str) -> rusqlite::Result<()> {
    tx.execute(
        "UPDATE _scopes SET cursor = NULL, generation = generation + 1, base_sync = 1, up_to_date = 0 WHERE model = ?1",
        [model],
    )?;
    Ok(())
}

fn indexes(tx: &Connection, model: &str) -> rusqlite::Result<BTreeMap<String, String>> {
    tx.prepare("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL")?
        .query_map([model], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
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
