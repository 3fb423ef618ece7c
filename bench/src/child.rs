//! The processes of a workload: the server, and a worker that holds replicas or makes load. Each side is a process of
//! its own, so that its peak memory is its own.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::error::{During as _, Error, failed};
use crate::host;
use crate::worker::Job;

/// Longest wait for a server to say where it listens and to be ready. Opening a large database takes well under a
/// second; a loaded machine is given its time.
const START_MAX: Duration = Duration::from_secs(60);

/// Longest wait for a worker. The largest first sync takes some tens of seconds.
const WORK_MAX: Duration = Duration::from_secs(900);

/// Lines of a child's output kept for the message if it fails.
const LINES_KEPT: usize = 40;

/// The API key of the servers that the bench starts.
const API_KEY: &str = "tombolo-bench-key";

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: String,
    mqtt: Option<String>,
    database: PathBuf,
}

impl Server {
    /// Starts `tombolo serve` on a free port with a database file in `directory`, and waits until it is ready. `tables` end its
    /// configuration.
    pub(crate) async fn start(
        directory: &Path,
        schema: &Path,
        binary: Option<&Path>,
        tables: &str,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).during(|| format!("cannot make {}", directory.display()))?;
        let database = directory.join("server.sqlite");
        let quoted = |path: &Path| serde_json::to_string(&path.to_string_lossy());
        let config = format!(
            "listen = \"127.0.0.1:0\"\nschema = {}\ndatabase = {}\n\n[[api_keys]]\nname = \"bench\"\nkey = \"{API_KEY}\"\n\n{tables}",
            quoted(
                &schema
                    .canonicalize()
                    .during(|| format!("cannot find {}", schema.display()))?
            )?,
            quoted(&database)?,
        );
        let file = directory.join("tombolo.toml");
        std::fs::write(&file, config).during(|| format!("cannot write {}", file.display()))?;

        let mut command = match binary {
            Some(binary) => Command::new(binary),
            None => {
                let mut command = itself()?;
                command.arg("server");
                command
            }
        };
        let mut child = command
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .during(|| "cannot start the server".to_owned())?;
        let (said, heard) = mpsc::channel();
        let kept = Arc::new(Mutex::new(Vec::new()));
        listen(child.stdout.take(), &said, &kept);
        listen(child.stderr.take(), &said, &kept);
        drop(said);
        let mut server = Self {
            child,
            address: String::new(),
            mqtt: None,
            database,
        };
        server.address = loop {
            match heard.recv_timeout(START_MAX) {
                Ok(line) => match address_in(&line) {
                    Some(address) if line.contains("for MQTT") => server.mqtt = Some(address),
                    Some(address) => break address,
                    None => {}
                },
                Err(_) => {
                    return Err(failed(format!(
                        "the server did not say where it listens; it said:\n{}",
                        tail(&kept)
                    )));
                }
            }
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let client = http_client()?;
        let ready = format!("http://{}/readyz", self.address);
        let start = Instant::now();
        loop {
            match client.get(&ready).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                _ if start.elapsed() > START_MAX => return Err(failed(format!("{ready} does not answer"))),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// `http://127.0.0.1:PORT/graphql`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// `127.0.0.1:PORT` for MQTT.
    pub(crate) fn mqtt(&self) -> Result<&str, Error> {
        let address = self.mqtt.as_deref();
        address.ok_or_else(|| failed("the server did not say where it listens for MQTT"))
    }

    /// The key that it takes.
    #[allow(clippy::unused_self)]
    pub(crate) fn api_key(&self) -> &'static str {
        API_KEY
    }

    /// Its database file.
    pub(crate) fn database(&self) -> &Path {
        &self.database
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Its peak memory since it began or since [`Server::reset_peak`].
    pub(crate) fn peak(&self) -> Option<u64> {
        host::peak_memory(self.process())
    }

    /// Begins its peak anew.
    pub(crate) fn reset_peak(&self) {
        host::reset_peak_memory(self.process());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A broker of MQTT that somebody else wrote; killed when dropped.
pub(crate) struct Mosquitto {
    child: Child,
    address: String,
}

impl Mosquitto {
    /// Where Debian puts it, which is not on everybody's path.
    const PROGRAMS: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

    /// Starts one on a free port, with its configuration in `directory`; `None` if there is no such program.
    pub(crate) async fn start(directory: &Path) -> Result<Option<Self>, Error> {
        std::fs::create_dir_all(directory).during(|| format!("cannot make {}", directory.display()))?;
        // It does not say which port it has chosen: a free one is found for it.
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.during(|| "cannot listen".to_owned())?.port();
        let file = directory.join("mosquitto.conf");
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nlog_type error\nsys_interval 0\n"
        );
        std::fs::write(&file, config).during(|| format!("cannot write {}", file.display()))?;
        for program in Self::PROGRAMS {
            let started = Command::new(program)
                .arg("-c")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn();
            match started {
                Ok(child) => {
                    let mosquitto = Self {
                        child,
                        address: format!("127.0.0.1:{port}"),
                    };
                    mosquitto.wait_until_ready().await?;
                    return Ok(Some(mosquitto));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(Error::Io {
                        what: format!("cannot start {program}"),
                        source,
                    });
                }
            }
        }
        Ok(None)
    }

    async fn wait_until_ready(&self) -> Result<(), Error> {
        let start = Instant::now();
        while let Err(source) = tokio::net::TcpStream::connect(&self.address).await {
            if start.elapsed() > START_MAX {
                return Err(Error::Io {
                    what: format!("mosquitto does not listen on {}", self.address),
                    source,
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a worker to its end and reads the one line that it prints.
pub(crate) fn work<T: DeserializeOwned>(job: &Job) -> Result<T, Error> {
    let mut child = itself()?
        .arg("worker")
        .arg(serde_json::to_string(job)?)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .during(|| "cannot start a worker".to_owned())?;
    let (said, heard) = mpsc::channel();
    let kept = Arc::new(Mutex::new(Vec::new()));
    listen(child.stdout.take(), &said, &kept);
    drop(said);
    let start = Instant::now();
    let mut last = None;
    let ended = loop {
        match heard.recv_timeout(WORK_MAX.saturating_sub(start.elapsed())) {
            Ok(line) => last = Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().during(|| "cannot wait for a worker".to_owned())?;
    match last {
        Some(line) if status.success() => Ok(serde_json::from_str(&line)?),
        _ if !ended => Err(failed(format!(
            "a worker took longer than {} s: {job:?}",
            WORK_MAX.as_secs()
        ))),
        _ => Err(failed(format!("a worker ended with {status}: {}", tail(&kept)))),
    }
}

/// An HTTP client for loopback: no TLS is spoken, yet the library wants a provider.
pub(crate) fn http_client() -> Result<reqwest::Client, Error> {
    let tls = tombolo::transport::tls::client(false).map_err(|e| failed(e.to_string()))?;
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(Arc::unwrap_or_clone(tls))
        .no_proxy()
        .build()?)
}

fn itself() -> Result<Command, Error> {
    Ok(Command::new(
        std::env::current_exe().during(|| "cannot find this program".to_owned())?,
    ))
}

/// Passes on the lines of a child's output, and goes on reading to its end so that the child never waits for us.
fn listen(from: Option<impl Read + Send + 'static>, to: &mpsc::Sender<String>, kept: &Arc<Mutex<Vec<String>>>) {
    let Some(from) = from else { return };
    let (to, kept) = (to.clone(), Arc::clone(kept));
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let mut lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == LINES_KEPT {
                lines.remove(0);
            }
            lines.push(line.clone());
            drop(lines);
            // Nobody listens any more once the address is known.
            let _ = to.send(line);
        }
    });
}

fn tail(kept: &Mutex<Vec<String>>) -> String {
    kept.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
}

/// `127.0.0.1:PORT` if the line names one.
fn address_in(line: &str) -> Option<String> {
    let after = line.split_once("127.0.0.1:")?.1;
    let port: String = after.chars().take_while(char::is_ascii_digit).collect();
    (!port.is_empty() && port != "0").then(|| format!("127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_whatever_is_printed() {
        assert_eq!(
            address_in("listening on http://127.0.0.1:4123/graphql"),
            Some("127.0.0.1:4123".to_owned())
        );
        assert_eq!(
            address_in(r#"{"address":"127.0.0.1:9"}"#),
            Some("127.0.0.1:9".to_owned())
        );
        assert_eq!(address_in("listen = 127.0.0.1:0"), None);
        assert_eq!(address_in("hello"), None);
    }
}
