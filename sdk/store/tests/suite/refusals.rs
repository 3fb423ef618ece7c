//! What the server will not give, or cannot give now: the rest goes on.

use std::time::Duration;

use tombolo_machine::{Input, Link, Settings};

use crate::script::{effects, play, play_on};
use crate::world::World;

const TWO: &str = "phone scope Todo all\nphone scope Comment all\nphone online\nlink up\n";

#[test]
fn a_refused_scope_is_left_out_and_the_others_go_on() {
    for code in ["Unauthorized", "BadRequest", "LimitExceeded", "UnsupportedOperation"] {
        let mut world = play(&format!(
            r#"{TWO}
            phone create Todo/1 title="a"
            phone create Comment/1 todoId="1" text="b"
            server answers 1 applied e.3
            expect outbox 1=acked 2=queued
            server refuses feed {code} Todo
            expect effects Subscribe
            expect asked Comment none
            # No feed will bring what waited for the refused one.
            expect outbox 2=queued
            expect status catchingup error=scope_refused upToDate=false
            server page Comment e.5 live
            expect status live upToDate=true
            time 0s
            expect sent 1 2
            phone edit Todo/1 rank=1
            server answers 2 applied e.5
            server answers 3 applied e.6
            expect outbox empty
            # Nothing is owed.
            time 60s
            expect status live
            "#
        ));
        let refused = |world: &World| {
            let scopes = world.machine.status().scopes.clone();
            scopes
                .into_iter()
                .map(|scope| (scope.model, scope.refused))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            refused(&world),
            [("Comment".to_owned(), None), ("Todo".to_owned(), Some("no".to_owned()))]
        );
        // Another filter, or another link: it is asked for again.
        play_on(
            &mut world,
            r#"
            phone scope Todo {"done":{"eq":true}}
            expect asked Comment e.5, Todo none
            server refuses feed BadRequest Todo
            expect asked Comment e.5
            link down
            time 30s
            link up
            expect asked Comment e.5, Todo none
            phone unscope Todo
            expect asked Comment e.5
            "#,
        );
        assert_eq!(refused(&world), [("Comment".to_owned(), None)]);
    }
}

#[test]
fn the_only_scope_needs_no_name_and_a_replica_without_any_still_sends() {
    play(
        r#"
        phone scope Todo all
        phone online
        link up
        server refuses feed Unauthorized
        expect effects none
        expect status live error=scope_refused
        phone create Todo/1 title="a"
        expect sent 1
        server answers 1 applied e.3
        expect outbox empty
        time 60s
        expect status live
        "#,
    );
}

#[test]
fn what_is_not_final_or_not_named_ends_the_link_and_answers_do_not_shorten_the_wait() {
    for refusal in [
        "feed InternalFailure Todo",
        "feed BadRequest",
        "feed BadRequest Unknown",
    ] {
        let mut world = World::new();
        play_on(
            &mut world,
            "phone scope Todo all\nphone scope Comment all\nphone online",
        );
        let mut longest = Duration::ZERO;
        for number in 1..=12 {
            play_on(
                &mut world,
                &format!(
                    "link up\nphone create Todo/{number} title=\"a\"\nserver answers {number} rejected BadRequest\n\
                     server refuses {refusal}\nexpect effects CloseLink\nexpect status waiting error=refused"
                ),
            );
            let Link::Waiting { until } = world.machine.link() else {
                panic!("{:?}", world.machine.link())
            };
            longest = longest.max(until.saturating_sub(world.now));
            world.now = until;
            world.step(Input::Wake).unwrap();
        }
        // Twelve times the first step of the back-off never are this long.
        assert!(longest > Duration::from_secs(2), "{refusal}: {longest:?}");
    }
}

#[test]
fn a_base_sync_by_pages_asks_for_one_scope_at_a_time() {
    let mut world = World::with(Settings {
        base_sync_by_pages: true,
        ..Settings::default()
    });
    play_on(
        &mut world,
        &format!(
            r#"{TWO}
            expect effects FetchPage
            expect asked Comment none
            server page Comment e.5 more; Comment/1 v1 todoId="1"
            expect effects Pulled FetchPage
            expect asked Comment e.5
            server page Comment e.9 live
            expect effects Pulled FetchPage
            expect asked Todo none
            server page Todo e.12 live
            expect effects Pulled Subscribe
            expect asked Comment e.9, Todo e.12
            "#
        ),
    );
    // A page refused without a name is the one that was asked for.
    let mut world = World::with(world.settings.clone());
    play_on(
        &mut world,
        &format!(
            r#"{TWO}
            server refuses feed Unauthorized
            expect effects FetchPage
            expect asked Todo none
            server page Todo e.12 live
            expect asked Todo e.12
            expect effects Pulled Subscribe
            "#
        ),
    );
}

#[test]
fn a_wake_up_that_failed_while_waiting_is_asked_for_again() {
    let mut world = play(&format!("{TWO}link down"));
    let Link::Waiting { until } = world.machine.link() else {
        panic!("{:?}", world.machine.link())
    };
    world.now = until;
    // The driver's store was full when it gave the wake-up.
    world.effects = world.machine.link_broken("the disk is full", world.now());
    assert_eq!(effects(&world.effects), "none");
    let again = world.effects.iter().find_map(|effect| match effect {
        tombolo_machine::Effect::WakeAt(at) => Some(*at),
        _ => None,
    });
    play_on(&mut world, "expect status waiting error=store");
    world.now = again.expect("a wake-up");
    world.step(Input::Wake).unwrap();
    assert_eq!(effects(&world.effects), "OpenLink");
}

#[test]
fn a_server_in_trouble_wedges_nothing_however_long() {
    let mut world = play("phone scope Todo all\nphone online\nlink up\nphone create Todo/1 title=\"a\"\nexpect sent 1");
    for _ in 0..3 * tombolo_machine::limits::UNDECIDED_TRIES_MAX {
        play_on(
            &mut world,
            "server page Todo e.2 live\nserver busy 1\nexpect outbox 1=inflight\ntime 30s\nexpect sent 1",
        );
    }
    // The first answers about the mutation itself are counted from the beginning.
    for _ in 1..tombolo_machine::limits::UNDECIDED_TRIES_MAX {
        play_on(
            &mut world,
            "server page Todo e.2 live\nserver answers 1 nothing\nexpect outbox 1=inflight\ntime 30s\nexpect sent 1",
        );
    }
    play_on(&mut world, "server answers 1 nothing\nexpect outbox 1=wedged");
}

#[test]
fn what_is_decided_is_waited_for_no_longer() {
    let mut world = play(&format!(
        r#"{TWO}
        phone create Todo/1 title="a"
        phone create Comment/1 todoId="1" text="b"
        phone create Todo/2 title="c"
        phone create Comment/2 todoId="2" text="d"
        expect sent 1 3
        "#
    ));
    let waits = |world: &mut World| {
        let entries = world.outbox().into_iter();
        entries
            .map(|entry| (entry.number.0, entry.depends_on.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(waits(&mut world), [(1, 0), (2, 1), (3, 0), (4, 1)]);
    // A refused one stays named: the server must refuse what hangs on it.
    play_on(
        &mut world,
        "server answers 1 applied e.3\nserver answers 3 rejected BadRequest\ntime 0s\nexpect sent 2 4",
    );
    assert_eq!(waits(&mut world), [(1, 0), (2, 0), (3, 0), (4, 1)]);
}
