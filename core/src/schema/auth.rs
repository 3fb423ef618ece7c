//! `@auth` read and kept whole.

use apollo_compiler::Node;
use apollo_compiler::ast::{Directive, DirectiveList, Value as Ast};

use super::directives::{Args, string, strings};
use super::model::{AuthOperation, AuthProvider, AuthRule, AuthStrategy};
use super::report::Report;

/// The field that an owner rule compares with when it names none.
pub(crate) const OWNER_FIELD: &str = "owner";

/// The field that a dynamic group rule compares with when it names none.
pub(crate) const GROUPS_FIELD: &str = "groups";

/// What `read` stands for.
const READ: [AuthOperation; 5] = [
    AuthOperation::Get,
    AuthOperation::List,
    AuthOperation::Sync,
    AuthOperation::Listen,
    AuthOperation::Search,
];

const RULE_KEYS: [&str; 8] = [
    "allow",
    "provider",
    "operations",
    "ownerField",
    "identityClaim",
    "groups",
    "groupsField",
    "groupClaim",
];

/// Keys of Amplify's first transformer, which `operations` took the place of.
const OLD_RULE_KEYS: [&str; 2] = ["queries", "mutations"];

/// The rules of the `@auth` in `list`; `None` without one.
pub(super) fn rules(report: &mut Report, list: &DirectiveList) -> Option<Vec<AuthRule>> {
    let directive: &Node<Directive> = list.get("auth")?;
    let args = Args::read(report, directive, &["rules"]);
    let place = args.place();
    let rules = match args.raw("rules").map(|v| &**v) {
        Some(Ast::List(items)) => items.clone(),
        Some(Ast::Object(_)) => args.raw("rules").cloned().into_iter().collect(),
        _ => Vec::new(),
    };
    if rules.is_empty() {
        report.error(
            place,
            "@auth has no rules",
            "write @auth(rules: [{ allow: public }]), or remove it",
        );
    }
    // A rule that cannot be read grants nothing; the error refuses the schema anyway.
    Some(rules.iter().filter_map(|one| rule(report, one)).collect())
}

fn rule(report: &mut Report, value: &Node<Ast>) -> Option<AuthRule> {
    let Some(fields) = value.as_object() else {
        report.error(
            value.location(),
            "a rule of @auth is not an object",
            "write { allow: … }",
        );
        return None;
    };
    for (name, _) in fields {
        if !RULE_KEYS.contains(&name.as_str()) && !OLD_RULE_KEYS.contains(&name.as_str()) {
            report.error(
                name.location().or_else(|| value.location()),
                format!("a rule of @auth has no `{name}`"),
                format!("it takes {}", RULE_KEYS.join(", ")),
            );
        }
    }
    let get = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    let text = |report: &mut Report, name: &str| get(name).and_then(|v| string(report, &format!("`{name}`"), v));

    let allow = text(report, "allow");
    let strategy = match allow.as_deref() {
        Some("public") => AuthStrategy::Public,
        Some("private") => AuthStrategy::Private,
        Some("owner") => AuthStrategy::Owner,
        Some("groups") => AuthStrategy::Groups,
        Some("custom") => AuthStrategy::Custom,
        _ => {
            let place = get("allow").map_or_else(|| value.location(), Node::location);
            report.error(
                place,
                "a rule of @auth does not say whom it allows",
                "`allow:` is public, private, owner, groups or custom",
            );
            return None;
        }
    };
    let provider = match text(report, "provider").as_deref() {
        None => default_provider(strategy),
        Some("apiKey") => AuthProvider::ApiKey,
        Some("iam") => AuthProvider::Iam,
        Some("identityPool") => AuthProvider::IdentityPool,
        Some("userPools") => AuthProvider::UserPools,
        Some("oidc") => AuthProvider::Oidc,
        Some("function") => AuthProvider::Function,
        Some(other) => {
            report.error(
                get("provider").map_or_else(|| value.location(), Node::location),
                format!("`{other}` is not a provider"),
                "`provider:` is apiKey, iam, identityPool, userPools, oidc or function",
            );
            return None;
        }
    };
    if !fits(strategy, provider) {
        report.error(
            get("provider").map_or_else(|| value.location(), Node::location),
            format!("`allow: {}` cannot have this provider", allow.unwrap_or_default()),
            "public: apiKey, iam, identityPool; private: userPools, oidc, iam, identityPool; owner, groups: userPools, oidc; custom: function",
        );
    }
    for old in ["queries", "mutations"] {
        if let Some(v) = get(old) {
            report.warn(
                v.location(),
                format!("`{old}` in a rule is of Amplify's first transformer"),
                "use `operations`",
            );
        }
    }
    let groups = get("groups")
        .map(|v| strings(report, "`groups`", v))
        .unwrap_or_default();
    let mut groups_field = text(report, "groupsField");
    if strategy == AuthStrategy::Groups && groups.is_empty() && groups_field.is_none() {
        groups_field = Some(GROUPS_FIELD.to_owned());
    }
    Some(AuthRule {
        strategy,
        provider,
        operations: operations(report, get("operations")),
        owner_field: text(report, "ownerField"),
        identity_claim: text(report, "identityClaim"),
        groups,
        groups_field,
        group_claim: text(report, "groupClaim"),
    })
}

fn default_provider(strategy: AuthStrategy) -> AuthProvider {
    match strategy {
        AuthStrategy::Public => AuthProvider::ApiKey,
        AuthStrategy::Private | AuthStrategy::Owner | AuthStrategy::Groups => AuthProvider::UserPools,
        AuthStrategy::Custom => AuthProvider::Function,
    }
}

fn fits(strategy: AuthStrategy, provider: AuthProvider) -> bool {
    use AuthProvider::{ApiKey, Function, Iam, IdentityPool, Oidc, UserPools};
    match strategy {
        AuthStrategy::Public => matches!(provider, ApiKey | Iam | IdentityPool),
        AuthStrategy::Private => matches!(provider, UserPools | Oidc | Iam | IdentityPool),
        AuthStrategy::Owner | AuthStrategy::Groups => matches!(provider, UserPools | Oidc),
        AuthStrategy::Custom => matches!(provider, Function),
    }
}

fn operations(report: &mut Report, value: Option<&Node<Ast>>) -> Vec<AuthOperation> {
    let Some(value) = value.filter(|v| !v.is_null()) else {
        return AuthOperation::ALL.to_vec();
    };
    let mut granted = Vec::new();
    for word in strings(report, "`operations`", value) {
        match word.as_str() {
            "create" => granted.push(AuthOperation::Create),
            "update" => granted.push(AuthOperation::Update),
            "delete" => granted.push(AuthOperation::Delete),
            "read" => granted.extend(READ),
            "get" => granted.push(AuthOperation::Get),
            "list" => granted.push(AuthOperation::List),
            "sync" => granted.push(AuthOperation::Sync),
            "listen" => granted.push(AuthOperation::Listen),
            "search" => granted.push(AuthOperation::Search),
            other => report.error(
                value.location(),
                format!("`{other}` is not an operation of @auth"),
                "they are create, update, delete, read, get, list, sync, listen, search",
            ),
        }
    }
    AuthOperation::ALL
        .into_iter()
        .filter(|op| granted.contains(op))
        .collect()
}
