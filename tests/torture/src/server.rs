//! `tombolo serve` as a process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::{KEY, SCHEMA};

/// How long a server may take until it serves: it opens a file that was in use when its predecessor was killed.
const READY: Duration = Duration::from_secs(30);

/// Between two looks at whether it serves.
const POLL: Duration = Duration::from_millis(5);

/// Where a server lives.
#[derive(Clone, Debug)]
pub struct Home {
    binary: PathBuf,
    folder: PathBuf,
    /// Where it listens, always the same.
    pub address: SocketAddr,
}

/// A server that serves; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Home {
    /// Writes configuration and schema into `folder` and finds an address that stays free.
    ///
    /// # Errors
    /// The folder's or the socket's.
    pub async fn new(binary: &Path, folder: &Path) -> std::io::Result<Self> {
        // An address that nothing else on this machine uses, so that the port is still free after a kill.
        let own = std::process::id().to_le_bytes();
        let host = if cfg!(target_os = "linux") {
            format!("127.{}.{}.2", 128 | (own[1] & 63), own[0])
        } else {
            "127.0.0.1".to_owned()
        };
        let address = TcpListener::bind((host.as_str(), 0)).await?.local_addr()?;
        std::fs::write(folder.join("schema.graphql"), SCHEMA)?;
        let config = format!(
            "listen = \"{address}\"\nschema = \"schema.graphql\"\ndatabase = \"server.sqlite\"\n\n\
             [[api_keys]]\nname = \"torture\"\nkey = \"{KEY}\"\n"
        );
        std::fs::write(folder.join("tombolo.toml"), config)?;
        Ok(Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            address,
        })
    }

    /// The database's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("server.sqlite")
    }

    /// What all its processes have said.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Starts a server and waits until it serves.
    ///
    /// # Errors
    /// It ended by itself, or does not serve in time.
    pub async fn start(&self) -> Result<Server, String> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(|e| e.to_string())?;
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TOMBOLO_") {
                command.env_remove(name);
            }
        }
        let child = command
            .arg("serve")
            .arg("--config")
            .arg(self.folder.join("tombolo.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.binary.display()))?;
        let mut server = Server { child };
        let began = Instant::now();
        while !self.is_ready().await {
            server.check()?;
            if began.elapsed() > READY {
                return Err(format!("the server does not serve after {READY:?}"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        self.http("GET", "/readyz", "")
            .await
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// Carries out a mutation or a query, past the proxy.
    ///
    /// # Errors
    /// The whole answer, if it is not one without errors.
    pub async fn ask(&self, query: &str) -> Result<(), String> {
        let body = serde_json::json!({ "query": query }).to_string();
        let answer = self.http("POST", "/graphql", &body).await.unwrap_or_default();
        if answer.starts_with("HTTP/1.1 200") && !answer.contains("\"errors\"") {
            Ok(())
        } else {
            Err(format!("{query}: {answer}"))
        }
    }

    async fn http(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut socket = TcpStream::connect(self.address).await.ok()?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        );
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }
}

impl Server {
    /// # Errors
    /// It has ended, though nobody killed it.
    pub fn check(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the server ended by itself: {status}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// SIGKILL. Returns when it is gone.
    ///
    /// # Errors
    /// It had ended before.
    pub async fn kill(mut self) -> Result<(), String> {
        self.check()?;
        self.child.kill().await.map_err(|e| e.to_string())
    }
}
