//! Two phones, one server: both write on the same flight without a network, and come together.
//!
//! Start a server first (`cargo run --release -- dev`), then in another terminal
//! `cargo run -p tombolo --example two_phones [URL] [API KEY]`.
#![allow(clippy::print_stdout)] // telling the story is what it is for

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tombolo::{Client, Scope};

const SCHEMA: &str = include_str!("flights/schema.graphql");
const FLIGHT: &str = "2013-01-01-UA-1545-EWR";
const PATIENCE: Duration = Duration::from_secs(15);

const NOTES: &str = "query($flight: ID!) {
  notesByFlight(flightId: $flight) { items { id text author severity done _version } }
}";
const CREATE: &str = "mutation($input: CreateNoteInput!) { createNote(input: $input) { id } }";
const UPDATE: &str = "mutation($input: UpdateNoteInput!) { updateNote(input: $input) { id } }";

/// A phone of the crew: a replica in a file of its own. It holds the notes on one flight and nothing else.
async fn phone(file: &Path, url: &str, key: &str) -> Result<Client, tombolo::Error> {
    let scope = Scope {
        model: "Note".into(),
        filter: Some(json!({ "flightId": { "eq": FLIGHT } })),
    };
    Client::builder()
        .schema(SCHEMA)
        .path(file)
        .url(url)
        .api_key(key)
        .scopes([scope])
        .open()
        .await
}

/// Every note that a phone holds, by id.
async fn notes(phone: &Client) -> Result<Vec<Value>, Box<dyn Error>> {
    let data: Value = phone.query(NOTES, json!({ "flight": FLIGHT })).await?.data_as()?;
    let mut notes = data["notesByFlight"]["items"].as_array().cloned().unwrap_or_default();
    notes.sort_by_key(|note| note["id"].to_string());
    Ok(notes)
}

async fn show(name: &str, phone: &Client) -> Result<(), Box<dyn Error>> {
    let pending = phone.status().borrow().pending;
    println!("   {name}: {pending} mutation(s) waiting to be sent; it shows");
    for note in notes(phone).await? {
        println!(
            "      {:28} {:8} done: {:5} by {:5} (version {})",
            note["text"].as_str().unwrap_or_default(),
            note["severity"].as_str().unwrap_or("-"),
            note["done"],
            note["author"].as_str().unwrap_or_default(),
            note["_version"],
        );
    }
    Ok(())
}

/// Pushes and pulls until nothing is left to do.
async fn sync(name: &str, phone: &Client) -> Result<(), Box<dyn Error>> {
    let report = phone.sync_once(PATIENCE).await?;
    println!(
        "   {name}: pushed {}, refused {}, pulled {}",
        report.pushed, report.rejected, report.pulled
    );
    if report.is_complete() {
        return Ok(());
    }
    let trouble = report
        .trouble
        .unwrap_or_else(|| "the server did not answer in time".into());
    Err(format!("{name} did not come up to date ({trouble}); is `tombolo dev` running?").into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:4000/graphql".into());
    let key = arguments.next().unwrap_or_else(|| "dev-key".into());
    let folder = tempfile::tempdir()?;

    println!("1. Ada and Ben each open a replica and sync with {url}.");
    let ada = phone(&folder.path().join("ada.db"), &url, &key).await?;
    let ben = phone(&folder.path().join("ben.db"), &url, &key).await?;
    sync("Ada", &ada).await?;
    sync("Ben", &ben).await?;

    println!("2. Ada writes a note on {FLIGHT}; Ben's live query brings it without being asked.");
    let mut watch = ben.watch(NOTES, json!({ "flight": FLIGHT }))?;
    let input = json!({ "flightId": FLIGHT, "text": "Galley light flickers", "author": "Ada" });
    let created: Value = ada
        .mutate(CREATE, json!({ "input": input }))
        .await?
        .response
        .data_as()?;
    let id = created["createNote"]["id"].as_str().unwrap_or_default().to_owned();
    tokio::time::timeout(PATIENCE, async {
        while let Some(answer) = watch.next().await {
            if answer?.data().contains(&id) {
                return Ok(());
            }
        }
        Err(tombolo::Error::Closed)
    })
    .await??;
    sync("Ada", &ada).await?;
    show("Ben", &ben).await?;

    println!("3. Both lose the network and write on. Each edits another field of the same note; Ada makes two more.");
    ada.set_online(false).await?;
    ben.set_online(false).await?;
    ada.mutate(UPDATE, json!({ "input": { "id": id, "text": "Galley light is out" } }))
        .await?;
    ben.mutate(
        UPDATE,
        json!({ "input": { "id": id, "severity": "CAUTION", "done": true } }),
    )
    .await?;
    for text in ["Seat 14C will not recline", "Coffee maker descaled"] {
        let input = json!({ "flightId": FLIGHT, "text": text, "author": "Ada" });
        ada.mutate(CREATE, json!({ "input": input })).await?;
    }
    show("Ada", &ada).await?;
    show("Ben", &ben).await?;
    println!("4. The network is back: both push what they have, and pull what the other wrote.");
    sync("Ada", &ada).await?;
    sync("Ben", &ben).await?;
    sync("Ada", &ada).await?;
    show("Ada", &ada).await?;
    show("Ben", &ben).await?;
    let (of_ada, of_ben) = (notes(&ada).await?, notes(&ben).await?);
    let both = |note: &Value| note["text"] == "Galley light is out" && note["severity"] == "CAUTION";
    let both_edits = of_ada.iter().any(|note| note["id"] == id && both(note));
    ada.close().await;
    ben.close().await;
    if of_ada != of_ben || !both_edits {
        return Err("the two phones do not agree".into());
    }
    println!("5. Both phones show the same, and both edits stand.");
    Ok(())
}
