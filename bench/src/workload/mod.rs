//! The workloads: each starts its server and its worker, measures the limit in the same run, and gives lines for the
//! table. Runs of product and limit alternate, so that a machine that is busy for a while is so for both.

pub(crate) mod poison;
pub(crate) mod w1;
pub(crate) mod w2;
pub(crate) mod w3;
pub(crate) mod w4;
pub(crate) mod w5;
pub(crate) mod w6;
pub(crate) mod w7;
pub(crate) mod w8;

use std::path::{Path, PathBuf};

use crate::child::Server;
use crate::error::Error;
use crate::options::{Options, repository_file};
use crate::worker::Place;

/// What every workload needs.
pub(crate) struct Setting {
    /// Sizes.
    pub(crate) options: Options,
    /// Folder of this run.
    pub(crate) directory: PathBuf,
    /// The example's schema.
    pub(crate) schema: PathBuf,
}

impl Setting {
    /// For a run whose files are in `directory`.
    pub(crate) fn new(options: Options, directory: PathBuf) -> Self {
        Self {
            options,
            directory,
            schema: repository_file("examples/flights/schema.graphql"),
        }
    }

    /// Starts a server with its files in the folder `name`.
    async fn server(&self, name: &str) -> Result<Server, Error> {
        self.server_with(name, "").await
    }

    /// The same with a port for MQTT and room for so many connections.
    async fn mqtt_server(&self, name: &str, connections: usize) -> Result<Server, Error> {
        // Some more for who looks whether it is ready, and for those that have just gone.
        let most = connections + 1_000;
        let tables = format!("[mqtt]\nlisten = \"127.0.0.1:0\"\n\n[limits]\nconnections_max = {most}\n");
        self.server_with(name, &tables).await
    }

    async fn server_with(&self, name: &str, tables: &str) -> Result<Server, Error> {
        Server::start(
            &self.directory.join(name),
            &self.schema,
            self.options.server_binary.as_deref(),
            tables,
        )
        .await
    }

    /// Where a worker for `server` keeps its replicas: the folder `name`, made if it is not there.
    fn place(&self, server: &Server, name: &str) -> Result<Place, Error> {
        let directory = self.directory.join(name);
        std::fs::create_dir_all(&directory).map_err(|source| Error::Io {
            what: format!("cannot make {}", directory.display()),
            source,
        })?;
        Ok(Place {
            url: server.url(),
            api_key: server.api_key().to_owned(),
            schema: self.schema.clone(),
            directory,
        })
    }

    /// A file for a limit's database.
    fn limit_file(&self) -> PathBuf {
        self.directory.join("limit.sqlite")
    }
}

/// Copies a database that nobody has open, with its log if there is one.
fn copy_database(from: &Path, to: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        if name(from).exists() {
            std::fs::copy(name(from), name(to)).map_err(|source| Error::Io {
                what: format!("cannot copy {}", from.display()),
                source,
            })?;
        }
    }
    Ok(())
}
