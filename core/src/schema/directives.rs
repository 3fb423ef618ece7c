//! Directives and their arguments: read typed, refused when they are not what the directive takes.

use apollo_compiler::Node;
use apollo_compiler::ast::{Directive, DirectiveList, Value as Ast};
use serde_json::Value as Json;

use super::modes;
use super::report::{Place, Report};

/// Directives on a type that Tombolo acts on or knows to be harmless, beside those of [`modes`].
const ON_TYPES: [&str; 3] = ["model", "auth", "renamed"];

/// Directives on a field that Tombolo acts on or knows to be harmless, beside those of [`modes`].
const ON_FIELDS: [&str; 13] = [
    "primaryKey",
    "index",
    "hasOne",
    "hasMany",
    "belongsTo",
    "manyToMany",
    "default",
    "auth",
    "merge",
    "renamed",
    "deprecated",
    "aws_subscribe",
    "refersTo",
];

/// Accepted so that the rest of the schema can be served, and warned about so that nobody counts on them.
const NOT_SERVED: [&str; 10] = [
    "searchable",
    "function",
    "http",
    "sql",
    "predictions",
    "mapsTo",
    "refersTo",
    "validate",
    "conversation",
    "generation",
];

/// Of Amplify's first transformer, where they mean nothing, and what took their place. Where they mean something they have
/// been translated.
const OLD: [(&str, &str); 3] = [
    ("key", "write @primaryKey or @index on the field"),
    ("connection", "write @hasOne, @hasMany or @belongsTo"),
    ("versioned", "remove it: every model is versioned"),
];

/// Where a directive stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Type,
    Field,
    Other,
}

/// Warns about what is unknown or not in force, and refuses a directive that may stand only once.
pub(super) fn check_list(
    report: &mut Report,
    list: &DirectiveList,
    on: On,
    defined: &std::collections::BTreeSet<String>,
) {
    for (i, directive) in list.iter().enumerate() {
        let name = directive.name.as_str();
        let place = directive.location();
        let known = match on {
            On::Type => ON_TYPES.contains(&name) || modes::is_mode(name),
            On::Field => ON_FIELDS.contains(&name) || modes::is_mode(name),
            On::Other => matches!(name, "deprecated" | "specifiedBy") || name.starts_with("aws_"),
        };
        if let Some((_, mend)) = OLD.iter().find(|(old, _)| *old == name) {
            report.warn(
                place,
                format!("@{name} is of Amplify's first transformer and does nothing here"),
                *mend,
            );
        } else if NOT_SERVED.contains(&name) {
            report.warn(
                place,
                format!("@{name} is not served: a field that needs it is not there or answers UnsupportedOperation"),
                "the rest of the schema is served; move what uses it, or wait for it",
            );
        } else if !known && !defined.contains(name) {
            report.warn(
                place,
                format!("@{name} is unknown here and does nothing"),
                "check its spelling, or remove it",
            );
        }
        let repeatable = !known || matches!(name, "index" | "function") || on == On::Other;
        if !repeatable && list.iter().take(i).any(|d| d.name == directive.name) {
            report.error(place, format!("@{name} stands here twice"), "merge the two into one");
        }
    }
}

/// The arguments of one directive, unknown and repeated ones already refused.
pub(super) struct Args<'a> {
    directive: &'a Node<Directive>,
}

impl<'a> Args<'a> {
    pub(super) fn read(report: &mut Report, directive: &'a Node<Directive>, known: &[&str]) -> Self {
        for (i, argument) in directive.arguments.iter().enumerate() {
            if !known.contains(&argument.name.as_str()) {
                report.error(
                    argument.location(),
                    format!("@{} has no argument `{}`", directive.name, argument.name),
                    format!("it takes {}", known.join(", ")),
                );
            }
            if directive.arguments.iter().take(i).any(|a| a.name == argument.name) {
                report.error(
                    argument.location(),
                    format!("`{}` is given twice", argument.name),
                    "remove one",
                );
            }
        }
        Self { directive }
    }

    pub(super) fn place(&self) -> Place {
        self.directive.location()
    }

    /// The place of one argument, else of the directive.
    pub(super) fn place_of(&self, name: &str) -> Place {
        let argument = self.directive.arguments.iter().find(|a| a.name == name);
        argument.map_or_else(|| self.place(), |a| a.location())
    }

    /// The argument as it stands; `null` too.
    pub(super) fn raw(&self, name: &str) -> Option<&'a Node<Ast>> {
        self.directive.specified_argument_by_name(name)
    }

    /// A string; absent and `null` are one.
    pub(super) fn string(&self, report: &mut Report, name: &str) -> Option<String> {
        string(report, &format!("@{}'s `{name}`", self.directive.name), self.raw(name)?)
    }

    /// A list of strings, or one string for a list of one; empty when absent.
    pub(super) fn strings(&self, report: &mut Report, name: &str) -> Vec<String> {
        let Some(value) = self.raw(name) else { return Vec::new() };
        strings(report, &format!("@{}'s `{name}`", self.directive.name), value)
    }
}

/// A string or an enum word.
pub(super) fn string(report: &mut Report, what: &str, value: &Node<Ast>) -> Option<String> {
    match &**value {
        Ast::String(text) => Some(text.clone()),
        Ast::Enum(word) => Some(word.to_string()),
        Ast::Null => None,
        _ => {
            report.error(
                value.location(),
                format!("{what} is not a string"),
                "write it in double quotes",
            );
            None
        }
    }
}

/// A list of strings, or one string for a list of one.
pub(super) fn strings(report: &mut Report, what: &str, value: &Node<Ast>) -> Vec<String> {
    match &**value {
        Ast::List(items) => items.iter().filter_map(|item| string(report, what, item)).collect(),
        _ => string(report, what, value).into_iter().collect(),
    }
}

/// A constant as JSON; `None` for a variable, which a schema cannot hold.
pub(super) fn to_json(value: &Ast) -> Option<Json> {
    Some(match value {
        Ast::Null => Json::Null,
        Ast::Enum(word) => Json::String(word.to_string()),
        Ast::String(text) => Json::String(text.clone()),
        Ast::Boolean(b) => Json::Bool(*b),
        Ast::Int(i) => serde_json::from_str(i.as_str()).ok()?,
        Ast::Float(x) => serde_json::from_str(x.as_str()).ok()?,
        Ast::List(items) => Json::Array(items.iter().map(|item| to_json(item)).collect::<Option<_>>()?),
        Ast::Object(fields) => Json::Object(
            fields
                .iter()
                .map(|(name, value)| Some((name.to_string(), to_json(value)?)))
                .collect::<Option<_>>()?,
        ),
        Ast::Variable(_) => return None,
    })
}
