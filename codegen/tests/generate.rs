//! What is generated: the same twice, names that are nobody else's, comments that end where they should, and errors by place.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tombolo_codegen::{Errors, File, HEADER, Language, Options, context_json, generate, templates};
use tombolo_core::schema::Schema;

const SCHEMAS: [(&str, &str, &str); 4] = [
    (
        "small",
        include_str!("schemas/small.graphql"),
        include_str!("schemas/small.operations.graphql"),
    ),
    (
        "flights",
        include_str!("schemas/flights.graphql"),
        include_str!("schemas/flights.operations.graphql"),
    ),
    (
        "large",
        include_str!("schemas/large.graphql"),
        include_str!("schemas/large.operations.graphql"),
    ),
    (
        "nasty",
        include_str!("schemas/nasty.graphql"),
        include_str!("schemas/nasty.operations.graphql"),
    ),
];

fn schema(sdl: &str) -> Schema {
    Schema::parse(sdl, "schema.graphql").unwrap()
}

fn documents(texts: &[&str]) -> Vec<(String, String)> {
    let named = texts.iter().enumerate();
    named
        .map(|(at, text)| (format!("{at}.graphql"), (*text).to_owned()))
        .collect()
}

/// What the small schema says to these operations.
fn refused(texts: &[&str]) -> Vec<String> {
    let schema = schema(SCHEMAS[0].1);
    match generate(&schema, &documents(texts), &Options::new(Language::Rust)) {
        Ok(_) => Vec::new(),
        Err(Errors(messages)) => messages.iter().map(ToString::to_string).collect(),
    }
}

/// What one template makes of the small schema.
fn rendered(language: Language, path: &str, template: &str) -> Vec<File> {
    let mut options = Options::new(language);
    // The language's own say nothing.
    options.templates = templates(language)
        .map(|(path, _)| (path.to_owned(), String::new()))
        .collect();
    options.templates.push((path.to_owned(), template.to_owned()));
    generate(&schema(SCHEMAS[0].1), &[], &options).unwrap()
}

#[test]
fn the_large_schema_has_sixty_models() {
    assert_eq!(schema(SCHEMAS[2].1).models.len(), 60);
}

#[test]
fn the_flights_schema_is_the_example() {
    assert!(
        SCHEMAS[1].1 == include_str!("../../examples/flights/schema.graphql"),
        "copy it anew"
    );
}

#[test]
fn the_same_input_gives_the_same_files_in_every_language() {
    for (name, sdl, operations) in SCHEMAS {
        let operations = documents(&[operations]);
        for language in Language::ALL {
            let once = generate(&schema(sdl), &operations, &Options::new(language)).unwrap();
            let twice = generate(&schema(sdl), &operations, &Options::new(language)).unwrap();
            assert!(once == twice, "{name} {language}");
            for file in &once {
                assert!(
                    file.text.lines().next().unwrap().ends_with(HEADER),
                    "{name} {language} {}",
                    file.path
                );
                assert!(
                    file.text.ends_with('\n') && !file.text.ends_with("\n\n"),
                    "{}",
                    file.path
                );
            }
        }
    }
}

/// Every `field` of every object in lists called `list`.
fn each<'j>(json: &'j Json, list: &str, found: &mut dyn FnMut(&'j [Json])) {
    match json {
        Json::Object(members) => {
            for (key, value) in members {
                if key == list
                    && let Json::Array(items) = value
                {
                    found(items);
                }
                each(value, list, found);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| each(item, list, found)),
        _ => {}
    }
}

#[test]
fn no_two_names_in_one_place_are_the_same() {
    for (language, (_, sdl, operations)) in Language::ALL
        .into_iter()
        .flat_map(|it| SCHEMAS.map(|schema| (it, schema)))
    {
        let text = context_json(&schema(sdl), &documents(&[operations]), &Options::new(language)).unwrap();
        let context: Json = serde_json::from_str(&text).unwrap();
        for (list, key) in [
            ("fields", "ident"),
            ("fields", "local"),
            ("values", "ident"),
            ("variables", "ident"),
        ] {
            each(&context, list, &mut |items| {
                let names: Vec<&str> = items.iter().filter_map(|item| item[key].as_str()).collect();
                let different: BTreeSet<&str> = names.iter().copied().collect();
                assert_eq!(different.len(), names.len(), "{language} {list} {names:?}");
            });
        }
        assert_relations_go_by_the_fields_names(&context, language);
        let mut types: Vec<String> = Vec::new();
        for model in context["models"].as_array().unwrap() {
            let names = model["names"].as_object().unwrap();
            let of_types = names
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "file" | "local" | "local_plural"));
            types.extend(of_types.map(|(_, name)| name.as_str().unwrap().to_lowercase()));
        }
        for list in ["enums", "embedded", "inputs"] {
            let all = context[list].as_array().unwrap().iter();
            types.extend(all.map(|one| one["type_name"].as_str().unwrap().to_lowercase()));
        }
        let different: BTreeSet<&String> = types.iter().collect();
        assert_eq!(different.len(), types.len(), "{language}");
    }
}

fn assert_relations_go_by_the_fields_names(context: &Json, language: Language) {
    let models = context["models"].as_array().unwrap();
    let ident = |model: &Json, name: &Json| {
        let fields = model["fields"].as_array().unwrap();
        fields.iter().find(|it| it["name"] == *name).unwrap()["ident"].clone()
    };
    for model in models {
        for relation in model["relations"].as_array().unwrap() {
            let target = models.iter().find(|it| it["name"] == relation["target"]).unwrap();
            for key in relation["keys"].as_array().unwrap() {
                assert_eq!(key["source_ident"], ident(model, &key["source"]), "{language}");
                assert_eq!(key["target_ident"], ident(target, &key["target"]), "{language}");
            }
        }
    }
}

#[test]
fn a_relation_goes_by_the_field_that_it_names() {
    let sdl =
        "type Team @model { id: ID! ownerId: ID owner_id: ID people: [Person] @hasMany(references: [\"team_id\"]) }
        type Person @model { id: ID! teamId: String team_id: ID team: Team @belongsTo(references: [\"team_id\"]) }";
    for language in Language::ALL {
        let text = context_json(&schema(sdl), &[], &Options::new(language)).unwrap();
        assert_relations_go_by_the_fields_names(&serde_json::from_str(&text).unwrap(), language);
    }
}

#[test]
fn an_enum_that_only_a_declared_input_has_is_used() {
    let text = context_json(&schema(SCHEMAS[3].1), &[], &Options::new(Language::Swift)).unwrap();
    let context: Json = serde_json::from_str(&text).unwrap();
    let enums = context["enums"].as_array().unwrap();
    let used = |name: &str| enums.iter().find(|it| it["name"] == name).unwrap()["used"].clone();
    assert_eq!(
        (used("PetKind"), used("ModelSortDirection")),
        (true.into(), false.into())
    );
}

#[test]
fn operations_are_kept_apart_from_each_other_and_from_what_is_there() {
    let names = |language, names: &[&str]| {
        let text: String = names
            .iter()
            .map(|name| format!("query {name} {{ listItems {{ nextToken }} }}\n"))
            .collect();
        let text = context_json(&schema(SCHEMAS[0].1), &documents(&[&text]), &Options::new(language)).unwrap();
        let context: Json = serde_json::from_str(&text).unwrap();
        let operations = context["operations"].as_array().unwrap().iter();
        let all = operations
            .flat_map(|it| ["ident", "watch_ident", "document_ident"].map(|key| it[key].as_str().unwrap().to_owned()));
        all.collect::<Vec<_>>()
    };
    for language in Language::ALL {
        let all = names(language, &["Foo", "FooDocument", "WatchFoo", "WatchWatchFoo"]);
        let different: BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{language} {all:?}");
    }
    assert_eq!(names(Language::Rust, &["Foo", "WatchFoo"])[..2], ["foo", "watch_foo_"]);
    assert_eq!(names(Language::TypeScript, &["Foo", "FooDocument"])[2], "fooDocument_");
    assert_eq!(names(Language::TypeScript, &["Types", "Support"])[3], "types_");
    assert_eq!(names(Language::Kotlin, &["Close"])[0], "close_");
    assert_eq!(names(Language::Python, &["Schema"])[0], "schema_");
    for language in [Language::Swift, Language::Kotlin] {
        let document = &names(language, &["Foo"])[2];
        assert!(document.starts_with("_f"), "no parameter is called so: {document}");
    }
}

#[test]
fn words_of_a_language_are_escaped_its_own_way() {
    let name = |language, filter: &str, word: &str| {
        let extension = if language == Language::Python { "py" } else { "kt" };
        let files = rendered(
            language,
            &format!("x.{extension}.j2"),
            &format!("{{{{ \"{word}\" | {filter} }}}}"),
        );
        files[0].text.lines().last().unwrap().to_owned()
    };
    assert_eq!(name(Language::Kotlin, "member", "in"), "`in`");
    assert_eq!(
        name(Language::Kotlin, "member", "class"),
        "class_",
        "its getter would be getClass"
    );
    assert_eq!(name(Language::Swift, "member", "default"), "`default`");
    assert_eq!(name(Language::Swift, "member", "self"), "self_");
    assert_eq!(name(Language::Rust, "member", "type"), "r#type");
    assert_eq!(name(Language::Rust, "member", "depTime"), "dep_time");
    assert_eq!(name(Language::Rust, "member", "self"), "self_");
    assert_eq!(name(Language::Python, "member", "class"), "class_");
    assert_eq!(
        name(Language::TypeScript, "member", "class"),
        "class",
        "a property may be called so"
    );
    assert_eq!(name(Language::TypeScript, "local", "class"), "class_");
    assert_eq!(name(Language::Swift, "member", "snake_case"), "snakeCase");
    assert_eq!(name(Language::Kotlin, "type_name", "audit_entry"), "AuditEntry");
    assert_eq!(name(Language::Rust, "type_name", "Option"), "Option_");
    assert_eq!(name(Language::Swift, "enum_case", "IN_PROGRESS"), "inProgress");
    assert_eq!(name(Language::Kotlin, "enum_case", "unrecognized"), "UNRECOGNIZED_");
    assert_eq!(name(Language::Swift, "enum_case", "ALL_CASES"), "allCases_");
    assert_eq!(name(Language::Swift, "member", "json_value"), "jsonValue_");
    assert_eq!(name(Language::Swift, "type_name", "JSONValue"), "JSONValue_");
    assert_eq!(name(Language::Rust, "local", "client"), "client_");
    for (filter, word, names) in [
        (
            "enum_case",
            "_10MIN",
            ["_10Min", "_10MIN", "_10Min", "_10MIN", "_10MIN"],
        ),
        ("constant", "_1", ["_1"; 5]),
        ("type_name", "_1_a", ["_1A"; 5]),
    ] {
        for (language, expected) in Language::ALL.into_iter().zip(names) {
            assert!(
                name(language, filter, word).eq_ignore_ascii_case(expected),
                "{language} {filter}"
            );
        }
    }
}

#[test]
fn a_description_ends_no_comment_before_its_time() {
    let text = r#""a */ b \"\"\" c /* d \\""#;
    let doc = |language, path: &str| {
        rendered(language, path, &format!("{{{{ {text} | doc(2) }}}}x"))
            .remove(0)
            .text
    };
    let kotlin = doc(Language::Kotlin, "x.kt.j2");
    assert_eq!(kotlin.matches("*/").count(), 1, "{kotlin}");
    assert_eq!(kotlin.matches("/*").count(), 1, "{kotlin}");
    let python = doc(Language::Python, "x.py.j2");
    assert!(
        python.ends_with("  \"\"\"a */ b \\\"\\\"\\\" c /* d \\\\\"\"\"\nx\n"),
        "{python}"
    );
    // A backslash and two quotes at the end.
    let ends = rendered(Language::Python, "x.py.j2", r#"{{ "a\\\"\"" | doc }}x"#)
        .remove(0)
        .text;
    assert!(ends.ends_with("\n\"\"\"a\\\\\\\"\\\"\"\"\"\nx\n"), "{ends}");
    let code = rendered(
        Language::Rust,
        "x.rs.j2",
        "{{ \"a\\n\\n    indented\\n```\\nfenced\" | doc }}x",
    )
    .remove(0)
    .text;
    assert!(
        code.ends_with("/// a\n///\n///    indented\n/// ```text\n/// fenced\n/// ```\nx\n"),
        "{code}"
    );
}

#[test]
fn a_literal_means_its_text() {
    let literal = |language, path: &str| {
        let template = "{{ \"a\\\"b\\\\c\\n${d}\u{2028}\u{202e}\" | string }}";
        let text = rendered(language, path, template).remove(0).text;
        text.lines().last().unwrap().to_owned()
    };
    assert_eq!(literal(Language::Kotlin, "x.kt.j2"), r#""a\"b\\c\n\${d}\u2028\u202e""#);
    assert_eq!(
        literal(Language::Swift, "x.swift.j2"),
        r#""a\"b\\c\n${d}\u{2028}\u{202e}""#
    );
    assert_eq!(literal(Language::Python, "x.py.j2"), r#""a\"b\\c\n${d}\u2028\u202e""#);
}

#[test]
fn an_invalid_operation_is_told_by_file_line_and_column() {
    let wrong = |text: &str| refused(&["query Good { listItems { items { id } } }\n", text]).join("\n");
    let told = wrong("query A {\n  getItem(id: 1) { txt }\n}");
    assert!(
        told.starts_with("1.graphql:2:20: ") && told.contains("schema print"),
        "{told}"
    );
    let told = wrong("query A { getItem { id } }");
    assert!(
        told.starts_with("1.graphql:1:11: ") && told.contains("argument"),
        "{told}"
    );
    let told = wrong("query A($id: Int) { getItem(id: $id) { id } }");
    assert!(told.contains("1.graphql:1:") && told.contains("variable"), "{told}");
    let told = wrong("query A { getItem(id: 1) { ...Nowhere } }");
    assert!(told.contains("1.graphql:1:") && told.contains("--operations"), "{told}");
    let told = wrong("{ getItem(id: 1) { id } }");
    assert!(told.contains("1.graphql:1:1: ") && told.contains("name it"), "{told}");
    let told = refused(&["{ getItem(id: 1) { id } }"]).join("\n");
    assert!(told.contains("0.graphql:1:1: an operation without a name"), "{told}");
    let told = wrong("query Good { getItem(id: 1) { id } }");
    assert!(
        told.contains("1.graphql:1:7: ") && told.contains("rename one"),
        "{told}"
    );
    let told = wrong("query good { getItem(id: 1) { id } }");
    assert!(told.contains("would be one function"), "{told}");
    let told = wrong("query A($id: ID!) { listItems { nextToken } }");
    assert!(
        told.contains("1.graphql:1:9: ") && told.contains("or remove it"),
        "{told}"
    );
    let told = wrong("type A @model { id: ID! }");
    assert!(
        told.contains("1.graphql:1:1: ") && told.contains("is a schema file"),
        "{told}"
    );
    let told = wrong("query A {");
    assert!(told.contains("1.graphql:1:") && told.contains("syntax"), "{told}");
    let told = wrong("fragment Lonely on Item { id }");
    assert!(told.contains("1.graphql:1:") && told.contains("spread it"), "{told}");
    let told = wrong("query A { getItem(id: 1) { ...F } }\nfragment F on Item { id ...F }");
    assert!(told.contains("1.graphql:2:"), "{told}");
}

#[test]
fn every_error_of_every_file_is_told_at_once_in_order() {
    let told = refused(&["query A { getItem(id: 1) { a b } }", "query B { getItem(id: 1) { c } }"]);
    let places: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["0.graphql:1:28", "0.graphql:1:30", "1.graphql:1:28"]);
}

#[test]
fn a_document_beyond_the_limits_is_refused_by_name() {
    let deep = format!("query A {{ {} id {} }}", "a { ".repeat(40), "}".repeat(40));
    assert!(refused(&[&deep]).join("\n").contains("DOCUMENT_DEPTH_MAX"));
    let long = format!("query A {{ {} }}", "a ".repeat(31_000));
    assert!(refused(&[&long]).join("\n").contains("DOCUMENT_TOKENS_MAX"));
    let big = format!("#{}\nquery A {{ listItems {{ nextToken }} }}", "x".repeat(1 << 20));
    assert!(refused(&[&big]).join("\n").contains("DOCUMENT_BYTES_MAX"));
}

#[test]
fn a_fragment_of_another_file_is_found_and_sent_with_the_operation() {
    let (_, sdl, _) = SCHEMAS[0];
    let texts = documents(&[
        "# Says what.\nquery A { getItem(id: 1) { ...F } }",
        "fragment F on Item { id place { ...P } }\nfragment P on Place { lat }",
    ]);
    let text = context_json(&schema(sdl), &texts, &Options::new(Language::Kotlin)).unwrap();
    let context: Json = serde_json::from_str(&text).unwrap();
    let operation = &context["operations"][0];
    assert_eq!(operation["doc"], "Says what.");
    let document = operation["document"].as_str().unwrap();
    assert!(
        document.contains("fragment F on Item") && document.contains("fragment P on Place"),
        "{document}"
    );
    assert_eq!(operation["selection"]["fields"][0]["type"]["native"], "F?");
    assert_eq!(
        context["fragments"][0]["selection"]["fields"][1]["type"]["native"],
        "P?"
    );
}

#[test]
fn a_type_that_holds_itself_is_selected_to_a_bound() {
    let sdl = "type T { v: Int t: T } type M @model { id: ID! t: T }";
    let text = context_json(&schema(sdl), &[], &Options::new(Language::Rust)).unwrap();
    let context: Json = serde_json::from_str(&text).unwrap();
    let selection = context["models"][0]["selection"].as_str().unwrap();
    assert_eq!(selection.matches("t { v").count(), tombolo_codegen::EMBEDDED_DEPTH_MAX);
    assert!(
        selection.contains("v t { __typename } }"),
        "what goes on is seen to: {selection}"
    );
    assert_eq!(context["embedded"][0]["fields"][1]["type"]["native"], "Option<Box<T>>");
}

#[test]
fn what_is_selected_in_some_cases_only_is_optional_at_every_level() {
    let sdl = "interface Pet { id: ID! }
        type Dog implements Pet { id: ID! bark: Sound! } type Cat implements Pet { id: ID! bark: Purr! }
        type Sound { loud: Int! long: Int! } type Purr { soft: Int! }
        type Doc @model { id: ID! text: String! at: Place! } type Place { lat: Int! lon: Int! } type Query { pet: Pet! }";
    let natives = |operations: &str, at: &str| {
        let text = context_json(&schema(sdl), &documents(&[operations]), &Options::new(Language::Rust)).unwrap();
        let context: Json = serde_json::from_str(&text).unwrap();
        let types = context["operations"][0]["types"].as_array().unwrap().clone();
        let object = types.iter().find(|it| it["type_name"] == at).unwrap();
        let fields = object["fields"].as_array().unwrap().iter();
        let fields = fields.map(|it| {
            format!(
                "{}: {}",
                it["name"].as_str().unwrap(),
                it["type"]["native"].as_str().unwrap()
            )
        });
        fields.collect::<Vec<_>>().join(", ")
    };
    let more = "query A($x: Boolean!) { getDoc(id: 1) { id at { lat } } ...More @include(if: $x) }
        fragment More on Query { getDoc(id: 1) { text at { lon } } }";
    assert_eq!(
        natives(more, "ADataGetDoc"),
        "id: String, at: ADataGetDocAt, text: Option<String>"
    );
    assert_eq!(natives(more, "ADataGetDocAt"), "lat: i32, lon: Option<i32>");
    let field = "query A($x: Boolean!) { getDoc(id: 1) { id } getDoc(id: 1) @skip(if: $x) { text } }";
    assert_eq!(natives(field, "ADataGetDoc"), "id: String, text: Option<String>");
    let types = "query A { pet { ... on Dog { bark { loud } bark { long } } ... on Cat { bark { soft } } } }";
    assert_eq!(
        natives(types, "ADataPetBark"),
        "loud: Option<i32>, long: Option<i32>, soft: Option<i32>"
    );
    let one = "query A { pet { ... on Dog { bark { loud } bark { long } } } }";
    assert_eq!(natives(one, "ADataPet"), "bark: Option<ADataPetBark>");
    assert_eq!(natives(one, "ADataPetBark"), "loud: i32, long: i32", "both or neither");
    let either = "query A($x: Boolean!, $y: Boolean!) {
        getDoc(id: 1) @include(if: $x) { id } getDoc(id: 1) @include(if: $y) { text } }";
    assert_eq!(
        natives(either, "ADataGetDoc"),
        "id: Option<String>, text: Option<String>"
    );
    let whole = "query A($x: Boolean!) { getDoc(id: 1) { id } getDoc(id: 1) @include(if: $x) { ...F } } fragment F on Doc { text }";
    assert_eq!(natives(whole, "ADataGetDoc"), "id: String, text: Option<String>");
}

#[test]
fn every_document_that_is_generated_is_one_that_the_engine_takes() {
    use tombolo_core::query::{Document, QueryLimits};
    let chain: String = (0..40)
        .map(|n| format!("type C{n} {{ v: Int n: C{} }}\n", n + 1))
        .collect();
    let wide: String = (0..12)
        .map(|n| format!("type W{n} {{ a: W{0} b: W{0} c: W{0} d: [W{0}!]! v: Int }}\n", n + 1))
        .collect();
    let many: String = (0..50).map(|n| format!("f{n}: L ")).collect();
    let leaf: String = (0..50).map(|n| format!("v{n}: Int ")).collect();
    for sdl in [
        "type M @model { id: ID! rule: Rule } type Rule { is: String and: [Rule!] or: [Rule!]! not: Rule }".to_owned(),
        "type M @model { id: ID! a: A b: B } type A { b: B c: C n: String } type B { a: A c: C } type C { a: A b: B }"
            .to_owned(),
        format!("type M @model {{ id: ID! c: C0 }}\n{chain}type C40 {{ v: Int }}"),
        format!("type M @model {{ id: ID! w: W0 }}\n{wide}type W12 {{ v: Int }}"),
        format!("type M @model {{ id: ID! {many} }}\ntype L {{ {leaf} }}"),
    ] {
        let schema = std::sync::Arc::new(schema(&sdl));
        let text = context_json(&schema, &[], &Options::new(Language::Rust)).unwrap();
        let context: Json = serde_json::from_str(&text).unwrap();
        let mut documents = Vec::new();
        fn gather<'j>(json: &'j Json, out: &mut Vec<&'j str>) {
            match json {
                Json::Object(members) => {
                    out.extend(members.get("document").and_then(Json::as_str));
                    members.values().for_each(|member| gather(member, out));
                }
                Json::Array(items) => items.iter().for_each(|item| gather(item, out)),
                _ => {}
            }
        }
        gather(&context["models"], &mut documents);
        assert!(documents.len() > 7, "{sdl}");
        for document in documents {
            let parsed = Document::parse(&schema, document, &QueryLimits::default());
            assert!(parsed.is_ok(), "{sdl}: {:?} in {document}", parsed.err());
            assert!(document.len() < 100_000, "{sdl}: {}", document.len());
        }
        assert_eq!(context["models"][0]["nests"], true, "{sdl}");
    }
}

#[test]
fn a_package_that_is_no_name_is_refused() {
    let with = |language, package: &str| {
        let options = Options {
            package: Some(package.to_owned()),
            ..Options::new(language)
        };
        generate(&schema(SCHEMAS[0].1), &[], &options).is_ok()
    };
    assert!(with(Language::Kotlin, "com.example.flights"));
    for bad in ["com.example.fun", "com..example", "", "../up", "a b", "1a"] {
        assert!(!with(Language::Kotlin, bad), "{bad}");
    }
    assert!(!with(Language::Rust, "a.b"), "a module is one name");
}

#[test]
fn a_template_that_cannot_work_is_told_by_its_place() {
    let told = |path: &str, text: &str| {
        let mut options = Options::new(Language::Rust);
        options.templates.push((path.to_owned(), text.to_owned()));
        let Err(errors) = generate(&schema(SCHEMAS[0].1), &[], &options) else {
            panic!("{path}: {text}")
        };
        errors.to_string()
    };
    assert!(
        told("x.rs.j2", "a\n{{ modles }}").starts_with("x.rs.j2:2:"),
        "undefined"
    );
    assert!(told("x.rs.j2", "{% for %}").starts_with("x.rs.j2:1:"), "syntax");
    assert!(told("x.rs", "").contains("ends in .j2"));
    assert!(told("x.exe.j2", "x").contains("takes no comment"));
    assert!(told("../x.rs.j2", "x").contains("no path of a generated file"));
    assert!(told("[modle].rs.j2", "x").contains("no path of a generated file"));
    assert!(
        told("Mod.rs.j2", "x").contains("is written twice"),
        "on a disk that ignores case they are one"
    );
}
