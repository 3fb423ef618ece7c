//! What the files hold, read past the products.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value as Json;

use crate::MODELS;

/// Columns that each side keeps for itself.
const PRIVATE: [&str; 4] = ["_position", "_fieldVersions", "_generation", "_extra"];

/// A record: its columns, meta included.
pub type Row = BTreeMap<String, Json>;

/// The records of each model, by id.
pub type Tables = BTreeMap<String, BTreeMap<String, Row>>;

/// Reads the records of every model out of a server's or a phone's file.
///
/// # Errors
/// The file is not whole, or cannot be read.
pub fn read(path: &Path) -> Result<Tables, String> {
    let words = |error: rusqlite::Error| format!("{}: {error}", path.display());
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(words)?;
    let sound: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(words)?;
    if sound != "ok" {
        return Err(format!("{} is damaged: {sound}", path.display()));
    }
    let mut tables = Tables::new();
    for model in MODELS {
        let mut query = db.prepare(&format!("SELECT * FROM \"{model}\"")).map_err(words)?;
        let columns: Vec<String> = query.column_names().map(str::to_owned).collect();
        let mut rows = query.query([]).map_err(words)?;
        let table = tables.entry(model.to_owned()).or_default();
        while let Some(row) = rows.next().map_err(words)? {
            let mut record = Row::new();
            for (place, column) in columns.iter().enumerate() {
                if PRIVATE.contains(&column.as_str()) {
                    continue;
                }
                let value = match row.get_ref(place).map_err(words)? {
                    ValueRef::Null => Json::Null,
                    ValueRef::Integer(int) => int.into(),
                    ValueRef::Real(float) => float.into(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
                    ValueRef::Blob(bytes) => format!("{} bytes", bytes.len()).into(),
                };
                record.insert(column.clone(), value);
            }
            let id = record["id"].as_str().unwrap_or_default().to_owned();
            table.insert(id, record);
        }
    }
    Ok(tables)
}
