//! A rejected mutation is made anew: what stood behind it goes on behind the new one, in order, and nothing is lost.

use serde_json::Value as Json;
use tombolo_machine::{Effect, Outgoing};

use crate::outcomes::wedged;
use crate::script::{play, play_on};
use crate::world::World;

const UP: &str = "phone scope Todo all\nphone online\nlink up\nserver page Todo e.1 live; Todo/9 v1 title=\"z\"\n";

/// A create that the server refuses, with an edit, a transaction and another edit behind it.
const QUEUE: &str = r#"
    phone create Todo/1 title="toolong" rank=1
    expect sent 1
    phone edit Todo/1 rank=2
    phone create Comment/1 todoId="1" & edit Todo/1 done=true
    phone edit Todo/1 rank=3
    server answers 1 rejected BadRequest
"#;

/// The numbers that each mutation of the newest step depends on and has seen.
fn links(world: &World) -> Vec<(Json, Json)> {
    let sent = world.effects.iter().filter_map(|effect| match effect {
        Effect::Send(Outgoing::Mutation { request, .. }) => {
            let ours = &serde_json::to_value(request).unwrap()["extensions"]["tombolo"];
            Some((ours["dependsOn"].clone(), ours["seen"].clone()))
        }
        _ => None,
    });
    sent.collect()
}

#[test]
fn what_is_queued_behind_a_rejected_create_goes_on_behind_the_one_made_of_it() {
    let mut world = play(&format!(
        r#"{UP}{QUEUE}
        expect outbox 1=rejected 2=queued 3=queued 4=queued 5=queued
        expect Todo/1 gone
        killed before commit of phone redo 1 Todo title="short"
        expect outbox 1=rejected 2=queued 3=queued 4=queued 5=queued
        phone redo 1 Todo title="short"
        expect outbox 6=queued 7=queued 8=queued 9=queued 10=queued
        expect ended 1=rejected>6
        expect Todo/1 title="short" rank=3 done=true
        killed
        expect outbox 6=queued 7=queued 8=queued 9=queued 10=queued
        expect Todo/1 title="short" rank=3 done=true
        phone online
        expect sent nothing
        link up
        expect sent 6
        server answers 6 applied e.2
        time 1ms
        expect sent 7
        "#
    ));
    assert_eq!(
        links(&world),
        [(Json::Null, serde_json::json!([6]))],
        "the server knows whose effect it saw"
    );
    play_on(
        &mut world,
        r#"
        server answers 7 applied e.3
        time 1ms
        expect sent 8
        server answers 8-9 applied e.4
        time 1ms
        expect sent 10
        server answers 10 applied e.5
        server page Todo e.5 live; Todo/1 v4 title="short" rank=3 done=true
        expect outbox empty
        expect ended 1=rejected>6 6=applied 7=applied 8=applied 9=applied 10=applied
        "#,
    );
}

#[test]
fn what_was_refused_for_its_sake_goes_on_behind_it_too() {
    play(&format!(
        r#"{UP}{QUEUE}
        time 1ms
        server answers 2 rejected DependencyRejected
        time 1ms
        server answers 3-4 rejected DependencyRejected
        time 1ms
        server answers 5 rejected DependencyRejected
        expect outbox 1=rejected 2=rejected 3=rejected 4=rejected 5=rejected
        expect Todo/1 gone
        phone redo 1 Todo title="short"
        expect ended 1=rejected>6 2=rejected>7 3=rejected>8 4=rejected>9 5=rejected>10
        expect outbox 6=inflight 7=queued 8=queued 9=queued 10=queued
        expect Todo/1 title="short" rank=3 done=true
        expect Comment/1 todoId="1"
        killed
        expect Todo/1 title="short" rank=3 done=true
        # Refused once more: the server's truth shows through, and what was kept apart is not lost.
        phone online
        link up
        server answers 6 rejected BadRequest
        expect Todo/1 gone
        phone retry 6
        expect outbox 11=inflight 12=queued 13=queued 14=queued 15=queued
        expect Todo/1 title="short" rank=3 done=true
        "#
    ));
}

#[test]
fn what_was_on_its_way_follows_when_it_has_been_refused() {
    play(&format!(
        r#"{UP}{QUEUE}
        time 1ms
        expect outbox 1=rejected 2=inflight 3=queued 4=queued 5=queued
        phone redo 1 Todo title="short"
        # 2 may not be given another number before the server has said what became of it.
        expect outbox 2=inflight 3=queued 4=queued 5=queued 6=inflight
        server answers 6 applied e.2
        server answers 2 rejected DependencyRejected
        expect outbox 6=acked 7=queued 8=queued 9=queued 10=queued
        expect Todo/1 title="short" rank=3 done=true
        expect ended 1=rejected>6
        "#
    ));
}

#[test]
fn what_waits_for_another_rejected_one_stays_where_it_is() {
    play(&format!(
        r#"{UP}
        phone create Todo/1 title="toolong"
        phone create Todo/2 title="toolong"
        phone edit Todo/1 rank=1 & edit Todo/2 rank=1
        phone edit Todo/1 rank=2
        server answers 1 rejected BadRequest
        server answers 2 rejected BadRequest
        phone redo 1 Todo title="short"
        expect outbox 2=rejected 3=inflight 4=inflight 5=queued 6=inflight
        expect Todo/1 title="short"
        server answers 6 applied e.2
        time 1ms
        server answers 3-4 rejected DependencyRejected
        time 1ms
        server answers 5 rejected DependencyRejected
        expect outbox 2=rejected 3=rejected 4=rejected 5=rejected 6=acked
        # The other one too: now they can go on, behind both.
        phone redo 2 Todo title="short"
        expect outbox 6=acked 7=inflight 8=queued 9=queued 10=queued
        expect Todo/1 rank=2
        expect Todo/2 rank=1
        "#
    ));
}

#[test]
fn what_the_app_has_taken_note_of_stays_ended() {
    play(&format!(
        r#"{UP}
        phone create Todo/1 title="toolong"
        phone edit Todo/1 rank=1
        server answers 1 rejected BadRequest
        time 1ms
        server answers 2 rejected DependencyRejected
        phone discard 2
        phone redo 1 Todo title="short"
        expect outbox 3=inflight
        expect ended 1=rejected>3 2=rejected
        "#
    ));
}

#[test]
fn what_is_queued_behind_a_wedged_create_goes_on_behind_its_edit_whatever_became_of_it() {
    let behind = || {
        let mut world = wedged("phone create Todo/1 title=\"a\" rank=1");
        play_on(
            &mut world,
            r#"
            phone edit Todo/1 rank=2
            expect outbox 1=wedged 2=queued
            phone redo 1 Todo title="b"
            expect outbox 1=givenup 3=queued 4=queued
            expect sent 1
            expect Todo/1 title="b" rank=2
            killed
            expect Todo/1 title="b" rank=2
            phone online
            link up
            expect sent 1
            "#,
        );
        world
    };
    // It was not carried out: the edit is the create.
    play_on(
        &mut behind(),
        r#"
        server answers 1 rejected Discarded
        time 1ms
        expect sent 3
        expect Todo/1 title="b" rank=2
        server answers 3 applied e.2
        time 1ms
        expect sent 4
        server answers 4 applied e.3
        server page Todo e.3 live; Todo/1 v2 title="b" rank=2
        expect outbox empty
        "#,
    );
    // It was: the edit is one of its effect, and the later edit still comes after it.
    play_on(
        &mut behind(),
        r#"
        server answers 1 applied e.2
        time 1ms
        expect sent 3
        expect Todo/1 title="b" rank=2
        server answers 3 applied e.3
        time 1ms
        expect sent 4
        server answers 4 applied e.4
        server page Todo e.4 live; Todo/1 v3 title="b" rank=2
        expect outbox empty
        "#,
    );
}

#[test]
fn what_goes_on_behind_has_still_seen_what_it_saw() {
    let mut world = play(&format!(
        r#"{UP}
        phone edit Todo/9 title="a"
        phone create Comment/1 todoId="9" & edit Todo/9 rank=2
        phone edit Todo/9 title="b"
        server answers 1 applied e.2
        time 1ms
        server answers 2-3 rejected BadRequest
        expect outbox 1=acked 2=rejected 3=rejected 4=queued
        phone redo 2 Comment text="x"
        expect outbox 1=acked 5=inflight 6=inflight 7=queued
        server answers 5-6 applied e.3
        time 1ms
        "#
    ));
    assert_eq!(
        links(&world).pop().unwrap().1,
        serde_json::json!([1, 6]),
        "the first edit is the user's own: no conflict with it"
    );
    play_on(&mut world, "server answers 7 applied e.4");
}

#[test]
fn what_was_refused_and_made_anew_by_its_user_since_does_not_come_back() {
    play(&format!(
        r#"{UP}
        phone create Todo/1 title="toolong"
        phone create Comment/1 todoId="1" & edit Todo/9 title="b"
        server answers 1 rejected BadRequest
        server answers 2-3 rejected DependencyRejected
        expect outbox 1=rejected 2=rejected 3=rejected
        phone edit Todo/9 title="c"
        time 1ms
        server answers 4 applied e.2
        server page Todo e.2 live; Todo/9 v2 title="c"
        expect outbox 1=rejected 2=rejected 3=rejected
        phone redo 1 Todo title="short"
        expect outbox 2=rejected 3=rejected 5=inflight
        expect Todo/9 title="c"
        "#
    ));
}
