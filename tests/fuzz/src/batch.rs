//! A page of the change feed.

use tombolo_core::id::ModelId;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_machine::{StoreError, StoreTx as _};

use crate::{replica, schema};

/// Reads the bytes as a page and writes it to a replica with and without unsettled mutations.
pub fn run(data: &[u8]) {
    let Ok(batch) = serde_json::from_slice::<ChangeBatch>(data) else {
        return;
    };
    let model = schema().model_named(&batch.model).unwrap_or(ModelId(0));
    replica::with(|tx| match tx.apply_rows(model, &batch, 2) {
        Ok(applied) => {
            for record in &applied.set_aside {
                assert_eq!(record.values.len(), schema().model(model).fields.len());
            }
            replica::check_queries(tx);
        }
        Err(StoreError::BadBatch(why)) => assert!(!why.is_empty()),
        Err(error) => panic!("a page is neither taken nor refused by name: {error}"),
    });
}
