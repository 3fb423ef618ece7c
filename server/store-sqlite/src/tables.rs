//! The statements of each model's table, and rows from and to them.

use rusqlite::types::{ToSqlOutput, ValueRef as SqlValue};
use rusqlite::{Connection, ToSql};
use tombolo_core::id::{FieldId, ModelId, Position, Version};
use tombolo_core::record::{FieldVersions, Key, Meta, Record, StoredRecord};
use tombolo_core::schema::{Model, Schema};
use tombolo_core::value::{Row, Value, ValueRef};
use tombolo_engine::decide::{self, RowWrite};

/// The statements of every model, by place.
pub(crate) struct Tables(Vec<Table>);

/// The statements of one model. Columns in order: fields, then `_version`, `_deleted`, `_lastChangedAt`, `_position`,
/// `_fieldVersions`.
pub(crate) struct Table {
    pub(crate) load: String,
    /// Rows behind a position, in order: `?1` the position, `?2` how many.
    pub(crate) after: String,
    insert: String,
    update: String,
}

/// `"name"`, quoted; names are GraphQL names, which hold no quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

pub(crate) const META: [&str; 5] = ["_version", "_deleted", "_lastChangedAt", "_position", "_fieldVersions"];

impl Tables {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self(schema.models.iter().map(Table::new).collect())
    }

    pub(crate) fn of(&self, model: ModelId) -> &Table {
        &self.0[model.0]
    }
}

impl Table {
    fn new(model: &Model) -> Self {
        let columns: Vec<String> = model
            .fields
            .iter()
            .map(|field| quoted(&field.name))
            .chain(META.map(quoted))
            .collect();
        let table = quoted(&model.name);
        let list = columns.join(", ");
        let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
        let is_key = |place: usize| model.key.contains(&FieldId(place));
        let set: Vec<String> = columns
            .iter()
            .enumerate()
            .filter(|(place, _)| !is_key(*place))
            .map(|(place, column)| format!("{column} = ?{}", place + 1))
            .collect();
        let key_is = |place: &dyn Fn(usize, FieldId) -> usize| {
            let test = |(i, field): (usize, &FieldId)| format!("{} = ?{}", columns[field.0], place(i, *field));
            model.key.iter().enumerate().map(test).collect::<Vec<_>>().join(" AND ")
        };
        Self {
            load: format!("SELECT {list} FROM {table} WHERE {}", key_is(&|i, _| i + 1)),
            after: format!("SELECT {list} FROM {table} WHERE _position > ?1 ORDER BY _position LIMIT ?2"),
            insert: format!("INSERT INTO {table} ({list}) VALUES ({})", places.join(", ")),
            update: format!(
                "UPDATE {table} SET {} WHERE {}",
                set.join(", "),
                key_is(&|_, field| field.0 + 1)
            ),
        }
    }
}

/// A value as SQLite binds it, without a copy.
pub(crate) struct Bind<'a>(pub(crate) ValueRef<'a>);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            ValueRef::Null => SqlValue::Null,
            ValueRef::Int(int) => SqlValue::Integer(int),
            ValueRef::Float(float) => SqlValue::Real(float),
            ValueRef::Text(text) => SqlValue::Text(text.as_bytes()),
        }))
    }
}

/// A row of SQLite's as the core reads rows.
pub(crate) struct SqlRow<'a, 'stmt>(pub(crate) &'a rusqlite::Row<'stmt>);

impl Row for SqlRow<'_, '_> {
    fn get(&self, column: usize) -> ValueRef<'_> {
        match self.0.get_ref(column) {
            Ok(SqlValue::Integer(int)) => ValueRef::Int(int),
            Ok(SqlValue::Real(float)) => ValueRef::Float(float),
            Ok(SqlValue::Text(text)) => std::str::from_utf8(text).map_or(ValueRef::Null, ValueRef::Text),
            Ok(SqlValue::Null | SqlValue::Blob(_)) | Err(_) => ValueRef::Null,
        }
    }
}

/// Loads one row by its key.
pub(crate) fn load(
    conn: &Connection,
    table: &Table,
    model: &Model,
    key: &Key,
) -> rusqlite::Result<Option<StoredRecord>> {
    let mut query = conn.prepare_cached(&table.load)?;
    let mut rows = query.query(rusqlite::params_from_iter(
        key.0.iter().map(|value| Bind(value.as_ref())),
    ))?;
    Ok(rows.next()?.map(|row| stored(model, &SqlRow(row))))
}

/// The record in a row whose columns are the table's.
pub(crate) fn stored(model: &Model, row: &dyn Row) -> StoredRecord {
    let count = model.fields.len();
    let values: Vec<Value> = model
        .fields
        .iter()
        .enumerate()
        .map(|(place, field)| field.ty.value_from_column(row.get(place)))
        .collect();
    let int = |place: usize| match row.get(count + place) {
        ValueRef::Int(int) => int,
        ValueRef::Null | ValueRef::Float(_) | ValueRef::Text(_) => 0,
    };
    let field_versions = match row.get(count + 4) {
        ValueRef::Text(text) => decide::field_versions_from_text(model, text),
        ValueRef::Null | ValueRef::Int(_) | ValueRef::Float(_) => FieldVersions::default(),
    };
    let meta = Meta {
        version: Version(int(0)),
        deleted: int(1) != 0,
        last_changed_at: int(2),
    };
    StoredRecord {
        record: Record { values, meta },
        position: Position(int(3)),
        field_versions,
    }
}

/// Writes one row whole.
pub(crate) fn write(conn: &Connection, table: &Table, model: &Model, row: &RowWrite) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(if row.new { &table.insert } else { &table.update })?;
    let StoredRecord {
        record,
        position,
        field_versions,
    } = &row.stored;
    let mut place = 0;
    for field in 0..model.fields.len() {
        place += 1;
        statement.raw_bind_parameter(place, Bind(record.value(FieldId(field)).as_ref()))?;
    }
    statement.raw_bind_parameter(place + 1, record.meta.version.0)?;
    statement.raw_bind_parameter(place + 2, record.meta.deleted)?;
    statement.raw_bind_parameter(place + 3, record.meta.last_changed_at)?;
    statement.raw_bind_parameter(place + 4, position.0)?;
    statement.raw_bind_parameter(place + 5, decide::field_versions_to_text(model, field_versions))?;
    match statement.raw_execute()? {
        1 => Ok(()),
        count => Err(rusqlite::Error::StatementChangedRows(count)),
    }
}
