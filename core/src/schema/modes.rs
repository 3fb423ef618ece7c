//! `@aws_api_key`, `@aws_iam` and their like: who may ask for a type or a field, by the way in which he shows who he is.

use std::collections::BTreeMap;

use apollo_compiler::ast::DirectiveList;

use crate::access::AuthMode;

use super::directives::Args;
use super::model::ModeRule;
use super::read::Declared;
use super::report::Report;

/// AppSync's directives, and the mode of each. `@aws_auth` is the older name of `@aws_cognito_user_pools`.
const DIRECTIVES: [(&str, AuthMode); 6] = [
    ("aws_api_key", AuthMode::ApiKey),
    ("aws_auth", AuthMode::UserPools),
    ("aws_cognito_user_pools", AuthMode::UserPools),
    ("aws_iam", AuthMode::Iam),
    ("aws_lambda", AuthMode::Function),
    ("aws_oidc", AuthMode::Oidc),
];

/// Whether a directive of this name says by which mode a caller may come.
pub(super) fn is_mode(name: &str) -> bool {
    DIRECTIVES.iter().any(|(known, _)| *known == name)
}

/// The mode directives in `list`, in their order; `None` without one.
pub(super) fn rules(report: &mut Report, list: &DirectiveList) -> Option<Vec<ModeRule>> {
    let mut rules = Vec::new();
    for directive in list.iter() {
        let Some((name, mode)) = DIRECTIVES.into_iter().find(|(name, _)| directive.name == *name) else {
            continue;
        };
        let known: &[&str] = match mode {
            AuthMode::UserPools => &["cognito_groups"],
            AuthMode::ApiKey | AuthMode::Iam | AuthMode::Oidc | AuthMode::Function => &[],
        };
        let args = Args::read(report, directive, known);
        let groups = args.strings(report, "cognito_groups");
        let given = args.raw("cognito_groups").filter(|v| !v.is_null());
        let empty = given.map_or(name == "aws_auth", |v| v.as_list().is_some_and(<[_]>::is_empty));
        if empty {
            report.error(
                args.place_of("cognito_groups"),
                format!("@{name} names no group"),
                "write cognito_groups: [\"…\"], or @aws_cognito_user_pools for every signed-in user",
            );
        }
        let rule = ModeRule { mode, groups };
        if !rules.contains(&rule) {
            rules.push(rule);
        }
    }
    (!rules.is_empty()).then_some(rules)
}

/// What stands on everything that is not a model, by `Type` and `Type.field`: embedded types, other plain types,
/// interfaces, and the root fields that the file declares itself.
pub(super) fn outside_models(report: &mut Report, declared: &Declared) -> BTreeMap<String, Vec<ModeRule>> {
    let mut out = BTreeMap::new();
    let objects = declared
        .objects
        .iter()
        .filter(|o| !o.directives.has("model"))
        .map(|o| (&o.name, &o.directives, &o.fields));
    let interfaces = declared.interfaces.iter().map(|i| (&i.name, &i.directives, &i.fields));
    for (name, directives, fields) in objects.chain(interfaces) {
        if let Some(rules) = rules(report, directives) {
            out.insert(name.to_string(), rules);
        }
        for field in fields {
            if let Some(rules) = rules(report, &field.directives) {
                out.insert(format!("{name}.{}", field.name), rules);
            }
        }
    }
    out
}
