//! Random schemas: what is printed reads back the same, every generated root has a meaning, and no text makes us panic.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tombolo_core::schema::{FieldKind, Member, Model, Relation, Schema};

/// A field's type: one of the scalars, the enum or the embedded type, with list and null marks.
fn field_type() -> impl Strategy<Value = String> {
    const NAMES: [&str; 16] = [
        "ID",
        "String",
        "Int",
        "Float",
        "Boolean",
        "AWSDate",
        "AWSTime",
        "AWSDateTime",
        "AWSTimestamp",
        "AWSEmail",
        "AWSJSON",
        "AWSURL",
        "AWSPhone",
        "AWSIPAddress",
        "Colour",
        "Point",
    ];
    (prop::sample::select(&NAMES[..]), 0..6_u8).prop_map(|(name, shape)| match shape {
        0 | 1 => name.to_owned(),
        2 => format!("{name}!"),
        3 => format!("[{name}]"),
        4 => format!("[{name}!]"),
        _ => format!("[{name}!]!"),
    })
}

#[derive(Clone, Debug)]
struct RandomModel {
    fields: Vec<String>,
    /// Whether it has a composite key of its own.
    keyed: bool,
    indexed: bool,
    /// Models that it has many of, by number.
    many: BTreeSet<usize>,
    conflict: &'static str,
}

fn random_model() -> impl Strategy<Value = RandomModel> {
    (
        prop::collection::vec(field_type(), 0..6),
        any::<bool>(),
        any::<bool>(),
        prop::collection::btree_set(0..4_usize, 0..3),
        prop::sample::select(&["AUTOMERGE", "OPTIMISTIC_CONCURRENCY", "LAST_WRITER_WINS", "CUSTOM"][..]),
    )
        .prop_map(|(fields, keyed, indexed, many, conflict)| RandomModel {
            fields,
            keyed,
            indexed,
            many,
            conflict,
        })
}

fn sdl_of(models: &[RandomModel]) -> String {
    let mut sdl = "enum Colour { RED GREEN }\ntype Point { x: Float! tags: [String] }\n".to_owned();
    for (i, model) in models.iter().enumerate() {
        sdl += &format!("type M{i} @model(conflict: {}) {{\n", model.conflict);
        if model.keyed {
            sdl += "  code: ID! @primaryKey(sortKeyFields: [\"part\", \"when\"])\n  part: String!\n  when: AWSTimestamp!\n";
        }
        let index = if model.indexed {
            " @index(name: \"byTag\", sortKeyFields: [\"rank\"])"
        } else {
            ""
        };
        sdl += &format!("  tag: String{index}\n  rank: Int\n");
        for (f, ty) in model.fields.iter().enumerate() {
            sdl += &format!("  f{f}: {ty}\n");
        }
        for other in model.many.iter().filter(|o| **o < models.len()) {
            sdl += &format!("  m{other}: [M{other}] @hasMany\n");
        }
        sdl += "}\n";
    }
    sdl
}

/// Prints models with everything explicit: keys, indexes, made foreign keys.
fn print(schema: &Schema) -> String {
    let mut sdl = String::new();
    for (name, values) in &schema.enums {
        sdl += &format!("enum {name} {{ {} }}\n", values.join(" "));
    }
    for (name, fields) in &schema.embedded {
        let fields: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name, f.ty)).collect();
        sdl += &format!("type {name} {{ {} }}\n", fields.join(" "));
    }
    for model in &schema.models {
        let conflict = match format!("{:?}", model.conflict).as_str() {
            "Automerge" => "AUTOMERGE",
            "OptimisticConcurrency" => "OPTIMISTIC_CONCURRENCY",
            "LastWriterWins" => "LAST_WRITER_WINS",
            _ => "CUSTOM",
        };
        sdl += &format!("type {} @model(conflict: {conflict}) {{\n", model.name);
        for member in &model.order {
            sdl += &match member {
                Member::Field(id) => print_field(model, id.0),
                Member::Relation(at) => {
                    let r = &model.relations[*at];
                    let target = schema.model(r.target);
                    let names: Vec<String> = r
                        .target_fields
                        .iter()
                        .map(|f| format!("\"{}\"", target.field_at(*f).name))
                        .collect();
                    format!(
                        "  {}: [{}] @hasMany(references: [{}])\n",
                        r.name,
                        target.name,
                        names.join(", ")
                    )
                }
            };
        }
        sdl += "}\n";
    }
    sdl
}

fn print_field(model: &Model, at: usize) -> String {
    let field = &model.fields[at];
    let name = |id: &tombolo_core::id::FieldId| format!("\"{}\"", model.field_at(*id).name);
    let mut line = format!("  {}: {}", field.name, field.ty);
    if model.key.len() > 1 && model.key[0].0 == at {
        let sort: Vec<String> = model.key[1..].iter().map(name).collect();
        line += &format!(" @primaryKey(sortKeyFields: [{}])", sort.join(", "));
    }
    for index in model.indexes.iter().filter(|i| i.fields[0].0 == at) {
        let sort: Vec<String> = index.fields[1..].iter().map(name).collect();
        let query = index
            .query_field
            .as_ref()
            .map_or("null".to_owned(), |q| format!("\"{q}\""));
        line += &format!(
            " @index(name: \"{}\", sortKeyFields: [{}], queryField: {query})",
            index.name,
            sort.join(", ")
        );
    }
    line + "\n"
}

/// The same but for how fields came to be: what was made is now declared.
fn shape(schema: &Schema) -> String {
    let mut out = String::new();
    for model in &schema.models {
        out += &format!(
            "{} {} {:?} {:?} {:?}\n",
            model.name, model.plural, model.key, model.conflict, model.order
        );
        for field in &model.fields {
            out += &format!("  {}: {}\n", field.name, field.ty);
        }
        for index in &model.indexes {
            out += &format!("  {index:?}\n");
        }
        for relation in &model.relations {
            // A list that makes its own keys takes a condition; one that names them does not.
            let relation = Relation {
                conditioned: false,
                ..relation.clone()
            };
            out += &format!("  {relation:?}\n");
        }
    }
    format!(
        "{out}{:?}{:?}{:?}{}",
        schema.enums, schema.embedded, schema.roots, schema.hash
    )
}

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_printed_schema_reads_back_the_same(models in prop::collection::vec(random_model(), 1..4)) {
        let sdl = sdl_of(&models);
        let schema = Schema::parse(&sdl, "a.graphql").unwrap_or_else(|e| panic!("{sdl}\n{e}"));
        let printed = print(&schema);
        let again = Schema::parse(&printed, "b.graphql").unwrap_or_else(|e| panic!("{printed}\n{e}"));
        // Index order follows the fields; compare after sorting by name, which is all that lookups use.
        prop_assert_eq!(sorted(&shape(&schema)), sorted(&shape(&again)), "{}\n{}", sdl, printed);
    }

    #[test]
    fn every_root_of_the_api_has_a_meaning(models in prop::collection::vec(random_model(), 1..4)) {
        let schema = Schema::parse(&sdl_of(&models), "a.graphql").unwrap();
        let fields = |name: &str| -> BTreeSet<String> {
            schema.api.get_object(name).map(|t| t.fields.keys().map(ToString::to_string).collect()).unwrap_or_default()
        };
        prop_assert_eq!(fields("Query"), schema.roots.query.keys().cloned().collect::<BTreeSet<_>>());
        prop_assert_eq!(fields("Mutation"), schema.roots.mutation.keys().cloned().collect::<BTreeSet<_>>());
        prop_assert_eq!(fields("Subscription"), schema.roots.subscription.keys().cloned().collect::<BTreeSet<_>>());
        for model in &schema.models {
            for field in &model.fields {
                if let FieldKind::Embedded(name) = &field.ty.kind {
                    prop_assert!(schema.embedded.contains_key(name));
                }
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = Schema::parse(&text, "x.graphql");
    }

    #[test]
    fn no_mutation_of_a_schema_makes_it_panic(cuts in prop::collection::vec((0..4000_usize, 0..40_usize, 0..20_usize), 1..6)) {
        const PIECES: [&str; 20] = [
            "", "{", "}", "@", "\"", "[", "]", "!", ":", "null", "@model", "@hasMany", "@index(name: \"x\")", "id", "_", "\u{0}", "é",
            "@manyToMany(relationName: \"R\")", "type", "@primaryKey(sortKeyFields: [\"id\"])",
        ];
        let mut text: Vec<char> = ALL.chars().collect();
        for (at, remove, piece) in cuts {
            let at = at % (text.len() + 1);
            let end = (at + remove).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(errors) = Schema::parse(&text, "x.graphql") {
            prop_assert!(!errors.errors.is_empty());
        }
    }

    #[test]
    fn no_exchange_of_words_makes_it_panic(swaps in prop::collection::vec((any::<usize>(), any::<usize>()), 1..5)) {
        // Words for words keeps the syntax mostly whole, so that the later stages are reached.
        let mut words: Vec<&str> = ALL.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let is_word = |w: &str| w.len() > 1;
        let places: Vec<usize> = (0..words.len()).filter(|i| is_word(words[*i])).collect();
        for (a, b) in swaps {
            let (to, from) = (places[a % places.len()], places[b % places.len()]);
            words[to] = words[from];
        }
        if let Err(errors) = Schema::parse(&words.concat(), "x.graphql") {
            prop_assert!(!errors.errors.is_empty());
        }
    }
}

/// A bit of everything.
const ALL: &str = concat!(
    include_str!("../data/schema/keys.graphql"),
    include_str!("../data/schema/many_to_many.graphql"),
    include_str!("../data/schema/operations.graphql"),
    include_str!("../data/schema/owner.graphql"),
);

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
