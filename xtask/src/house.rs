//! Where the house stands on this machine, and how a command is run in it.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a command of ours did not succeed, in words for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives an I/O error the name of what was being done.
pub(crate) fn failed(doing: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Failed {
    move |error| Failed(format!("{doing}: {error}"))
}

/// The checkout that the command was started in.
pub(crate) struct House {
    root: PathBuf,
}

impl House {
    /// Finds the root from the current folder upwards, so that the commands work from any folder of the checkout.
    pub(crate) fn find() -> Result<Self, Failed> {
        let here = std::env::current_dir().map_err(failed("the current folder"))?;
        match here
            .ancestors()
            .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        {
            Some(root) => Ok(Self { root: root.to_owned() }),
            None => Err(Failed(format!(
                "{} is not inside a checkout of this repository",
                here.display()
            ))),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// A cargo command, by the cargo that started us.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Task {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut task = self.task(cargo).args(arguments);
        // What cargo told us of our own package would reach build scripts that watch it, and build them anew.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_BIN_NAME" {
                task.command.env_remove(&name);
            }
        }
        task
    }

    /// A command that runs at the root with nothing to read.
    pub(crate) fn task(&self, program: impl AsRef<OsStr>) -> Task {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        Task { command }
    }
}

/// One command to run, with its output shown or taken.
pub(crate) struct Task {
    command: Command,
}

impl Task {
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it with its output on ours.
    pub(crate) fn run(mut self) -> Result<(), Failed> {
        let line = self.line();
        let status = self
            .command
            .status()
            .map_err(failed(format!("cannot start `{line}`")))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failed(format!("`{line}` ended with {status}")))
        }
    }

    /// Runs it and gives what it printed.
    pub(crate) fn output(mut self) -> Result<String, Failed> {
        let line = self.line();
        let output = self
            .command
            .output()
            .map_err(failed(format!("cannot start `{line}`")))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Failed(format!(
                "`{line}` ended with {}: {}",
                output.status,
                said.trim()
            )))
        }
    }

    /// Runs it and gives whether it succeeded, and what it printed. What it says as an error is shown.
    pub(crate) fn said(mut self) -> Result<(bool, String), Failed> {
        let line = self.line();
        self.command.stderr(Stdio::inherit());
        let output = self
            .command
            .output()
            .map_err(failed(format!("cannot start `{line}`")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success(), text))
    }

    /// Whether it starts and succeeds; what it prints is dropped.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    /// Whether it starts, whatever it says then.
    pub(crate) fn starts(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok()
    }

    fn line(&self) -> String {
        let program = Path::new(self.command.get_program());
        let mut line = program
            .file_name()
            .unwrap_or(program.as_os_str())
            .to_string_lossy()
            .into_owned();
        for argument in self.command.get_args() {
            line.push(' ');
            line.push_str(&argument.to_string_lossy());
        }
        line
    }
}
