//! The network goes at every moment of a sync in turn, a few bytes further each time: each mutation takes effect once.

use serde_json::json;
use tombolo_e2e::phone::mutation;
use tombolo_e2e::proxy::{Cut, Proxy};
use tombolo_e2e::{PATIENCE, Phone, Site};

/// Bytes from one cut to the next: less than an answer, so that cuts fall before, within and after each.
const STEP: usize = 137;

#[tokio::test]
async fn a_link_cut_at_any_byte_of_the_answers_loses_nothing_and_doubles_nothing() {
    let site = Site::new().await;
    let (mut cut, mut unsure) = (0, 0);
    for n in 0.. {
        let id = format!("{n:03}");
        for seat in ["A", "B"] {
            site.write("createSeat", json!({ "id": format!("{id}{seat}") })).await;
        }
        // One replica goes through all cuts: what it meets is never the same twice.
        let proxy = Proxy::start(site.address(), Cut::AfterBytes(200 + n * STEP)).await;
        let phone = site.offline_phone("p").await;
        phone.sync().await;
        phone.close().await;
        let phone = Phone::open(site.builder("p").url(proxy.url()).offline(true), site.replica("p")).await;
        phone
            .write("createNote", json!({ "id": id, "text": "t", "tags": [id] }))
            .await;
        phone.write("createFlight", json!({ "id": id, "carrier": "UA" })).await;
        let both = phone.client.transaction(|t| {
            for seat in ["A", "B"] {
                let input = json!({ "id": format!("{id}{seat}"), "passenger": "Ada" });
                t.mutate(&mutation("updateSeat"), json!({ "input": input }))?;
            }
            Ok(())
        });
        both.await.unwrap();
        let whole = tokio::select! {
            () = proxy.has_cut() => false,
            report = phone.client.sync_once(PATIENCE) => report.unwrap().is_complete(),
        };
        phone.close().await;
        let arrived = site.records("Note", "").await.contains_key(&id);

        // Through another network.
        let phone = site.offline_phone("p").await;
        let waiting = phone.outbox().await.len();
        let report = phone.sync().await;
        assert_eq!(report.rejected, 0, "cut {n}");
        assert!(phone.outbox().await.is_empty());
        phone.close().await;
        if whole {
            break;
        }
        cut += 1;
        unsure += usize::from(arrived && waiting > 0);
    }
    println!("{cut} cuts; after {unsure} of them the server had what the replica did not know of");
    assert!(cut > 10 && unsure > 3, "too few cuts to show anything");
    for (model, fields, version) in [("Note", "tags", 1), ("Flight", "carrier", 1), ("Seat", "passenger", 2)] {
        let records = site.records(model, &format!("{fields} _version")).await;
        let expected = if model == "Seat" { 2 * (cut + 1) } else { cut + 1 };
        assert_eq!(records.len(), expected, "{model}: lost");
        for record in records.values() {
            assert_eq!(record["_version"], version, "twice, or not at all: {record}");
        }
    }
}
