//! What changes between two schemas: one row for each kind of change.

use tombolo_core::schema::{Schema, diff};

/// Old, new, and the differences as printed.
const CHANGES: &[(&str, &str, &[&str])] = &[
    ("type A @model { a: Int }", "type A @model { a: Int }", &[]),
    (
        "type A @model { a: Int b: Int @merge(rule: MAX) }",
        "type A @model { a: Int @merge(rule: COUNTER) b: Int }",
        &[
            "compatible: A.a: conflicts settled by COUNTER instead of the model's strategy",
            "compatible: A.b: conflicts settled by the model's strategy instead of MAX",
        ],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: Int b: Int }",
        &["compatible: A.b: field added"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: Int b: Int! }",
        &["breaking: A.b: required field added without a default"],
    ),
    (
        "type A @model { id: ID! a: Int }",
        "type B @model @renamed(from: [\"A\"]) { id: ID! b: Int @renamed(from: [\"a\"]) }",
        &[
            "compatible: B: model renamed from A",
            "compatible: B.b: field renamed from a",
        ],
    ),
    (
        "type B @model { b: Int @renamed(from: [\"a\"]) }",
        "type B @model { b: Int }",
        &["breaking: B.b: no longer says that it was a: apps that still call it so lose what they write to it"],
    ),
    (
        "type A @model { a: Int b: AWSDate c: [Int] }",
        "type A @model { a: Float b: String c: [Float] }",
        &[
            "compatible: A.a: type widened from Int to Float",
            "compatible: A.b: type widened from AWSDate to String",
            "compatible: A.c: type widened from [Int] to [Float]",
        ],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: Int b: Int! @default(value: 1) }",
        &["compatible: A.b: field added"],
    ),
    (
        "type A @model { a: Int b: Int }",
        "type A @model { a: Int }",
        &["breaking: A.b: field removed"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: Int! }",
        &["breaking: A.a: made required without a default"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: Int! @default(value: 1) }",
        &[
            "compatible: A.a: made required, with a default",
            "compatible: A.a: default added",
        ],
    ),
    (
        "type A @model { a: Int! }",
        "type A @model { a: Int }",
        &["breaking: A.a: made nullable, which older apps do not expect"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: String }",
        &["breaking: A.a: type changed from Int to String"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: [Int] }",
        &["breaking: A.a: type changed from Int to [Int]"],
    ),
    (
        "type A @model { a: [Int] }",
        "type A @model { a: [Int!] }",
        &["breaking: A.a: items changed from [Int] to [Int!]"],
    ),
    (
        "type A @model { a: Int! @default(value: 1) }",
        "type A @model { a: Int! }",
        &["breaking: A.a: default removed"],
    ),
    (
        "type A @model { a: Int @default(value: 1) }",
        "type A @model { a: Int @default(value: 2) }",
        &["compatible: A.a: default changed"],
    ),
    (
        "type A @model { a: Int } type B @model { b: Int }",
        "type A @model { a: Int }",
        &["breaking: B: model removed"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model { a: Int } type B @model { b: Int }",
        &["compatible: B: model added"],
    ),
    (
        "type A @model { a: ID! @primaryKey b: ID! }",
        "type A @model { a: ID! @primaryKey(sortKeyFields: [\"b\"]) b: ID! }",
        &["breaking: A: key changed from (a) to (a, b)"],
    ),
    (
        "type A @model { a: ID @index(name: \"x\") }",
        "type A @model { a: ID }",
        &["breaking: A: index x removed"],
    ),
    (
        "type A @model { a: ID @index(name: \"x\", queryField: null) }",
        "type A @model { a: ID }",
        &["compatible: A: index x removed"],
    ),
    (
        "type A @model { a: ID }",
        "type A @model { a: ID @index(name: \"x\") }",
        &["compatible: A: index x added"],
    ),
    (
        "type A @model { a: ID @index(name: \"x\", queryField: \"q\") b: ID }",
        "type A @model { a: ID @index(name: \"x\", queryField: \"q\", sortKeyFields: [\"b\"]) b: ID }",
        &["breaking: A: index x changed from (a) to (a, b)"],
    ),
    (
        "type A @model { a: ID @index(name: \"x\", queryField: \"q\") }",
        "type A @model { a: ID @index(name: \"x\", queryField: \"r\") }",
        &["breaking: A: index x: query q renamed to r"],
    ),
    (
        "enum E { X Y } type A @model { e: E }",
        "enum E { X Z } type A @model { e: E }",
        &["breaking: E.Y: enum value removed", "compatible: E.Z: enum value added"],
    ),
    (
        "type P { x: Int } type A @model { p: P }",
        "type P { x: Int! y: Int z: Int! } type A @model { p: P }",
        &[
            "breaking: P.x: made required without a default",
            "compatible: P.y: field added",
            "breaking: P.z: required field added",
        ],
    ),
    (
        "type A @model { b: B @hasOne } type B @model { x: Int }",
        "type A @model { x: Int } type B @model { x: Int }",
        &[
            "breaking: A.aBId: field removed",
            "compatible: A.x: field added",
            "breaking: A.b: relation removed",
        ],
    ),
    (
        "type A @model { aBId: ID } type B @model { x: Int }",
        "type A @model { aBId: ID b: B @hasOne } type B @model { x: Int }",
        &["compatible: A.b: relation added"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model(queries: { list: null }) { a: Int }",
        &["breaking: Query.listAS: removed"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model(mutations: { create: \"add\" }) { a: Int }",
        &["breaking: Mutation.createA: removed"],
    ),
    (
        "type A @model { a: Int } type Query { q: Int }",
        "type A @model { a: Int }",
        &["breaking: Query.q: removed"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model @auth(rules: [{ allow: private }]) { a: Int }",
        &["breaking: A: rules grant less than before"],
    ),
    (
        "type A @model @auth(rules: [{ allow: public, operations: [read] }]) { a: Int }",
        "type A @model @auth(rules: [{ allow: public }]) { a: Int }",
        &["compatible: A: rules changed, and grant all that they did"],
    ),
    (
        "type A @model { a: Int }",
        "type A @model(conflict: LAST_WRITER_WINS) { a: Int }",
        &["compatible: A: conflicts settled by LastWriterWins instead of Automerge"],
    ),
];

#[test]
fn every_kind_of_change_is_told_and_judged() {
    for (old, new, expected) in CHANGES {
        let parse = |sdl: &str| Schema::parse(sdl, "s.graphql").unwrap_or_else(|e| panic!("{sdl}: {e}"));
        let got: Vec<String> = diff(&parse(old), &parse(new)).iter().map(ToString::to_string).collect();
        assert_eq!(got, *expected, "{old}\n{new}");
    }
}

#[test]
fn the_hash_follows_the_stored_shape_alone() {
    let hash = |sdl: &str| Schema::parse(sdl, "s.graphql").unwrap().hash;
    let base = hash("type A @model { a: Int b: ID! }");
    assert_eq!(
        base,
        hash(
            "# a comment\ntype A @model(queries: { get: \"one\" }) @auth(rules: [{ allow: public }]) { a: Int b: ID! }"
        )
    );
    for other in [
        "type B @model { a: Int b: ID! }",
        "type A @model { a: Int b: ID }",
        "type A @model { a: Float b: ID! }",
        "type A @model { a: Int b: ID! c: Int }",
        "type A @model { a: Int b: ID! @primaryKey }",
    ] {
        assert_ne!(base, hash(other), "{other}");
    }
}
