//! A mutation of unknown fate is edited: whether it was carried out or not, the edit takes effect once, changes nothing else,
//! and what was made after it stays after it.

use serde_json::{Value as Json, json};
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
