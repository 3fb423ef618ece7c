//! Schemas and the whole API that AppSync generates for them, compared type by type: nothing missing, nothing more, but
//! for names that begin with `tombolo`, which are ours.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::Schema as Api;
use apollo_compiler::schema::ExtendedType;
use tombolo_core::schema::Schema;

/// One line for each fact of a type: `input CreatePostInput.title: String!`.
fn facts(sdl: &str) -> BTreeSet<String> {
    let api = Api::parse(sdl, "golden").unwrap();
    let mut out = BTreeSet::new();
    for (name, ty) in &api.types {
        if ty.is_built_in() || name.to_lowercase().starts_with("tombolo") || ty.is_scalar() {
            continue;
        }
        match ty {
            ExtendedType::Object(t) => {
                for interface in &t.implements_interfaces {
                    out.insert(format!("type {name} implements {interface}"));
                }
                for (field, def) in t
                    .fields
                    .iter()
                    .filter(|(n, _)| !n.to_lowercase().starts_with("tombolo"))
                {
                    let args: BTreeMap<&str, String> = def
                        .arguments
                        .iter()
                        .map(|a| (a.name.as_str(), a.ty.to_string()))
                        .collect();
                    out.insert(format!("type {name}.{field}{args:?}: {}{}", def.ty, def.directives));
                }
            }
            ExtendedType::InputObject(t) => {
                for (field, def) in &t.fields {
                    out.insert(format!("input {name}.{field}: {}", def.ty));
                }
            }
            ExtendedType::Enum(t) => {
                for value in t.values.keys() {
                    out.insert(format!("enum {name}.{value}"));
                }
            }
            other => {
                out.insert(format!("other {name}: {other}"));
            }
        }
    }
    out
}

/// The shared operator inputs and enums, which the golden files leave out. They are checked by their own test.
const SHARED: [&str; 17] = [
    "ModelStringInput",
    "ModelIDInput",
    "ModelIntInput",
    "ModelFloatInput",
    "ModelBooleanInput",
    "ModelSizeInput",
    "ModelSubscriptionStringInput",
    "ModelSubscriptionIDInput",
    "ModelSubscriptionIntInput",
    "ModelSubscriptionFloatInput",
    "ModelSubscriptionBooleanInput",
    "ModelStringKeyConditionInput",
    "ModelIDKeyConditionInput",
    "ModelIntKeyConditionInput",
    "ModelFloatKeyConditionInput",
    "ModelAttributeTypes",
    "ModelSortDirection",
];

fn own(sdl: &str) -> BTreeSet<String> {
    let shared = |fact: &String| SHARED.iter().any(|s| fact.split([' ', '.']).nth(1) == Some(*s));
    facts(sdl).into_iter().filter(|fact| !shared(fact)).collect()
}

fn compare(name: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/schema");
    let sdl = std::fs::read_to_string(format!("{folder}/{name}.graphql")).unwrap();
    let golden = std::fs::read_to_string(format!("{folder}/{name}.api.graphql")).unwrap();
    let schema = Schema::parse(&sdl, &format!("{name}.graphql")).unwrap_or_else(|e| panic!("{e}"));
    let (expected, got) = (own(&golden), own(&schema.api_sdl));
    let missing: Vec<_> = expected.difference(&got).collect();
    let more: Vec<_> = got.difference(&expected).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "{name}\nmissing: {missing:#?}\nmore: {more:#?}"
    );
}

#[test]
fn the_worked_example_is_appsyncs() {
    compare("worked_example");
}
