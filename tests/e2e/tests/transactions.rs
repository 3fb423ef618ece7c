//! Several mutations together or not at all.

use serde_json::json;
use tombolo::OutboxState;
use tombolo_e2e::phone::mutation;
use tombolo_e2e::{Phone, Site};

async fn book(phone: &Phone, seats: &[(&str, &str)]) -> Vec<tombolo::MutationNumber> {
    let transacted = phone
        .client
        .transaction(|t| {
            for (seat, passenger) in seats {
                t.mutate(
                    &mutation("updateSeat"),
                    json!({ "input": { "id": seat, "passenger": passenger } }),
                )?;
            }
            t.mutate(
                &mutation("createNote"),
                json!({ "input": { "id": seats[0].1, "text": "booked" } }),
            )
        })
        .await
        .unwrap();
    transacted.numbers
}

async fn site_with_seats() -> Site {
    let site = Site::new().await;
    for id in ["1A", "1B", "1C"] {
        site.write("createSeat", json!({ "id": id })).await;
    }
    site
}

#[tokio::test]
async fn all_of_a_transaction_arrives() {
    let site = site_with_seats().await;
    let phone = site.offline_phone("p").await;
    phone.sync().await;
    assert_eq!(book(&phone, &[("1A", "Ada"), ("1B", "Ben")]).await.len(), 3);
    let report = phone.sync().await;
    assert_eq!((report.pushed, report.rejected), (3, 0));
    let seats = site.records("Seat", "passenger").await;
    assert_eq!(
        (&seats["1A"]["passenger"], &seats["1B"]["passenger"]),
        (&json!("Ada"), &json!("Ben"))
    );
    assert_eq!(site.records("Note", "").await.len(), 1);
}

#[tokio::test]
async fn a_transaction_with_one_refused_mutation_leaves_no_trace_here_or_there() {
    let site = site_with_seats().await;
    let phone = site.offline_phone("p").await;
    phone.sync().await;
    let numbers = book(&phone, &[("1A", "Ada"), ("1B", "Ben"), ("1C", "Cy")]).await;
    assert_eq!(phone.records("Seat", "passenger").await["1A"]["passenger"], "Ada");
    // Somebody else is quicker, on the last of the three seats.
    site.write("updateSeat", json!({ "id": "1C", "passenger": "Zoe", "_version": 1 }))
        .await;
    let report = phone.sync().await;
    assert_eq!((report.pushed, report.rejected), (0, 4));

    let seats = site.records("Seat", "passenger _version").await;
    let free = json!({ "id": "1A", "passenger": null, "_version": 1 });
    assert_eq!(seats["1A"], free);
    assert_eq!(seats["1C"]["passenger"], "Zoe");
    assert_eq!(site.records("Note", "").await.len(), 0);
    assert_eq!(
        phone.records("Seat", "passenger _version").await,
        seats,
        "rolled back here"
    );
    assert_eq!(phone.ids("Note").await, [""; 0]);

    let outbox = phone.outbox().await;
    assert_eq!(outbox.iter().map(|item| item.number).collect::<Vec<_>>(), numbers);
    assert!(
        outbox.iter().all(|item| item.state == OutboxState::Rejected),
        "{outbox:?}"
    );
    assert!(
        outbox
            .iter()
            .any(|item| item.reason_code.as_deref() == Some("ConflictUnhandled")),
        "{outbox:?}"
    );
    for number in numbers {
        // Discarding one takes note of its whole transaction, or of itself alone; either way all can be dismissed.
        let _gone_with_the_first = phone.client.discard(number).await;
    }
    assert!(phone.outbox().await.is_empty());
}

#[tokio::test]
async fn a_transaction_that_its_closure_gives_up_queues_nothing() {
    let site = site_with_seats().await;
    let phone = site.offline_phone("p").await;
    phone.sync().await;
    let error = phone
        .client
        .transaction(|t| {
            t.mutate(
                &mutation("updateSeat"),
                json!({ "input": { "id": "1A", "passenger": "Ada" } }),
            )?;
            t.mutate(&mutation("updateSeat"), json!({ "input": { "id": "1B", "row": 1 } }))
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), "request");
    assert!(phone.outbox().await.is_empty());
    assert_eq!(phone.records("Seat", "passenger").await["1A"]["passenger"], json!(null));
}

#[tokio::test]
async fn a_transaction_on_a_record_that_is_not_here_queues_nothing() {
    let site = site_with_seats().await;
    let phone = site.offline_phone("p").await;
    phone.sync().await;
    let error = phone
        .client
        .transaction(|t| {
            t.mutate(
                &mutation("updateSeat"),
                json!({ "input": { "id": "1A", "passenger": "Ada" } }),
            )?;
            t.mutate(
                &mutation("updateSeat"),
                json!({ "input": { "id": "99Z", "passenger": "Ben" } }),
            )
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), "unknown_record");
    assert!(phone.outbox().await.is_empty());
    assert_eq!(phone.records("Seat", "passenger").await["1A"]["passenger"], json!(null));
}
