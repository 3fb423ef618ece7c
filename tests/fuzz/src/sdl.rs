//! A schema file.

use std::sync::Arc;

use tombolo_core::schema::{Schema, diff};
use tombolo_store::Store;
use tombolo_store_sqlite::{Options, SqliteStore};

use crate::{replica, text};

/// Reads the bytes as SDL.
pub fn run(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let schema = match Schema::parse(text, "fuzz.graphql") {
        Ok(schema) => Arc::new(schema),
        Err(errors) => {
            assert!(!errors.to_string().is_empty(), "refused without a reason");
            return;
        }
    };
    let again = Schema::parse(text, "fuzz.graphql").expect("the same text is read the same way");
    assert_eq!(schema.hash, again.hash, "one text, two hashes");
    let differences = diff(&schema, &again);
    assert!(differences.is_empty(), "a schema differs from itself: {differences:?}");
    Store::open_in_memory(Arc::clone(&schema), replica::options()).expect("a replica takes every schema that is good");
    SqliteStore::open_inline(None, schema, &Options::default()).expect("a server takes every schema that is good");
}
