//! The accounts of an app on this device: [`tombolo::Accounts`].

use tombolo::Accounts;

use crate::{TomboloError, runtime};

/// An account with a file on this device: [`tombolo::AccountFile`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct AccountFile {
    /// The account.
    pub account: String,
    /// Its file.
    pub path: String,
    /// It has signed out and left something behind.
    pub sealed: bool,
    /// Mutations that only this file knows.
    pub unsent: u64,
    /// Why nothing more can be said of the file now.
    pub unreadable: Option<String>,
}

/// The file of an account in a folder: [`tombolo::Accounts::path`]. Two accounts never have the same.
#[uniffi::export]
#[must_use]
pub fn account_path(folder: String, account: String) -> String {
    Accounts::in_folder(folder)
        .path(&account)
        .to_string_lossy()
        .into_owned()
}

/// The accounts that have a file in a folder, by name: [`tombolo::Accounts::list`].
///
/// # Errors
/// [`TomboloError::Open`] if the folder cannot be read. No folder is no account.
#[uniffi::export]
pub async fn accounts(folder: String) -> Result<Vec<AccountFile>, TomboloError> {
    runtime::run(None, async move {
        // It opens each file: the other calls of this thread go on elsewhere meanwhile.
        let listed = tokio::task::block_in_place(|| Accounts::in_folder(folder).list())?;
        Ok(listed
            .into_iter()
            .map(|file| AccountFile {
                account: file.account,
                path: file.path.to_string_lossy().into_owned(),
                sealed: file.sealed,
                unsent: file.unsent,
                unreadable: file.unreadable,
            })
            .collect())
    })
    .await
}
