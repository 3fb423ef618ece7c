//! `@merge` and `@renamed`: how conflicts on a field are settled, and the names that models and fields had before.

use std::collections::BTreeMap;

use apollo_compiler::ast::DirectiveList;

use super::directives::Args;
use super::draft::Draft;
use super::model::{FieldKind, FieldType, MergeRule, Scalar};
use super::read::{Declared, Kind};
use super::report::{Place, Report};

/// The member of an update's input that holds the operations on counters and sets.
pub(crate) const OPERATIONS: &str = "_operations";

/// The field's `@merge(rule:)`, if it has one that fits its type.
pub(super) fn rule(report: &mut Report, directives: &DirectiveList, ty: &FieldType) -> Option<MergeRule> {
    let directive = directives.get("merge")?;
    let args = Args::read(report, directive, &["rule"]);
    let names: Vec<&str> = MergeRule::ALL.iter().map(|rule| rule.name()).collect();
    let Some(name) = args.string(report, "rule") else {
        if args.raw("rule").is_none_or(|value| value.is_null()) {
            report.error(
                args.place(),
                "@merge has no rule",
                format!("write @merge(rule: …) with one of {}", names.join(", ")),
            );
        }
        return None;
    };
    let Some(rule) = MergeRule::named(&name) else {
        report.error(
            args.place_of("rule"),
            format!("`{name}` is not a merge rule"),
            format!("write one of {}", names.join(", ")),
        );
        return None;
    };
    match fits(rule, ty) {
        Ok(()) => Some(rule),
        Err(mend) => {
            report.error(args.place(), format!("@merge(rule: {name}) on a field of {ty}"), mend);
            None
        }
    }
}

/// Whether `rule` can settle a field of `ty`; else on what it stands.
fn fits(rule: MergeRule, ty: &FieldType) -> Result<(), &'static str> {
    let single = |ok: bool, mend| if ok && ty.list.is_none() { Ok(()) } else { Err(mend) };
    match rule {
        MergeRule::LastWriter | MergeRule::Reject | MergeRule::Custom => Ok(()),
        MergeRule::Counter => single(
            matches!(
                ty.kind,
                FieldKind::Scalar(Scalar::Int | Scalar::Float | Scalar::AwsTimestamp)
            ),
            "it stands on a single Int, Float or AWSTimestamp",
        ),
        MergeRule::Set if ty.list.is_some() && !matches!(ty.kind, FieldKind::Embedded(_)) => Ok(()),
        MergeRule::Set => Err("it stands on a list of scalars or enums"),
        MergeRule::Max | MergeRule::Min => single(
            matches!(
                ty.kind,
                FieldKind::Scalar(
                    Scalar::Int
                        | Scalar::Float
                        | Scalar::AwsTimestamp
                        | Scalar::AwsDate
                        | Scalar::AwsTime
                        | Scalar::AwsDateTime
                )
            ),
            "it stands on a single Int, Float, AWSTimestamp, AWSDate, AWSTime or AWSDateTime",
        ),
    }
}

/// The names in `@renamed(from:)`; none without it.
pub(super) fn former(report: &mut Report, directives: &DirectiveList) -> Vec<String> {
    let Some(directive) = directives.get("renamed") else {
        return Vec::new();
    };
    let args = Args::read(report, directive, &["from"]);
    let names = args.strings(report, "from");
    if names.is_empty() {
        report.error(
            args.place(),
            "@renamed names no former name",
            "write @renamed(from: \"…\"), or a list of every name it had",
        );
    }
    names
}

/// Checks what can be told only when every model is whole: rules on keys and timestamps, former names against the names
/// that stand now and against each other.
pub(super) fn check(report: &mut Report, declared: &Declared, kinds: &BTreeMap<String, Kind>, drafts: &[Draft]) {
    let mut former_models: Vec<(String, String)> = Vec::new();
    for object in &declared.objects {
        let name = object.name.as_str();
        let place = |list: &DirectiveList, directive: &str| list.get(directive).and_then(|d| d.location());
        let Some(draft) = drafts.iter().find(|draft| draft.model.name == name && !draft.is_join) else {
            let lists = std::iter::once(&object.directives).chain(object.fields.iter().map(|f| &f.directives));
            for list in lists.filter(|list| list.has("renamed")) {
                report.warn(
                    place(list, "renamed"),
                    format!("@renamed in `{name}`, which is not a model, does nothing"),
                    "remove it; what such a type holds is kept as it was sent",
                );
            }
            continue;
        };
        let stands = || {
            kinds
                .keys()
                .map(String::as_str)
                .chain(drafts.iter().map(|d| d.model.name.as_str()))
        };
        let at = place(&object.directives, "renamed");
        former_names(
            report,
            at,
            "type",
            name,
            &draft.model.former,
            stands,
            &mut former_models,
        );
        let mut former_fields: Vec<(String, String)> = Vec::new();
        for field in &object.fields {
            let Some(id) = draft.model.field(&field.name) else {
                continue;
            };
            let definition = draft.model.field_at(id);
            let at = place(&field.directives, "renamed");
            let stands = || {
                let fields = draft.model.fields.iter().map(|f| f.name.as_str());
                fields.chain(draft.model.relations.iter().map(|r| r.name.as_str()))
            };
            let own = (field.name.as_str(), &definition.former);
            former_names(report, at, "field", own.0, own.1, stands, &mut former_fields);
            let Some(rule) = definition.merge else { continue };
            let clash = draft.member_names().any(|name| name == OPERATIONS);
            if rule.has_operation() && clash {
                report.error(
                    place(&field.directives, "merge"),
                    format!(
                        "the update's input gets a member `{OPERATIONS}`, which is the name of a field of `{}`",
                        object.name
                    ),
                    "rename that field",
                );
            }
            let what = if draft.model.key.contains(&id) {
                "a key field, which no update changes"
            } else if [draft.model.created_at, draft.model.updated_at].contains(&Some(id)) {
                "a timestamp of @model, which the server fills in"
            } else {
                continue;
            };
            report.error(
                place(&field.directives, "merge"),
                format!("@merge(rule: {}) on `{}`, {what}", rule.name(), field.name),
                "remove @merge",
            );
        }
    }
}

/// Checks one list of former names. `claimed` holds the former names of the siblings before it, each with its claimant.
fn former_names<'n, I: Iterator<Item = &'n str>>(
    report: &mut Report,
    place: Place,
    what: &str,
    own: &str,
    former: &[String],
    stands: impl Fn() -> I,
    claimed: &mut Vec<(String, String)>,
) {
    for name in former {
        // A name whose letters' case alone has changed is the same to a database, and its own former name.
        let standing = |other: &str| other == name || (other != own && other.eq_ignore_ascii_case(name));
        if let Some(other) = stands().find(|other| standing(other)) {
            report.error(
                place,
                format!("@renamed says that `{own}` was `{name}`, but the {what} `{other}` stands now"),
                "name only names that are gone, or rename the other one",
            );
        } else if let Some((_, other)) = claimed.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            report.error(
                place,
                format!("@renamed says that `{own}` was `{name}`, and so does `{other}`"),
                "only one of them can be its successor: remove it from the other",
            );
        } else {
            claimed.push((name.clone(), own.to_owned()));
        }
    }
}
