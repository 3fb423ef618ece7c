//! Operations on counters and sets on a replica: made of plain values, shown, folded, kept, sent.

use serde_json::{Value as Json, json};
use tombolo_machine::{Intent, request};

use crate::script::{play, play_on};
use crate::world::World;

const SYNCED: &str = "phone scope Todo all\nphone online\nlink up\n\
                      server page Todo e.2 live; Todo/1 v1 title=\"a\" likes=5 labels=[\"x\",\"y\"]\nlink down\n";

fn intents(world: &mut World) -> Vec<Intent> {
    world.outbox().into_iter().map(|entry| entry.intent).collect()
}

/// The operations of each entry.
fn operations(world: &mut World) -> Vec<Json> {
    intents(world)
        .into_iter()
        .map(|intent| Json::Object(intent.operations))
        .collect()
}

#[test]
fn a_plain_value_of_an_update_becomes_the_operation_that_leads_there() {
    // edits, operations in the outbox, plain values beside the key, what is shown
    let cases = [
        ("likes=7", json!({"likes": {"add": 2}}), json!({}), "likes=7"),
        ("likes=4", json!({"likes": {"add": -1}}), json!({}), "likes=4"),
        (
            "likes=5 title=\"b\"",
            json!({}),
            json!({"title": "b"}),
            "likes=5 title=\"b\"",
        ),
        ("likes=null", json!({}), json!({"likes": null}), "likes=null"),
        (
            "labels=[\"y\",\"z\"]",
            json!({"labels": {"add": ["z"], "remove": ["x"]}}),
            json!({}),
            "labels=[\"y\",\"z\"]",
        ),
        // One after the other, folded into one.
        ("likes=7;likes=10", json!({"likes": {"add": 5}}), json!({}), "likes=10"),
        ("likes=7;likes=null", json!({}), json!({"likes": null}), "likes=null"),
        ("likes=null;likes=3", json!({}), json!({"likes": 3}), "likes=3"),
        (
            "labels=[\"x\"];labels=[\"x\",\"y\",\"z\"]",
            json!({"labels": {"add": ["y", "z"], "remove": []}}),
            json!({}),
            "likes=5",
        ),
    ];
    for (edits, wanted, values, shown) in cases {
        let mut world = play(SYNCED);
        for edit in edits.split(';') {
            play_on(&mut world, &format!("phone edit Todo/1 {edit}"));
        }
        play_on(
            &mut world,
            &format!("expect outbox 1=queued\nexpect Todo/1 {shown}\nkilled\nexpect Todo/1 {shown}"),
        );
        let intent = intents(&mut world).remove(0);
        assert_eq!(Json::Object(intent.operations), wanted, "{edits}");
        let mut given = intent.values;
        given.remove("id");
        assert_eq!(Json::Object(given), values, "{edits}");
    }
}

#[test]
fn a_created_record_has_values_and_edits_are_folded_into_them() {
    let mut world = play(
        "phone scope Todo all\nphone create Todo/1 labels=[\"a\"]\nphone edit Todo/1 likes=3\nphone edit Todo/1 likes=4 labels=[\"b\"]",
    );
    play_on(
        &mut world,
        "expect outbox 1=queued\nexpect Todo/1 likes=4 labels=[\"b\"]",
    );
    let intent = intents(&mut world).remove(0);
    assert!(intent.operations.is_empty());
    assert_eq!(
        (&intent.values["likes"], &intent.values["labels"]),
        (&json!(4), &json!(["b"]))
    );
}

#[test]
fn an_operation_is_laid_over_whatever_the_base_becomes() {
    let mut world = play(SYNCED);
    play_on(
        &mut world,
        r#"
        phone edit Todo/1 likes=7
        phone edit Todo/1 labels=["y","z"]
        time 30s
        link up
        expect sent 1
        server page Todo e.3 live; Todo/1 v2 title="a" likes=100 labels=["w","x"]
        expect Todo/1 likes=102 labels=["w","z"]
        server answers 1 applied e.4
        server page Todo e.4 live; Todo/1 v3 title="a" likes=102 labels=["w","z"]
        expect outbox empty
        expect Todo/1 likes=102 labels=["w","z"]
        "#,
    );
}

#[test]
fn the_greatest_is_shown_at_once_and_survives_folding() {
    let mut world = play(&SYNCED.replace("likes=5", "likes=5 best=7"));
    play_on(
        &mut world,
        r#"
        phone edit Todo/1 best=5
        expect Todo/1 best=7
        phone edit Todo/1 best=9
        expect Todo/1 best=9
        phone edit Todo/1 best=8
        expect Todo/1 best=9
        expect outbox 1=queued
        "#,
    );
    assert_eq!(intents(&mut world)[0].values["best"], json!(9));
    let mut world =
        play("phone scope Todo all\nphone create Todo/1 best=3\nphone edit Todo/1 best=2\nexpect Todo/1 best=3");
    assert_eq!(intents(&mut world)[0].values["best"], json!(3));
}

#[test]
fn operations_travel_in_their_own_member_of_the_input() {
    let mut world = play(SYNCED);
    play_on(&mut world, "phone edit Todo/1 likes=7 title=\"b\"");
    assert_eq!(operations(&mut world), [json!({"likes": {"add": 2}})]);
    let entries = world.outbox();
    let replica = tombolo_core::id::ReplicaId("r".into());
    let request = request(&world.schema, &replica, &entries, 0);
    assert_eq!(
        request.variables.unwrap()["i0"],
        json!({"id": "1", "title": "b", "_operations": {"likes": {"add": 2}}, "_version": 1})
    );
}

#[test]
fn creating_what_is_shown_deleted_names_the_tombstone() {
    let mut world = play(SYNCED);
    play_on(
        &mut world,
        "time 30s\nlink up\nserver page Todo e.3 live; Todo/1 v4! title=\"a\" likes=5\nlink down\nphone create Todo/1 title=\"new\"",
    );
    assert_eq!(intents(&mut world)[0].base_version.map(|v| v.0), Some(4));
    // Nothing of the deleted record comes back.
    play_on(&mut world, "expect Todo/1 title=\"new\" likes=null");
    // One's own deletion that the server has not heard of yet: the version that it was based on, and it was seen.
    let mut world = play(SYNCED);
    play_on(
        &mut world,
        "phone delete Todo/1\nphone create Todo/1 title=\"new\"\nexpect outbox 1=queued 2=queued",
    );
    let entry = world.outbox().remove(1);
    assert_eq!(entry.intent.base_version.map(|v| v.0), Some(1));
    assert_eq!(entry.seen.iter().map(|n| n.0).collect::<Vec<_>>(), [1]);
    // A new record names none.
    let mut world = play(SYNCED);
    play_on(&mut world, "phone create Todo/9 title=\"new\"");
    assert_eq!(intents(&mut world)[0].base_version, None);
}

#[test]
fn what_the_user_saw_is_kept_and_sent_where_a_resolver_may_be_asked() {
    let mut world = play(
        "phone scope Memo all\nphone online\nlink up\nserver page Memo e.2 live; Memo/1 v1 body=\"a\" note=\"n\"\nlink down\n\
         phone edit Memo/1 body=\"b\"\nphone edit Memo/1 body=\"c\" note=\"m\"\nkilled",
    );
    let entries = world.outbox();
    // Folded into one; what the first edit made is not what the user saw before it.
    assert_eq!(entries.len(), 1);
    let saw = json!({"body": "a", "note": "n"});
    assert_eq!(Json::Object(entries[0].intent.base.clone()), saw);
    let replica = tombolo_core::id::ReplicaId("r".into());
    let sent = request(&world.schema, &replica, &entries, 0);
    assert_eq!(sent.extensions.unwrap()["tombolo"]["base"], saw);
    // In a transaction by root field.
    let mut atomic = entries;
    atomic[0].atomic = true;
    let sent = request(&world.schema, &replica, &atomic, 0);
    assert_eq!(sent.extensions.unwrap()["tombolo"]["base"], json!({ "m0": saw }));
    // Nothing where no resolver is asked.
    let mut world = play(SYNCED);
    play_on(&mut world, "phone edit Todo/1 title=\"b\"");
    assert!(intents(&mut world)[0].base.is_empty());
}
