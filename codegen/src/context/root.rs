//! The root fields of the API that belong to a model, each with a document that calls it.

use apollo_compiler::ast::{FieldDefinition, OperationType};
use serde::Serialize;
use tombolo_core::schema::{Model, MutationKind, MutationRoot, QueryRoot, SubscriptionRoot};

use crate::names::{self, Given};
use crate::types::{TypeRef, Types};

/// The generated operations of a model; those that `@model` switches off are null, or not in the list.
#[derive(Debug, Serialize)]
pub(crate) struct Roots {
    pub(crate) get: Option<RootField>,
    pub(crate) list: Option<RootField>,
    pub(crate) sync: Option<RootField>,
    pub(crate) create: Option<RootField>,
    pub(crate) update: Option<RootField>,
    pub(crate) delete: Option<RootField>,
    /// The query fields of indexes.
    pub(crate) indexes: Vec<IndexQuery>,
    pub(crate) on_create: Vec<RootField>,
    pub(crate) on_update: Vec<RootField>,
    pub(crate) on_delete: Vec<RootField>,
}

/// One root field.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RootField {
    /// `getFlight`.
    pub(crate) name: String,
    /// As a function in the language: `get_flight`.
    pub(crate) ident: String,
    pub(crate) arguments: Vec<Argument>,
    /// A whole document that calls it with every argument as a variable of the same name, and selects all of the record's own
    /// fields: `query GetFlight($id: ID!) { getFlight(id: $id) { id … } }`. Variables that are left out are not sent.
    pub(crate) document: String,
    /// The name of the document's operation: `GetFlight`.
    pub(crate) operation_name: String,
    /// `record` or `connection` (`{ items { … } nextToken }`).
    pub(crate) returns: &'static str,
}

/// One argument of a root field.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) ident: String,
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
}

/// A query field that goes over an index.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IndexQuery {
    /// The index's name: `byCarrier`.
    pub(crate) index: String,
    /// Its fields by name: partition field, then sort key fields.
    pub(crate) fields: Vec<String>,
    /// The argument that carries the condition on the sort key; null without one.
    pub(crate) sort_key_argument: Option<String>,
    pub(crate) root: RootField,
}

pub(crate) fn roots(types: &Types<'_>, model: &Model, selection: &str) -> Roots {
    let schema = types.schema;
    let is_ours = |id: tombolo_core::id::ModelId| schema.model(id).name == model.name;
    let (mut get, mut list, mut sync, mut indexes) = (None, None, None, Vec::new());
    for (name, root) in &schema.roots.query {
        let field = |page| root_field(types, OperationType::Query, name, selection, page);
        match root {
            QueryRoot::Get(id) if is_ours(*id) => get = field(false),
            QueryRoot::List(id) if is_ours(*id) => list = field(true),
            QueryRoot::Sync(id) if is_ours(*id) => sync = field(true),
            QueryRoot::Index(id, at) if is_ours(*id) => {
                if let (Some(root), Some(index)) = (field(true), model.indexes.get(*at)) {
                    let fields = index.fields.iter().map(|id| model.field_at(*id).name.clone());
                    indexes.push((
                        *at,
                        IndexQuery {
                            index: index.name.clone(),
                            fields: fields.collect(),
                            sort_key_argument: model.sort_key_argument(index.fields.get(1..).unwrap_or_default()),
                            root,
                        },
                    ));
                }
            }
            _ => {}
        }
    }
    indexes.sort_by_key(|(at, _)| *at);
    let mutation = |wanted: MutationKind| {
        let found = schema
            .roots
            .mutation
            .iter()
            .find(|(_, root)| matches!(root, MutationRoot::Model(id, kind) if is_ours(*id) && *kind == wanted));
        found.and_then(|(name, _)| root_field(types, OperationType::Mutation, name, selection, false))
    };
    let subscriptions = |wanted: MutationKind| {
        let of = |root: &SubscriptionRoot| matches!(root, SubscriptionRoot::Model(id, kind) if is_ours(*id) && *kind == wanted);
        let found = schema.roots.subscription.iter().filter(|(_, root)| of(root));
        found
            .filter_map(|(name, _)| root_field(types, OperationType::Subscription, name, selection, false))
            .collect()
    };
    Roots {
        get,
        list,
        sync,
        create: mutation(MutationKind::Create),
        update: mutation(MutationKind::Update),
        delete: mutation(MutationKind::Delete),
        indexes: indexes.into_iter().map(|(_, index)| index).collect(),
        on_create: subscriptions(MutationKind::Create),
        on_update: subscriptions(MutationKind::Update),
        on_delete: subscriptions(MutationKind::Delete),
    }
}

fn root_field(
    types: &Types<'_>,
    kind: OperationType,
    name: &str,
    selection: &str,
    is_connection: bool,
) -> Option<RootField> {
    let root = types.schema.api.root_operation(kind)?;
    let field: &FieldDefinition = types.schema.api.type_field(root, name).ok()?;
    let mut given = Given::default();
    let arguments: Vec<Argument> = field
        .arguments
        .iter()
        .map(|argument| Argument {
            name: argument.name.to_string(),
            ident: given.give(names::local(types.language, &argument.name)),
            ty: types.of(&argument.ty, None),
        })
        .collect();
    let operation_name = names::upper_first(name);
    let joined = |one: &dyn Fn(&Argument) -> String| match arguments.as_slice() {
        [] => String::new(),
        some => format!("({})", some.iter().map(one).collect::<Vec<_>>().join(", ")),
    };
    let variables = joined(&|it| format!("${}: {}", it.name, it.ty.graphql));
    let passed = joined(&|it| format!("{}: ${}", it.name, it.name));
    let selected = if is_connection {
        format!("items {{ {selection} }} nextToken")
    } else {
        selection.to_owned()
    };
    Some(RootField {
        name: name.to_owned(),
        ident: names::local(types.language, name),
        document: format!("{kind} {operation_name}{variables} {{ {name}{passed} {{ {selected} }} }}"),
        operation_name,
        arguments,
        returns: if is_connection { "connection" } else { "record" },
    })
}
