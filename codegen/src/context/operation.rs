//! The app's own operations: `.graphql` files against the generated API.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::ast::OperationType;
use apollo_compiler::executable::{Fragment as Defined, Operation as Executable, Selection as Selected, SelectionSet};
use apollo_compiler::{ExecutableDocument, Node};
use serde::Serialize;
use tombolo_core::schema::{MutationRoot, QueryRoot, SubscriptionRoot};

use super::selection::{Conditions, Layout, Selection, Used, declared};
use crate::documents::{self, Documents};
use crate::names::{self, Given};
use crate::types::{TypeRef, Types};
use crate::{Errors, Language};

/// One operation of a `.graphql` file.
#[derive(Debug, Serialize)]
pub(crate) struct Operation {
    /// As in its file: `FlightsOfDay`.
    pub(crate) name: String,
    /// As a function.
    pub(crate) ident: String,
    /// As the function that watches it, and as the constant that holds its document; unique among functions and constants.
    /// In Swift and Kotlin no parameter has the constant's name, which would hide it.
    pub(crate) watch_ident: String,
    pub(crate) document_ident: String,
    /// As a type, unique among all.
    pub(crate) type_name: String,
    pub(crate) file_name: String,
    /// `query`, `mutation` or `subscription`.
    pub(crate) kind: &'static str,
    /// The comment above it.
    pub(crate) doc: Option<String>,
    /// The file that it came from, as named to the generator.
    pub(crate) source: String,
    /// The operation with the fragments that it uses: what is sent.
    pub(crate) document: String,
    pub(crate) variables: Vec<Variable>,
    /// The type of its variables, and of its data, in the language.
    pub(crate) variables_type: String,
    pub(crate) data_type: String,
    pub(crate) selection: Selection,
    /// Every object that is declared with it: `selection` first, then those in it; fragments' own are not here.
    pub(crate) types: Vec<Selection>,
    /// Whether the local file answers it: no root field is the schema file's own (a resolver's) or the feed's. A query that is
    /// local can be watched.
    pub(crate) local: bool,
}

/// A variable of an operation.
#[derive(Debug, Serialize)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ident: String,
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
    /// Whether it must be given: non-null and without a default.
    pub(crate) required: bool,
    /// Its default in GraphQL's notation; null without one.
    pub(crate) default: Option<String>,
}

/// A named fragment, whose object operations share.
#[derive(Debug, Serialize)]
pub(crate) struct Fragment {
    pub(crate) name: String,
    pub(crate) file_name: String,
    pub(crate) doc: Option<String>,
    pub(crate) source: String,
    /// The fragment's own text.
    pub(crate) document: String,
    pub(crate) selection: Selection,
    /// As an operation's.
    pub(crate) types: Vec<Selection>,
}

/// Reads, checks and lays out the documents: operations and fragments by name, and what they use of the API.
pub(crate) fn operations(
    types: &mut Types<'_>,
    files: &[(String, String)],
) -> Result<(Vec<Operation>, Vec<Fragment>, Used), Errors> {
    let documents = documents::read(types.schema, files)?;
    let document = &documents.executable;
    let mut used = Used::default();
    let mut shared: BTreeMap<String, Selection> = BTreeMap::new();
    let mut fragments = Vec::new();
    for name in inner_first(document) {
        let Some(fragment) = document.fragments.get(name.as_str()) else {
            continue;
        };
        let type_name = types.give(&name);
        let mut layout = Layout {
            types,
            document,
            shared: &shared,
        };
        let selection = layout.object(
            fragment.type_condition(),
            &[(&fragment.selection_set, Conditions::new())],
            type_name,
        );
        mention(&selection, &mut used);
        shared.insert(name.clone(), selection.clone());
        fragments.push(Fragment {
            file_name: names::file_name(types.language, &selection.type_name),
            doc: documents.doc(fragment.location()),
            source: documents.source(fragment.location()),
            document: fragment.serialize().to_string().trim_end().to_owned(),
            types: declared(&selection),
            selection,
            name,
        });
    }
    fragments.sort_by(|a, b| a.name.cmp(&b.name));
    let mut out = Vec::new();
    let mut named: Vec<&Node<Executable>> = document.operations.named.values().collect();
    named.sort_by(|a, b| a.name.cmp(&b.name));
    check_names(types, &documents, &named)?;
    let names: Vec<String> = named
        .iter()
        .filter_map(|it| Some(it.name.as_ref()?.to_string()))
        .collect();
    let functions = functions(types.language, &names);
    for (operation, functions) in named.into_iter().zip(functions) {
        out.push(one(types, &documents, &shared, operation, functions, &mut used));
    }
    Ok((out, fragments, used))
}

fn one(
    types: &mut Types<'_>,
    documents: &Documents,
    shared: &BTreeMap<String, Selection>,
    operation: &Node<Executable>,
    functions: Functions<'_>,
    used: &mut Used,
) -> Operation {
    let document = &documents.executable;
    let name = functions.name;
    let type_name = types.give(name);
    let (data_type, variables_type) = (
        types.give(&format!("{name}Data")),
        types.give(&format!("{name}Variables")),
    );
    let mut layout = Layout {
        types,
        document,
        shared,
    };
    let selection = layout.object(
        operation.object_type(),
        &[(&operation.selection_set, Conditions::new())],
        data_type.clone(),
    );
    mention(&selection, used);
    let mut given = Given::default();
    let variables = operation.variables.iter().map(|variable| {
        used.names.insert(variable.ty.inner_named_type().to_string());
        Variable {
            name: variable.name.to_string(),
            ident: given.give(names::local(types.language, &variable.name)),
            ty: types.of(&variable.ty, None),
            required: variable.ty.is_non_null() && variable.default_value.is_none(),
            default: variable.default_value.as_ref().map(ToString::to_string),
        }
    });
    Operation {
        ident: functions.ident,
        watch_ident: functions.watch,
        document_ident: functions.document,
        file_name: names::file_name(types.language, &type_name),
        type_name,
        kind: match operation.operation_type {
            OperationType::Query => "query",
            OperationType::Mutation => "mutation",
            OperationType::Subscription => "subscription",
        },
        doc: documents.doc(operation.location()),
        source: documents.source(operation.location()),
        document: whole_text(document, operation),
        variables: variables.collect(),
        variables_type,
        data_type,
        types: declared(&selection),
        selection,
        local: is_local(types, document, operation),
        name: name.to_owned(),
    }
}

/// What is called after an operation.
struct Functions<'a> {
    name: &'a str,
    ident: String,
    watch: String,
    document: String,
}

/// The names of all operations' functions and constants: those after the operations themselves first, so that `WatchFlights`
/// has its own name and the one that watches `Flights` gets an underscore.
fn functions(language: Language, names: &[String]) -> Vec<Functions<'_>> {
    let mut given = Given::default();
    let idents: Vec<String> = names
        .iter()
        .map(|name| given.give(names::function(language, name)))
        .collect();
    let rest = names.iter().zip(idents).map(|(name, ident)| {
        let bare = names::bare(&ident);
        let watch = match language {
            Language::Rust | Language::Python => format!("watch_{}", bare.trim_start_matches('_')),
            Language::Swift | Language::Kotlin | Language::TypeScript => format!("watch{}", names::upper_first(bare)),
        };
        let document = match language {
            Language::Rust => format!("{}_DOCUMENT", names::constant(language, name)),
            Language::Python => format!("_{}_DOCUMENT", names::constant(language, name)),
            Language::TypeScript => format!("{bare}Document"),
            // Members and parameters there begin with a letter, or with an underscore and a digit.
            Language::Swift | Language::Kotlin => format!("_{bare}Document"),
        };
        Functions {
            name,
            watch: given.give(watch),
            document: given.give(document),
            ident,
        }
    });
    rest.collect()
}

/// Refuses operations whose functions would be called the same.
fn check_names(types: &Types<'_>, documents: &Documents, named: &[&Node<Executable>]) -> Result<(), Errors> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for operation in named {
        let Some(name) = &operation.name else { continue };
        let function = names::function(types.language, name).to_lowercase();
        if let Some(other) = seen.insert(function, name.to_string()) {
            let problem = format!("the operations `{other}` and `{name}` would be one function");
            return Err(documents.message(name.location(), problem, "rename one of them").into());
        }
    }
    Ok(())
}

/// Enums that an answer holds.
fn mention(selection: &Selection, used: &mut Used) {
    for field in &selection.fields {
        used.names.insert(field.ty.name.clone());
        if let Some(inner) = &field.selection {
            mention(inner, used);
        }
    }
}

/// The fragments, each behind those that it spreads. Validation has refused circles.
fn inner_first(document: &ExecutableDocument) -> Vec<String> {
    fn visit(document: &ExecutableDocument, name: &str, out: &mut Vec<String>) {
        let Some(fragment) = document.fragments.get(name) else {
            return;
        };
        if out.iter().any(|it| it == name) {
            return;
        }
        for inner in spread(&fragment.selection_set) {
            visit(document, &inner, out);
        }
        out.push(name.to_owned());
    }
    let mut out = Vec::new();
    for name in document.fragments.keys() {
        visit(document, name, &mut out);
    }
    out
}

/// The fragments that are spread in a set, not through others.
fn spread(set: &SelectionSet) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for selected in &set.selections {
        match selected {
            Selected::Field(field) => out.append(&mut spread(&field.selection_set)),
            Selected::InlineFragment(inline) => out.append(&mut spread(&inline.selection_set)),
            Selected::FragmentSpread(it) => {
                out.insert(it.fragment_name.to_string());
            }
        }
    }
    out
}

/// The operation's text, and that of each fragment that it reaches, by name.
fn whole_text(document: &ExecutableDocument, operation: &Node<Executable>) -> String {
    let mut reached: BTreeMap<String, &Node<Defined>> = BTreeMap::new();
    let mut due: Vec<String> = spread(&operation.selection_set).into_iter().collect();
    while let Some(name) = due.pop() {
        if let Some(fragment) = document.fragments.get(name.as_str())
            && reached.insert(name, fragment).is_none()
        {
            due.extend(spread(&fragment.selection_set));
        }
    }
    let mut text = operation.serialize().to_string().trim_end().to_owned();
    for fragment in reached.values() {
        text.push_str("\n\n");
        text.push_str(fragment.serialize().to_string().trim_end());
    }
    text
}

fn is_local(types: &Types<'_>, document: &ExecutableDocument, operation: &Executable) -> bool {
    let roots = &types.schema.roots;
    operation.root_fields(document).all(|field| {
        let name = field.name.as_str();
        match operation.operation_type {
            OperationType::Query => match roots.query.get(name) {
                Some(QueryRoot::Get(_) | QueryRoot::List(_) | QueryRoot::Index(..)) => true,
                Some(QueryRoot::Sync(_) | QueryRoot::Changes | QueryRoot::Conflicts | QueryRoot::Custom) => false,
                // `__typename`
                None => name == "__typename",
            },
            OperationType::Mutation => {
                matches!(roots.mutation.get(name), Some(MutationRoot::Model(..))) || name == "__typename"
            }
            OperationType::Subscription => matches!(roots.subscription.get(name), Some(SubscriptionRoot::Model(..))),
        }
    })
}
