//! AppSync's mode directives, kept whole wherever they stand.

use tombolo_core::access::AuthMode;
use tombolo_core::schema::{ModeRule, Schema};

fn parse(sdl: &str) -> Schema {
    Schema::parse(sdl, "s.graphql").unwrap_or_else(|e| panic!("{e}"))
}

fn rule(mode: AuthMode, groups: &[&str]) -> ModeRule {
    ModeRule {
        mode,
        groups: groups.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn modes_are_kept_on_models_fields_and_relations() {
    let schema = parse(
        "type Post @model @aws_api_key @aws_iam @aws_cognito_user_pools(cognito_groups: [\"Staff\", \"Press\"]) {
           id: ID!
           title: String @aws_oidc @aws_lambda
           note: String
           comments: [Comment] @hasMany @aws_cognito_user_pools
         }
         type Comment @model @aws_auth(cognito_groups: \"Staff\") { text: String }",
    );
    let post = &schema.models[0];
    assert_eq!(
        post.modes,
        Some(vec![
            rule(AuthMode::ApiKey, &[]),
            rule(AuthMode::Iam, &[]),
            rule(AuthMode::UserPools, &["Staff", "Press"]),
        ])
    );
    let field = |name: &str| post.field_at(post.field(name).unwrap()).modes.clone();
    assert_eq!(
        field("title"),
        Some(vec![rule(AuthMode::Oidc, &[]), rule(AuthMode::Function, &[])])
    );
    assert_eq!(field("note"), None);
    assert_eq!(field("createdAt"), None);
    assert_eq!(
        post.relation("comments").unwrap().modes,
        Some(vec![rule(AuthMode::UserPools, &[])])
    );
    assert_eq!(
        schema.models[1].modes,
        Some(vec![rule(AuthMode::UserPools, &["Staff"])])
    );
    assert!(schema.warnings.is_empty(), "{:?}", schema.warnings);
}

#[test]
fn modes_are_kept_on_what_is_not_a_model() {
    let schema = parse(
        "type Post @model { at: Place }
         type Place @aws_iam { lat: Float lng: Float @aws_api_key }
         interface Named @aws_oidc { name: String @aws_lambda }
         type Query { echo(a: Int): Int @aws_cognito_user_pools(cognito_groups: [\"A\"]) open: Int }
         extend type Mutation @aws_api_key { ping: Int }",
    );
    let got: Vec<(&str, &[ModeRule])> = schema.modes.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect();
    assert_eq!(
        got,
        [
            ("Mutation", &[rule(AuthMode::ApiKey, &[])][..]),
            ("Named", &[rule(AuthMode::Oidc, &[])][..]),
            ("Named.name", &[rule(AuthMode::Function, &[])][..]),
            ("Place", &[rule(AuthMode::Iam, &[])][..]),
            ("Place.lng", &[rule(AuthMode::ApiKey, &[])][..]),
            ("Query.echo", &[rule(AuthMode::UserPools, &["A"])][..]),
        ]
    );
}

#[test]
fn a_join_model_lets_in_whom_both_sides_let_in() {
    let join = |a: &str, b: &str| {
        let sdl = format!(
            "type A @model {a} {{ bs: [B] @manyToMany(relationName: \"AB\") }}
             type B @model {b} {{ as: [A] @manyToMany(relationName: \"AB\") }}"
        );
        parse(&sdl).models[2].modes.clone()
    };
    assert_eq!(join("", ""), None);
    assert_eq!(join("@aws_iam", ""), Some(vec![rule(AuthMode::Iam, &[])]));
    assert_eq!(
        join("@aws_iam @aws_oidc", "@aws_oidc @aws_api_key"),
        Some(vec![rule(AuthMode::Oidc, &[])])
    );
    assert_eq!(join("@aws_iam", "@aws_api_key"), Some(vec![]));
}

#[test]
fn a_mode_changes_nothing_that_is_stored_or_sent() {
    let hash = |sdl: &str| parse(sdl).hash;
    assert_eq!(
        hash("type A @model { a: Int }"),
        hash("type A @model @aws_iam { a: Int @aws_api_key }")
    );
}

#[test]
fn a_mode_that_cannot_be_read_is_an_error_by_place() {
    for (sdl, want) in [
        (
            "type A @model @aws_iam(groups: [\"a\"]) { a: Int }",
            "1:24: @aws_iam has no argument `groups`",
        ),
        ("type A @model { a: Int @aws_auth }", "1:24: @aws_auth names no group"),
        (
            "type Query { a: Int @aws_cognito_user_pools(cognito_groups: []) }",
            "1:45: @aws_cognito_user_pools names no group",
        ),
        (
            "type A @model { a: Int @aws_cognito_user_pools(cognito_groups: [1]) }",
            "1:65: @aws_cognito_user_pools's `cognito_groups` is not a string",
        ),
    ] {
        let errors = Schema::parse(sdl, "s.graphql").unwrap_err().errors;
        let first = &errors[0];
        let got = format!("{}:{}: {}", first.line, first.column, first.problem);
        assert_eq!(got, want);
        assert!(!first.mend.is_empty(), "{sdl}");
    }
}
