//! The laws that every world keeps, each a function that says what it saw when one did not hold.
//!
//! - 1 [`convergence`];
//! - 2 fresh eyes, in `world::rest`;
//! - 3 [`no_double_effect`], [`applied_whole`]; no lost write, in `world::rest`;
//! - 4 [`read_your_writes`];
//! - 5 [`cursor_honesty`], [`next_position`];
//! - 6 [`history::History::merge_laws`];
//! - 7 [`planner`];
//! - 8 [`bounds`], [`stuck`]; what is looked at when all rests, in `world::rest`.

pub(crate) mod deed;
pub(crate) mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;
use tombolo_core::id::{ModelId, MutationNumber, Position};
use tombolo_core::query::MutationInput;
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{Model, MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_machine::limits::IN_FLIGHT_MAX;
use tombolo_machine::{Base, EntryState, OutboxEntry, Status, StoreTx};
use tombolo_store::Tx;

use self::deed::Deed;
use crate::naive::{PAGES_MAX, Query};
use crate::op::{Kind, RecordName};

/// The server's rows, by model and key text, as its own verdicts made them.
pub(crate) type Rows = BTreeMap<(ModelId, String), (Position, Record)>;

/// What a user meant with one mutation, noted when the call returned.
#[derive(Clone, Debug)]
pub(crate) struct Meant {
    pub(crate) kind: MutationKind,
    pub(crate) model: ModelId,
    pub(crate) key: String,
    /// Field name → value.
    pub(crate) sets: BTreeMap<String, Value>,
    /// What was done to counters and sets.
    pub(crate) deeds: Vec<Deed>,
    /// The replica said that it was taken back, or the app dismissed its rejection.
    pub(crate) gone: bool,
    /// A process died while this was being changed: either version is right.
    pub(crate) uncertain: bool,
    /// The wedged mutation that was edited into this one, and how many of the deeds are that one's.
    pub(crate) replaces: Option<(u64, usize)>,
}

/// How the server decided one mutation, and whether it changed a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decided {
    pub(crate) outcome: OutcomeKind,
    pub(crate) position: Option<Position>,
    /// The mutation itself, if the server could read it.
    pub(crate) input: Option<MutationInput>,
}

/// **No double effect** (3). A mutation is decided once; every later answer says the same and changes nothing.
pub(crate) fn no_double_effect(
    before: Option<&Decided>,
    now: &Decided,
    changed: bool,
    number: u64,
) -> Result<(), String> {
    match before {
        Some(before) if (before.outcome, before.position) != (now.outcome, now.position) => {
            Err(format!("mutation {number} was {before:?} and is now {now:?}"))
        }
        Some(before) if is_another(before.input.as_ref(), now.input.as_ref()) => Err(format!(
            "the outcome of {:?} was given to {:?}, which has its number {number}",
            before.input, now.input
        )),
        Some(_) if changed => Err(format!("mutation {number} changed a record a second time")),
        Some(_) | None => Ok(()),
    }
}

/// Whether two mutations that came under one number are not the same.
fn is_another(before: Option<&MutationInput>, now: Option<&MutationInput>) -> bool {
    before.zip(now).is_some_and(|(before, now)| {
        (before.model, before.kind, &before.values, &before.operations)
            != (now.model, now.kind, &now.values, &now.operations)
    })
}

/// **No lost field** (3). A mutation that was applied as it was sent stands in the record with every field that it set, but for
/// those in `done`: what it replaced had set them the same, and was carried out.
pub(crate) fn applied_whole(
    model: &Model,
    meant: &Meant,
    done: &BTreeSet<String>,
    after: &Record,
) -> Result<(), String> {
    if meant.uncertain {
        return Ok(());
    }
    if meant.kind == MutationKind::Delete {
        return if after.meta.deleted {
            Ok(())
        } else {
            Err(format!("{} was to be deleted: {after:?}", meant.key))
        };
    }
    // Of a maximum the greater stands, which may be another's.
    for (name, value) in &meant.sets {
        if name == "best" || done.contains(name) {
            continue;
        }
        let stands = model.field(name).map(|field| after.value(field));
        if stands != Some(value) {
            return Err(format!(
                "{} was to have {name} = {value:?} and has {stands:?}",
                meant.key
            ));
        }
    }
    Ok(())
}

/// **Merge laws** (6) of counters and sets: the operation that arrives is what the user did, however it was folded on the
/// way; what it makes of the record the history checks. So sums and members are those of the accepted mutations.
pub(crate) fn operations_whole(
    model: &Model,
    meant: &Meant,
    input: Option<&MutationInput>,
    after: &Record,
    difference: bool,
) -> Result<(), String> {
    // Another kind came: it was folded into a mutation whose call never returned.
    let told = |input: &&MutationInput| input.kind == meant.kind && !meant.uncertain && !meant.deeds.is_empty();
    let Some(input) = input.filter(told) else {
        return Ok(());
    };
    // Of one that replaces another which was carried out after all, only what it adds goes on.
    let done = meant.replaces.filter(|_| difference).map_or(0, |(_, deeds)| deeds);
    let wanted = deed::sum(meant.deeds.get(done..).unwrap_or_default());
    let wrong = |came: String| {
        Err(format!(
            "{} {}: {:?} were done, {came} came",
            model.name, meant.key, meant.deeds
        ))
    };
    match meant.kind {
        MutationKind::Update => {
            let came = deed::sum_of(input.operations.iter().map(|(_, operation)| operation));
            let members = |came: &BTreeMap<String, bool>| {
                // To put or take again what is so already changes nothing.
                difference && wanted.1.iter().all(|(member, put)| came.get(member) == Some(put)) || *came == wanted.1
            };
            if came.0 == wanted.0 && members(&came.1) {
                Ok(())
            } else {
                wrong(format!("{came:?}"))
            }
        }
        MutationKind::Create => {
            let value = |name: &str| {
                model
                    .field(name)
                    .map_or(Json::Null, |field| after.value(field).to_json())
            };
            let (likes, members) = (value("likes"), value("members"));
            let put: BTreeSet<&str> = wanted
                .1
                .iter()
                .filter(|(_, put)| **put)
                .map(|(m, _)| m.as_str())
                .collect();
            let held: BTreeSet<&str> = members
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .collect();
            if likes.as_i64().unwrap_or_default() == wanted.0 && held == put {
                Ok(())
            } else {
                wrong(format!("{likes} and {members}"))
            }
        }
        MutationKind::Delete => Ok(()),
    }
}

/// **Positions** (5). Each change has the next position.
pub(crate) fn next_position(last: Position, position: Position) -> Result<(), String> {
    if position.0 == last.0 + 1 {
        Ok(())
    } else {
        Err(format!("position {} came after {}", position.0, last.0))
    }
}

/// **Read your writes** (4). The view row of a record is its base row with every unsettled mutation of this replica on it,
/// in order. Laid here field by field, without the machine's own function.
pub(crate) fn read_your_writes(tx: &mut dyn StoreTx, schema: &Schema, entries: &[OutboxEntry]) -> Result<(), String> {
    let mut records: BTreeMap<(ModelId, String), Vec<&OutboxEntry>> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|e| !matches!(e.state, EntryState::Rejected(_) | EntryState::GivenUp))
    {
        let Some(model) = schema.models.iter().position(|m| m.name == entry.intent.model) else {
            continue;
        };
        records
            .entry((ModelId(model), entry.intent.key_text()))
            .or_default()
            .push(entry);
    }
    for ((id, text), entries) in records {
        let Some(model) = schema.models.get(id.0) else { continue };
        let Some(key) = entries.first().and_then(|e| e.intent.key_for(model)) else {
            continue;
        };
        let view = tx.view(id, &key).map_err(|e| e.to_string())?;
        let base = match tx.base(id, &key).map_err(|e| e.to_string())? {
            Base::Saved(base) => base,
            Base::Unsaved => return Err(format!("{text} has unsettled mutations and no base row kept apart")),
        };
        // What must stand: whether the record shows, and the last value given for each field.
        let mut shows = base.as_ref().is_some_and(|b| !b.meta.deleted);
        let mut fields: BTreeMap<&str, Json> = BTreeMap::new();
        if let Some(base) = &base {
            fields.extend(
                model
                    .fields
                    .iter()
                    .zip(&base.values)
                    .map(|(f, v)| (f.name.as_str(), v.to_json())),
            );
        }
        // What has landed in the base row is not laid upon it once more.
        for entry in entries.into_iter().filter(|entry| !entry.in_base) {
            match entry.intent.kind {
                MutationKind::Create => {
                    // Nothing of a deleted record comes back with a new one under its id.
                    if !shows {
                        fields.clear();
                    }
                    shows = true;
                }
                MutationKind::Update if shows => {}
                MutationKind::Update => continue,
                MutationKind::Delete => {
                    shows = false;
                    continue;
                }
            }
            for (name, value) in &entry.intent.values {
                // Of a maximum the greater shows; a creation knows of no other value.
                let greater = fields.get("best").and_then(Json::as_i64).max(value.as_i64());
                let updates = entry.intent.kind == MutationKind::Update;
                match greater.filter(|_| updates && name == "best" && !value.is_null()) {
                    Some(greater) => fields.insert(name.as_str(), Json::from(greater)),
                    None => fields.insert(name.as_str(), value.clone()),
                };
            }
            for (name, operation) in &entry.intent.operations {
                let next = deed::laid(fields.get(name.as_str()), operation);
                fields.insert(name.as_str(), next);
            }
        }
        let seen = view.filter(|row| !row.meta.deleted);
        if shows != seen.is_some() {
            return Err(format!("{text} is to show: {shows}; it shows: {}", seen.is_some()));
        }
        if let Some(row) = seen {
            for (field, value) in model.fields.iter().zip(&row.values) {
                // Times are the device's own until the server has spoken.
                let own_time = field.name == "createdAt" || field.name == "updatedAt";
                let wanted = fields.get(field.name.as_str()).cloned().unwrap_or(Json::Null);
                if !own_time && value.to_json() != wanted {
                    return Err(format!("{text}: {} is {value:?}, own edits say {wanted}", field.name));
                }
            }
        }
    }
    Ok(())
}

/// Whether a row outside the scope is held. After a compaction the tombstone of an earlier life may be: nothing tells the
/// replica of a record that was made anew outside its scope, and a tombstone shows nothing.
fn is_held(base: Option<&Record>, pruned: Position) -> bool {
    base.is_some_and(|row| !row.meta.deleted || pruned == Position(0))
}

/// **Cursor honesty** (5). For every record whose newest change is at or below the cursor: the replica's base row is that
/// change, if it is in the scope; and if it is not, and no base sync is under way, the replica does not hold it.
pub(crate) fn cursor_honesty(
    tx: &mut dyn StoreTx,
    schema: &Schema,
    rows: &Rows,
    id: ModelId,
    (through, pruned): (Position, Position),
    base_sync: bool,
    in_scope: impl Fn(&Record) -> bool,
) -> Result<(), String> {
    let Some(model) = schema.models.get(id.0) else {
        return Ok(());
    };
    for ((_, text), (position, row)) in rows.iter().filter(|((m, _), (p, _))| *m == id && *p <= through) {
        let key = row.key(&model.key);
        let base = base_row(tx, id, &key)?;
        if in_scope(row) {
            if (base.is_none() || base_sync) && row.meta.deleted && *position <= pruned {
                // The tombstone is not told any more: the end of a base sync sweeps what it does not bring.
                continue;
            }
            if base.as_ref() != Some(row) {
                return Err(format!(
                    "the cursor of {} stands at {}, {text} of position {} is {row:?}, the base row is {base:?}",
                    model.name, through.0, position.0
                ));
            }
        } else if is_held(base.as_ref(), pruned) && !base_sync {
            return Err(format!(
                "the cursor of {} stands at {}, {text} left the scope at {} and is still held: {base:?}",
                model.name, through.0, position.0
            ));
        }
    }
    Ok(())
}

/// **Convergence** (1). With everything delivered a replica's base rows are exactly the server's rows of its scope,
/// tombstones included; and where it has no unsettled mutation of a record, what it shows is the base row.
pub(crate) fn convergence(
    tx: &mut dyn StoreTx,
    schema: &Schema,
    rows: &Rows,
    id: ModelId,
    pruned: Position,
    unsettled: &BTreeSet<(String, String)>,
    in_scope: impl Fn(&Record) -> bool,
) -> Result<(), String> {
    let Some(model) = schema.models.get(id.0) else {
        return Ok(());
    };
    for ((_, text), (position, row)) in rows.iter().filter(|((m, _), _)| *m == id) {
        let key = row.key(&model.key);
        let mut wanted = in_scope(row).then_some(row);
        let base = base_row(tx, id, &key)?;
        if wanted.is_none() && !is_held(base.as_ref(), pruned) {
            continue;
        }
        if row.meta.deleted && *position <= pruned && base.is_none() {
            // The tombstone need not be known to anybody any more.
            wanted = None;
        }
        if base.as_ref() != wanted {
            return Err(format!(
                "{} {text}: the server says {wanted:?}, the replica's base row is {base:?}",
                model.name
            ));
        }
        if unsettled.contains(&(model.name.clone(), text.clone())) {
            continue;
        }
        let view = tx.view(id, &key).map_err(|e| e.to_string())?;
        if view.as_ref() != wanted {
            return Err(format!(
                "{} {text}: the server says {wanted:?}, the replica shows {view:?}",
                model.name
            ));
        }
    }
    Ok(())
}

/// **Planner** (7). What a plan run in SQLite answers, page by page, is what a naive look at every record answers, in the
/// same order.
pub(crate) fn planner(
    tx: &mut Tx<'_>,
    schema: &Arc<Schema>,
    named: &BTreeSet<RecordName>,
    query: &Query,
) -> Result<(), String> {
    let mut records: BTreeMap<Kind, Vec<Json>> = BTreeMap::new();
    for name in named {
        let id = ModelId(name.kind as usize);
        let key = Key(vec![Value::Text(name.number.to_string())]);
        let row = tx.view(id, &key).map_err(|e| e.to_string())?;
        if let (Some(row), Some(model)) = (row.filter(|row| !row.meta.deleted), schema.models.get(id.0)) {
            let fields = model.fields.iter().zip(&row.values);
            let object = fields
                .map(|(field, value)| (field.name.clone(), value.to_json()))
                .collect();
            records.entry(name.kind).or_default().push(Json::Object(object));
        }
    }
    let wanted = query.answer(&|kind| records.get(&kind).cloned().unwrap_or_default());
    let (mut items, mut token) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let bound = query.bind(schema, token.as_ref())?;
        let answer = tx.answer(bound.execute()).map_err(|e| e.to_string())?;
        if !answer.errors.is_empty() {
            return Err(format!("{query:?}: {:?}", answer.errors));
        }
        let data: Json = serde_json::from_slice(&answer.data).map_err(|e| e.to_string())?;
        let root = data.get(query.root).cloned().unwrap_or_default();
        if !query.is_list() {
            return if root == wanted {
                Ok(())
            } else {
                Err(format!("{query:?} answers {root}, naively {wanted}"))
            };
        }
        items.extend(root["items"].as_array().cloned().unwrap_or_default());
        token = Some(root["nextToken"].clone()).filter(|token| !token.is_null());
        if token.is_none() {
            let got = Json::Array(items);
            return if got == wanted {
                Ok(())
            } else {
                Err(format!("{query:?} answers {got}, naively {wanted}"))
            };
        }
    }
    Err(format!("{query:?} has more than {PAGES_MAX} pages"))
}

/// **Bounds** (8), while a replica works: no queue of the machine or of the outbox above its limit.
pub(crate) fn bounds(status: &Status, outbox_max: usize) -> Result<(), String> {
    if status.in_flight > IN_FLIGHT_MAX as u64 {
        return Err(format!(
            "{} mutations are in flight; the most is {IN_FLIGHT_MAX}",
            status.in_flight
        ));
    }
    let held = status.pending + status.wedged + status.rejected;
    if held > outbox_max as u64 {
        return Err(format!("the outbox holds {held} mutations; the most is {outbox_max}"));
    }
    Ok(())
}

/// **Bounds** (8), when all has been delivered: an entry that is neither rejected nor wedged waits for one that is wedged,
/// or for one that does. Gives back the numbers of those that wait.
pub(crate) fn stuck(entries: &[OutboxEntry]) -> BTreeSet<MutationNumber> {
    let mut stuck: BTreeSet<MutationNumber> = entries
        .iter()
        .filter(|entry| matches!(entry.state, EntryState::Wedged { .. }))
        .map(|entry| entry.number)
        .collect();
    // Entries depend on earlier ones alone.
    for entry in entries.iter().filter(|entry| entry.state == EntryState::Queued) {
        if entry.depends_on.iter().any(|number| stuck.contains(number)) {
            stuck.insert(entry.number);
        }
    }
    stuck
}

fn base_row(tx: &mut dyn StoreTx, model: ModelId, key: &Key) -> Result<Option<Record>, String> {
    match tx.base(model, key).map_err(|e| e.to_string())? {
        Base::Saved(base) => Ok(base),
        Base::Unsaved => tx.view(model, key).map_err(|e| e.to_string()),
    }
}
