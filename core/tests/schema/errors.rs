//! Every rule that a schema can break: one row each, with the place, what is said, and that a mend is given.

use tombolo_core::schema::Schema;

/// Rule, file, and `line:column: beginning of the problem` for each error, all of them and in order.
const RULES: &[(&str, &str, &[&str])] = &[
    ("syntax", "type A @model {\n  a: Int", &["2:9: syntax error"]),
    (
        "two syntax errors",
        "type A @model { a Int }\ntype { b: Int }",
        &["1:19: syntax error", "1:23: syntax error", "2:6: syntax error"],
    ),
    (
        "an operation",
        "type A @model { a: Int }\nquery { a }",
        &["2:1: an operation or fragment"],
    ),
    (
        "unknown type",
        "type A @model {\n  a: Nope\n}",
        &["2:6: the type `Nope` of `a` is unknown"],
    ),
    (
        "unknown type in a plain type",
        "type A { a: Nope }",
        &["1:13: the type `Nope` is unknown"],
    ),
    (
        "unknown type in a list",
        "type A @model { a: [Nope!]! }",
        &["1:21: the type `Nope` of `a` is unknown"],
    ),
    (
        "unknown argument type",
        "type Query { a(b: Nope): Int }",
        &["1:19: the type `Nope` is unknown"],
    ),
    (
        "unknown member of a union",
        "type A { a: Int }\nunion U = A | Nope",
        &["2:15: the type `Nope` is unknown"],
    ),
    (
        "unknown interface",
        "type A implements Nope @model { a: Int }",
        &["1:19: `Nope` is not an interface"],
    ),
    (
        "list of lists",
        "type A @model { a: [[Int]] }",
        &["1:22: `a` is a list of lists"],
    ),
    (
        "duplicate type",
        "type A @model { a: Int }\ntype A { b: Int }",
        &["2:6: the type `A` is declared twice"],
    ),
    (
        "duplicate field",
        "type A @model {\n  a: Int\n  a: Int\n}",
        &["3:3: `A` has two fields called `a`"],
    ),
    (
        "duplicate enum value",
        "enum E { A B A }",
        &["1:14: `E` has two values called `A`"],
    ),
    (
        "a scalar's name",
        "type AWSDate { a: Int }",
        &["1:6: `AWSDate` is the name of a scalar"],
    ),
    (
        "extension of nothing",
        "extend type B { a: Int }",
        &["1:13: `B` is extended but not declared"],
    ),
    (
        "root types by another name",
        "schema { query: Q }\ntype Q { a: Int }",
        &["1:17: the root type `Q`"],
    ),
    (
        "root as a model",
        "type Query @model { a: Int }",
        &["1:12: `Query` cannot be a model"],
    ),
    (
        "models equal but for case",
        "type Ab @model { a: Int }\ntype AB @model { a: Int }",
        &["2:6: `AB` and `Ab` are the same name"],
    ),
    (
        "fields equal but for case",
        "type A @model { ab: Int  aB: Int }",
        &["1:26: `aB` and `ab` are the same name"],
    ),
    (
        "model name with underscore",
        "type _A @model { a: Int }",
        &["1:6: the model name `_A` begins with `_`"],
    ),
    (
        "reserved model name",
        "type TomboloA @model { a: Int }",
        &["1:6: `TomboloA` begins with `Tombolo`"],
    ),
    (
        "reserved plain type",
        "type TomboloA { a: Int }",
        &["1:6: `TomboloA` begins with `Tombolo`"],
    ),
    (
        "SQLite's names",
        "type sqlite_A @model { a: Int }",
        &["1:6: `sqlite_A` begins with `sqlite_`"],
    ),
    (
        "reserved field name",
        "type A @model { tomboloB: Int }",
        &["1:17: `tomboloB` begins with `tombolo`"],
    ),
    (
        "reserved root field",
        "type Query { tomboloChanges: Int }",
        &["1:14: `tomboloChanges` begins"],
    ),
    (
        "meta name",
        "type A @model { _Version: Int }",
        &["1:17: `_Version` collides with `_version`"],
    ),
    (
        "meta name of our own",
        "type A @model { _position: Int }",
        &["1:17: `_position` collides"],
    ),
    (
        "GraphQL's names",
        "type A @model { __a: Int }",
        &["1:17: `__a` begins with `__`"],
    ),
    (
        "collision with a generated field",
        "type A @model { createdat: Int }",
        &["1:6: `A` gets a field `createdAt`, which collides with `createdat`"],
    ),
    (
        "model without a relation",
        "type A @model { b: B }\ntype B @model { a: Int }",
        &["1:20: `b` is of the model `B` but says nothing"],
    ),
    (
        "interface in a model",
        "interface I { a: Int }\ntype A @model { i: I }",
        &["2:20: `i` is of `I`, an interface"],
    ),
    (
        "union in a model",
        "type B { b: Int }\nunion U = B\ntype A @model { u: U }",
        &["3:20: `u` is of `U`, a union"],
    ),
    (
        "input in a model",
        "input I { a: Int }\ntype A @model { i: I }",
        &["2:20: `i` is of `I`, an input"],
    ),
    (
        "own scalar in a model",
        "scalar S\ntype A @model { s: S }",
        &["2:20: `s` is of `S`, a scalar"],
    ),
    (
        "what cannot be embedded",
        "type B { a: A }\ntype A @model { b: B }",
        &["2:20: `B` cannot be embedded"],
    ),
    (
        "what embeds such",
        "type C { b: B }\ntype B { a: A }\ntype A @model { c: C }",
        &["3:20: `C` cannot be embedded"],
    ),
    (
        "embedded in itself",
        "type B { b: B! }\ntype A @model { b: B }",
        &["1:6: `B` must contain itself"],
    ),
    (
        "relation to a plain type",
        "type A @model { b: B @hasOne }\ntype B { a: Int }",
        &["1:17: `b` relates to `B`, which is not a model"],
    ),
    (
        "relation to nothing",
        "type A @model { b: B @hasOne }",
        &["1:17: the type `B` of `b` is unknown"],
    ),
    (
        "hasMany of one",
        "type A @model { b: B @hasMany }\ntype B @model { a: Int }",
        &["1:17: `b` and @hasMany do not agree"],
    ),
    (
        "hasOne of many",
        "type A @model { b: [B] @hasOne }\ntype B @model { a: Int }",
        &["1:17: `b` and @hasOne do not agree"],
    ),
    (
        "two relations",
        "type A @model { b: B @hasOne @belongsTo }\ntype B @model { a: A @hasOne }",
        &["1:30: `b` has two relation directives"],
    ),
    (
        "index on a relation",
        "type A @model { b: B @hasOne @index(name: \"x\") }\ntype B @model { a: Int }",
        &["1:30: @index cannot stand on a relation"],
    ),
    (
        "relation over a missing field",
        "type A @model { b: B @hasOne(fields: [\"bId\"]) }\ntype B @model { a: Int }",
        &["1:22: the relation names the field `bId`"],
    ),
    (
        "missing references",
        "type A @model { b: [B] @hasMany(references: [\"aId\"]) }\ntype B @model { a: Int }",
        &["1:24: the relation names the field `aId`, which `B`"],
    ),
    (
        "fields beside references",
        "type A @model { x: ID b: B @hasOne(fields: [\"x\"], references: [\"a\"]) }\ntype B @model { a: ID }",
        &["1:28: `references` cannot stand with `fields`"],
    ),
    (
        "too few fields for the key",
        "type A @model { x: ID b: B @hasOne(fields: [\"x\"]) }\ntype B @model { p: ID! @primaryKey(sortKeyFields: [\"q\"]) q: ID! }",
        &["1:28: the relation matches 1 fields of `A` with 2 of `B`"],
    ),
    (
        "types of the ends",
        "type A @model { x: Int b: B @hasOne(fields: [\"x\"]) }\ntype B @model { a: Int }",
        &["1:29: `A.x` is Int and `B.id` is ID"],
    ),
    (
        "relation over a list",
        "type A @model { x: [ID] b: B @hasOne(fields: [\"x\"]) }\ntype B @model { a: Int }",
        &["1:30: the relation goes over a list"],
    ),
    (
        "no such index",
        "type A @model { b: [B] @hasMany(indexName: \"byA\", fields: [\"id\"]) }\ntype B @model { a: ID @index(name: \"byC\") }",
        &["1:24: `B` has no index `byA`"],
    ),
    (
        "more fields than the index",
        "type A @model { x: ID b: [B] @hasMany(indexName: \"byA\", fields: [\"id\", \"x\"]) }\ntype B @model { a: ID @index(name: \"byA\") }",
        &["1:30: `b` matches 2 fields against an index of 1"],
    ),
    (
        "belongs to nobody",
        "type A @model { b: B @belongsTo }\ntype B @model { a: Int }",
        &["1:22: `b` belongs to `B`, which has no relation to `A`"],
    ),
    (
        "one-sided many to many",
        "type A @model { b: [B] @manyToMany(relationName: \"AB\") }\ntype B @model { a: Int }",
        &["1:24: the relation `AB` has 1 sides"],
    ),
    (
        "many to many without name",
        "type A @model { b: [B] @manyToMany }\ntype B @model { a: Int }",
        &["1:24: @manyToMany has no relationName"],
    ),
    (
        "many to many with itself",
        "type A @model { b: [A] @manyToMany(relationName: \"X\") c: [A] @manyToMany(relationName: \"X\") }",
        &["1:62: the relation `X` joins `A` with itself"],
    ),
    (
        "many to many of one",
        "type A @model { b: B @manyToMany(relationName: \"X\") }\ntype B @model { a: [A] @manyToMany(relationName: \"X\") }",
        &["1:22: `b` should be a list of `B`"],
    ),
    (
        "join model's name taken",
        "type A @model { b: [B] @manyToMany(relationName: \"B\") }\ntype B @model { a: [A] @manyToMany(relationName: \"B\") }",
        &[
            "1:36: the relation's join model `B`",
            "2:36: the relation's join model `B`",
        ],
    ),
    (
        "index over a missing field",
        "type A @model { a: ID @index(name: \"x\", sortKeyFields: [\"b\"]) }",
        &["1:41: @index goes over `b`, which `A` does not have"],
    ),
    (
        "index over a relation",
        "type A @model { a: ID @index(name: \"x\", sortKeyFields: [\"b\"]) b: B @hasOne }\ntype B @model { a: Int }",
        &["1:41: @index goes over `b`, a relation"],
    ),
    (
        "index over a list",
        "type A @model { a: [ID] @index(name: \"x\") }",
        &["1:25: `a` is a list and cannot be in a key"],
    ),
    (
        "index over a boolean",
        "type A @model { a: Boolean @index(name: \"x\") }",
        &["1:28: `a` is of Boolean"],
    ),
    (
        "index over an embedded type",
        "type B { b: Int }\ntype A @model { a: B @index(name: \"x\") }",
        &["2:22: `a` is of B"],
    ),
    (
        "index with a field twice",
        "type A @model { a: ID @index(name: \"x\", sortKeyFields: [\"a\"]) }",
        &["1:41: `a` is in the index twice"],
    ),
    (
        "duplicate index",
        "type A @model { a: ID @index(name: \"x\", queryField: \"q\") b: ID @index(name: \"x\", queryField: \"r\") }",
        &["1:71: `A` has two indexes called `x`"],
    ),
    (
        "duplicate query",
        "type A @model { a: ID @index(name: \"x\", queryField: \"q\") b: ID @index(name: \"y\", queryField: \"q\") }",
        &["1:82: the query `q` would exist twice"],
    ),
    (
        "a query name that is none",
        "type A @model { a: ID @index(name: \"x\", queryField: \"a b\") }",
        &["1:41: `a b` is not a name"],
    ),
    (
        "nullable key",
        "type A @model { a: ID @primaryKey }",
        &["1:23: the key field `a` may be null"],
    ),
    (
        "nullable id",
        "type A @model { id: ID }",
        &["1:17: the key field `id` may be null"],
    ),
    (
        "nullable sort key",
        "type A @model { a: ID! @primaryKey(sortKeyFields: [\"b\"]) b: ID }",
        &["1:36: the key field `b` may be null"],
    ),
    (
        "key over a missing field",
        "type A @model { a: ID! @primaryKey(sortKeyFields: [\"b\"]) }",
        &["1:36: @primaryKey goes over `b`"],
    ),
    (
        "key with a field twice",
        "type A @model { a: ID! @primaryKey(sortKeyFields: [\"a\"]) }",
        &["1:36: `a` is in the key twice"],
    ),
    (
        "two keys",
        "type A @model { a: ID! @primaryKey b: ID! @primaryKey }",
        &["1:43: `A` has two primary keys"],
    ),
    (
        "key with a default",
        "type A @model { a: ID! @primaryKey @default(value: \"x\") }",
        &["1:24: the key field `a` has a @default"],
    ),
    (
        "key outside a model",
        "type A { a: ID! @primaryKey }",
        &["1:17: @primaryKey stands in `A`, which is not a model"],
    ),
    (
        "id that is a relation",
        "type A @model { id: B @hasOne }\ntype B @model { a: Int }",
        &["1:6: `A` needs a key"],
    ),
    (
        "default of another type",
        "type A @model { a: Int @default(value: \"x\") }",
        &["1:33: the default does not fit Int"],
    ),
    (
        "default that no scalar takes",
        "type A @model { a: AWSDate @default(value: \"tomorrow\") }",
        &["1:37: the default does not fit AWSDate"],
    ),
    (
        "default not in the enum",
        "enum E { X Y }\ntype A @model { a: E @default(value: \"Z\") }",
        &["2:31: the default does not fit E"],
    ),
    (
        "default of a list",
        "type A @model { a: [Int] @default(value: \"1\") }",
        &["1:26: @default on a field of [Int]"],
    ),
    (
        "default without value",
        "type A @model { a: Int @default }",
        &["1:24: @default has no value"],
    ),
    (
        "unknown argument",
        "type A @model(query: null) { a: Int }",
        &["1:15: @model has no argument `query`"],
    ),
    (
        "argument twice",
        "type A @model(queries: null, queries: null) { a: Int }",
        &["1:30: `queries` is given twice"],
    ),
    (
        "argument of another type",
        "type A @model { a: ID @index(name: 3) }",
        &["1:36: @index's `name` is not a string"],
    ),
    (
        "directive twice",
        "type A @model @model { a: Int }",
        &["1:15: @model stands here twice"],
    ),
    (
        "unknown operation",
        "type A @model(queries: { find: \"x\" }) { a: Int }",
        &["1:26: `queries` has no `find`"],
    ),
    (
        "queries that are no object",
        "type A @model(queries: 3) { a: Int }",
        &["1:24: `queries` is not an object"],
    ),
    (
        "subscription level",
        "type A @model(subscriptions: { level: loud }) { a: Int }",
        &["1:39: `loud` is not a subscription level"],
    ),
    (
        "conflict",
        "type A @model(conflict: COIN) { a: Int }",
        &["1:15: `COIN` is not a way to settle conflicts"],
    ),
    (
        "operation's name",
        "type A @model(mutations: { create: \"1x\" }) { a: Int }",
        &["1:36: `1x` is not a name"],
    ),
    (
        "auth without rules",
        "type A @model @auth { a: Int }",
        &["1:15: @auth has no rules"],
    ),
    (
        "rule without allow",
        "type A @model @auth(rules: [{ provider: apiKey }]) { a: Int }",
        &["1:29: a rule of @auth does not say whom it allows"],
    ),
    (
        "unknown strategy",
        "type A @model @auth(rules: [{ allow: all }]) { a: Int }",
        &["1:38: a rule of @auth does not say"],
    ),
    (
        "unknown provider",
        "type A @model @auth(rules: [{ allow: public, provider: x }]) { a: Int }",
        &["1:56: `x` is not a provider"],
    ),
    (
        "provider that does not fit",
        "type A @model @auth(rules: [{ allow: owner, provider: apiKey }]) { a: Int }",
        &["1:55: `allow: owner` cannot have this provider"],
    ),
    (
        "unknown auth operation",
        "type A @model @auth(rules: [{ allow: public, operations: [write] }]) { a: Int }",
        &["1:58: `write` is not an operation of @auth"],
    ),
    (
        "unknown key of a rule",
        "type A @model @auth(rules: [{ allow: public, who: \"me\" }]) { a: Int }",
        &["1:46: a rule of @auth has no `who`"],
    ),
    (
        "generated type exists",
        "type A @model { a: Int }\ntype ModelAConnection { a: Int }",
        &["2:6: the type `ModelAConnection` is generated"],
    ),
    (
        "generated query exists",
        "type A @model { a: Int }\ntype Query { getA: Int }",
        &["2:14: `Query.getA` is generated already"],
    ),
    (
        "interface not kept",
        "interface I { x: Int! }\ntype A implements I @model { a: Int }",
        &["2:6: the API that this schema generates is not valid"],
    ),
];

#[test]
fn every_rule_names_the_place_and_the_mend() {
    check(RULES);
}

/// Each rule, file and errors, as in [`RULES`].
pub(crate) fn check(rules: &[(&str, &str, &[&str])]) {
    let mut wrong = Vec::new();
    for (rule, sdl, expected) in rules {
        let errors = match Schema::parse(sdl, "s.graphql") {
            Ok(_) => {
                wrong.push(format!("{rule}: accepted"));
                continue;
            }
            Err(errors) => errors.errors,
        };
        let got: Vec<String> = errors
            .iter()
            .map(|e| format!("{}:{}: {}", e.line, e.column, e.problem))
            .collect();
        let fits = got.len() == expected.len() && got.iter().zip(*expected).all(|(g, e)| g.starts_with(e));
        if !fits {
            wrong.push(format!("{rule}: {got:#?}\n  instead of {expected:?}"));
        }
        for error in &errors {
            assert!(!error.mend.is_empty() && error.file == "s.graphql", "{rule}: no mend");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_errors_of_a_file_come_at_once_in_its_order() {
    let sdl = "type A @model {\n  a: Nope\n  b: [[Int]]\n  c: ID @index(name: \"x\", sortKeyFields: [\"z\"])\n}\ntype _B @model { a: Int @default(value: \"x\") }\n";
    let errors = Schema::parse(sdl, "s.graphql").unwrap_err();
    let lines: Vec<usize> = errors.errors.iter().map(|e| e.line).collect();
    assert_eq!(lines, [2, 3, 4, 6, 6]);
    let text = errors.to_string();
    assert!(
        text.starts_with("s.graphql:2:6: the type `Nope` of `a` is unknown (declare it"),
        "{text}"
    );
}

#[test]
fn what_is_unknown_or_not_in_force_is_a_warning_by_place() {
    let sdl = "type A @model @shiny {\n  a: Int @http(url: \"u\")\n  b: Int @mapsTo(name: \"c\")\n  d: String @function(name: \"f\")\n  e(x: Int): Int\n}\n\
               input AMPLIFY { globalAuthRule: AuthRule = { allow: public } }\ntype B { a: Int @odd }\n";
    let schema = Schema::parse(sdl, "s.graphql").unwrap();
    let got: Vec<String> = schema
        .warnings
        .iter()
        .map(|w| format!("{}:{} {}", w.line, w.column, w.problem))
        .collect();
    assert_eq!(
        got,
        [
            "1:15 @shiny is unknown here and does nothing",
            "2:10 @http is not served: a field that needs it is not there or answers UnsupportedOperation",
            "3:10 @mapsTo is not served: a field that needs it is not there or answers UnsupportedOperation",
            "4:13 @function is not served: a field that needs it is not there or answers UnsupportedOperation",
            "5:3 the arguments of `e` do nothing on a model's field",
            "8:17 @odd is unknown here and does nothing",
        ]
    );
}

#[test]
fn limits_hold() {
    let long = format!("type A @model {{ a: Int }}\n#{}", "x".repeat(1 << 20));
    assert!(
        Schema::parse(&long, "s")
            .unwrap_err()
            .to_string()
            .contains("the limit is 1048576")
    );
    let deep = format!("type A @model {{ a: {}Int{} }}", "[".repeat(5000), "]".repeat(5000));
    assert!(Schema::parse(&deep, "s").is_err());
    let many: String = (0..1001).map(|i| format!("type A{i} @model {{ a: Int }}\n")).collect();
    assert!(
        Schema::parse(&many, "s")
            .unwrap_err()
            .to_string()
            .contains("more than 1000 models")
    );
    let wide: String = (0..501).map(|i| format!("f{i}: Int ")).collect();
    assert!(
        Schema::parse(&format!("type A @model {{ {wide} }}"), "s")
            .unwrap_err()
            .to_string()
            .contains("more than 500 fields")
    );
}
