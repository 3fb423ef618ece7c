//! From SDL text to its definitions: parsed within limits, extensions merged into what they extend, duplicates found.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::ast::{
    Definition, DirectiveList, Document, EnumTypeDefinition, FieldDefinition, InputObjectTypeDefinition,
    InterfaceTypeDefinition, ObjectTypeDefinition, OperationType, ScalarTypeDefinition, UnionTypeDefinition,
};
use apollo_compiler::parser::Parser;
use apollo_compiler::{Name, Node};

use crate::limits;

use super::model::{Scalar, SchemaErrors, SchemaMessage};
use super::report::Report;

/// What a schema file declares, with extensions merged in.
#[derive(Default)]
pub(super) struct Declared {
    pub(super) objects: Vec<ObjectTypeDefinition>,
    pub(super) enums: Vec<EnumTypeDefinition>,
    pub(super) inputs: Vec<InputObjectTypeDefinition>,
    pub(super) interfaces: Vec<InterfaceTypeDefinition>,
    pub(super) unions: Vec<UnionTypeDefinition>,
    pub(super) scalars: Vec<ScalarTypeDefinition>,
    /// Directives that the file itself defines.
    pub(super) directives: BTreeSet<String>,
}

/// What a type's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Scalar),
    CustomScalar,
    Enum,
    Model,
    Plain,
    Root,
    Interface,
    Union,
    Input,
}

/// The names of the root types.
pub(super) const ROOTS: [&str; 3] = ["Query", "Mutation", "Subscription"];

/// Amplify's place for global settings; not a type of the API.
pub(super) const AMPLIFY_INPUT: &str = "AMPLIFY";

impl Declared {
    /// What each name stands for.
    pub(super) fn kinds(&self) -> BTreeMap<String, Kind> {
        let mut kinds: BTreeMap<String, Kind> = Scalar::ALL
            .into_iter()
            .map(|s| (s.name().to_owned(), Kind::Scalar(s)))
            .collect();
        let mut add = |name: &Name, kind: Kind| {
            kinds.entry(name.to_string()).or_insert(kind);
        };
        for object in &self.objects {
            let kind = if is_root(&object.name) {
                Kind::Root
            } else if object.directives.has("model") {
                Kind::Model
            } else {
                Kind::Plain
            };
            add(&object.name, kind);
        }
        self.enums.iter().for_each(|t| add(&t.name, Kind::Enum));
        self.inputs.iter().for_each(|t| add(&t.name, Kind::Input));
        self.interfaces.iter().for_each(|t| add(&t.name, Kind::Interface));
        self.unions.iter().for_each(|t| add(&t.name, Kind::Union));
        self.scalars.iter().for_each(|t| add(&t.name, Kind::CustomScalar));
        kinds
    }
}

pub(super) fn is_root(name: &str) -> bool {
    ROOTS.contains(&name)
}

/// Reads `sdl`. Syntax errors end it, all of them at once; what can be checked on the rest goes into the report.
pub(super) fn read(sdl: &str, file: &str) -> Result<(Declared, Report), SchemaErrors> {
    if sdl.len() > limits::SCHEMA_BYTES_MAX {
        let problem = format!(
            "the schema has {} bytes; the limit is {}",
            sdl.len(),
            limits::SCHEMA_BYTES_MAX
        );
        let mend = "split what belongs to different apps".to_owned();
        return Err(SchemaErrors {
            errors: vec![SchemaMessage {
                file: file.to_owned(),
                line: 1,
                column: 1,
                problem,
                mend,
            }],
            warnings: Vec::new(),
        });
    }
    let document = Parser::new()
        .recursion_limit(limits::SCHEMA_DEPTH_MAX)
        .token_limit(limits::SCHEMA_TOKENS_MAX)
        .parse_ast(sdl, file)
        .map_err(|with| syntax_errors(file, &with.errors))?;
    let mut report = Report::new(file, document.sources.clone());
    let declared = declare(&document, &mut report);
    Ok((declared, report))
}

fn syntax_errors(file: &str, found: &apollo_compiler::validation::DiagnosticList) -> SchemaErrors {
    let errors = found
        .iter()
        .map(|diagnostic| {
            let at = diagnostic
                .line_column_range()
                .map_or((1, 1), |range| (range.start.line, range.start.column));
            SchemaMessage {
                file: file.to_owned(),
                line: at.0,
                column: at.1,
                problem: diagnostic.error.to_string(),
                mend: "write it as GraphQL's schema language has it".to_owned(),
            }
        })
        .collect();
    SchemaErrors {
        errors,
        warnings: Vec::new(),
    }
}

fn declare(document: &Document, report: &mut Report) -> Declared {
    let mut out = Declared::default();
    let mut seen: BTreeMap<&str, &Name> = BTreeMap::new();
    for definition in &document.definitions {
        if definition.is_executable_definition() {
            report.error(
                definition.location(),
                "an operation or fragment does not belong in a schema file",
                "move it to the app; a schema holds types only",
            );
            continue;
        }
        if let Definition::SchemaDefinition(schema) = definition {
            root_names(&schema.root_operations, report);
        }
        if let Definition::SchemaExtension(schema) = definition {
            root_names(&schema.root_operations, report);
        }
        let Some(name) = definition.name() else { continue };
        if let Definition::DirectiveDefinition(directive) = definition {
            out.directives.insert(directive.name.to_string());
            continue;
        }
        if definition.is_extension_definition() {
            continue;
        }
        if Scalar::named(name).is_some() {
            // AppSync knows these itself; tools that do not are helped by `scalar AWSDate` in the file.
            if !matches!(definition, Definition::ScalarTypeDefinition(_)) {
                report.error(
                    name.location(),
                    format!("`{name}` is the name of a scalar"),
                    "rename the type",
                );
            }
            continue;
        }
        if seen.insert(name.as_str(), name).is_some() {
            report.error(
                name.location(),
                format!("the type `{name}` is declared twice"),
                "rename one, or merge the two (or write `extend`)",
            );
            continue;
        }
        match definition {
            Definition::ObjectTypeDefinition(t) => out.objects.push((**t).clone()),
            Definition::EnumTypeDefinition(t) => out.enums.push((**t).clone()),
            Definition::InputObjectTypeDefinition(t) if t.name == AMPLIFY_INPUT => {}
            Definition::InputObjectTypeDefinition(t) => out.inputs.push((**t).clone()),
            Definition::InterfaceTypeDefinition(t) => out.interfaces.push((**t).clone()),
            Definition::UnionTypeDefinition(t) => out.unions.push((**t).clone()),
            Definition::ScalarTypeDefinition(t) => out.scalars.push((**t).clone()),
            _ => {}
        }
    }
    for definition in &document.definitions {
        extend(&mut out, definition, report);
    }
    find_duplicate_fields(&out, report);
    out
}

fn root_names(roots: &[Node<(OperationType, Name)>], report: &mut Report) {
    for root in roots {
        let expected = root.0.default_type_name();
        if root.1 != expected.as_str() {
            report.error(
                root.1.location().or_else(|| root.location()),
                format!("the root type `{}` has a name of its own", root.1),
                format!("call it `{expected}`"),
            );
        }
    }
}

fn extend(out: &mut Declared, definition: &Definition, report: &mut Report) {
    let missing = |report: &mut Report, name: &Name| {
        report.error(
            name.location(),
            format!("`{name}` is extended but not declared with that kind"),
            "declare it, or drop `extend`",
        );
    };
    /// Joins an extension's directives and members to the type it extends.
    macro_rules! join {
        ($list:ident, $extension:ident, $members:ident) => {
            match out.$list.iter_mut().find(|t| t.name == $extension.name) {
                Some(target) => {
                    target
                        .directives
                        .0
                        .extend($extension.directives.0.iter().cloned());
                    target.$members.extend($extension.$members.iter().cloned());
                }
                None => missing(report, &$extension.name),
            }
        };
    }
    match definition {
        Definition::ObjectTypeExtension(e) => {
            if is_root(&e.name) && !out.objects.iter().any(|o| o.name == e.name) {
                // Root types are generated: extending one needs no declaration of it.
                out.objects.push(ObjectTypeDefinition {
                    description: None,
                    name: e.name.clone(),
                    implements_interfaces: Vec::new(),
                    directives: DirectiveList::new(),
                    fields: Vec::new(),
                });
            }
            if let Some(target) = out.objects.iter_mut().find(|t| t.name == e.name) {
                target
                    .implements_interfaces
                    .extend(e.implements_interfaces.iter().cloned());
            }
            join!(objects, e, fields);
        }
        Definition::InterfaceTypeExtension(e) => join!(interfaces, e, fields),
        Definition::EnumTypeExtension(e) => join!(enums, e, values),
        Definition::InputObjectTypeExtension(e) if e.name == AMPLIFY_INPUT => {}
        Definition::InputObjectTypeExtension(e) => join!(inputs, e, fields),
        Definition::UnionTypeExtension(e) => join!(unions, e, members),
        _ => {}
    }
}

fn find_duplicate_fields(declared: &Declared, report: &mut Report) {
    let mut check = |owner: &Name, names: Vec<&Name>, what: &str| {
        let mut seen = BTreeSet::new();
        for name in &names {
            if !seen.insert(name.as_str()) {
                report.error(
                    name.location(),
                    format!("`{owner}` has two {what}s called `{name}`"),
                    format!("rename or remove one {what}"),
                );
            }
            if name.starts_with("__") {
                report.error(
                    name.location(),
                    format!("`{name}` begins with `__`, which GraphQL keeps"),
                    "rename it",
                );
            }
        }
        if names.is_empty() {
            report.error(
                owner.location(),
                format!("`{owner}` has no {what}s"),
                format!("give it at least one {what}"),
            );
        }
    };
    let fields = |list: &'_ [Node<FieldDefinition>]| list.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    for object in declared
        .objects
        .iter()
        .filter(|o| !is_root(&o.name) || !o.fields.is_empty())
    {
        check(&object.name, fields(&object.fields).iter().collect(), "field");
    }
    for interface in &declared.interfaces {
        check(&interface.name, fields(&interface.fields).iter().collect(), "field");
    }
    for input in &declared.inputs {
        check(&input.name, input.fields.iter().map(|f| &f.name).collect(), "field");
    }
    for one in &declared.enums {
        check(&one.name, one.values.iter().map(|v| &v.value).collect(), "value");
    }
}
