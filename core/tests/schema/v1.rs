//! Schemas of Amplify's first transformer mean what their translation means.

use tombolo_core::schema::Schema;

fn parse(sdl: &str) -> Schema {
    Schema::parse(sdl, "s.graphql").unwrap_or_else(|e| panic!("{sdl}\n{e}"))
}

/// What it is, in the first transformer's words, in the second's.
const PAIRS: &[(&str, &str, &str)] = &[
    (
        "keys and indexes",
        "type Order @model @versioned @key(fields: [\"customer\", \"at\", \"n\"]) @key(name: \"byStatus\", fields: [\"status\", \"at\"], queryField: \"ordersByStatus\")
           @key(name: \"quiet\", fields: [\"n\"]) { customer: ID! at: AWSDateTime! n: Int! status: String! }",
        "type Order @model { customer: ID! @primaryKey(sortKeyFields: [\"at\", \"n\"]) at: AWSDateTime! n: Int! @index(name: \"quiet\", queryField: null)
           status: String! @index(name: \"byStatus\", sortKeyFields: [\"at\"], queryField: \"ordersByStatus\") }",
    ),
    (
        "a list over an index, and back",
        "type Post @model { id: ID! comments: [Comment] @connection(keyName: \"byPost\", fields: [\"id\"], limit: 50) }
         type Comment @model @key(name: \"byPost\", fields: [\"postID\", \"content\"]) { id: ID! postID: ID! content: String! post: Post @connection(fields: [\"postID\"]) }",
        "type Post @model { id: ID! comments: [Comment] @hasMany(indexName: \"byPost\", fields: [\"id\"], limit: 50) }
         type Comment @model { id: ID! postID: ID! @index(name: \"byPost\", sortKeyFields: [\"content\"], queryField: null) content: String! post: Post @belongsTo(fields: [\"postID\"]) }",
    ),
    (
        "one over a field",
        "type Project @model { id: ID! teamID: ID! team: Team @connection(fields: [\"teamID\"]) } type Team @model { id: ID! }",
        "type Project @model { id: ID! teamID: ID! team: Team @hasOne(fields: [\"teamID\"]) } type Team @model { id: ID! }",
    ),
    (
        "a list over a primary key",
        "type Album @model { id: ID! songs: [Song] @connection(fields: [\"id\"]) }
         type Song @model @key(fields: [\"albumId\", \"track\"]) { albumId: ID! track: Int! }",
        "type Album @model { id: ID! songs: [Song] @hasMany(fields: [\"id\"]) }
         type Song @model { albumId: ID! @primaryKey(sortKeyFields: [\"track\"]) track: Int! }",
    ),
    (
        "without a name",
        "type Post @model { id: ID! author: Person @connection comments: [Comment] @connection } type Person @model { id: ID! } type Comment @model { id: ID! }",
        "type Post @model { id: ID! author: Person @hasOne comments: [Comment] @hasMany } type Person @model { id: ID! } type Comment @model { id: ID! }",
    ),
    (
        "with a name on both sides: the child's field gives the key its name",
        "type Post @model { id: ID! comments: [Comment] @connection(name: \"PostComments\") }
         type Comment @model { id: ID! post: Post! @connection(name: \"PostComments\") }",
        "type Post @model { id: ID! comments: [Comment] @hasMany(indexName: \"gsi-PostComments\", fields: [\"id\"]) }
         type Comment @model { id: ID! post: Post! @belongsTo(fields: [\"commentPostId\"]) commentPostId: ID! @index(name: \"gsi-PostComments\", queryField: null) }",
    ),
    (
        "with key and sort fields",
        "type Post @model { id: ID! comments: [Comment] @connection(name: \"PostComments\", keyField: \"postId\", sortField: \"at\") }
         type Comment @model { id: ID! postId: ID! at: AWSDateTime! post: Post @connection(name: \"PostComments\", keyField: \"postId\", sortField: \"at\") }",
        "type Post @model { id: ID! comments: [Comment] @hasMany(indexName: \"gsi-PostComments\", fields: [\"id\"]) }
         type Comment @model { id: ID! postId: ID! @index(name: \"gsi-PostComments\", sortKeyFields: [\"at\"], queryField: null) at: AWSDateTime! post: Post @belongsTo(fields: [\"postId\"]) }",
    ),
    (
        "one to one, both named",
        "type Car @model { id: ID! plate: Plate @connection(name: \"CarPlate\") } type Plate @model { id: ID! car: Car @connection(name: \"CarPlate\") }",
        "type Car @model { id: ID! plate: Plate @hasOne } type Plate @model { id: ID! car: Car @hasOne }",
    ),
    (
        "with itself",
        "type Person @model { id: ID! boss: Person @connection(name: \"Boss\") reports: [Person] @connection(name: \"Boss\") }",
        "type Person @model { id: ID! boss: Person @belongsTo(fields: [\"personBossId\"]) reports: [Person] @hasMany(indexName: \"gsi-Boss\", fields: [\"id\"])
           personBossId: ID @index(name: \"gsi-Boss\", queryField: null) }",
    ),
];

#[test]
fn the_first_transformers_words_mean_what_the_seconds_mean() {
    for (what, old, new) in PAIRS {
        let (old, new) = (parse(old), parse(new));
        assert_eq!(old.models, new.models, "{what}");
        assert_eq!(old.api_sdl, new.api_sdl, "{what}");
        assert!(
            !old.warnings.is_empty() && new.warnings.is_empty(),
            "{what}: {:?}",
            new.warnings
        );
    }
}

#[test]
fn each_old_directive_is_a_warning_that_says_the_new_one() {
    let schema = parse(
        "type Post @model @versioned {\n  id: ID!\n  comments: [Comment] @connection(keyName: \"byPost\", fields: [\"id\"])\n}\n\
         type Comment @model @key(name: \"byPost\", fields: [\"postID\"]) { id: ID! postID: ID! }",
    );
    let told: Vec<String> = schema.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "s.graphql:1:18: @versioned is of Amplify's first transformer and says nothing more: every model is versioned (remove it)",
            "s.graphql:3:23: @connection is of Amplify's first transformer and is read as @hasMany(indexName: \"byPost\", fields: [\"id\"]) \
             (write @hasMany(indexName: \"byPost\", fields: [\"id\"]) there)",
            "s.graphql:5:21: @key is of Amplify's first transformer and is read as @index(name: \"byPost\", queryField: null) \
             (write @index(name: \"byPost\", queryField: null) on `postID`)",
        ]
    );
}

#[test]
fn what_cannot_be_translated_is_an_error_by_place() {
    for (sdl, want) in [
        (
            "type A @model @key(name: \"x\") { id: ID! }",
            "1:15: @key names no fields",
        ),
        (
            "type A @model @key(fields: [\"nope\"]) { id: ID! }",
            "1:20: @key goes over `nope`, which `A` does not have",
        ),
        (
            "type A @model @key(fields: [\"id\", \"nope\"]) { id: ID! }",
            "1:15: @primaryKey goes over `nope`",
        ),
        (
            "type A @model @key(fields: [\"id\"], queryField: \"q\") { id: ID! }",
            "1:36: @key without a name is the primary key, which has no queryField",
        ),
        (
            "type A @model @key(fields: [\"id\"]) @key(fields: [\"b\"]) { id: ID! b: ID! }",
            "1:36: `A` has two primary keys",
        ),
        (
            "type A @model { id: ID! bs: [B] @connection(keyName: \"byA\") } type B @model { id: ID! }",
            "1:33: the @connection of `bs` has a keyName but no fields",
        ),
        (
            "type A @model { id: ID! bs: [B] @connection(name: \"AB\") } type B @model { id: ID! as: [A] @connection(name: \"AB\") }",
            "1:33: the @connection of `bs` has a list on both sides",
        ),
        (
            "type A @model { id: ID! bs: [B] @connection(keyName: \"nope\", fields: [\"id\"]) } type B @model { id: ID! }",
            "1:33: `B` has no index `nope`",
        ),
        (
            "type A @model @key(fields: [\"x\", \"y\"]) { x: ID! y: ID! bs: [B] @connection(sortField: \"at\") } type B @model { id: ID! at: Int }",
            "1:64: a @connection without fields holds the key of `A`, which has several fields",
        ),
        (
            "type A @model { id: ID! bs: [Nope] @connection(keyField: \"aId\") }",
            "1:25: the type `Nope` of `bs` is unknown",
        ),
        (
            "type A @model { id: ID! b: B @connection(key: \"x\") } type B @model { id: ID! }",
            "1:42: @connection has no argument `key`",
        ),
    ] {
        let errors = Schema::parse(sdl, "s.graphql").unwrap_err().errors;
        let first = &errors[0];
        let got = format!("{}:{}: {}", first.line, first.column, first.problem);
        assert!(got.starts_with(want), "{sdl}\n{got}\n{want}");
        assert!(!first.mend.is_empty(), "{sdl}");
    }
}
