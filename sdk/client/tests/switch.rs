//! Another transport while the client is open: nothing lost, nothing doubled, whatever the client is doing.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{CREATE, PATIENCE, Server, read, settle, until};
use serde_json::json;
use tombolo::transport::{
    BoxFuture, CloseReason, Credential, Fallback, Incoming, Link, Outgoing, Request, SendError, Transport, fallback,
};
use tombolo::{Client, Error, Event, LinkStatus};

/// A way to the server with a name, that counts its links and how they end.
#[derive(Clone)]
struct Via {
    name: &'static str,
    server: Server,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    /// Said goodbye on.
    closed: AtomicUsize,
    open: AtomicUsize,
}

impl Via {
    fn new(name: &'static str, server: &Server) -> Self {
        Self {
            name,
            server: server.clone(),
            counts: Arc::default(),
        }
    }

    fn opened(&self) -> usize {
        self.counts.opened.load(Ordering::SeqCst)
    }

    fn open_now(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }
}

impl Transport for Via {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        Box::pin(async move {
            let inner = self.server.open(credential).await?;
            self.counts.opened.fetch_add(1, Ordering::SeqCst);
            self.counts.open.fetch_add(1, Ordering::SeqCst);
            let link = ViaLink {
                inner,
                via: self.clone(),
            };
            Ok(Box::new(link) as Box<dyn Link>)
        })
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        self.server.request(credential, request)
    }
}

struct ViaLink {
    inner: Box<dyn Link>,
    via: Via,
}

impl Link for ViaLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        self.inner.send(message)
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        self.inner.receive()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.via.counts.closed.fetch_add(1, Ordering::SeqCst);
        self.inner.close()
    }

    fn transport(&self) -> &'static str {
        self.via.name
    }
}

impl Drop for ViaLink {
    fn drop(&mut self) {
        self.via.counts.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn create(client: &Client, id: &str) {
    client.mutate(CREATE, json!({ "id": id, "text": "t" })).await.unwrap();
}

/// Waits until all is settled over `name`.
async fn settles_by(client: &Client, name: &str) {
    until(client, |status| {
        status.up_to_date && status.pending == 0 && status.transport == Some(name)
    })
    .await;
}

/// Everything made has taken effect once, on the server and here.
async fn all_once(client: &Client, server: &Server, made: usize) {
    assert_eq!(server.applied(), made as u64);
    assert_eq!(client.status().borrow().rejected, 0);
    let notes = read(client, "{ listNotes(limit: 10000) { items { id _version } } }").await;
    let notes = notes["listNotes"]["items"].as_array().unwrap().clone();
    assert_eq!(notes.len(), made);
    assert!(notes.iter().all(|note| note["_version"] == 1), "{notes:?}");
}

#[tokio::test]
async fn a_switch_in_mid_queue_loses_nothing_and_doubles_nothing() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let ways = [Via::new("one", &server), Via::new("two", &server)];
    let client = server
        .client(folder.path())
        .transport(ways[0].clone())
        .open()
        .await
        .unwrap();
    let mut events = client.events();
    let mut made = 0;
    for round in 0..12 {
        // Answers of some are lost with the link that is closed.
        server.set(|b| b.lose_answers = round % 3);
        for _ in 0..25 {
            create(&client, &format!("n{made:03}")).await;
            made += 1;
        }
        client
            .set_transport(ways[(round as usize + 1) % 2].clone())
            .await
            .unwrap();
    }
    settles_by(&client, "one").await;
    all_once(&client, &server, made).await;
    let mut decided = std::collections::BTreeMap::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Decided { number, .. } = event {
            *decided.entry(number).or_insert(0) += 1;
        }
    }
    assert!(decided.values().all(|times| *times == 1), "each ends once: {decided:?}");
    for way in &ways {
        assert!(way.opened() > 0);
        assert!(way.open_now() <= 1);
    }
    assert_eq!(ways[1].open_now(), 0, "the link before is gone");
    client.close().await;
}

#[tokio::test]
async fn the_link_before_is_closed_in_order_and_the_status_tells_by_what_the_next_goes() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (one, two) = (Via::new("one", &server), Via::new("two", &server));
    let client = server
        .client(folder.path())
        .transport(one.clone())
        .offline(true)
        .open()
        .await
        .unwrap();
    assert_eq!(client.status().borrow().transport, None);
    client.set_online(true).await.unwrap();
    settles_by(&client, "one").await;
    client.set_transport(two.clone()).await.unwrap();
    settles_by(&client, "two").await;
    assert_eq!((one.counts.closed.load(Ordering::SeqCst), one.open_now()), (1, 0));
    assert_eq!((one.opened(), two.opened()), (1, 1));
    client.set_online(false).await.unwrap();
    assert_eq!(client.status().borrow().transport, None);
    // Where no socket gets through.
    server.set(|b| b.sockets = false);
    client.set_online(true).await.unwrap();
    settles_by(&client, "http").await;
    client.close().await;
}

#[tokio::test]
async fn two_switches_in_a_row_and_many_at_once_leave_the_last_and_hold_nothing_up() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (one, two) = (Via::new("one", &server), Via::new("two", &server));
    let client = server
        .client(folder.path())
        .transport(one.clone())
        .open()
        .await
        .unwrap();
    let mut events = client.events();
    let mut made = 0;
    for round in 0..40 {
        create(&client, &format!("n{made:03}")).await;
        made += 1;
        if round % 4 == 0 {
            // The link comes up between the two now and then.
            tokio::task::yield_now().await;
        }
        let (first, second) = tokio::join!(client.set_transport(one.clone()), client.set_transport(two.clone()));
        first.unwrap();
        second.unwrap();
        if round % 5 == 0 {
            settles_by(&client, "two").await;
        }
    }
    settles_by(&client, "two").await;
    all_once(&client, &server, made).await;
    assert_eq!((one.open_now(), two.open_now()), (0, 1));
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::Stalled));
    }
    client.close().await;
}

#[tokio::test]
async fn offline_and_suspended_it_holds_for_the_next_link() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let ways: Vec<Via> = ["one", "two", "three"].map(|name| Via::new(name, &server)).into();
    let client = server
        .client(folder.path())
        .transport(ways[0].clone())
        .offline(true)
        .open()
        .await
        .unwrap();
    create(&client, "a").await;
    client.set_transport(ways[1].clone()).await.unwrap();
    assert_eq!(client.status().borrow().link, LinkStatus::Offline);
    client.set_online(true).await.unwrap();
    settles_by(&client, "two").await;
    client.suspend().await.unwrap();
    assert_eq!(ways[1].open_now(), 0);
    client.set_transport(ways[2].clone()).await.unwrap();
    assert!(client.is_suspended() && ways[2].opened() == 0);
    client.resume().await.unwrap();
    create(&client, "b").await;
    settles_by(&client, "three").await;
    assert_eq!(ways.iter().map(Via::opened).collect::<Vec<_>>(), [0, 1, 1]);
    all_once(&client, &server, 2).await;
    client.close().await;
}

#[tokio::test]
async fn from_within_a_live_query_and_while_its_answers_come() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let ways = [Via::new("one", &server), Via::new("two", &server)];
    let client = server
        .client(folder.path())
        .transport(ways[0].clone())
        .open()
        .await
        .unwrap();
    let mut watch = client
        .watch("{ listNotes(limit: 1000) { items { id } } }", json!(null))
        .unwrap();
    let mut switches = 0;
    let watching = async {
        loop {
            let answer = watch.next().await.unwrap().unwrap();
            switches += 1;
            client.set_transport(ways[switches % 2].clone()).await.unwrap();
            if answer.data().matches("\"id\"").count() == 60 {
                return;
            }
        }
    };
    let writing = async {
        for i in 0..30 {
            create(&client, &format!("mine{i}")).await;
            server.write("Note", json!({ "id": format!("theirs{i}"), "text": "t" }));
            tokio::task::yield_now().await;
        }
    };
    let both = async { tokio::join!(watching, writing) };
    tokio::time::timeout(PATIENCE, both).await.unwrap();
    settle(&client).await;
    assert!(switches > 1);
    assert_eq!(server.applied(), 30);
    client.close().await;
}

#[tokio::test]
async fn a_link_that_is_waited_for_or_was_refused_is_tried_at_once_by_the_new_transport() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let (unreachable, refuses) = (Server::new(), Server::new());
    unreachable.set(|b| b.reachable = false);
    refuses.set(|b| b.key = "another".into());
    let client = unreachable.client(folder.path()).open().await.unwrap();
    create(&client, "a").await;
    until(&client, |status| status.link == LinkStatus::Waiting).await;
    client.set_transport(refuses.clone()).await.unwrap();
    until(&client, |status| status.link == LinkStatus::Paused).await;
    client.set_transport(Via::new("right", &server)).await.unwrap();
    settles_by(&client, "right").await;
    all_once(&client, &server, 1).await;
    client.close().await;
}

#[tokio::test]
async fn a_client_without_a_way_to_the_server_is_given_one() {
    for offline in [false, true] {
        let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
        let client = Client::builder()
            .schema(common::SCHEMA)
            .path(folder.path().join("replica.db"))
            .api_key("dev-key")
            .offline(offline)
            .open()
            .await
            .unwrap();
        create(&client, "a").await;
        assert!(matches!(client.set_online(true).await, Err(Error::Incomplete(_))));
        client.set_transport(Via::new("late", &server)).await.unwrap();
        if offline {
            assert_eq!(client.status().borrow().link, LinkStatus::Offline);
            client.set_online(true).await.unwrap();
        }
        settles_by(&client, "late").await;
        all_once(&client, &server, 1).await;
        client.close().await;
    }
}

#[tokio::test]
async fn a_client_whose_link_another_has_takes_it_over_by_its_new_transport() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let ways: Vec<Via> = ["app", "old", "new"].map(|name| Via::new(name, &server)).into();
    let app = server
        .client(folder.path())
        .transport(ways[0].clone())
        .open()
        .await
        .unwrap();
    settles_by(&app, "app").await;
    let extension = server
        .client(folder.path())
        .transport(ways[1].clone())
        .open()
        .await
        .unwrap();
    create(&extension, "a").await;
    extension.set_transport(ways[2].clone()).await.unwrap();
    let status = extension.status().borrow().clone();
    assert_eq!((status.link, status.transport), (LinkStatus::Elsewhere, None));
    until(&extension, |status| status.pending == 0).await;
    assert_eq!(app.status().borrow().transport, Some("app"), "not touched by it");
    app.suspend().await.unwrap();
    create(&extension, "b").await;
    settles_by(&extension, "new").await;
    assert_eq!(ways.iter().map(Via::opened).collect::<Vec<_>>(), [1, 0, 1]);
    all_once(&extension, &server, 2).await;
    extension.close().await;
    app.close().await;
}

#[tokio::test]
async fn a_closed_client_takes_none() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let client = server.client(folder.path()).open().await.unwrap();
    client.clone().close().await;
    assert!(matches!(client.set_transport(server).await, Err(Error::Closed)));
}

#[tokio::test]
async fn of_several_transports_that_is_taken_which_is_not_blocked() {
    let (folder, server) = (tempfile::tempdir().unwrap(), Server::new());
    let blocked = Server::new();
    blocked.set(|b| (b.sockets, b.http) = (false, false));
    let client = server
        .client(folder.path())
        .transport(Via::new("blocked", &blocked))
        .fallback(Via::new("open", &server))
        .open()
        .await
        .unwrap();
    create(&client, "a").await;
    settles_by(&client, "open").await;
    all_once(&client, &server, 1).await;
    // And by `set_transport`, with a look at the first choice that does not wait for minutes.
    let (first, second) = (Server::new(), Via::new("second", &server));
    first.set(|b| b.reachable = false);
    let timing = fallback::Timing {
        return_after: std::time::Duration::from_millis(50),
        ..fallback::Timing::default()
    };
    let ways = Fallback::new(Via::new("first", &first)).or(second).with_timing(timing);
    client.set_transport(ways).await.unwrap();
    settles_by(&client, "second").await;
    first.set(|b| b.reachable = true);
    create(&client, "b").await;
    until(&client, |status| status.transport == Some("first")).await;
    client.close().await;
}

/// A machine gives up a link that it waits for; by then every way must have had its turn.
#[test]
fn every_way_is_tried_before_the_machine_loses_patience() {
    use tombolo::transport::limits::{FALLBACK_OPEN_MAX, FALLBACK_SILENT_AFTER};
    use tombolo_machine::limits::NO_PROGRESS_MAX;
    assert!(FALLBACK_OPEN_MAX < NO_PROGRESS_MAX);
    assert!(FALLBACK_SILENT_AFTER < NO_PROGRESS_MAX);
}
