//! A replica holds the records of its scopes and no others, whatever happened while it was away.

use serde_json::json;
use tombolo::Scope;
use tombolo_e2e::{Phone, SCHEMA, Site};

async fn airline(site: &Site, name: &str, carrier: &str) -> Phone {
    let scope = Scope {
        model: "Flight".to_owned(),
        filter: Some(json!({ "carrier": { "eq": carrier } })),
    };
    Phone::open(site.builder(name).offline(true).scopes([scope]), site.replica(name)).await
}

async fn site_with_flights() -> Site {
    let site = Site::new().await;
    for (id, carrier) in [("f1", "UA"), ("f2", "UA"), ("f3", "AA"), ("f4", "DL"), ("f5", "UA")] {
        site.write("createFlight", json!({ "id": id, "carrier": carrier, "dest": "SFO" }))
            .await;
    }
    site
}

#[tokio::test]
async fn only_the_scope_comes_and_a_model_without_one_stays_empty() {
    let site = site_with_flights().await;
    site.write("createNote", json!({ "id": "n", "text": "not for this replica" }))
        .await;
    let ua = airline(&site, "ua", "UA").await;
    assert_eq!(ua.sync().await.pulled, 3);
    assert_eq!(ua.ids("Flight").await, ["f1", "f2", "f5"]);
    assert_eq!(ua.ids("Note").await, [""; 0]);
}

#[tokio::test]
async fn a_record_edited_out_of_the_scope_leaves_also_a_replica_that_was_away() {
    let site = site_with_flights().await;
    let ua = airline(&site, "ua", "UA").await;
    let aa = airline(&site, "aa", "AA").await;
    ua.sync().await;
    aa.sync().await;
    // While both are away: one leaves UA for AA, one enters, one is deleted, and one leaves and comes back.
    site.write("updateFlight", json!({ "id": "f1", "carrier": "AA", "_version": 1 }))
        .await;
    site.write("updateFlight", json!({ "id": "f4", "carrier": "UA", "_version": 1 }))
        .await;
    site.write("deleteFlight", json!({ "id": "f2", "_version": 1 })).await;
    site.write("updateFlight", json!({ "id": "f5", "carrier": "AA", "_version": 1 }))
        .await;
    site.write("updateFlight", json!({ "id": "f5", "carrier": "UA", "_version": 2 }))
        .await;
    ua.sync().await;
    aa.sync().await;
    assert_eq!(ua.ids("Flight").await, ["f4", "f5"]);
    assert_eq!(aa.ids("Flight").await, ["f1", "f3"]);
    // The same as a replica that was never away.
    let fresh = airline(&site, "fresh", "UA").await;
    fresh.sync().await;
    let all = "carrier dest _version";
    assert_eq!(fresh.records("Flight", all).await, ua.records("Flight", all).await);
}

#[tokio::test]
async fn a_record_edited_out_of_the_scope_leaves_a_live_replica_while_it_watches() {
    let site = site_with_flights().await;
    let ua = airline(&site, "ua", "UA").await;
    ua.client.set_online(true).await.unwrap();
    ua.settled().await;
    let ids = "{ listFlights { items { id } } }";
    ua.until_data(ids, |data| data["listFlights"]["items"].as_array().unwrap().len() == 3)
        .await;
    site.write("updateFlight", json!({ "id": "f2", "carrier": "DL", "_version": 1 }))
        .await;
    let left = ua
        .until_data(ids, |data| data["listFlights"]["items"].as_array().unwrap().len() != 3)
        .await;
    assert_eq!(
        left,
        json!({ "listFlights": { "items": [{ "id": "f1" }, { "id": "f5" }] } })
    );
}

#[tokio::test]
async fn an_own_edit_out_of_the_scope_leaves_once_it_is_settled() {
    let site = site_with_flights().await;
    let ua = airline(&site, "ua", "UA").await;
    ua.sync().await;
    ua.write("updateFlight", json!({ "id": "f1", "carrier": "DL" })).await;
    ua.sync().await;
    assert_eq!(ua.ids("Flight").await, ["f2", "f5"]);
    assert!(ua.outbox().await.is_empty());
    assert_eq!(site.records("Flight", "carrier").await["f1"]["carrier"], "DL");
}

#[tokio::test]
async fn a_scope_is_changed_at_run_time_without_a_wipe() {
    let site = site_with_flights().await;
    let phone = airline(&site, "p", "UA").await;
    phone.sync().await;
    // Unsent work on a record that the new scope does not hold, and a new record.
    phone.write("updateFlight", json!({ "id": "f1", "delay": 30 })).await;
    phone
        .write("createFlight", json!({ "id": "f9", "carrier": "AA", "dest": "LAX" }))
        .await;
    phone
        .client
        .set_scope("Flight", Some(json!({ "carrier": { "eq": "AA" } })))
        .await
        .unwrap();
    assert_eq!(phone.outbox().await.len(), 2, "the outbox is kept");
    let report = phone.sync().await;
    assert_eq!((report.pushed, report.rejected), (2, 0));
    assert_eq!(phone.ids("Flight").await, ["f3", "f9"]);
    assert_eq!(
        site.records("Flight", "delay").await["f1"]["delay"],
        30,
        "unsent work arrived"
    );

    // A second model joins, and the filter goes: everything comes, also what was left before.
    site.write("createNote", json!({ "id": "n", "text": "wet runway" }))
        .await;
    phone.client.set_scope("Note", None).await.unwrap();
    phone.client.set_scope("Flight", None).await.unwrap();
    phone.sync().await;
    assert_eq!(phone.ids("Flight").await, ["f1", "f2", "f3", "f4", "f5", "f9"]);
    assert_eq!(phone.ids("Note").await, ["n"]);
    // And is let go of.
    phone.client.remove_scope("Note").await.unwrap();
    phone.sync().await;
    assert_eq!(phone.ids("Note").await, [""; 0]);
    assert_eq!(
        site.records("Note", "").await.len(),
        1,
        "letting go deletes nothing on the server"
    );
}

#[tokio::test]
async fn a_scope_that_the_schema_does_not_bear_is_refused_and_the_old_one_stands() {
    let site = site_with_flights().await;
    let phone = airline(&site, "p", "UA").await;
    phone.sync().await;
    let error = phone
        .client
        .set_scope("Flight", Some(json!({ "pilot": { "eq": "Ada" } })))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "request");
    assert!(error.to_string().contains("pilot"), "{error}");
    let error = phone.client.set_scope("Train", None).await.unwrap_err();
    assert_eq!(error.code(), "unknown_model");
    phone.sync().await;
    assert_eq!(phone.ids("Flight").await, ["f1", "f2", "f5"]);
}

#[tokio::test]
async fn a_model_that_the_server_does_not_have_is_told_and_not_taken_for_empty() {
    let site = site_with_flights().await;
    let schema = format!("{SCHEMA}\ntype Train @model {{ id: ID! }}");
    let builder = site.builder("newer").schema(&schema).offline(true);
    let scopes = ["Flight", "Train"].map(|model| Scope {
        model: model.to_owned(),
        filter: None,
    });
    let phone = Phone::open(builder.scopes(scopes), site.replica("newer")).await;
    let report = phone.sync().await;
    assert_eq!(phone.ids("Flight").await.len(), 5);
    assert!(report.is_complete(), "{report:?}");
    let refused: Vec<&String> = report.refused.keys().collect();
    assert_eq!(refused, ["Train"], "{report:?}");
}
