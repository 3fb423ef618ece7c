//! The GraphQL documents of whole records: a field with the arguments that it has, and every own field of the model.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tombolo_core::id::ModelId;
use tombolo_core::schema::{FieldKind, Model, MutationKind, MutationRoot, QueryRoot, Schema};

use crate::Error;
use crate::mutation::wrong_kind;

/// What a record is called in the answers of these documents; data is `{"record":…}`, or `{"page":…}` of a list.
pub(super) const RECORD: &str = "record";
pub(super) const PAGE: &str = "page";

/// The documents of the models that were asked for so far.
#[derive(Default)]
pub(crate) struct Documents(Mutex<BTreeMap<usize, Arc<Texts>>>);

/// The documents of one model; `None` for an operation that the schema has taken out of the API.
pub(super) struct Texts {
    pub(super) get: Option<String>,
    pub(super) list: Option<String>,
    /// The list takes `sort`: its key has no field that is called so.
    pub(super) sorts: bool,
    pub(super) create: Option<String>,
    pub(super) update: Option<String>,
    pub(super) delete: Option<String>,
}

impl Documents {
    pub(super) fn of(&self, schema: &Schema, id: ModelId) -> Arc<Texts> {
        // Nothing in here can be left half done by a panic.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(id.0).or_insert_with(|| Arc::new(Texts::of(schema, id))))
    }
}

impl Texts {
    fn of(schema: &Schema, id: ModelId) -> Self {
        let model = schema.model(id);
        let selection = selection(schema, model);
        let record = |kind, name: &str, wanted: &[&str]| Some(text(schema, kind, name, RECORD, wanted, &selection)?.0);
        let query = |wanted: QueryRoot| {
            let found = schema.roots.query.iter().find(|(_, root)| **root == wanted);
            found.map(|(name, _)| name.as_str())
        };
        let mutation = |kind: MutationKind| {
            let wanted = MutationRoot::Model(id, kind);
            let (name, _) = schema.roots.mutation.iter().find(|(_, root)| **root == wanted)?;
            record("mutation", name, &["input", "condition"])
        };
        let keys: Vec<&str> = model.key.iter().map(|f| model.field_at(*f).name.as_str()).collect();
        let list = query(QueryRoot::List(id)).and_then(|name| {
            let items = format!("{{ items {selection} nextToken }}");
            let wanted = ["filter", "limit", "nextToken", "sort"];
            text(schema, "query", name, PAGE, &wanted, &items)
        });
        Self {
            get: query(QueryRoot::Get(id)).and_then(|name| record("query", name, &keys)),
            sorts: list.as_ref().is_some_and(|(_, took)| took.contains(&"sort")),
            list: list.map(|(text, _)| text),
            create: mutation(MutationKind::Create),
            update: mutation(MutationKind::Update),
            delete: mutation(MutationKind::Delete),
        }
    }
}

/// What an operation that the API does not have is refused with.
pub(super) fn absent<'t>(text: Option<&'t String>, model: &Model, what: &str) -> Result<&'t str, Error> {
    text.map(String::as_str).ok_or_else(|| {
        wrong_kind(&format!(
            "the API has no {what} of {}: its schema takes it out (`@model(queries:, mutations:)`)",
            model.name
        ))
    })
}

/// A document of one root field, in which each argument is a variable of its name; also which of `wanted` it has.
fn text<'w>(
    schema: &Schema,
    kind: &str,
    name: &str,
    alias: &str,
    wanted: &[&'w str],
    selection: &str,
) -> Option<(String, Vec<&'w str>)> {
    let parent = if kind == "query" { "Query" } else { "Mutation" };
    let field = schema.api.get_object(parent)?.fields.get(name)?;
    let (mut variables, mut arguments, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for argument in &field.arguments {
        let (name, ty) = (argument.name.as_str(), argument.ty.to_string());
        let Some(known) = wanted.iter().find(|w| **w == name) else {
            continue;
        };
        // A key field of that name is another argument.
        if name == "sort" && wanted.contains(&"filter") && !ty.ends_with("SortInput!]") {
            continue;
        }
        variables.push(format!("${name}: {ty}"));
        arguments.push(format!("{name}: ${name}"));
        took.push(*known);
    }
    let text = format!(
        "{kind}({}) {{ {alias}: {name}({}) {selection} }}",
        variables.join(", "),
        arguments.join(", ")
    );
    Some((text, took))
}

/// Every own field of the model and what the server knows of a record. An embedded value is whole in the answer
/// ([`tombolo_core::query::Bound::show_whole`]): what is selected of it only has to be something.
fn selection(schema: &Schema, model: &Model) -> String {
    let api = schema.api.get_object(&model.name);
    let shown = |name: &str| api.is_some_and(|api| api.fields.contains_key(name));
    let mut out = String::from("{");
    for field in model.fields.iter().filter(|field| shown(&field.name)) {
        let inner = match &field.ty.kind {
            FieldKind::Embedded(_) => " { __typename }",
            FieldKind::Scalar(_) | FieldKind::Enum(_) => "",
        };
        let _ = write!(out, " {}{inner}", field.name);
    }
    out.push_str(" _version _deleted _lastChangedAt }");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_called_sort_leaves_no_order() {
        let sdl = "type A @model { sort: ID! @primaryKey v: Int }";
        let schema = Schema::parse(sdl, "s.graphql").unwrap();
        let texts = Texts::of(&schema, ModelId(0));
        assert!(!texts.sorts && !texts.list.unwrap().contains("$sort"));
        assert!(texts.get.unwrap().contains("$sort: ID!"));
    }
}
