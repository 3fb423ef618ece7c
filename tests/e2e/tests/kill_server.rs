//! SIGKILL to the server in the midst of mutations: restarted on the same data it has lost nothing that it answered, and
//! what is sent again takes effect once. The counts say so.

use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tombolo::Durability;
use tombolo_e2e::process::{self, ServerProcess};
use tombolo_e2e::wire::{self, Socket};
use tombolo_e2e::{KEY, Phone, SCHEMA};

/// Mutations in all. `TOMBOLO_E2E_MUTATIONS` overrides it; the figure is 10 000.
const MUTATIONS: usize = 2_000;

/// Replicas that push at once.
const PHONES: usize = 4;

/// Times that the server is killed while they push.
const KILLS: usize = 3;

struct Scene {
    folder: TempDir,
    schema: PathBuf,
    server: Option<ServerProcess>,
    address: String,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let schema = folder.path().join("schema.graphql");
        std::fs::write(&schema, SCHEMA).unwrap();
        // An address that nothing else in this process uses, so that the port is still free after a kill.
        let own = std::process::id().to_le_bytes();
        let listen = if cfg!(target_os = "linux") {
            format!("127.{}.{}.1:0", 128 | (own[1] & 63), own[0])
        } else {
            "127.0.0.1:0".into()
        };
        let mut scene = Self {
            folder,
            schema,
            server: None,
            address: listen,
        };
        scene.start();
        scene
    }

    fn start(&mut self) {
        let data = self.folder.path().join("data");
        let server = ServerProcess::start(&mut process::dev(&data, &self.schema, &self.address)).unwrap();
        self.address.clone_from(&server.address);
        self.server = Some(server);
    }

    fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    async fn ask(&self, query: &str) -> Json {
        let reply = wire::post(&self.address, KEY, &json!({ "query": query })).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// A query of one number, in the server's file itself.
    fn number(&self, sql: &str) -> i64 {
        let db = Connection::open(self.folder.path().join("data/tombolo.sqlite")).unwrap();
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    async fn phone(&self, i: usize) -> Phone {
        let builder = tombolo::Client::builder()
            .schema(SCHEMA)
            .path(self.folder.path().join(format!("p{i}.db")))
            .url(format!("http://{}/graphql", self.address))
            .api_key(KEY)
            .durability(Durability::Normal)
            .offline(true);
        Phone::open(builder, self.folder.path().join(format!("p{i}.db"))).await
    }
}

fn mutations() -> usize {
    std::env::var("TOMBOLO_E2E_MUTATIONS").map_or(MUTATIONS, |n| n.parse().expect("TOMBOLO_E2E_MUTATIONS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_push_through_kills_of_the_server_and_nothing_is_lost_or_twice() {
    let mut scene = Scene::new();
    let each = mutations() / PHONES / 2;
    // Flights to edit: an edit that took effect twice would make a version too many.
    let ids: Vec<String> = (0..PHONES)
        .flat_map(|p| (0..each).map(move |i| format!("p{p}-{i:05}")))
        .collect();
    for chunk in ids.chunks(100) {
        let roots: String = chunk
            .iter()
            .enumerate()
            .map(|(n, id)| format!(" f{n}: createFlight(input: {{ id: \"{id}\", carrier: \"UA\" }}) {{ id }}"))
            .collect();
        let answer = scene.ask(&format!("mutation {{{roots} }}")).await;
        assert!(answer["errors"].is_null(), "{answer}");
    }
    let mut phones = Vec::new();
    for p in 0..PHONES {
        let phone = scene.phone(p).await;
        phone.sync().await;
        for i in 0..each {
            let id = format!("p{p}-{i:05}");
            phone.write("updateFlight", json!({ "id": id, "delay": i })).await;
            phone
                .write("createNote", json!({ "id": id, "text": "t", "tags": [id] }))
                .await;
        }
        phones.push(phone);
    }
    let total = (2 * each * PHONES) as u64;
    for phone in &phones {
        assert_eq!(phone.client.status().borrow().pending, 2 * each as u64);
        phone.client.set_online(true).await.unwrap();
    }
    for kill in 1..=KILLS as u64 {
        // Once the first phone has so much left, all are in the midst of it.
        let left = (2 * each as u64) * (KILLS as u64 + 1 - kill) / (KILLS as u64 + 1);
        phones[0].until(|status| status.pending <= left).await;
        let pending: u64 = phones.iter().map(|p| p.client.status().borrow().pending).sum();
        scene.kill();
        println!("killed with {pending} of {total} mutations on their way");
        assert!(pending > 0, "that was not the midst");
        assert_eq!(scene.number("SELECT count(*) FROM Note WHERE _version <> 1"), 0);
        scene.start();
        for phone in &phones {
            phone.client.set_online(true).await.unwrap();
        }
    }
    for phone in &phones {
        phone.until(|status| status.pending == 0).await;
        let status = phone.client.status().borrow().clone();
        assert_eq!((status.rejected, status.wedged), (0, 0), "{status:?}");
        assert!(phone.outbox().await.is_empty());
    }
    let count = (each * PHONES) as i64;
    assert_eq!(scene.number("SELECT count(*) FROM Note"), count, "lost");
    assert_eq!(
        scene.number("SELECT count(*) FROM Note WHERE _version <> 1"),
        0,
        "twice"
    );
    assert_eq!(
        scene.number("SELECT count(*) FROM Note WHERE json_array_length(tags) <> 1"),
        0,
        "twice"
    );
    assert_eq!(
        scene.number("SELECT count(*) FROM Flight WHERE delay IS NOT NULL"),
        count,
        "lost"
    );
    assert_eq!(
        scene.number("SELECT count(*) FROM Flight WHERE _version <> 2"),
        0,
        "twice, or not at all"
    );
    // And the replicas hold what the server holds.
    for phone in phones {
        phone.sync().await;
        assert_eq!(phone.ids("Note").await.len() as i64, count);
        phone.close().await;
    }
    println!("{total} mutations through {KILLS} kills");
}

/// The same without the SDK: what a client of any make does that resends under the same number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_that_is_resent_after_a_kill_is_answered_from_its_outcome() {
    const EACH: usize = 300;
    let mut scene = Scene::new();
    let _flight = scene
        .ask("mutation { createFlight(input: { id: \"f\", carrier: \"UA\" }) { id } }")
        .await;
    let create = |number: usize| {
        let query = "mutation($i: CreateNoteInput!) { createNote(input: $i) { id _version } }";
        let envelope = json!({ "replica": "00000000-0000-4000-8000-0000000000aa", "number": number });
        json!({ "query": query, "variables": { "i": { "id": format!("n{number:04}"), "text": "t" } },
                "extensions": { "tombolo": envelope } })
    };
    // Everything is sent at once; the server is killed when some answers are here.
    let mut socket = Socket::open(&scene.address).await;
    for number in 1..=EACH {
        let frame = json!({ "type": "subscribe", "id": number.to_string(), "payload": create(number) });
        socket.send(&frame).await;
    }
    let mut answered = Vec::new();
    while answered.len() < EACH / 3 {
        let frame = socket.frame().await;
        if frame["type"] == "next" {
            let outcome = &frame["payload"]["extensions"]["tombolo"]["outcomes"][0];
            assert_eq!(outcome["outcome"], "applied", "{frame}");
            answered.push(outcome.clone());
        }
    }
    scene.kill();
    let kept = scene.number("SELECT count(*) FROM Note");
    assert!(
        kept >= answered.len() as i64,
        "an answered mutation is lost: {kept} of {}",
        answered.len()
    );
    println!(
        "killed with {} answered and {kept} carried out, of {EACH}",
        answered.len()
    );
    scene.start();

    // All again, twice: the answered ones, the lost answers, and those that never arrived.
    let mut socket = Socket::open(&scene.address).await;
    for round in 0..2 {
        for number in 1..=EACH {
            let payload = create(number);
            socket
                .send(&json!({ "type": "subscribe", "id": "again", "payload": payload }))
                .await;
            let answer = socket.next("again").await;
            assert_eq!(socket.frame().await["type"], "complete");
            let outcome = &answer["extensions"]["tombolo"]["outcomes"][0];
            assert_eq!(
                (&outcome["number"], &outcome["outcome"]),
                (&json!(number), &json!("applied")),
                "{round}: {answer}"
            );
            assert_eq!(
                answer["data"]["createNote"],
                json!({ "id": format!("n{number:04}"), "_version": 1 })
            );
            if let Some(before) = answered.iter().find(|o| o["number"] == json!(number)) {
                assert_eq!(outcome, before, "the outcome is the one that was given");
            }
        }
    }
    assert_eq!(scene.number("SELECT count(*) FROM Note"), EACH as i64);
    assert_eq!(scene.number("SELECT max(_version) FROM Note"), 1);
}
