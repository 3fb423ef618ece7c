//! Documents whose answers show embedded values whole.

use serde_json::Value as Json;
use tombolo_core::query::{Bound, Side};

use crate::mutation;
use crate::{Client, Error, Mutated, Response, Watch};

impl Client {
    /// As [`Client::query`], [`Client::watch`] and [`Client::mutate`], but embedded values stand in the answer whole, with all
    /// that is nested in them, whatever is selected of them: no document selects all of a type that contains itself. What
    /// generated code reads and writes records with.
    ///
    /// ```
    /// # use serde_json::json;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("replica.db");
    /// let schema = "type Doc @model { id: ID! tree: Tree } type Tree { name: String next: Tree }";
    /// let client = tombolo::Client::builder().schema(schema).path(path).open().await?;
    /// let create = "mutation($tree: TreeInput) { createDoc(input: { id: \"d\", tree: $tree }) { tree { __typename } } }";
    /// let tree = json!({ "name": "a", "next": { "name": "b", "next": null } });
    /// let mutated = client.mutate_whole(create, json!({ "tree": tree })).await?;
    /// assert_eq!(mutated.response.data(), json!({ "createDoc": { "tree": tree } }).to_string());
    /// let read = client.query_whole("{ getDoc(id: \"d\") { tree { __typename } } }", json!(null)).await?;
    /// assert_eq!(read.data(), json!({ "getDoc": { "tree": tree } }).to_string());
    /// # client.close().await;
    /// # Ok::<(), tombolo::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Client::query`].
    pub async fn query_whole(&self, text: &str, variables: Json) -> Result<Response, Error> {
        self.inner.query(self.bind_whole(text, variables)?).await
    }

    /// [`Client::watch`] with embedded values whole, see [`Client::query_whole`].
    ///
    /// # Errors
    /// As [`Client::watch`].
    pub fn watch_whole(&self, text: &str, variables: Json) -> Result<Watch, Error> {
        self.inner.watch(self.bind_whole(text, variables)?)
    }

    /// [`Client::mutate`] with embedded values whole in the answer, see [`Client::query_whole`].
    ///
    /// # Errors
    /// As [`Client::mutate`].
    pub async fn mutate_whole(&self, text: &str, variables: Json) -> Result<Mutated, Error> {
        self.inner.mutate(self.bind_whole(text, variables)?).await
    }

    fn bind_whole(&self, text: &str, variables: Json) -> Result<Bound, Error> {
        self.inner
            .bind_records(text, mutation::variables(variables)?, Side::Replica)
    }
}
