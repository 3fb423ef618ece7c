//! Types: GraphQL's on one side, the language's text on the other.

use std::collections::BTreeMap;

use apollo_compiler::ast::Type;
use apollo_compiler::schema::ExtendedType;
use serde::Serialize;
use tombolo_core::schema::{Scalar, Schema};

use crate::Language;
use crate::context::roles;
use crate::docs::Docs;
use crate::names::{self, Given};

/// A type in the API, and what it is in the language.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TypeRef {
    /// As in SDL: `[String!]!`.
    pub(crate) graphql: String,
    /// The innermost type's name in the API: `String`.
    pub(crate) name: String,
    /// What the innermost type is: `scalar`, `enum`, `embedded`, `model`, `input`, `object`, `interface`, `union`.
    pub(crate) kind: &'static str,
    /// Whether null may stand here.
    pub(crate) nullable: bool,
    /// Whether it is a list.
    pub(crate) list: bool,
    /// The type of a list's items.
    pub(crate) item: Option<Box<TypeRef>>,
    /// The whole type in the language: `List<String>?`.
    pub(crate) native: String,
    /// The same where null may not stand: `List<String>`.
    pub(crate) native_required: String,
    /// The innermost type in the language: `String`.
    pub(crate) element: String,
}

/// The names of the schema's types in a language, and what is needed to tell what a type is.
pub(crate) struct Types<'a> {
    pub(crate) language: Language,
    pub(crate) schema: &'a Schema,
    pub(crate) docs: &'a Docs,
    /// The inputs that the API makes for models: what for, and for which.
    pub(crate) input_roles: BTreeMap<String, (&'static str, &'a str)>,
    /// Names of types that are taken.
    pub(crate) given: Given,
    /// API name → name in the language, of models, enums, embedded types and inputs.
    names: BTreeMap<String, String>,
    /// Input of an embedded type → the type.
    embedded_inputs: BTreeMap<String, String>,
}

impl<'a> Types<'a> {
    pub(crate) fn new(language: Language, schema: &'a Schema, docs: &'a Docs) -> Self {
        let mut types = Self {
            language,
            schema,
            docs,
            input_roles: roles(&schema.models),
            given: Given::types(),
            names: BTreeMap::new(),
            embedded_inputs: BTreeMap::new(),
        };
        let models = schema.models.iter().map(|model| &model.name);
        for name in models.chain(schema.enums.keys()).chain(schema.embedded.keys()) {
            types.name_type(name);
        }
        for name in schema.embedded.keys() {
            let input = format!("{}Input", names::upper_first(name));
            if !docs.declares_input(&input) {
                types.embedded_inputs.insert(input, name.clone());
            }
        }
        for (name, ty) in &schema.api.types {
            let wanted = matches!(ty, ExtendedType::InputObject(_) | ExtendedType::Enum(_));
            if wanted && !ty.is_built_in() && !types.embedded_inputs.contains_key(name.as_str()) {
                types.name_type(name);
            }
        }
        types
    }

    fn name_type(&mut self, name: &str) {
        if !self.names.contains_key(name) {
            let native = self.given.give(names::type_name(self.language, name));
            self.names.insert(name.to_owned(), native);
        }
    }

    /// A name for a type that only the language has.
    pub(crate) fn give(&mut self, name: &str) -> String {
        self.given.give(names::type_name(self.language, name))
    }

    /// The name in the language of a type of the API. An embedded type's input is the embedded type.
    pub(crate) fn native(&self, name: &str) -> String {
        let name = self.embedded_inputs.get(name).map_or(name, String::as_str);
        if let Some(scalar) = Scalar::named(name) {
            return scalar_native(self.language, scalar).to_owned();
        }
        match self.names.get(name) {
            Some(native) => native.clone(),
            None if self.schema.api.get_scalar(name).is_some() => any_native(self.language).to_owned(),
            None => names::type_name(self.language, name),
        }
    }

    /// The embedded type whose input this is.
    pub(crate) fn embedded_of_input(&self, name: &str) -> Option<&str> {
        self.embedded_inputs.get(name).map(String::as_str)
    }

    pub(crate) fn kind(&self, name: &str) -> &'static str {
        if self.schema.model_named(name).is_some() {
            return "model";
        }
        if self.schema.embedded.contains_key(name) || self.embedded_inputs.contains_key(name) {
            return "embedded";
        }
        match self.schema.api.types.get(name) {
            Some(ExtendedType::Enum(_)) => "enum",
            Some(ExtendedType::InputObject(_)) => "input",
            Some(ExtendedType::Object(_)) => "object",
            Some(ExtendedType::Interface(_)) => "interface",
            Some(ExtendedType::Union(_)) => "union",
            Some(ExtendedType::Scalar(_)) | None => "scalar",
        }
    }

    /// What `ty` is, with `element` in the language in place of its innermost type's own name.
    pub(crate) fn of(&self, ty: &Type, element: Option<&str>) -> TypeRef {
        let name = ty.inner_named_type().as_str();
        let element = element.map_or_else(|| self.native(name), str::to_owned);
        self.build(ty, name, &element)
    }

    fn build(&self, ty: &Type, name: &str, element: &str) -> TypeRef {
        let nullable = !ty.is_non_null();
        let item = match ty {
            Type::Named(_) | Type::NonNullNamed(_) => None,
            Type::List(item) | Type::NonNullList(item) => Some(Box::new(self.build(item, name, element))),
        };
        let native_required = match &item {
            Some(item) => self.language.list(&item.native),
            None => element.to_owned(),
        };
        let native = if nullable {
            self.language.optional(&native_required)
        } else {
            native_required.clone()
        };
        TypeRef {
            graphql: ty.to_string(),
            name: name.to_owned(),
            kind: self.kind(name),
            nullable,
            list: item.is_some(),
            item,
            native,
            native_required,
            element: element.to_owned(),
        }
    }
}

/// A scalar in the language. Dates and times stay texts: AWSDateTime has more spellings of a moment (offsets, fractions) than
/// any language's type of it keeps, and what is sent back must be what came.
fn scalar_native(language: Language, scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Int => match language {
            Language::Swift | Language::Kotlin => "Int",
            Language::Rust => "i32",
            Language::TypeScript => "number",
            Language::Python => "int",
        },
        Scalar::AwsTimestamp => match language {
            Language::Swift => "Int64",
            Language::Kotlin => "Long",
            Language::Rust => "i64",
            Language::TypeScript => "number",
            Language::Python => "int",
        },
        Scalar::Float => match language {
            Language::Swift | Language::Kotlin => "Double",
            Language::Rust => "f64",
            Language::TypeScript => "number",
            Language::Python => "float",
        },
        Scalar::Boolean => match language {
            Language::Swift => "Bool",
            Language::Kotlin => "Boolean",
            Language::Rust => "bool",
            Language::TypeScript => "boolean",
            Language::Python => "bool",
        },
        Scalar::Id
        | Scalar::String
        | Scalar::AwsDate
        | Scalar::AwsTime
        | Scalar::AwsDateTime
        | Scalar::AwsEmail
        | Scalar::AwsJson
        | Scalar::AwsUrl
        | Scalar::AwsPhone
        | Scalar::AwsIpAddress => match language {
            Language::Swift | Language::Kotlin | Language::Rust => "String",
            Language::TypeScript => "string",
            Language::Python => "str",
        },
    }
}

/// A scalar that the schema file declares: any JSON.
fn any_native(language: Language) -> &'static str {
    match language {
        Language::Swift => "JSONValue",
        Language::Kotlin => "Any",
        Language::Rust => "serde_json::Value",
        Language::TypeScript => "unknown",
        Language::Python => "Any",
    }
}
