//! Pages of the feed: every kind of value, and what is not what it says.

use serde_json::value::RawValue;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_machine::{ChangedKeys, Effect, Input, StepError, StoreError};

use crate::script::play_on;
use crate::world::World;

fn batch(world: &World, fields: &[&str], rows: &str) -> Input {
    Input::Batch {
        feed: world.feed,
        batch: ChangeBatch {
            model: "Todo".into(),
            cursor: "e.7".into(),
            up_to_date: true,
            reset: false,
            fields: fields.iter().map(ToString::to_string).collect(),
            rows: RawValue::from_string(rows.into()).unwrap(),
            left: Vec::new(),
            landed: None,
        },
    }
}

fn world() -> World {
    let mut world = World::new();
    play_on(&mut world, "phone scope Todo all\nphone online\nlink up");
    world
}

const FIELDS: [&str; 10] = [
    "id",
    "title",
    "done",
    "rank",
    "share",
    "tags",
    "serverOnly",
    "_version",
    "_deleted",
    "_lastChangedAt",
];

#[test]
fn every_kind_of_value_comes_through() {
    // The same page with and without a record that has unsettled mutations: two paths, one result.
    for with_base in [false, true] {
        let mut world = world();
        if with_base {
            play_on(&mut world, "phone edit Todo/unrelated title=\"x\"");
        }
        let rows = r#"[["1","é \"q\" \n",true,-5,0.1,["a", null ],{"x":1},3,false,9],["2",null,null,null,2,null,null,1,null,9]]"#;
        let input = batch(&world, &FIELDS, rows);
        world.step(input).unwrap();
        let (_, todo) = world.model("Todo");
        let shown = |row: tombolo_core::record::Record| {
            let values: Vec<_> = ["title", "done", "rank", "share", "tags"]
                .iter()
                .map(|n| row.value(todo.field(n).unwrap()).clone())
                .collect();
            format!("{values:?} {:?}", row.meta)
        };
        assert_eq!(
            shown(world.row("Todo", "1").unwrap()),
            r#"[Text("é \"q\" \n"), Bool(true), Int(-5), Float(0.1), Json("[\"a\", null ]")] Meta { version: Version(3), deleted: false, last_changed_at: 9 }"#
        );
        assert_eq!(
            shown(world.row("Todo", "2").unwrap()),
            "[Null, Null, Null, Float(2.0), Null] Meta { version: Version(1), deleted: false, last_changed_at: 9 }"
        );
        let changed = world.effects.iter().find_map(|e| match e {
            Effect::Changed(set) => Some(set.models["Todo"].clone()),
            _ => None,
        });
        // The first page completes a base sync, which may have swept anything.
        assert_eq!(changed, Some(ChangedKeys::All));
    }
}

#[test]
fn a_page_that_is_not_what_it_says_changes_nothing() {
    let cases: [(&str, &[&str], &str); 9] = [
        ("no array", &FIELDS, "{}"),
        ("a row that is no array", &FIELDS, r#"[{"id":"1"}]"#),
        ("a short row", &FIELDS, r#"[["1","t",true]]"#),
        (
            "a long row",
            &["id", "_version", "_deleted", "_lastChangedAt"],
            r#"[["1",1,null,1,"more"]]"#,
        ),
        (
            "a key of another type",
            &FIELDS,
            r#"[[1,"t",true,1,1,null,null,1,null,1]]"#,
        ),
        (
            "a version that is a text",
            &FIELDS,
            r#"[["1","t",true,1,1,null,null,"1",null,1]]"#,
        ),
        (
            "no key column",
            &["title", "_version", "_deleted", "_lastChangedAt"],
            "[]",
        ),
        ("no version column", &["id", "_deleted", "_lastChangedAt"], "[]"),
        (
            "a column twice",
            &["id", "id", "_version", "_deleted", "_lastChangedAt"],
            "[]",
        ),
    ];
    for (name, fields, rows) in cases {
        let mut world = world();
        // A good row before the bad one must not stay either.
        let rows = rows.replacen(
            "[[",
            r#"[["good","t",null,null,null,null,null,1,null,1],["#,
            usize::from(fields.len() == 10),
        );
        let input = batch(&world, fields, &rows);
        let error = world.step(input).unwrap_err();
        assert!(
            matches!(error, StepError::Store(StoreError::BadBatch(_))),
            "{name}: {error}"
        );
        assert!(world.row("Todo", "good").is_none(), "{name}");
        play_on(&mut world, "expect cursor Todo none");
    }
}

#[test]
fn a_value_of_another_type_is_shown_as_what_comes_nearest() {
    for with_base in [false, true] {
        let mut world = world();
        if with_base {
            play_on(&mut world, "phone edit Todo/unrelated title=\"x\"");
        }
        let rows = r#"[["1",7,1,1.5,"0.5",null,null,1,null,9],["2",["a","b"],null,"12",{},null,null,1,null,9]]"#;
        let input = batch(&world, &FIELDS, rows);
        world.step(input).unwrap();
        let (_, todo) = world.model("Todo");
        let mut shown = |id: &str| {
            let row = world.row("Todo", id).unwrap();
            let values = ["title", "done", "rank", "share"].map(|n| row.value(todo.field(n).unwrap()).clone());
            format!("{values:?}")
        };
        assert_eq!(shown("1"), r#"[Text("7"), Null, Int(2), Float(0.5)]"#);
        assert_eq!(shown("2"), r#"[Text("a"), Null, Int(12), Null]"#);
    }
}

#[test]
fn a_version_that_is_missing_is_refused() {
    let mut world = world();
    let input = batch(
        &world,
        &["id", "_version", "_deleted", "_lastChangedAt"],
        r#"[["1",null,null,1]]"#,
    );
    assert!(matches!(
        world.step(input),
        Err(StepError::Store(StoreError::BadBatch(_)))
    ));
}

#[test]
fn large_pages_name_the_model_and_small_ones_the_keys() {
    let mut world = world();
    play_on(&mut world, "server page Todo e.1 live");
    let page = |n: usize| {
        let rows: Vec<String> = (0..n).map(|i| format!(r#"["{i}",1,null,1]"#)).collect();
        format!("[{}]", rows.join(","))
    };
    let fields = ["id", "_version", "_deleted", "_lastChangedAt"];
    for (n, all) in [(2, false), (tombolo_machine::limits::CHANGED_KEYS_MAX + 1, true)] {
        let input = batch(&world, &fields, &page(n));
        world.step(input).unwrap();
        let changed = world.effects.iter().find_map(|e| match e {
            Effect::Changed(set) => Some(set.models["Todo"].clone()),
            _ => None,
        });
        match changed.unwrap() {
            ChangedKeys::All => assert!(all, "{n}"),
            ChangedKeys::Some(keys) => assert!(!all && keys.len() == n, "{n}: {keys:?}"),
        }
    }
}
