//! How a file is sealed while other processes have it open.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tombolo_core::id::ReplicaId;
use tombolo_machine::{OutboxCounts, StoreError};
use tombolo_store::{Options, Seal, Store};

use crate::world::{SDL, schema};

fn open(file: &Path) -> Store {
    let mut options = Options::new(ReplicaId("22222222-2222-4222-8222-222222222222".into()));
    options.account = Some("ada".into());
    options.busy_timeout = Duration::from_millis(20);
    Store::open(file, schema(SDL), options).unwrap()
}

/// A mutation that another process durably queues between the counting and the sealing would go with the file.
#[test]
fn nobody_writes_between_the_counting_and_the_sealing_that_depends_on_it() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("replica.db");
    let (mut app, mut extension) = (open(&file), open(&file));
    let (counts, seal) = app
        .seal(|_| {
            assert!(matches!(extension.begin(true), Err(StoreError::Busy(_))));
            Seal::Discarded
        })
        .unwrap();
    assert_eq!((counts, seal), (OutboxCounts::default(), Seal::Discarded));
    assert!(matches!(extension.begin(true), Err(StoreError::SignedOut)));
    drop((app, extension));
    assert!(tombolo_store::peek(&file).unwrap().is_none());
}

/// And one that came back before counts as signed in again: its seal is gone, and a seal of the first is refused.
#[test]
fn a_file_that_its_account_has_come_back_to_is_not_given_up_by_one_who_left() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("replica.db");
    let mut app = open(&file);
    app.seal(|_| Seal::Kept).unwrap();
    let mut extension = open(&file);
    assert!(extension.begin(true).is_ok());
    assert!(!tombolo_store::peek(&file).unwrap().unwrap().sealed);
}
