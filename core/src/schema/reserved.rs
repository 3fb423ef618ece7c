//! Names that a schema may not take.

use super::report::{Place, Report};

/// The columns that every model's table has beside its fields.
pub(super) const META: [&str; 5] = ["_version", "_deleted", "_lastChangedAt", "_position", "_fieldVersions"];

pub(super) fn reserved(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("tombolo"))
}

/// Refuses names that a model's table cannot have.
pub(super) fn check_model_name(report: &mut Report, name: &str, place: Place) {
    if name.starts_with('_') {
        report.error(
            place,
            format!("the model name `{name}` begins with `_`"),
            "rename the model",
        );
    }
    if reserved(name) {
        report.error(
            place,
            format!("`{name}` begins with `Tombolo`, which is reserved"),
            "rename the model",
        );
    }
    if name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_")) {
        report.error(
            place,
            format!("`{name}` begins with `sqlite_`, which SQLite keeps for itself"),
            "rename the model",
        );
    }
}

/// Whether it is a name in GraphQL (specification, section 2.1.9): letters, digits and `_`, not a digit first.
///
/// ```
/// use tombolo_core::schema::is_name;
///
/// assert!(is_name("_post2") && !is_name("2posts") && !is_name("") && !is_name("pöst"));
/// ```
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Refuses what cannot be a name in the generated API.
pub(super) fn check_generated_name(report: &mut Report, name: &str, place: Place) {
    if !is_name(name) || name.starts_with("__") {
        report.error(
            place,
            format!("`{name}` is not a name in GraphQL"),
            "letters, digits and `_`, not a digit first",
        );
    } else if reserved(name) {
        report.error(
            place,
            format!("`{name}` begins with `tombolo`, which is reserved"),
            "choose another name",
        );
    } else if META.iter().any(|meta| meta.eq_ignore_ascii_case(name)) {
        report.error(
            place,
            format!("`{name}` is a field that every model has"),
            "choose another name",
        );
    }
}
