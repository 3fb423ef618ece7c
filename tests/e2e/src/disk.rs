//! File systems that are small, or that cannot be written: mounted in a namespace of their own, which needs no
//! privileges on Linux and leaves nothing behind. Permission bits would not do: they do not hold for root.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::process;

/// A mounted file system, seen by the processes that are started in it. Gone when dropped.
#[derive(Debug)]
pub struct Disk {
    holder: Child,
    folder: PathBuf,
}

impl Disk {
    /// A file system in memory of so many KiB at `folder`, which exists.
    #[must_use]
    pub fn small(folder: &Path, kib: u32) -> Self {
        Self::mount(folder, &format!("mount -t tmpfs -o size={kib}k tmpfs \"$1\""))
    }

    /// What is in `folder`, and it cannot be written.
    #[must_use]
    pub fn read_only(folder: &Path) -> Self {
        Self::mount(folder, "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\"")
    }

    fn mount(folder: &Path, how: &str) -> Self {
        let mut command = Command::new("unshare");
        command
            .args([
                "--map-root-user",
                "--mount",
                "sh",
                "-c",
                &format!("{how} && echo mounted && exec cat"),
                "sh",
            ])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut holder = process::spawn(&mut command);
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert_eq!(
            said, "mounted\n",
            "this test mounts a file system in a user namespace of its own; allow that here"
        );
        Self {
            holder,
            folder: folder.to_owned(),
        }
    }

    /// The binary, to be started where the file system is seen.
    #[must_use]
    pub fn tombolo(&self) -> Command {
        let mut command = process::clean(Command::new("nsenter"));
        command.args([
            "--user",
            "--mount",
            "--preserve-credentials",
            "--target",
            &self.holder.id().to_string(),
            "--",
        ]);
        command.arg(process::binary());
        command
    }

    /// `folder` as seen from outside, for plain reading and writing (not for SQLite, which resolves it).
    fn outside(&self) -> PathBuf {
        let inside = self.folder.strip_prefix("/").expect("an absolute path");
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(inside)
    }

    /// Fills the file system to the last byte.
    pub fn fill(&self) {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.outside().join("filler"))
            .unwrap();
        for piece in [4096, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    /// Copies the files on it to the folder `target`.
    pub fn copy_to(&self, target: &Path) {
        for entry in std::fs::read_dir(self.outside()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
    }

    /// Gives back what [`Disk::fill`] took.
    pub fn make_room(&self) {
        std::fs::remove_file(self.outside().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.holder.kill();
        let _status = self.holder.wait();
    }
}
