//! What a first sync costs on the device in processor time, beside its limit: the same rows put into the same tables with bare rusqlite.
//!
//! `cargo run --release -p tombolo-store --example first_sync [ROWS]`
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::value::RawValue;
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_machine::{Effect, FeedNumber, Input, Machine, Now, Outgoing, Scope, Settings};
use tombolo_store::{Options, Store};

const PAGE: usize = 2_000;
const SDL: &str = r#"
    type Flight @model {
      id: ID! year: Int month: Int day: Int depTime: Int schedDepTime: Int depDelay: Float arrTime: Int schedArrTime: Int
      arrDelay: Float carrier: String @index(name: "byCarrier") flight: Int tailnum: String origin: String dest: String
      airTime: Float distance: Float hour: Int minute: Int timeHour: AWSDateTime
    }
"#;

fn main() {
    let rows: usize = std::env::args().nth(1).map_or(336_776, |n| n.parse().unwrap());
    let schema = Arc::new(Schema::parse(SDL, "flights.graphql").unwrap());
    let fields: Vec<String> = schema.models[0]
        .fields
        .iter()
        .map(|f| f.name.clone())
        .chain(["_version", "_deleted", "_lastChangedAt"].map(String::from))
        .collect();
    let pages: Vec<String> = (0..rows)
        .collect::<Vec<_>>()
        .chunks(PAGE)
        .map(|chunk| format!("[{}]", chunk.iter().map(|i| row(*i)).collect::<Vec<_>>().join(",")))
        .collect();
    let bytes: usize = pages.iter().map(String::len).sum();
    println!(
        "{rows} rows of {} columns, {} pages, {:.1} MB of JSON",
        fields.len(),
        pages.len(),
        bytes as f64 / 1e6
    );
    let mut ratios = Vec::new();
    for round in 1..=3 {
        let bare = bare(&schema, &fields, &pages);
        let ours = ours(&schema, &fields, &pages);
        ratios.push(ours.as_secs_f64() / bare.as_secs_f64());
        let rate = |d: Duration| rows as f64 / d.as_secs_f64();
        println!(
            "round {round}: bare rusqlite {bare:.2?} ({:.0} rows/s), machine and store {ours:.2?} ({:.0} rows/s), ratio {:.2}",
            rate(bare),
            rate(ours),
            ratios[round - 1]
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[1]);
}

/// Time that this thread has spent on a processor, where the system tells (Linux); otherwise wall time. On a machine that
/// does other work too, only the former compares.
fn cpu() -> Duration {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .map_or_else(|| ORIGIN.get_or_init(Instant::now).elapsed(), Duration::from_nanos)
}

/// One flight, in the shape and size of the real ones.
fn row(i: usize) -> String {
    let (month, day, minute) = (i % 12 + 1, i % 28 + 1, i % 60);
    let carrier = ["UA", "AA", "B6", "DL", "EV", "MQ"][i % 6];
    let delay = if i.is_multiple_of(37) {
        "null".to_owned()
    } else {
        format!("{}", (i % 90) as f64 - 10.0)
    };
    format!(
        r#"["2013-{month:02}-{day:02}-{carrier}-{i}-EWR",2013,{month},{day},{},{},{delay},{},{},{delay},"{carrier}",{},"N{}{carrier}","EWR","IAH",227.0,1400.0,5,{minute},"2013-{month:02}-{day:02}T10:{minute:02}:00.000Z","2026-01-01T00:00:00.000Z","2026-01-01T00:00:00.000Z",1,null,1767225600000]"#,
        500 + minute,
        510 + minute,
        800 + minute,
        810 + minute,
        i % 8_000,
        i % 4_000,
    )
}

/// The limit: values already in memory, one prepared insert, the same tables and pragmas, one transaction a page.
fn bare(schema: &Arc<Schema>, fields: &[String], pages: &[String]) -> Duration {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("bare.db");
    drop(Store::open(&path, schema.clone(), Options::new(ReplicaId("r".into()))).unwrap());
    let pages: Vec<Vec<Vec<Value>>> = pages
        .iter()
        .map(|page| {
            let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(page).unwrap();
            rows.into_iter()
                .map(|row| row.into_iter().enumerate().map(|(i, v)| value(i, fields, v)).collect())
                .collect()
        })
        .collect();
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
    conn.pragma_update(None, "cache_size", -2_000).unwrap();
    conn.pragma_update(None, "temp_store", "MEMORY").unwrap();
    let names: Vec<String> = fields.iter().map(|f| format!("\"{f}\"")).collect();
    let places = vec!["?"; fields.len()].join(",");
    let sql = format!(
        "INSERT INTO Flight ({}, _generation) VALUES ({places}, 1)",
        names.join(",")
    );
    let begun = cpu();
    for page in &pages {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut statement = conn.prepare_cached(&sql).unwrap();
        for row in page {
            statement.execute(params_from_iter(row)).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
    }
    cpu().saturating_sub(begun)
}

fn value(at: usize, fields: &[String], json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null if fields[at] == "_deleted" => Value::Integer(0),
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Number(n) => n
            .as_i64()
            .map_or_else(|| Value::Real(n.as_f64().unwrap()), Value::Integer),
        serde_json::Value::String(s) => Value::Text(s),
        other => panic!("{other}"),
    }
}

/// A whole first sync as the driver does it, from the bytes of the pages to the last commit.
fn ours(schema: &Arc<Schema>, fields: &[String], pages: &[String]) -> Duration {
    let dir = tempfile::TempDir::new().unwrap();
    let mut store = Store::open(
        &dir.path().join("ours.db"),
        schema.clone(),
        Options::new(ReplicaId("r".into())),
    )
    .unwrap();
    let mut machine = Machine::new(schema.clone(), Settings::default());
    let mut feed = FeedNumber(0);
    let mut step = |input: Input| {
        let mut tx = store.begin(machine.durable(&input)).unwrap();
        let step = machine
            .step(
                &mut tx,
                input,
                Now {
                    monotonic: Duration::ZERO,
                    wall_ms: 0,
                },
            )
            .unwrap();
        tx.commit().unwrap();
        for effect in machine.install(step) {
            if let Effect::Send(Outgoing::Subscribe { feed: new, .. }) = effect {
                feed = new;
            }
        }
        feed
    };
    step(Input::Start);
    step(Input::SetScope(Scope {
        model: "Flight".into(),
        filter: None,
    }));
    step(Input::SetOnline(true));
    let feed = step(Input::LinkOpened);
    let last = pages.len();
    let begun = cpu();
    for (at, page) in (1..).zip(pages) {
        let batch = ChangeBatch {
            model: "Flight".into(),
            cursor: format!("e.{}", at * PAGE),
            up_to_date: at == last,
            reset: false,
            fields: fields.to_vec(),
            rows: RawValue::from_string(page.clone()).unwrap(),
            left: Vec::new(),
            landed: None,
        };
        step(Input::Batch { feed, batch });
    }
    cpu().saturating_sub(begun)
}
