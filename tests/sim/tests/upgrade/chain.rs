//! A chain of schemas for each kind of change: each version makes the same kind of change once more.

use std::fmt::Write as _;
use std::sync::Arc;

use tombolo_core::schema::Schema;

/// Versions beside the first.
pub(crate) const STEPS: usize = 5;

/// What a change of this kind may cost at worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nothing: every mutation is applied, and no row is pulled again.
    None,
    /// What was given for fields that are gone; no row is pulled again.
    Fields,
    /// Mutations that have lost their meaning are rejected as `SchemaChanged`; rows may be pulled again.
    Meaning,
}

/// One kind of change.
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) cost: Cost,
    sdl: fn(usize) -> String,
}

impl Change {
    /// The schema after `version` changes.
    pub(crate) fn schema(&self, version: usize) -> Arc<Schema> {
        let sdl = (self.sdl)(version);
        match Schema::parse(&sdl, self.name) {
            Ok(schema) => Arc::new(schema),
            Err(errors) => panic!("{errors}\n{sdl}"),
        }
    }
}

/// `text` once for each number from 1 to [`STEPS`], as it is before and after the change of that number.
fn each(version: usize, before: impl Fn(usize) -> String, after: impl Fn(usize) -> String) -> String {
    let one = |n| if n <= version { after(n) } else { before(n) };
    (1..=STEPS).map(one).collect::<Vec<_>>().join(" ")
}

fn note(head: &str, fields: &str) -> String {
    format!("type Note @model{head} {{ id: ID! body: String n: Int {fields} }}")
}

fn nothing(_: usize) -> String {
    String::new()
}

/// Every former name of version `version`, as `@renamed` takes them.
fn renamed(name: &str, version: usize) -> String {
    let mut former = format!("\"{name}\"");
    for n in 1..version {
        // Writing to a string cannot fail.
        let _ = write!(former, ", \"{name}{n}\"");
    }
    if version == 0 {
        String::new()
    } else {
        format!(" @renamed(from: [{former}])")
    }
}

fn numbered(name: &str, version: usize) -> String {
    if version == 0 {
        name.to_owned()
    } else {
        format!("{name}{version}")
    }
}

/// All kinds of change.
pub(crate) const CHANGES: [Change; 16] = [
    Change {
        name: "field added",
        cost: Cost::None,
        sdl: |v| note("", &each(v, nothing, |n| format!("f{n}: String"))),
    },
    Change {
        name: "field removed",
        cost: Cost::Fields,
        sdl: |v| note("", &each(v, |n| format!("f{n}: String"), nothing)),
    },
    Change {
        name: "field renamed",
        cost: Cost::None,
        sdl: |v| note("", &format!("{}: String{}", numbered("text", v), renamed("text", v))),
    },
    Change {
        name: "made required with a default",
        cost: Cost::None,
        sdl: |v| {
            let after = |n| format!("f{n}: Int! @default(value: \"{n}\")");
            note("", &each(v, |n| format!("f{n}: Int"), after))
        },
    },
    Change {
        name: "made optional",
        cost: Cost::None,
        sdl: |v| {
            let before = |n| format!("f{n}: Int! @default(value: \"{n}\")");
            note("", &each(v, before, |n| format!("f{n}: Int")))
        },
    },
    Change {
        name: "type widened",
        cost: Cost::None,
        sdl: |v| {
            let narrow = ["Int", "AWSDate", "[Int]", "Mood", "Int"];
            let wide = ["Float", "String", "[Float]", "String", "AWSTimestamp"];
            let fields = each(
                v,
                |n| format!("f{n}: {}", narrow[n - 1]),
                |n| format!("f{n}: {}", wide[n - 1]),
            );
            format!("enum Mood {{ GOOD BAD }} {}", note("", &format!("mood: Mood {fields}")))
        },
    },
    Change {
        name: "enum value added",
        cost: Cost::None,
        sdl: |v| {
            let values = each(v, nothing, |n| format!("V{n}"));
            format!(
                "enum Mood {{ GOOD BAD {values} }} {}",
                note("", "mood: Mood moods: [Mood]")
            )
        },
    },
    Change {
        name: "enum value removed",
        cost: Cost::Meaning,
        sdl: |v| {
            let values = each(v, |n| format!("V{n}"), nothing);
            format!("enum Mood {{ {values} GOOD }} {}", note("", "mood: Mood moods: [Mood]"))
        },
    },
    Change {
        name: "index changed",
        cost: Cost::None,
        sdl: |v| {
            let keys = ["n", "f1", "f2", "f3", "n\", \"f1", "f1\", \"f2"];
            let fields = format!(
                "list: ID @index(name: \"byList\", sortKeyFields: [\"{}\"]) f1: String f2: String f3: String",
                keys[v]
            );
            note("", &fields)
        },
    },
    Change {
        name: "key changed",
        cost: Cost::Meaning,
        sdl: |v| {
            let keyed = |n: usize| match n {
                n if n == v => format!("k{n}: ID! @primaryKey"),
                n => format!("k{n}: ID!"),
            };
            let keys: Vec<String> = (0..=STEPS).map(keyed).collect();
            format!(
                "{} type Keyed @model {{ {} body: String }}",
                note("", ""),
                keys.join(" ")
            )
        },
    },
    Change {
        name: "model added",
        cost: Cost::None,
        sdl: |v| {
            let added = |n| format!("type M{n} @model {{ id: ID! body: String }}");
            format!("{} {}", note("", ""), each(v, nothing, added))
        },
    },
    Change {
        name: "model removed",
        cost: Cost::Meaning,
        sdl: |v| {
            let removed = |n| format!("type M{n} @model {{ id: ID! body: String }}");
            format!("{} {}", note("", ""), each(v, removed, nothing))
        },
    },
    Change {
        name: "model renamed",
        cost: Cost::None,
        sdl: |v| {
            let name = numbered("Memo", v);
            let memo = format!(
                "type {name} @model{} {{ id: ID! body: String n: Int }}",
                renamed("Memo", v)
            );
            format!("{} {memo}", note("", ""))
        },
    },
    Change {
        name: "relation added",
        cost: Cost::None,
        sdl: |v| related(&each(v, nothing, |n| format!("p{n}: Parent @hasOne"))),
    },
    Change {
        name: "relation removed",
        cost: Cost::Fields,
        sdl: |v| related(&each(v, |n| format!("p{n}: Parent @hasOne"), nothing)),
    },
    Change {
        name: "conflict strategy changed",
        cost: Cost::None,
        sdl: |v| {
            let strategies = ["AUTOMERGE", "OPTIMISTIC_CONCURRENCY", "LAST_WRITER_WINS"];
            note(&format!("(conflict: {})", strategies[v % 3]), "")
        },
    },
];

fn related(fields: &str) -> String {
    format!("{} type Parent @model {{ id: ID! name: String }}", note("", fields))
}
