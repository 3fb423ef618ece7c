//! A server in this process, on an address of its own, that can be stopped and started again on the same data.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tombolo_server::config::Database;
use tombolo_server::{Config, Ended, Running, Server, StartError};

use crate::{KEY, Phone, SCHEMA, patiently, process, wire};

/// A server and its folder.
#[derive(Debug)]
pub struct Site {
    running: Option<Running>,
    config: Config,
    folder: TempDir,
}

/// An address of this machine that no other test of this process listens on, so that a port which a stopped server has
/// given back is still free when it starts again. Port 0: the system chooses.
fn address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    if cfg!(target_os = "linux") {
        let own = std::process::id().to_le_bytes();
        format!(
            "127.{}.{}.{}:0",
            64 | (own[1] & 63),
            own[0],
            NEXT.fetch_add(1, Ordering::Relaxed)
        )
    } else {
        "127.0.0.1:0".to_owned()
    }
}

impl Site {
    /// A server over a new file, with [`SCHEMA`].
    pub async fn new() -> Self {
        Self::with(SCHEMA, |_| {}).await
    }

    /// A server with a schema and settings of one's own.
    pub async fn with(schema: &str, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::in_memory(schema, KEY);
        config.listen = address();
        config.database = Database::File(folder.path().join("server.db"));
        change(&mut config);
        let running = Server::start(config.clone()).await.unwrap();
        config.listen = running.addr.to_string();
        if let Some(addr) = running.mqtt.first().filter(|_| config.mqtt.listen.is_some()) {
            config.mqtt.listen = Some(addr.to_string());
        }
        if let Some(addr) = running.mqtt.last().filter(|_| config.mqtt.tls_listen.is_some()) {
            config.mqtt.tls_listen = Some(addr.to_string());
        }
        Self {
            running: Some(running),
            config,
            folder,
        }
    }

    /// Its database file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("server.db")
    }

    /// A folder that ends with the test.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it was started with; `listen` is what was bound.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.config.listen
    }

    /// The GraphQL URL; the same after a restart.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address())
    }

    /// Where it speaks MQTT; the same after a restart.
    #[must_use]
    pub fn mqtt_address(&self) -> &str {
        self.config.mqtt.listen.as_deref().expect("MQTT is configured")
    }

    /// Where it speaks MQTT over TLS.
    #[must_use]
    pub fn mqtts_address(&self) -> &str {
        self.config
            .mqtt
            .tls_listen
            .as_deref()
            .expect("MQTT over TLS is configured")
    }

    /// Ends the server in good order; its file is free afterwards.
    pub async fn stop(&mut self) {
        let running = self.running.take().expect("the server runs");
        assert_eq!(patiently(running.shutdown()).await, Ended::InOrder);
    }

    /// Starts it again on the same address and data.
    pub async fn start(&mut self) {
        self.try_start().await.unwrap();
    }

    /// Starts it again, or says why that cannot be.
    ///
    /// # Errors
    /// The server's own.
    pub async fn try_start(&mut self) -> Result<(), StartError> {
        assert!(self.running.is_none(), "it runs already");
        if let Database::File(file) = &self.config.database {
            process::until_free(file).await;
        }
        process::until_free_to_listen(&self.config.listen).await;
        self.running = Some(Server::start(self.config.clone()).await?);
        Ok(())
    }

    /// Starts it again with another configuration.
    ///
    /// # Errors
    /// The server's own.
    pub async fn try_start_with(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), StartError> {
        change(&mut self.config);
        self.try_start().await
    }

    /// Opens a replica called `name` (its file's name), online.
    pub async fn phone(&self, name: &str) -> Phone {
        Phone::open(self.builder(name), self.replica(name)).await
    }

    /// Opens a replica that makes a link only when told to sync.
    pub async fn offline_phone(&self, name: &str) -> Phone {
        Phone::open(self.builder(name).offline(true), self.replica(name)).await
    }

    /// What [`Site::phone`] opens.
    pub fn builder(&self, name: &str) -> tombolo::Builder {
        tombolo::Client::builder()
            .schema(SCHEMA)
            .path(self.replica(name))
            .url(self.url())
            .api_key(KEY)
    }

    /// The file of the replica called `name`.
    #[must_use]
    pub fn replica(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.db"))
    }

    /// Asks the server itself; the whole answer.
    pub async fn ask(&self, query: &str, variables: Json) -> Json {
        let reply = wire::post(self.address(), KEY, &json!({ "query": query, "variables": variables })).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// A mutation by somebody else, straight at the server; gives the record back.
    pub async fn write(&self, field: &str, input: Json) -> Json {
        let answer = self
            .ask(&crate::phone::mutation(field), json!({ "input": input }))
            .await;
        assert!(answer["errors"].is_null(), "{answer}");
        answer["data"][field].clone()
    }

    /// Every live record of a model as the server has it, by id.
    pub async fn records(&self, model: &str, fields: &str) -> std::collections::BTreeMap<String, Json> {
        let mut all = std::collections::BTreeMap::new();
        let mut token = Json::Null;
        loop {
            let query = format!(
                "query($token: String) {{ list{model}s(limit: 1000, nextToken: $token) \
                 {{ items {{ id _deleted {fields} }} nextToken }} }}"
            );
            let answer = self.ask(&query, json!({ "token": token })).await;
            let page = &answer["data"][format!("list{model}s")];
            let items = page["items"].as_array().unwrap_or_else(|| panic!("{answer}"));
            for item in items.iter().filter(|item| item["_deleted"].is_null()) {
                let mut item = item.clone();
                item.as_object_mut().unwrap().remove("_deleted");
                all.insert(item["id"].as_str().unwrap().to_owned(), item);
            }
            token = page["nextToken"].clone();
            if token.is_null() {
                return all;
            }
        }
    }
}
