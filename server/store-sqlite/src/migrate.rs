//! Fitting the tables to the schema: what is new is added, what is gone is kept, what would lose data is refused.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};
use tombolo_core::id::FieldId;
use tombolo_core::schema::{FieldKind, FieldType, Model, Scalar, Schema};

use crate::error::{Misfit, OpenError, store_error};
use crate::tables::quoted;

/// What the database says about a model that it holds.
struct Held {
    key: String,
    fields: BTreeMap<String, String>,
    has_rows: bool,
}

/// Fits the tables to `schema`, inside the caller's transaction.
pub(crate) fn fit(conn: &Connection, schema: &Schema, path: &Path) -> Result<(), OpenError> {
    let fail = |error: rusqlite::Error| OpenError::Store {
        path: path.to_owned(),
        source: store_error(error),
    };
    let held = held(conn).map_err(fail)?;
    let mut misfits = removed(schema, &held);
    for model in &schema.models {
        match held.get(&model.name) {
            None => create(conn, model).map_err(fail)?,
            Some(held) if !held.has_rows => {
                // Nothing to lose: the shape is simply the new one.
                drop_table(conn, &model.name)
                    .and_then(|()| create(conn, model))
                    .map_err(fail)?;
            }
            Some(held) => {
                let found = misfits_of(model, held);
                if found.is_empty() {
                    extend(conn, model, held).map_err(fail)?;
                }
                misfits.extend(found);
            }
        }
    }
    if !misfits.is_empty() {
        return Err(OpenError::Schema { misfits });
    }
    schema
        .models
        .iter()
        .try_for_each(|model| indexes(conn, model))
        .map_err(fail)
}

fn held(conn: &Connection) -> rusqlite::Result<BTreeMap<String, Held>> {
    let mut all = BTreeMap::new();
    let mut models = conn.prepare("SELECT model, key FROM _models ORDER BY model")?;
    let mut rows = models.query(())?;
    while let Some(row) = rows.next()? {
        let (model, key): (String, String) = (row.get(0)?, row.get(1)?);
        let mut fields = conn.prepare_cached("SELECT field, type FROM _fields WHERE model = ?1")?;
        let fields = fields
            .query_map([&model], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let any = format!("SELECT 1 FROM {} LIMIT 1", quoted(&model));
        let has_rows = conn.query_row(&any, (), |_| Ok(())).optional()?.is_some();
        all.insert(model, Held { key, fields, has_rows });
    }
    Ok(all)
}

fn removed(schema: &Schema, held: &BTreeMap<String, Held>) -> Vec<Misfit> {
    let gone = held
        .iter()
        .filter(|(name, held)| held.has_rows && schema.model_named(name).is_none());
    gone.map(|(name, _)| Misfit {
        place: name.clone(),
        problem: "the schema no longer has this model, but the database holds records of it".into(),
        mend: format!("put `type {name} @model` back, or export and delete its records first"),
    })
    .collect()
}

fn misfits_of(model: &Model, held: &Held) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    let key = key_text(model);
    if key != held.key {
        misfits.push(Misfit {
            place: model.name.clone(),
            problem: format!("its primary key was {} and would be {key}", held.key),
            mend: "a key cannot change: give the old key back, or make a new model and copy the records".into(),
        });
    }
    for field in &model.fields {
        let Some(was) = held.fields.get(&field.name) else {
            continue;
        };
        let is = type_text(&field.ty);
        if *was != is && !widens(was, &field.ty) {
            misfits.push(Misfit {
                place: format!("{}.{}", model.name, field.name),
                problem: format!("its type was {was} and would be {is}"),
                mend: format!("give it the type {was} back, or add a field of another name with the type {is}"),
            });
        }
    }
    misfits
}

/// The type without the outermost `!`: whether a value may be absent is not a matter of storage.
fn type_text(ty: &FieldType) -> String {
    ty.with_required(false).to_string()
}

/// Every text is a `String` and an `ID`; every `Int` an `AWSTimestamp`.
fn widens(was: &str, is: &FieldType) -> bool {
    if is.list.is_some() || was.starts_with('[') {
        return false;
    }
    let was_text = Scalar::named(was).is_some_and(|scalar| {
        !matches!(
            scalar,
            Scalar::Int | Scalar::Float | Scalar::Boolean | Scalar::AwsTimestamp
        )
    });
    match &is.kind {
        FieldKind::Scalar(Scalar::String | Scalar::Id) => was_text,
        FieldKind::Scalar(Scalar::AwsTimestamp) => was == "Int",
        FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_) => false,
    }
}

fn key_text(model: &Model) -> String {
    let names = model.key.iter().map(|field| model.field_at(*field).name.clone());
    serde_json::Value::from(names.collect::<Vec<_>>()).to_string()
}

fn create(conn: &Connection, model: &Model) -> rusqlite::Result<()> {
    let column = |(place, field): (usize, &tombolo_core::schema::Field)| {
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

fn drop_table(conn: &Connection, model: &str) -> rusqlite::Result<()> {
    conn.execute_batch(&format!("DROP TABLE {}", quoted(model)))?;
    conn.execute("DELETE FROM _fields WHERE model = ?1", [model])?;
    Ok(())
}

fn extend(conn: &Connection, model: &Model, held: &Held) -> rusqlite::Result<()> {
    for field in model
        .fields
        .iter()
        .filter(|field| !held.fields.contains_key(&field.name))
    {
        let (table, column) = (quoted(&model.name), quoted(&field.name));
        conn.execute_batch(&format!(
            "ALTER TABLE {table} ADD COLUMN {column} {}",
            field.ty.storage().column_type()
        ))?;
    }
    note_fields(conn, model)
}

fn note_fields(conn: &Connection, model: &Model) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached("INSERT OR REPLACE INTO _fields (model, field, type) VALUES (?1, ?2, ?3)")?;
    for field in &model.fields {
        put.execute((&model.name, &field.name, type_text(&field.ty)))?;
    }
    Ok(())
}

/// Makes the indexes that the model asks for and drops those it no longer does. Their names hold a dot, which no model's
/// name can.
fn indexes(conn: &Connection, model: &Model) -> rusqlite::Result<()> {
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
    let mut present = conn.prepare_cached(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL ORDER BY name",
    )?;
    let present: Vec<(String, String)> = present
        .query_map([&model.name], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (name, sql) in present {
        // Only our own: one that a person made for a report has no dot after the model's name.
        let ours = name.strip_prefix(&model.name).is_some_and(|rest| rest.starts_with('.'));
        if wanted.get(&name) == Some(&sql) {
            wanted.remove(&name);
        } else if ours {
            conn.execute_batch(&format!("DROP INDEX \"{name}\""))?;
        }
    }
    wanted.values().try_for_each(|sql| conn.execute_batch(sql))
}
