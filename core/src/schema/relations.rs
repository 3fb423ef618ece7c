//! Relations: join models made, foreign keys made with AppSync's names, both ends matched field by field.
//!
//! It goes in three steps over all models, since each needs the one before it done everywhere: join models for
//! `@manyToMany`, then foreign keys and hidden indexes, then the relations themselves.

use std::collections::BTreeMap;

use crate::id::{FieldId, ModelId};

use super::directives::Args;
use super::draft::{Draft, find};
use super::joins;
use super::model::{FieldKind, FieldOrigin, FieldType, Relation, RelationKind, Scalar};
use super::names;
use super::read::Kind;
use super::report::{Place, Report};

/// How the names of indexes begin that a list makes for itself.
pub(super) const HIDDEN_INDEX: &str = "gsi-";

/// Arguments of one relation directive, read once.
struct Declared {
    model: ModelId,
    /// The place in [`Draft::pending`].
    at: usize,
    kind: RelationKind,
    target: ModelId,
    fields: Vec<String>,
    references: Vec<String>,
    index: Option<String>,
    place: Place,
}

/// How the two ends match, by field names.
struct Ends {
    source: Vec<String>,
    target: Vec<String>,
    /// What follows `target` in the index or key that serves a list.
    sort: Vec<FieldId>,
    /// The list takes a condition on `sort`.
    conditioned: bool,
}

/// Resolves all relations of all models.
pub(super) fn resolve(report: &mut Report, kinds: &BTreeMap<String, Kind>, drafts: &mut Vec<Draft>) {
    joins::make(report, kinds, drafts);
    let declared = read_all(report, kinds, drafts);
    let ends: Vec<Option<Ends>> = declared
        .iter()
        .map(|one| make_keys(report, drafts, &declared, one))
        .collect();
    // `Member::Relation` counts relation fields: every one of them gets a place, resolved or not.
    for draft in drafts.iter_mut() {
        draft.model.relations = draft
            .pending
            .iter()
            .map(|p| Relation {
                name: p.name.clone(),
                target: ModelId(0),
                kind: RelationKind::BelongsTo,
                source_fields: Vec::new(),
                target_fields: Vec::new(),
                sort_fields: Vec::new(),
                conditioned: false,
                required: p.required,
                auth: p.auth.clone(),
                modes: p.modes.clone(),
            })
            .collect();
    }
    for (one, ends) in declared.iter().zip(ends) {
        let Some(ends) = ends else { continue };
        let (Some(source_fields), Some(target_fields)) = (
            field_ids(report, &drafts[one.model.0], &ends.source, one),
            field_ids(report, &drafts[one.target.0], &ends.target, one),
        ) else {
            continue;
        };
        check_types(report, drafts, one, &source_fields, &target_fields);
        let relation = &mut drafts[one.model.0].model.relations[one.at];
        relation.target = one.target;
        relation.kind = one.kind;
        relation.source_fields = source_fields;
        relation.target_fields = target_fields;
        relation.conditioned = ends.conditioned;
        relation.sort_fields = ends.sort;
    }
}

fn read_all(report: &mut Report, kinds: &BTreeMap<String, Kind>, drafts: &[Draft]) -> Vec<Declared> {
    let mut out = Vec::new();
    for (m, draft) in drafts.iter().enumerate() {
        for (at, pending) in draft.pending.iter().enumerate() {
            let directive = &pending.directive;
            // A join model's own relations carry the @manyToMany that made them.
            let in_join = draft.is_join;
            let joined = find(drafts, &pending.target).is_some_and(|t| drafts[t.0].is_join);
            if directive.name == "manyToMany" && !in_join && !joined {
                // No join model was made, and that has been said.
                continue;
            }
            let (kind, known): (_, &[&str]) = match directive.name.as_str() {
                "hasOne" => (RelationKind::HasOne, &["fields", "references"]),
                "belongsTo" => (RelationKind::BelongsTo, &["fields", "references"]),
                "hasMany" => (RelationKind::HasMany, &["fields", "references", "indexName", "limit"]),
                _ if in_join => (RelationKind::BelongsTo, &["relationName", "limit"]),
                _ => (RelationKind::HasMany, &["relationName", "limit"]),
            };
            let args = if directive.name == "manyToMany" {
                None
            } else {
                Some(Args::read(report, directive, known))
            };
            let Some(target) = find(drafts, &pending.target) else {
                let (problem, mend) = if kinds.contains_key(&pending.target) {
                    (
                        format!(
                            "`{}` relates to `{}`, which is not a model",
                            pending.name, pending.target
                        ),
                        "give that type @model, or drop the directive",
                    )
                } else {
                    (
                        format!("the type `{}` of `{}` is unknown", pending.target, pending.name),
                        "declare it, or correct its spelling",
                    )
                };
                report.error(pending.place, problem, mend);
                continue;
            };
            let many = kind == RelationKind::HasMany;
            if many != pending.list {
                let mend = if many {
                    "write it as a list: [T]"
                } else {
                    "write it as a single value, or use @hasMany"
                };
                report.error(
                    pending.place,
                    format!("`{}` and @{} do not agree on one or many", pending.name, directive.name),
                    mend,
                );
                continue;
            }
            let (mut fields, mut index) = (Vec::new(), None);
            let mut references = Vec::new();
            match &args {
                Some(args) => {
                    fields = args.strings(report, "fields");
                    references = args.strings(report, "references");
                    index = args.string(report, "indexName");
                    if !references.is_empty() && (!fields.is_empty() || index.is_some()) {
                        report.error(
                            args.place(),
                            "`references` cannot stand with `fields` or `indexName`",
                            "keep one form",
                        );
                    }
                }
                None if in_join => fields = joins::key_names(&drafts[target.0]),
                None => index = Some(format!("by{}", draft.model.name)),
            }
            out.push(Declared {
                model: ModelId(m),
                at,
                kind,
                target,
                fields,
                references,
                index,
                place: directive.location(),
            });
        }
    }
    out
}

fn key_names(draft: &Draft) -> Vec<String> {
    draft
        .model
        .key
        .iter()
        .map(|k| draft.model.fields[k.0].name.clone())
        .collect()
}

/// The names AppSync gives to the foreign key of `model.field`, for the key of `keyed`.
fn made_up(model: &Draft, field: &str, keyed: &Draft) -> Vec<String> {
    key_names(keyed)
        .iter()
        .map(|key| names::camel(&[&model.model.name, field, key]))
        .collect()
}

/// Adds to `drafts[to]` the fields `names` that hold the key of `drafts[of]`; those declared already are left alone.
fn add_keys(report: &mut Report, drafts: &mut [Draft], to: ModelId, of: ModelId, names: &[String], required: bool) {
    let kinds: Vec<FieldKind> = {
        let keyed = &drafts[of.0].model;
        keyed.key.iter().map(|k| keyed.fields[k.0].ty.kind.clone()).collect()
    };
    for (name, kind) in names.iter().zip(kinds) {
        if drafts[to.0].model.field(name).is_none() && drafts[to.0].is_free(report, name) {
            drafts[to.0].push(
                name,
                FieldType {
                    kind,
                    list: None,
                    required,
                },
                FieldOrigin::ForeignKey,
            );
        }
    }
}

/// Makes what foreign keys and hidden indexes the relation needs, and says how its ends match.
fn make_keys(report: &mut Report, drafts: &mut [Draft], all: &[Declared], one: &Declared) -> Option<Ends> {
    let field = drafts[one.model.0].pending[one.at].name.clone();
    let required = drafts[one.model.0].pending[one.at].required;
    let own_key = key_names(&drafts[one.model.0]);
    let target_key = key_names(&drafts[one.target.0]);
    let single = |source: Vec<String>| Ends {
        source,
        target: target_key.clone(),
        sort: Vec::new(),
        conditioned: false,
    };
    match one.kind {
        RelationKind::HasOne if !one.references.is_empty() => Some(Ends {
            source: own_key,
            target: one.references.clone(),
            sort: Vec::new(),
            conditioned: false,
        }),
        RelationKind::BelongsTo if !one.references.is_empty() => Some(single(one.references.clone())),
        RelationKind::HasOne | RelationKind::BelongsTo if !one.fields.is_empty() => Some(single(one.fields.clone())),
        RelationKind::HasOne => {
            let names = made_up(&drafts[one.model.0], &field, &drafts[one.target.0]);
            add_keys(report, drafts, one.model, one.target, &names, required);
            Some(single(names))
        }
        RelationKind::BelongsTo => {
            let opposite = all
                .iter()
                .find(|o| o.model == one.target && o.target == one.model && o.kind != RelationKind::BelongsTo);
            let Some(opposite) = opposite else {
                report.error(
                    one.place,
                    format!(
                        "`{field}` belongs to `{}`, which has no relation to `{}`",
                        drafts[one.target.0].model.name, drafts[one.model.0].model.name
                    ),
                    "add @hasOne or @hasMany there, or name the key: @belongsTo(fields: [\"…\"])",
                );
                return None;
            };
            if !opposite.references.is_empty() {
                return Some(single(opposite.references.clone()));
            }
            if opposite.kind == RelationKind::HasOne {
                let names = made_up(&drafts[one.model.0], &field, &drafts[one.target.0]);
                add_keys(report, drafts, one.model, one.target, &names, required);
                return Some(single(names));
            }
            match &opposite.index {
                // The list goes over an index of this model: its first fields hold the other side's key.
                Some(index) => {
                    let child = &drafts[one.model.0].model;
                    let index = child.indexes.iter().find(|i| i.name == *index)?;
                    let names = index.fields.iter().take(target_key.len());
                    Some(single(names.map(|f| child.fields[f.0].name.clone()).collect()))
                }
                None if !opposite.fields.is_empty() => {
                    Some(single(own_key.into_iter().take(target_key.len()).collect()))
                }
                None => {
                    let opposite_field = drafts[opposite.model.0].pending[opposite.at].name.clone();
                    let names = made_up(&drafts[one.target.0], &opposite_field, &drafts[one.target.0]);
                    let opposite_required = drafts[opposite.model.0].pending[opposite.at].required;
                    add_keys(report, drafts, one.model, one.target, &names, opposite_required);
                    Some(single(names))
                }
            }
        }
        RelationKind::HasMany => make_list(report, drafts, one, &field, required, own_key),
    }
}

fn make_list(
    report: &mut Report,
    drafts: &mut [Draft],
    one: &Declared,
    field: &str,
    required: bool,
    own_key: Vec<String>,
) -> Option<Ends> {
    let explicit = !one.fields.is_empty() || one.index.is_some();
    if explicit {
        let source = if one.fields.is_empty() {
            own_key
        } else {
            one.fields.clone()
        };
        let child = &drafts[one.target.0].model;
        let path: Vec<FieldId> = match &one.index {
            None => child.key.clone(),
            Some(name) => match child.indexes.iter().find(|i| i.name == *name) {
                Some(index) => index.fields.clone(),
                None => {
                    let there: Vec<&str> = child.indexes.iter().map(|i| i.name.as_str()).collect();
                    report.error(
                        one.place,
                        format!("`{}` has no index `{name}`", child.name),
                        if there.is_empty() {
                            "add @index to the field that holds the key".to_owned()
                        } else {
                            format!("it has {}", there.join(", "))
                        },
                    );
                    return None;
                }
            },
        };
        if source.len() > path.len() {
            report.error(
                one.place,
                format!(
                    "`{field}` matches {} fields against an index of {}",
                    source.len(),
                    path.len()
                ),
                "name at most as many fields as the index has",
            );
            return None;
        }
        let target = path
            .iter()
            .take(source.len())
            .map(|f| child.fields[f.0].name.clone())
            .collect();
        let sort = path[source.len()..].to_vec();
        return Some(Ends {
            conditioned: source.len() == 1 && !sort.is_empty(),
            sort,
            source,
            target,
        });
    }
    let target = if one.references.is_empty() {
        let names = made_up(&drafts[one.model.0], field, &drafts[one.model.0]);
        add_keys(report, drafts, one.target, one.model, &names, required);
        let parent = &mut drafts[one.model.0].model;
        for (name, key) in names.iter().zip(parent.key.clone()) {
            let kind = parent.fields[key.0].ty.kind.clone();
            if parent.field(name).is_none() {
                parent.absent.push((name.clone(), kind));
            }
        }
        names
    } else {
        one.references.clone()
    };
    // An index nobody asked for by name serves the list; one that begins with these fields would do as well.
    let ids = field_ids(report, &drafts[one.target.0], &target, one)?;
    // Without an index of its own the list is sorted by, and conditioned on, what sorts the target's own key.
    let child = &drafts[one.target.0].model;
    let sort: Vec<FieldId> = child.key.iter().skip(1).copied().collect();
    let path: Vec<FieldId> = ids.iter().chain(&sort).copied().collect();
    if !child.indexes.iter().any(|i| i.fields == path) {
        let name = format!("{HIDDEN_INDEX}{}.{field}", drafts[one.model.0].model.name);
        drafts[one.target.0].push_index(name, path, None, one.place);
    }
    Some(Ends {
        conditioned: one.references.is_empty() && !sort.is_empty(),
        source: own_key,
        target,
        sort,
    })
}

fn field_ids(report: &mut Report, draft: &Draft, names: &[String], one: &Declared) -> Option<Vec<FieldId>> {
    let mut ids = Vec::new();
    for name in names {
        match draft.model.field(name) {
            Some(id) => ids.push(id),
            None => report.error(
                one.place,
                format!(
                    "the relation names the field `{name}`, which `{}` does not have",
                    draft.model.name
                ),
                "declare it, or correct its name",
            ),
        }
    }
    (ids.len() == names.len()).then_some(ids)
}

fn check_types(report: &mut Report, drafts: &[Draft], one: &Declared, source: &[FieldId], target: &[FieldId]) {
    let (from, to) = (&drafts[one.model.0].model, &drafts[one.target.0].model);
    if source.len() != target.len() {
        report.error(
            one.place,
            format!(
                "the relation matches {} fields of `{}` with {} of `{}`",
                source.len(),
                from.name,
                target.len(),
                to.name
            ),
            "name one field for each field of the key, in its order",
        );
    }
    for (s, t) in source.iter().zip(target) {
        let (s, t) = (&from.fields[s.0], &to.fields[t.0]);
        if s.ty.list.is_some() || t.ty.list.is_some() {
            report.error(
                one.place,
                format!("the relation goes over a list (`{}` or `{}`)", s.name, t.name),
                "use single values",
            );
        } else if !alike(&s.ty.kind, &t.ty.kind) {
            report.error(
                one.place,
                format!(
                    "`{}.{}` is {} and `{}.{}` is {}",
                    from.name,
                    s.name,
                    s.ty.kind.name(),
                    to.name,
                    t.name,
                    t.ty.kind.name()
                ),
                "give both the same type",
            );
        }
    }
}

/// Whether values of the two can be equal: the same, or both text (`ID` and `String`).
fn alike(a: &FieldKind, b: &FieldKind) -> bool {
    let text = |kind: &FieldKind| matches!(kind, FieldKind::Scalar(Scalar::Id | Scalar::String));
    a == b || (text(a) && text(b))
}
