//! What holds for every input: the rules as a table, and the laws as properties.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::id::Position;
use crate::record::{FieldVersions, Meta, Record};
use crate::schema::Schema;

const SDL: &str = "type Todo @model(timestamps: null) {
  id: ID!
  likes: Int @merge(rule: COUNTER)
  share: Float @merge(rule: COUNTER)
  labels: [String] @merge(rule: SET)
  best: Int @merge(rule: MAX)
  first: AWSDateTime @merge(rule: MIN)
  sealed: String @merge(rule: REJECT)
  last: String @merge(rule: LAST_WRITER)
  asked: String @merge(rule: CUSTOM)
  free: String
}";

fn model(strategy: ConflictStrategy) -> Model {
    let schema = Schema::parse(SDL, "laws.graphql").unwrap();
    let mut model = schema.models.into_iter().next().unwrap();
    model.conflict = strategy;
    model
}

fn value(model: &Model, name: &str, json: &Json) -> (FieldId, Value) {
    let field = model.field(name).unwrap();
    (field, model.field_at(field).ty.value_from_json(json))
}

/// Version 9; every field changed at 5.
fn stored(model: &Model) -> StoredRecord {
    let values = json!({"id": "1", "likes": 10, "share": 0.5, "labels": ["a", "b"], "best": 7, "first": "2024-05-01T12:00:00Z",
                        "sealed": "s", "last": "l", "asked": "q", "free": "f"});
    let of = |field: &Field| field.ty.value_from_json(&values[&field.name]);
    StoredRecord {
        record: Record {
            values: model.fields.iter().map(of).collect(),
            meta: Meta {
                version: Version(9),
                ..Meta::default()
            },
        },
        position: Position(1),
        field_versions: FieldVersions((1..model.fields.len()).map(|f| (FieldId(f), Version(5))).collect()),
    }
}

fn merged(model: &Model, stored: &StoredRecord, values: &[(FieldId, Value)], base: i64) -> Merge {
    let incoming = Incoming {
        blind: &[],
        values,
        operations: &[],
        base: Some(Version(base)),
        seen: &[],
    };
    merge(model, stored, incoming)
}

/// `rule: server + incoming = result`, or what became of the whole.
fn told(merge: &Merge) -> String {
    let conflicts = |word: &str, conflicts: &[FieldConflict]| {
        let one = |c: &FieldConflict| {
            let (server, incoming, result) = (c.server.to_json(), c.incoming.to_json(), c.result.to_json());
            format!(" {}: {server} + {incoming} = {result}", c.rule)
        };
        format!("{word}{}", conflicts.iter().map(one).collect::<String>())
    };
    match merge {
        Merge::Write {
            values,
            kind,
            conflicts: found,
        } => {
            let written: Vec<String> = values.iter().map(|(_, value)| value.to_json().to_string()).collect();
            let word = match kind {
                MergeKind::Applied => "applied",
                MergeKind::Merged => "merged",
            };
            conflicts(&format!("{word} [{}]", written.join(", ")), found)
        }
        Merge::Conflict { conflicts: found } => conflicts("refused", found),
        Merge::Ask { conflicts: found, .. } => conflicts("asked", found),
        Merge::Invalid(error) => format!("invalid {error}"),
    }
}

#[test]
fn a_fields_own_rule_goes_before_the_models_strategy() {
    use ConflictStrategy::{Automerge, Custom, LastWriterWins, OptimisticConcurrency};
    // strategy, field, incoming, base (4: in conflict, 5: the field has not changed since), what it comes to
    let cases = [
        (Automerge, "likes", json!(3), 5, "applied [3]"),
        (Automerge, "likes", json!(3), 4, "merged [] COUNTER: 10 + 3 = 10"),
        (LastWriterWins, "likes", json!(3), 4, "merged [] COUNTER: 10 + 3 = 10"),
        (Automerge, "labels", json!(["b", "c"]), 5, r#"applied [["b","c"]]"#),
        (
            Automerge,
            "labels",
            json!(["b", "c", "c"]),
            4,
            r#"merged [["a","b","c"]] SET: ["a","b"] + ["b","c","c"] = ["a","b","c"]"#,
        ),
        (
            Automerge,
            "labels",
            json!(["b"]),
            4,
            r#"merged [] SET: ["a","b"] + ["b"] = ["a","b"]"#,
        ),
        (Automerge, "best", json!(8), 5, "applied [8]"),
        (Automerge, "best", json!(6), 5, "applied []"),
        (Automerge, "best", json!(6), 4, "merged [] MAX: 7 + 6 = 7"),
        (OptimisticConcurrency, "best", json!(8), 4, "merged [8] MAX: 7 + 8 = 8"),
        (Automerge, "best", json!(null), 5, "applied []"),
        // 11:30 UTC is before noon, though its text is after.
        (
            Automerge,
            "first",
            json!("2024-05-01T13:30:00+02:00"),
            5,
            r#"applied ["2024-05-01T13:30:00+02:00"]"#,
        ),
        (Automerge, "first", json!("2024-05-01T13:30:00Z"), 5, "applied []"),
        (LastWriterWins, "sealed", json!("x"), 5, r#"applied ["x"]"#),
        (
            LastWriterWins,
            "sealed",
            json!("x"),
            4,
            r#"refused REJECT: "s" + "x" = "s""#,
        ),
        (LastWriterWins, "sealed", json!("s"), 4, r#"applied ["s"]"#),
        (
            Automerge,
            "last",
            json!("x"),
            4,
            r#"merged ["x"] LAST_WRITER: "l" + "x" = "x""#,
        ),
        (
            OptimisticConcurrency,
            "last",
            json!("x"),
            4,
            r#"merged ["x"] LAST_WRITER: "l" + "x" = "x""#,
        ),
        (Automerge, "asked", json!("x"), 4, r#"asked CUSTOM: "q" + "x" = "q""#),
        (Automerge, "asked", json!("x"), 5, r#"applied ["x"]"#),
        (
            Automerge,
            "free",
            json!("x"),
            4,
            r#"merged [] AUTOMERGE_SCALAR: "f" + "x" = "f""#,
        ),
        (
            LastWriterWins,
            "free",
            json!("x"),
            4,
            r#"merged ["x"] LAST_WRITER_WINS: "f" + "x" = "x""#,
        ),
        (LastWriterWins, "free", json!("x"), 5, r#"applied ["x"]"#),
        (
            OptimisticConcurrency,
            "free",
            json!("x"),
            4,
            r#"refused OPTIMISTIC_CONCURRENCY: "f" + "x" = "f""#,
        ),
        (OptimisticConcurrency, "free", json!("x"), 5, "refused"),
        (Custom, "free", json!("x"), 4, r#"asked CUSTOM: "f" + "x" = "f""#),
        (Custom, "free", json!("x"), 5, "asked"),
        (Custom, "best", json!(8), 4, "merged [8] MAX: 7 + 8 = 8"),
    ];
    for (strategy, field, incoming, base, want) in cases {
        let model = model(strategy);
        let got = merged(&model, &stored(&model), &[value(&model, field, &incoming)], base);
        assert_eq!(told(&got), want, "{strategy:?} {field} = {incoming} on {base}");
    }
}

#[test]
fn what_one_field_refuses_is_refused_whole_and_goes_before_a_question() {
    let model = model(ConflictStrategy::Automerge);
    let of = |name: &str, json: Json| value(&model, name, &json);
    let all = [
        of("last", json!("x")),
        of("asked", json!("x")),
        of("sealed", json!("x")),
    ];
    let got = told(&merged(&model, &stored(&model), &all, 4));
    assert_eq!(
        got,
        r#"refused LAST_WRITER: "l" + "x" = "l" CUSTOM: "q" + "x" = "q" REJECT: "s" + "x" = "s""#
    );
}

fn operation(model: &Model, name: &str, json: &Json) -> (FieldId, Operation) {
    let schema = Schema::parse(SDL, "laws.graphql").unwrap();
    let field = model.field(name).unwrap();
    (
        field,
        Operation::from_json(&schema, model.field_at(field), json).unwrap(),
    )
}

#[test]
fn operations_are_carried_out_whatever_the_version_and_the_strategy() {
    use ConflictStrategy::{Automerge, Custom, LastWriterWins, OptimisticConcurrency};
    let cases = [
        ("likes", json!({"add": 2}), "applied [12]"),
        ("likes", json!({"add": -11}), "applied [-1]"),
        ("share", json!({"add": 0.25}), "applied [0.75]"),
        ("labels", json!({"add": ["b", "c"]}), r#"applied [["a","b","c"]]"#),
        ("labels", json!({"remove": ["a", "z"]}), r#"applied [["b"]]"#),
        (
            "labels",
            json!({"add": ["c", "d"], "remove": ["c", "b"]}),
            r#"applied [["a","d"]]"#,
        ),
        ("labels", json!({}), r#"applied [["a","b"]]"#),
        (
            "likes",
            json!({"add": i32::MAX}),
            "invalid `likes`: 2147483647 cannot be added: the sum would be no Int",
        ),
    ];
    for strategy in [Automerge, Custom, LastWriterWins, OptimisticConcurrency] {
        for (field, json, want) in &cases {
            let model = model(strategy);
            let incoming = Incoming {
                blind: &[],
                values: &[(FieldId(0), Value::Text("1".into()))],
                operations: &[operation(&model, field, json)],
                base: Some(Version(1)),
                seen: &[],
            };
            assert_eq!(
                told(&merge(&model, &stored(&model), incoming)),
                *want,
                "{strategy:?} {field} {json}"
            );
        }
    }
}

#[test]
fn a_null_counts_as_zero_and_as_the_empty_set() {
    let model = model(ConflictStrategy::Automerge);
    for (name, json, want) in [
        ("likes", json!({"add": 2}), json!(2)),
        ("labels", json!({"add": ["x"]}), json!(["x"])),
        ("labels", json!({"remove": ["x"]}), json!(null)),
    ] {
        let (field, operation) = operation(&model, name, &json);
        let got = operation.apply(model.field_at(field), &Value::Null).unwrap();
        assert_eq!(got.to_json(), want, "{name} {json}");
    }
}

#[test]
fn a_set_never_grows_beyond_a_record() {
    let model = model(ConflictStrategy::Automerge);
    let long = "x".repeat(crate::limits::RECORD_BYTES_MAX / 2);
    let (field, first) = operation(&model, "labels", &json!({"add": [long.clone()]}));
    let (_, second) = operation(&model, "labels", &json!({"add": [format!("{long}y")]}));
    let full = first.apply(model.field_at(field), &Value::Null).unwrap();
    let error = second.apply(model.field_at(field), &full).unwrap_err();
    assert!(error.problem.contains("RECORD_BYTES_MAX"), "{error}");
}

#[test]
fn operations_that_do_not_fit_their_field_are_refused() {
    let schema = Schema::parse(SDL, "laws.graphql").unwrap();
    let model = &schema.models[0];
    for (name, json) in [
        ("likes", json!({"add": 1.5})),
        ("likes", json!({"add": null})),
        ("likes", json!({})),
        ("likes", json!({"remove": [1]})),
        ("labels", json!({"add": [1]})),
        ("labels", json!({"add": [null]})),
        ("labels", json!(["x"])),
        ("best", json!({"add": 1})),
    ] {
        let field = model.field_at(model.field(name).unwrap());
        assert!(Operation::from_json(&schema, field, &json).is_err(), "{name} {json}");
    }
}

/// Lists as sets.
fn members(value: &Value) -> std::collections::BTreeSet<String> {
    match value.to_json() {
        Json::Array(items) => items.iter().map(ToString::to_string).collect(),
        _ => std::collections::BTreeSet::new(),
    }
}

fn any_set() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[a-e]", 0..5)
}

fn any_set_operation() -> impl Strategy<Value = Operation> {
    let json = |items: Vec<String>| items.into_iter().map(Json::from).collect();
    (any_set(), any_set()).prop_map(move |(add, remove)| Operation::Set {
        add: json(add),
        remove: json(remove),
    })
}

fn any_strategy() -> impl Strategy<Value = ConflictStrategy> {
    prop_oneof![
        Just(ConflictStrategy::Automerge),
        Just(ConflictStrategy::OptimisticConcurrency),
        Just(ConflictStrategy::LastWriterWins),
        Just(ConflictStrategy::Custom),
    ]
}

/// Some of the fields with plain values; no list under `AUTOMERGE`, which AppSync appends to each time.
fn any_values() -> impl Strategy<Value = Json> {
    let one = |name: &'static str, value: BoxedStrategy<Json>| proptest::option::of(value).prop_map(move |v| (name, v));
    (
        one("likes", (-3..3).prop_map(Json::from).boxed()),
        one("labels", any_set().prop_map(Json::from).boxed()),
        one("best", (0..12).prop_map(Json::from).boxed()),
        one(
            "first",
            (10..14)
                .prop_map(|hour| Json::from(format!("2024-05-01T{hour}:00:00Z")))
                .boxed(),
        ),
        one("last", "[l-n]".prop_map(Json::from).boxed()),
        one("asked", "[p-q]".prop_map(Json::from).boxed()),
        one("sealed", "[r-s]".prop_map(Json::from).boxed()),
        one("free", "[e-f]".prop_map(Json::from).boxed()),
    )
        .prop_map(|(a, b, c, d, e, f, g, h)| {
            let given = [a, b, c, d, e, f, g, h].into_iter();
            given
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
}

/// The record one version on, with what was written.
fn written(stored: &StoredRecord, values: &[(FieldId, Value)]) -> StoredRecord {
    let mut next = stored.clone();
    next.record.meta.version.0 += 1;
    for (field, value) in values {
        if next.record.value(*field) != value {
            next.field_versions.set(*field, next.record.meta.version);
            next.record.values[field.0] = value.clone();
        }
    }
    next
}

proptest! {
    #[test]
    fn the_same_inputs_give_the_same_output_and_twice_changes_nothing(
        strategy in any_strategy(), values in any_values(), base in 0_i64..10,
    ) {
        let model = model(strategy);
        let row = stored(&model);
        let values: Vec<_> = values.as_object().unwrap().iter().map(|(name, json)| value(&model, name, json)).collect();
        let first = merged(&model, &row, &values, base);
        prop_assert_eq!(&first, &merged(&model, &row, &values, base));
        if let Merge::Write { values: written_values, .. } = first {
            let next = written(&row, &written_values);
            match merged(&model, &next, &values, base) {
                Merge::Write { values: again, .. } => {
                    prop_assert_eq!(written(&next, &again).record.values, next.record.values);
                }
                // Now it is of an older version, which may be refused; nothing changes then either.
                Merge::Conflict { .. } | Merge::Ask { .. } => {}
                Merge::Invalid(error) => prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn counters_do_not_depend_on_the_order(mut numbers in proptest::collection::vec(-1000_i64..1000, 1..12)) {
        let model = model(ConflictStrategy::Automerge);
        let field = model.field_at(model.field("likes").unwrap());
        let sum = |numbers: &[i64]| numbers.iter().fold(Value::Null, |value, number| {
            Operation::Add(Value::Int(*number)).apply(field, &value).unwrap()
        });
        let forwards = sum(&numbers);
        prop_assert_eq!(&forwards, &Value::Int(numbers.iter().sum()));
        numbers.reverse();
        prop_assert_eq!(forwards, sum(&numbers));
    }

    #[test]
    fn sets_do_not_depend_on_the_order_where_nobody_removes_what_another_adds(
        mut adds in proptest::collection::vec("[a-m]", 1..6), mut removes in proptest::collection::vec("[n-z]", 1..6),
        rotate in 0_usize..12,
    ) {
        let model = model(ConflictStrategy::Automerge);
        let field = model.field_at(model.field("labels").unwrap());
        let set = |add: &[String], remove: &[String]| {
            let json = |items: &[String]| items.iter().cloned().map(Json::from).collect();
            Operation::Set { add: json(add), remove: json(remove) }
        };
        let mut all: Vec<Operation> = adds.iter().map(|one| set(std::slice::from_ref(one), &[])).collect();
        all.extend(removes.iter().map(|one| set(&[], std::slice::from_ref(one))));
        let start = Value::Json(r#"["m","n","p","z"]"#.into());
        let run = |all: &[Operation]| all.iter().fold(start.clone(), |value, op| op.apply(field, &value).unwrap());
        let forwards = members(&run(&all));
        let turn = rotate % all.len();
        all.rotate_left(turn);
        prop_assert_eq!(&forwards, &members(&run(&all)));
        all.reverse();
        prop_assert_eq!(&forwards, &members(&run(&all)));
        // One that does it all does the same.
        adds.sort();
        removes.sort();
        prop_assert_eq!(forwards, members(&set(&adds, &removes).apply(field, &start).unwrap()));
    }

    #[test]
    fn the_greatest_and_the_least_do_not_depend_on_the_order(
        mut numbers in proptest::collection::vec(-5_i64..15, 1..6), hours in proptest::collection::vec((0_u8..24, -11_i8..12), 1..6),
        base in 0_i64..10,
    ) {
        let model = model(ConflictStrategy::Automerge);
        let run = |name: &str, all: &[Json]| {
            let mut row = stored(&model);
            for one in all {
                if let Merge::Write { values, .. } = merged(&model, &row, &[value(&model, name, one)], base) {
                    row = written(&row, &values);
                }
            }
            row.record.value(model.field(name).unwrap()).clone()
        };
        let json: Vec<Json> = numbers.iter().copied().map(Json::from).collect();
        numbers.push(7);
        prop_assert_eq!(run("best", &json), Value::Int(numbers.into_iter().max().unwrap()));
        let mut moments: Vec<Json> = hours
            .iter()
            .map(|(hour, offset)| Json::from(format!("2024-05-01T{hour:02}:00:00{offset:+03}:00")))
            .collect();
        let forwards = run("first", &moments);
        moments.reverse();
        prop_assert_eq!(forwards, run("first", &moments));
    }

    #[test]
    fn two_operations_folded_do_what_they_do_one_after_the_other(
        start in any_set(), a in any_set_operation(), b in any_set_operation(), x in -9_i64..9, y in -9_i64..9,
    ) {
        let model = model(ConflictStrategy::Automerge);
        let field = |name: &str| model.field_at(model.field(name).unwrap());
        let labels = field("labels");
        let start = Value::Json(Json::from(start).to_string());
        let one_by_one = b.apply(labels, &a.apply(labels, &start).unwrap()).unwrap();
        let folded = a.then(&b, &labels.ty).unwrap().apply(labels, &start).unwrap();
        prop_assert_eq!(members(&one_by_one), members(&folded));
        let likes = field("likes");
        let (a, b) = (Operation::Add(Value::Int(x)), Operation::Add(Value::Int(y)));
        prop_assert_eq!(a.then(&b, &likes.ty).unwrap(), Operation::Add(Value::Int(x + y)));
        let set = Operation::Set { add: vec![], remove: vec![] };
        prop_assert!(a.then(&set, &likes.ty).is_none());
    }

    #[test]
    fn the_operation_between_two_values_leads_from_one_to_the_other(
        shown in any_set(), wanted in any_set(), x in -9_i64..9, y in -9_i64..9,
    ) {
        let model = model(ConflictStrategy::Automerge);
        let field = |name: &str| model.field_at(model.field(name).unwrap());
        let (labels, likes) = (field("labels"), field("likes"));
        let json = |items: Vec<String>| Value::Json(Json::from(items).to_string());
        let (shown, wanted) = (json(shown), json(wanted));
        let got = Operation::between(labels, &shown, &wanted).unwrap().apply(labels, &shown).unwrap();
        prop_assert_eq!(members(&got), members(&wanted));
        let got = Operation::between(likes, &Value::Int(x), &Value::Int(y)).unwrap();
        prop_assert_eq!(got.apply(likes, &Value::Int(x)).unwrap(), Value::Int(y));
        // What has no operation stays a value.
        prop_assert!(Operation::between(likes, &Value::Int(x), &Value::Null).is_none());
        prop_assert!(Operation::between(labels, &shown, &Value::Null).is_none());
        prop_assert!(Operation::between(field("free"), &Value::Null, &Value::Text("x".into())).is_none());
    }
}
