//! An open link between a phone and the server of a test.

use std::collections::VecDeque;
use std::sync::Arc;

use tombolo_core::wire::graphql::{GraphqlError, Request};
use tombolo_engine::Subscriber;
use tombolo_transport::limits::OUTGOING_MESSAGES_MAX;
use tombolo_transport::{BoxFuture, CloseReason, Incoming, Link, OperationId, Outgoing, SendError};

use crate::Network;
use crate::backend::{Backend, Reply};

pub(crate) struct TestLink {
    server: Arc<Backend>,
    network: Network,
    /// The network's cuts when the link was opened: one more ends it.
    cuts: u64,
    feeds: Vec<(OperationId, Box<Subscriber>)>,
    ready: VecDeque<Incoming>,
    closed: Option<CloseReason>,
}

impl TestLink {
    pub(crate) fn new(server: Arc<Backend>, network: Network) -> Self {
        Self {
            cuts: network.cuts(),
            server,
            network,
            feeds: Vec::new(),
            ready: VecDeque::new(),
            closed: None,
        }
    }

    /// Notes that the network has cut the link, if it has.
    fn check(&mut self) {
        if self.closed.is_none() && self.network.cuts() != self.cuts {
            let lost = CloseReason::Unreachable {
                detail: "the test cut the link".into(),
            };
            self.end(self.network.closed().unwrap_or(lost));
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.closed.get_or_insert(reason);
        self.feeds.clear();
        self.ready.clear();
    }

    fn start(&mut self, id: OperationId, request: &Request) {
        match self.server.ask(request) {
            Ok(Reply::Once { response, mutation }) => {
                if mutation && self.network.loses_answer() {
                    self.check();
                    return;
                }
                self.ready.push_back(Incoming::Next { id, payload: response });
                self.ready.push_back(Incoming::Complete { id });
            }
            Ok(Reply::Stream(subscriber)) => {
                let network = self.network.clone();
                subscriber.set_waker(Arc::new(move || network.wake()));
                self.feeds.push((id, subscriber));
            }
            Err(errors) => self.failed(id, errors),
        }
    }

    fn failed(&mut self, id: OperationId, errors: Vec<GraphqlError>) {
        self.ready.push_back(Incoming::Failed { id, errors });
    }

    /// Takes one payload from each feed that has one.
    fn pump(&mut self) {
        let mut over = Vec::new();
        for (id, subscriber) in &mut self.feeds {
            match self.server.next(subscriber) {
                Ok(Some(payload)) => self.ready.push_back(Incoming::Next { id: *id, payload }),
                Ok(None) => {}
                Err(errors) => over.push((*id, errors)),
            }
        }
        for (id, errors) in over {
            self.feeds.retain(|(feed, _)| *feed != id);
            self.failed(id, errors);
        }
    }

    async fn next(&mut self) -> Incoming {
        loop {
            let network = self.network.clone();
            // Made before looking, so that nothing which happens in between is missed.
            let changed = network.changed();
            self.check();
            if let Some(reason) = &self.closed {
                return Incoming::Closed(reason.clone());
            }
            if self.ready.is_empty() {
                self.pump();
            }
            if self.ready.is_empty() {
                changed.await;
                continue;
            }
            let delay = self.network.delay();
            if !delay.is_zero() {
                // The message stays in the queue meanwhile: a receiver that gives up loses nothing.
                tokio::time::sleep(delay).await;
                self.check();
            }
            if let Some(message) = self.ready.pop_front() {
                return message;
            }
        }
    }
}

impl Link for TestLink {
    fn send(&mut self, message: Outgoing) -> Result<(), SendError> {
        self.check();
        if let Some(reason) = &self.closed {
            return Err(SendError::Closed(reason.clone()));
        }
        if self.ready.len() >= OUTGOING_MESSAGES_MAX {
            return Err(SendError::Full);
        }
        match message {
            Outgoing::Start { id, request } => self.start(id, &request),
            Outgoing::Stop { id } => self.feeds.retain(|(feed, _)| *feed != id),
        }
        Ok(())
    }

    fn receive(&mut self) -> BoxFuture<'_, Incoming> {
        Box::pin(self.next())
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.end(CloseReason::Local);
        Box::pin(std::future::ready(()))
    }

    fn transport(&self) -> &'static str {
        "testing"
    }
}
