//! Inputs of the API: of mutations, filters, conditions, operators, and those that the schema file declares.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::schema::{ExtendedType, InputObjectType};
use serde::Serialize;
use tombolo_core::schema::{MergeRule, Model};

use crate::Language;
use crate::context::selection::Used;
use crate::names::{self, Given};
use crate::types::{TypeRef, Types};

/// An input of the API.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) type_name: String,
    pub(crate) file_name: String,
    pub(crate) doc: Option<String>,
    /// `create`, `update`, `delete`, `operations` (on counters and sets), `filter`, `condition`, `subscription_filter`, `sort`:
    /// of `model`. `operator` (`ModelIntInput`), `key` (conditions on sort keys), `operation` (`TomboloIntCounterInput`) and
    /// `feed`: shared. `custom`: declared in the schema file.
    pub(crate) role: &'static str,
    /// The model that it belongs to.
    pub(crate) model: Option<String>,
    pub(crate) fields: Vec<InputField>,
    /// Whether an operation's variables mention it, directly or through others.
    pub(crate) used: bool,
}

/// A field of an input: absent, null if `type.nullable`, or a value.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InputField {
    pub(crate) name: String,
    pub(crate) ident: String,
    pub(crate) local: String,
    pub(crate) doc: Option<String>,
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
    /// Whether it must be given: non-null and without a default.
    pub(crate) required: bool,
    /// Whether null may be given: what the API's type allows, but for fields of a model that are never null.
    pub(crate) clearable: bool,
    /// Whether its type holds the input again, and not through a list (Rust's `native` has the `Box`).
    pub(crate) recursive: bool,
    /// `counter` or `set`, of a field of a model that takes an operation; null for others.
    pub(crate) operation: Option<&'static str>,
}

/// The input called `name`.
pub(crate) fn input(types: &Types<'_>, name: &str, used: &BTreeSet<String>) -> Option<Input> {
    let found = types.schema.api.get_input_object(name)?;
    let (role, model) = role(types, name);
    let of_model = model.and_then(|model| types.schema.models.iter().find(|it| it.name == model));
    let type_name = types.native(name);
    Some(Input {
        name: name.to_owned(),
        file_name: names::file_name(types.language, &type_name),
        type_name,
        doc: types.docs.of(name),
        role,
        model: model.map(str::to_owned),
        fields: fields(types, found, of_model),
        used: used.contains(name),
    })
}

fn fields(types: &Types<'_>, input: &InputObjectType, model: Option<&Model>) -> Vec<InputField> {
    let (mut given, mut given_local) = (Given::default(), Given::default());
    let fields = input.fields.iter().map(|(name, field)| {
        let of_model = model.and_then(|model| Some((model, model.field(name)?)));
        let doc = match of_model {
            Some((model, _)) => types.docs.of(&format!("{}.{name}", model.name)),
            None => types.docs.of(&format!("{}.{name}", input.name)),
        };
        let recursive = !field.ty.is_list() && reaches(types, field.ty.inner_named_type(), &input.name);
        let boxed = recursive && types.language == Language::Rust;
        let element = boxed.then(|| format!("Box<{}>", types.native(field.ty.inner_named_type())));
        let never_null = of_model.is_some_and(|(model, id)| model.field_at(id).ty.required);
        InputField {
            name: name.to_string(),
            ident: given.give(names::member(types.language, name)),
            local: given_local.give(names::local(types.language, name)),
            doc,
            ty: types.of(&field.ty, element.as_deref()),
            clearable: !field.ty.is_non_null() && !never_null,
            recursive,
            required: field.ty.is_non_null() && field.default_value.is_none(),
            operation: of_model.and_then(|(model, id)| operation(model.field_at(id).merge)),
        }
    });
    fields.collect()
}

/// The operation that a field with this rule takes.
pub(crate) fn operation(rule: Option<MergeRule>) -> Option<&'static str> {
    match rule? {
        MergeRule::Counter => Some("counter"),
        MergeRule::Set => Some("set"),
        MergeRule::LastWriter | MergeRule::Max | MergeRule::Min | MergeRule::Reject | MergeRule::Custom => None,
    }
}

/// Every input of the API, in its order; `used` as [`reached`] gives it.
pub(crate) fn inputs(types: &Types<'_>, used: &BTreeSet<String>) -> Vec<Input> {
    let all = types.schema.api.types.iter();
    let all =
        all.filter(|(name, ty)| matches!(ty, ExtendedType::InputObject(_)) && types.embedded_of_input(name).is_none());
    all.filter_map(|(name, _)| input(types, name, used)).collect()
}

/// The types that `used` mentions, and those that their fields mention.
pub(crate) fn reached(types: &Types<'_>, used: &Used) -> BTreeSet<String> {
    let mut due: Vec<String> = used.names.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = due.pop() {
        let input = types.schema.api.get_input_object(&name);
        if seen.insert(name) {
            let held = input.into_iter().flat_map(|input| input.fields.values());
            due.extend(held.map(|field| field.ty.inner_named_type().to_string()));
        }
    }
    seen
}

/// Whether a value of `from` may hold one of `to`, without a list between them.
fn reaches(types: &Types<'_>, from: &str, to: &str) -> bool {
    let mut due = vec![from.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(name) = due.pop() {
        if name == to {
            return true;
        }
        if let Some(input) = types.schema.api.get_input_object(&name)
            && seen.insert(name)
        {
            let plain = input.fields.values().filter(|field| !field.ty.is_list());
            due.extend(plain.map(|field| field.ty.inner_named_type().to_string()));
        }
    }
    false
}

/// What an input is for, and the model that it belongs to.
fn role<'a>(types: &Types<'a>, name: &str) -> (&'static str, Option<&'a str>) {
    if types.docs.declares_input(name) {
        return ("custom", None);
    }
    if let Some((role, model)) = types.input_roles.get(name) {
        return (role, Some(model));
    }
    match name {
        _ if name.starts_with("Tombolo") && (name.ends_with("CounterInput") || name.ends_with("SetInput")) => {
            ("operation", None)
        }
        _ if name.starts_with("Tombolo") => ("feed", None),
        _ if name.ends_with("KeyInput") || name.ends_with("KeyConditionInput") => ("key", None),
        _ => ("operator", None),
    }
}

/// The names that the API makes up for the inputs of models.
pub(crate) fn roles(models: &[Model]) -> BTreeMap<String, (&'static str, &str)> {
    let mut known = BTreeMap::new();
    for model in models {
        let upper = model.api_name();
        for (input, role) in [
            (format!("Create{upper}Input"), "create"),
            (format!("Update{upper}Input"), "update"),
            (format!("Delete{upper}Input"), "delete"),
            (format!("{upper}OperationsInput"), "operations"),
            (format!("Model{upper}FilterInput"), "filter"),
            (format!("Model{}FilterInput", model.name), "filter"),
            (format!("Model{upper}ConditionInput"), "condition"),
            (format!("ModelSubscription{upper}FilterInput"), "subscription_filter"),
            (format!("Model{upper}SortInput"), "sort"),
        ] {
            known.insert(input, (role, model.name.as_str()));
        }
    }
    known
}
