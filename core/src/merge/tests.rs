//! One row for each case.

use super::*;
use crate::id::Position;
use crate::record::{FieldVersions, Meta, Record};
use crate::schema::{Field, FieldKind, FieldOrigin, FieldType, Scalar};

const ID: FieldId = FieldId(0);
const TITLE: FieldId = FieldId(1);
const NOTE: FieldId = FieldId(2);
const TAGS: FieldId = FieldId(3);
const PLACE: FieldId = FieldId(4);

fn model(conflict: ConflictStrategy) -> Model {
    let field = |name: &str, kind: FieldKind, list: Option<bool>| Field {
        name: name.into(),
        ty: FieldType {
            kind,
            list,
            required: false,
        },
        default: None,
        auth: None,
        modes: None,
        origin: FieldOrigin::Declared,
        merge: None,
        former: vec![],
    };
    let scalar = |s| FieldKind::Scalar(s);
    Model {
        name: "Todo".into(),
        plural: "Todos".into(),
        fields: vec![
            field("id", scalar(Scalar::Id), None),
            field("title", scalar(Scalar::String), None),
            field("note", scalar(Scalar::String), None),
            field("tags", scalar(Scalar::String), Some(true)),
            field("place", FieldKind::Embedded("Place".into()), None),
        ],
        key: vec![ID],
        indexes: vec![],
        relations: vec![],
        absent: vec![],
        created_at: None,
        updated_at: None,
        auth: None,
        modes: None,
        conflict,
        order: vec![],
        former: vec![],
    }
}

fn text(t: &str) -> Value {
    Value::Text(t.into())
}

fn json(t: &str) -> Value {
    Value::Json(t.into())
}

/// Version 4; the title changed at 3, the tags at 4, the place at 4, the note never.
fn stored() -> StoredRecord {
    StoredRecord {
        record: Record {
            values: vec![
                text("1"),
                text("server"),
                Value::Null,
                json(r#"["a"]"#),
                json(r#"{"x":1,"y":{"z":[1]},"n":null}"#),
            ],
            meta: Meta {
                version: Version(4),
                deleted: false,
                last_changed_at: 0,
            },
        },
        position: Position(9),
        field_versions: FieldVersions(vec![(TITLE, Version(3)), (TAGS, Version(4)), (PLACE, Version(4))]),
    }
}

struct Case {
    name: &'static str,
    strategy: ConflictStrategy,
    base: Option<i64>,
    seen: &'static [i64],
    incoming: (FieldId, Value),
    want: Merge,
}

fn applied(field: FieldId, value: Value) -> Merge {
    Merge::Write {
        values: vec![(field, value)],
        kind: MergeKind::Applied,
        conflicts: vec![],
    }
}

fn conflict(rule: RuleName, field: FieldId, incoming: Value, result: Value) -> FieldConflict {
    FieldConflict {
        field,
        rule,
        server: stored().record.value(field).clone(),
        incoming,
        result,
    }
}

fn merged(rule: RuleName, field: FieldId, incoming: Value, value: Value) -> Merge {
    Merge::Write {
        values: vec![(field, value.clone())],
        kind: MergeKind::Merged,
        conflicts: vec![conflict(rule, field, incoming, value)],
    }
}

fn dropped(rule: RuleName, field: FieldId, incoming: Value) -> Merge {
    let server = stored().record.value(field).clone();
    Merge::Write {
        values: vec![],
        kind: MergeKind::Merged,
        conflicts: vec![conflict(rule, field, incoming, server)],
    }
}

/// `values` of the update, on top of `base`.
fn update(model: &Model, values: &[(FieldId, Value)], base: Option<i64>, seen: &[Seen]) -> Merge {
    let incoming = Incoming {
        values,
        operations: &[],
        base: base.map(Version),
        seen,
    };
    merge(model, &stored(), incoming)
}

#[test]
fn each_case_has_its_decision() {
    use ConflictStrategy::{Automerge, Custom, LastWriterWins, OptimisticConcurrency};
    let case = |name, strategy, base, seen, incoming, want| Case {
        name,
        strategy,
        base,
        seen,
        incoming,
        want,
    };
    let mine = || (TITLE, text("mine"));
    let cases = [
        case(
            "base is the newest",
            Automerge,
            Some(4),
            &[],
            mine(),
            applied(TITLE, text("mine")),
        ),
        case(
            "no base means the newest",
            Automerge,
            None,
            &[],
            mine(),
            applied(TITLE, text("mine")),
        ),
        case(
            "no base, optimistic",
            OptimisticConcurrency,
            None,
            &[],
            mine(),
            applied(TITLE, text("mine")),
        ),
        case(
            "the field did not change since",
            Automerge,
            Some(3),
            &[],
            mine(),
            applied(TITLE, text("mine")),
        ),
        case(
            "the field never changed",
            Automerge,
            Some(1),
            &[],
            (NOTE, text("n")),
            applied(NOTE, text("n")),
        ),
        case(
            "a scalar in conflict: the server's stands",
            Automerge,
            Some(2),
            &[],
            mine(),
            dropped(RuleName::AutomergeScalar, TITLE, text("mine")),
        ),
        case(
            "both wrote the same",
            Automerge,
            Some(2),
            &[],
            (TITLE, text("server")),
            applied(TITLE, text("server")),
        ),
        case(
            "the change was its own",
            Automerge,
            Some(2),
            &[3],
            mine(),
            applied(TITLE, text("mine")),
        ),
        case(
            "only a later change was its own",
            Automerge,
            Some(2),
            &[4],
            mine(),
            dropped(RuleName::AutomergeScalar, TITLE, text("mine")),
        ),
        case(
            "every change was its own",
            OptimisticConcurrency,
            Some(2),
            &[3, 4],
            mine(),
            applied(TITLE, text("mine")),
        ),
        case(
            "not every change was its own",
            OptimisticConcurrency,
            Some(2),
            &[3],
            mine(),
            Merge::Conflict { conflicts: vec![] },
        ),
        case(
            "optimistic and stale, though another field changed",
            OptimisticConcurrency,
            Some(3),
            &[],
            mine(),
            Merge::Conflict { conflicts: vec![] },
        ),
        case(
            "custom and stale, though another field changed",
            Custom,
            Some(3),
            &[],
            mine(),
            Merge::Ask {
                values: vec![(TITLE, text("mine"))],
                conflicts: vec![],
            },
        ),
        case(
            "last writer wins",
            LastWriterWins,
            Some(1),
            &[],
            mine(),
            merged(RuleName::LastWriterWins, TITLE, text("mine"), text("mine")),
        ),
        case(
            "null over a change: the server's stands",
            Automerge,
            Some(2),
            &[],
            (TITLE, Value::Null),
            dropped(RuleName::AutomergeScalar, TITLE, Value::Null),
        ),
        case(
            "null without conflict",
            Automerge,
            Some(3),
            &[],
            (TITLE, Value::Null),
            applied(TITLE, Value::Null),
        ),
        case(
            "version 0 knows nothing",
            Automerge,
            Some(0),
            &[],
            mine(),
            dropped(RuleName::AutomergeScalar, TITLE, text("mine")),
        ),
        case(
            "version 0 over the server's null",
            Automerge,
            Some(0),
            &[],
            (NOTE, text("n")),
            merged(RuleName::AutomergeScalar, NOTE, text("n"), text("n")),
        ),
        case(
            "a base that was never given",
            Automerge,
            Some(99),
            &[],
            mine(),
            dropped(RuleName::AutomergeScalar, TITLE, text("mine")),
        ),
        case(
            "a base that was never given, optimistic",
            OptimisticConcurrency,
            Some(5),
            &[],
            mine(),
            Merge::Conflict {
                conflicts: vec![conflict(
                    RuleName::OptimisticConcurrency,
                    TITLE,
                    text("mine"),
                    text("server"),
                )],
            },
        ),
        case(
            "lists: theirs after ours",
            Automerge,
            Some(1),
            &[],
            (TAGS, json(r#"["a","b"]"#)),
            merged(
                RuleName::AutomergeList,
                TAGS,
                json(r#"["a","b"]"#),
                json(r#"["a","a","b"]"#),
            ),
        ),
        case(
            "embedded: by key",
            Automerge,
            Some(1),
            &[],
            (PLACE, json(r#"{"x":2,"y":{"z":[2],"w":3},"n":5,"new":true}"#)),
            merged(
                RuleName::AutomergeEmbedded,
                PLACE,
                json(r#"{"x":2,"y":{"z":[2],"w":3},"n":5,"new":true}"#),
                json(r#"{"x":1,"y":{"z":[1,2],"w":3},"n":5,"new":true}"#),
            ),
        ),
        case(
            "embedded: nothing of theirs is kept",
            Automerge,
            Some(1),
            &[],
            (PLACE, json(r#"{"x":2}"#)),
            dropped(RuleName::AutomergeEmbedded, PLACE, json(r#"{"x":2}"#)),
        ),
        case(
            "key fields are not written",
            Automerge,
            Some(4),
            &[],
            (ID, text("1")),
            Merge::Write {
                values: vec![],
                kind: MergeKind::Applied,
                conflicts: vec![],
            },
        ),
    ];
    for Case {
        name,
        strategy,
        base,
        seen,
        incoming,
        want,
    } in cases
    {
        let seen: Vec<Seen> = seen
            .iter()
            .map(|v| Seen {
                version: Version(*v),
                kind: MergeKind::Applied,
            })
            .collect();
        let got = update(&model(strategy), &[incoming], base, &seen);
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn one_field_in_conflict_does_not_take_the_others_down() {
    let incoming = [(TITLE, text("mine")), (NOTE, text("n"))];
    let got = update(&model(ConflictStrategy::Automerge), &incoming, Some(2), &[]);
    assert_eq!(
        got,
        Merge::Write {
            values: vec![(NOTE, text("n"))],
            kind: MergeKind::Merged,
            conflicts: vec![conflict(RuleName::AutomergeScalar, TITLE, text("mine"), text("server"))]
        }
    );
}

#[test]
fn what_a_merge_brought_into_a_list_was_not_seen() {
    let seen = |kind| {
        [Seen {
            version: Version(4),
            kind,
        }]
    };
    let incoming = (TAGS, Value::Json(r#"["mine"]"#.into()));
    let model = model(ConflictStrategy::Automerge);
    let merge = |kind| update(&model, std::slice::from_ref(&incoming), Some(2), &seen(kind));
    let Merge::Write { values, kind, .. } = merge(MergeKind::Applied) else {
        unreachable!()
    };
    assert_eq!((values, kind), (vec![incoming.clone()], MergeKind::Applied));
    let Merge::Write { values, kind, .. } = merge(MergeKind::Merged) else {
        unreachable!()
    };
    assert_eq!(kind, MergeKind::Merged);
    assert_ne!(values, vec![incoming.clone()], "the server's items stay");
}
