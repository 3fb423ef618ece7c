//! How mutations end, and what the app can do about those that got stuck.

use serde_json::{Value as Json, json};
use tombolo_core::id::MutationNumber;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_machine::{AnswerBody, Effect, Input, Outgoing, Settings, StepError, limits};

use crate::script::{play, play_on};
use crate::world::World;

pub(crate) const UP: &str =
    "phone scope Todo all\nphone online\nlink up\nserver page Todo e.1 live; Todo/9 v1 title=\"z\"\n";

/// A live replica whose mutation 1 (the line) is wedged.
pub(crate) fn wedged(line: &str) -> World {
    let mut script = format!("{UP}{line}\nserver answers 1 nothing\n");
    for _ in 1..limits::UNDECIDED_TRIES_MAX {
        script.push_str("time 30s\nserver page Todo e.1 live\nserver answers 1 nothing\n");
    }
    let mut world = play(&script);
    play_on(&mut world, "expect outbox 1=wedged");
    world.sent.clear();
    world
}

/// `extensions.tombolo` and the first input of each mutation that the newest step sent.
pub(crate) fn envelopes(world: &World) -> Vec<(Json, Json)> {
    let sent = world.effects.iter().filter_map(|effect| match effect {
        Effect::Send(Outgoing::Mutation { request, .. }) => {
            let json = serde_json::to_value(request).unwrap();
            Some((json["extensions"]["tombolo"].clone(), json["variables"]["i0"].clone()))
        }
        _ => None,
    });
    sent.collect()
}

#[test]
fn whatever_leaves_the_outbox_is_kept_with_how_it_ended() {
    play(&format!(
        r#"{UP}
        phone create Todo/1 title="a"
        phone create Todo/2 title="b"
        phone edit Todo/9 rank=1
        server answers 1 applied e.2
        server answers 2 rejected ConflictUnhandled
        server answers 3 merged e.3
        # Decided, and still in the outbox: the one waits for the feed, the other for the app.
        expect outbox 1=acked 2=rejected 3=acked
        expect ended nothing
        server page Todo e.3 live; Todo/1 v1 title="a"; Todo/9 v2 title="z" rank=1
        phone discard 2
        expect outbox empty
        expect ended 1=applied 2=rejected 3=merged
        phone offline
        phone create Todo/4
        phone delete Todo/4
        phone create Todo/5
        phone discard 5
        expect ended 1=applied 2=rejected 3=merged 4=discarded 5=discarded
        killed
        expect ended 1=applied 2=rejected 3=merged 4=discarded 5=discarded
        "#
    ));
}

#[test]
fn what_has_ended_is_kept_within_bounds() {
    let mut world = World::new();
    for at in 0..limits::ENDED_KEPT + 10 {
        play_on(&mut world, &format!("phone create Todo/{at}\nphone delete Todo/{at}"));
    }
    let count = |world: &mut World| {
        let highest = limits::ENDED_KEPT + 11;
        world.tx(|tx| {
            (1..highest)
                .filter(|n| tx.ended(MutationNumber(*n)).unwrap().is_some())
                .count() as u64
        })
    };
    assert_eq!(
        count(&mut world),
        limits::ENDED_KEPT + 10,
        "whoever asks at once is told of each"
    );
    let hour = limits::ENDED_RECENT_MS / 1_000 + 1;
    play_on(
        &mut world,
        &format!("time {hour}s\nphone create Todo/b\nphone delete Todo/b"),
    );
    assert_eq!(
        count(&mut world),
        limits::ENDED_KEPT - 1,
        "with the newest as many as are kept"
    );
    let most = world.tx(|tx| {
        tx.trim_ended(limits::ENDED_KEPT, 0, 7, 0).unwrap();
        (1..=tx.last_number().unwrap())
            .filter(|n| tx.ended(MutationNumber(*n)).unwrap().is_some())
            .count()
    });
    assert_eq!(most, 7, "however recent");
    let week = limits::ENDED_LIFE_MS / 1_000 + 1;
    play_on(
        &mut world,
        &format!("time {week}s\nphone create Todo/a\nphone delete Todo/a"),
    );
    assert_eq!(count(&mut world), 0, "the one that ended just now has a higher number");
}

#[test]
fn a_rejected_mutation_is_tried_again_as_a_new_one_on_the_newest_base() {
    let mut world = play(&format!(
        r#"{UP}
        phone edit Todo/9 title="mine"
        server answers 1 rejected ConflictUnhandled
        server page Todo e.5 live; Todo/9 v4 title="theirs"
        expect Todo/9 title="theirs"
        phone retry 1
        expect effects Enqueued Mutation
        expect Todo/9 title="mine"
        expect outbox 2=inflight
        expect ended 1=rejected>2
        phone may not retry 1
        "#
    ));
    play_on(&mut world, "link down\ntime 30s\nlink up");
    assert_eq!(envelopes(&world)[0].1["_version"], 4, "made on what is here now");
}

#[test]
fn a_rejected_mutation_is_edited_and_tried_again_and_one_dismissed_can_still_be() {
    play(&format!(
        r#"{UP}
        phone create Todo/1 title="toolong" rank=1
        server answers 1 rejected BadRequest
        phone redo 1 Todo title="short"
        expect Todo/1 title="short" rank=1
        expect ended 1=rejected>2
        server answers 2 rejected BadRequest
        phone discard 2
        expect outbox empty
        phone retry 2
        expect Todo/1 title="short" rank=1
        expect outbox 3=inflight
        expect ended 1=rejected>2 2=rejected>3
        phone may not redo 3 Todo title="x"
        phone may not redo 1 Todo title="x"
        "#
    ));
}

#[test]
fn a_rejected_transaction_is_tried_again_whole() {
    play(&format!(
        r#"{UP}
        phone create Todo/1 title="a" & create Todo/2 title="b"
        server answers 1-2 rejected BadRequest
        expect Todo/1 gone
        phone redo 2 Todo title="c"
        expect Todo/1 title="a"
        expect Todo/2 title="c"
        expect sent 1 3
        server answers 3-4 applied e.7
        expect ended 1=rejected>3 2=rejected>4
        "#
    ));
}

/// The rule: an edit takes effect once, whether what it edits was carried out or not.
#[test]
fn an_edited_mutation_of_unknown_fate_waits_until_its_old_number_is_void() {
    let mut world = wedged("phone create Todo/1 title=\"a\" rank=1");
    play_on(
        &mut world,
        "phone redo 1 Todo title=\"b\"\nexpect outbox 1=givenup 2=queued\nexpect sent 1",
    );
    let sent = envelopes(&world);
    assert_eq!((&sent[0].0["number"], &sent[0].0["void"]), (&json!(1), &json!(true)));
    play_on(
        &mut world,
        r#"
        expect Todo/1 title="b" rank=1
        # Its fate is asked for until it is known; it is never wedged again.
        server answers 1 nothing
        time 30s
        expect outbox 1=givenup 2=queued
        killed
        phone online
        link up
        expect sent 1 1
        server answers 1 rejected Discarded
        expect ended 1=discarded
        time 0s
        expect outbox 2=inflight
        expect sent 2
        expect Todo/1 title="b" rank=1
        "#,
    );
    assert_eq!(
        envelopes(&world)[0].0.get("dependsOn"),
        None,
        "nothing is left to wait for"
    );
}

#[test]
fn an_edited_mutation_that_was_carried_out_after_all_becomes_an_edit_of_its_effect() {
    let mut world = wedged("phone create Todo/1 title=\"a\" rank=1");
    play_on(
        &mut world,
        r#"
        phone redo 1 Todo title="b"
        server answers 1 applied e.2
        expect outbox 1=acked 2=queued
        expect Todo/1 title="b" rank=1
        time 0s
        expect sent 1 2
        server page Todo e.2 live; Todo/1 v1 title="a" rank=1
        expect ended 1=applied
        expect Todo/1 title="b" rank=1
        "#,
    );
    play_on(&mut world, "link down\ntime 30s\nlink up");
    let query = world.effects.iter().find_map(|effect| match effect {
        Effect::Send(Outgoing::Mutation { request, .. }) => Some(request.query.clone()),
        _ => None,
    });
    assert!(
        query.unwrap().contains("updateTodo"),
        "a second creation would be refused"
    );
}

#[test]
fn a_discarded_mutation_of_unknown_fate_ends_as_the_server_says() {
    for (answer, ended) in [("rejected Discarded", "discarded"), ("rejected BadRequest", "rejected")] {
        let mut world = wedged("phone create Todo/1 title=\"a\"");
        play_on(
            &mut world,
            &format!(
                r#"
                phone create Comment/1 todoId="1"
                expect outbox 1=wedged 2=queued
                phone discard 1
                expect Todo/1 gone
                expect outbox 1=givenup 2=queued
                expect status live wedged=0 pending=2
                server answers 1 {answer}
                expect ended 1={ended}
                # What waited for it no longer does.
                time 0s
                expect outbox 2=inflight
                "#
            ),
        );
    }
    let mut world = wedged("phone create Todo/1 title=\"a\"");
    play_on(
        &mut world,
        r#"
        phone discard 1
        server answers 1 applied e.2
        expect Todo/1 title="a"
        server page Todo e.2 live; Todo/1 v1 title="a"
        expect ended 1=applied
        "#,
    );
}

fn unknown_schema(number: u64) -> Input {
    let mut error = GraphqlError::new(ErrorType::UnknownSchema, "what is this?");
    error.error_info = Some(json!({ "retry": true }));
    Input::Answers(vec![(MutationNumber(number), AnswerBody::Undecided(vec![error]))])
}

#[test]
fn what_an_older_server_cannot_read_is_held_and_keeps_nobody_waiting() {
    let mut world = play(UP);
    let held = limits::RETRYING_MAX as u64 + limits::IN_FLIGHT_MAX as u64;
    for number in 1..=held {
        play_on(&mut world, &format!("phone create Todo/h{number}"));
        world.step(unknown_schema(number)).unwrap();
    }
    assert_eq!(world.machine.status().held, held);
    world.sent.clear();
    play_on(&mut world, &format!("phone create Todo/new\nexpect sent {}", held + 1));
    play_on(&mut world, &format!("server answers {} applied e.2", held + 1));
    // Asked again now and then, and with each new link, behind what is new; never wedged.
    for _ in 0..limits::UNDECIDED_TRIES_MAX + 1 {
        play_on(&mut world, "server page Todo e.2 live\ntime 600s");
        let asked: Vec<u64> = world.sent.drain(..).map(|n| n.0).collect();
        assert!(!asked.is_empty() && asked.iter().all(|n| *n <= held), "{asked:?}");
        for number in asked {
            world.step(unknown_schema(number)).unwrap();
        }
    }
    assert_eq!((world.machine.status().wedged, world.machine.status().held), (0, held));
    play_on(
        &mut world,
        "phone offline\nphone create Todo/newer\nphone online\nlink up",
    );
    assert_eq!(world.sent[0].0, held + 2, "what is new goes first");
    play_on(&mut world, "server answers 1 applied e.3");
    let room = limits::IN_FLIGHT_MAX as u64 - 1;
    assert_eq!(
        world.machine.status().held,
        held - room,
        "the new link asks for all again, as the window allows"
    );
}

#[test]
fn a_full_outbox_refuses_by_name_and_still_takes_what_needs_no_room() {
    let mut world = World::with(Settings {
        outbox_entries_max: 3,
        ..Settings::default()
    });
    play_on(
        &mut world,
        r#"
        phone scope Todo all
        phone create Todo/1 title="a"
        phone create Todo/2 & create Todo/3
        phone may not create Todo/4
        phone may not create Todo/4 & create Todo/5
        phone edit Todo/1 title="b"
        expect Todo/1 title="b"
        expect Todo/4 gone
        "#,
    );
    let create = Input::Enqueue(vec![world.mutation(
        tombolo_core::schema::MutationKind::Create,
        "Todo",
        "4",
        &Default::default(),
    )]);
    let refused = world.step(create);
    assert!(matches!(refused, Err(StepError::OutboxFull { most: 3 })), "{refused:?}");
    play_on(&mut world, "phone discard 1\nphone create Todo/4");
}

#[test]
fn a_retry_of_a_refused_mutation_needs_no_room_in_a_full_outbox() {
    let mut world = World::with(Settings {
        outbox_entries_max: 3,
        ..Settings::default()
    });
    play_on(
        &mut world,
        &format!(
            r#"{UP}
            phone create Todo/1 title="a"
            phone create Todo/2 & create Todo/3
            server answers 1 rejected BadRequest
            server answers 2-3 rejected BadRequest
            phone may not create Todo/4
            phone redo 1 Todo title="b"
            phone retry 2
            expect outbox 4=inflight 5=inflight 6=inflight
            server answers 4 rejected BadRequest
            # One that has left the outbox takes a place.
            phone discard 4
            phone create Todo/5
            phone may not retry 4
            "#
        ),
    );
}

#[test]
fn a_file_with_a_mutation_given_up_says_that_something_is_unsent() {
    let mut world = wedged("phone create Todo/1 title=\"a\"");
    play_on(&mut world, "phone discard 1\nexpect outbox 1=givenup");
    world.store = None;
    let peek = tombolo_store::peek(&world.dir.path().join("replica.db"))
        .unwrap()
        .unwrap();
    assert_eq!(peek.unsent, 1);
}

#[test]
fn a_transaction_waits_whole_for_what_another_history_put_in_doubt() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 rank=1
        server answers 1 applied e.7
        phone create Todo/7
        phone edit Todo/7 rank=2 & edit Todo/9 rank=3
        expect outbox 1=acked 2=inflight 3=queued 4=queued
        server page Todo f.1 reset live; Todo/9 v1 title="z"
        expect outbox 1=inflight 2=inflight 3=queued 4=queued
        server answers 2 applied f.2
        time 0s
        expect sent 1 2 1
        expect outbox 1=inflight 2=acked 3=queued 4=queued
        server answers 1 applied f.3
        time 0s
        expect sent 3
        "#
    ));
}

#[test]
fn what_waited_for_a_discarded_one_still_waits_for_what_that_one_waited_for() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 rank=1
        phone edit Todo/9 title="b"
        phone delete Todo/9
        expect outbox 1=inflight 2=queued 3=queued
        phone discard 2
        time 0s
        expect outbox 1=inflight 3=queued
        server answers 1 applied e.3
        time 0s
        expect outbox 1=acked 3=inflight
        "#
    ));
}

#[test]
fn a_long_queue_of_one_record_names_each_only_the_one_before_it() {
    let mut world = play("phone scope Todo all\nphone create Todo/1");
    // Each in a transaction, which is not folded.
    for at in 0..20 {
        play_on(
            &mut world,
            &format!("phone edit Todo/1 rank={at} & create Comment/{at} todoId=\"9\""),
        );
    }
    let longest = world.outbox().iter().map(|entry| entry.depends_on.len()).max();
    assert!(longest <= Some(2), "{longest:?}");
}
