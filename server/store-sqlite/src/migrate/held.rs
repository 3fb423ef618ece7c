//! What the database says of itself: its models as they are stored, and the schemas that it was opened with.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension};
use tombolo_core::schema::{FieldKind, FieldType, Scalar, Schema};
use tombolo_engine::{ServedSchema, limits};

use super::TEXT;
use crate::tables::quoted;

/// A model as it is stored.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) key: Vec<String>,
    pub(super) fields: BTreeMap<String, HeldField>,
    pub(super) has_rows: bool,
}

#[derive(Clone, Debug)]
pub(super) struct HeldField {
    /// As in the schema, without the outermost `!`.
    pub(super) ty: String,
    pub(super) required: bool,
}

impl Held {
    pub(super) fn rename(&mut self, was: &str, is: &str) {
        if let Some(field) = self.fields.remove(was) {
            self.fields.insert(is.to_owned(), field);
        }
        for name in self.key.iter_mut().filter(|name| *name == was) {
            is.clone_into(name);
        }
    }
}

pub(super) fn read(conn: &Connection) -> rusqlite::Result<BTreeMap<String, Held>> {
    let mut all = BTreeMap::new();
    let mut models = conn.prepare("SELECT model, key FROM _models ORDER BY model")?;
    let mut rows = models.query(())?;
    while let Some(row) = rows.next()? {
        let (model, key): (String, String) = (row.get(0)?, row.get(1)?);
        let mut fields = conn.prepare_cached("SELECT field, type, required FROM _fields WHERE model = ?1")?;
        let field = |row: &rusqlite::Row<'_>| {
            let (ty, required) = (row.get(1)?, row.get(2)?);
            Ok((row.get(0)?, HeldField { ty, required }))
        };
        let fields = fields.query_map([&model], field)?.collect::<Result<_, _>>()?;
        let any = format!("SELECT 1 FROM {} LIMIT 1", quoted(&model));
        let has_rows = conn.query_row(&any, (), |_| Ok(())).optional()?.is_some();
        let key = serde_json::from_str(&key).unwrap_or_default();
        all.insert(model, Held { key, fields, has_rows });
    }
    Ok(all)
}

/// The type that was noted as `text`. An enum or an embedded type that the schema no longer has is told apart by its
/// values, see `values`; until then it is text.
pub(super) fn type_of(schema: &Schema, text: &str) -> FieldType {
    let (name, list) = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(item) => match item.strip_suffix('!') {
            Some(name) => (name, Some(true)),
            None => (item, Some(false)),
        },
        None => (text, None),
    };
    let kind = match Scalar::named(name) {
        Some(scalar) => FieldKind::Scalar(scalar),
        None if schema.embedded.contains_key(name) => FieldKind::Embedded(name.to_owned()),
        None if schema.enums.contains_key(name) => FieldKind::Enum(name.to_owned()),
        None => TEXT,
    };
    FieldType {
        kind,
        list,
        required: false,
    }
}

/// Whether the tables were last fitted to this very schema.
pub(crate) fn is_current(conn: &Connection, schema: &Schema) -> rusqlite::Result<bool> {
    let sdl: Option<String> = conn
        .query_row(
            "SELECT sdl FROM _schemas WHERE hash = (SELECT value FROM _meta WHERE key = 'schema')",
            (),
            |row| row.get(0),
        )
        .optional()?;
    Ok(sdl.as_deref() == Some(schema.source.as_str()))
}

/// Notes that the tables follow `schema` now, and forgets schemas beyond [`limits::SCHEMAS_KEPT`].
pub(super) fn note_schema(conn: &Connection, schema: &Schema) -> rusqlite::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    conn.execute(
        "INSERT INTO _schemas (hash, sdl, last_served_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT (hash) DO UPDATE SET sdl = excluded.sdl, last_served_ms = excluded.last_served_ms",
        (&schema.hash, &schema.source, now_ms),
    )?;
    conn.execute(
        "INSERT OR REPLACE INTO _meta (key, value) VALUES ('schema', ?1)",
        [&schema.hash],
    )?;
    conn.execute(
        "DELETE FROM _schemas WHERE hash NOT IN (SELECT hash FROM _schemas ORDER BY hash = ?1 DESC, last_served_ms DESC, rowid DESC LIMIT ?2)",
        (&schema.hash, i64::try_from(limits::SCHEMAS_KEPT).unwrap_or(i64::MAX)),
    )?;
    Ok(())
}

/// The schemas that the database was opened with.
pub(crate) fn served(conn: &Connection) -> rusqlite::Result<Vec<ServedSchema>> {
    conn.prepare("SELECT hash, sdl FROM _schemas ORDER BY last_served_ms, rowid")?
        .query_map((), |row| {
            Ok(ServedSchema {
                hash: row.get(0)?,
                sdl: row.get(1)?,
            })
        })?
        .collect()
}
