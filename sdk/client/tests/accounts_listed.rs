//! The list of a device's accounts, where one of the files cannot be read.
#![allow(clippy::unwrap_used)]

use serde_json::json;
use tombolo::{Accounts, SignOut};

const SCHEMA: &str = "type Note @model { id: ID! text: String! }";
const CREATE: &str = "mutation { createNote(input: { text: \"unsent\" }) { id } }";

#[tokio::test]
async fn a_file_that_cannot_be_read_is_said_and_hides_no_other_account() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = Accounts::in_folder(folder.path());
    for account in ["ada", "Bob@example.com", "eve"] {
        let client = accounts.builder(account).schema(SCHEMA).open().await.unwrap();
        client.mutate(CREATE, json!(null)).await.unwrap();
        client.sign_out(SignOut::KeepSealed).await.unwrap();
    }
    std::fs::write(accounts.path("Bob@example.com"), vec![7; 40_960]).unwrap();
    let listed = accounts.list().unwrap();
    let short: Vec<_> = listed
        .iter()
        .map(|file| (file.account.as_str(), file.unsent, file.unreadable.is_some()))
        .collect();
    assert_eq!(
        short,
        [("Bob@example.com", 0, true), ("ada", 1, false), ("eve", 1, false)]
    );
    assert_eq!(listed[0].path, accounts.path("Bob@example.com"));
}
