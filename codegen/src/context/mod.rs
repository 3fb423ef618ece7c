//! What templates see: plain data, written once for all languages and named for one.
//!
//! Every struct here is a page of CONTEXT.md: a field is public to those who write templates, and renaming one breaks them.

mod inputs;
mod model;
mod operation;
mod root;
mod selection;
mod whole;

use std::collections::BTreeSet;

use serde::Serialize;
use tombolo_core::id::ModelId;
use tombolo_core::limits::LIST_LIMIT_MAX_LOCAL;
use tombolo_core::schema::{FieldKind, Schema};

use crate::docs::Docs;
use crate::names::{self, Given};
use crate::types::{TypeRef, Types};
use crate::{Errors, Language};

pub(crate) use inputs::roles;
use inputs::{Input, inputs, reached};
use model::{Model, all_fields, model};
use operation::{Fragment, Operation, operations};

/// How deep the selections that are generated follow embedded types that contain themselves, which have no end. The SDK reads
/// records whole all the same; where only a document can be sent (TypeScript) an operation of one's own reads deeper.
pub const EMBEDDED_DEPTH_MAX: usize = 8;

/// Everything: every template gets this, and one of `model`, `enum`, `embedded_type`, `operation`, `fragment` besides if it
/// is written once for each of them.
#[derive(Debug, Serialize)]
pub(crate) struct Context {
    /// `swift`, `kotlin`, `rust`, `typescript` or `python`.
    pub(crate) language: &'static str,
    /// `--package`, or the language's default.
    pub(crate) package: String,
    pub(crate) schema: SchemaText,
    /// The longest list that a replica gives at once. Without a `limit` it gives 100 records, as AppSync does: generated queries
    /// ask for all.
    pub(crate) list_limit_max: usize,
    pub(crate) models: Vec<Model>,
    pub(crate) enums: Vec<Enum>,
    /// Types without `@model` that records embed.
    pub(crate) embedded: Vec<Embedded>,
    /// Every input of the API, but for those of embedded types.
    pub(crate) inputs: Vec<Input>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) fragments: Vec<Fragment>,
}

/// The schema as a whole.
#[derive(Debug, Serialize)]
pub(crate) struct SchemaText {
    /// The schema file, word for word: what a client is opened with.
    pub(crate) sdl: String,
    /// SHA-256 (hex) of what is stored and sent.
    pub(crate) hash: String,
}

/// An enum of the API.
#[derive(Debug, Serialize)]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) file_name: String,
    pub(crate) doc: Option<String>,
    pub(crate) values: Vec<EnumValue>,
    /// Whether the API made it (`ModelSortDirection`, `ModelFlightSortField`) rather than the schema file.
    pub(crate) builtin: bool,
    /// Whether a model, an embedded type, an operation or an input that the schema file declares uses it.
    pub(crate) used: bool,
}

/// One value of an enum.
#[derive(Debug, Serialize)]
pub(crate) struct EnumValue {
    pub(crate) name: String,
    /// Its case in the language, escaped. Never `unrecognized` in any spelling: that one is for what newer servers send.
    pub(crate) ident: String,
    pub(crate) doc: Option<String>,
    pub(crate) deprecated: Option<String>,
}

/// A type without `@model`.
#[derive(Debug, Serialize)]
pub(crate) struct Embedded {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) file_name: String,
    pub(crate) doc: Option<String>,
    pub(crate) fields: Vec<EmbeddedField>,
    /// Its input in the API: `LocationInput`.
    pub(crate) input: String,
}

/// A field of an embedded type.
#[derive(Debug, Serialize)]
pub(crate) struct EmbeddedField {
    pub(crate) name: String,
    pub(crate) ident: String,
    pub(crate) local: String,
    pub(crate) doc: Option<String>,
    pub(crate) deprecated: Option<String>,
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
    /// Whether its type holds the embedding type in turn, and not through a list: a plain value would have no end, so
    /// languages with values need a box (Rust's `native` has it).
    pub(crate) recursive: bool,
}

impl Context {
    pub(crate) fn build(
        schema: &Schema,
        documents: &[(String, String)],
        language: Language,
        package: &str,
    ) -> Result<Self, Errors> {
        let docs = Docs::read(&schema.source);
        let mut types = Types::new(language, schema, &docs);
        let fields = all_fields(&types);
        let models: Vec<Model> = (0..schema.models.len())
            .map(|at| model(&mut types, ModelId(at), &fields))
            .collect();
        let (operations, fragments, used) = operations(&mut types, documents)?;
        let used = reached(&types, &used);
        Ok(Self {
            language: language.name(),
            package: package.to_owned(),
            schema: SchemaText {
                sdl: schema.source.clone(),
                hash: schema.hash.clone(),
            },
            list_limit_max: LIST_LIMIT_MAX_LOCAL,
            enums: enums(&types, &used),
            embedded: schema.embedded.keys().map(|name| embedded(&types, name)).collect(),
            inputs: inputs(&types, &used),
            models,
            operations,
            fragments,
        })
    }
}

fn enums(types: &Types<'_>, used: &BTreeSet<String>) -> Vec<Enum> {
    let mut out = Vec::new();
    let of_declared = declared_inputs(types);
    for (name, ty) in &types.schema.api.types {
        let apollo_compiler::schema::ExtendedType::Enum(ty) = ty else {
            continue;
        };
        let builtin = !types.schema.enums.contains_key(name.as_str());
        if name.starts_with("__") {
            continue;
        }
        let mut given = Given::default();
        let values = ty.values.keys().map(|value| EnumValue {
            name: value.to_string(),
            ident: given.give(names::enum_case(types.language, value)),
            doc: types.docs.of(&format!("{name}.{value}")),
            deprecated: types.docs.deprecation(&format!("{name}.{value}")),
        });
        let stored = |kind: &FieldKind| matches!(kind, FieldKind::Enum(it) if it == name.as_str());
        let in_models = types.schema.models.iter().flat_map(|model| &model.fields);
        let in_embedded = types.schema.embedded.values().flatten();
        let used = used.contains(name.as_str())
            || of_declared.contains(name.as_str())
            || in_models.map(|field| &field.ty.kind).any(stored)
            || in_embedded.map(|field| &field.ty.kind).any(stored);
        let type_name = types.native(name);
        out.push(Enum {
            name: name.to_string(),
            file_name: names::file_name(types.language, &type_name),
            type_name,
            doc: types.docs.of(name),
            values: values.collect(),
            builtin,
            used,
        });
    }
    out
}

/// The types that inputs which the schema file declares mention: an app builds those without an operation too.
fn declared_inputs<'a>(types: &Types<'a>) -> BTreeSet<&'a str> {
    let inputs = types.schema.api.types.iter().filter_map(|(name, ty)| match ty {
        apollo_compiler::schema::ExtendedType::InputObject(input) if types.docs.declares_input(name) => Some(input),
        _ => None,
    });
    let fields = inputs.flat_map(|input| input.fields.values());
    fields.map(|field| field.ty.inner_named_type().as_str()).collect()
}

fn embedded(types: &Types<'_>, name: &str) -> Embedded {
    let mut given = Given::default();
    let mut given_local = Given::default();
    let api = types.schema.api.get_object(name);
    let fields = api
        .into_iter()
        .flat_map(|object| &object.fields)
        .map(|(field, definition)| {
            let whole = format!("{name}.{field}");
            let recursive = types.schema.embedded_fields(name).iter().any(|it| {
                it.name == field.as_str()
                    && it.ty.list.is_none()
                    && matches!(&it.ty.kind, FieldKind::Embedded(other) if reaches(types.schema, other, name))
            });
            let boxed = recursive && types.language == Language::Rust;
            let element = boxed.then(|| format!("Box<{}>", types.native(definition.ty.inner_named_type())));
            EmbeddedField {
                name: field.to_string(),
                ident: given.give(names::member(types.language, field)),
                local: given_local.give(names::local(types.language, field)),
                doc: types.docs.of(&whole),
                deprecated: types.docs.deprecation(&whole),
                ty: types.of(&definition.ty, element.as_deref()),
                recursive,
            }
        });
    let type_name = types.native(name);
    Embedded {
        name: name.to_owned(),
        file_name: names::file_name(types.language, &type_name),
        type_name,
        doc: types.docs.of(name),
        fields: fields.collect(),
        input: format!("{}Input", names::upper_first(name)),
    }
}

/// Whether a value of `from` may hold one of `to`, without a list between them.
fn reaches(schema: &Schema, from: &str, to: &str) -> bool {
    let mut due = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(name) = due.pop() {
        if name == to {
            return true;
        }
        if !seen.insert(name) {
            continue;
        }
        for field in schema.embedded_fields(name) {
            if let (FieldKind::Embedded(other), None) = (&field.ty.kind, field.ty.list) {
                due.push(other);
            }
        }
    }
    false
}
