//! Damaged files in which a transaction lost a part: nothing of it is sent as if it were the whole.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tombolo_core::id::ReplicaId;
use tombolo_machine::{EntryState, FinalOutcome, Input, Machine, OutboxEntry};
use tombolo_store::{Options, Salvage, Store};

use crate::script::play_on;
use crate::world::{SDL, World, schema};

const ATOMIC: &str = "phone create Todo/a title=\"a\" & create Todo/b title=\"b\" & create Todo/c title=\"c\"";

/// Closes the replica and makes the rows of these numbers unreadable; `blind`: the index of transactions, too.
fn lose(world: &mut World, numbers: &[i64], blind: bool) -> Salvage {
    world.store = None;
    let file = world.dir.path().join("replica.db");
    let conn = Connection::open(&file).unwrap();
    for number in numbers {
        conn.execute("UPDATE _outbox SET field_values = '{' WHERE number = ?1", [number])
            .unwrap();
    }
    if blind {
        conn.execute("DROP INDEX _outbox_first", ()).unwrap();
    }
    drop(conn);
    let (store, report) = salvage(&file);
    world.store = Some(store);
    world.machine = Machine::new(Arc::clone(&world.schema), world.settings.clone());
    world.step(Input::Start).unwrap();
    world.sent.clear();
    report
}

fn salvage(file: &Path) -> (Store, Salvage) {
    let fresh = Options::new(ReplicaId("22222222-2222-4222-8222-222222222222".into()));
    let store = Store::salvage(file, schema(SDL), fresh, "for the test").unwrap();
    let report = store.salvaged().unwrap().unwrap();
    (store, report)
}

fn outbox(world: &mut World) -> Vec<OutboxEntry> {
    let store = world.store.as_mut().unwrap();
    store.begin(false).unwrap().outbox(0, 100).unwrap()
}

fn codes(world: &mut World) -> Vec<(u64, String)> {
    let code = |entry: &OutboxEntry| match &entry.state {
        EntryState::Rejected(reason) => reason.code.to_string(),
        other => format!("{other:?}"),
    };
    outbox(world)
        .iter()
        .map(|entry| (entry.number.0, code(entry)))
        .collect()
}

fn told(numbers: &[u64], code: &str) -> Vec<(u64, String)> {
    numbers.iter().map(|number| (*number, code.to_owned())).collect()
}

#[test]
fn what_is_left_of_a_transaction_that_was_not_sent_is_rejected_and_what_waits_for_it_too() {
    for blind in [false, true] {
        for lost in 1..=3_i64 {
            let mut world = World::new();
            play_on(&mut world, ATOMIC);
            // Waits for a part that was saved; and nothing to do with it.
            let saved = if lost == 1 { "b" } else { "a" };
            play_on(&mut world, &format!("phone edit Todo/{saved} title=\"later\""));
            play_on(&mut world, "phone create Todo/other");
            let report = lose(&mut world, &[lost], blind);
            assert_eq!(
                (report.lost, report.torn, report.mutations),
                (1, 3, 4),
                "{lost} {blind}"
            );
            let mut want = told(&[1, 2, 3], "DependencyRejected");
            want.retain(|(number, _)| *number != lost as u64);
            want.extend(told(&[4], "DependencyRejected"));
            want.extend(told(&[5], "Queued"));
            assert_eq!(codes(&mut world), want, "{lost} {blind}");
            play_on(&mut world, "phone online\nlink up\nexpect sent 5\nexpect Todo/a gone");
        }
    }
}

#[test]
fn what_is_left_of_a_transaction_that_was_sent_is_not_sent_again_and_shown_as_uncertain() {
    for lost in 1..=3_i64 {
        let mut world = World::new();
        play_on(&mut world, "phone online\nlink up");
        play_on(&mut world, ATOMIC);
        play_on(&mut world, "expect outbox 1=inflight 2=inflight 3=inflight");
        let report = lose(&mut world, &[lost], false);
        assert!(report.same_replica);
        assert_eq!((report.lost, report.torn), (1, 2));
        let mut want = told(&[1, 2, 3], "OutcomeForgotten");
        want.retain(|(number, _)| *number != lost as u64);
        assert_eq!(codes(&mut world), want);
        play_on(&mut world, "phone online\nlink up");
        assert_eq!(world.sent.len(), 0);
    }
}

#[test]
fn a_whole_transaction_beside_a_lost_mutation_goes_on_if_the_index_says_that_it_is_whole() {
    for (blind, torn) in [(false, 0), (true, 3)] {
        let mut world = World::new();
        play_on(&mut world, ATOMIC);
        play_on(&mut world, "phone create Todo/alone");
        let report = lose(&mut world, &[4], blind);
        assert_eq!((report.lost, report.torn), (1, torn));
    }
}

#[test]
fn by_a_new_name_what_was_acknowledged_has_ended_and_can_still_be_asked_for() {
    let mut world = World::new();
    play_on(
        &mut world,
        "phone scope Todo all\nphone online\nlink up\nphone create Todo/1\nphone create Todo/2\nserver answers 1 applied e.5\n\
         server answers 2 merged e.6\nexpect outbox 1=acked 2=acked",
    );
    world.store = None;
    let file = world.dir.path().join("replica.db");
    let conn = Connection::open(&file).unwrap();
    conn.execute("DELETE FROM _meta WHERE name = 'last_number'", ())
        .unwrap();
    drop(conn);
    let (mut store, report) = salvage(&file);
    assert!(!report.same_replica);
    let tx = store.begin(false).unwrap();
    assert_eq!(tx.outbox(0, 10).unwrap(), []);
    for (number, outcome) in [(1, FinalOutcome::Applied), (2, FinalOutcome::Merged)] {
        let found = tx.find(tombolo_core::id::MutationNumber(number)).unwrap();
        assert_eq!(found.and_then(|kept| kept.outcome()), Some(outcome), "{number}");
    }
}

#[test]
fn what_waits_for_a_lost_mutation_is_rejected() {
    let mut world = World::new();
    play_on(
        &mut world,
        "phone create Todo/a title=\"a\"\nphone create Comment/1 todoId=\"a\"\nphone create Todo/b title=\"b\"",
    );
    let report = lose(&mut world, &[1], false);
    assert_eq!((report.lost, report.torn), (1, 1));
    assert_eq!(
        codes(&mut world),
        [(2, "DependencyRejected".into()), (3, "Queued".into())]
    );
}
