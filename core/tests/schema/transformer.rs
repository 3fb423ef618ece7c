//! The API beside that of Amplify's published transformer, name by name: `tests/data/transformer` holds schemas and what
//! the transformer printed for them (`tests/transformer` prints it anew). Ours has everything that theirs has, and nothing
//! of another type.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use apollo_compiler::Schema as Api;
use apollo_compiler::ast::InputValueDefinition;
use apollo_compiler::schema::ExtendedType;
use tombolo_core::schema::{Model, Schema};

/// What the transformer puts into every API though no field refers to it: of its AI chat, which this is not.
const NOT_OURS: &str = "AmplifyAIConversationTurnErrorInput";

/// Every name of an API and what it is: `Query.getPost(id:)` → `ID!`.
fn names(sdl: &str) -> BTreeMap<String, String> {
    let api = Api::parse(sdl, "api.graphql").unwrap_or_else(|e| panic!("{}", e.errors));
    let mut out = BTreeMap::new();
    let input = |out: &mut BTreeMap<String, String>, name: String, def: &InputValueDefinition| {
        let default = def.default_value.as_ref().map_or(String::new(), |v| format!(" = {v}"));
        out.insert(name, format!("{}{default}", def.ty));
    };
    for (name, ty) in &api.types {
        if ty.is_built_in() || ty.is_scalar() || name == NOT_OURS {
            continue;
        }
        let (kind, fields, interfaces) = match ty {
            ExtendedType::Object(t) => ("type", Some(&t.fields), Some(&t.implements_interfaces)),
            ExtendedType::Interface(t) => ("interface", Some(&t.fields), Some(&t.implements_interfaces)),
            ExtendedType::InputObject(t) => {
                for (field, def) in &t.fields {
                    input(&mut out, format!("{name}.{field}"), def);
                }
                ("input", None, None)
            }
            ExtendedType::Enum(t) => {
                for value in t.values.keys() {
                    out.insert(format!("{name}.{value}"), "value".to_owned());
                }
                ("enum", None, None)
            }
            ExtendedType::Union(t) => {
                for member in &t.members {
                    out.insert(format!("{name} | {member}"), "member".to_owned());
                }
                ("union", None, None)
            }
            ExtendedType::Scalar(_) => continue,
        };
        out.insert(name.to_string(), kind.to_owned());
        for interface in interfaces.into_iter().flatten() {
            out.insert(format!("{name} implements {interface}"), "interface".to_owned());
        }
        for (field, def) in fields.into_iter().flatten() {
            out.insert(format!("{name}.{field}"), def.ty.to_string());
            for argument in &def.arguments {
                input(&mut out, format!("{name}.{field}({}:)", argument.name), argument);
            }
            for subscribe in def.directives.get_all("aws_subscribe") {
                let mutations = subscribe.specified_argument_by_name("mutations");
                let mutations = mutations.map_or(String::new(), ToString::to_string);
                out.insert(format!("{name}.{field} @aws_subscribe"), mutations);
            }
        }
    }
    out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transformer")
}

/// The schemas of the folder, by name.
fn schemas() -> Vec<String> {
    let mut out: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".api.graphql"))
        .map(|name| name.strip_suffix(".graphql").unwrap().to_owned())
        .collect();
    out.sort();
    out
}

/// What `ours` lacks of `theirs`, or has with another type.
///
/// One difference is meant: a field with a `@default` may be left out of `CreateXInput` also where it is required, which
/// takes whatever an app written for AppSync sends. `defaults` are those fields, as `CreateXInput.field`.
fn differences(
    theirs: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
    defaults: &BTreeSet<String>,
) -> Vec<String> {
    theirs
        .iter()
        .filter_map(|(name, ty)| match ours.get(name) {
            Some(other) if defaults.contains(name) && ty.strip_suffix('!').unwrap_or(ty) == other => None,
            None => Some(format!("{name}: {ty} is missing")),
            Some(other) if other != ty => Some(format!("{name}: {other}, and theirs is {ty}")),
            Some(_) => None,
        })
        .collect()
}

/// The fields with a default, as `CreateXInput.field`.
fn defaults(schema: &Schema) -> BTreeSet<String> {
    let of = |model: &Model| {
        let name = format!("Create{}Input", model.api_name());
        let fields = model.fields.iter().filter(|f| f.default.is_some());
        fields.map(|f| format!("{name}.{}", f.name)).collect::<Vec<_>>()
    };
    schema.models.iter().flat_map(of).collect()
}

#[test]
fn every_name_of_the_published_transformer_is_here_with_its_type() {
    let (mut compared, mut wrong) = (0, Vec::new());
    let schemas = schemas();
    for name in &schemas {
        let read = |end: &str| std::fs::read_to_string(folder().join(format!("{name}{end}"))).unwrap();
        let theirs = names(&read(".api.graphql"));
        compared += theirs.len();
        match Schema::parse(&read(".graphql"), &format!("{name}.graphql")) {
            Ok(schema) => {
                let found = differences(&theirs, &names(&schema.api_sdl), &defaults(&schema));
                wrong.extend(found.into_iter().map(|d| format!("{name}: {d}")));
            }
            Err(errors) => wrong.push(format!("{name}: {errors}")),
        }
    }
    println!("{compared} names of {} schemas compared", schemas.len());
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
    // Fewer would mean that files have gone or are no longer read.
    assert!(schemas.len() >= 18 && compared >= 6000, "{compared} in {schemas:?}");
}

#[test]
fn a_missing_name_and_another_type_are_told() {
    let theirs = names("type Query { a(b: Int!): String c: [ID!] d: Int } enum E { X Y } input I { f: Int = 2 }");
    let ours = names("type Query { a(b: Int): String c: [ID!]! } enum E { X } input I { f: Int }");
    assert_eq!(
        differences(&theirs, &ours, &BTreeSet::new()),
        [
            "E.Y: value is missing",
            "I.f: Int, and theirs is Int = 2",
            "Query.a(b:): Int, and theirs is Int!",
            "Query.c: [ID!]!, and theirs is [ID!]",
            "Query.d: Int is missing",
        ]
    );
}
