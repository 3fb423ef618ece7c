//! A feed page into the view: raw JSON rows straight into one prepared statement, no tree of values in between.
//!
//! Records with unsettled mutations are rare. While a model has none the rows are bound as they are parsed; otherwise
//! each row is read first, and those of such records are set aside for the machine to rebase.

use std::fmt;

use rusqlite::types::Null;
use rusqlite::{Connection, Statement, params_from_iter};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};
use tombolo_core::id::Version;
use tombolo_core::record::{Key, Meta, Record};
use tombolo_core::schema::{Model, Storage};
use tombolo_core::value::Value;
use tombolo_core::wire::batch::{ChangeBatch, META_FIELDS};
use tombolo_machine::limits::CHANGED_KEYS_MAX;
use tombolo_machine::{Applied, StoreError};

use crate::cell::{Cell, Column, ToStatement, ToValue};
use crate::error::failure;
use crate::reader::Param;
use crate::sql::{EXTRA, ModelSql, key_columns, quote, upsert};

/// Writes the rows of a page.
pub(crate) fn apply(
    conn: &Connection,
    model: &Model,
    sql: &ModelSql,
    batch: &ChangeBatch,
    generation: i64,
) -> Result<Applied, StoreError> {
    let (columns, statement, missing) = columns(model, &batch.fields)?;
    let mut prepared = conn.prepare_cached(&statement).map_err(failure)?;
    let extra = columns.iter().filter(|c| c.parameter.is_some()).count() + 1;
    prepared.raw_bind_parameter(extra, Null).map_err(failure)?;
    for (at, place) in missing.iter().enumerate() {
        let value = fill(model, *place).unwrap_or(&Value::Null);
        prepared
            .raw_bind_parameter(extra + 1 + at, Param(value))
            .map_err(failure)?;
    }
    prepared
        .raw_bind_parameter(extra + 1 + missing.len(), generation)
        .map_err(failure)?;
    let any_base: bool = conn
        .prepare_cached(&sql.any_base)
        .and_then(|mut s| s.query_row([], |row| row.get(0)))
        .map_err(failure)?;
    let mut sink = Sink {
        has_base: if any_base {
            Some(conn.prepare_cached(&sql.has_base).map_err(failure)?)
        } else {
            None
        },
        extra_base: if any_base {
            Some(conn.prepare_cached(&sql.extra_base).map_err(failure)?)
        } else {
            None
        },
        statement: &mut prepared,
        columns: &columns,
        names: &batch.fields,
        extra: Map::new(),
        extra_parameter: extra,
        extra_bound: false,
        model,
        applied: Applied {
            keys: Some(Vec::new()),
            ..Applied::default()
        },
        failed: None,
    };
    let mut json = serde_json::Deserializer::from_str(batch.rows.get());
    let outcome = json.deserialize_seq(Rows(&mut sink));
    if let Some(error) = sink.failed {
        return Err(match &error {
            rusqlite::Error::SqliteFailure(code, _) if code.code == rusqlite::ErrorCode::ConstraintViolation => {
                StoreError::BadBatch(format!("a row of {} does not fit: {error}", model.name))
            }
            _ => failure(error),
        });
    }
    outcome.map_err(|error| StoreError::BadBatch(format!("rows of {}: {error}", model.name)))?;
    Ok(sink.applied)
}

/// What each position of a row is, the statement that takes them, and the places of fields that do not come but have a
/// default: parameters behind the others.
fn columns(model: &Model, fields: &[String]) -> Result<(Vec<Column>, String, Vec<usize>), StoreError> {
    let mut columns = Vec::with_capacity(fields.len());
    let mut names = Vec::with_capacity(fields.len());
    let mut seen = vec![false; model.fields.len() + META_FIELDS.len()];
    for name in fields {
        // A server of an earlier schema speaks the former names.
        let found = model.field_once_named(name).map(|field| {
            let ty = model.fields.get(field.0).map_or(Storage::Text, |f| f.ty.storage());
            (field.0, ty, model.key.iter().position(|k| *k == field))
        });
        let found = found.or_else(|| {
            let at = META_FIELDS.iter().position(|meta| meta == name)?;
            Some((
                model.fields.len() + at,
                if at == 1 { Storage::Bool } else { Storage::Int },
                None,
            ))
        });
        let Some((place, storage, key)) = found else {
            // A field that the server has and this schema does not, yet.
            columns.push(Column {
                storage: Storage::Json,
                parameter: None,
                place: 0,
                key: None,
                null_is_false: false,
                may_differ: true,
                fills: false,
            });
            continue;
        };
        if std::mem::replace(&mut seen[place], true) {
            return Err(StoreError::BadBatch(format!(
                "{}: the column `{name}` stands there twice",
                model.name
            )));
        }
        names.push(quote(model.fields.get(place).map_or(name, |field| &field.name)));
        columns.push(Column {
            storage,
            parameter: Some(names.len()),
            place,
            key,
            null_is_false: place == model.fields.len() + 1,
            may_differ: key.is_none() && place < model.fields.len(),
            fills: fill(model, place).is_some(),
        });
    }
    let required = model.key.iter().map(|f| f.0).chain(model.fields.len()..seen.len());
    for place in required {
        if !seen[place] {
            let name = model
                .fields
                .get(place)
                .map_or_else(|| META_FIELDS[place - model.fields.len()], |f| &f.name);
            return Err(StoreError::BadBatch(format!(
                "{}: the column `{name}` is missing",
                model.name
            )));
        }
    }
    names.push(EXTRA.to_owned());
    let missing = (0..model.fields.len()).filter(|place| !seen[*place] && fill(model, *place).is_some());
    let missing: Vec<usize> = missing.collect();
    let fills: Vec<String> = missing.iter().map(|place| quote(&model.fields[*place].name)).collect();
    let statement = upsert(&model.name, &names, &fills, &key_columns(model));
    Ok((columns, statement, missing))
}

struct Sink<'a, 'c> {
    statement: &'a mut Statement<'c>,
    /// Asks whether a record has a base row kept apart; `None` if no record of the model has.
    has_base: Option<rusqlite::CachedStatement<'c>>,
    extra_base: Option<rusqlite::CachedStatement<'c>>,
    columns: &'a [Column],
    names: &'a [String],
    /// What no column of this row takes, by field.
    extra: Map<String, Json>,
    extra_parameter: usize,
    /// The parameter holds what another row had.
    extra_bound: bool,
    model: &'a Model,
    applied: Applied,
    /// SQLite's failure, which the JSON parser cannot carry.
    failed: Option<rusqlite::Error>,
}

impl Sink<'_, '_> {
    fn note_key(&mut self, key: Vec<Value>) {
        if let Some(keys) = &mut self.applied.keys {
            if keys.len() < CHANGED_KEYS_MAX {
                keys.push(Key(key).to_text());
            } else {
                self.applied.keys = None;
            }
        }
    }

    /// What no column took, as its column takes it.
    fn take_extra(&mut self) -> Option<String> {
        let extra = std::mem::take(&mut self.extra);
        (!extra.is_empty()).then(|| Json::Object(extra).to_string())
    }

    /// All positions of the row are bound: writes it.
    fn write(&mut self) -> rusqlite::Result<()> {
        match self.take_extra() {
            Some(text) => {
                self.statement.raw_bind_parameter(self.extra_parameter, text)?;
                self.extra_bound = true;
            }
            None if self.extra_bound => {
                self.statement.raw_bind_parameter(self.extra_parameter, Null)?;
                self.extra_bound = false;
            }
            None => {}
        }
        self.statement.raw_execute()?;
        self.applied.rows += 1;
        Ok(())
    }

    /// A row read whole, because its record may have unsettled mutations.
    fn take(&mut self, values: Vec<Value>, key: Vec<Value>) -> rusqlite::Result<()> {
        let kept = match &mut self.has_base {
            Some(has_base) => has_base.exists(params_from_iter(key.iter().map(Param)))?,
            None => false,
        };
        if kept {
            let extra = self.take_extra().map_or(Value::Null, Value::Text);
            if let Some(statement) = &mut self.extra_base {
                statement.execute(params_from_iter([&extra].into_iter().chain(&key).map(Param)))?;
            }
            self.applied.set_aside.push(to_record(self.model, values));
            return Ok(());
        }
        for column in self.columns {
            if let (Some(parameter), Some(value)) = (column.parameter, values.get(column.place)) {
                self.statement.raw_bind_parameter(parameter, Param(value))?;
            }
        }
        self.note_key(key);
        self.write()
    }

    fn failed<E: serde::de::Error>(&mut self, error: rusqlite::Error) -> E {
        let words = E::custom(&error);
        self.failed = Some(error);
        words
    }
}

fn to_record(model: &Model, mut values: Vec<Value>) -> Record {
    let meta = values.split_off(model.fields.len());
    let int = |at: usize| match meta.get(at) {
        Some(Value::Int(i)) => *i,
        _ => 0,
    };
    let deleted = matches!(meta.get(1), Some(Value::Bool(true)));
    Record {
        values,
        meta: Meta {
            version: Version(int(0)),
            deleted,
            last_changed_at: int(2),
        },
    }
}

/// The array of rows.
struct Rows<'a, 'b, 'c>(&'a mut Sink<'b, 'c>);

impl<'de> Visitor<'de> for Rows<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(OneRow(self.0))?.is_some() {}
        Ok(())
    }
}

/// One row, an array.
struct OneRow<'a, 'b, 'c>(&'a mut Sink<'b, 'c>);

impl<'de> DeserializeSeed<'de> for OneRow<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OneRow<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of the row's values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        let sink = self.0;
        let columns = sink.columns;
        let short =
            |at: usize| A::Error::custom(format_args!("a row has {at} values, {} were announced", columns.len()));
        let whole = sink.has_base.is_some();
        let wants_key = whole || sink.applied.keys.is_some();
        let mut key = if wants_key {
            vec![Value::Null; sink.model.key.len()]
        } else {
            Vec::new()
        };
        let mut values = if whole {
            let fills = (0..sink.model.fields.len() + META_FIELDS.len()).map(|place| fill(sink.model, place));
            fills.map(|value| value.cloned().unwrap_or(Value::Null)).collect()
        } else {
            Vec::new()
        };
        let mut misfit = None;
        for (at, column) in columns.iter().enumerate() {
            let Some(parameter) = column.parameter else {
                let value: Json = row.next_element()?.ok_or_else(|| short(at))?;
                if let (false, Some(name)) = (value.is_null(), sink.names.get(at)) {
                    sink.extra.insert(name.clone(), value);
                }
                continue;
            };
            let fill = if column.fills {
                fill(sink.model, column.place)
            } else {
                None
            };
            if whole || (wants_key && column.key.is_some()) {
                let value = row
                    .next_element_seed(Cell {
                        column: *column,
                        to: ToValue,
                        misfit: &mut misfit,
                        fill,
                    })?
                    .ok_or_else(|| short(at))?;
                if let Some(slot) = column.key.and_then(|k| key.get_mut(k)) {
                    slot.clone_from(&value);
                }
                if whole {
                    if let Some(slot) = values.get_mut(column.place) {
                        *slot = value;
                    }
                } else {
                    sink.statement
                        .raw_bind_parameter(parameter, Param(&value))
                        .map_err(|e| sink.failed(e))?;
                }
            } else {
                let to = ToStatement {
                    statement: sink.statement,
                    parameter,
                };
                let bound = row
                    .next_element_seed(Cell {
                        column: *column,
                        to,
                        misfit: &mut misfit,
                        fill,
                    })?
                    .ok_or_else(|| short(at))?;
                bound.map_err(|e| sink.failed(e))?;
            }
            if let (Some(value), Some(name)) = (misfit.take(), sink.names.get(at)) {
                sink.extra.insert(name.clone(), value);
            }
        }
        if row.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom(format_args!(
                "a row has more than the {} values announced",
                columns.len()
            )));
        }
        let written = if whole {
            sink.take(values, key)
        } else {
            if wants_key {
                sink.note_key(key);
            }
            sink.write()
        };
        written.map_err(|e| sink.failed(e))
    }
}

/// What stands for a missing value of the field at `place`.
fn fill(model: &Model, place: usize) -> Option<&Value> {
    let field = model.fields.get(place).filter(|field| field.ty.required)?;
    field.default.as_ref()
}
