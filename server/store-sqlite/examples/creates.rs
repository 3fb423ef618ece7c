//! How many creations a second the store takes, beside bare rusqlite writing the same rows into the same tables with the
//! same transactions: `cargo run --release -p tombolo-store-sqlite --example creates [COUNT] [BATCH]`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement at the terminal")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::query::MutationInput;
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::MutationEnvelope;
use tombolo_engine::suite::block_on;
use tombolo_engine::{Store, Submission};
use tombolo_store_sqlite::{Options, SqliteStore, Synchronous};

const SCHEMA: &str = "type Note @model @auth(rules: [{ allow: public }]) {
  id: ID!
  flight: ID! @index(name: \"byFlight\")
  text: String!
  author: String!
  rank: Int
}";

fn text(text: String) -> Value {
    Value::Text(text)
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<usize>().unwrap());
    let (count, batch) = (arguments.next().unwrap_or(10_000), arguments.next().unwrap_or(256));
    for synchronous in [Synchronous::Full, Synchronous::Normal] {
        let folder = tempfile::tempdir_in(".").unwrap();
        let bare = bare(folder.path(), count, batch, synchronous);
        let ours = ours(folder.path(), count, batch, synchronous);
        let rate = |took: Duration| count as f64 / took.as_secs_f64();
        println!(
            "{}",
            json!({
                "creates": count, "batch": batch, "synchronous": format!("{synchronous:?}"),
                "store_per_s": rate(ours).round(), "bare_per_s": rate(bare).round(),
                "ratio": (ours.as_secs_f64() / bare.as_secs_f64() * 100.0).round() / 100.0,
            })
        );
    }
}

fn ours(folder: &std::path::Path, count: usize, batch: usize, synchronous: Synchronous) -> Duration {
    let schema = Arc::new(Schema::parse(SCHEMA, "creates.graphql").unwrap());
    let options = Options {
        synchronous,
        ..Options::default()
    };
    let store = SqliteStore::open(folder.join("ours.sqlite"), Arc::clone(&schema), &options).unwrap();
    let model = schema.model_named("Note").unwrap();
    let field = |name: &str| schema[model].field(name).unwrap();
    let (id, flight, body, author, rank) = (
        field("id"),
        field("flight"),
        field("text"),
        field("author"),
        field("rank"),
    );
    let submission = |i: usize| Submission {
        envelope: Some(MutationEnvelope {
            replica: ReplicaId("0b5f6c1e-8f0e-4d0a-9a53-1a8b1f0f4c11".into()),
            number: MutationNumber(i as u64 + 1),
            depends_on: vec![],
            seen: vec![],
            schema: String::new(),
            settled_through: (i as u64).saturating_sub(500),
            atomic: false,
            void: false,
            moved_from: vec![],
            base: None,
            resent: false,
        }),
        mutations: vec![MutationInput {
            model,
            kind: MutationKind::Create,
            values: vec![
                (id, text(uuid(i))),
                (flight, text(format!("2013-01-01-UA-{}-EWR", i % 1000))),
                (body, text(format!("note {i}: the boarding door sticks, lift and pull"))),
                (author, text("crew".into())),
                (rank, Value::Int(i as i64)),
            ],
            operations: Vec::new(),
            base_version: None,
            condition: None,
            condition_json: None,
        }],
        atomic: false,
        fresh_ids: vec![],
        refusal: None,
        ..Submission::default()
    };
    let mut batches: Vec<Vec<Submission>> = Vec::new();
    for first in (0..count).step_by(batch) {
        batches.push((first..count.min(first + batch)).map(submission).collect());
    }
    let begin = Instant::now();
    for batch in batches {
        let verdicts = block_on(store.write(batch.into(), 1_356_998_400_000)).unwrap();
        assert!(verdicts.iter().all(|verdict| verdict.results[0].position.is_some()));
    }
    begin.elapsed()
}

fn bare(folder: &std::path::Path, count: usize, batch: usize, synchronous: Synchronous) -> Duration {
    let path = folder.join("bare.sqlite");
    {
        // The same tables.
        let schema = Arc::new(Schema::parse(SCHEMA, "creates.graphql").unwrap());
        drop(SqliteStore::open(&path, schema, &Options::default()).unwrap());
    }
    let mut conn = rusqlite::Connection::open(&path).unwrap();
    conn.pragma_update(None, "synchronous", format!("{synchronous:?}").to_uppercase())
        .unwrap();
    conn.pragma_update(None, "cache_size", -64_000).unwrap();
    let begin = Instant::now();
    for first in (0..count).step_by(batch) {
        let tx = conn.transaction().unwrap();
        for i in first..count.min(first + batch) {
            let (time, id) = ("2013-01-01T00:00:00.000Z", uuid(i));
            tx.prepare_cached(
                "INSERT INTO Note (id, flight, text, author, rank, createdAt, updatedAt, _version, _deleted, \
                 _lastChangedAt, _position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, 0, 1356998400000, ?8)",
            )
            .unwrap()
            .execute((
                &id,
                format!("2013-01-01-UA-{}-EWR", i % 1000),
                format!("note {i}: the boarding door sticks, lift and pull"),
                "crew",
                i as i64,
                time,
                time,
                i as i64 + 1,
            ))
            .unwrap();
        }
        tx.commit().unwrap();
    }
    begin.elapsed()
}

/// Spread like a random UUID, but the same on every run.
fn uuid(i: usize) -> String {
    let mixed = (i as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let hex = format!("{mixed:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
