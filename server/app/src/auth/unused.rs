//! What a schema says of callers that this server's configuration lets nobody be, and the other way round: told at the start,
//! since it would show only as refusals.

use std::collections::{BTreeMap, BTreeSet};

use tombolo_core::access::AuthMode;
use tombolo_core::schema::{Model, Schema};

use super::sigv4::IamUser;

/// Modes that rules of the schema are for and that are not open, each with the models whose rules let nobody in by it.
pub(crate) fn closed_modes(schema: &Schema, open: &BTreeSet<AuthMode>) -> BTreeMap<&'static str, Vec<String>> {
    let mut closed: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for model in &schema.models {
        for mode in modes_of(model).filter(|mode| !open.contains(mode)) {
            closed.entry(mode.name()).or_default().insert(model.name.clone());
        }
    }
    closed
        .into_iter()
        .map(|(mode, models)| (mode, models.into_iter().collect()))
        .collect()
}

fn modes_of(model: &Model) -> impl Iterator<Item = AuthMode> {
    let fields = model.fields.iter().map(|field| (&field.auth, &field.modes));
    let relations = model.relations.iter().map(|relation| (&relation.auth, &relation.modes));
    let all = std::iter::once((&model.auth, &model.modes))
        .chain(fields)
        .chain(relations);
    all.flat_map(|(rules, modes)| {
        let rules = rules.iter().flatten().map(|rule| AuthMode::of(rule.provider));
        rules.chain(modes.iter().flatten().map(|rule| rule.mode))
    })
}

/// What `allow` lists name and the API does not have: `name: Query.x`.
pub(crate) fn unknown_fields(schema: &Schema, users: &[IamUser]) -> Vec<String> {
    let known = |entry: &str| match entry.split_once('.') {
        None | Some((_, "*")) => true,
        Some(("Query", field)) => schema.roots.query.contains_key(field),
        Some(("Mutation", field)) => schema.roots.mutation.contains_key(field),
        Some((_, field)) => schema.roots.subscription.contains_key(field),
    };
    let of = |user: &IamUser| {
        let unknown = user.caller.allow.iter().filter(|entry| !known(entry));
        unknown
            .map(|entry| format!("{}: {entry}", user.caller.name))
            .collect::<Vec<_>>()
    };
    users.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use tombolo_core::access::IamRole;

    use super::*;

    #[test]
    fn what_nobody_can_use_is_found() {
        let sdl = "type A @model @auth(rules: [{ allow: owner }, { allow: public }]) { id: ID! }
                   type B @model { id: ID! secret: String @auth(rules: [{ allow: owner }]) by: Int @aws_iam }
                   type C @model @auth(rules: [{ allow: public }]) { id: ID! }";
        let schema = Schema::parse(sdl, "s.graphql").unwrap();
        let closed = closed_modes(&schema, &BTreeSet::from([AuthMode::ApiKey]));
        let expected = [
            ("AMAZON_COGNITO_USER_POOLS", vec!["A".to_owned(), "B".to_owned()]),
            ("AWS_IAM", vec!["B".to_owned()]),
        ];
        assert_eq!(closed, BTreeMap::from(expected));
        assert!(closed_modes(&schema, &BTreeSet::from(AuthMode::ALL)).is_empty());
        let allow = [
            "*",
            "Query.*",
            "Query.getA",
            "Mutation.createA",
            "Subscription.onCreateA",
            "Mutation.createFoo",
            "Query.createA",
        ];
        let user = IamUser::new("backend", "id", "a secret of sixteen", IamRole::Admin, allow);
        assert_eq!(
            unknown_fields(&schema, &[user]),
            ["backend: Mutation.createFoo", "backend: Query.createA"]
        );
    }
}
