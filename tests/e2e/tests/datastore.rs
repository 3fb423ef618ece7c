//! Taking over a DataStore file and settling what it had not sent, with a real server.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value as Json, json};
use tombolo::{FinalOutcome, ImportFormat, ImportReport, ImportState, MutationFilter, MutationKind, MutationState};
use tombolo_e2e::datastore::{Adapter, OldFile};
use tombolo_e2e::process::Process;
use tombolo_e2e::wire::Socket;
use tombolo_e2e::{Phone, Site};

/// Root fields of one mutation document.
const ROOTS: usize = 250;

fn old_path(site: &Site, name: &str) -> PathBuf {
    site.folder().join(format!("{name}-datastore.db"))
}

/// A phone that takes the old file over, offline.
async fn taking(site: &Site, name: &str, old: &Path) -> Phone {
    let builder = site.builder(name).offline(true).import_datastore(old);
    Phone::open(builder, site.replica(name)).await
}

fn report(phone: &Phone) -> ImportReport {
    phone.client.datastore_import().expect("a file was taken over")
}

async fn many(site: &Site, mutations: impl Iterator<Item = String>) {
    let mut socket = Socket::open(site.address()).await;
    let mutations: Vec<String> = mutations.collect();
    for chunk in mutations.chunks(ROOTS) {
        let answer = socket
            .run("load", &format!("mutation {{ {} }}", chunk.join(" ")), Json::Null)
            .await;
        assert!(answer["errors"].is_null(), "{answer}");
    }
}

fn flight(i: usize) -> Json {
    let carrier = ["UA", "AA", "DL"][i % 3];
    json!({ "id": format!("f{i:05}"), "carrier": carrier, "dest": "EWR", "delay": i,
            "createdAt": "2023-11-14T22:00:00.000Z", "updatedAt": "2023-11-14T22:00:00.000Z" })
}

/// 10,000 records and 500 unsent mutations: everything is there at once, offline; the server settles all of it, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_records_and_five_hundred_mutations() {
    const RECORDS: usize = 10_000;
    for adapter in Adapter::ALL {
        let site = Site::new().await;
        many(
            &site,
            (0..RECORDS).map(|i| {
                format!(
                    "f{i}: createFlight(input: {{ id: \"f{i:05}\", carrier: \"{}\", dest: \"EWR\", delay: {i} }}) {{ id }}",
                    ["UA", "AA", "DL"][i % 3]
                )
            }),
        )
        .await;
        let path = old_path(&site, "p");
        let mut old = OldFile::new(&path, adapter);
        old.conn.execute_batch("BEGIN").unwrap();
        for i in 0..RECORDS {
            old.record("Flight", &flight(i), Some(1));
        }
        // 200 edits, 100 deletions, and a note on each of 100 flights, with an edit behind its creation.
        for i in 0..100 {
            old.update("Flight", &flight(i), &json!({ "delay": 100_000 + i }));
            let note = json!({ "id": format!("n{i:03}"), "flightId": format!("f{i:05}"), "text": format!("note {i}"),
                               "tags": ["a", "b"], "done": false });
            old.create("Note", &note);
            old.update("Note", &note, &json!({ "text": format!("note {i}, mended") }));
            old.delete("Flight", &flight(5_000 + i));
            old.update("Flight", &flight(1_000 + i), &json!({ "dest": null }));
        }
        old.conn.execute_batch("COMMIT").unwrap();
        drop(old);
        let before = std::fs::read(&path).unwrap();

        let begun = Instant::now();
        let phone = taking(&site, "p", &path).await;
        let opened = begun.elapsed();
        let taken = report(&phone);
        assert_eq!(
            (taken.records, taken.mutations, taken.unsettled, taken.state),
            (10_000, 500, 500, ImportState::Unsettled),
            "{taken:?}"
        );
        assert_eq!(
            (taken.first_number, taken.last_number, taken.mutations_left),
            (1, 500, 0)
        );
        assert_eq!(
            (taken.records_left, taken.records_unversioned, taken.problems.len()),
            (0, 0, 0),
            "{taken:?}"
        );
        let outbox = phone.outbox().await;
        let queued: Vec<(u64, String, MutationKind)> = outbox
            .iter()
            .map(|item| (item.number.0, item.model.clone(), item.kind))
            .collect();
        let one_round = [
            ("Flight", MutationKind::Update),
            ("Note", MutationKind::Create),
            ("Note", MutationKind::Update),
            ("Flight", MutationKind::Delete),
            ("Flight", MutationKind::Update),
        ];
        for (at, (number, model, kind)) in queued.iter().enumerate() {
            assert_eq!(
                (*number, model.as_str(), *kind),
                (at as u64 + 1, one_round[at % 5].0, one_round[at % 5].1)
            );
        }
        // Offline, at once.
        let shown = phone.records("Flight", "carrier dest delay _version").await;
        assert_eq!(shown.len(), 9_900);
        assert_eq!(shown["f00007"]["delay"], 100_007);
        assert_eq!(shown["f01007"]["dest"], Json::Null);
        assert_eq!(
            shown["f09999"],
            json!({ "id": "f09999", "carrier": "UA", "dest": "EWR", "delay": 9_999, "_version": 1 })
        );
        assert_eq!(
            phone.records("Note", "text tags").await["n042"]["text"],
            "note 42, mended"
        );

        let begun = Instant::now();
        let synced = phone.sync().await;
        let settled = begun.elapsed();
        assert_eq!((synced.pushed, synced.rejected), (500, 0), "{synced:?}");
        let taken = report(&phone);
        assert_eq!(
            (taken.state, taken.unsettled, taken.removed),
            (ImportState::Settled, 0, false)
        );
        for fields in ["carrier dest delay _version", ""] {
            assert_eq!(
                phone.records("Flight", fields).await,
                site.records("Flight", fields).await
            );
        }
        let notes = phone.records("Note", "flightId text tags done _version").await;
        assert_eq!(notes, site.records("Note", "flightId text tags done _version").await);
        assert_eq!(
            notes["n042"],
            json!({ "id": "n042", "flightId": "f00042", "text": "note 42, mended", "tags": ["a", "b"], "done": false,
                    "_version": 2 })
        );
        assert_eq!(site.records("Flight", "").await.len(), 9_900);
        let ended = phone
            .client
            .mutations(MutationFilter::in_states([MutationState::Applied]))
            .await
            .unwrap();
        assert_eq!(ended.len(), 500);
        assert_eq!(std::fs::read(&path).unwrap(), before, "the old file is as it was");
        println!(
            "{adapter:?}: 10,000 records and 500 mutations: taken over in {} ms, settled in {} ms; 500 applied, 0 \
             rejected, in order; 9,900 flights and 100 notes here and at the server",
            opened.as_millis(),
            settled.as_millis()
        );

        // A second opening takes nothing again, also with a fresh file for the replica.
        phone.close().await;
        let phone = taking(&site, "p", &path).await;
        assert_eq!(report(&phone).state, ImportState::Settled);
        assert!(phone.outbox().await.is_empty());
        phone.close().await;
        let other = taking(&site, "other-account", &path).await;
        assert_eq!(report(&other).state, ImportState::TakenBefore);
        assert!(other.outbox().await.is_empty() && other.ids("Flight").await.is_empty());
        other.close().await;
    }
}

/// An app without a cloud: what no server has heard of goes up, parents first; what the server has by now is no refusal, and
/// what others made of it stands.
#[tokio::test]
async fn records_that_no_cloud_has_seen_go_up_and_overwrite_nothing() {
    for adapter in Adapter::ALL {
        let site = Site::new().await;
        let path = old_path(&site, "p");
        let old = OldFile::new(&path, adapter);
        let note =
            |i: usize| json!({ "id": format!("n{i}"), "flightId": "f1", "text": format!("note {i}"), "done": false });
        for i in 0..50 {
            old.record("Note", &note(i), None);
        }
        old.record(
            "Flight",
            &json!({ "id": "f1", "carrier": "UA", "dest": "EWR", "delay": 5 }),
            None,
        );
        drop(old);
        // One that the server has, one that somebody has edited since.
        site.write("createNote", note(7)).await;
        site.write("createNote", note(8)).await;
        site.write("updateNote", json!({ "id": "n8", "text": "theirs", "_version": 1 }))
            .await;

        let builder = site
            .builder("p")
            .offline(true)
            .import_datastore(&path)
            .remove_datastore_when_settled(true);
        let phone = Phone::open(builder, site.replica("p")).await;
        let taken = report(&phone);
        assert_eq!(
            (taken.uploads, taken.records, taken.unsettled, taken.records_unversioned),
            (51, 51, 51, 0),
            "{taken:?}"
        );
        assert_eq!(phone.outbox().await[0].model, "Flight", "notes refer to it");
        assert_eq!(phone.records("Note", "text").await.len(), 50, "at once, offline");
        let synced = phone.sync().await;
        assert_eq!((synced.pushed, synced.rejected), (51, 0), "{synced:?}");
        let fields = "flightId text done";
        let notes = site.records("Note", fields).await;
        assert_eq!(phone.records("Note", fields).await, notes);
        assert_eq!(phone.records("Flight", "").await, site.records("Flight", "").await);
        assert_eq!((notes.len(), &notes["n8"]["text"]), (50, &json!("theirs")));
        assert_eq!(notes["n9"], note(9));
        let taken = report(&phone);
        assert_eq!(
            (taken.state, taken.removed, path.exists()),
            (ImportState::Settled, true, false)
        );
        phone.close().await;
    }
}

/// What others did meanwhile stands, what left the server leaves the phone, and the phone's edit gets through.
#[tokio::test]
async fn others_have_gone_on_meanwhile() {
    for adapter in Adapter::ALL {
        let site = Site::new().await;
        for i in 0..4 {
            let mut input = flight(i);
            input.as_object_mut().unwrap().retain(|name, _| !name.ends_with("At"));
            site.write("createFlight", input).await;
        }
        let path = old_path(&site, "p");
        let mut old = OldFile::new(&path, adapter);
        for i in 0..4 {
            old.record("Flight", &flight(i), Some(1));
        }
        old.record("Flight", &json!({ "id": "gone", "carrier": "XX" }), Some(3));
        old.synced("Flight", "dead", 4, true);
        old.update("Flight", &flight(1), &json!({ "dest": "JFK" }));
        old.delete("Flight", &flight(2));
        drop(old);
        // Another field of the one, the one that is to be deleted, and one that the phone did not touch.
        site.write("updateFlight", json!({ "id": "f00001", "delay": 77, "_version": 1 }))
            .await;
        site.write("updateFlight", json!({ "id": "f00002", "delay": 78, "_version": 1 }))
            .await;
        site.write("deleteFlight", json!({ "id": "f00003", "_version": 1 }))
            .await;

        let phone = taking(&site, "p", &path).await;
        assert_eq!(
            (report(&phone).records, report(&phone).tombstones),
            (4, 1),
            "{:?}",
            report(&phone)
        );
        assert_eq!(phone.ids("Flight").await, ["f00000", "f00001", "f00003", "gone"]);
        let synced = phone.client.sync_once(tombolo_e2e::PATIENCE).await.unwrap();
        assert_eq!((synced.pushed, synced.rejected), (1, 1), "{synced:?}");
        let shown = phone.records("Flight", "dest delay").await;
        assert_eq!(shown, site.records("Flight", "dest delay").await);
        assert_eq!(shown["f00001"], json!({ "id": "f00001", "dest": "JFK", "delay": 77 }));
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["f00000", "f00001", "f00002"]);
        // The refused deletion holds the old file until the app has taken note.
        assert_eq!(
            (report(&phone).state, report(&phone).unsettled),
            (ImportState::Unsettled, 1)
        );
        let refused = phone.outbox().await;
        assert_eq!(refused[0].kind, MutationKind::Delete);
        phone.client.discard(refused[0].number).await.unwrap();
        assert_eq!(report(&phone).state, ImportState::Settled);
        phone.close().await;
    }
}

/// What DataStore had sent, without hearing of it, is neither refused nor done twice, and edits behind it get through.
#[tokio::test]
async fn what_was_in_flight_has_one_effect_whether_or_not_it_had_arrived() {
    for adapter in Adapter::ALL {
        for arrived in [false, true] {
            for kind in ["create", "update", "delete"] {
                in_flight(adapter, arrived, kind).await;
            }
        }
    }
}

async fn in_flight(adapter: Adapter, arrived: bool, kind: &str) {
    let name = format!("{adapter:?}, {kind}, arrived: {arrived}");
    let site = Site::new().await;
    let path = old_path(&site, "p");
    let mut old = OldFile::new(&path, adapter);
    let first = json!({ "id": "n1", "text": "first", "severity": "LOW" });
    let behind = kind != "delete";
    match kind {
        "create" => {
            old.record("Note", &first, None);
            old.queue_with("Note", "create", &first, None, true);
            if arrived {
                site.write("createNote", first.clone()).await;
                site.write(
                    "updateNote",
                    json!({ "id": "n1", "author": "somebody else", "_version": 1 }),
                )
                .await;
            }
            old.update("Note", &first, &json!({ "text": "second" }));
        }
        "update" => {
            site.write("createNote", first.clone()).await;
            old.record("Note", &first, Some(1));
            let sent = json!({ "id": "n1", "text": "sent", "severity": "LOW" });
            let content = match adapter {
                Adapter::Ios => sent.clone(),
                Adapter::Android => json!({ "id": "n1", "text": "sent" }),
            };
            // A condition that holds no longer once it was carried out.
            old.queue_with("Note", "update", &content, Some(("text", "first")), true);
            if arrived {
                site.write("updateNote", json!({ "id": "n1", "text": "sent", "_version": 1 }))
                    .await;
            }
            old.update("Note", &sent, &json!({ "text": "second" }));
        }
        _ => {
            site.write("createNote", first.clone()).await;
            old.synced("Note", "n1", 1, false);
            old.queue_with("Note", "delete", &first, None, true);
            if arrived {
                site.write("deleteNote", json!({ "id": "n1", "_version": 1 })).await;
            }
        }
    }
    drop(old);
    let phone = taking(&site, "p", &path).await;
    assert_eq!(report(&phone).mutations_may_be_sent, 1, "{name}");
    let numbers: Vec<_> = phone.outbox().await.iter().map(|item| item.number).collect();
    assert_eq!(numbers.len(), 1 + usize::from(behind), "{name}");
    let synced = phone.sync().await;
    assert_eq!(
        (synced.pushed as usize, synced.rejected),
        (numbers.len(), 0),
        "{name}: {synced:?}"
    );
    let last = *numbers.last().unwrap();
    for number in numbers {
        let outcome = phone.client.outcome(number).await.unwrap();
        // A whole record meets what somebody else has set.
        let merged = number == last && adapter == Adapter::Ios && kind == "create" && arrived;
        let expected = if merged {
            FinalOutcome::Merged
        } else {
            FinalOutcome::Applied
        };
        assert_eq!(outcome, expected, "{name}");
    }
    let notes = site.records("Note", "text severity author").await;
    if behind {
        let author = if arrived && kind == "create" {
            json!("somebody else")
        } else {
            Json::Null
        };
        let expected = json!({ "id": "n1", "text": "second", "severity": "LOW", "author": author });
        assert_eq!(notes["n1"], expected, "{name}");
    } else {
        assert!(notes.is_empty(), "{name}");
    }
    assert_eq!(phone.records("Note", "text severity author").await, notes, "{name}");
    assert_eq!(report(&phone).state, ImportState::Settled, "{name}");
    phone.close().await;
}

/// SIGKILL at moments spread over the import: afterwards there is nothing of it or all of it, and the next opening makes it
/// all, once.
#[cfg(unix)]
#[tokio::test]
async fn an_import_that_is_killed_at_any_moment_happened_or_did_not() {
    const RECORDS: usize = 2_000;
    const MUTATIONS: usize = 100;
    const KILLS: u32 = 14;
    let site = Site::new().await;
    let schema = site.folder().join("schema.graphql");
    std::fs::write(&schema, tombolo_e2e::SCHEMA).unwrap();
    let path = old_path(&site, "p");
    let mut old = OldFile::new(&path, Adapter::Ios);
    old.conn.execute_batch("BEGIN").unwrap();
    for i in 0..RECORDS {
        old.record("Flight", &flight(i), Some(1));
    }
    for i in 0..MUTATIONS {
        old.create("Note", &json!({ "id": format!("n{i:03}"), "text": "kept" }));
    }
    old.conn.execute_batch("COMMIT").unwrap();
    drop(old);
    let mark = site.folder().join("p-datastore.db.tombolo");
    let app = |replica: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_app"));
        command.args([replica, &schema]).args(["", ""]).arg(&path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    // How long it takes on this machine, by one that is let live.
    let begun = Instant::now();
    let mut process = Process::start(&mut app(&site.replica("whole")));
    process.output().read_line(&mut String::new()).unwrap();
    let whole = begun.elapsed();
    process.kill();
    let (mut nothing, mut all) = (0, 0);
    for kill in 0..KILLS {
        // As on a new phone.
        std::fs::remove_file(&mark).unwrap();
        let replica = site.replica(&format!("killed-{kill}"));
        let process = Process::start(&mut app(&replica));
        tokio::time::sleep(whole * kill / KILLS).await;
        process.kill();
        tombolo_e2e::process::until_free(&replica).await;
        let phone = Phone::open(site.builder(&format!("killed-{kill}")).offline(true), &replica).await;
        let (notes, flights) = (phone.outbox().await.len(), phone.ids("Flight").await.len());
        match (notes, flights) {
            (0, 0) => nothing += 1,
            (MUTATIONS, RECORDS) => all += 1,
            other => panic!("a part of it, killed at {kill}: {other:?}"),
        }
        phone.close().await;
        let phone = taking(&site, &format!("killed-{kill}"), &path).await;
        let taken = report(&phone);
        assert_eq!(
            (taken.records as usize, taken.mutations as usize),
            (RECORDS + MUTATIONS, MUTATIONS),
            "{taken:?}"
        );
        assert_eq!(
            (phone.outbox().await.len(), phone.ids("Flight").await.len()),
            (MUTATIONS, RECORDS)
        );
        assert!(std::fs::read_to_string(&mark).unwrap().contains("true"));
        phone.close().await;
    }
    println!(
        "killed {KILLS} times within {} ms: {nothing} times nothing was there, {all} times all of it",
        whole.as_millis()
    );
}

/// The old file goes when everything in it is settled, if the app asked for it, and not before.
#[tokio::test]
async fn the_old_file_goes_when_all_is_settled_and_the_app_asked_for_it() {
    let site = Site::new().await;
    let path = old_path(&site, "p");
    let mut old = OldFile::new(&path, Adapter::Ios);
    let note = json!({ "id": "n1", "text": "kept" });
    old.create("Note", &note);
    drop(old);
    let open = || {
        site.builder("p")
            .offline(true)
            .import_datastore(&path)
            .remove_datastore_when_settled(true)
    };
    let phone = Phone::open(open(), site.replica("p")).await;
    let mut events = phone.client.events();
    let told = events.recv().await.unwrap();
    assert!(matches!(told, tombolo::Event::Imported(report) if report.state == ImportState::Unsettled));
    assert!(path.exists() && report(&phone).format == Some(ImportFormat::Ios));
    // Killed and opened again, it is still there.
    phone.close().await;
    let phone = Phone::open(open(), site.replica("p")).await;
    assert!(path.exists());
    phone.sync().await;
    assert!(report(&phone).removed);
    let left: Vec<_> = std::fs::read_dir(site.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter().all(|name| !name.to_string_lossy().contains("datastore")),
        "{left:?}"
    );
    phone.close().await;
    let phone = Phone::open(open(), site.replica("p")).await;
    assert!(report(&phone).removed && phone.outbox().await.is_empty());
    phone.close().await;

    // One that could not be taken keeps it.
    let path = old_path(&site, "q");
    let mut old = OldFile::new(&path, Adapter::Android);
    old.create("Note", &json!({ "id": "n2", "text": "taken" }));
    old.queue(
        "Notice",
        "create",
        &json!({ "id": "x", "text": "of a model that is gone" }),
    );
    drop(old);
    let builder = site
        .builder("q")
        .offline(true)
        .import_datastore(&path)
        .remove_datastore_when_settled(true);
    let phone = Phone::open(builder, site.replica("q")).await;
    phone.sync().await;
    let taken = report(&phone);
    assert_eq!(
        (taken.state, taken.mutations_left, taken.removed),
        (ImportState::Settled, 1, false)
    );
    assert!(
        taken.problems[0]
            .content
            .as_ref()
            .unwrap()
            .contains("of a model that is gone")
    );
    assert!(path.exists());
    phone.close().await;
}
