//! One table for each scalar: what AppSync takes and what it refuses; and values there and back.

use serde_json::{Value as Json, json};
use tombolo_core::schema::{FieldKind, FieldType, Scalar, Schema};
use tombolo_core::value::{Value, ValueRef};

fn schema() -> Schema {
    let sdl = "enum Colour { RED GREEN }\ntype Point { x: Float! y: Float!  label: String  ids: [ID!]  next: Point }\n\
               type A @model { p: Point  ps: [Point!]  c: Colour  cs: [Colour]  tags: [String!]!  ids: [ID]  n: [Int] }";
    Schema::parse(sdl, "s.graphql").unwrap()
}

fn scalar(scalar: Scalar) -> FieldType {
    FieldType::single(FieldKind::Scalar(scalar))
}

fn field(schema: &Schema, name: &str) -> FieldType {
    let model = &schema.models[0];
    model.field_at(model.field(name).unwrap()).ty.clone()
}

fn check(one: Scalar, good: &[Json], bad: &[Json]) {
    let schema = schema();
    let ty = scalar(one);
    for json in good {
        let value = ty
            .parse_json(&schema, json)
            .unwrap_or_else(|e| panic!("{one:?} refuses {json}: {e}"));
        let mut out = Vec::new();
        ty.write_json(value.as_ref(), &mut out);
        let back: Json = serde_json::from_slice(&out).unwrap();
        assert_eq!(&back, json, "{one:?} changes {json}");
        assert_eq!(ty.value_from_column(value.as_ref()), value, "{one:?} from its column");
    }
    for json in bad {
        assert!(ty.parse_json(&schema, json).is_err(), "{one:?} takes {json}");
    }
    assert_eq!(ty.parse_json(&schema, &Json::Null), Ok(Value::Null));
    assert!(ty.with_required(true).parse_json(&schema, &Json::Null).is_err());
}

fn texts(list: &[&str]) -> Vec<Json> {
    list.iter().map(|t| json!(t)).collect()
}

#[test]
fn built_in_scalars() {
    check(
        Scalar::String,
        &texts(&["", "a\"b\\c\u{0}\u{1f}\n\u{2028}", "日本"]),
        &[json!(1), json!(true), json!([]), json!({})],
    );
    check(Scalar::Id, &texts(&["", "x"]), &[json!(1.5), json!(true)]);
    check(
        Scalar::Boolean,
        &[json!(true), json!(false)],
        &[json!(1), json!("true")],
    );
    check(
        Scalar::Int,
        &[json!(0), json!(-2_147_483_648_i64), json!(2_147_483_647)],
        &[json!(2_147_483_648_i64), json!(1.5), json!("1"), json!(1e300)],
    );
    check(
        Scalar::Float,
        &[json!(1.5), json!(-0.0), json!(1e300), json!(0.1)],
        &[json!("1"), json!(true)],
    );
}

#[test]
fn an_id_given_as_an_integer_becomes_its_text() {
    assert_eq!(
        scalar(Scalar::Id).parse_json(&schema(), &json!(7)),
        Ok(Value::Text("7".into()))
    );
}

#[test]
fn whole_numbers_may_be_written_as_floats() {
    assert_eq!(
        scalar(Scalar::Int).parse_json(&schema(), &json!(7.0)),
        Ok(Value::Int(7))
    );
    assert_eq!(
        scalar(Scalar::Float).parse_json(&schema(), &json!(7)),
        Ok(Value::Float(7.0))
    );
}

#[test]
fn aws_dates_and_times() {
    check(
        Scalar::AwsDate,
        &texts(&["2024-02-29", "1970-01-01Z", "2024-01-01+05:30", "2024-01-01-08:00:30"]),
        &texts(&[
            "2023-02-29",
            "2024-13-01",
            "2024-1-1",
            "24-01-01",
            "2024-01-01T00:00:00Z",
            "2024-01-01+25:00",
            "",
            "2024-01-01 ",
        ]),
    );
    check(
        Scalar::AwsTime,
        &texts(&[
            "00:00:00",
            "23:59:59.999",
            "12:00:00Z",
            "12:00:00.1+02:00",
            "12:00:00.123456789-07:00",
        ]),
        &texts(&[
            "24:00:00",
            "12:60:00",
            "12:00:60",
            "12:00",
            "1:00:00",
            "12:00:00.",
            "12:00:00.1234567890",
            "12:00:00+2",
        ]),
    );
    check(
        Scalar::AwsDateTime,
        &texts(&[
            "2024-02-29T12:30:00Z",
            "2024-02-29T12:30:00.123Z",
            "2024-02-29T12:30:00+01:00",
            "2024-02-29T12:30:00.1-18:00",
        ]),
        &texts(&[
            "2024-02-29T12:30:00",
            "2024-02-29 12:30:00Z",
            "2024-02-30T12:30:00Z",
            "2024-02-29T12:30Z",
            "2024-02-29T12:30:00z",
            "2024-02-29T12:30:00+18:01",
        ]),
    );
    check(
        Scalar::AwsTimestamp,
        &[json!(0), json!(-1), json!(1_714_565_430_123_i64), json!(i64::MAX)],
        &[json!("1"), json!(1.5), json!(1e300), json!(u64::MAX)],
    );
}

#[test]
fn aws_texts() {
    check(
        Scalar::AwsEmail,
        &texts(&[
            "a@b",
            "first.last+tag@example.co.uk",
            "\"odd one\"@example.com",
            "a@[127.0.0.1]",
            "ü@exämple.de",
        ]),
        &texts(&[
            "a", "@b", "a@", "a b@c.d", ".a@b.c", "a..b@c.d", "a@b..c", "a@-b.c", "a@b@c d",
        ]),
    );
    check(
        Scalar::AwsJson,
        &texts(&["{}", "[1,2]", "\"x\"", "null", "1", " {\"a\" : 1.0} "]),
        &[
            json!("{"),
            json!(""),
            json!("abc"),
            json!({"a": 1}),
            json!([1]),
            json!(1),
        ],
    );
    check(
        Scalar::AwsUrl,
        &texts(&[
            "https://example.com",
            "http://localhost:8080/a?b=c#d",
            "mailto:a@b.c",
            "file:///etc/x",
            "s3://bucket/key",
            "https://a/b//c",
        ]),
        &texts(&[
            "example.com",
            "//example.com",
            "https://",
            "http:///x",
            "https://a b",
            "1http://a",
            "",
        ]),
    );
    check(
        Scalar::AwsPhone,
        &texts(&[
            "+44 20 7946 0958",
            "+15555550100",
            "555-555-0100",
            "1 555 555 0100",
            "5555550100",
        ]),
        &texts(&[
            "",
            "+",
            "555-0100",
            "+1 (555) 555-0100",
            "abc",
            "+0123456",
            "+1234567890123456",
            "-5555550100",
            "555 555 0100 ",
        ]),
    );
    check(
        Scalar::AwsIpAddress,
        &texts(&["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "::ffff:1.2.3.4"]),
        &texts(&[
            "256.0.0.1",
            "1.2.3",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "x",
        ]),
    );
}

#[test]
fn enums_take_their_values_only() {
    let schema = schema();
    let ty = field(&schema, "c");
    assert_eq!(ty.parse_json(&schema, &json!("RED")), Ok(Value::Text("RED".into())));
    let error = ty.parse_json(&schema, &json!("BLUE")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`\"BLUE\"` is not one of Colour's values: RED, GREEN"
    );
}

#[test]
fn lists_and_embedded_values_are_kept_as_sent() {
    let schema = schema();
    for (name, json) in [
        ("p", json!({"y": 1, "x": 2.50, "label": null})),
        (
            "p",
            json!({"x": 1.0, "y": 1.0, "next": {"x": 0.0, "y": 0.0, "next": null}}),
        ),
        ("ps", json!([{"x": 1, "y": 2}])),
        ("ps", json!([])),
        ("cs", json!(["RED", null])),
        ("tags", json!(["a", "b"])),
        ("p", Json::Null),
    ] {
        let ty = field(&schema, name);
        let value = ty.parse_json(&schema, &json).unwrap();
        let mut out = Vec::new();
        ty.write_json(value.as_ref(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json.to_string());
        assert_eq!(ty.value_from_column(value.as_ref()), value);
    }
}

#[test]
fn coercion_changes_only_what_graphql_changes() {
    let schema = schema();
    let parse = |name: &str, json: Json| field(&schema, name).parse_json(&schema, &json).unwrap();
    assert_eq!(parse("tags", json!("a")), Value::Json("[\"a\"]".into()));
    assert_eq!(
        parse("ids", json!([1, "b", null])),
        Value::Json("[\"1\",\"b\",null]".into())
    );
    assert_eq!(parse("n", json!([1, 2.0])), Value::Json("[1,2]".into()));
    assert_eq!(
        parse("p", json!({"x": 1, "y": 2, "ids": [3]})),
        Value::Json("{\"x\":1,\"y\":2,\"ids\":[\"3\"]}".into())
    );
}

#[test]
fn what_is_wrong_deep_inside_is_named_by_path() {
    let schema = schema();
    for (name, json, path, problem) in [
        ("p", json!({"x": 1}), "y", "`Float!` is required"),
        ("p", json!({"x": 1, "y": "2"}), "y", "`\"2\"` is not a Float"),
        ("p", json!({"x": 1, "y": 2, "z": 3}), "", "`Point` has no field `z`"),
        (
            "p",
            json!({"x": 1, "y": 2, "next": {"x": 1, "y": null}}),
            "next.y",
            "`Float!` cannot be null",
        ),
        ("p", json!([1]), "", "`Point` is an object, not a list"),
        (
            "ps",
            json!([{"x": 1, "y": 2}, {"x": 1, "y": 2, "ids": ["a", null]}]),
            "[1].ids[1]",
            "`ID!` cannot be null",
        ),
        ("ps", json!([null]), "[0]", "`Point!` cannot be null"),
        ("tags", Json::Null, "", "`[String!]!` cannot be null"),
        ("tags", json!(["a", 1]), "[1]", "`1` is not a String"),
    ] {
        let error = field(&schema, name).parse_json(&schema, &json).unwrap_err();
        assert_eq!(error.path, path, "{json}");
        assert!(error.problem.starts_with(problem), "{json}: {}", error.problem);
    }
}

#[test]
fn columns_of_a_foreign_class_are_null() {
    for (one, column) in [
        (Scalar::Int, ValueRef::Text("x")),
        (Scalar::Boolean, ValueRef::Text("true")),
        (Scalar::String, ValueRef::Int(1)),
        (Scalar::Float, ValueRef::Text("1")),
        (Scalar::Float, ValueRef::Float(f64::NAN)),
        (Scalar::Int, ValueRef::Float(1.0)),
    ] {
        let mut out = Vec::new();
        scalar(one).write_json(column, &mut out);
        assert_eq!(out, b"null", "{one:?} {column:?}");
    }
    assert_eq!(
        scalar(Scalar::Boolean).value_from_column(ValueRef::Int(1)),
        Value::Bool(true)
    );
    assert_eq!(
        scalar(Scalar::Float).value_from_column(ValueRef::Int(2)),
        Value::Float(2.0)
    );
}
