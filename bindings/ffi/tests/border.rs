//! What the border promises to a host app, whatever its language.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tombolo_ffi::{
    CallbackError, CancelHandle, Client, ClientConfig, Event, FindQuery, LinkStatus, MutationFilter, MutationState,
    Operation, Outcome, RecordChangeKind, Report, Reporter, SavedAs, ScopeConfig, SignOut, SortStep, TomboloError,
    provoke_panic, provoke_panic_at_once, set_reporter,
};

const SCHEMA: &str = "type Note @model { id: ID! text: String! }";
const CREATE: &str = "mutation($id: ID!) { createNote(input: { id: $id, text: \"wet\" }) { id } }";
const LIST: &str = "{ listNotes { items { id } } }";

/// Longer than anything here takes that is not stuck.
const PATIENCE: Duration = Duration::from_secs(20);

fn config(folder: &tempfile::TempDir) -> ClientConfig {
    ClientConfig {
        schema: SCHEMA.into(),
        path: folder.path().join("replica.db").to_string_lossy().into_owned(),
        url: None,
        transports: Vec::new(),
        credential: None,
        account: None,
        author: None,
        offline: false,
        scopes: None,
        durability: None,
        import_datastore: None,
        remove_datastore_when_settled: false,
    }
}

async fn open(folder: &tempfile::TempDir) -> Arc<Client> {
    Client::open(config(folder), None).await.unwrap()
}

async fn create(client: &Client, id: &str) -> u64 {
    let variables = format!("{{\"id\":\"{id}\"}}");
    client.mutate(CREATE.into(), Some(variables)).await.unwrap().numbers[0]
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

#[derive(Default)]
struct Notes(Mutex<Vec<Report>>);

impl Reporter for Notes {
    fn report(&self, report: Report) -> Result<(), CallbackError> {
        self.0.lock().unwrap().push(report);
        // What a reporter throws must harm nobody.
        Err(CallbackError::Failed {
            detail: "broken".into(),
        })
    }
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_call_and_a_report_and_the_library_goes_on() {
    let notes = Arc::new(Notes::default());
    set_reporter(Some(Arc::<Notes>::clone(&notes)));
    let detail = |words: &str| TomboloError::Panicked { detail: words.into() };
    assert_eq!(
        provoke_panic("on our thread".into()).await,
        Err(detail("on our thread"))
    );
    assert_eq!(provoke_panic_at_once("on yours".into()), Err(detail("on yours")));
    set_reporter(None);
    let told: Vec<_> = notes
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|r| (r.kind.clone(), r.detail.clone()))
        .collect();
    let panic = |words: &str| ("panic".to_owned(), words.to_owned());
    assert_eq!(told, [panic("on our thread"), panic("on yours")]);

    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    create(&client, "a").await;
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_call_is_cancelled_by_its_handle_also_before_it_begins_and_the_client_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let number = create(&client, "a").await;
    let cancel = CancelHandle::new();
    // Nobody will ever decide it: there is no server.
    let waits = tokio::spawn({
        let (client, cancel) = (Arc::clone(&client), Arc::clone(&cancel));
        async move { client.outcome(number, Some(cancel)).await }
    });
    assert!(!cancel.is_cancelled());
    cancel.cancel();
    assert_eq!(soon(waits).await.unwrap(), Err(TomboloError::Cancelled));
    let late = client.query(LIST.into(), None, Some(cancel)).await;
    assert!(matches!(late, Err(TomboloError::Cancelled)));

    let live = client.watch(LIST.into(), None).unwrap();
    assert!(live.next(None).await.unwrap().is_some());
    let cancel = CancelHandle::new();
    cancel.cancel();
    assert_eq!(live.next(Some(cancel)).await.err(), Some(TomboloError::Cancelled));
    create(&client, "b").await;
    let next = soon(live.next(None)).await.unwrap().unwrap();
    assert_eq!(
        next.data, br#"{"listNotes":{"items":[{"id":"a"},{"id":"b"}]}}"#,
        "a cancelled look loses nothing"
    );
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_mutation_whose_caller_has_gone_is_carried_out_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let live = client.watch(LIST.into(), None).unwrap();
    live.next(None).await.unwrap();
    let mut call = Box::pin(client.mutate(CREATE.into(), Some("{\"id\":\"a\"}".into())));
    // Begun, and given up: the first look at a call never finds it ready.
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
    assert!(first);
    drop(call);
    assert!(soon(live.next(None)).await.unwrap().is_some());
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn after_the_end_every_call_says_closed_and_what_was_watched_ends() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let (live, events, status) = (
        client.watch(LIST.into(), None).unwrap(),
        client.events().unwrap(),
        client.watch_status().unwrap(),
    );
    live.next(None).await.unwrap();
    status.next(None).await.unwrap();
    let waits = tokio::spawn({
        let live = Arc::clone(&live);
        async move { live.next(None).await }
    });
    client.shut_down().await.unwrap();
    client.shut_down().await.unwrap();
    assert_eq!(soon(waits).await.unwrap().unwrap().map(|answer| answer.data), None);
    assert!(soon(live.next(None)).await.unwrap().is_none());
    assert!(soon(events.next(None)).await.unwrap().is_none());
    assert!(soon(status.next(None)).await.unwrap().is_none());

    // Also where something is held that nobody asks any more.
    let other = tempfile::tempdir().unwrap();
    let (other, held) = {
        let client = open(&other).await;
        let held = client.watch(LIST.into(), None).unwrap();
        (client, held)
    };
    let (events, status) = (other.events().unwrap(), other.watch_status().unwrap());
    status.next(None).await.unwrap();
    let (one, two) = tokio::join!(other.shut_down(), other.shut_down());
    one.and(two).unwrap();
    assert!(soon(events.next(None)).await.unwrap().is_none());
    while soon(status.next(None)).await.unwrap().is_some() {}
    drop(held);

    let closed = Some(TomboloError::Closed);
    assert_eq!(client.query(LIST.into(), None, None).await.err(), closed);
    assert_eq!(client.mutate(CREATE.into(), None).await.err(), closed);
    assert_eq!(client.transaction(Vec::new()).await.err(), closed);
    assert_eq!(client.watch(LIST.into(), None).err(), closed);
    assert_eq!(client.status().err(), closed);
    assert_eq!(client.watch_status().err(), closed);
    assert_eq!(client.events().err(), closed);
    assert_eq!(client.outbox(None).await.err(), closed);
    assert_eq!(client.mutations(MutationFilter::default(), None).await.err(), closed);
    assert_eq!(client.mutation(1).await.err(), closed);
    assert_eq!(client.outcome(1, None).await.err(), closed);
    assert_eq!(client.retry(1).await.err(), closed);
    assert_eq!(client.edit_and_retry(1, "{}".into()).await.err(), closed);
    assert_eq!(client.discard(1).await.err(), closed);
    assert_eq!(client.set_online(true).await.err(), closed);
    assert_eq!(client.sync_once(1, None).await.err(), closed);
    assert_eq!(client.scopes().err(), closed);
    assert_eq!(client.set_scope("Note".into(), None).await.err(), closed);
    assert_eq!(client.remove_scope("Note".into()).await.err(), closed);
    assert_eq!(client.suspend().await.err(), closed);
    assert_eq!(client.resume().await.err(), closed);
    assert_eq!(client.is_suspended().err(), closed);
    assert_eq!(client.salvage().err(), closed);
    assert_eq!(client.sign_out(SignOut::Discard, None).await.err(), closed);
}

#[tokio::test]
async fn two_who_look_at_one_live_query_take_turns_and_stop_wakes_both() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let live = client.watch(LIST.into(), None).unwrap();
    live.next(None).await.unwrap();
    let look = || {
        let live = Arc::clone(&live);
        tokio::spawn(async move { live.next(None).await.unwrap().map(|answer| answer.data) })
    };
    let (one, other) = (look(), look());
    create(&client, "a").await;
    let given = tokio::select! {
        first = one => (first.unwrap(), None),
        first = other => (first.unwrap(), None::<Vec<u8>>),
    };
    assert_eq!(given.0.unwrap(), br#"{"listNotes":{"items":[{"id":"a"}]}}"#);
    let third = look();
    live.stop();
    live.stop();
    assert_eq!(soon(third).await.unwrap(), None);
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_hundred_calls_at_once_are_each_answered_once() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100 {
        let client = Arc::clone(&client);
        calls.spawn(async move { create(&client, &format!("n{number}")).await });
    }
    let mut numbers = soon(calls.join_all()).await;
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 100);
    let filter = MutationFilter {
        states: vec![MutationState::Queued],
        key: Some("[\"n7\"]".into()),
        ..MutationFilter::default()
    };
    let found = client.mutations(filter, None).await.unwrap();
    assert_eq!(
        (found.len(), found[0].key.as_str(), found[0].values.contains("wet")),
        (1, "[\"n7\"]", true)
    );
    assert_eq!(client.outbox(None).await.unwrap().len(), 100);
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let operation = |id: &str| Operation {
        document: CREATE.into(),
        variables: Some(format!("{{\"id\":\"{id}\"}}")),
    };
    let twice = client.transaction(vec![operation("a"), operation("a")]).await;
    assert!(matches!(twice, Err(TomboloError::Refused { .. })));
    let unreadable = Operation {
        variables: Some("{".into()),
        ..operation("b")
    };
    assert!(matches!(
        client.transaction(vec![operation("a"), unreadable]).await,
        Err(TomboloError::Json { .. })
    ));
    assert!(client.outbox(None).await.unwrap().is_empty());
    let done = client.transaction(vec![operation("a"), operation("b")]).await.unwrap();
    assert_eq!((done.answers.len(), done.numbers.len()), (2, 2));
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn bad_arguments_are_errors_that_say_which_and_queue_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let Err(TomboloError::Json { detail }) = client.query(LIST.into(), Some("{\"id\":".into()), None).await else {
        panic!("half a JSON text is none")
    };
    assert!(detail.contains("`variables`"), "{detail}");
    assert!(matches!(
        client.query(LIST.into(), Some("[1]".into()), None).await,
        Err(TomboloError::Request { .. })
    ));
    let Err(TomboloError::Request { problems, .. }) = client
        .query("{ listNotes { items { colour } } }".into(), None, None)
        .await
    else {
        panic!("Note has no colour")
    };
    assert_eq!(
        (problems[0].line, problems[0].column),
        (Some(1), Some(23)),
        "{problems:?}"
    );
    assert!(matches!(
        client.mutate(LIST.into(), None).await,
        Err(TomboloError::Request { .. })
    ));
    let unknown = client
        .mutate("mutation { deleteNote(input: { id: \"none\" }) { id } }".into(), None)
        .await;
    assert!(matches!(unknown.err(), Some(TomboloError::UnknownRecord { model, .. }) if model == "Note"));
    assert!(
        matches!(client.set_scope("Boat".into(), None).await, Err(TomboloError::UnknownModel { model, .. }) if model == "Boat")
    );
    assert!(matches!(
        client.set_scope("Note".into(), Some("nonsense".into())).await,
        Err(TomboloError::Json { .. })
    ));
    assert!(matches!(
        client.retry(7).await,
        Err(TomboloError::UnknownMutation { number: 7, .. })
    ));
    assert!(matches!(
        client.set_online(true).await,
        Err(TomboloError::Incomplete { .. })
    ));
    let key = MutationFilter {
        key: Some("\"n1\"".into()),
        ..MutationFilter::default()
    };
    assert!(matches!(
        client.mutations(key, None).await,
        Err(TomboloError::Json { .. })
    ));
    assert!(client.outbox(None).await.unwrap().is_empty());
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn a_bad_configuration_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |change: fn(&mut ClientConfig)| {
        let mut config = config(&folder);
        change(&mut config);
        async move { Client::open(config, None).await.err().unwrap() }
    };
    assert!(matches!(
        wrong(|c| c.schema = "type {".into()).await,
        TomboloError::Schema { .. }
    ));
    assert!(matches!(
        wrong(|c| c.url = Some("ftp://x".into())).await,
        TomboloError::Endpoint { .. }
    ));
    assert!(matches!(
        wrong(|c| c.path = "/nowhere/at/all.db".into()).await,
        TomboloError::Open { .. }
    ));
    assert!(matches!(
        wrong(|c| c.account = Some(String::new())).await,
        TomboloError::Incomplete { .. }
    ));
    let mqtt = |c: &mut ClientConfig| {
        c.transports = vec![tombolo_ffi::Transport::Mqtt { url: "http://x".into() }];
    };
    assert!(matches!(wrong(mqtt).await, TomboloError::Endpoint { .. }));
    let scope = |c: &mut ClientConfig| {
        c.scopes = Some(vec![ScopeConfig {
            model: "Note".into(),
            filter: Some("{".into()),
        }]);
    };
    assert!(matches!(wrong(scope).await, TomboloError::Json { .. }));
    // A file of another account is told apart from every other trouble.
    let mut ada = config(&folder);
    ada.account = Some("ada".into());
    Client::open(ada, None).await.unwrap().shut_down().await.unwrap();
    assert!(matches!(
        wrong(|c| c.account = Some("bob".into())).await,
        TomboloError::WrongAccount { .. }
    ));
}

#[tokio::test]
async fn suspended_calls_are_refused_and_live_queries_wait() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let live = client.watch(LIST.into(), None).unwrap();
    live.next(None).await.unwrap();
    client.suspend().await.unwrap();
    assert!(client.is_suspended().unwrap());
    assert_eq!(
        client.query(LIST.into(), None, None).await.err(),
        Some(TomboloError::Suspended)
    );
    client.resume().await.unwrap();
    create(&client, "a").await;
    assert!(soon(live.next(None)).await.unwrap().is_some());
    assert_eq!(client.status().unwrap().link, LinkStatus::Offline);
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn events_that_a_slow_app_missed_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let events = client.events().unwrap();
    for number in 0..300 {
        let number = create(&client, &format!("n{number}")).await;
        client.discard(number).await.unwrap();
    }
    let Some(Event::Missed { count }) = soon(events.next(None)).await.unwrap() else {
        panic!("256 are kept")
    };
    assert_eq!(count, 300 - 256);
    assert!(matches!(
        soon(events.next(None)).await.unwrap(),
        Some(Event::Decided {
            outcome: Outcome::Discarded,
            ..
        })
    ));
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn sign_out_ends_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let mut ada = config(&folder);
    ada.account = Some("ada".into());
    let client = Client::open(ada, None).await.unwrap();
    create(&client, "a").await;
    let signed_out = client.sign_out(SignOut::KeepSealed, None).await.unwrap();
    assert_eq!((signed_out.sent, signed_out.kept, signed_out.discarded), (0, 1, 0));
    assert_eq!(
        client.query(LIST.into(), None, None).await.err(),
        Some(TomboloError::SignedOut)
    );
    client.shut_down().await.unwrap();
}

#[tokio::test]
async fn records_are_saved_found_and_observed_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(&folder).await;
    let changes = client.observe("Note".into(), None, false).await.unwrap();
    let live = client.watch_find(all("Note")).unwrap();
    assert_eq!(
        live.next(None).await.unwrap().unwrap().data,
        br#"{"items":[],"nextToken":null}"#
    );
    let save = |record: &str| client.save("Note".into(), record.into(), None, None);
    let saved = save(r#"{"id":"a","text":"wet"}"#).await.unwrap();
    assert_eq!((saved.saved_as, saved.number.is_some()), (SavedAs::Created, true));
    assert!(
        soon(live.next(None))
            .await
            .unwrap()
            .unwrap()
            .data
            .starts_with(br#"{"items":[{"id":"a""#)
    );
    let change = soon(changes.next(None)).await.unwrap().unwrap();
    assert_eq!(
        (change.kind, change.key.as_str()),
        (RecordChangeKind::Created, r#"{"id":"a"}"#)
    );
    assert_eq!(
        save(r#"{"id":"a","text":"wet"}"#).await.unwrap().saved_as,
        SavedAs::Unchanged
    );
    assert_eq!(
        save(r#"{"id":"a","text":"dry"}"#).await.unwrap().saved_as,
        SavedAs::Updated
    );
    save(r#"{"id":"b","text":"dry"}"#).await.unwrap();
    let sorted = FindQuery {
        sort: vec![SortStep {
            field: "id".into(),
            descending: true,
        }],
        limit: Some(1),
        ..all("Note")
    };
    let found = client.find(sorted, None).await.unwrap();
    assert!(found.data.starts_with(br#"{"items":[{"id":"b""#) && found.next_token.is_some());
    let key = || r#"{"id":"a"}"#.to_owned();
    assert!(
        client
            .get("Note".into(), key(), None)
            .await
            .unwrap()
            .unwrap()
            .contains("dry")
    );
    client.delete("Note".into(), key(), None).await.unwrap();
    assert_eq!(client.get("Note".into(), key(), None).await.unwrap(), None);

    assert!(matches!(
        client.find(all("Boat"), None).await,
        Err(TomboloError::UnknownModel { .. })
    ));
    assert!(matches!(save("{").await, Err(TomboloError::Json { .. })));
    let waits = tokio::spawn(async move { while let Some(_change) = changes.next(None).await.unwrap() {} });
    client.shut_down().await.unwrap();
    soon(waits).await.unwrap();
}

fn all(model: &str) -> FindQuery {
    FindQuery {
        model: model.into(),
        filter: None,
        sort: Vec::new(),
        limit: None,
        offset: 0,
        token: None,
    }
}
