//! Rows of the old tables become view rows of generation 0: there at once, and swept by the first base sync if the server
//! does not have them any more.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Row;
use serde_json::Value as Json;
use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::record::{Key, Meta, Record};
use tombolo_core::schema::{Model, Schema};
use tombolo_core::value::Value;
use tombolo_machine::{ScopeRow, StoreError, StoreTx};

use super::file::{DatastoreFile, Metadata};
use super::queue::Queue;
use super::report::{ImportError, ImportFormat, ImportReport};
use super::text;
use super::uploads::{Upload, Uploads};
use super::values::{self, PRIMARY_KEY, Target};
use crate::sql::quote;
use crate::tx::Tx;

/// Rows of no base sync: older than those of any.
const GENERATION: i64 = 0;

/// Lays all records.
pub(super) fn lay(
    tx: &mut Tx<'_>,
    file: &DatastoreFile,
    metadata: &Metadata,
    queue: &Queue,
    uploads: &mut Uploads,
    report: &mut ImportReport,
) -> Result<(), ImportError> {
    let scopes: BTreeMap<String, ScopeRow> = tx.scopes()?.into_iter().map(|row| (row.model.clone(), row)).collect();
    for table in file.tables()? {
        let Some(id) = tx.schema().model_once_named(&table) else {
            let rows = file.count(&table)?;
            report.records_left += rows;
            report.records_unversioned += file.unversioned(&table, metadata)?;
            let what = format!("the schema has no model {table}: its {rows} rows were left where they are");
            report.note(&table, None, None, what);
            continue;
        };
        let name = tx.schema()[id].name.clone();
        // Where none are to be laid, those that the server may not have are looked for all the same.
        let (scope, why) = match scopes.get(&name) {
            Some(scope) if scope.cursor.is_none() => (Some(scope), ""),
            Some(_) => (None, "this replica has newer ones of the server"),
            None => (None, "this replica has no scope of it"),
        };
        let left = report.records_left;
        let mut laying = Laying {
            model: id,
            table: &table,
            is_laid: scope.is_some(),
            metadata,
            queue,
            uploads,
            beyond: 0,
            report,
        };
        laying.table(tx, file)?;
        if laying.beyond > 0 {
            let what = format!(
                "{} of its records are not uploaded, the old file alone has them: the outbox is full",
                laying.beyond
            );
            laying.report.note(&table, None, None, what);
        }
        let Some(scope) = scope else {
            let left = laying.report.records_left - left;
            if left > 0 {
                laying
                    .report
                    .note(&table, None, None, format!("{left} of its rows were left: {why}"));
            }
            continue;
        };
        laying.deleted(tx)?;
        laying.tombstones(tx)?;
        if let Some(filter) = &scope.filter {
            tx.keep_only(id, filter)?;
        }
    }
    Ok(())
}

/// Lays a record that is not uploaded: the old file is the only one that is sure to have it.
pub(super) fn lay_alone(tx: &mut Tx<'_>, upload: &Upload, report: &mut ImportReport) -> Result<(), StoreError> {
    report.records_unversioned += 1;
    if upload.is_laid {
        tx.put_view(upload.model, &upload.record, GENERATION)?;
        report.records += 1;
    } else {
        report.records_left += 1;
    }
    Ok(())
}

struct Laying<'a> {
    model: ModelId,
    table: &'a str,
    /// Records that the server has may be laid into the view.
    is_laid: bool,
    metadata: &'a Metadata,
    queue: &'a Queue,
    uploads: &'a mut Uploads,
    /// Records that there was no room to upload.
    beyond: u64,
    report: &'a mut ImportReport,
}

impl Laying<'_> {
    fn table(&mut self, tx: &mut Tx<'_>, file: &DatastoreFile) -> Result<(), ImportError> {
        let schema = tx.schema();
        let model = &schema[self.model];
        let columns = file.columns(self.table)?;
        let targets: Vec<Target<'_>> = columns.iter().map(|column| values::target(model, column)).collect();
        for (column, target) in columns.iter().zip(&targets) {
            if *target == Target::Unknown && self.is_laid {
                let what = format!("{} has no such field: its values were not taken", model.name);
                self.report.note(self.table, None, Some(column), what);
            }
        }
        let list: Vec<String> = columns.iter().map(|column| quote(column)).collect();
        let sql = format!("SELECT {} FROM {} ORDER BY rowid", list.join(", "), quote(self.table));
        let mut statement = file.conn().prepare(&sql).map_err(|error| file.failed(&error))?;
        let mut rows = statement.query([]).map_err(|error| file.failed(&error))?;
        while let Some(row) = rows.next().map_err(|error| file.failed(&error))? {
            self.row(tx, file.format(), row, &columns, &targets)?;
        }
        Ok(())
    }

    fn row(
        &mut self,
        tx: &mut Tx<'_>,
        format: ImportFormat,
        row: &Row<'_>,
        columns: &[String],
        targets: &[Target<'_>],
    ) -> Result<(), ImportError> {
        let schema = tx.schema();
        let model = &schema[self.model];
        let mut read = Read::new(model);
        let mut identifier = None;
        let mut is_whole = true;
        for (at, (column, target)) in columns.iter().zip(targets).enumerate() {
            let Ok(value) = row.get_ref(at) else { continue };
            match target {
                Target::Field(field) => {
                    read.take(schema, *field, column, values::column(format, model, *field, value));
                }
                Target::Reference(relation) => {
                    let json = match value {
                        rusqlite::types::ValueRef::Null => continue,
                        rusqlite::types::ValueRef::Integer(int) => Json::from(int),
                        other => match other.as_str() {
                            Ok(text) => Json::String(text.to_owned()),
                            Err(error) => {
                                read.problem(column, error.to_string());
                                continue;
                            }
                        },
                    };
                    match values::reference(schema, relation, &json) {
                        Some(parts) => parts.into_iter().for_each(|(field, json)| {
                            read.take(schema, field, column, Ok(values::of_text(model, field, &json)))
                        }),
                        None => read.problem(column, format!("it names no record of `{}`", relation.name)),
                    }
                }
                Target::Nothing if column == PRIMARY_KEY => identifier = value.as_str().ok().map(str::to_owned),
                Target::Unknown => is_whole &= matches!(value, rusqlite::types::ValueRef::Null),
                Target::Nothing => {}
            }
        }
        let key = read.key();
        let identifier = identifier.or_else(|| key.as_ref().map(|key| values::identifier(&key.0)));
        let shown = identifier.clone().unwrap_or_else(|| "?".to_owned());
        let meta = identifier.as_deref().and_then(|id| self.metadata.of(self.table, id));
        if meta.is_some() && !self.is_laid {
            self.report.records_left += 1;
            return Ok(());
        }
        let (mut record, problems) = read.finish(meta.unwrap_or_default());
        is_whole &= problems.is_empty();
        let fits = problems.iter().all(|(_, _, fatal)| !fatal);
        let is_queued = key
            .as_ref()
            .is_some_and(|key| self.queue.has(self.model, &key.to_text()));
        let is_alone = meta.is_none() && !is_queued;
        for (column, problem, _) in problems {
            self.report.note(self.table, Some(&shown), Some(&column), problem);
        }
        let Some(key) = key.filter(|_| fits) else {
            self.report.records_left += 1;
            self.report.records_unversioned += u64::from(is_alone);
            return Ok(());
        };
        if meta.is_none() && self.queue.creates(self.model, &key.to_text()) {
            // The creation, which is not settled, shows it.
            self.report.records += 1;
            return Ok(());
        }
        // A row that stands here is not deleted, whatever was noted of another one under this id.
        record.meta.deleted = false;
        let is_here = tx.view(self.model, &key)?.is_some() || self.uploads.has(self.model, &key.to_text());
        if is_here || (is_queued && !self.is_laid) {
            self.report.records_left += 1;
            return Ok(());
        }
        if is_alone {
            let upload = Upload {
                model: self.model,
                table: self.table.to_owned(),
                row: shown,
                record,
                is_laid: self.is_laid,
            };
            match self.uploads.take(&key.to_text(), upload) {
                // Counted when it is in the outbox.
                Ok(()) => self.report.records_unversioned += u64::from(!is_whole),
                Err(upload) => {
                    self.beyond += 1;
                    lay_alone(tx, &upload, self.report)?;
                }
            }
            return Ok(());
        }
        tx.put_view(self.model, &record, GENERATION)?;
        self.report.records += 1;
        Ok(())
    }

    /// Records that the user has deleted, which the server is still to hear of: below the deletion they are there.
    fn deleted(&mut self, tx: &mut Tx<'_>) -> Result<(), ImportError> {
        let schema = tx.schema();
        for (id, record) in self.queue.deleted(self.model) {
            let key = record.key(&schema[self.model].key);
            let Some(meta) = self.metadata.of(self.table, id).filter(|meta| !meta.deleted) else {
                continue;
            };
            if tx.view(self.model, &key)?.is_none() {
                let record = Record {
                    values: record.values.clone(),
                    meta,
                };
                tx.put_view(self.model, &record, GENERATION)?;
            }
        }
        Ok(())
    }

    fn tombstones(&mut self, tx: &mut Tx<'_>) -> Result<(), ImportError> {
        let schema = tx.schema();
        let model = &schema[self.model];
        for (id, meta) in self.metadata.tombstones(self.table) {
            let mut values = vec![Value::Null; model.fields.len()];
            let parts = text::identifier(id, model.key.len()).unwrap_or_default();
            let mut whole = parts.len() == model.key.len();
            for (field, part) in model.key.iter().zip(parts) {
                let json = values::of_text(model, *field, &Json::String(part));
                match values::parse(schema, model, *field, &json) {
                    Ok(value) if !value.is_null() => values[field.0] = value,
                    Ok(_) | Err(_) => whole = false,
                }
            }
            let record = Record { values, meta: *meta };
            let key = record.key(&model.key);
            if whole && tx.view(self.model, &key)?.is_none() {
                tx.put_view(self.model, &record, GENERATION)?;
                self.report.tombstones += 1;
            }
        }
        Ok(())
    }
}

/// A record in the making.
pub(super) struct Read<'m> {
    model: &'m Model,
    values: Vec<Option<Value>>,
    problems: Vec<(String, String, Option<FieldId>)>,
    /// Fields that were given a value which does not fit.
    misfits: BTreeSet<usize>,
}

impl<'m> Read<'m> {
    pub(super) fn new(model: &'m Model) -> Self {
        Self {
            model,
            values: vec![None; model.fields.len()],
            problems: Vec::new(),
            misfits: BTreeSet::new(),
        }
    }

    /// A field's value; the first that is not null counts.
    pub(super) fn take(&mut self, schema: &Schema, field: FieldId, column: &str, json: Result<Json, String>) {
        let value = match json {
            Ok(Json::Null) => return,
            Ok(json) => values::parse(schema, self.model, field, &json),
            Err(problem) => Err(problem),
        };
        match (value, self.values.get_mut(field.0)) {
            (Ok(value), Some(slot)) => drop(slot.get_or_insert(value)),
            (Ok(_), None) => {}
            (Err(problem), _) => {
                self.misfits.insert(field.0);
                self.problems.push((column.to_owned(), problem, Some(field)));
            }
        }
    }

    fn problem(&mut self, column: &str, problem: String) {
        self.problems.push((column.to_owned(), problem, None));
    }

    fn key(&self) -> Option<Key> {
        let value = |field: &FieldId| self.values.get(field.0).cloned().flatten();
        self.model.key.iter().map(value).collect::<Option<_>>().map(Key)
    }

    /// The record, and what is wrong with it, by column; `true`: without a value there it cannot be shown.
    pub(super) fn finish(mut self, meta: Meta) -> (Record, Vec<(String, String, bool)>) {
        let mut missing = Vec::new();
        for (at, field) in self.model.fields.iter().enumerate() {
            let Some(slot) = self.values.get_mut(at) else { continue };
            if slot.is_some() || !field.ty.required {
                continue;
            }
            let is_time = [self.model.created_at, self.model.updated_at].contains(&Some(FieldId(at)));
            if is_time {
                // Older releases did not keep it; the first sync brings it.
                *slot = Some(Value::date_time(meta.last_changed_at));
            } else if let (Some(default), false) = (&field.default, self.misfits.contains(&at)) {
                *slot = Some(default.clone());
            } else if !self.misfits.contains(&at) {
                let what = "it is required and has no value: the record was not taken".to_owned();
                missing.push((field.name.clone(), what, true));
            }
        }
        let required = |field: Option<FieldId>| field.is_some_and(|field| self.model.field_at(field).ty.required);
        let mut problems: Vec<(String, String, bool)> = self
            .problems
            .into_iter()
            .map(|(column, problem, field)| (column, problem, required(field)))
            .collect();
        problems.extend(missing);
        let values = self
            .values
            .into_iter()
            .map(|value| value.unwrap_or(Value::Null))
            .collect();
        (Record { values, meta }, problems)
    }
}
