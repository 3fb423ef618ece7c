//! How what a schema calls its things is called in a language: letter case, keywords, and names that would meet.

use std::collections::BTreeSet;

use heck::{ToLowerCamelCase, ToPascalCase, ToShoutySnakeCase, ToSnakeCase};

use crate::Language;
use crate::words::{is_keyword, is_taken_case, is_taken_function, is_taken_local, is_taken_member, is_taken_type};

/// A type's name: first letter in upper case, no underscores. Letters that are upper case stay so (`UserAPI`).
pub(crate) fn type_name(language: Language, name: &str) -> String {
    let upper = if name.contains('_') {
        name.to_pascal_case()
    } else {
        upper_first(name)
    };
    let upper = not_a_digit_first(or_else(upper, "Type"));
    if is_taken_type(language, &upper) || is_keyword(language, &upper) {
        format!("{upper}_")
    } else {
        upper
    }
}

/// A member's name: as the language writes them, escaped.
pub(crate) fn member(language: Language, name: &str) -> String {
    escape(language, &member_case(language, name))
}

/// The name of a variable, parameter or function: a member's, and in TypeScript no keyword.
pub(crate) fn local(language: Language, name: &str) -> String {
    let cased = member_case(language, name);
    let is_word = language == Language::TypeScript && is_keyword(language, &cased);
    if is_word || is_taken_local(language, &cased) {
        return format!("{cased}_");
    }
    escape(language, &cased)
}

/// The name of the function of an operation.
pub(crate) fn function(language: Language, name: &str) -> String {
    let name = lower_first(name);
    let cased = member_case(language, &name);
    if is_taken_function(language, &cased) {
        return format!("{cased}_");
    }
    local(language, &name)
}

/// The name of a constant, in capitals and escaped.
pub(crate) fn constant(language: Language, name: &str) -> String {
    let cased = not_a_digit_first(or_else(name.to_shouty_snake_case(), "VALUE"));
    escape(language, &cased)
}

/// `name` without the marks by which a keyword is escaped.
pub(crate) fn bare(name: &str) -> &str {
    name.trim_start_matches("r#").trim_matches('`')
}

/// An enum value's name as a case of the language's enum.
pub(crate) fn enum_case(language: Language, name: &str) -> String {
    let cased = match language {
        Language::Swift => name.to_lower_camel_case(),
        Language::Rust => name.to_pascal_case(),
        Language::Kotlin | Language::Python => name.to_shouty_snake_case(),
        Language::TypeScript => name.to_owned(),
    };
    let cased = not_a_digit_first(or_else(cased, "value"));
    // What newer servers send goes into a case of its own.
    if matches!(cased.as_str(), "unrecognized" | "Unrecognized" | "UNRECOGNIZED") || is_taken_case(language, &cased) {
        return format!("{cased}_");
    }
    escape(language, &cased)
}

/// A file's name without its ending: as types in Swift, Kotlin and TypeScript, in snake case elsewhere.
pub(crate) fn file_name(language: Language, type_name: &str) -> String {
    match language {
        Language::Swift | Language::Kotlin | Language::TypeScript => type_name.to_owned(),
        Language::Rust | Language::Python => {
            let snake = not_a_digit_first(or_else(type_name.to_snake_case(), "type"));
            let stays = !is_keyword(language, &snake) && !matches!(snake.as_str(), "mod" | "lib" | "main");
            if stays { snake } else { format!("{snake}_") }
        }
    }
}

fn member_case(language: Language, name: &str) -> String {
    let cased = match language {
        Language::Swift | Language::Kotlin => {
            let plain = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.contains('_');
            if plain {
                name.to_owned()
            } else {
                name.to_lower_camel_case()
            }
        }
        Language::Rust | Language::Python => name.to_snake_case(),
        // Types there describe the JSON itself.
        Language::TypeScript => name.to_owned(),
    };
    not_a_digit_first(or_else(cased, "field"))
}

/// `name` so that it can stand as a member: in back quotes, as a raw name, or with an underscore behind it.
pub(crate) fn escape(language: Language, name: &str) -> String {
    if is_taken_member(language, name) {
        return format!("{name}_");
    }
    if !is_keyword(language, name) {
        return name.to_owned();
    }
    match language {
        Language::Swift | Language::Kotlin => format!("`{name}`"),
        Language::Rust => format!("r#{name}"),
        Language::Python => format!("{name}_"),
        Language::TypeScript => name.to_owned(),
    }
}

/// `name` with its first letter in upper case.
pub(crate) fn upper_first(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// `name` with its first letter in lower case.
pub(crate) fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// `_1` without its underscore is no name.
fn not_a_digit_first(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

fn or_else(name: String, other: &str) -> String {
    if name.is_empty() { other.to_owned() } else { name }
}

/// The names that are given in one place (a type's members, a package's types), so that no two are the same.
#[derive(Debug, Default)]
pub(crate) struct Given {
    names: BTreeSet<String>,
    /// Names that differ in letter case alone are one: they become files.
    ignore_case: bool,
}

impl Given {
    /// For types, which become files.
    pub(crate) fn types() -> Self {
        Self {
            ignore_case: true,
            ..Self::default()
        }
    }

    /// `name`, or with as many underscores behind it as it takes.
    pub(crate) fn give(&mut self, name: String) -> String {
        let mut name = name;
        loop {
            let seen = if self.ignore_case {
                name.to_lowercase()
            } else {
                name.clone()
            };
            if self.names.insert(seen) {
                return name;
            }
            // A raw or quoted name that is taken loses its quotes: with the underscore it is no keyword.
            name = format!("{}_", bare(&name));
        }
    }
}
