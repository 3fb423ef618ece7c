//! Panics of the client's own threads: told, contained, and nothing that was committed is lost.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{CREATE, Server, read, until};
use serde_json::json;
use tombolo::transport::{BoxFuture, CloseReason, Credential, Link, Transport};
use tombolo::{Builder, LinkStatus};
use tombolo_core::wire::graphql::Request;

const IDS: &str = "{ listNotes { items { id } } }";

/// What was told, by a builder that tells it.
fn telling(builder: Builder) -> (Builder, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let teller = Arc::clone(&told);
    (
        builder.on_panic(move |words| teller.lock().unwrap().push(words.to_owned())),
        told,
    )
}

/// A way to the server that panics where the task of the link asks it how it is.
struct Faulty {
    server: Server,
    panics: Arc<AtomicUsize>,
}

impl Transport for Faulty {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        self.server.open(credential)
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        self.server.request(credential, request)
    }

    fn received(&self) -> u64 {
        let left = |panics: usize| panics.checked_sub(1);
        let panics = self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        assert!(panics.is_err(), "a fault on purpose");
        0
    }
}

#[tokio::test]
async fn the_task_of_the_link_goes_on_after_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let panics = Arc::new(AtomicUsize::new(3));
    let faulty = Faulty {
        server: server.clone(),
        panics: Arc::clone(&panics),
    };
    let (builder, told) = telling(server.client(folder.path()).transport(faulty));
    let client = builder.open().await.unwrap();
    client.mutate(CREATE, json!({ "id": "a", "text": "t" })).await.unwrap();
    until(&client, |status| {
        status.link == LinkStatus::Live && status.pending == 0 && status.up_to_date
    })
    .await;
    assert_eq!((server.applied(), panics.load(Ordering::SeqCst)), (1, 0));
    assert_eq!(*told.lock().unwrap(), ["the task of the link: a fault on purpose"; 3]);
    client.close().await;
}

#[tokio::test]
async fn where_the_thread_that_writes_panics_the_client_is_closed_and_the_file_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::new();
    let fault = Arc::new(AtomicUsize::new(0));
    let faults = Arc::clone(&fault);
    let (builder, told) = telling(server.client(folder.path()).offline(true));
    let client = builder
        .clock(move || {
            let writes = std::thread::current().name() == Some("tombolo-writer");
            assert!(!writes || faults.load(Ordering::SeqCst) == 0, "no time for that");
            tombolo::Now {
                monotonic: Duration::ZERO,
                wall_ms: 0,
            }
        })
        .open()
        .await
        .unwrap();
    client.mutate(CREATE, json!({ "id": "a", "text": "t" })).await.unwrap();
    let mut watch = client.watch(IDS, json!(null)).unwrap();
    watch.next().await.unwrap().unwrap();
    fault.store(1, Ordering::SeqCst);
    let lost = client.mutate(CREATE, json!({ "id": "b", "text": "t" })).await;
    assert_eq!(lost.unwrap_err().code(), "closed");
    assert!(watch.next().await.is_none(), "live queries end");
    assert_eq!(client.query(IDS, json!(null)).await.unwrap_err().code(), "closed");
    assert_eq!(*told.lock().unwrap(), ["the thread that writes: no time for that"]);
    client.close().await;
    let again = server.client(folder.path()).offline(true).open().await.unwrap();
    assert_eq!(read(&again, IDS).await["listNotes"]["items"], json!([{ "id": "a" }]));
    assert_eq!(again.outbox().await.unwrap().len(), 1);
    again.close().await;
}
