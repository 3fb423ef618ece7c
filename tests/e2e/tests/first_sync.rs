//! The first sync of more rows than a page holds.

use serde_json::{Value as Json, json};
use tombolo_e2e::proxy::{Cut, Proxy};
use tombolo_e2e::wire::Socket;
use tombolo_e2e::{Phone, Site};

/// More than the SDK asks for in one page (10 000), and no whole number of pages.
const FLIGHTS: usize = 12_345;

/// Root fields of one mutation document.
const ROOTS: usize = 250;

async fn load(site: &Site) {
    let mut socket = Socket::open(site.address()).await;
    let ids: Vec<usize> = (0..FLIGHTS).collect();
    for chunk in ids.chunks(ROOTS) {
        let mut document = String::from("mutation {");
        for i in chunk {
            let carrier = ["UA", "AA", "DL"][i % 3];
            document.push_str(&format!(
                " f{i}: createFlight(input: {{ id: \"f{i:05}\", carrier: \"{carrier}\", delay: {i} }}) {{ id }}"
            ));
        }
        document.push('}');
        let answer = socket.run("load", &document, Json::Null).await;
        assert!(answer["errors"].is_null(), "{answer}");
    }
}

async fn count(phone: &Phone) -> usize {
    phone.ids("Flight").await.len()
}

#[tokio::test]
async fn a_first_sync_of_many_pages_holds_every_row_once() {
    let site = Site::new().await;
    load(&site).await;
    let phone = site.offline_phone("p").await;
    let report = phone.sync().await;
    assert_eq!(report.pulled as usize, FLIGHTS);
    let flights = phone.records("Flight", "carrier delay _version").await;
    assert_eq!(flights.len(), FLIGHTS);
    for (i, flight) in flights.values().enumerate() {
        let carrier = ["UA", "AA", "DL"][i % 3];
        let expected = json!({ "id": format!("f{i:05}"), "carrier": carrier, "delay": i, "_version": 1 });
        assert_eq!(*flight, expected);
    }
    // Up to date: the next round brings nothing, and a change brings one row.
    assert_eq!(phone.sync().await.pulled, 0);
    site.write("updateFlight", json!({ "id": "f00007", "delay": -1, "_version": 1 }))
        .await;
    assert_eq!(phone.sync().await.pulled, 1);
    assert_eq!(phone.records("Flight", "delay").await["f00007"]["delay"], -1);
}

#[tokio::test]
async fn a_first_sync_meets_writers_and_loses_none_of_theirs() {
    let site = Site::new().await;
    load(&site).await;
    let phone = site.phone("p").await;
    // While the pages come: edits of what has come, edits of what is to come, deletes and creates.
    for i in 0..40 {
        let at = i * 300;
        site.write(
            "updateFlight",
            json!({ "id": format!("f{at:05}"), "delay": -5, "_version": 1 }),
        )
        .await;
        site.write("createFlight", json!({ "id": format!("g{i}"), "carrier": "UA" }))
            .await;
        site.write(
            "deleteFlight",
            json!({ "id": format!("f{:05}", at + 1), "_version": 1 }),
        )
        .await;
    }
    let last = "{ getFlight(id: \"g39\") { id } gone: getFlight(id: \"f11701\") { id } }";
    phone
        .until_data(last, |data| !data["getFlight"].is_null() && data["gone"].is_null())
        .await;
    phone.settled().await;
    assert_eq!(count(&phone).await, FLIGHTS);
    assert_eq!(
        phone.records("Flight", "carrier delay _version").await,
        site.records("Flight", "carrier delay _version").await
    );
}

/// Held up at each of its requests in turn and then given up, a first sync keeps what had come and fetches the rest, not
/// the whole again.
#[tokio::test]
async fn a_first_sync_that_is_cut_goes_on_where_it_was() {
    let site = Site::new().await;
    load(&site).await;
    let flights = || {
        [tombolo::Scope {
            model: "Flight".into(),
            filter: None,
        }]
    };
    for (post, here) in [(1, 0), (2, 10_000), (3, FLIGHTS)] {
        let proxy = Proxy::start(site.address(), Cut::AtPost(post)).await;
        let name = format!("cut-at-{post}");
        let builder = site.builder(&name).url(proxy.url()).offline(true).scopes(flights());
        let phone = Phone::open(builder, site.replica(&name)).await;
        phone.client.set_online(true).await.unwrap();
        if post < 3 {
            tombolo_e2e::patiently(proxy.has_cut()).await;
        } else {
            phone.settled().await;
        }
        if here > 0 {
            // It asks for a page when the one before is here, which may still be on its way into the file.
            phone.until(|status| status.scopes[0].cursor.is_some()).await;
        }
        phone.close().await;
        let phone = site.offline_phone(&name).await;
        assert_eq!(count(&phone).await, here, "held up at POST {post}");
        assert_eq!(
            phone.sync().await.pulled as usize,
            FLIGHTS - here,
            "held up at POST {post}"
        );
        assert_eq!(count(&phone).await, FLIGHTS);
        phone.close().await;
    }
}

#[tokio::test]
async fn a_scope_of_many_pages_brings_its_records_alone() {
    let site = Site::new().await;
    load(&site).await;
    let scope = tombolo::Scope {
        model: "Flight".into(),
        filter: Some(json!({ "carrier": { "eq": "UA" } })),
    };
    let phone = Phone::open(site.builder("ua").offline(true).scopes([scope]), site.replica("ua")).await;
    assert_eq!(phone.sync().await.pulled as usize, FLIGHTS.div_ceil(3));
    let flights = phone.records("Flight", "carrier").await;
    assert_eq!(flights.len(), FLIGHTS.div_ceil(3));
    assert!(flights.values().all(|flight| flight["carrier"] == "UA"));
}
