//! The built binary as a process: found or built, run, killed without a warning.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value as Json;

use crate::{KEY, patiently};

/// Between two looks at what cannot be awaited.
const POLL: Duration = Duration::from_millis(1);

/// The `tombolo` binary beside the test executable, built first if it is not there or older than its sources.
/// `TOMBOLO_E2E_BINARY` names another one.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("TOMBOLO_E2E_BINARY") {
            let path = PathBuf::from(path);
            assert!(
                path.exists(),
                "TOMBOLO_E2E_BINARY names {}, which is not there",
                path.display()
            );
            return path;
        }
        // target/PROFILE/deps/main-HASH
        let executable = std::env::current_exe().unwrap();
        let profile = executable
            .parent()
            .and_then(Path::parent)
            .expect("the test executable is in target/PROFILE/deps");
        let binary = profile.join(format!("tombolo{}", std::env::consts::EXE_SUFFIX));
        if !is_fresh(&binary) {
            build(profile);
        }
        binary
    })
}

/// Whether the binary is newer than every source that cargo has noted for it.
fn is_fresh(binary: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified());
    let (Ok(built), Ok(noted)) = (modified(binary), std::fs::read_to_string(binary.with_extension("d"))) else {
        return false;
    };
    // One line as make reads it: `binary: source source`, blanks in a name escaped by a backslash.
    let Some((_, sources)) = noted.split_once(": ") else {
        return false;
    };
    let sources = sources.trim_end().replace("\\ ", "\0");
    sources
        .split(' ')
        .map(|source| source.replace('\0', " "))
        .all(|source| modified(Path::new(&source)).is_ok_and(|changed| changed <= built))
}

fn build(profile: &Path) {
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--package", "tombolo-server", "--bin", "tombolo"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .arg("--target-dir")
        .arg(profile.parent().expect("a profile's folder is in the target folder"));
    match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") => {}
        Some(name) => drop(build.args(["--profile", name])),
        None => {}
    }
    assert!(build.status().unwrap().success(), "the binary cannot be built");
}

/// The binary with a clean environment.
#[must_use]
pub fn tombolo() -> Command {
    clean(Command::new(binary()))
}

/// `command` without variables that mean something to the binary.
#[must_use]
pub fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TOMBOLO_") {
            command.env_remove(name);
        }
    }
    command
}

/// Starts a process.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Waits until nobody holds the lock beside a database file that was closed here. Between its fork and its exec a process
/// that another test starts has copies of all our file descriptors, so a lock may outlive its owner by that moment.
pub async fn until_free(database: &Path) {
    let mut lock = database.as_os_str().to_owned();
    lock.push(".lock");
    let Ok(lock) = std::fs::File::open(lock) else { return };
    patiently(async {
        while lock.try_lock().is_err() {
            tokio::time::sleep(POLL).await;
        }
        // Said aloud, so that no copy of this descriptor holds it either.
        lock.unlock().unwrap();
    })
    .await;
}

/// The same for an address that was listened on here.
pub async fn until_free_to_listen(address: &str) {
    patiently(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(POLL).await;
        }
    })
    .await;
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, one JSON document a line.
    pub lines: Vec<Json>,
    /// Standard error.
    pub words: String,
}

impl Said {
    /// Its exit code; `None` if a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Said {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = spawn(command).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("standard output is not JSON: {e}: {line}")))
        .collect();
    Said {
        status: output.status,
        lines,
        words: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Self {
        Self(spawn(command.stdin(Stdio::null())))
    }

    /// SIGKILL: it gets no chance to do anything. Returns when it is gone, whether or not it had ended before.
    pub fn kill(mut self) {
        self.end();
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    /// Its standard output, which must have been piped.
    pub fn output(&mut self) -> BufReader<std::process::ChildStdout> {
        BufReader::new(self.0.stdout.take().expect("piped"))
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server process: `tombolo dev` with a schema.
#[derive(Debug)]
pub struct ServerProcess {
    process: Process,
    /// `host:port`.
    pub address: String,
}

/// `tombolo dev` over `data`, with `schema` and [`KEY`].
#[must_use]
pub fn dev(data: &Path, schema: &Path, listen: &str) -> Command {
    let mut command = tombolo();
    dev_arguments(&mut command, data, schema, listen);
    command
}

/// The arguments of [`dev`].
pub fn dev_arguments(command: &mut Command, data: &Path, schema: &Path, listen: &str) {
    command.arg("dev").arg("--data").arg(data).arg("--schema").arg(schema);
    command.args(["--listen", listen, "--api-key", KEY]);
}

impl ServerProcess {
    /// Starts a server and waits until it says where it listens.
    ///
    /// # Errors
    /// What it said instead.
    pub fn start(command: &mut Command) -> Result<Self, Said> {
        let mut process = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let mut lines = process.output();
        let mut said = String::new();
        while lines.read_line(&mut said).unwrap() > 0 {
            if let Some(url) = said.lines().find_map(|l| l.split("http://").nth(1)) {
                let address = url.split('/').next().unwrap().to_owned();
                // What else it says must not fill the pipe and stop it.
                let errors = process.0.stderr.take();
                std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
                std::thread::spawn(move || errors.map(|mut e| std::io::copy(&mut e, &mut std::io::sink())));
                return Ok(Self { process, address });
            }
        }
        let mut words = String::new();
        process.0.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        Err(Said {
            status: process.wait(),
            lines: Vec::new(),
            words,
        })
    }

    /// Kills it.
    pub fn kill(self) {
        self.process.kill();
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The GraphQL URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }
}

/// A replica for `tombolo client`.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its file.
    pub database: PathBuf,
    /// The schema's file.
    pub schema: PathBuf,
    /// The server, if any.
    pub url: Option<String>,
}

impl Replica {
    /// `tombolo client … ARGUMENTS`.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tombolo();
        self.arguments(&mut command, arguments);
        command
    }

    /// The arguments of [`Replica::command`].
    pub fn arguments(&self, command: &mut Command, arguments: &[&str]) {
        command
            .arg("client")
            .arg("--database")
            .arg(&self.database)
            .arg("--schema")
            .arg(&self.schema);
        if let Some(url) = &self.url {
            command.args(["--url", url, "--api-key", KEY]);
        }
        command.args(arguments);
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Said {
        run(&mut self.command(arguments))
    }

    /// Runs a command that must succeed; the one line that it prints.
    #[must_use]
    pub fn line(&self, arguments: &[&str]) -> Json {
        let said = self.run(arguments);
        assert_eq!((said.code(), said.lines.len()), (Some(0), 1), "{arguments:?}: {said:?}");
        said.lines[0].clone()
    }
}
