//! The final states of mutations: waiting for them, listing them, acting on them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{CREATE, PATIENCE, Server, UPDATE, read, settle};
use serde_json::{Value as Json, json};
use tombolo::{Client, Error, FinalOutcome, MutationFilter, MutationNumber, MutationState};

async fn outcome(client: &Client, number: MutationNumber) -> FinalOutcome {
    let told = tokio::time::timeout(PATIENCE, client.outcome(number)).await;
    told.expect("no outcome in time").unwrap()
}

async fn states(client: &Client) -> Vec<(u64, MutationState)> {
    let all = client.mutations(MutationFilter::default()).await.unwrap();
    all.iter().map(|mutation| (mutation.number.0, mutation.state)).collect()
}

#[tokio::test]
async fn a_final_state_is_told_to_who_waits_and_to_who_asks_later() {
    let server = Server::new();
    server.set(|b| b.reject_text = Some("swear".into()));
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).offline(true).open().await.unwrap();
    let create = |id: &str, text: &str| json!({ "id": id, "text": text });
    let good = client.mutate(CREATE, create("a", "kind")).await.unwrap().numbers[0];
    let bad = client.mutate(CREATE, create("b", "swear")).await.unwrap().numbers[0];
    let folded = client.mutate(CREATE, create("c", "x")).await.unwrap().numbers[0];
    client
        .mutate("mutation { deleteNote(input: { id: \"c\" }) { id } }", Json::Null)
        .await
        .unwrap();
    let given_up = client.mutate(CREATE, create("d", "x")).await.unwrap().numbers[0];
    client.discard(given_up).await.unwrap();

    // Before any wait began.
    assert_eq!(outcome(&client, folded).await, FinalOutcome::Discarded);
    assert_eq!(outcome(&client, given_up).await, FinalOutcome::Discarded);
    let waiting = [good, bad].map(|number| {
        let client = client.clone();
        tokio::spawn(async move { outcome(&client, number).await })
    });
    client.set_online(true).await.unwrap();
    let [waited_good, waited_bad] = waiting;
    assert_eq!(waited_good.await.unwrap(), FinalOutcome::Applied);
    assert!(matches!(waited_bad.await.unwrap(), FinalOutcome::Rejected(_)));
    settle(&client).await;
    assert_eq!(outcome(&client, good).await, FinalOutcome::Applied, "settled long ago");
    let wanted = [
        (good.0, MutationState::Applied),
        (bad.0, MutationState::Rejected),
        (folded.0, MutationState::Discarded),
        (given_up.0, MutationState::Discarded),
    ];
    assert_eq!(states(&client).await, wanted);
    client.close().await;

    let client = server.client(folder.path()).offline(true).open().await.unwrap();
    assert_eq!(states(&client).await, wanted, "a restart forgets nothing");
    let rejected = client
        .mutations(MutationFilter::in_states([MutationState::Rejected]))
        .await
        .unwrap();
    assert_eq!(
        (rejected.len(), rejected[0].values["text"].clone()),
        (1, json!("swear")),
        "with its payload"
    );
    let unknown = client.outcome(MutationNumber(99)).await;
    assert!(
        matches!(unknown, Err(Error::UnknownMutation(MutationNumber(99)))),
        "{unknown:?}"
    );
    let waiting = client.mutate(CREATE, create("e", "x")).await.unwrap().numbers[0];
    let task = tokio::spawn({
        let client = client.clone();
        async move { client.outcome(waiting).await }
    });
    tokio::task::yield_now().await;
    client.close().await;
    assert!(matches!(task.await.unwrap(), Err(Error::Closed)));
}

#[tokio::test]
async fn a_refused_mutation_is_edited_and_succeeds_and_the_first_stays_listed() {
    let server = Server::new();
    server.set(|b| b.reject_text = Some("swear".into()));
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).open().await.unwrap();
    let bad = client
        .mutate(CREATE, json!({ "id": "a", "text": "swear" }))
        .await
        .unwrap()
        .numbers[0];
    assert!(matches!(outcome(&client, bad).await, FinalOutcome::Rejected(_)));
    let again = client.retry(bad).await.unwrap();
    assert!(
        matches!(outcome(&client, again[0]).await, FinalOutcome::Rejected(_)),
        "the same again"
    );
    let wrong = client.edit_and_retry(again[0], json!({ "text": 7 })).await;
    assert!(matches!(wrong, Err(Error::Request(_))), "{wrong:?}");
    let edited = client
        .edit_and_retry(again[0], json!({ "text": "kind" }))
        .await
        .unwrap();
    assert_eq!(outcome(&client, edited[0]).await, FinalOutcome::Applied);
    settle(&client).await;
    assert_eq!(server.field("Note", "a", "text"), Some(json!("kind")));
    let note = read(&client, "{ getNote(id: \"a\") { text } }").await;
    assert_eq!(note["getNote"]["text"], "kind");
    assert_eq!(
        client.status().borrow().rejected,
        0,
        "each retry takes note of what it retries"
    );
    let first = client.mutation(bad).await.unwrap().unwrap();
    assert_eq!((first.state, first.became), (MutationState::Rejected, Some(again[0])));
    let late = client.retry(edited[0]).await;
    assert!(
        matches!(late, Err(Error::UnknownMutation(_) | Error::WrongState(_))),
        "{late:?}"
    );
    client.close().await;
}

#[tokio::test]
async fn calls_that_wait_share_a_commit_and_one_that_is_refused_takes_nothing_from_the_others() {
    let server = Server::new();
    let folder = tempfile::tempdir().unwrap();
    let client = server.client(folder.path()).offline(true).open().await.unwrap();
    client
        .mutate(CREATE, json!({ "id": "taken", "text": "x" }))
        .await
        .unwrap();
    // All are sent to the writer before it takes the first: the test's one thread does not yield in between.
    let calls = (0..200).map(|place| {
        let client = client.clone();
        async move {
            let id = if place % 10 == 3 {
                "taken".to_owned()
            } else {
                format!("n{place}")
            };
            let made = client.mutate(CREATE, json!({ "id": id, "text": "x" })).await;
            if place % 10 == 7 {
                // One more on the same record, and one on a record that is not there.
                let edit = json!({ "input": { "id": format!("n{place}"), "text": "y" } });
                client.mutate(UPDATE, edit).await.unwrap();
                let missing = json!({ "input": { "id": "missing", "text": "y" } });
                assert!(matches!(
                    client.mutate(UPDATE, missing).await,
                    Err(Error::UnknownRecord { .. })
                ));
            }
            (place, made)
        }
    });
    let mut numbers = Vec::new();
    for (place, made) in futures_util::future::join_all(calls).await {
        match made {
            Ok(made) => numbers.push(made.numbers[0]),
            Err(error) => assert!(place % 10 == 3 && error.code() == "refused", "{place}: {error}"),
        }
    }
    assert_eq!(numbers.len(), 180);
    let queued = client.outbox().await.unwrap();
    assert_eq!(queued.len(), 181);
    assert!(
        queued
            .iter()
            .all(|item| item.values["text"] != "y" || item.number.0 > 1)
    );
    client.close().await;
    let client = server.client(folder.path()).open().await.unwrap();
    settle(&client).await;
    assert_eq!(server.applied(), 181);
    client.close().await;
}
