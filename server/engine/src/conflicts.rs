//! The query `tomboloConflicts`: what was merged and rejected, as far as the identity that asks may see it.

use serde_json::{Value as Json, json};
use tombolo_core::access::{Grant, Identity};
use tombolo_core::id::ModelId;
use tombolo_core::query::ConflictsInput;
use tombolo_core::schema::AuthOperation;

use crate::decide::trace;
use crate::limits;
use crate::prepare::Prepared;
use crate::service::Engine;
use crate::store::{KeptTrace, Readable, Store, StoreError, TraceRequest};

impl<S: Store> Engine<S> {
    /// One page as JSON.
    pub(crate) async fn conflicts(&self, prepared: &Prepared, input: &ConflictsInput) -> Result<Vec<u8>, StoreError> {
        let limit = input.limit.unwrap_or(limits::TRACES_LIMIT_DEFAULT);
        let page = self.store.traces(TraceRequest {
            readable: self.readable(prepared),
            model: input.model.clone(),
            replica: input.replica.clone(),
            outcome: input.outcome,
            before: input.before,
            limit: limit.clamp(1, limits::TRACES_LIMIT_MAX),
        });
        let page = page.await?;
        let items: Vec<Json> = page
            .traces
            .iter()
            .filter_map(|kept| self.shown(prepared, kept))
            .collect();
        let next = page.next.map(|id| id.to_string());
        Ok(json!({ "items": items, "nextToken": next }).to_string().into_bytes())
    }

    fn readable(&self, prepared: &Prepared) -> Option<Readable> {
        if *prepared.identity() == Identity::Local {
            return None;
        }
        let models = self.schema.models.iter().enumerate();
        let may = models.filter(|(id, _)| *prepared.access.grant(ModelId(*id), AuthOperation::Sync) == Grant::All);
        Some(Readable {
            models: may.map(|(_, model)| model.name.clone()).collect(),
            author: prepared.identity().author(),
        })
    }

    fn shown(&self, prepared: &Prepared, kept: &KeptTrace) -> Option<Json> {
        let visible = trace::visible(&kept.trace, &self.schema, prepared.identity(), &prepared.access)?;
        let mut json = serde_json::to_value(visible).ok()?;
        json["id"] = Json::from(kept.id.to_string());
        Some(json)
    }
}
