//! The names that AppSync makes up: plurals, camel case, input types. One place, since clients compute them too.

/// The plural as npm's `pluralize` gives it, first letter as in `name`.
pub(super) fn plural(name: &str) -> String {
    let plural = pluralizer::pluralize(name, 2, false);
    match (name.chars().next(), plural.chars().next()) {
        (Some(first), Some(given)) if first != given && first.eq_ignore_ascii_case(&given) => {
            format!("{first}{}", &plural[given.len_utf8()..])
        }
        _ => plural,
    }
}

/// `name` with its first letter in upper case.
pub(super) fn upper(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// `name` with its first letter in lower case.
pub(super) fn lower(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// `["Project", "tasks", "id"]` → `projectTasksId`.
pub(super) fn camel(words: &[&str]) -> String {
    lower(&words.iter().map(|w| upper(w)).collect::<String>())
}

/// The query field of an index that names none: `itemsByNameAndN`.
pub(super) fn index_query(plural: &str, fields: &[&str]) -> String {
    let by = fields.iter().map(|f| upper(f)).collect::<Vec<_>>().join("And");
    format!("{}By{by}", lower(plural))
}

/// `name` without what a GraphQL name may not hold (index names may hold dashes).
pub(super) fn graphql(name: &str) -> String {
    let kept: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    if kept.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{kept}")
    } else {
        kept
    }
}
