//! Schemas and the whole API that AppSync generates for them, compared type by type: nothing missing, nothing more, but
//! for names that begin with `tombolo` and for the `sort` of lists with its types, which are ours.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::Schema as Api;
use apollo_compiler::schema::ExtendedType;
use tombolo_core::schema::Schema;

/// Whether the type belongs to the order of a list.
fn is_of_sort(name: &str) -> bool {
    name.starts_with("Model") && (name.ends_with("SortInput") || name.ends_with("SortField"))
}

/// One line for each fact of a type: `input CreatePostInput.title: String!`.
fn facts(sdl: &str) -> BTreeSet<String> {
    let api = Api::parse(sdl, "golden").unwrap();
    let mut out = BTreeSet::new();
    for (name, ty) in &api.types {
        if ty.is_built_in() || name.to_lowercase().starts_with("tombolo") || ty.is_scalar() || is_of_sort(name) {
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
                        .filter(|a| !is_of_sort(a.ty.inner_named_type()))
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

#[test]
fn composite_keys_and_indexes_are_appsyncs() {
    compare("keys");
}

#[test]
fn a_many_to_many_makes_its_join_model() {
    compare("many_to_many");
}

#[test]
fn relations_without_fields_make_their_keys() {
    compare("implicit_keys");
}

#[test]
fn operations_are_renamed_and_disabled_and_custom_types_stand() {
    compare("operations");
}

#[test]
fn owner_rules_add_their_field_and_argument() {
    compare("owner");
}

#[test]
fn the_shared_inputs_have_appsyncs_operators() {
    let schema = Schema::parse("type A @model { a: Int }", "a.graphql").unwrap();
    let got = facts(&schema.api_sdl);
    let ops = |name: &str| {
        let start = format!("input {name}.");
        let mut ops: Vec<&str> = got.iter().filter_map(|f| f.strip_prefix(&start)).collect();
        ops.sort_unstable();
        ops.join(" ").replace(": ", ":")
    };
    let text = |t: &str, last: &str| {
        format!(
            "beginsWith:{t} between:[{t}] contains:{t} eq:{t} ge:{t} gt:{t}{last} le:{t} lt:{t} ne:{t} notContains:{t}"
        )
    };
    for (name, t) in [("String", "String"), ("ID", "ID")] {
        let attributes = "attributeExists:Boolean attributeType:ModelAttributeTypes ";
        assert_eq!(
            ops(&format!("Model{name}Input")),
            format!("{attributes}{} size:ModelSizeInput", text(t, ""))
        );
        let subscription = format!("{} notIn:[{t}]", text(t, &format!(" in:[{t}]")));
        assert_eq!(ops(&format!("ModelSubscription{name}Input")), subscription);
        assert_eq!(
            ops(&format!("Model{name}KeyConditionInput")),
            format!("beginsWith:{t} between:[{t}] eq:{t} ge:{t} gt:{t} le:{t} lt:{t}")
        );
    }
    for t in ["Int", "Float"] {
        assert_eq!(
            ops(&format!("Model{t}Input")),
            format!(
                "attributeExists:Boolean attributeType:ModelAttributeTypes between:[{t}] eq:{t} ge:{t} gt:{t} le:{t} lt:{t} ne:{t}"
            )
        );
        assert_eq!(
            ops(&format!("ModelSubscription{t}Input")),
            format!("between:[{t}] eq:{t} ge:{t} gt:{t} in:[{t}] le:{t} lt:{t} ne:{t} notIn:[{t}]")
        );
        assert_eq!(
            ops(&format!("Model{t}KeyConditionInput")),
            format!("between:[{t}] eq:{t} ge:{t} gt:{t} le:{t} lt:{t}")
        );
    }
    assert_eq!(
        ops("ModelBooleanInput"),
        "attributeExists:Boolean attributeType:ModelAttributeTypes eq:Boolean ne:Boolean"
    );
    assert_eq!(ops("ModelSubscriptionBooleanInput"), "eq:Boolean ne:Boolean");
    assert_eq!(
        ops("ModelSizeInput"),
        "between:[Int] eq:Int ge:Int gt:Int le:Int lt:Int ne:Int"
    );
}

#[test]
fn counters_and_sets_have_operations_in_their_updates() {
    let sdl = "enum Mood { GOOD BAD }
               type A @model { likes: Int @merge(rule: COUNTER) share: Float! @merge(rule: COUNTER) at: AWSTimestamp @merge(rule: COUNTER)
                               tags: [String!]! @merge(rule: SET) moods: [Mood] @merge(rule: SET) best: Int @merge(rule: MAX) }
               type B @model { tags: [String] @merge(rule: SET) }
               type C @model(mutations: { update: null }) { likes: Int @merge(rule: COUNTER) }";
    let schema = Schema::parse(sdl, "a.graphql").unwrap();
    let block = |name: &str| {
        let start = schema.api_sdl.find(&format!("input {name} {{"))?;
        let text = schema.api_sdl.get(start..)?;
        let lines: Vec<&str> = text
            .lines()
            .skip(1)
            .take_while(|line| *line != "}")
            .map(str::trim)
            .collect();
        Some(lines.join(", "))
    };
    for (name, want) in [
        (
            "AOperationsInput",
            "likes: TomboloIntCounterInput, share: TomboloFloatCounterInput, at: TomboloTimestampCounterInput, tags: \
             TomboloStringSetInput, moods: TomboloMoodSetInput",
        ),
        ("BOperationsInput", "tags: TomboloStringSetInput"),
        ("TomboloIntCounterInput", "add: Int!"),
        ("TomboloFloatCounterInput", "add: Float!"),
        ("TomboloTimestampCounterInput", "add: AWSTimestamp!"),
        ("TomboloStringSetInput", "add: [String!], remove: [String!]"),
        ("TomboloMoodSetInput", "add: [Mood!], remove: [Mood!]"),
        (
            "UpdateBInput",
            "id: ID!, tags: [String], _operations: BOperationsInput, _version: Int",
        ),
        ("CreateBInput", "id: ID, tags: [String], _version: Int"),
    ] {
        assert_eq!(block(name).as_deref(), Some(want), "{name}\n{}", schema.api_sdl);
    }
    // Without an update there is nothing that could carry them.
    assert_eq!(block("COperationsInput"), None);
}
