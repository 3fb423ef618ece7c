//! The queue of unsent mutations, in the order in which the adapter would have sent it.
//!
//! What the adapters keep of a mutation:
//! - on iOS the whole record as it was after the edit, without the fields that were null. An update therefore sets each field
//!   that the old table has; the server writes those that nobody else has changed since the version that the phone knew, and
//!   merges the others by the model's rules. So an edit gets through, and nobody else's is taken back;
//! - on Android the fields that were changed, or, in older releases, the whole record.
//!
//! **Order**: that of the adapter. Android sends by row, whatever the clock said. iOS sorts by the time at which a mutation was
//! made, and then by row; but if by those times the creation of a record stood behind a change of it (somebody has set the
//! phone's clock back), the rows' own order counts.
//!
//! **In flight**: both send one after the other, so the first may have been sent. Android marks nothing. iOS marks what it
//! sends, but takes all marks away whenever its sync engine starts, before any network: no mark says nothing of the first.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};
use tombolo_core::id::{FieldId, ModelId, Version};
use tombolo_core::record::{Meta, Record};
use tombolo_core::schema::{Model, MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_machine::{ImportedMutation, NewMutation};

use super::file::{DatastoreFile, Metadata};
use super::raw::{EVENTS, RECORDS, Raw, events, kind_of, records};
use super::report::{ImportError, ImportFormat, ImportProblem, ImportReport};
use super::rows::Read;
use super::text;
use super::values::{self, Target};
use super::{DatastoreQueue, Source};

/// The queue as it was read.
#[derive(Debug, Default)]
pub(super) struct Queue {
    read: DatastoreQueue,
    creates: BTreeSet<(ModelId, String)>,
    has: BTreeSet<(ModelId, String)>,
    deleted: Vec<(ModelId, String, Record)>,
}

impl Queue {
    /// Whether the record's creation is among them.
    pub(super) fn creates(&self, model: ModelId, key: &str) -> bool {
        self.creates.contains(&(model, key.to_owned()))
    }

    pub(super) fn has(&self, model: ModelId, key: &str) -> bool {
        self.has.contains(&(model, key.to_owned()))
    }

    /// The records of a model that are deleted, by identifier, as they were before.
    pub(super) fn deleted(&self, model: ModelId) -> impl Iterator<Item = (&String, &Record)> {
        self.deleted
            .iter()
            .filter(move |(of, ..)| *of == model)
            .map(|(_, id, record)| (id, record))
    }

    pub(super) fn len(&self) -> u64 {
        self.read.mutations.len() as u64
    }

    pub(super) fn into_queue(self) -> DatastoreQueue {
        self.read
    }
}

/// Reads it. What cannot be taken is in the report.
pub(super) fn read(
    file: &DatastoreFile,
    schema: &Schema,
    metadata: &Metadata,
    author: Option<&str>,
    report: &mut ImportReport,
) -> Result<Queue, ImportError> {
    let (table, mut raw) = match file.format() {
        ImportFormat::Ios => (EVENTS, events(file)?),
        ImportFormat::Android => (RECORDS, records(file)?),
    };
    if file.format() == ImportFormat::Ios {
        in_order(&mut raw);
    }
    if let Some(first) = raw.first_mut() {
        first.may_be_sent = true;
    }
    let mut queue = Queue::default();
    for raw in raw {
        let problem = |column: Option<String>, problem: String| ImportProblem {
            table: table.to_owned(),
            row: Some(raw.id.clone()),
            column,
            problem,
            is_mutation: true,
            content: Some(raw.content.clone()),
        };
        let made = Making {
            file,
            schema,
            metadata,
            raw: &raw,
        }
        .mutation(author, &mut queue, report);
        match made? {
            Ok(mutation) => {
                report.mutations_may_be_sent += u64::from(raw.may_be_sent);
                queue.read.mutations.push(ImportedMutation {
                    mutation,
                    made_at_ms: raw.time.map(|(_, ms)| ms),
                    may_be_sent: raw.may_be_sent,
                });
                queue.read.sources.push(Source::Queue(problem(None, String::new())));
            }
            Err((column, why)) => report.lost(problem(column, why)),
        }
    }
    Ok(queue)
}

/// Sorts those of iOS; see the module.
fn in_order(raw: &mut Vec<Raw>) {
    let is_torn = |order: &[usize], raw: &[Raw]| {
        let mut changed = BTreeSet::new();
        order.iter().filter_map(|at| raw.get(*at)).any(|one| {
            let name = (one.model.as_deref(), one.record.as_str());
            match one.kind {
                Some(MutationKind::Create) => changed.contains(&name),
                Some(MutationKind::Update | MutationKind::Delete) => {
                    changed.insert(name);
                    false
                }
                None => false,
            }
        })
    };
    let rows: Vec<usize> = (0..raw.len()).collect();
    if raw.iter().any(|one| one.time.is_none()) {
        return;
    }
    let mut times = rows.clone();
    times.sort_by_key(|at| raw.get(*at).and_then(|one| one.time));
    if is_torn(&times, raw) && !is_torn(&rows, raw) {
        return;
    }
    let mut slots: Vec<Option<Raw>> = raw.drain(..).map(Some).collect();
    raw.extend(
        times
            .into_iter()
            .filter_map(|at| slots.get_mut(at).and_then(Option::take)),
    );
}

/// The column or member, and what is wrong with it.
type Refused = (Option<String>, String);

/// One mutation in the making.
struct Making<'a> {
    file: &'a DatastoreFile,
    schema: &'a Schema,
    metadata: &'a Metadata,
    raw: &'a Raw,
}

impl Making<'_> {
    fn mutation(
        &self,
        author: Option<&str>,
        queue: &mut Queue,
        report: &mut ImportReport,
    ) -> Result<Result<NewMutation, Refused>, ImportError> {
        let raw = self.raw;
        let whole = |why: &str| Ok(Err((None, why.to_owned())));
        let Some(name) = &raw.model else {
            return whole("it does not say of which model it is");
        };
        let Some(id) = self.schema.model_once_named(name) else {
            return whole(&format!("the schema has no model {name}"));
        };
        let Some(kind) = raw.kind else {
            return whole("it is no create, update or delete");
        };
        let item = match &raw.item {
            Ok(item) => item,
            Err(why) => return Ok(Err((None, format!("its content cannot be read: {why}")))),
        };
        let condition = match &raw.condition {
            Ok(condition) => condition.as_ref(),
            Err(why) => return Ok(Err((None, format!("its condition cannot be read: {why}")))),
        };
        let model = &self.schema[id];
        let condition = match condition.map(|json| self.renamed(model, json)).transpose() {
            Ok(condition) => condition,
            Err(why) => return Ok(Err((None, format!("its condition cannot be said: {why}")))),
        };
        let mut given = match self.given(model, kind, item, report) {
            Ok(given) => given,
            Err(refused) => return Ok(Err(refused)),
        };
        if kind == MutationKind::Update && raw.whole {
            // What is not there was null.
            for column in self.file.columns(name)? {
                let fields = match values::target(model, &column) {
                    Target::Field(field) => vec![field],
                    Target::Reference(relation) => relation.source_fields.clone(),
                    Target::Nothing | Target::Unknown => Vec::new(),
                };
                for field in fields {
                    let definition = model.field_at(field);
                    let may = definition.origin.is_given() && !definition.ty.required;
                    if may && !model.key.contains(&field) && given.iter().all(|(of, _)| *of != field) {
                        given.push((field, Value::Null));
                    }
                }
            }
        }
        let record = Record {
            values: values_of(model, &given),
            meta: Meta::default(),
        };
        let key = record.key(&model.key);
        let name_of = (id, key.to_text());
        match kind {
            MutationKind::Create => drop(queue.creates.insert(name_of.clone())),
            MutationKind::Update => {}
            MutationKind::Delete => {
                if let Some(before) = self.before(model, item, &key.0) {
                    queue.deleted.push((id, self.identifier(&key.0), before));
                }
            }
        }
        queue.has.insert(name_of);
        let known = self
            .metadata
            .of(name, &self.identifier(&key.0))
            .map(|meta| meta.version.0);
        let base = raw
            .version
            .max(known)
            .filter(|version| *version > 0 && kind != MutationKind::Create);
        Ok(Ok(NewMutation {
            model: id,
            kind,
            values: given,
            operations: Vec::new(),
            base_version: base.map(Version),
            read: None,
            condition,
            author: author.map(str::to_owned),
        }))
    }

    /// The identifier under which the old file knows the record.
    fn identifier(&self, key: &[Value]) -> String {
        if self.raw.record.is_empty() {
            values::identifier(key)
        } else {
            self.raw.record.clone()
        }
    }

    /// The values that the mutation sets, its key first.
    fn given(
        &self,
        model: &Model,
        kind: MutationKind,
        item: &Map<String, Json>,
        report: &mut ImportReport,
    ) -> Result<Vec<(FieldId, Value)>, Refused> {
        let raw = self.raw;
        let mut given: Vec<(FieldId, Value)> = Vec::new();
        let parts = text::identifier(&raw.record, model.key.len());
        for (at, field) in model.key.iter().enumerate() {
            let definition = model.field_at(*field);
            let member = definition
                .former
                .iter()
                .chain([&definition.name])
                .find_map(|name| item.get(name));
            let of_id = || {
                parts
                    .as_ref()
                    .and_then(|parts| parts.get(at))
                    .map(|part| Json::String(part.clone()))
            };
            let json = member.filter(|json| !json.is_null()).cloned().or_else(of_id);
            let json = values::of_text(model, *field, &json.unwrap_or(Json::Null));
            let value = values::parse(self.schema, model, *field, &json);
            match value {
                Ok(value) if !value.is_null() => given.push((*field, value)),
                Ok(_) => return Err((Some(definition.name.clone()), "it has no key".to_owned())),
                Err(why) => return Err((Some(definition.name.clone()), why)),
            }
        }
        if kind == MutationKind::Delete {
            return Ok(given);
        }
        let (mut own, mut by_relation) = (Vec::new(), Vec::new());
        for (name, json) in item {
            match values::target(model, name) {
                Target::Field(field) => own.push((field, name, values::plain(json.clone()))),
                Target::Reference(relation) => match values::reference(self.schema, relation, json) {
                    Some(parts) => by_relation.extend(
                        parts
                            .into_iter()
                            .map(|(field, json)| (field, name, values::of_text(model, field, &json))),
                    ),
                    None => return Err((Some(name.clone()), format!("it names no record of `{}`", relation.name))),
                },
                Target::Unknown if is_identifier(name, json) => {}
                Target::Unknown if !json.is_null() && json.as_array().is_none_or(|items| !items.is_empty()) => {
                    let what = format!("{} has no such field: the mutation goes without it", model.name);
                    report.note(
                        raw.model.as_deref().unwrap_or_default(),
                        Some(&raw.id),
                        Some(name),
                        what,
                    );
                }
                Target::Nothing | Target::Unknown => {}
            }
        }
        // A key in fields of its own goes before the record beside it, but a null there says nothing.
        let (nulls, own): (Vec<_>, Vec<_>) = own.into_iter().partition(|(_, _, json)| json.is_null());
        for (field, name, json) in own.into_iter().chain(by_relation).chain(nulls) {
            let definition = model.field_at(field);
            if model.key.contains(&field) || !definition.origin.is_given() || given.iter().any(|(of, _)| *of == field) {
                continue;
            }
            if json.is_null() && (kind == MutationKind::Create || (raw.whole && definition.ty.required)) {
                continue;
            }
            match values::parse(self.schema, model, field, &json) {
                Ok(value) => given.push((field, value)),
                Err(why) => return Err((Some(name.clone()), why)),
            }
        }
        Ok(given)
    }

    /// A deleted record as the content of its deletion shows it, if it shows it whole.
    fn before(&self, model: &Model, item: &Map<String, Json>, key: &[Value]) -> Option<Record> {
        let mut read = Read::new(model);
        for (field, value) in model.key.iter().zip(key) {
            read.take(self.schema, *field, "", Ok(value.to_json()));
        }
        for (name, json) in item {
            match values::target(model, name) {
                Target::Field(field) => read.take(self.schema, field, name, Ok(values::plain(json.clone()))),
                Target::Reference(relation) => {
                    for (field, json) in values::reference(self.schema, relation, json).unwrap_or_default() {
                        read.take(self.schema, field, name, Ok(values::of_text(model, field, &json)));
                    }
                }
                Target::Nothing | Target::Unknown => {}
            }
        }
        let (record, problems) = read.finish(Meta::default());
        problems.is_empty().then_some(record)
    }

    /// A condition in the words of the present schema.
    fn renamed(&self, model: &Model, condition: &Json) -> Result<Json, String> {
        let Json::Object(map) = condition else {
            return Err(format!("it is {}", kind_of(condition)));
        };
        let mut renamed = Map::new();
        for (name, json) in map {
            match (name.as_str(), json) {
                ("and" | "or", Json::Array(parts)) => {
                    let parts: Result<Vec<Json>, String> = parts.iter().map(|part| self.renamed(model, part)).collect();
                    renamed.insert(name.clone(), Json::Array(parts?));
                }
                ("and" | "or" | "not", part) => drop(renamed.insert(name.clone(), self.renamed(model, part)?)),
                (name, test) => {
                    let field = match values::target(model, name) {
                        Target::Field(field) => Some(field),
                        Target::Reference(relation) => match relation.source_fields.as_slice() {
                            [one] => Some(*one),
                            _ => None,
                        },
                        Target::Nothing | Target::Unknown => None,
                    };
                    let field = field.ok_or_else(|| format!("{} has no field `{name}`", model.name))?;
                    renamed.insert(model.field_at(field).name.clone(), test.clone());
                }
            }
        }
        Ok(Json::Object(renamed))
    }
}

/// The key once more: Android's classes with a key of several fields keep it in a member of its own (`teamIdentifier`).
fn is_identifier(name: &str, json: &Json) -> bool {
    let parts = json.as_object().filter(|_| name.ends_with("Identifier"));
    parts.is_some_and(|parts| parts.len() == 2 && parts.contains_key("key") && parts.contains_key("sortedKeys"))
}

fn values_of(model: &Model, given: &[(FieldId, Value)]) -> Vec<Value> {
    let mut values = vec![Value::Null; model.fields.len()];
    for (field, value) in given {
        if let Some(slot) = values.get_mut(field.0) {
            slot.clone_from(value);
        }
    }
    values
}
