//! What an import has done, kept beside its input: the replicas under whose names it writes, how many records are final,
//! and the file of rejected ones.
//!
//! The resume file is replaced as a whole (written aside, synced, renamed) and is locked while an import runs; rejected
//! records are written in the file's order, and their file is cut back to the last checkpoint when an import resumes, so
//! that neither ever tells of a record twice.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::output::Failure;

/// The form of the resume file that this version writes.
const LEDGER_VERSION: u32 = 1;

/// What makes two imports the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    /// The server.
    pub url: String,
    /// The model.
    pub model: String,
    /// SHA-256 of the input, hex.
    pub sha256: String,
    /// The server's history: at the same address another database may stand now, in which nothing is done yet. Empty if
    /// the key may not read the model's changes.
    #[serde(default)]
    pub epoch: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    version: u32,
    #[serde(flatten)]
    subject: Subject,
    /// Numbers of whole batches count under this replica.
    replica: String,
    /// Numbers of records sent one by one count under this one.
    singles: String,
    /// Records in a batch.
    batch: u64,
    /// Every record up to here is final.
    done: u64,
    imported: u64,
    rejected: u64,
    skipped: u64,
    /// Length of the errors file at this checkpoint, in bytes.
    errors_bytes: u64,
}

/// One rejected record, as the errors file tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Rejection {
    /// The line on which the record begins.
    pub line: u64,
    /// The record's number in the file.
    pub record: u64,
    /// A stable code: the server's, or `InvalidRecord` if the line was never sent.
    pub code: String,
    /// What is wrong.
    pub reason: String,
}

/// Counts of one run or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Records that stand on the server.
    pub imported: u64,
    /// Records that were refused, each with a line in the errors file.
    pub rejected: u64,
    /// Records that needed nothing: final since an earlier run, or tombstones.
    pub skipped: u64,
}

/// The resume file of a running import, and its errors file.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    errors: PathBuf,
    errors_file: Option<File>,
    state: State,
    /// Holds the lock on the newest resume file.
    lock: File,
}

/// `path` with `suffix` after its whole name.
#[must_use]
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// SHA-256 of a file, hex, and its length in bytes.
///
/// # Errors
/// The file cannot be read.
pub(super) fn fingerprint(path: &Path) -> Result<(String, u64), Failure> {
    let fail = |e| Failure::file(path, e);
    let mut file = File::open(path).map_err(fail)?;
    let (mut hash, mut length) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        hash.update(buffer.get(..n).unwrap_or_default());
        length += n as u64;
    }
    Ok((HEXLOWER.encode(&hash.finalize()), length))
}

impl Ledger {
    /// Opens the resume file at `path`, or begins one. `errors` is where rejected records go.
    ///
    /// # Errors
    /// The file belongs to another import, another import is using it, or it cannot be read or written.
    pub(super) fn open(path: &Path, errors: &Path, subject: Subject, batch: u64) -> Result<Self, Failure> {
        // Held until the file that replaces it is locked too.
        let mut held = None;
        let state = match File::open(path) {
            Ok(file) => {
                let file = held.insert(file);
                lock(file, path)?;
                let state = read_state(path, file)?;
                check_subject(path, &state.subject, &subject)?;
                state
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State {
                version: LEDGER_VERSION,
                subject,
                replica: uuid::Uuid::new_v4().to_string(),
                singles: uuid::Uuid::new_v4().to_string(),
                batch,
                done: 0,
                imported: 0,
                rejected: 0,
                skipped: 0,
                errors_bytes: 0,
            },
            Err(e) => return Err(Failure::file(path, e)),
        };
        cut_back(errors, state.errors_bytes)?;
        let lock = write_state(path, &state)?;
        Ok(Self {
            path: path.to_owned(),
            errors: errors.to_owned(),
            errors_file: None,
            state,
            lock,
        })
    }

    /// The replica under whose name batches are sent.
    #[must_use]
    pub(super) fn replica(&self) -> &str {
        &self.state.replica
    }

    /// The replica under whose name single records are sent.
    #[must_use]
    pub(super) fn singles(&self) -> &str {
        &self.state.singles
    }

    /// Records in a batch, as the import began.
    #[must_use]
    pub(super) fn batch(&self) -> u64 {
        self.state.batch
    }

    /// Every record up to here is final.
    #[must_use]
    pub(super) fn done(&self) -> u64 {
        self.state.done
    }

    /// Notes that every record up to `done` is final, with what came of those since the last note. On disk at the next
    /// [`Ledger::checkpoint`].
    ///
    /// # Errors
    /// The errors file cannot be written.
    pub(super) fn note(&mut self, done: u64, counts: Counts, rejections: &[Rejection]) -> Result<(), Failure> {
        if !rejections.is_empty() {
            let mut lines = Vec::new();
            for rejection in rejections {
                serde_json::to_writer(&mut lines, rejection).map_err(|e| Failure::failed(e.to_string()))?;
                lines.push(b'\n');
            }
            let fail = |e| Failure::file(&self.errors, e);
            let file = match &mut self.errors_file {
                Some(file) => file,
                None => {
                    let file = OpenOptions::new()
                        .create(true)
                        .append(true)
                        .open(&self.errors)
                        .map_err(fail)?;
                    self.errors_file.insert(file)
                }
            };
            file.write_all(&lines).map_err(fail)?;
            self.state.errors_bytes += lines.len() as u64;
        }
        self.state.done = done;
        self.state.imported += counts.imported;
        self.state.rejected += counts.rejected;
        self.state.skipped += counts.skipped;
        Ok(())
    }

    /// Puts what was noted on disk.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn checkpoint(&mut self) -> Result<(), Failure> {
        if let Some(file) = &self.errors_file {
            file.sync_data().map_err(|e| Failure::file(&self.errors, e))?;
        }
        self.lock = write_state(&self.path, &self.state)?;
        Ok(())
    }
}

fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Failure::file(path, "another import is using this resume file")),
        Err(TryLockError::Error(e)) => Err(Failure::file(path, e)),
    }
}

fn read_state(path: &Path, mut file: &File) -> Result<State, Failure> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| Failure::file(path, e))?;
    let state: State = serde_json::from_str(&text).map_err(|e| {
        Failure::file(
            path,
            format!("this is no resume file of an import ({e}); give another with --resume"),
        )
    })?;
    if state.version != LEDGER_VERSION {
        return Err(Failure::file(
            path,
            "written by another version of tombolo; finish the import with that one",
        ));
    }
    Ok(state)
}

fn check_subject(path: &Path, of: &Subject, asked: &Subject) -> Result<(), Failure> {
    let differs = if of.sha256 != asked.sha256 {
        "the input has changed since this import began".to_owned()
    } else if of.model != asked.model {
        format!("this is the import of model {}", of.model)
    } else if of.url != asked.url {
        format!("this is the import to {}", of.url)
    } else if of.epoch != asked.epoch && !of.epoch.is_empty() && !asked.epoch.is_empty() {
        format!(
            "at {} there is another database now than when this import began",
            of.url
        )
    } else {
        return Ok(());
    };
    Err(Failure::file(
        path,
        format!("{differs}; for a new import give another file with --resume, or delete this one"),
    ))
}

/// Cuts what an import that died wrote after its last checkpoint.
fn cut_back(errors: &Path, length: u64) -> Result<(), Failure> {
    let fail = |e| Failure::file(errors, e);
    match OpenOptions::new().write(true).open(errors) {
        Ok(mut file) => {
            if file.seek(SeekFrom::End(0)).map_err(fail)? > length {
                file.set_len(length).map_err(fail)?;
            }
            Ok(())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fail(e)),
    }
}

/// Replaces the resume file; gives back the new one, locked before it could be seen.
fn write_state(path: &Path, state: &State) -> Result<File, Failure> {
    let aside = beside(path, ".new");
    let fail = |e: std::io::Error| Failure::file(path, e);
    let mut text = serde_json::to_vec_pretty(state).map_err(|e| Failure::failed(e.to_string()))?;
    text.push(b'\n');
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(&aside);
    let mut file = open.map_err(|e| Failure::file(&aside, e))?;
    lock(&file, path)?;
    file.set_len(0).map_err(fail)?;
    file.write_all(&text).map_err(fail)?;
    file.sync_data().map_err(fail)?;
    std::fs::rename(&aside, path).map_err(fail)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(sha256: &str) -> Subject {
        Subject {
            url: "http://x/graphql".into(),
            model: "Thing".into(),
            sha256: sha256.into(),
            epoch: "e".into(),
        }
    }

    #[test]
    fn an_import_into_another_database_is_another_import() {
        let folder = tempfile::tempdir().unwrap();
        let (path, errors) = (folder.path().join("r.json"), folder.path().join("e.ndjson"));
        drop(Ledger::open(&path, &errors, subject("a"), 200).unwrap());
        let of_epoch = |epoch: &str| Subject {
            epoch: epoch.into(),
            ..subject("a")
        };
        let error = Ledger::open(&path, &errors, of_epoch("f"), 200).unwrap_err();
        assert!(error.to_string().contains("another database"), "{error}");
        assert!(
            Ledger::open(&path, &errors, of_epoch(""), 200).is_ok(),
            "not known is no difference"
        );
    }

    fn rejection(record: u64) -> Rejection {
        Rejection {
            line: record + 1,
            record,
            code: "BadRequest".into(),
            reason: "no".into(),
        }
    }

    #[test]
    fn an_import_goes_on_where_its_last_checkpoint_stands() {
        let folder = tempfile::tempdir().unwrap();
        let (path, errors) = (folder.path().join("r.json"), folder.path().join("e.ndjson"));
        let mut ledger = Ledger::open(&path, &errors, subject("a"), 200).unwrap();
        let (replica, singles) = (ledger.replica().to_owned(), ledger.singles().to_owned());
        assert_ne!(replica, singles);
        ledger
            .note(
                200,
                Counts {
                    imported: 199,
                    rejected: 1,
                    skipped: 0,
                },
                &[rejection(7)],
            )
            .unwrap();
        ledger.checkpoint().unwrap();
        ledger
            .note(
                400,
                Counts {
                    imported: 199,
                    rejected: 1,
                    skipped: 0,
                },
                &[rejection(300)],
            )
            .unwrap();
        drop(ledger); // died before the second checkpoint

        let ledger = Ledger::open(&path, &errors, subject("a"), 50).unwrap();
        assert_eq!(
            (ledger.done(), ledger.batch()),
            (200, 200),
            "the batch of the first run stands"
        );
        assert_eq!(
            (ledger.replica(), ledger.singles()),
            (replica.as_str(), singles.as_str())
        );
        let told = std::fs::read_to_string(&errors).unwrap();
        assert_eq!(
            told,
            "{\"line\":8,\"record\":7,\"code\":\"BadRequest\",\"reason\":\"no\"}\n"
        );
    }

    #[test]
    fn another_input_or_a_second_import_at_once_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, errors) = (folder.path().join("r.json"), folder.path().join("e.ndjson"));
        let mut first = Ledger::open(&path, &errors, subject("a"), 200).unwrap();
        let busy = Ledger::open(&path, &errors, subject("a"), 200).unwrap_err();
        assert!(busy.message.contains("another import is using"), "{busy}");
        first.checkpoint().unwrap();
        assert!(
            Ledger::open(&path, &errors, subject("a"), 200).is_err(),
            "the lock outlives a checkpoint"
        );
        drop(first);
        let other = Ledger::open(&path, &errors, subject("b"), 200).unwrap_err();
        assert!(other.message.contains("the input has changed"), "{other}");
        std::fs::write(&path, "{}").unwrap();
        assert!(
            Ledger::open(&path, &errors, subject("a"), 200)
                .unwrap_err()
                .message
                .contains("no resume file")
        );
    }
}
