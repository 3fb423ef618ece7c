//! `@merge` and `@renamed`: what they may stand on, and what they become.

use tombolo_core::schema::{MergeRule, Schema};

use crate::errors::check;

#[test]
fn merge_rules_and_former_names_that_cannot_be_are_refused_by_place() {
    check(RULES);
}

/// As in `errors`.
const RULES: &[(&str, &str, &[&str])] = &[
    (
        "a merge rule without a name",
        "type A @model { a: Int @merge }",
        &["1:24: @merge has no rule"],
    ),
    (
        "an unknown merge rule",
        "type A @model { a: Int @merge(rule: counter) }",
        &["1:31: `counter` is not a merge rule"],
    ),
    (
        "a counter of text",
        "type A @model { a: String @merge(rule: COUNTER) }",
        &["1:27: @merge(rule: COUNTER) on a field of String"],
    ),
    (
        "a counter of many",
        "type A @model { a: [Int] @merge(rule: COUNTER) }",
        &["1:26: @merge(rule: COUNTER) on a field of [Int]"],
    ),
    (
        "a set of one",
        "type A @model { a: Int @merge(rule: SET) }",
        &["1:24: @merge(rule: SET) on a field of Int"],
    ),
    (
        "a set of embedded values",
        "type A @model { a: [P] @merge(rule: SET) }\ntype P { b: Int }",
        &["1:24: @merge(rule: SET) on a field of [P]"],
    ),
    (
        "the greatest of texts",
        "type A @model { a: String @merge(rule: MAX) }",
        &["1:27: @merge(rule: MAX) on a field of String"],
    ),
    (
        "a merge rule on a key",
        "type A @model { n: Int! @primaryKey @merge(rule: MAX) }",
        &["1:37: @merge(rule: MAX) on `n`, a key field"],
    ),
    (
        "a merge rule on a timestamp",
        "type A @model { a: Int\n updatedAt: AWSDateTime @merge(rule: MAX) }",
        &["2:25: @merge(rule: MAX) on `updatedAt`, a timestamp"],
    ),
    (
        "a merge rule on a relation",
        "type A @model { b: [B] @hasMany @merge(rule: SET) }\ntype B @model { c: Int }",
        &["1:33: @merge cannot stand on a relation"],
    ),
    (
        "a merge rule in a plain type",
        "type A { a: Int @merge(rule: MAX) }",
        &["1:17: @merge stands in `A`, which is not a model"],
    ),
    (
        "a former name that stands now",
        "type A @model @renamed(from: \"B\") { a: Int @renamed(from: [\"c\", \"b\"])\n b: Int }\ntype B @model { c: Int }",
        &[
            "1:15: @renamed says that `A` was `B`, but the type `B` stands now",
            "1:44: @renamed says that `a` was `b`, but the field `b` stands now",
        ],
    ),
    (
        "a former name claimed twice",
        "type A @model { a: Int @renamed(from: \"x\")\n b: Int @renamed(from: [\"x\"]) }",
        &["2:9: @renamed says that `b` was `x`, and so does `a`"],
    ),
    (
        "no former name",
        "type A @model { a: Int @renamed }",
        &["1:24: @renamed names no former name"],
    ),
];

#[test]
fn merge_rules_and_former_names_are_in_the_model() {
    let sdl = "type A @model @renamed(from: \"Old\") {\n  a: Int @merge(rule: COUNTER)\n  b: [E!] @merge(rule: SET) @renamed(from: [\"c\", \"d\"])\n  \
               B2: Int @renamed(from: \"b2\")\n}\nenum E { X }";
    let schema = Schema::parse(sdl, "s.graphql").unwrap();
    let model = &schema.models[0];
    let field = |name: &str| model.field_at(model.field(name).unwrap());
    assert!(schema.warnings.is_empty(), "{:?}", schema.warnings);
    assert_eq!(model.former, ["Old"]);
    assert_eq!(
        (field("a").merge, field("b").merge),
        (Some(MergeRule::Counter), Some(MergeRule::Set))
    );
    assert_eq!(
        (field("b").former.as_slice(), field("B2").former.as_slice()),
        (&["c".to_owned(), "d".to_owned()][..], &["b2".to_owned()][..])
    );
    let plain = Schema::parse(&sdl.replace("@merge(rule: COUNTER)", ""), "s.graphql").unwrap();
    assert_ne!(
        schema.hash, plain.hash,
        "a replica that sends operations must know whether they are taken"
    );
}
