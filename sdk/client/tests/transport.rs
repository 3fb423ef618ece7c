//! A transport of one's own needs the crate `tombolo` and nothing else of ours.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tombolo::transport::{BoxFuture, CloseReason, Credential, Link, Request, Transport};
use tombolo::{Client, LinkStatus};

/// A network that is never there, and counts who asked and how often it was told to rest.
#[derive(Clone, Default)]
struct NoNetwork {
    asked: Arc<AtomicUsize>,
    rested: Arc<AtomicUsize>,
}

impl NoNetwork {
    fn refuse<T: Send + 'static>(&self) -> BoxFuture<'static, Result<T, CloseReason>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(Err(CloseReason::Unreachable {
            detail: "no network".into(),
        })))
    }
}

impl Transport for NoNetwork {
    fn open<'a>(&'a self, _credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        self.refuse()
    }

    fn request<'a>(
        &'a self,
        _credential: &'a Credential,
        _request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        self.refuse()
    }

    fn rest(&self) {
        self.rested.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_transport_of_ones_own_is_asked_for_links_and_told_to_rest() {
    let folder = tempfile::tempdir().unwrap();
    let network = NoNetwork::default();
    let client = Client::builder()
        .schema("type Note @model { id: ID! }")
        .path(folder.path().join("replica.db"))
        .transport(network.clone())
        .open()
        .await
        .unwrap();
    let mut status = client.status();
    let waits = status.wait_for(|status| status.link == LinkStatus::Waiting);
    drop(
        tokio::time::timeout(Duration::from_secs(20), waits)
            .await
            .unwrap()
            .unwrap(),
    );
    assert!(network.asked.load(Ordering::SeqCst) > 0);
    assert_eq!(network.rested.load(Ordering::SeqCst), 0);
    client.suspend().await.unwrap();
    assert_eq!(network.rested.load(Ordering::SeqCst), 1);
    client.close().await;
}
