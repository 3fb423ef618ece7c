//! The names that AppSync makes up: plurals, camel case, input types. One place, since clients compute them too.

/// Words for which the `pluralizer` crate has rules that npm's `pluralize` lacks, with what npm says.
const NPM_DIFFERS: [(&str, &str); 7] = [
    ("canvas", "canvas"),
    ("her", "hers"),
    ("his", "his"),
    ("its", "its"),
    ("my", "mies"),
    ("he", "they"),
    ("she", "they"),
];

/// The plural as npm's `pluralize` gives it, with its habits of letter case: what is added after a capital is capital
/// (`UserAPI` → `UserAPIS`), and the first letter stays as in `name`.
pub(super) fn plural(name: &str) -> String {
    let word = name.to_lowercase();
    let plural = match NPM_DIFFERS.iter().find(|(w, _)| *w == word) {
        Some((_, plural)) => (*plural).to_owned(),
        None => pluralizer::pluralize(name, 2, false),
    };
    let same = name
        .chars()
        .zip(plural.chars())
        .take_while(|(a, b)| a.eq_ignore_ascii_case(b))
        .count();
    let capital = |i: usize| name.chars().nth(i).is_some_and(char::is_uppercase);
    let ends_capital = name.chars().last().is_some_and(char::is_uppercase);
    let fix = |(i, c): (usize, char)| match i {
        0 if capital(0) => c.to_ascii_uppercase(),
        i if i < same => name.chars().nth(i).unwrap_or(c),
        _ if ends_capital => c.to_ascii_uppercase(),
        _ => c,
    };
    plural.chars().enumerate().map(fix).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What npm's `pluralize` 8.0.0 says of each word.
    const PLURALS: &str = include_str!("../../tests/data/schema/plurals.txt");

    #[test]
    fn plurals_are_those_of_npms_pluralize() {
        let wrong: Vec<String> = PLURALS
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(word, expected)| plural(word) != *expected)
            .map(|(word, expected)| format!("{word}: {} instead of {expected}", plural(word)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn made_up_names_are_appsyncs() {
        assert_eq!(camel(&["Project", "tasks", "id"]), "projectTasksId");
        assert_eq!(index_query("Items", &["name", "n"]), "itemsByNameAndN");
        assert_eq!(graphql("by-email"), "byemail");
        assert_eq!(graphql("2nd"), "_2nd");
    }
}
