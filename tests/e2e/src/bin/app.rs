//! An app of one process on a replica's file, told by lines on standard input what to do, one answer a line: what the tests
//! of several processes on one file start, kill and watch from outside.
//!
//! `app FILE SCHEMA [URL] [ACCOUNT] [DATASTORE]`; then `create ID`, `pending`, `link`, `notes`, `suspend`, `resume`, `offline`, `online`,
//! `settle`, `sign-out keep`, `sign-out discard`. It ends with its standard input.
#![allow(clippy::unwrap_used)] // a helper of tests fails by panicking

use std::io::{BufRead as _, Write as _};

use serde_json::{Value as Json, json};
use tombolo::{Client, Error, SignOut};
use tombolo_e2e::{KEY, PATIENCE};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, schema, url, account, datastore] =
        std::array::from_fn(|i| arguments.get(i).cloned().unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut builder = Client::builder().schema_path(schema).path(file).api_key(KEY);
        if !url.is_empty() {
            builder = builder.url(url);
        }
        if !account.is_empty() {
            builder = builder.account(account);
        }
        if !datastore.is_empty() {
            builder = builder.import_datastore(datastore);
        }
        let client = match builder.open().await {
            Ok(client) => client,
            Err(error) => return say(&json!({ "error": error.code() })),
        };
        say(&json!({ "open": std::process::id() }));
        for line in std::io::stdin().lock().lines() {
            say(&match obey(&client, &line.unwrap()).await {
                Ok(said) => said,
                Err(error) => json!({ "error": error.code() }),
            });
        }
    });
}

async fn obey(client: &Client, line: &str) -> Result<Json, Error> {
    let (verb, what) = line.split_once(' ').unwrap_or((line, ""));
    Ok(match verb {
        "create" => {
            let text = "mutation($id: ID!) { createNote(input: { id: $id, text: \"t\" }) { id } }";
            let made = client.mutate(text, json!({ "id": what })).await?;
            json!({ "number": made.numbers[0].0 })
        }
        "pending" => json!({ "pending": client.status().borrow().pending }),
        "link" => json!({ "link": format!("{:?}", client.status().borrow().link) }),
        "notes" => {
            let answer = client
                .query("{ listNotes(limit: 10000) { items { id } } }", Json::Null)
                .await?;
            answer.data_as()?
        }
        "suspend" => {
            client.suspend().await?;
            json!({ "suspended": client.is_suspended() })
        }
        "resume" => {
            client.resume().await?;
            json!({ "suspended": client.is_suspended() })
        }
        "offline" | "online" => {
            client.set_online(verb == "online").await?;
            json!({})
        }
        "settle" => {
            let mut status = client.status();
            let settled = tokio::time::timeout(PATIENCE, status.wait_for(|status| status.pending == 0)).await;
            json!({ "settled": settled.is_ok_and(|seen| seen.is_ok()) })
        }
        "sign-out" => {
            let how = match what {
                "keep" => SignOut::KeepSealed,
                _ => SignOut::Discard,
            };
            json!(client.sign_out(how).await?)
        }
        _ => json!({ "error": "what?" }),
    })
}

fn say(said: &Json) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{said}").unwrap();
    out.flush().unwrap();
}
