//! Intent → GraphQL mutation request. The document's text is the same for every mutation of one model and kind, so that
//! the server's plan cache hits; what varies travels as variables.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};
use tombolo_core::id::{ModelId, ReplicaId};
use tombolo_core::schema::{Model, MutationKind, MutationRoot, Schema, api_name};
use tombolo_core::wire::envelope::MutationEnvelope;
use tombolo_core::wire::graphql::Request;

use crate::former::{self, Present};
use crate::outbox::{EntryState, Imported, Intent, OutboxEntry};

/// The request for an entry, or for all entries of one atomic transaction, by number.
#[must_use]
pub fn request(schema: &Schema, replica: &ReplicaId, entries: &[OutboxEntry], settled_through: u64) -> Request {
    let mut declared = String::new();
    let mut roots = String::new();
    let mut variables = Map::new();
    // All of them in the words of the present schema, or all in their own: the server reads them under one.
    let present: Option<Vec<Present>> = entries.iter().map(|entry| former::present(schema, entry)).collect();
    let own = present.is_none();
    let mut present = present.unwrap_or_default().into_iter();
    for (at, entry) in entries.iter().enumerate() {
        let intent = &entry.intent;
        let words = present.next();
        let at_model = match &words {
            Some(words) => Some(words.model),
            None => schema.model_named(&intent.model),
        };
        let model = at_model
            .filter(|_| words.is_some())
            .and_then(|id| schema.models.get(id.0));
        let name = model.map_or(&intent.model, |model| &model.name);
        let separator = if at == 0 { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(
            declared,
            "{separator}$i{at}: {verb}{api_name}Input!, $c{at}: Model{api_name}ConditionInput",
            verb = verb(intent.kind, true),
            api_name = api_name(name),
        );
        let field = at_model
            .and_then(|id| root_field(schema, id, intent.kind))
            .unwrap_or_else(|| {
                // The model or its mutation is gone from this schema; the server may still have it under its usual name.
                format!("{}{}", verb(intent.kind, false), api_name(name))
            });
        let _ = write!(
            roots,
            " m{at}: {field}(input: $i{at}, condition: $c{at}) {{ {selection} }}",
            selection = selection(model),
        );
        let (values, operations, condition) = match words {
            Some(words) => (words.values, words.operations, words.condition),
            None => (
                intent.values.clone(),
                intent.operations.clone(),
                intent.condition.clone(),
            ),
        };
        let mut input = match (intent.kind, model) {
            (MutationKind::Delete, Some(model)) => key_only(model, entry),
            (MutationKind::Create | MutationKind::Update | MutationKind::Delete, _) => values,
        };
        if intent.kind == MutationKind::Update && !operations.is_empty() {
            input.insert("_operations".into(), Json::Object(operations));
        }
        if let Some(version) = intent.base_version {
            input.insert("_version".into(), Json::from(version.0));
        }
        variables.insert(format!("i{at}"), Json::Object(input));
        if let Some(condition) = condition {
            variables.insert(format!("c{at}"), condition);
        }
    }
    let mut extensions = Map::new();
    if let Some(envelope) = envelope(schema, own, replica, entries, settled_through) {
        extensions.insert("tombolo".into(), envelope);
    }
    Request {
        query: format!("mutation({declared}) {{{roots} }}"),
        operation_name: None,
        variables: Some(variables),
        extensions: Some(extensions),
    }
}

/// Bytes of JSON that an entry adds to its request: what the user gave, and a margin for its part of the document. Cheap
/// enough to ask for each mutation: nothing is rendered.
#[must_use]
pub(crate) fn request_bytes(entry: &Intent) -> usize {
    map_bytes(&entry.values)
        + map_bytes(&entry.operations)
        + map_bytes(&entry.base)
        + entry.condition.as_ref().map_or(0, json_bytes)
        + ENTRY_BYTES
}

/// What a root field, its variables' declarations and its part of the envelope take, with long names.
const ENTRY_BYTES: usize = 1024;

/// Length of the map's JSON text.
#[must_use]
pub(crate) fn map_bytes(map: &Map<String, Json>) -> usize {
    map.iter()
        .map(|(name, value)| text_bytes(name) + json_bytes(value) + 2)
        .sum::<usize>()
        + 2
}

fn json_bytes(value: &Json) -> usize {
    match value {
        Json::Null => 4,
        Json::Bool(_) => 5,
        // The longest that a number of 64 bits is written.
        Json::Number(_) => 25,
        Json::String(text) => text_bytes(text),
        Json::Array(items) => items.iter().map(|item| json_bytes(item) + 1).sum::<usize>() + 2,
        Json::Object(map) => map_bytes(map),
    }
}

/// Control characters are written `\u0000`; those with a short form and the two that need a backslash take two.
fn text_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + 2
}

fn envelope(
    schema: &Schema,
    own: bool,
    replica: &ReplicaId,
    entries: &[OutboxEntry],
    settled_through: u64,
) -> Option<Json> {
    let first = entries.first()?;
    let union = |numbers: &dyn Fn(&OutboxEntry) -> Vec<tombolo_core::id::MutationNumber>| {
        let mut all: Vec<_> = entries.iter().flat_map(numbers).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    serde_json::to_value(MutationEnvelope {
        replica: replica.clone(),
        number: first.number,
        depends_on: union(&|e| e.depends_on.clone()),
        seen: union(&|e| e.seen.clone()),
        schema: if own { first.schema.clone() } else { schema.hash.clone() },
        settled_through,
        atomic: first.atomic,
        void: first.state == EntryState::GivenUp,
        moved_from: first.moved_from.clone(),
        base: base(entries, first.atomic),
        resent: first.imported == Some(Imported::MaySent),
    })
    .ok()
}

/// What the user saw: by field, or in a transaction by root field and field.
fn base(entries: &[OutboxEntry], atomic: bool) -> Option<Map<String, Json>> {
    let known = entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| !entry.intent.base.is_empty());
    if atomic {
        let all: Map<String, Json> = known
            .map(|(at, entry)| (format!("m{at}"), Json::Object(entry.intent.base.clone())))
            .collect();
        return (!all.is_empty()).then_some(all);
    }
    known.map(|(_, entry)| entry.intent.base.clone()).next()
}

fn root_field(schema: &Schema, model: ModelId, kind: MutationKind) -> Option<String> {
    schema
        .roots
        .mutation
        .iter()
        .find(|(_, root)| **root == MutationRoot::Model(model, kind))
        .map(|(name, _)| name.clone())
}

fn verb(kind: MutationKind, capital: bool) -> &'static str {
    match (kind, capital) {
        (MutationKind::Create, true) => "Create",
        (MutationKind::Create, false) => "create",
        (MutationKind::Update, true) => "Update",
        (MutationKind::Update, false) => "update",
        (MutationKind::Delete, true) => "Delete",
        (MutationKind::Delete, false) => "delete",
    }
}

fn selection(model: Option<&Model>) -> String {
    let Some(model) = model else {
        return "__typename".to_owned();
    };
    let mut text = String::new();
    for field in model.key.iter().filter_map(|f| model.fields.get(f.0)) {
        text.push_str(&field.name);
        text.push(' ');
    }
    text.push_str("_version");
    text
}

fn key_only(model: &Model, entry: &OutboxEntry) -> Map<String, Json> {
    let names = model
        .key
        .iter()
        .filter_map(|f| model.fields.get(f.0))
        .map(|f| f.name.clone());
    names.zip(entry.intent.key.iter().cloned()).collect()
}
