//! Descriptions and deprecations of the schema file. The checked model keeps neither, so the text is read once more.

use std::collections::BTreeMap;

use apollo_compiler::Node;
use apollo_compiler::ast::{Definition, DirectiveList, Document, EnumValueDefinition, FieldDefinition};

/// Descriptions by `Type` and `Type.member`, reasons of `@deprecated` by `Type.member`, and the inputs that the file declares.
#[derive(Debug, Default)]
pub(crate) struct Docs {
    texts: BTreeMap<String, String>,
    deprecated: BTreeMap<String, String>,
    inputs: Vec<String>,
}

impl Docs {
    pub(crate) fn read(source: &str) -> Self {
        let document = match Document::parse(source, "schema.graphql") {
            Ok(document) => document,
            // The schema was read before this; what has no description is still generated.
            Err(partial) => partial.partial,
        };
        let mut docs = Self::default();
        for definition in &document.definitions {
            match definition {
                Definition::ObjectTypeDefinition(it) => {
                    docs.text(&it.name, it.description.as_ref());
                    docs.fields(&it.name, &it.fields);
                }
                Definition::ObjectTypeExtension(it) => docs.fields(&it.name, &it.fields),
                Definition::InterfaceTypeDefinition(it) => {
                    docs.text(&it.name, it.description.as_ref());
                    docs.fields(&it.name, &it.fields);
                }
                Definition::EnumTypeDefinition(it) => {
                    docs.text(&it.name, it.description.as_ref());
                    docs.values(&it.name, &it.values);
                }
                Definition::EnumTypeExtension(it) => docs.values(&it.name, &it.values),
                Definition::InputObjectTypeDefinition(it) => {
                    docs.inputs.push(it.name.to_string());
                    docs.text(&it.name, it.description.as_ref());
                    for field in &it.fields {
                        docs.member(&it.name, &field.name, field.description.as_ref(), &field.directives);
                    }
                }
                _ => {}
            }
        }
        docs
    }

    /// The description of `Type` or `Type.member`.
    pub(crate) fn of(&self, name: &str) -> Option<String> {
        self.texts.get(name).cloned()
    }

    /// The reason for which `Type.member` is deprecated.
    pub(crate) fn deprecation(&self, name: &str) -> Option<String> {
        self.deprecated.get(name).cloned()
    }

    /// Whether the file declares the input itself.
    pub(crate) fn declares_input(&self, name: &str) -> bool {
        self.inputs.iter().any(|input| input == name)
    }

    fn text(&mut self, name: &str, description: Option<&Node<str>>) {
        if let Some(text) = description.map(|text| text.trim()).filter(|text| !text.is_empty()) {
            self.texts.insert(name.to_owned(), text.to_owned());
        }
    }

    fn member(&mut self, of: &str, name: &str, description: Option<&Node<str>>, directives: &DirectiveList) {
        let whole = format!("{of}.{name}");
        self.text(&whole, description);
        if let Some(directive) = directives.get("deprecated") {
            let reason = directive.specified_argument_by_name("reason");
            let reason = reason.and_then(|value| value.as_str()).unwrap_or("no longer supported");
            self.deprecated.insert(whole, reason.to_owned());
        }
    }

    fn fields(&mut self, of: &str, fields: &[Node<FieldDefinition>]) {
        for field in fields {
            self.member(of, &field.name, field.description.as_ref(), &field.directives);
        }
    }

    fn values(&mut self, of: &str, values: &[Node<EnumValueDefinition>]) {
        for value in values {
            self.member(of, &value.value, value.description.as_ref(), &value.directives);
        }
    }
}
