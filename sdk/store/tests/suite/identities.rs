//! One number, two mutations: files that were copied or restored, mutations that go on under another identity or another
//! number, and those whose fate the server has forgotten.

use serde_json::{Value as Json, json};
use tombolo_core::id::MutationNumber;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_machine::{Effect, Outgoing};

use crate::outcomes::{UP, envelopes, wedged};
use crate::script::{play, play_on};
use crate::world::World;

#[test]
fn a_number_used_by_another_file_is_given_up_for_a_fresh_identity_and_nothing_is_lost() {
    let mut world = play(&format!(
        r#"{UP}
        phone edit Todo/9 rank=1
        phone create Todo/1 title="a"
        phone create Comment/1 todoId="1" text="b"
        phone create Comment/2 todoId="1" text="c" & create Todo/2
        phone edit Todo/1 rank=5
        expect outbox 1=inflight 2=inflight 3=queued 4=queued 5=queued 6=queued
        server answers 2 rejected NumberReused
        expect effects Renewed Unsubscribe Subscribe Renumbered
        # 1 is out under the old name: its own answer decides it.
        expect outbox 1=inflight 7=queued 8=queued 9=queued 10=queued 11=queued
        expect Todo/1 title="a" rank=5
        time 0s
        expect sent 1 2 7
        server answers 1 applied e.3
        server answers 7 applied e.4
        time 0s
        expect sent 8 9 11
        "#
    ));
    let renewed = world.effects.iter().find_map(|effect| match effect {
        Effect::Send(Outgoing::Mutation { number, request }) if number.0 == 9 => {
            Some(serde_json::to_value(request).unwrap()["extensions"]["tombolo"].clone())
        }
        _ => None,
    });
    assert_ne!(renewed.unwrap()["replica"], world_replica());
    let found = world.tx(|tx| tx.replica());
    assert_ne!(json!(found), world_replica());
    play_on(&mut world, "killed");
    assert_eq!(world.tx(|tx| tx.replica()), found, "a restart keeps it");
    let tx = world.store.as_mut().unwrap().begin(false).unwrap();
    for (old, new) in [(3, 8), (6, 11)] {
        assert_eq!(tx.find(MutationNumber(old)).unwrap().unwrap().number().0, new);
    }
}

fn world_replica() -> Json {
    json!(crate::world::options().fresh_replica)
}

#[test]
fn what_may_be_out_under_the_old_name_is_sent_again_under_it() {
    let mut world = play(&format!(
        r#"{UP}
        phone edit Todo/9 rank=1
        phone create Todo/1 title="a"
        server answers 2 rejected NumberReused
        link down
        killed
        phone online
        link up
        "#
    ));
    let names: Vec<_> = envelopes(&world)
        .iter()
        .map(|(envelope, _)| (envelope["number"].clone(), envelope["replica"] == world_replica()))
        .collect();
    assert_eq!(names, [(json!(1), true), (json!(3), false)]);
    // A second time: a fresh one again.
    let first = world.tx(|tx| tx.replica());
    play_on(
        &mut world,
        "server answers 3 rejected NumberReused\nexpect outbox 1=inflight 4=queued",
    );
    assert_ne!(world.tx(|tx| tx.replica()), first);
}

#[test]
fn a_refusal_under_the_old_name_takes_down_what_waits_under_the_new_one() {
    play(&format!(
        r#"{UP}
        phone create Todo/1 title="a"
        phone create Todo/2 title="b"
        server answers 2 rejected NumberReused
        expect outbox 1=inflight 3=queued
        phone create Comment/1 todoId="1"
        phone edit Comment/1 text="x"
        expect outbox 1=inflight 3=inflight 4=queued
        server answers 1 rejected BadRequest
        expect outbox 1=rejected 3=inflight 4=rejected
        expect Comment/1 gone
        "#
    ));
}

#[test]
fn a_mutation_whose_fate_is_forgotten_is_told_to_the_app_and_not_sent_twice() {
    for code in ["OutcomeForgotten", "ReplicaWrittenOff"] {
        let mut world = play(&format!(
            r#"{UP}
            phone create Todo/1 title="a"
            server answers 1 rejected {code}
            expect outbox 1=rejected
            phone create Todo/2 title="b"
            expect sent 1 2
            "#
        ));
        assert_ne!(json!(world.tx(|tx| tx.replica())), world_replica());
        // An edit of it might be its second effect: that too is the app's to decide.
        let mut world = wedged("phone create Todo/1 title=\"a\"");
        play_on(
            &mut world,
            &format!(
                "phone redo 1 Todo title=\"b\"\nserver answers 1 rejected {code}\nexpect outbox 2=rejected\nexpect ended 1=rejected"
            ),
        );
        assert_ne!(
            json!(world.tx(|tx| tx.replica())),
            world_replica(),
            "its numbers are behind the server's"
        );
    }
}

#[test]
fn what_waits_for_a_renumbered_mutation_follows_it_however_often_the_identity_changes() {
    let script = format!(
        r#"{UP}
        phone edit Todo/9 rank=1
        phone create Todo/1 title="a"
        phone edit Todo/1 rank=5
        "#
    );
    let found = |world: &mut World, number: u64| {
        let tx = world.store.as_mut().unwrap().begin(false).unwrap();
        tx.find(MutationNumber(number)).unwrap().map(|kept| kept.number().0)
    };
    let mut world = play(&script);
    play_on(
        &mut world,
        r#"
        server answers 1 rejected NumberReused
        expect effects Renewed Unsubscribe Subscribe Renumbered Renumbered
        expect outbox 2=inflight 4=queued 6=queued
        server answers 2 rejected NumberReused
        expect outbox 4=queued 7=queued 11=queued
        expect Todo/1 title="a" rank=5
        "#,
    );
    let places: Vec<_> = [1, 2, 3, 6].iter().map(|n| found(&mut world, *n)).collect();
    assert_eq!(places, [Some(4), Some(7), Some(11), Some(11)]);
    play_on(
        &mut world,
        r#"
        time 0s
        expect sent 1 2 4 7
        server answers 7 applied e.3
        time 0s
        expect sent 11
        "#,
    );
    assert_eq!(envelopes(&world)[0].0.get("dependsOn"), None);

    let mut world = play(&script);
    play_on(
        &mut world,
        r#"
        server answers 2 rejected NumberReused
        expect outbox 1=inflight 4=queued 5=queued
        server answers 1 rejected NumberReused
        expect outbox 4=queued 5=queued 6=queued
        expect Todo/1 title="a" rank=5
        time 0s
        server answers 4 applied e.3
        time 0s
        expect sent 1 2 4 6 5
        "#,
    );
    let places: Vec<_> = [1, 2, 3].iter().map(|n| found(&mut world, *n)).collect();
    assert_eq!(places, [Some(6), Some(4), Some(5)]);
}

#[test]
fn what_depends_on_a_refused_mutation_is_refused_also_if_it_gets_another_number() {
    for noted in ["", "phone discard 1"] {
        let mut world = play(&format!(
            r#"{UP}
            phone create Todo/1 title="a"
            phone create Comment/1 todoId="1"
            server answers 1 rejected BadRequest
            {noted}
            time 0s
            phone edit Comment/1 text="x"
            server answers 2 rejected NumberReused
            expect Comment/1 gone
            time 0s
            "#
        ));
        let entries = world.outbox();
        let reasons: Vec<_> = entries
            .iter()
            .filter(|entry| entry.number.0 > 1)
            .map(|entry| match entry.outcome() {
                Some(tombolo_machine::FinalOutcome::Rejected(reason)) => (entry.number.0, reason.code),
                other => panic!("{}: {other:?}", entry.number),
            })
            .collect();
        let wanted = [4, 5].map(|number| (number, ErrorType::DependencyRejected));
        assert_eq!(reasons, wanted, "{noted}");
    }
}
