//! The models that `@manyToMany` makes: one record for each pair.

use std::collections::BTreeMap;

use apollo_compiler::Node;
use apollo_compiler::ast::Directive;

use super::directives::Args;
use super::draft::{Draft, Pending};
use super::model::{AuthOperation, AuthRule, FieldKind, FieldOrigin, FieldType, Member, ModeRule, Scalar};
use super::names;
use super::read::Kind;
use super::report::{Place, Report};
use super::reserved::check_model_name;

pub(super) fn make(report: &mut Report, kinds: &BTreeMap<String, Kind>, drafts: &mut Vec<Draft>) {
    let mut sides: BTreeMap<String, Vec<(usize, usize, Place)>> = BTreeMap::new();
    for (m, draft) in drafts.iter().enumerate() {
        for (p, pending) in draft
            .pending
            .iter()
            .enumerate()
            .filter(|(_, p)| p.directive.name == "manyToMany")
        {
            let args = Args::read(report, &pending.directive, &["relationName", "limit"]);
            let Some(name) = args.string(report, "relationName") else {
                report.error(
                    args.place(),
                    "@manyToMany has no relationName",
                    "give both sides the same relationName",
                );
                continue;
            };
            let name = names::graphql(&names::upper(&name));
            check_model_name(report, &name, args.place_of("relationName"));
            if kinds.contains_key(&name) || name.is_empty() {
                report.error(
                    args.place_of("relationName"),
                    format!("the relation's join model `{name}` would take the name of a declared type"),
                    "choose another relationName",
                );
                continue;
            }
            sides.entry(name).or_default().push((m, p, args.place()));
        }
    }
    // In the order of the file, not of the names.
    let mut in_order: Vec<_> = sides.into_iter().collect();
    in_order.sort_by_key(|(_, sides)| (sides[0].0, sides[0].1));
    for (name, sides) in in_order {
        let [one, two] = sides.as_slice() else {
            report.error(
                sides[0].2,
                format!("the relation `{name}` has {} sides", sides.len()),
                "a @manyToMany stands on exactly two fields, one in each model",
            );
            continue;
        };
        let (a, b) = (&drafts[one.0], &drafts[two.0]);
        if one.0 == two.0 {
            report.error(
                two.2,
                format!("the relation `{name}` joins `{}` with itself", a.model.name),
                "write the join model yourself, with two @belongsTo",
            );
            continue;
        }
        let mut good = true;
        for ((m, p, place), other) in [(*one, b), (*two, a)] {
            let pending = &drafts[m].pending[p];
            if pending.target != other.model.name || !pending.list {
                report.error(
                    place,
                    format!(
                        "`{}` should be a list of `{}`, the other side of `{name}`",
                        pending.name, other.model.name
                    ),
                    format!("write {}: [{}] @manyToMany(…)", pending.name, other.model.name),
                );
                good = false;
            }
        }
        if good {
            let join = join_model(&name, a, b, one.2, &a.pending[one.1].directive);
            drafts.push(join);
            for (m, p, _) in [one, two] {
                drafts[*m].pending[*p].target.clone_from(&name);
            }
        }
    }
}

/// The model whose records say which `a` goes with which `b`.
fn join_model(name: &str, a: &Draft, b: &Draft, place: Place, directive: &Node<Directive>) -> Draft {
    let mut join = Draft::new(name, place);
    join.is_join = true;
    let id = FieldType {
        kind: FieldKind::Scalar(Scalar::Id),
        list: None,
        required: true,
    };
    join.model.key = vec![join.push("id", id, FieldOrigin::Declared)];
    let mut keys = Vec::new();
    for side in [a, b] {
        let mut ids = Vec::new();
        for (name, key) in key_names(side).iter().zip(&side.model.key) {
            let kind = side.model.fields[key.0].ty.kind.clone();
            ids.push(join.push(
                name,
                FieldType {
                    kind,
                    list: None,
                    required: true,
                },
                FieldOrigin::Declared,
            ));
        }
        keys.push(ids);
    }
    for (side, ids) in [a, b].into_iter().zip(keys) {
        let words: Vec<String> = ids.iter().map(|id| join.model.fields[id.0].name.clone()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let query = names::index_query(&join.model.plural, &words);
        join.push_index(format!("by{}", side.model.name), ids, Some(query), place);
        join.model.order.push(Member::Relation(join.pending.len()));
        join.pending.push(Pending {
            name: names::lower(&side.model.name),
            place,
            directive: directive.clone(),
            target: side.model.name.clone(),
            list: false,
            required: true,
            auth: None,
            modes: None,
        });
    }
    join.model.auth = join_rules(a.model.auth.as_deref(), b.model.auth.as_deref());
    join.joined_rules = [a, b]
        .into_iter()
        .flat_map(|side| side.model.auth.iter().flatten())
        .cloned()
        .collect();
    join.model.modes = join_modes(a.model.modes.as_deref(), b.model.modes.as_deref());
    join
}

/// The join model's fields that hold `side`'s key: `projectId`, and for sort keys `projectstatus` (AppSync's spelling).
pub(super) fn key_names(side: &Draft) -> Vec<String> {
    let lower = names::lower(&side.model.name);
    side.model
        .key
        .iter()
        .enumerate()
        .map(|(i, key)| {
            let name = &side.model.fields[key.0].name;
            if i == 0 {
                format!("{lower}{}", names::upper(name))
            } else {
                format!("{lower}{name}")
            }
        })
        .collect()
}

/// A join record shows that two records exist: it is granted only what both sides grant.
fn join_rules(a: Option<&[AuthRule]>, b: Option<&[AuthRule]>) -> Option<Vec<AuthRule>> {
    let (a, b) = match (a, b) {
        (None, None) => return None,
        (Some(only), None) | (None, Some(only)) => return Some(only.to_vec()),
        (Some(a), Some(b)) => (a, b),
    };
    let mut both = Vec::new();
    for rule in a {
        for other in b.iter().filter(|o| {
            AuthRule {
                operations: rule.operations.clone(),
                ..(*o).clone()
            } == *rule
        }) {
            let operations: Vec<AuthOperation> = rule
                .operations
                .iter()
                .copied()
                .filter(|op| other.operations.contains(op))
                .collect();
            both.push(AuthRule {
                operations,
                ..rule.clone()
            });
        }
    }
    Some(both)
}

/// What both sides let in. Of sides that share nothing the list is empty, which lets nobody in.
fn join_modes(a: Option<&[ModeRule]>, b: Option<&[ModeRule]>) -> Option<Vec<ModeRule>> {
    match (a, b) {
        (None, None) => None,
        (Some(only), None) | (None, Some(only)) => Some(only.to_vec()),
        (Some(a), Some(b)) => Some(a.iter().filter(|rule| b.contains(rule)).cloned().collect()),
    }
}
