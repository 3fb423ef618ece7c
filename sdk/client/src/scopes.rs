//! What the replica holds of each model.

use serde_json::Value as Json;
use tombolo_machine::{Input, Scope, ScopeStatus};

use crate::Error;
use crate::builder::check_scope;
use crate::client::Client;

impl Client {
    /// What this replica holds: a scope for each model at most, and how far it has come.
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// # use serde_json::json;
    /// client.set_scope("Note", Some(json!({ "text": { "beginsWith": "wet" } }))).await?;
    /// assert!(client.scopes()[0].filter.is_some());
    /// client.remove_scope("Note").await?;
    /// assert!(client.scopes().is_empty());
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    #[must_use]
    pub fn scopes(&self) -> Vec<ScopeStatus> {
        self.inner.hub.status.borrow().scopes.clone()
    }

    /// Holds the records of `model` that match `filter` (the JSON of the model's filter input), or all of them. Records
    /// that do not match leave at once; the others come with the next link. Queued mutations stay.
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// # use serde_json::json;
    /// client.set_scope("Note", Some(json!({ "text": { "beginsWith": "wet" } }))).await?;
    /// assert!(client.set_scope("Note", Some(json!({ "colour": { "eq": "red" } }))).await.is_err());
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownModel`], or [`Error::Request`] if the filter is wrong.
    pub async fn set_scope(&self, model: &str, filter: Option<Json>) -> Result<(), Error> {
        let scope = Scope {
            model: model.to_owned(),
            filter,
        };
        check_scope(&self.inner.schema, &scope)?;
        self.inner.step(Input::SetScope(scope)).await
    }

    /// Holds nothing of `model` any more: its records leave. Queued mutations stay.
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// client.remove_scope("Note").await?;
    /// assert!(client.scopes().is_empty());
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub async fn remove_scope(&self, model: &str) -> Result<(), Error> {
        if self.inner.schema.model_named(model).is_none() {
            return Err(Error::UnknownModel(model.to_owned()));
        }
        self.inner.step(Input::RemoveScope(model.to_owned())).await
    }
}
