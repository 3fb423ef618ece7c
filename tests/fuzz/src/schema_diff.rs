//! Two schema files, one after the other in the life of an app.

use std::sync::Arc;

use tombolo_core::schema::{Schema, diff};
use tombolo_store::{OpenError, Store};

use crate::{replica, text};

/// Stands between the two.
const BETWEEN: &str = "\n---\n";

/// Compares the two and opens a replica's file of the first with the second.
pub fn run(data: &[u8]) {
    let Some((old, new)) = text(data).and_then(|text| text.split_once(BETWEEN)) else {
        return;
    };
    let (Ok(old), Ok(new)) = (Schema::parse(old, "old.graphql"), Schema::parse(new, "new.graphql")) else {
        return;
    };
    let forth = diff(&old, &new);
    let back = diff(&new, &old);
    assert_eq!(forth.is_empty(), back.is_empty(), "{forth:?} / {back:?}");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("replica.db");
    let (old, new) = (Arc::new(old), Arc::new(new));
    for schema in [&old, &new, &old] {
        match Store::open(&file, Arc::clone(schema), replica::options()) {
            Ok(store) => drop(store),
            Err(error @ OpenError::InUse(_)) => panic!("a file that was closed is in use: {error}"),
            Err(error) => panic!("a replica's file does not open with another schema: {error}"),
        }
    }
}
