//! A mutation of unknown fate is edited: whether it was carried out or not, the edit takes effect once, changes nothing else,
//! and what was made after it stays after it.

use serde_json::{Value as Json, json};
use tombolo_core::id::{MutationId, MutationNumber};
use tombolo_machine::{Effect, Outgoing, limits};

use crate::script::{play, play_on};
use crate::world::World;

const UP: &str = r#"
    phone scope Todo all
    phone online
    link up
    server page Todo e.1 live; Todo/9 v3 title="z" rank=1 likes=4 labels=["a"]
"#;

/// A live replica whose mutation 1, the first of `lines`, is wedged; the others wait behind it.
fn stuck(lines: &str) -> World {
    let mut script = format!("{UP}{lines}\nserver answers 1 nothing\n");
    for _ in 1..limits::UNDECIDED_TRIES_MAX {
        script.push_str("time 30s\nserver page Todo e.1 live\nserver answers 1 nothing\n");
    }
    let mut world = play(&script);
    world.sent.clear();
    world
}

/// The first input of what the newest step sent, and the numbers that it has seen.
fn sent(world: &World) -> (Json, Json) {
    let request = world.effects.iter().find_map(|effect| match effect {
        Effect::Send(Outgoing::Mutation { request, .. }) => Some(serde_json::to_value(request).unwrap()),
        _ => None,
    });
    let request = request.unwrap();
    (
        request["variables"]["i0"].clone(),
        request["extensions"]["tombolo"]["seen"].clone(),
    )
}

#[test]
fn a_delete_of_what_was_made_anew_goes_behind_it_and_is_not_folded_away() {
    for void in ["applied e.2", "rejected Discarded"] {
        let mut world = stuck("phone create Todo/1 title=\"a\"");
        play_on(
            &mut world,
            &format!(
                r#"
                phone redo 1 Todo title="b"
                phone delete Todo/1
                # What 1 may have made can only be deleted on the server.
                expect outbox 1=givenup 2=queued 3=queued
                expect Todo/1 deleted
                server answers 1 {void}
                expect Todo/1 deleted
                time 0s
                expect sent 1 2
                server answers 2 applied e.3
                time 0s
                expect sent 3
                "#
            ),
        );
        play_on(&mut world, "link down\ntime 30s\nlink up");
        let seen = if void == "applied e.2" {
            json!([1, 2])
        } else {
            json!([2])
        };
        assert_eq!(sent(&world), (json!({ "id": "1" }), seen), "{void}");
        play_on(
            &mut world,
            "server answers 3 applied e.4\nserver page Todo e.4 live; Todo/1 v3!\nexpect outbox empty\nexpect Todo/1 deleted",
        );
    }
}

#[test]
fn of_the_edit_of_a_creation_that_was_carried_out_only_what_it_changes_is_sent() {
    let mut world = stuck("phone create Todo/1 title=\"a\" rank=1 likes=0 labels=[\"x\"] share=1.5");
    play_on(
        &mut world,
        r#"
        phone redo 1 Todo rank=2 likes=3
        server answers 1 applied e.2
        expect Todo/1 title="a" rank=2 likes=3
        time 0s
        "#,
    );
    let wanted = json!({ "id": "1", "rank": 2, "_operations": { "likes": { "add": 3 } } });
    assert_eq!(
        sent(&world),
        (wanted, json!([1])),
        "on top of what 1 made: what others did since stands"
    );
    play_on(
        &mut world,
        r#"
        server page Todo e.5 live; Todo/1 v4 title="b" rank=1 likes=10 labels=["x","y"] share=1.5
        expect ended 1=applied
        expect Todo/1 title="b" rank=2 likes=13 labels=["x","y"]
        "#,
    );
}

#[test]
fn of_the_edit_of_an_update_that_was_carried_out_only_what_it_changes_is_sent() {
    let mut world = stuck("phone edit Todo/9 title=\"a\" rank=2 likes=5 labels=[\"a\",\"b\"]");
    play_on(
        &mut world,
        r#"
        phone redo 1 Todo rank=3
        server answers 1 merged e.2
        time 0s
        "#,
    );
    // Its base stays what the user saw: of what others changed after that he knows nothing.
    let wanted = json!({ "id": "9", "rank": 3, "_version": 3 });
    assert_eq!(sent(&world), (wanted, json!([1])));
    play_on(
        &mut world,
        r#"
        server page Todo e.5 live; Todo/9 v7 title="theirs" rank=2 likes=20 labels=["a","b","c"]
        expect Todo/9 title="theirs" rank=3 likes=20 labels=["a","b","c"]
        "#,
    );
}

#[test]
fn a_resolver_is_told_what_the_user_saw_when_he_edited() {
    let mut world = play(
        "phone scope Memo all\nphone online\nlink up\nserver page Memo e.1 live; Memo/1 v1 body=\"z\" note=\"n\"\nphone edit Memo/1 body=\"a\" note=\"m\"\nserver answers 1 nothing",
    );
    for _ in 1..limits::UNDECIDED_TRIES_MAX {
        play_on(
            &mut world,
            "time 30s\nserver page Memo e.1 live\nserver answers 1 nothing",
        );
    }
    play_on(
        &mut world,
        "expect outbox 1=wedged\nphone redo 1 Memo body=\"b\"\nserver answers 1 applied e.2",
    );
    let entry = world.outbox().pop().unwrap();
    assert_eq!(json!(entry.intent.values), json!({ "id": "1", "body": "b" }));
    assert_eq!(json!(entry.intent.base), json!({ "body": "a" }));
}

/// An edit, a transaction and another edit behind the creation of unknown fate.
const BEHIND: &str = r#"
    phone create Todo/1 title="a" rank=1
    phone edit Todo/1 rank=2
    phone create Comment/1 todoId="1" & edit Todo/1 done=true
    phone edit Todo/1 rank=3
"#;

#[test]
fn what_is_queued_behind_a_wedged_creation_goes_on_behind_its_edit() {
    let mut world = stuck(BEHIND);
    play_on(
        &mut world,
        r#"
        expect outbox 1=wedged 2=queued 3=queued 4=queued 5=queued
        killed before commit of phone redo 1 Todo title="b"
        expect outbox 1=wedged 2=queued 3=queued 4=queued 5=queued
        phone online
        link up
        phone redo 1 Todo title="b"
        expect outbox 1=givenup 6=queued 7=queued 8=queued 9=queued 10=queued
        expect Todo/1 title="b" rank=3 done=true
        killed
        phone online
        link up
        expect Todo/1 title="b" rank=3 done=true
        server answers 1 rejected Discarded
        expect ended 1=discarded
        time 0s
        expect outbox 6=inflight 7=queued 8=queued 9=queued 10=queued
        "#,
    );
    assert_eq!(sent(&world).0, json!({ "id": "1", "title": "b", "rank": 1 }));
    play_on(&mut world, "server answers 6 applied e.2\ntime 0s");
    assert_eq!(sent(&world), (json!({ "id": "1", "rank": 2 }), json!([6])));
    play_on(
        &mut world,
        r#"
        server answers 7 applied e.3
        time 0s
        server answers 8-9 applied e.4
        time 0s
        server answers 10 applied e.5
        server page Todo e.5 live; Todo/1 v4 title="b" rank=3 done=true
        expect outbox empty
        expect ended 1=discarded 6=applied 7=applied 8=applied 9=applied 10=applied
        "#,
    );
}

#[test]
fn what_is_queued_behind_a_wedged_creation_that_was_carried_out_is_not_reverted_by_its_edit() {
    let mut world = stuck(BEHIND);
    play_on(
        &mut world,
        r#"
        phone redo 1 Todo title="b"
        server answers 1 applied e.2
        expect Todo/1 title="b" rank=3 done=true
        time 0s
        expect outbox 1=acked 6=inflight 7=queued 8=queued 9=queued 10=queued
        "#,
    );
    assert_eq!(sent(&world), (json!({ "id": "1", "title": "b" }), json!([1])));
    play_on(&mut world, "server answers 6 applied e.3\ntime 0s");
    assert_eq!(
        sent(&world),
        (json!({ "id": "1", "rank": 2 }), json!([1, 6])),
        "it saw both"
    );
    play_on(
        &mut world,
        r#"
        server answers 7 applied e.4
        time 0s
        server answers 8-9 applied e.5
        time 0s
        server answers 10 applied e.6
        server page Todo e.6 live; Todo/1 v5 title="b" rank=3 done=true
        expect outbox empty
        expect Todo/1 title="b" rank=3 done=true
        "#,
    );
}

#[test]
fn what_goes_on_behind_an_edit_says_under_which_number_a_copy_of_the_file_may_have_sent_it() {
    let mut world = stuck("phone edit Todo/9 rank=2\nphone edit Todo/9 likes=5");
    let replica = world.tx(|tx| tx.replica());
    let names = |world: &mut World| {
        let moved = |entry: tombolo_machine::OutboxEntry| (entry.number.0, entry.moved_from);
        world.outbox().into_iter().map(moved).collect::<Vec<_>>()
    };
    let name = |number| MutationId {
        replica: replica.clone(),
        number: MutationNumber(number),
    };
    play_on(
        &mut world,
        r#"
        expect outbox 1=wedged 2=queued
        phone redo 1 Todo rank=3
        expect outbox 1=givenup 3=queued 4=queued
        # Not folded into it: as it is it may have been sent.
        phone edit Todo/9 likes=6
        expect outbox 1=givenup 3=queued 4=queued 5=queued
        killed
        "#,
    );
    assert_eq!(
        names(&mut world),
        [(1, vec![]), (3, vec![]), (4, vec![name(2)]), (5, vec![])]
    );
    // What the server is to keep: not the new numbers alone.
    play_on(
        &mut world,
        "phone online\nlink up\nserver answers 1 rejected Discarded\ntime 0s",
    );
    play_on(
        &mut world,
        "server answers 3 applied e.4\nserver page Todo e.4 live; Todo/9 v4 title=\"z\" rank=3 likes=4 labels=[\"a\"]\ntime 0s",
    );
    let request = world.effects.iter().find_map(|effect| match effect {
        Effect::Send(Outgoing::Mutation { request, .. }) => Some(serde_json::to_value(request).unwrap()),
        _ => None,
    });
    let envelope = request.unwrap()["extensions"]["tombolo"].clone();
    assert_eq!(envelope["number"], json!(4));
    assert_eq!(envelope["movedFrom"], json!([{ "replica": replica, "number": 2 }]));
    assert_eq!(envelope["settledThrough"], json!(1));
}

#[test]
fn what_was_refused_here_alone_keeps_the_name_that_a_copy_may_have_sent_it_by() {
    let mut world = stuck("phone edit Todo/9 rank=2\nphone edit Todo/9 likes=5");
    play_on(
        &mut world,
        r#"
        phone redo 1 Todo rank=3
        expect outbox 1=givenup 3=queued 4=queued
        server answers 1 rejected OutcomeForgotten
        phone redo 3 Todo rank=3
        "#,
    );
    let moved =
        |entry: tombolo_machine::OutboxEntry| entry.moved_from.iter().map(|name| name.number.0).collect::<Vec<_>>();
    let names: Vec<_> = world.outbox().into_iter().map(moved).collect();
    assert!(names.contains(&vec![2, 4]), "{names:?}");
}
