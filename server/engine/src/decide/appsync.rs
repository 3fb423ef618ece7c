//! AppSync's rules as a table of cases: each row in the words of "Conflict detection and resolution" and "Versioned data
//! sources" in its developer guide (docs.aws.amazon.com/appsync/latest/devguide), for its three strategies. `LAMBDA` is
//! `CUSTOM` here. Where we differ, and why, is a table of its own.

use serde_json::{Value as Json, json};
use tombolo_core::id::{FieldId, ModelId, Position, Version};
use tombolo_core::query::MutationInput;
use tombolo_core::record::{FieldVersions, Key, Meta, Record, StoredRecord};
use tombolo_core::schema::ConflictStrategy::{Automerge, Custom, LastWriterWins, OptimisticConcurrency};
use tombolo_core::schema::MutationKind::{Create, Delete, Update};
use tombolo_core::schema::{ConflictStrategy, Model, MutationKind, Schema};
use tombolo_core::value::Value;

use super::row::{Decision, RowFacts, decide_row};

const SDL: &str =
    "type Todo @model(timestamps: null) { id: ID! title: String note: String same: String tags: [String] place: Place }
                   type Place { x: Int list: [Int] deep: Deep n: Int } type Deep { y: Int }";

/// The record as AppSync's guide has it in its examples: version 3, all of it changed since version 2 but `same`.
fn stored(model: &Model, deleted: bool) -> StoredRecord {
    let values = json!({"id": "1", "title": "server", "same": "kept", "tags": ["a"], "place": {"x": 1, "list": [1], "deep": {"y": 1}, "n": null}});
    let value = |field: &tombolo_core::schema::Field| field.ty.value_from_json(&values[&field.name]);
    let changed = ["title", "note", "tags", "place"].map(|name| (model.field(name).unwrap(), Version(3)));
    StoredRecord {
        record: Record {
            values: model.fields.iter().map(value).collect(),
            meta: Meta {
                version: Version(3),
                deleted,
                last_changed_at: 5,
            },
        },
        position: Position(7),
        field_versions: FieldVersions(changed.into()),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Row {
    Absent,
    Live,
    Deleted,
}

/// AppSync's rule in words, strategy, mutation, the row, `_version` given, fields set, what it comes to: the outcome's word
/// and what the field then is, or the error's name.
type Case = (
    &'static str,
    ConflictStrategy,
    MutationKind,
    Row,
    Option<i64>,
    Json,
    &'static str,
);

fn decide(case: &Case) -> String {
    let (_, strategy, kind, row, base, set, _) = case;
    let schema = Schema::parse(SDL, "schema.graphql").unwrap();
    let mut model = schema.models[0].clone();
    model.conflict = *strategy;
    let stored = (*row != Row::Absent).then(|| stored(&model, *row == Row::Deleted));
    let mut values = vec![(FieldId(0), Value::Text("1".into()))];
    for (name, json) in set.as_object().unwrap() {
        let field = model.field(name).unwrap();
        values.push((field, model.field_at(field).ty.value_from_json(json)));
    }
    let facts = RowFacts {
        model: &model,
        key: &Key(vec![Value::Text("1".into())]),
        stored: stored.as_ref(),
        seen: &[],
        forgotten: false,
        plain: false,
        resent: false,
        hidden: false,
        blind: &[],
        owners: &[],
        position: Position(8),
        now_ms: 9,
    };
    let mutation = MutationInput {
        model: ModelId(0),
        kind: *kind,
        values,
        operations: Vec::new(),
        base_version: base.map(Version),
        condition: None,
        condition_json: None,
    };
    match decide_row(&facts, &mutation) {
        Decision::Reject { reason, .. } => reason.code.to_string(),
        Decision::Ask { .. } => "resolver".to_owned(),
        Decision::Write { outcome, next, .. } => {
            let fields = set.as_object().unwrap().keys();
            let shown: Vec<String> = fields
                .map(|name| next.record.value(model.field(name).unwrap()).to_json().to_string())
                .collect();
            let deleted = if next.record.meta.deleted { " deleted" } else { "" };
            format!(
                "{outcome:?} v{}{deleted} {}",
                next.record.meta.version.0,
                shown.join(" ")
            )
            .trim_end()
            .to_lowercase()
        }
    }
}

fn check(cases: &[Case]) {
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let (says, strategy, .., want) = case;
            let got = decide(case);
            (got.to_lowercase() != want.to_lowercase())
                .then(|| format!("{strategy:?}: {says}\n  {got} instead of {want}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn appsyncs_outcomes_are_ours() {
    let title = || json!({"title": "mine"});
    let none = || json!({});
    check(&[
        // Versions.
        (
            "a new object has version 1",
            Automerge,
            Create,
            Row::Absent,
            None,
            title(),
            "applied v1 \"mine\"",
        ),
        (
            "each write adds 1 to the version",
            Automerge,
            Update,
            Row::Live,
            Some(3),
            title(),
            "applied v4 \"mine\"",
        ),
        (
            "a version that is the stored one is no conflict",
            OptimisticConcurrency,
            Update,
            Row::Live,
            Some(3),
            title(),
            "applied v4 \"mine\"",
        ),
        (
            "a version that is the stored one is no conflict",
            Custom,
            Update,
            Row::Live,
            Some(3),
            title(),
            "applied v4 \"mine\"",
        ),
        (
            "a delete keeps the object with `_deleted`, and adds 1",
            Automerge,
            Delete,
            Row::Live,
            Some(3),
            none(),
            "applied v4 deleted",
        ),
        // Optimistic concurrency.
        (
            "an incoming version that differs is rejected, with the latest item",
            OptimisticConcurrency,
            Update,
            Row::Live,
            Some(2),
            title(),
            "ConflictUnhandled",
        ),
        (
            "whichever fields changed: the object's version counts",
            OptimisticConcurrency,
            Update,
            Row::Live,
            Some(2),
            json!({"same": "x"}),
            "ConflictUnhandled",
        ),
        (
            "a version above the stored one differs too",
            OptimisticConcurrency,
            Update,
            Row::Live,
            Some(9),
            title(),
            "ConflictUnhandled",
        ),
        (
            "a delete of an older version is rejected",
            OptimisticConcurrency,
            Delete,
            Row::Live,
            Some(2),
            none(),
            "ConflictUnhandled",
        ),
        // Automerge.
        (
            "a scalar in conflict keeps the server's value",
            Automerge,
            Update,
            Row::Live,
            Some(2),
            title(),
            "merged v4 \"server\"",
        ),
        (
            "an attribute that the server lacks is taken",
            Automerge,
            Update,
            Row::Live,
            Some(2),
            json!({"note": "mine"}),
            "merged v4 \"mine\"",
        ),
        (
            "lists are joined, duplicates kept",
            Automerge,
            Update,
            Row::Live,
            Some(2),
            json!({"tags": ["a", "b"]}),
            r#"merged v4 ["a","a","b"]"#,
        ),
        (
            "maps are merged by key, with the same rules inside",
            Automerge,
            Update,
            Row::Live,
            Some(2),
            json!({"place": {"x": 2, "list": [2], "deep": {"y": 2}, "n": 5}}),
            r#"merged v4 {"x":1,"list":[1,2],"deep":{"y":1},"n":5}"#,
        ),
        (
            "fields are merged one by one",
            Automerge,
            Update,
            Row::Live,
            Some(2),
            json!({"title": "mine", "note": "mine"}),
            "merged v4 \"server\" \"mine\"",
        ),
        (
            "a merge is a write, also when nothing changes",
            Automerge,
            Update,
            Row::Live,
            Some(2),
            title(),
            "merged v4 \"server\"",
        ),
        (
            "version 0 conflicts with everything",
            Automerge,
            Update,
            Row::Live,
            Some(0),
            json!({"same": "x"}),
            "merged v4 \"kept\"",
        ),
        (
            "a delete of an older version is not merged but rejected",
            Automerge,
            Delete,
            Row::Live,
            Some(2),
            none(),
            "ConflictUnhandled",
        ),
        (
            "an update of a deleted object is rejected",
            Automerge,
            Update,
            Row::Deleted,
            Some(2),
            title(),
            "ConflictUnhandled",
        ),
        // Lambda.
        (
            "the function is called on a conflict, with both items",
            Custom,
            Update,
            Row::Live,
            Some(2),
            title(),
            "resolver",
        ),
        (
            "whichever fields changed: the object's version counts",
            Custom,
            Update,
            Row::Live,
            Some(2),
            json!({"same": "x"}),
            "resolver",
        ),
        (
            "the function is called for a delete too",
            Custom,
            Delete,
            Row::Live,
            Some(2),
            none(),
            "resolver",
        ),
        // Creation.
        (
            "a creation of an id that exists fails its condition",
            Automerge,
            Create,
            Row::Live,
            None,
            title(),
            "ConditionalCheckFailedException",
        ),
        (
            "under a tombstone's id too, until it has been removed",
            Automerge,
            Create,
            Row::Deleted,
            None,
            title(),
            "ConditionalCheckFailedException",
        ),
        (
            "whatever the strategy",
            OptimisticConcurrency,
            Create,
            Row::Deleted,
            None,
            title(),
            "ConditionalCheckFailedException",
        ),
        (
            "whatever the strategy",
            Custom,
            Create,
            Row::Live,
            None,
            title(),
            "ConditionalCheckFailedException",
        ),
    ]);
}

#[test]
fn where_we_differ_from_appsync_on_purpose() {
    let title = || json!({"title": "mine"});
    check(&[
        // Decision 5: a field that nobody else touched is no conflict.
        (
            "AppSync keeps its scalar though nobody changed it",
            Automerge,
            Update,
            Row::Live,
            Some(2),
            json!({"same": "mine"}),
            "applied v4 \"mine\"",
        ),
        // Decision 4: a missing version is the newest, not 0.
        (
            "AppSync takes a missing version for 0",
            Automerge,
            Update,
            Row::Live,
            None,
            title(),
            "applied v4 \"mine\"",
        ),
        (
            "AppSync takes a missing version for 0",
            Automerge,
            Delete,
            Row::Live,
            None,
            json!({}),
            "applied v4 deleted",
        ),
        // Decision 8: who names the tombstone means it.
        (
            "AppSync refuses any creation under a tombstone's id",
            Automerge,
            Create,
            Row::Deleted,
            Some(3),
            title(),
            "applied v4 \"mine\"",
        ),
        (
            "and so do we if the tombstone is another one",
            Automerge,
            Create,
            Row::Deleted,
            Some(2),
            title(),
            "ConditionalCheckFailedException",
        ),
        // A strategy that AppSync lacks.
        (
            "the incoming value stands",
            LastWriterWins,
            Update,
            Row::Live,
            Some(2),
            title(),
            "merged v4 \"mine\"",
        ),
        (
            "a delete goes through",
            LastWriterWins,
            Delete,
            Row::Live,
            Some(2),
            json!({}),
            "merged v4 deleted",
        ),
        (
            "but nothing resurrects by an update",
            LastWriterWins,
            Update,
            Row::Deleted,
            Some(2),
            title(),
            "ConflictUnhandled",
        ),
        (
            "nor by a creation that knows no tombstone",
            LastWriterWins,
            Create,
            Row::Deleted,
            None,
            title(),
            "ConditionalCheckFailedException",
        ),
    ]);
}
