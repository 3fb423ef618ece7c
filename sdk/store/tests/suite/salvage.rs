//! Files that were damaged: what is saved, what is said, and that no moment of dying loses more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use tombolo_core::id::ReplicaId;
use tombolo_machine::{EntryState, Input, Machine, StoreError};
use tombolo_store::{OpenError, Options, Salvage, Store};

use crate::script::play_on;
use crate::world::{SDL, World, options, schema};

const PAGE: usize = 4096;

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("replica.db")
}

/// A replica with mutations in every state, closed: 1 acked, 2 rejected, 3 in flight, and `queued` more.
fn used(queued: usize) -> TempDir {
    let mut world = World::new();
    play_on(
        &mut world,
        r#"
        phone scope Todo {"rank":{"ge":0}}
        phone online
        link up
        server page Todo e.4 live; Todo/1 v1 title="a" rank=1; Todo/2 v1 title="b" rank=1
        phone edit Todo/1 title="acked"
        phone edit Todo/2 title="refused"
        server answers 1 applied e.9
        server answers 2 rejected ConditionalCheckFailedException
        phone create Todo/3 title="flying"
        phone offline
        "#,
    );
    for i in 0..queued {
        play_on(
            &mut world,
            &format!("phone create Todo/q{i} title=\"queued{i}\" rank=2"),
        );
    }
    world.store = None;
    world.dir
}

/// Overwrites the page with noise.
fn spoil(file: &Path, page: i64) {
    let mut bytes = std::fs::read(file).unwrap();
    let from = (page as usize - 1) * PAGE;
    for (at, byte) in bytes[from..from + PAGE].iter_mut().enumerate() {
        *byte = (at * 31 % 251) as u8;
    }
    std::fs::write(file, bytes).unwrap();
}

fn root(file: &Path, table: &str) -> i64 {
    let sql = "SELECT rootpage FROM sqlite_master WHERE name = ?1";
    Connection::open(file)
        .unwrap()
        .query_row(sql, [table], |row| row.get(0))
        .unwrap()
}

fn fresh() -> Options {
    Options::new(ReplicaId("22222222-2222-4222-8222-222222222222".into()))
}

fn salvage(file: &Path) -> (Store, Salvage) {
    let store = Store::salvage(file, schema(SDL), fresh(), "for the test").unwrap();
    let report = store.salvaged().unwrap().unwrap();
    (store, report)
}

fn states(store: &mut Store) -> Vec<(u64, &'static str)> {
    let entries = store.begin(false).unwrap().outbox(0, 100_000).unwrap();
    let name = |state: &EntryState| match state {
        EntryState::Queued => "queued",
        EntryState::InFlight => "inflight",
        EntryState::Acked { .. } => "acked",
        EntryState::Rejected(_) => "rejected",
        EntryState::Wedged { .. } => "wedged",
        EntryState::GivenUp => "given up",
    };
    entries
        .iter()
        .map(|entry| (entry.number.0, name(&entry.state)))
        .collect()
}

#[test]
fn a_file_whose_cache_is_damaged_keeps_its_whole_queue_and_its_name() {
    let dir = used(2);
    let file = path(&dir);
    spoil(&file, root(&file, "Todo"));
    let (mut store, report) = salvage(&file);
    assert_eq!(store.replica(), &options().fresh_replica);
    assert!(report.same_replica && report.whole, "{report:?}");
    assert_eq!((report.mutations, report.lost, report.uncertain), (5, 0, 0));
    assert_eq!(
        states(&mut store),
        [
            (1, "acked"),
            (2, "rejected"),
            (3, "inflight"),
            (4, "queued"),
            (5, "queued")
        ]
    );
    assert!(report.damaged.exists());

    // And it goes on as a replica does: what it means is shown, a base sync is due, no number is given twice.
    let mut world = World::new();
    world.store = Some(store);
    world.dir = dir;
    world.machine = Machine::new(Arc::clone(&world.schema), world.settings.clone());
    world.step(Input::Start).unwrap();
    play_on(
        &mut world,
        r#"
        expect Todo/3 title="flying"
        expect Todo/q1 title="queued1"
        expect Todo/1 gone
        phone online
        link up
        expect asked Todo none
        expect sent 3 4 5
        phone create Todo/after title="x" rank=0
        expect outbox 1=acked 2=rejected 3=inflight 4=inflight 5=inflight 6=inflight
        server page Todo e.9 live; Todo/1 v2 title="acked" rank=1; Todo/2 v1 title="b" rank=1
        expect outbox 2=rejected 3=inflight 4=inflight 5=inflight 6=inflight
        expect Todo/1 title="acked"
        "#,
    );
}

#[test]
fn a_file_whose_name_is_lost_is_a_new_replica_and_sends_nothing_that_was_sent() {
    let dir = used(2);
    let file = path(&dir);
    spoil(&file, root(&file, "_meta"));
    let (mut store, report) = salvage(&file);
    assert_eq!(store.replica(), &fresh().fresh_replica);
    assert!(!report.same_replica);
    assert_eq!((report.mutations, report.lost, report.uncertain), (5, 0, 1));
    // What was acknowledged is on the server; what was in flight may be.
    assert_eq!(
        states(&mut store),
        [(2, "rejected"), (3, "rejected"), (4, "queued"), (5, "queued")]
    );
}

#[test]
fn by_a_new_name_nothing_of_unknown_fate_goes_on_by_itself_and_what_was_never_sent_keeps_its_order() {
    let mut world = crate::outcomes::wedged("phone create Todo/1 title=\"a\"");
    play_on(
        &mut world,
        r#"
        phone redo 1 Todo title="b"
        phone create Todo/7
        phone create Comment/7 todoId="7"
        server answers 3 rejected BadRequest
        phone offline
        phone create Todo/8
        phone create Comment/8 todoId="8"
        expect outbox 1=givenup 2=queued 3=rejected 4=queued 5=queued 6=queued
        "#,
    );
    world.store = None;
    let file = path(&world.dir);
    spoil(&file, root(&file, "_meta"));
    let (mut store, report) = salvage(&file);
    assert_eq!((report.same_replica, report.uncertain), (false, 2));
    let entries = store.begin(false).unwrap().outbox(0, 100).unwrap();
    let code = |entry: &tombolo_machine::OutboxEntry| match &entry.state {
        EntryState::Rejected(reason) => reason.code.to_string(),
        other => format!("{other:?}"),
    };
    let codes: Vec<String> = entries.iter().map(code).collect();
    let forgotten = "OutcomeForgotten";
    assert_eq!(
        codes,
        [
            forgotten,
            forgotten,
            "BadRequest",
            "DependencyRejected",
            "Queued",
            "Queued"
        ]
    );
    assert_eq!(entries[5].depends_on, [entries[4].number]);

    world.store = Some(store);
    world.machine = Machine::new(Arc::clone(&world.schema), world.settings.clone());
    world.step(Input::Start).unwrap();
    world.sent.clear();
    play_on(
        &mut world,
        r#"
        expect Todo/1 gone
        phone online
        link up
        expect sent 5
        phone discard 2
        phone retry 1
        expect sent 7
        "#,
    );
}

#[test]
fn under_which_number_a_mutation_went_on_is_saved_too() {
    let mut world = World::new();
    play_on(
        &mut world,
        "phone online\nlink up\nphone create Todo/1\nserver answers 1 rejected NumberReused\nexpect outbox 2=queued",
    );
    world.store = None;
    let file = path(&world.dir);
    spoil(&file, root(&file, "Todo"));
    let (mut store, _) = salvage(&file);
    let tx = store.begin(false).unwrap();
    let found = tx.find(tombolo_core::id::MutationNumber(1)).unwrap();
    assert_eq!(found.map(|kept| kept.number().0), Some(2));
}

#[test]
fn of_a_damaged_outbox_all_that_can_be_read_is_saved_and_the_rest_is_counted() {
    let dir = used(400);
    let file = path(&dir);
    // A leaf in the middle of the outbox: its root names the leaves.
    let leaf: i64 = Connection::open(&file)
        .unwrap()
        .query_row(
            "SELECT pageno FROM dbstat WHERE name = '_outbox' AND pagetype = 'leaf' ORDER BY pageno LIMIT 1 OFFSET 3",
            [],
            |row| row.get(0),
        )
        .unwrap_or_else(|_| root(&file, "_outbox") + 5);
    spoil(&file, leaf);
    let (mut store, report) = salvage(&file);
    let saved = states(&mut store).len() as u64;
    assert_eq!(report.mutations, saved);
    assert!(!report.whole, "{report:?}");
    assert!(saved > 300 && saved < 403, "{report:?}");
    // Every number that is not there was counted as lost.
    assert_eq!(saved + report.lost, 403, "{report:?}");
}

#[test]
fn a_file_of_noise_gives_an_empty_replica_and_is_kept() {
    let dir = used(1);
    let file = path(&dir);
    let bytes: Vec<u8> = (0..20_480_u32).map(|at| (at * 7 % 253) as u8).collect();
    std::fs::write(&file, &bytes).unwrap();
    let (mut store, report) = salvage(&file);
    assert_eq!(states(&mut store), []);
    assert_eq!((report.mutations, report.same_replica, report.whole), (0, false, false));
    assert_eq!(std::fs::read(&report.damaged).unwrap(), bytes);
}

#[test]
fn a_file_that_was_never_a_database_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = path(&dir);
    std::fs::write(&file, "somebody's letter").unwrap();
    let refused = Store::salvage(&file, schema(SDL), fresh(), "for the test");
    assert!(matches!(refused, Err(OpenError::Foreign(_))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "somebody's letter");
}

#[test]
fn the_report_stays_and_a_second_damage_keeps_both_files() {
    let dir = used(1);
    let file = path(&dir);
    spoil(&file, root(&file, "Todo"));
    let (store, first) = salvage(&file);
    drop(store);
    let store = Store::open(&file, schema(SDL), fresh()).unwrap();
    assert_eq!(store.salvaged().unwrap(), Some(first.clone()));
    drop(store);
    let (mut store, second) = salvage(&file);
    assert_ne!(first.damaged, second.damaged);
    assert!(first.damaged.exists() && second.damaged.exists());
    assert_eq!(states(&mut store).len(), 4);
}

#[test]
fn what_is_found_damaged_in_use_is_salvaged_at_the_next_opening() {
    let dir = used(1);
    let file = path(&dir);
    let store = Store::open(&file, schema(SDL), fresh()).unwrap();
    store.mark_damaged("a page of Todo").unwrap();
    drop(store);
    match Store::open(&file, schema(SDL), fresh()) {
        Err(OpenError::Store(StoreError::Corrupt(problem))) => assert_eq!(problem, "a page of Todo"),
        other => panic!("{other:?}"),
    }
    let (mut store, _) = salvage(&file);
    assert_eq!(states(&mut store).len(), 4);
    drop(store);
    drop(Store::open(&file, schema(SDL), fresh()).unwrap());
}

#[test]
fn a_salvage_that_dies_on_the_way_is_finished_at_the_next_opening() {
    // As after each of its moves: nothing moved yet, the log moved, the file moved too.
    for moved in 0..3 {
        let dir = used(1);
        let file = path(&dir);
        spoil(&file, root(&file, "Todo"));
        let damaged = std::fs::read(&file).unwrap();
        let (store, report) = salvage(&file);
        drop(store);
        let complete = std::fs::read(&file).unwrap();
        std::fs::write(dir.path().join("replica.db.salvaged"), &complete).unwrap();
        std::fs::remove_file(&report.damaged).unwrap();
        match moved {
            0 => std::fs::write(&file, &damaged).unwrap(),
            1 => {
                std::fs::write(&file, &damaged).unwrap();
                std::fs::write(dir.path().join("replica.db-wal"), "the old one's log").unwrap();
            }
            _ => {
                std::fs::remove_file(&file).unwrap();
                std::fs::write(&report.damaged, &damaged).unwrap();
                std::fs::write(dir.path().join("replica.db-wal"), "the old one's log").unwrap();
            }
        }
        let mut store = Store::open(&file, schema(SDL), fresh()).unwrap();
        assert_eq!(states(&mut store).len(), 4, "{moved}");
        assert_eq!(std::fs::read(&report.damaged).unwrap(), damaged, "{moved}");
        assert!(!dir.path().join("replica.db.salvaged").exists());
    }
}
