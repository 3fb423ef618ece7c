//! What one `@auth` rule comes to for one identity.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{AuthMode, Grant, IamRole, Identity, User};
use crate::id::FieldId;
use crate::query::{Filter, FilterColumn, Test};
use crate::schema::{
    AuthOperation, AuthRule, AuthStrategy, EmbeddedField, FieldKind, GROUPS_FIELD, ModeRule, Model, OWNER_FIELD, Schema,
};
use crate::value::Value;

/// The claim that a group rule reads when it names none.
const GROUP_CLAIM: &str = "cognito:groups";

/// The claim of an owner rule that names none: `sub` and user name, joined. Either half is taken for it, too.
const OWNER_CLAIM: &str = "sub::username";

/// What `rules` grant of `operation` to who comes by one of `modes`; without rules, all of it to these, and without modes
/// to the server's default mode.
pub(super) fn grant(
    model: &Model,
    identity: &Identity,
    default: AuthMode,
    rules: Option<&[AuthRule]>,
    modes: Option<&[ModeRule]>,
    operation: AuthOperation,
) -> Grant {
    if *identity == Identity::Local || is_operator(identity) {
        return Grant::All;
    }
    let comes = modes.map(|modes| modes.iter().any(|mode| comes_by(identity, mode)));
    let Some(rules) = rules else {
        return match comes.unwrap_or(identity.mode() == Some(default)) {
            true => Grant::All,
            false => Grant::Nothing,
        };
    };
    if comes == Some(false) {
        return Grant::Nothing;
    }
    rules
        .iter()
        .filter(|rule| rule.operations.contains(&operation))
        .map(|rule| one(model, identity, rule))
        .fold(Grant::Nothing, Grant::or)
}

/// The embedded types that the mode directives on them, on their members, or on a type inside them keep from `identity`.
pub(super) fn closed<'s>(schema: &'s Schema, identity: &Identity) -> BTreeSet<&'s str> {
    let free = *identity == Identity::Local || is_operator(identity);
    let shut = |name: &str| {
        let rules = schema.modes.get(name).filter(|_| !free);
        rules.is_some_and(|rules| !rules.iter().any(|rule| comes_by(identity, rule)))
    };
    let mut closed: BTreeSet<&str> = BTreeSet::new();
    loop {
        let before = closed.len();
        for (name, fields) in &schema.embedded {
            let inside = |field: &EmbeddedField| match &field.ty.kind {
                FieldKind::Embedded(inner) => closed.contains(inner.as_str()),
                FieldKind::Scalar(_) | FieldKind::Enum(_) => false,
            };
            let member = |field: &EmbeddedField| shut(&format!("{name}.{}", field.name)) || inside(field);
            if shut(name) || fields.iter().any(member) {
                closed.insert(name);
            }
        }
        if closed.len() == before {
            return closed;
        }
    }
}

fn is_operator(identity: &Identity) -> bool {
    matches!(identity, Identity::Iam(caller) if caller.role == IamRole::Admin)
}

fn comes_by(identity: &Identity, rule: &ModeRule) -> bool {
    let groups = match identity {
        Identity::User(user) => groups(user, None),
        Identity::ApiKey { .. } | Identity::Iam(_) | Identity::Function(_) | Identity::Local => Vec::new(),
    };
    let member = rule.groups.is_empty() || rule.groups.iter().any(|group| groups.contains(group));
    identity.mode() == Some(rule.mode) && member
}

fn one(model: &Model, identity: &Identity, rule: &AuthRule) -> Grant {
    if identity.mode() != Some(AuthMode::of(rule.provider)) {
        return Grant::Nothing;
    }
    let all = |granted: bool| if granted { Grant::All } else { Grant::Nothing };
    match (rule.strategy, identity) {
        (AuthStrategy::Public, Identity::ApiKey { .. })
        | (AuthStrategy::Private, Identity::User(_))
        | (AuthStrategy::Custom, Identity::Function(_)) => Grant::All,
        (AuthStrategy::Public, Identity::Iam(caller)) => all(caller.role == IamRole::Unauthenticated),
        (AuthStrategy::Private, Identity::Iam(caller)) => all(caller.role == IamRole::Authenticated),
        (AuthStrategy::Owner, Identity::User(user)) => {
            let field = rule.owner_field.as_deref().unwrap_or(OWNER_FIELD);
            among(model, field, known_as(user, rule))
        }
        (AuthStrategy::Groups, Identity::User(user)) => {
            let groups = groups(user, rule.group_claim.as_deref());
            match rule.groups.is_empty() {
                true => among(model, rule.groups_field.as_deref().unwrap_or(GROUPS_FIELD), groups),
                false => all(rule.groups.iter().any(|group| groups.contains(group))),
            }
        }
        (
            AuthStrategy::Public
            | AuthStrategy::Private
            | AuthStrategy::Owner
            | AuthStrategy::Groups
            | AuthStrategy::Custom,
            _,
        ) => Grant::Nothing,
    }
}

fn groups(user: &User, claim: Option<&str>) -> Vec<String> {
    let claim = claim.unwrap_or(GROUP_CLAIM);
    // Some issuers give a list as a text that holds one.
    let list = user
        .claim(claim)
        .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok());
    let groups: Vec<String> = match list {
        Some(list) => list,
        None => user.texts(claim).into_iter().map(str::to_owned).collect(),
    };
    groups.into_iter().filter(|group| !group.is_empty()).collect()
}

/// The texts by which the rule knows the user; none if the token lacks the claim.
fn known_as(user: &User, rule: &AuthRule) -> Vec<String> {
    let pair = || {
        stored(user, rule)
            .into_iter()
            .chain([user.sub().to_owned(), user.username().to_owned()])
    };
    let names: BTreeSet<String> = match rule.identity_claim.as_deref().unwrap_or(OWNER_CLAIM) {
        OWNER_CLAIM => pair().collect(),
        claim => claimed(user, claim).into_iter().collect(),
    };
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// The text that a creation puts into the owner's field.
fn stored(user: &User, rule: &AuthRule) -> Option<String> {
    match rule.identity_claim.as_deref().unwrap_or(OWNER_CLAIM) {
        OWNER_CLAIM if user.sub().is_empty() => None,
        OWNER_CLAIM => Some(format!("{}::{}", user.sub(), user.username())),
        claim => claimed(user, claim).into_iter().find(|name| !name.is_empty()),
    }
}

/// A claim's texts; `username` is an access token's, `cognito:username` an id token's name for the same.
fn claimed(user: &User, claim: &str) -> Vec<String> {
    match claim {
        "username" | "cognito:username" => vec![user.username().to_owned()],
        claim => match user.claims.get(claim) {
            Some(Json::Number(number)) => vec![number.to_string()],
            _ => user.texts(claim).into_iter().map(str::to_owned).collect(),
        },
    }
}

/// The rows whose `field` is one of `names`, or has one of them among its items. No name, no row: an absent field is
/// nobody's.
fn among(model: &Model, field: &str, mut names: Vec<String>) -> Grant {
    names.sort();
    names.dedup();
    let Some(field) = model.field(field).filter(|_| !names.is_empty()) else {
        return Grant::Nothing;
    };
    let column = FilterColumn::Field(field);
    let texts = names.into_iter().map(Value::Text);
    let filter = match model.field_at(field).ty.list {
        None => match texts.collect::<Vec<_>>() {
            mut one if one.len() == 1 => Filter::test(column, Test::Eq(one.swap_remove(0))),
            many => Filter::test(column, Test::In(many)),
        },
        Some(_) => Filter::Any(texts.map(|text| Filter::test(column, Test::Contains(text))).collect()),
    };
    Grant::Rows(Arc::new(filter))
}

/// The owner rules that could mean this identity, with the field that each compares.
fn owner_rules<'m>(model: &'m Model, identity: &Identity) -> impl Iterator<Item = (FieldId, &'m AuthRule)> {
    let mode = identity.mode();
    let of_fields = model.fields.iter().filter_map(|field| field.auth.as_deref());
    let all = model.auth.as_deref().into_iter().chain(of_fields).flatten();
    all.filter(move |rule| rule.strategy == AuthStrategy::Owner && mode == Some(AuthMode::of(rule.provider)))
        .filter_map(|rule| {
            let field = model.field(rule.owner_field.as_deref().unwrap_or(OWNER_FIELD))?;
            Some((field, rule))
        })
}

/// What a creation by `identity` puts into owners' fields that its input leaves out.
pub(super) fn owners(model: &Model, identity: &Identity) -> Vec<(FieldId, Value)> {
    let Identity::User(user) = identity else {
        return Vec::new();
    };
    let mut owners: Vec<(FieldId, Value)> = Vec::new();
    for (field, rule) in owner_rules(model, identity) {
        let known = owners.iter().any(|(of, _)| *of == field);
        let Some(name) = stored(user, rule).filter(|_| !known && rule.operations.contains(&AuthOperation::Create))
        else {
            continue;
        };
        let value = match model.field_at(field).ty.list {
            None => Value::Text(name),
            Some(_) => Value::Json(Json::from(vec![name]).to_string()),
        };
        owners.push((field, value));
    }
    owners
}

/// The texts by which `identity` is known in `field`.
pub(super) fn names(model: &Model, identity: &Identity, field: FieldId) -> Vec<String> {
    let Identity::User(user) = identity else {
        return Vec::new();
    };
    let mut names: Vec<String> = owner_rules(model, identity)
        .filter(|(of, _)| *of == field)
        .flat_map(|(_, rule)| known_as(user, rule))
        .collect();
    names.sort();
    names.dedup();
    names
}
