//! What changes between two schemas, and what of it breaks apps or data that hold to the old one.

use std::collections::BTreeMap;

use crate::id::{FieldId, ModelId};

use super::lens::{pair_fields, pair_models, same_key};
use super::model::{
    AuthRule, EmbeddedField, Field, FieldOrigin, FieldType, Index, MergeRule, Model, MutationRoot, QueryRoot, Relation,
    RelationKind, Schema, SubscriptionRoot,
};

/// One thing that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where and what: `Post.title: made required without a default`.
    pub text: String,
    /// Whether an app built on the old schema, or a record stored under it, no longer works.
    pub breaking: bool,
    /// The name by which a server whose data it would cost asks to be allowed it (`--allow-breaking`).
    pub allow: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.breaking { "breaking: " } else { "compatible: " })?;
        f.write_str(&self.text)
    }
}

/// All differences, models in the old schema's order, then what is new.
#[must_use]
pub fn diff(old: &Schema, new: &Schema) -> Vec<Difference> {
    let mut out = Out(Vec::new());
    let pairs = pair_models(old, new);
    for (model, to) in old.models.iter().zip(&pairs) {
        match to {
            Some(id) => models(&mut out, old, new, model, new.model(*id)),
            None => out.asks(format!("{}: model removed", model.name), &model.name),
        }
    }
    for (place, model) in new.models.iter().enumerate() {
        if !pairs.contains(&Some(ModelId(place))) {
            out.compatible(format!("{}: model added", model.name));
        }
    }
    enums(&mut out, &old.enums, &new.enums);
    embedded(&mut out, &old.embedded, &new.embedded);
    roots(&mut out, old, new);
    out.0
}

struct Out(Vec<Difference>);

impl Out {
    fn add(&mut self, text: String, breaking: bool) {
        self.0.push(Difference {
            text,
            breaking,
            allow: None,
        });
    }

    /// Breaking, and a server that holds data of it asks for `allow`.
    fn asks(&mut self, text: String, allow: &str) {
        self.0.push(Difference {
            text,
            breaking: true,
            allow: Some(allow.to_owned()),
        });
    }

    fn breaking(&mut self, text: String) {
        self.add(text, true);
    }

    fn compatible(&mut self, text: String) {
        self.add(text, false);
    }
}

fn field_names(model: &Model, ids: &[FieldId]) -> Vec<String> {
    ids.iter().map(|id| model.field_at(*id).name.clone()).collect()
}

fn models(out: &mut Out, old_schema: &Schema, new_schema: &Schema, old: &Model, new: &Model) {
    let name = &new.name;
    renamed(out, name, "model", &old.name, &old.former, &new.former);
    let pairs = pair_fields(old, new);
    let (old_key, new_key) = (field_names(old, &old.key), field_names(new, &new.key));
    if !same_key(old, new, &pairs) {
        let text = format!(
            "{name}: key changed from ({}) to ({})",
            old_key.join(", "),
            new_key.join(", ")
        );
        out.asks(text, &format!("{name}:key"));
    }
    for (field, to) in old.fields.iter().zip(&pairs) {
        match to {
            Some(id) => fields(out, name, field, new.field_at(*id)),
            None => {
                let place = format!("{name}.{}", field.name);
                out.asks(format!("{place}: field removed"), &place);
            }
        }
    }
    for (place, field) in new.fields.iter().enumerate() {
        if pairs.contains(&Some(FieldId(place))) {
            continue;
        }
        let filled = field.default.is_some() || field.origin == FieldOrigin::Timestamp;
        if field.ty.required && !filled {
            let place = format!("{name}.{}", field.name);
            out.asks(format!("{place}: required field added without a default"), &place);
        } else {
            out.compatible(format!("{name}.{}: field added", field.name));
        }
    }
    indexes(out, old, new);
    relations(out, old_schema, new_schema, old, new);
    rules(out, name, old.auth.as_deref(), new.auth.as_deref());
    if old.conflict != new.conflict {
        out.compatible(format!(
            "{name}: conflicts settled by {:?} instead of {:?}",
            new.conflict, old.conflict
        ));
    }
}

/// A former name, given or taken back. One that is taken back is not known to apps which still use it any more.
fn renamed(out: &mut Out, place: &str, what: &str, was: &str, old: &[String], new: &[String]) {
    let is = place.rsplit('.').next().unwrap_or(place);
    if is != was {
        out.compatible(format!("{place}: {what} renamed from {was}"));
    }
    for name in old.iter().filter(|name| *name != is && !new.contains(name)) {
        out.breaking(format!(
            "{place}: no longer says that it was {name}: apps that still call it so lose what they write to it"
        ));
    }
}

fn fields(out: &mut Out, model: &str, old: &Field, new: &Field) {
    let place = format!("{model}.{}", new.name);
    renamed(out, &place, "field", &old.name, &old.former, &new.former);
    types(out, &place, &old.ty, &new.ty, new.default.is_some(), true);
    match (&old.default, &new.default) {
        (Some(_), None) => {
            out.add(format!("{place}: default removed"), new.ty.required);
        }
        (None, Some(_)) => out.compatible(format!("{place}: default added")),
        (Some(a), Some(b)) if a != b => out.compatible(format!("{place}: default changed")),
        _ => {}
    }
    if old.merge != new.merge {
        let name = |rule: Option<MergeRule>| rule.map_or("the model's strategy", MergeRule::name);
        out.compatible(format!(
            "{place}: conflicts settled by {} instead of {}",
            name(new.merge),
            name(old.merge)
        ));
    }
    rules(out, &place, old.auth.as_deref(), new.auth.as_deref());
}

/// `stored`: the field has a column of its own, so that a server may ask.
fn types(out: &mut Out, place: &str, old: &FieldType, new: &FieldType, has_default: bool, stored: bool) {
    let ask = |out: &mut Out, text: String| match stored {
        true => out.asks(text, place),
        false => out.breaking(text),
    };
    if old.kind != new.kind || old.list.is_some() != new.list.is_some() {
        if !old.widens_to(new) {
            ask(out, format!("{place}: type changed from {old} to {new}"));
            return;
        }
        out.compatible(format!("{place}: type widened from {old} to {new}"));
    }
    match (old.required, new.required) {
        (false, true) if has_default => out.compatible(format!("{place}: made required, with a default")),
        (false, true) => ask(out, format!("{place}: made required without a default")),
        (true, false) => out.breaking(format!("{place}: made nullable, which older apps do not expect")),
        _ => {}
    }
    if old.list != new.list {
        ask(out, format!("{place}: items changed from {old} to {new}"));
    }
}

fn indexes(out: &mut Out, old: &Model, new: &Model) {
    let shape = |model: &Model, index: &Index| field_names(model, &index.fields);
    for index in &old.indexes {
        let place = format!("{}: index {}", old.name, index.name);
        let asked = index.query_field.is_some();
        match new.indexes.iter().find(|i| i.name == index.name) {
            None => out.add(format!("{place} removed"), asked),
            Some(other) => {
                let (a, b) = (shape(old, index), shape(new, other));
                if a != b {
                    out.add(
                        format!("{place} changed from ({}) to ({})", a.join(", "), b.join(", ")),
                        asked,
                    );
                }
                match (&index.query_field, &other.query_field) {
                    (Some(a), Some(b)) if a != b => out.breaking(format!("{place}: query {a} renamed to {b}")),
                    (Some(a), None) => out.breaking(format!("{place}: query {a} removed")),
                    (None, Some(b)) => out.compatible(format!("{place}: query {b} added")),
                    _ => {}
                }
            }
        }
    }
    for index in new
        .indexes
        .iter()
        .filter(|i| old.indexes.iter().all(|o| o.name != i.name))
    {
        out.compatible(format!("{}: index {} added", new.name, index.name));
    }
}

fn relations(out: &mut Out, old_schema: &Schema, new_schema: &Schema, old: &Model, new: &Model) {
    let ends = |schema: &Schema, model: &Model, r: &Relation| {
        let target = schema.model(r.target);
        (
            field_names(model, &r.source_fields),
            target.name.clone(),
            field_names(target, &r.target_fields),
        )
    };
    // The same ends by the names that they have now.
    let now = |(source, target, fields): (Vec<String>, String, Vec<String>)| {
        let named = |model: &Model, names: Vec<String>| {
            let name = |name: String| {
                model
                    .field_once_named(&name)
                    .map_or(name, |id| model.field_at(id).name.clone())
            };
            names.into_iter().map(name).collect::<Vec<_>>()
        };
        match new_schema.model_once_named(&target) {
            Some(id) => {
                let target = new_schema.model(id);
                (named(new, source), target.name.clone(), named(target, fields))
            }
            None => (source, target, fields),
        }
    };
    for relation in &old.relations {
        let place = format!("{}.{}", old.name, relation.name);
        let Some(other) = new.relation(&relation.name) else {
            out.breaking(format!("{place}: relation removed"));
            continue;
        };
        let many = |r: &Relation| r.kind == RelationKind::HasMany;
        let (a, b) = (now(ends(old_schema, old, relation)), ends(new_schema, new, other));
        if a.1 != b.1 || many(relation) != many(other) {
            out.breaking(format!(
                "{place}: relation leads elsewhere ({} instead of {})",
                b.1, a.1
            ));
        } else if a != b {
            out.breaking(format!("{place}: relation goes over other fields"));
        } else if relation.required != other.required {
            let what = if other.required {
                "made required"
            } else {
                "made nullable, which older apps do not expect"
            };
            out.breaking(format!("{place}: relation {what}"));
        }
    }
    for relation in new.relations.iter().filter(|r| old.relation(&r.name).is_none()) {
        out.compatible(format!("{}.{}: relation added", new.name, relation.name));
    }
}

fn rules(out: &mut Out, place: &str, old: Option<&[AuthRule]>, new: Option<&[AuthRule]>) {
    if old == new {
        return;
    }
    let keeps = |rule: &AuthRule, rules: &[AuthRule]| {
        rules.iter().any(|other| {
            AuthRule {
                operations: rule.operations.clone(),
                ..other.clone()
            } == *rule
                && rule.operations.iter().all(|op| other.operations.contains(op))
        })
    };
    // Without rules everyone may; for a field, no rules means the model's, which may be wider or narrower.
    let narrower = match (old, new) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(old), Some(new)) => !old.iter().all(|rule| keeps(rule, new)),
    };
    let text = if narrower {
        "rules grant less than before"
    } else {
        "rules changed, and grant all that they did"
    };
    out.add(format!("{place}: {text}"), narrower);
}

fn enums(out: &mut Out, old: &BTreeMap<String, Vec<String>>, new: &BTreeMap<String, Vec<String>>) {
    for (name, values) in old {
        let Some(others) = new.get(name) else {
            out.breaking(format!("{name}: enum removed"));
            continue;
        };
        for value in values.iter().filter(|v| !others.contains(v)) {
            let place = format!("{name}.{value}");
            out.asks(format!("{place}: enum value removed"), &place);
        }
        for value in others.iter().filter(|v| !values.contains(v)) {
            out.compatible(format!("{name}.{value}: enum value added"));
        }
    }
    for name in new.keys().filter(|n| !old.contains_key(*n)) {
        out.compatible(format!("{name}: enum added"));
    }
}

fn embedded(out: &mut Out, old: &BTreeMap<String, Vec<EmbeddedField>>, new: &BTreeMap<String, Vec<EmbeddedField>>) {
    for (name, fields) in old {
        let Some(others) = new.get(name) else {
            out.breaking(format!("{name}: embedded type removed"));
            continue;
        };
        for field in fields {
            let place = format!("{name}.{}", field.name);
            match others.iter().find(|o| o.name == field.name) {
                Some(other) => types(out, &place, &field.ty, &other.ty, false, false),
                None => out.breaking(format!("{place}: field removed")),
            }
        }
        for field in others.iter().filter(|o| fields.iter().all(|f| f.name != o.name)) {
            let place = format!("{name}.{}", field.name);
            if field.ty.required {
                out.breaking(format!("{place}: required field added"));
            } else {
                out.compatible(format!("{place}: field added"));
            }
        }
    }
    for name in new.keys().filter(|n| !old.contains_key(*n)) {
        out.compatible(format!("{name}: embedded type added"));
    }
}

/// Operations that go while their model stays: renamed or switched off, or custom ones removed. Index queries are told
/// with their index.
fn roots(out: &mut Out, old: &Schema, new: &Schema) {
    let stays = |id: &ModelId| new.model_named(&old.model(*id).name).is_some();
    for (name, root) in &old.roots.query {
        let told = match root {
            QueryRoot::Get(id) | QueryRoot::List(id) | QueryRoot::Sync(id) => !stays(id),
            QueryRoot::Index(..) => true,
            QueryRoot::Changes | QueryRoot::Conflicts | QueryRoot::Custom => false,
        };
        if !told && !new.roots.query.contains_key(name) {
            out.breaking(format!("Query.{name}: removed"));
        }
    }
    for (name, root) in &old.roots.mutation {
        let told = matches!(root, MutationRoot::Model(id, _) if !stays(id));
        if !told && !new.roots.mutation.contains_key(name) {
            out.breaking(format!("Mutation.{name}: removed"));
        }
    }
    for (name, root) in &old.roots.subscription {
        let told = matches!(root, SubscriptionRoot::Model(id, _) if !stays(id));
        if !told && !new.roots.subscription.contains_key(name) {
            out.breaking(format!("Subscription.{name}: removed"));
        }
    }
}
