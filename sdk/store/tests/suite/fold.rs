//! What is folded and what is not, and how intents are laid over a base row: tables.

use std::collections::BTreeMap;

use tombolo_core::limits::{RECORD_BYTES_MAX, REQUEST_BYTES_MAX};
use tombolo_core::record::Record;
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_machine::{Input, Intent, StepError, StoreTx, lay};

use crate::script::play_on;
use crate::world::World;

#[test]
fn folding_never_shows() {
    // name, script after `scope`, outbox then, what Todo/1 shows
    let cases = [
        (
            "update + update",
            "phone edit Todo/1 title=\"b\"\nphone edit Todo/1 rank=2",
            "1=queued",
            "title=\"b\" rank=2",
        ),
        (
            "the same field twice",
            "phone edit Todo/1 title=\"b\"\nphone edit Todo/1 title=\"c\"",
            "1=queued",
            "title=\"c\" rank=1",
        ),
        (
            "create + update",
            "phone create Todo/9\nphone edit Todo/9 title=\"b\"",
            "1=queued",
            "title=\"a\"",
        ),
        (
            "create + delete",
            "phone create Todo/9\nphone delete Todo/9",
            "empty",
            "title=\"a\"",
        ),
        (
            "create + delete with a dependent",
            "phone create Todo/9\nphone create Comment/1 todoId=\"9\"\nphone delete Todo/9",
            "1=queued 2=queued 3=queued",
            "title=\"a\"",
        ),
        (
            "update + delete",
            "phone edit Todo/1 rank=2\nphone delete Todo/1",
            "1=queued 2=queued",
            "deleted",
        ),
        (
            "into one in flight",
            "phone online\nlink up\nphone edit Todo/1 rank=2\nphone edit Todo/1 rank=3",
            "1=inflight 2=queued",
            "rank=3",
        ),
        (
            "into one of unknown fate",
            "phone online\nlink up\nphone edit Todo/1 rank=2\nlink down\nphone edit Todo/1 rank=3",
            "1=inflight 2=queued",
            "rank=3",
        ),
        (
            "into an acknowledged one",
            "phone online\nlink up\nphone edit Todo/1 rank=2\nserver answers 1 applied e.9\nphone offline\nphone edit Todo/1 rank=3",
            "1=acked 2=queued",
            "rank=3",
        ),
        (
            "into a transaction",
            "phone edit Todo/1 rank=2 & edit Todo/2 rank=2\nphone edit Todo/1 rank=3",
            "1=queued 2=queued 3=queued",
            "rank=3",
        ),
        (
            "of a transaction",
            "phone edit Todo/1 rank=2\nphone edit Todo/1 rank=3 & edit Todo/2 rank=2",
            "1=queued 2=queued 3=queued",
            "rank=3",
        ),
        (
            "over a base row that moved in between",
            "phone edit Todo/1 rank=2\nphone online\nlink up\nphone edit Todo/1 title=\"x\"\nserver page Todo e.5 live; Todo/1 v2 title=\"theirs\"\nphone offline\nphone edit Todo/1 title=\"y\"",
            "1=inflight 2=queued 3=queued",
            "title=\"y\" rank=2",
        ),
        (
            "after a kill",
            "phone edit Todo/1 rank=2\nkilled\nphone edit Todo/1 title=\"z\"",
            "1=queued",
            "title=\"z\" rank=2",
        ),
        (
            "that would make a ring of waiting",
            "phone create Todo/9\nphone create Comment/9 todoId=\"9\"\nphone create Todo/8\nphone edit Comment/9 todoId=\"8\"",
            "1=queued 2=queued 3=queued 4=queued",
            "title=\"a\"",
        ),
    ];
    for (name, script, outbox, row) in cases {
        let mut world = World::new();
        play_on(
            &mut world,
            "phone scope Todo all\nphone online\nlink up\nserver page Todo e.1 live; Todo/1 v1 title=\"a\" rank=1; Todo/2 v1\nphone offline",
        );
        let script = format!("{script}\nexpect outbox {outbox}\nexpect Todo/1 {row}");
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play_on(&mut world, &script)));
        assert!(played.is_ok(), "case: {name}");
    }
}

#[test]
fn a_folded_create_carries_the_update_and_keeps_its_number() {
    let mut world = World::new();
    play_on(
        &mut world,
        "phone scope Todo all\nphone create Todo/9 title=\"a\"\nphone edit Todo/9 title=\"b\" rank=1",
    );
    let entry = &world.outbox()[0];
    assert_eq!(entry.intent.kind, MutationKind::Create);
    assert_eq!(
        serde_json::json!(entry.intent.values),
        serde_json::json!({"id": "9", "title": "b", "rank": 1})
    );
}

#[test]
fn what_the_user_saw_is_told_to_the_server() {
    let mut world = World::new();
    play_on(
        &mut world,
        r#"
        phone scope Todo all
        phone online
        link up
        server page Todo e.1 live; Todo/1 v4 title="a"
        phone edit Todo/1 title="b"
        phone edit Todo/1 title="c"
        server answers 1 applied e.2
        server page Todo e.2 live; Todo/1 v5 title="b"
        phone edit Todo/1 rank=1
        "#,
    );
    let entries = world.outbox();
    let facts: Vec<_> = entries
        .iter()
        .map(|e| {
            (
                e.number.0,
                e.intent.base_version.map(|v| v.0),
                e.seen.iter().map(|n| n.0).collect::<Vec<_>>(),
            )
        })
        .collect();
    // The second was made on version 4 knowing the first; the third on version 5, in which the first stands.
    assert_eq!(facts, [(2, Some(4), vec![1]), (3, Some(5), vec![2])]);
}

#[test]
fn intents_are_laid_in_order_over_whatever_the_base_is() {
    let world = World::new();
    let (_, todo) = world.model("Todo");
    let intent = |kind, set: serde_json::Value| Intent {
        model: "Todo".into(),
        kind,
        key: vec!["1".into()],
        values: set.as_object().cloned().unwrap(),
        operations: serde_json::Map::new(),
        base: serde_json::Map::new(),
        base_version: None,
        condition: None,
    };
    let create = intent(
        MutationKind::Create,
        serde_json::json!({"id": "1", "title": "new", "tags": ["x"]}),
    );
    let title = intent(MutationKind::Update, serde_json::json!({"id": "1", "title": "t"}));
    let rank = intent(
        MutationKind::Update,
        serde_json::json!({"id": "1", "rank": 5, "gone": 1}),
    );
    let clear = intent(MutationKind::Update, serde_json::json!({"id": "1", "title": null}));
    let delete = intent(MutationKind::Delete, serde_json::json!({"id": "1"}));
    let base = |deleted| {
        let mut row = lay(&todo, None, &[(&create, 0)]).unwrap();
        row.values[todo.field("title").unwrap().0] = Value::Text("base".into());
        row.meta.version.0 = 3;
        row.meta.deleted = deleted;
        row
    };
    let shown = |row: Option<Record>| match row {
        None => "gone".to_owned(),
        Some(row) if row.meta.deleted => "deleted".to_owned(),
        Some(row) => {
            let value = |name: &str| row.value(todo.field(name).unwrap()).to_json();
            format!(
                "{} {} {} v{}",
                value("title"),
                value("rank"),
                value("tags"),
                row.meta.version.0
            )
        }
    };
    let cases: [(&str, Option<Record>, Vec<&Intent>, &str); 11] = [
        ("nothing over nothing", None, vec![], "gone"),
        ("create", None, vec![&create], r#""new" null ["x"] v0"#),
        ("create, update", None, vec![&create, &rank], r#""new" 5 ["x"] v0"#),
        ("update of what is not here", None, vec![&title], "gone"),
        ("delete of what is not here", None, vec![&delete], "gone"),
        ("update", Some(base(false)), vec![&title], r#""t" null ["x"] v3"#),
        (
            "two updates",
            Some(base(false)),
            vec![&title, &rank],
            r#""t" 5 ["x"] v3"#,
        ),
        (
            "the later one wins",
            Some(base(false)),
            vec![&title, &clear],
            r#"null null ["x"] v3"#,
        ),
        ("delete", Some(base(false)), vec![&title, &delete], "deleted"),
        ("update of a tombstone", Some(base(true)), vec![&title], "deleted"),
        (
            "update after delete",
            Some(base(false)),
            vec![&delete, &title],
            "deleted",
        ),
    ];
    for (name, base, intents, wanted) in cases {
        let intents: Vec<_> = intents.into_iter().map(|i| (i, 0)).collect();
        assert_eq!(shown(lay(&todo, base.as_ref(), &intents)), wanted, "{name}");
    }
}

/// A title of so many bytes.
fn title(bytes: usize) -> BTreeMap<String, serde_json::Value> {
    BTreeMap::from([("title".to_owned(), serde_json::Value::from("x".repeat(bytes)))])
}

#[test]
fn what_no_server_would_read_is_refused_before_it_is_kept() {
    let mut world = World::new();
    let large = world.mutation(MutationKind::Create, "Todo", "1", &title(REQUEST_BYTES_MAX));
    assert!(matches!(
        world.step(Input::Enqueue(vec![large])),
        Err(StepError::RequestTooLarge { .. })
    ));
    // Each of a transaction would do, together they do not.
    let part =
        |world: &World, id: &str| world.mutation(MutationKind::Create, "Todo", id, &title(REQUEST_BYTES_MAX / 10));
    let parts: Vec<_> = (0..10).map(|id| part(&world, &id.to_string())).collect();
    assert!(matches!(
        world.step(Input::Enqueue(parts.clone())),
        Err(StepError::RequestTooLarge { .. })
    ));
    play_on(&mut world, "expect outbox empty\nexpect Todo/1 gone");
    world.step(Input::Enqueue(parts[..9].to_vec())).unwrap();
    assert_eq!(world.outbox().len(), 9);
}

#[test]
fn edits_that_together_are_too_large_for_a_record_are_not_folded() {
    let mut world = World::new();
    let half = RECORD_BYTES_MAX / 2;
    let create = world.mutation(MutationKind::Create, "Todo", "1", &title(half));
    world.step(Input::Enqueue(vec![create])).unwrap();
    let tags = BTreeMap::from([("tags".to_owned(), serde_json::json!(["y".repeat(half)]))]);
    let edit = world.mutation(MutationKind::Update, "Todo", "1", &tags);
    world.step(Input::Enqueue(vec![edit])).unwrap();
    play_on(&mut world, "expect outbox 1=queued 2=queued");
}

#[test]
fn a_file_that_holds_a_request_too_large_gives_it_to_the_app_and_sends_the_rest() {
    let mut world = World::new();
    play_on(
        &mut world,
        "phone scope Todo all\nphone create Todo/1 title=\"a\"\nphone create Todo/2 title=\"b\"",
    );
    // As an earlier version may have left it.
    let mut entry = world.outbox().remove(0);
    entry.intent.values.extend(title(REQUEST_BYTES_MAX));
    let mut tx = world.store.as_mut().unwrap().begin(true).unwrap();
    tx.put_entry(&entry).unwrap();
    tx.commit().unwrap();
    play_on(
        &mut world,
        r#"
        phone online
        link up
        expect sent 2
        expect outbox 1=wedged 2=inflight
        phone retry 1
        expect sent nothing
        expect outbox 1=wedged 2=inflight
        phone discard 1
        expect outbox 2=inflight
        "#,
    );
}
