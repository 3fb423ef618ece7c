//! A replica as the tests use it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};
use tombolo::{Builder, Client, Error, MutationNumber, OutboxItem, Status, SyncReport};

use crate::{PATIENCE, patiently, process};

/// The mutation `field` (`createNote`) with its input as a variable.
#[must_use]
pub fn mutation(field: &str) -> String {
    let mut words = field.chars();
    let first: String = words.next().unwrap().to_uppercase().chain(words).collect();
    format!("mutation($input: {first}Input!) {{ {field}(input: $input) {{ id _version _deleted }} }}")
}

/// A replica.
#[derive(Clone, Debug)]
pub struct Phone {
    /// The SDK's client.
    pub client: Client,
    name: String,
}

impl Phone {
    /// Opens what `builder` says on `file`, once a replica that was closed here has let go of it.
    pub async fn open(builder: Builder, file: impl AsRef<Path>) -> Self {
        let file = file.as_ref();
        process::until_free(file).await;
        let client = builder.path(file).open().await.unwrap();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self { client, name }
    }

    /// One mutation, which must be taken; its number.
    pub async fn write(&self, field: &str, input: Json) -> MutationNumber {
        match self.try_write(field, input).await {
            Ok(number) => number,
            Err(error) => panic!("{}: {field}: {error}", self.name),
        }
    }

    /// One mutation.
    ///
    /// # Errors
    /// The SDK's.
    pub async fn try_write(&self, field: &str, input: Json) -> Result<MutationNumber, Error> {
        let mutated = self.client.mutate(&mutation(field), json!({ "input": input })).await?;
        assert!(mutated.response.errors().is_empty(), "{:?}", mutated.response.errors());
        Ok(mutated.numbers[0])
    }

    /// The data of a query.
    pub async fn query(&self, text: &str) -> Json {
        self.client.query(text, Json::Null).await.unwrap().data_as().unwrap()
    }

    /// Every record of a model that this replica shows, by id.
    pub async fn records(&self, model: &str, fields: &str) -> BTreeMap<String, Json> {
        let text = format!("{{ list{model}s(limit: 100000) {{ items {{ id {fields} }} }} }}");
        by_id(&self.query(&text).await[format!("list{model}s")]["items"])
    }

    /// The ids of the records of a model.
    pub async fn ids(&self, model: &str) -> Vec<String> {
        self.records(model, "").await.into_keys().collect()
    }

    /// Pushes and pulls until nothing is left, which must succeed.
    pub async fn sync(&self) -> SyncReport {
        let report = self.client.sync_once(PATIENCE).await.unwrap();
        let status = self.client.status().borrow().clone();
        assert!(
            report.is_complete(),
            "{} is not complete: {report:?} {status:?}",
            self.name
        );
        report
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, wanted: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.client.status();
        match tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!(
                "{}: this is not what was awaited: {:?}",
                self.name,
                self.client.status().borrow()
            ),
        }
    }

    /// Waits until nothing of this replica's is on its way and everything is here.
    pub async fn settled(&self) {
        self.until(|status| status.up_to_date && status.pending == 0).await;
    }

    /// Waits until a query's data are as wanted; gives them back.
    pub async fn until_data(&self, text: &str, mut wanted: impl FnMut(&Json) -> bool) -> Json {
        let mut watch = self.client.watch(text, Json::Null).unwrap();
        let mut last = Json::Null;
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                last = watch
                    .next()
                    .await
                    .expect("the client is open")
                    .unwrap()
                    .data_as()
                    .unwrap();
                if wanted(&last) {
                    return;
                }
            }
        });
        if found.await.is_err() {
            panic!("{}: these are not the data that were awaited: {last}", self.name);
        }
        last
    }

    /// The outbox.
    pub async fn outbox(&self) -> Vec<OutboxItem> {
        self.client.outbox().await.unwrap()
    }

    /// Closes it; its file is free afterwards.
    pub async fn close(self) {
        patiently(self.client.close()).await;
    }
}

/// Records by their id.
#[must_use]
pub fn by_id(items: &Json) -> BTreeMap<String, Json> {
    let items = items.as_array().unwrap_or_else(|| panic!("no list: {items}"));
    items
        .iter()
        .map(|item| (item["id"].as_str().unwrap().to_owned(), item.clone()))
        .collect()
}
