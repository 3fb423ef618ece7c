//! One file for each account, and the end of an account's stay.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tombolo_store::OpenError;

use crate::builder::Builder;
use crate::client::Client;
use crate::suspend::{Sealing, unsent};
use crate::writer::Command;
use crate::{Error, sync};

/// What every file of an account is called before the account's own part.
const PREFIX: &str = "account-";

/// What it is called after it.
const SUFFIX: &str = ".db";

/// Characters of an account's name kept readable in its file's name; a longer one is cut there and gets a hash. File systems
/// take 255 bytes, of which SQLite and we add a few.
const NAME_CHARS_MAX: usize = 120;

/// The accounts of an app on this device: a folder with one replica's file for each.
///
/// Accounts never share a file: what one has queued cannot be sent, and what it holds cannot be read, in another one's name.
/// This keeps accounts apart within the app; it is not encryption. Who can read the folder can read the files.
///
/// ```
/// # use serde_json::json;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// let accounts = tombolo::Accounts::in_folder(folder.path());
/// let ada = accounts.builder("ada@example.com").schema("type Note @model { id: ID! text: String! }").open().await?;
/// ada.mutate("mutation { createNote(input: { text: \"hers\" }) { id } }", json!(null)).await?;
/// // Ada hands the device to Bob before there is a network.
/// let signed_out = ada.sign_out(tombolo::SignOut::KeepSealed).await?;
/// assert_eq!(signed_out.kept, 1);
/// let bob = accounts.builder("bob@example.com").schema("type Note @model { id: ID! text: String! }").open().await?;
/// assert!(bob.outbox().await?.is_empty());
/// bob.close().await;
/// let left: Vec<_> = accounts.list()?.into_iter().filter(|account| account.unsent > 0).collect();
/// assert_eq!((left[0].account.as_str(), left[0].sealed), ("ada@example.com", true));
/// # Ok::<(), tombolo::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Accounts {
    folder: PathBuf,
}

/// An account with a file on this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountFile {
    /// The account.
    pub account: String,
    /// Its file.
    pub path: PathBuf,
    /// It has signed out and left something behind.
    pub sealed: bool,
    /// Mutations that only this file knows: not decided by the server, or refused and not taken note of. 0 where nobody can
    /// say: see `unreadable`.
    pub unsent: u64,
    /// Why nothing more can be said of the file now: it is damaged (opening it salvages what can be read), or somebody is
    /// just opening it. Whose it is then says its name, shortened if the account's is very long.
    pub unreadable: Option<String>,
}

impl Accounts {
    /// The accounts whose files are in `folder`, which is made with the first of them.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file of an account. Two accounts never have the same, also where file names do not tell capitals apart.
    #[must_use]
    pub fn path(&self, account: &str) -> PathBuf {
        self.folder.join(format!("{PREFIX}{}{SUFFIX}", file_name(account)))
    }

    /// Begins to open an account's replica: it has a path and an account already.
    pub fn builder(&self, account: &str) -> Builder {
        Client::builder()
            .path(self.path(account))
            .account(account)
            .make_folder()
    }

    /// The accounts that have a file here, by name. Reads the files; takes the time that opening each of them takes.
    ///
    /// # Errors
    /// [`Error::Open`]: the folder cannot be read. No folder is no account. A file that cannot be read is listed as
    /// [`AccountFile::unreadable`], beside the others.
    pub fn list(&self) -> Result<Vec<AccountFile>, Error> {
        let failed = |source| OpenError::File {
            path: self.folder.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error).into()),
        };
        let mut accounts = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if !is_account_file(&path) {
                continue;
            }
            if let Some(account) = look_at(path) {
                accounts.push(account);
            }
        }
        accounts.sort_by(|a, b| a.account.cmp(&b.account));
        Ok(accounts)
    }
}

/// What can be said of a file; `None` if it is nobody's, or gone.
fn look_at(path: PathBuf) -> Option<AccountFile> {
    match tombolo_store::peek(&path) {
        Ok(peek) => {
            let peek = peek?;
            Some(AccountFile {
                account: peek.account?,
                path,
                sealed: peek.sealed,
                unsent: peek.unsent,
                unreadable: None,
            })
        }
        // Removed since the folder was read.
        Err(_) if !path.exists() => None,
        Err(error) => Some(AccountFile {
            account: account_of(&path),
            path,
            sealed: false,
            unsent: 0,
            unreadable: Some(error.to_string()),
        }),
    }
}

/// The account whose file has this name, as far as [`file_name`] kept it.
fn account_of(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let name = name.strip_suffix(SUFFIX).unwrap_or(name);
    let name = name.split('~').next().unwrap_or(name);
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let hex = rest.strip_prefix('%').and_then(|rest| rest.get(..2));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.extend_from_slice(first.to_string().as_bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_account_file(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// An account's name as a part of a file's name: small letters, digits, `-` and `_` as they are, everything else (capitals
/// too) as `%` and two hexadecimal digits a byte.
fn file_name(account: &str) -> String {
    let mut name = String::with_capacity(account.len());
    for byte in account.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => write!(name, "%{byte:02x}").unwrap_or_default(),
        }
    }
    if name.len() > NAME_CHARS_MAX {
        name.truncate(NAME_CHARS_MAX);
        name.push('~');
        for byte in Sha256::digest(account.as_bytes()) {
            write!(name, "{byte:02x}").unwrap_or_default();
        }
    }
    name
}

/// What becomes of an account's file when it signs out. See [`Client::sign_out`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOut {
    /// Send what is queued first, for at most this long. If everything went through the file is removed; otherwise it is
    /// kept, sealed, and [`SignedOut::kept`] says how many mutations are left in it.
    SendFirst {
        /// The longest time to try.
        budget: Duration,
    },
    /// Keep the file as it is, sealed, without sending anything.
    KeepSealed,
    /// Remove the file with everything that was not sent.
    Discard,
}

/// What became of an account's mutations when it signed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SignedOut {
    /// Mutations that the server applied or merged in the course of it.
    pub sent: u64,
    /// Mutations that are kept in the sealed file until their account signs in again: not decided by the server, or refused
    /// and not taken note of by the app.
    pub kept: u64,
    /// Mutations of the same kind that were thrown away with the file.
    pub discarded: u64,
}

impl Client {
    /// Signs the account out: this client ends, and so does every other one on the same file, in other processes too
    /// ([`Error::SignedOut`], [`crate::Event::SignedOut`]).
    ///
    /// A sealed file opens again for its own account only ([`Builder::account`]), which ends the seal; its mutations are sent
    /// then. A seal is a mark that this SDK respects and **not encryption**: where others can read the device's files,
    /// encrypt the folder with what the system offers, or use [`SignOut::Discard`].
    ///
    /// ```
    /// # use serde_json::json;
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let accounts = tombolo::Accounts::in_folder(folder.path());
    /// let client = accounts.builder("ada").schema("type Note @model { id: ID! text: String! }").open().await?;
    /// client.mutate("mutation { createNote(input: { text: \"unsent\" }) { id } }", json!(null)).await?;
    /// let signed_out = client.sign_out(tombolo::SignOut::Discard).await?;
    /// assert_eq!(signed_out.discarded, 1);
    /// assert_eq!(client.outbox().await.unwrap_err().code(), "signed_out");
    /// # Ok::<(), tombolo::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The account is still signed in then. [`Error::Incomplete`]: only a file with an account can be kept sealed.
    /// [`Error::Suspended`]: resume first. [`Error::Store`]: the seal cannot be written. No network is not an error.
    pub async fn sign_out(&self, how: SignOut) -> Result<SignedOut, Error> {
        let inner = &self.inner;
        let _turn = inner.turns.lock().await;
        if inner.account.is_none() && how != SignOut::Discard {
            return Err(Error::Incomplete(
                "only a file with an account can be kept for it: open the client with `account`, or sign out with `Discard`",
            ));
        }
        let mut sent = 0;
        let sealing = match how {
            SignOut::SendFirst { budget } => {
                sent = send_first(self, budget).await?;
                Sealing::KeepUnsent
            }
            SignOut::KeepSealed => Sealing::Keep,
            SignOut::Discard => Sealing::Discard,
        };
        let counts = inner.call(|reply| Command::SignOut(sealing, reply)).await?;
        let left = unsent(&counts);
        Ok(match how {
            SignOut::SendFirst { .. } | SignOut::KeepSealed => SignedOut {
                sent,
                kept: left,
                discarded: 0,
            },
            SignOut::Discard => SignedOut {
                sent,
                kept: 0,
                discarded: left,
            },
        })
    }
}

/// Sends what can be sent; how many mutations the server took.
async fn send_first(client: &Client, budget: Duration) -> Result<u64, Error> {
    let inner = &client.inner;
    if !inner.can_link.load(Ordering::SeqCst) {
        return Ok(0);
    }
    let before = inner.hub.totals();
    let waiting = inner.hub.status.borrow().pending;
    match sync::once(inner, budget).await {
        // The credential may be what ended: what is left is kept.
        Ok(_) | Err(Error::Unauthorized(_)) => {}
        Err(error) => return Err(error),
    }
    let pushed = inner.hub.totals().pushed - before.pushed;
    // Where another process has the link, that one sends.
    let by_others = waiting.saturating_sub(inner.hub.status.borrow().pending);
    Ok(pushed.max(by_others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_has_a_file_name_of_its_own_also_without_capitals() {
        for (account, name) in [
            ("ada", "account-ada.db"),
            ("Ada", "account-%41da.db"),
            ("ada@example.com", "account-ada%40example%2ecom.db"),
            ("../../etc", "account-%2e%2e%2f%2e%2e%2fetc.db"),
            ("é", "account-%c3%a9.db"),
            ("%41da", "account-%2541da.db"),
        ] {
            let path = Accounts::in_folder("/f").path(account);
            assert_eq!(path, Path::new("/f").join(name));
            assert_eq!(account_of(&path), account);
        }
        let long = |last: char| {
            let account: String = std::iter::repeat_n('a', 200).chain([last]).collect();
            Accounts::in_folder("/f").path(&account)
        };
        assert_ne!(long('x'), long('y'));
        assert!(long('x').file_name().is_some_and(|name| name.len() < 220));
    }
}
