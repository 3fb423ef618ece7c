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
    let rows: [Row; 14] = [
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
            Ok(r#"Note {"at":{"lat":1},"id":"a"}"#),
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
