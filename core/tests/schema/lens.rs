//! What was made under one schema, read under a later one: one row for each kind of change.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::{FieldId, Version};
use tombolo_core::query::{Filter, MutationInput};
use tombolo_core::record::{Meta, Record};
use tombolo_core::schema::{FieldType, Lens, MutationKind, Schema};
use tombolo_core::value::Value;

const BASE: &str = "
    enum Mood { GOOD BAD }
    type Place { lat: Float lon: Float }
    type Note @model {
      id: ID!  body: String  n: Int  mood: Mood  moods: [Mood]  at: Place  day: AWSDate  count: Int @merge(rule: COUNTER)
    }";

fn schema(sdl: &str) -> Arc<Schema> {
    Arc::new(Schema::parse(sdl, "s.graphql").unwrap())
}

fn lens(change: &[(&str, &str)]) -> Lens {
    let mut sdl = BASE.to_owned();
    for (was, is) in change {
        assert!(sdl.contains(was), "{was}");
        sdl = sdl.replace(was, is);
    }
    Lens::between(&schema(BASE), &schema(&sdl))
}

fn input(lens: &Lens, kind: MutationKind, values: &Json, condition: Option<&Json>) -> MutationInput {
    let old = lens.earlier();
    let model = old.model_named("Note").unwrap();
    let value = |(name, json): (&String, &Json)| {
        let field = old[model].field(name).unwrap();
        (field, old[model].field_at(field).ty.parse_json(old, json).unwrap())
    };
    let access = Access::of(old, &Identity::Local);
    MutationInput {
        model,
        kind,
        values: values.as_object().unwrap().iter().map(value).collect(),
        operations: Vec::new(),
        base_version: Some(Version(3)),
        condition: condition.map(|json| Filter::parse(old, model, json, &access).unwrap()),
        condition_json: condition.cloned(),
    }
}

/// The values under the new schema by name, and what was removed; or the change.
fn carried(lens: &Lens, kind: MutationKind, values: &Json, condition: Option<&Json>) -> Result<String, String> {
    let carried = lens
        .mutation(&input(lens, kind, values, condition))
        .map_err(|change| change.to_string())?;
    let model = &lens.later()[carried.input.model];
    let named = |(field, value): &(FieldId, Value)| (model.field_at(*field).name.clone(), value.to_json());
    let values: BTreeMap<String, Json> = carried.input.values.iter().map(named).collect();
    let removed: Vec<String> = carried
        .removed
        .iter()
        .map(|r| format!(" -{}={}", r.field, r.given))
        .collect();
    Ok(format!("{} {}{}", model.name, json!(values), removed.concat()))
}

/// What is replaced in the schema, the values of an update, and what becomes of them.
type Row = (
    &'static [(&'static str, &'static str)],
    Json,
    Result<&'static str, &'static str>,
);

#[test]
fn a_mutation_keeps_what_has_a_meaning_and_names_the_change_that_took_it() {
    let update = json!({ "id": "a", "body": "x", "n": 2 });
    let rows: [Row; 15] = [
        (&[], update.clone(), Ok(r#"Note {"body":"x","id":"a","n":2}"#)),
        (
            &[("n: Int", "n: Int more: String")],
            update.clone(),
            Ok(r#"Note {"body":"x","id":"a","n":2}"#),
        ),
        (
            &[("body: String", "")],
            update.clone(),
            Ok(r#"Note {"id":"a","n":2} -body="x""#),
        ),
        (
            &[
                ("body: String", "text: String @renamed(from: [\"body\"])"),
                ("type Note @model", "type Memo @model @renamed(from: [\"Note\"])"),
            ],
            update.clone(),
            Ok(r#"Memo {"id":"a","n":2,"text":"x"}"#),
        ),
        (
            &[("n: Int", "n: Float")],
            update.clone(),
            Ok(r#"Note {"body":"x","id":"a","n":2.0}"#),
        ),
        (
            &[("n: Int", "n: String")],
            update.clone(),
            Ok(r#"Note {"body":"x","id":"a","n":"2"}"#),
        ),
        (
            &[("n: Int", "n: [Int]")],
            update.clone(),
            Ok(r#"Note {"body":"x","id":"a","n":[2]}"#),
        ),
        (
            &[("body: String", "body: Int")],
            update.clone(),
            Err("Note.body: the type changed to Int, and `\"x\"` is not an Int (a whole number of 32 bits)"),
        ),
        (
            &[("n: Int", "n: Int! @default(value: \"7\")")],
            json!({ "id": "a", "n": null }),
            Ok(r#"Note {"id":"a","n":7}"#),
        ),
        (
            &[("n: Int", "n: Int!")],
            json!({ "id": "a", "n": null }),
            Err("Note.n: the field is required now and has no default, so it cannot be emptied"),
        ),
        (
            &[("GOOD BAD", "GOOD BAD SO_SO")],
            json!({ "id": "a", "mood": "BAD" }),
            Ok(r#"Note {"id":"a","mood":"BAD"}"#),
        ),
        (
            &[("GOOD BAD", "GOOD")],
            json!({ "id": "a", "mood": "BAD" }),
            Err("Mood.BAD: the enum's value was removed, so Note.mood cannot be set to it"),
        ),
        (
            &[("lon: Float", "")],
            json!({ "id": "a", "at": { "lat": 1, "lon": 2 } }),
            Ok(r#"Note {"at":{"lat":1},"id":"a"} -at.lon=2"#),
        ),
        (
            &[("lon: Float", "lon: Float zip: Int!")],
            json!({ "id": "a", "at": { "lat": 1, "lon": 2 } }),
            Ok(r#"Note {"at":{"lat":1,"lon":2},"id":"a"}"#),
        ),
        (
            &[("type Note @model {", "type Other @model {")],
            update.clone(),
            Err("Note: the model was removed from the schema, so nothing can be done to its records"),
        ),
    ];
    for (change, values, want) in rows {
        let lens = lens(change);
        let got = carried(&lens, MutationKind::Update, &values, None);
        assert_eq!(got.as_deref().map_err(String::as_str), want, "{change:?}");
    }
}

#[test]
fn a_changed_key_takes_the_meaning_of_everything() {
    let lens = lens(&[("id: ID!  body: String", "id: ID!  body: String! @primaryKey")]);
    let got = carried(&lens, MutationKind::Delete, &json!({ "id": "a" }), None);
    assert_eq!(
        got.unwrap_err(),
        "Note: the key changed from (id) to (body), so the record that is meant cannot be told"
    );
    let renamed = self::lens(&[("id: ID!", "key: ID! @primaryKey @renamed(from: [\"id\"])")]);
    let got = carried(&renamed, MutationKind::Delete, &json!({ "id": "a" }), None);
    assert_eq!(got.unwrap(), r#"Note {"key":"a"}"#);
}

#[test]
fn a_creation_must_have_what_has_become_required() {
    let create = json!({ "id": "a", "body": "x" });
    let with_default = lens(&[(
        "n: Int",
        "n: Int! @default(value: \"7\") more: Int! @default(value: \"1\")",
    )]);
    assert_eq!(
        carried(&with_default, MutationKind::Create, &create, None).unwrap(),
        r#"Note {"body":"x","id":"a"}"#
    );
    let without = lens(&[("n: Int", "n: Int more: Int!")]);
    assert_eq!(
        carried(&without, MutationKind::Create, &create, None).unwrap_err(),
        "Note.more: the field is required now and has no default, so a record without it cannot be made"
    );
    assert!(carried(&without, MutationKind::Update, &create, None).is_ok());
}

#[test]
fn a_condition_is_carried_or_names_the_field_that_is_gone() {
    let (update, condition) = (json!({ "id": "a", "n": 1 }), json!({ "body": { "eq": "x" } }));
    let renamed = lens(&[("body: String", "text: String @renamed(from: [\"body\"])")]);
    let input = renamed
        .mutation(&input(&renamed, MutationKind::Update, &update, Some(&condition)))
        .unwrap()
        .input;
    let new = renamed.later();
    let access = Access::of(new, &Identity::Local);
    let want = Filter::parse(new, input.model, &json!({ "text": { "eq": "x" } }), &access).unwrap();
    assert_eq!(input.condition, Some(want));
    let removed = lens(&[("body: String", "")]);
    assert_eq!(
        carried(&removed, MutationKind::Update, &update, Some(&condition)).unwrap_err(),
        "Note.body: the field was removed from the schema, so a condition on it cannot be checked"
    );
}

#[test]
fn names_and_records_are_told_as_the_old_schema_has_them() {
    let lens = lens(&[
        ("type Note @model", "type Memo @model @renamed(from: [\"Note\"])"),
        (
            "body: String  n: Int",
            "more: Int  n: Float  text: String @renamed(from: [\"body\"])",
        ),
    ]);
    let memo = lens.later().model_named("Memo").unwrap();
    let model = &lens.later()[memo];
    let names: Vec<&str> = (0..4).map(|i| lens.field_name(memo, FieldId(i))).collect();
    assert_eq!(
        (lens.model_name(memo), names),
        ("Note", vec!["id", "more", "n", "body"])
    );
    let mut record = Record {
        values: vec![Value::Null; model.fields.len()],
        meta: Meta::default(),
    };
    for (name, value) in [
        ("id", Value::Text("a".into())),
        ("n", Value::Float(2.0)),
        ("text", Value::Text("x".into())),
    ] {
        record.values[model.field(name).unwrap().0] = value;
    }
    let note = lens.earlier().model_named("Note").unwrap();
    let back = lens.record_back(note, &record);
    assert_eq!(
        back.values[..3],
        [Value::Text("a".into()), Value::Text("x".into()), Value::Int(2)]
    );
}

#[test]
fn of_two_former_names_the_newest_is_the_one() {
    let old = schema("type A @model { id: ID! a: Int b: Int }");
    let new = schema("type A @model { id: ID! c: Int @renamed(from: [\"a\", \"b\"]) }");
    let lens = Lens::between(&old, &new);
    let model = old.model_named("A").unwrap();
    assert_eq!(lens.field(model, old[model].field("a").unwrap()), None);
    assert_eq!(lens.field(model, old[model].field("b").unwrap()), new[model].field("c"));
}

#[test]
fn which_types_are_wider() {
    let sdl = "enum E { X } type P { x: Int }
        type A @model { id: ID! int: Int stamp: AWSTimestamp float: Float text: String day: AWSDate flag: Boolean e: E p: P
                        ints: [Int] sure: [Int!] floats: [Float] key: ID }";
    let schema = schema(sdl);
    let model = schema.model_named("A").unwrap();
    let ty = |name: &str| -> FieldType {
        schema[model]
            .field_at(schema[model].field(name).unwrap())
            .ty
            .with_required(false)
    };
    let wider = [
        ("int", "float"),
        ("int", "stamp"),
        ("day", "text"),
        ("text", "key"),
        ("key", "text"),
        ("e", "text"),
        ("ints", "floats"),
        ("sure", "ints"),
        ("sure", "floats"),
        ("p", "p"),
    ];
    let names = [
        "int", "stamp", "float", "text", "day", "flag", "e", "p", "ints", "sure", "floats", "key",
    ];
    for was in names {
        for is in names {
            let want = was == is || wider.contains(&(was, is)) || (["day", "e"].contains(&was) && is == "key");
            assert_eq!(ty(was).widens_to(&ty(is)), want, "{was} to {is}");
        }
    }
}

/// The type of `Note.at` before and after, what the record holds, what an app of the first writes, what stands then, and
/// what is told as removed.
type PartRow = (
    &'static str,
    &'static str,
    Json,
    Json,
    Result<Json, &'static str>,
    &'static str,
);

#[test]
fn members_that_the_writer_does_not_know_are_taken_over_from_the_record() {
    let flat = ("type P { a: Int b: Int }", "type P { a: Int b: Int more: String }");
    let deep = (
        "type Q { x: Int } type P { q: Q qs: [Q] b: Int }",
        "type Q { x: Int y: Int } type P { q: Q qs: [Q] b: Int }",
    );
    let gone = (
        "type Q { x: Int y: Int } type P { q: Q qs: [Q] a: Int }",
        "type Q { x: Int } type P { q: Q qs: [Q] more: Int }",
    );
    let required = ("type P { a: Int }", "type P { a: Int more: Int! }");
    let item = |x: i64, y: i64| json!({ "x": x, "y": y });
    let xs = |all: &[i64]| all.iter().map(|x| json!({ "x": x })).collect::<Vec<_>>();
    let held = json!({ "qs": [item(1, 10), item(2, 20), item(3, 30)] });
    let rows: [PartRow; 15] = [
        (
            flat.0,
            flat.1,
            json!({ "a": 1, "b": 2, "more": "m" }),
            json!({ "a": 3, "b": 4 }),
            Ok(json!({ "a": 3, "b": 4, "more": "m" })),
            "",
        ),
        // What it knows and leaves out, or empties, it meant to.
        (
            flat.0,
            flat.1,
            json!({ "a": 1, "b": 2, "more": "m" }),
            json!({ "a": 3, "b": null }),
            Ok(json!({ "a": 3, "b": null, "more": "m" })),
            "",
        ),
        (
            flat.0,
            flat.1,
            json!({ "a": 1, "b": 2, "more": "m" }),
            json!({}),
            Ok(json!({ "more": "m" })),
            "",
        ),
        (
            flat.0,
            flat.1,
            json!(null),
            json!({ "a": 3 }),
            Ok(json!({ "a": 3 })),
            "",
        ),
        (
            flat.0,
            flat.1,
            json!({ "a": 1, "more": "m" }),
            json!(null),
            Ok(json!(null)),
            "",
        ),
        // Of a schema between the two, and no longer of the member's type: it is not carried on.
        (
            flat.0,
            flat.1,
            json!({ "more": [1] }),
            json!({ "a": 3 }),
            Ok(json!({ "a": 3 })),
            "",
        ),
        (
            deep.0,
            deep.1,
            json!({ "q": item(1, 10) }),
            json!({ "q": { "x": 2 }, "b": 1 }),
            Ok(json!({ "q": item(2, 10), "b": 1 })),
            "",
        ),
        (
            deep.0,
            deep.1,
            json!({ "q": item(1, 10) }),
            json!({ "q": null }),
            Ok(json!({ "q": null })),
            "",
        ),
        // Of a list: what looks the same to the writer, wherever it stands; then what stands at the same place.
        (
            deep.0,
            deep.1,
            held.clone(),
            json!({ "qs": xs(&[3, 1]) }),
            Ok(json!({ "qs": [item(3, 30), item(1, 10)] })),
            "",
        ),
        (
            deep.0,
            deep.1,
            held.clone(),
            json!({ "qs": xs(&[1, 7, 3]) }),
            Ok(json!({ "qs": [item(1, 10), item(7, 20), item(3, 30)] })),
            "",
        ),
        (
            deep.0,
            deep.1,
            held.clone(),
            json!({ "qs": xs(&[1, 7, 3, 3]) }),
            Ok(json!({ "qs": [item(1, 10), { "x": 7 }, item(3, 30), { "x": 3 }] })),
            "",
        ),
        (
            gone.0,
            gone.1,
            json!({ "more": 5 }),
            json!({ "a": 1, "q": item(1, 2), "qs": [item(3, 4), { "x": 1 }, item(5, 6)] }),
            Ok(json!({ "q": { "x": 1 }, "qs": [{ "x": 3 }, { "x": 1 }, { "x": 5 }], "more": 5 })),
            "at.a=1 at.q.y=2 at.qs[].y=[4,6]",
        ),
        (gone.0, gone.1, json!(null), json!({ "a": null }), Ok(json!({})), ""),
        (
            required.0,
            required.1,
            json!({ "a": 1, "more": 5 }),
            json!({ "a": 2 }),
            Ok(json!({ "a": 2, "more": 5 })),
            "",
        ),
        (
            required.0,
            required.1,
            json!(null),
            json!({ "a": 2 }),
            Err("Note.at: the type changed, and the record has nothing for more: `Int!` is required"),
            "",
        ),
    ];
    for (was, is, held, given, want, removed) in rows {
        let note = "type Note @model { id: ID! at: P }";
        let (old, new) = (schema(&format!("{was} {note}")), schema(&format!("{is} {note}")));
        let lens = Lens::between(&old, &new);
        let values = json!({ "id": "a", "at": given });
        let carried = lens
            .mutation(&input(&lens, MutationKind::Update, &values, None))
            .unwrap();
        let told: Vec<String> = carried
            .removed
            .iter()
            .map(|r| format!("{}={}", r.field, r.given))
            .collect();
        assert_eq!(told.join(" "), removed, "{values}");
        let ty = &new[carried.input.model].field_at(FieldId(1)).ty;
        let value = &carried.input.values[1].1;
        let held = if held.is_null() {
            Value::Null
        } else {
            Value::Json(held.to_string())
        };
        let whole = match carried.parts.first() {
            Some(part) => part.whole(&new, ty, &held, value).map(|value| value.to_json()),
            None => Ok(value.to_json()),
        };
        assert_eq!(
            whole.map_err(|change| change.to_string()),
            want.map_err(str::to_owned),
            "{values}"
        );
    }
}

#[test]
fn a_value_that_looks_as_it_was_to_its_writer_is_the_very_value_that_is_held() {
    let (old, new) = (
        schema("type P { a: Int } type Note @model { id: ID! at: [P] }"),
        schema("type P { more: Int a: Int } type Note @model { id: ID! at: [P] }"),
    );
    let lens = Lens::between(&old, &new);
    let values = json!({ "id": "a", "at": [{ "a": 1 }] });
    let carried = lens
        .mutation(&input(&lens, MutationKind::Update, &values, None))
        .unwrap();
    let held = Value::Json(r#"[{"more":2,"a":1}]"#.into());
    let ty = &new[carried.input.model].field_at(FieldId(1)).ty;
    assert_eq!(
        carried.parts[0].whole(&new, ty, &held, &carried.input.values[1].1),
        Ok(held)
    );
}
