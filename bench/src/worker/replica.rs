//! Replicas, through the public API of `tombolo` as an app uses it.

use std::path::Path;

use serde_json::Value as Json;
use tombolo::{Client, Scope, Status};

use super::Place;
use crate::error::{Error, failed};

/// Opens the replica in the file `name`, holding the whole of `models`.
pub(super) async fn open(place: &Place, name: &str, models: &[&str], offline: bool) -> Result<Client, Error> {
    let scopes: Vec<_> = models
        .iter()
        .map(|model| Scope {
            model: (*model).to_owned(),
            filter: None,
        })
        .collect();
    Client::builder()
        .schema_path(&place.schema)
        .path(file(&place.directory, name))
        .url(&place.url)
        .api_key(&place.api_key)
        .scopes(scopes)
        .offline(offline)
        .open()
        .await
        .map_err(words)
}

/// The file of the replica called `name`.
pub(crate) fn file(directory: &Path, name: &str) -> std::path::PathBuf {
    directory.join(format!("{name}.sqlite"))
}

/// Waits until the replica's status is as wanted.
pub(super) async fn wait_until(client: &Client, wanted: impl Fn(&Status) -> bool) -> Result<(), Error> {
    let mut status = client.status();
    status
        .wait_for(|status| wanted(status))
        .await
        .map(|_| ())
        .map_err(|_| failed("the replica has closed"))
}

/// Mutates; an answer with errors is an error.
pub(super) async fn mutate(client: &Client, document: &str, variables: Json) -> Result<(), Error> {
    client.mutate(document, variables).await.map_err(words)?;
    Ok(())
}

/// The client's errors are for people here.
pub(super) fn words(error: tombolo::Error) -> Error {
    failed(error.to_string())
}
