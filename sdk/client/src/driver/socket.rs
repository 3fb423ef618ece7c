//! An open socket and the operations on it.

use std::collections::{HashMap, VecDeque};

use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::graphql::Request;
use tombolo_machine::{AnswerBody, FeedNumber, Input, ScopeCursor, messages};
use tombolo_transport::{CloseReason, Incoming, Link, OperationId, Outgoing, SendError};

use super::page_input;

pub(super) struct Socket {
    link: Box<dyn Link>,
    next: u64,
    operations: HashMap<OperationId, Operation>,
    /// What the link has no room for yet. Bounded by the machine's window.
    waiting: VecDeque<Outgoing>,
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Feed(FeedNumber),
    Page(FeedNumber),
    Mutation(MutationNumber),
}

impl Socket {
    pub(super) fn new(link: Box<dyn Link>) -> Self {
        Self {
            link,
            next: 0,
            operations: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn subscribe(&mut self, feed: FeedNumber, replica: &ReplicaId, scopes: &[ScopeCursor]) {
        self.start(Operation::Feed(feed), messages::subscription(replica, scopes));
    }

    pub(super) fn unsubscribe(&mut self, feed: FeedNumber) {
        let found = self
            .operations
            .iter()
            .find(|(_, operation)| **operation == Operation::Feed(feed));
        if let Some(id) = found.map(|(id, _)| *id) {
            self.operations.remove(&id);
            self.waiting.push_back(Outgoing::Stop { id });
            self.send_waiting();
        }
    }

    pub(super) fn mutate(&mut self, number: MutationNumber, request: Request) {
        self.start(Operation::Mutation(number), request);
    }

    pub(super) fn fetch(&mut self, feed: FeedNumber, scope: &ScopeCursor, rows: u64) {
        self.start(Operation::Page(feed), messages::page(scope, rows));
    }

    pub(super) async fn receive(&mut self) -> Incoming {
        self.link.receive().await
    }

    pub(super) async fn close(&mut self) {
        self.link.close().await;
    }

    fn start(&mut self, operation: Operation, request: Request) {
        self.next += 1;
        let id = OperationId(self.next);
        self.operations.insert(id, operation);
        self.waiting.push_back(Outgoing::Start { id, request });
        self.send_waiting();
    }

    fn send_waiting(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            match self.link.send(message.clone()) {
                Ok(()) => {}
                Err(SendError::Full) => {
                    self.waiting.push_front(message);
                    return;
                }
                // The link says why when it is next listened to.
                Err(SendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }

    /// A message in the machine's terms. An error ends the link.
    pub(super) fn read(&mut self, message: Incoming) -> Result<Option<Input>, CloseReason> {
        self.send_waiting();
        Ok(match message {
            Incoming::Next { id, payload } => match self.operations.get(&id).copied() {
                Some(Operation::Feed(feed)) => Some(page_input(feed, messages::read_page(&payload))?),
                Some(Operation::Page(feed)) => {
                    self.operations.remove(&id);
                    Some(page_input(feed, messages::read_page(&payload))?)
                }
                Some(Operation::Mutation(number)) => {
                    self.operations.remove(&id);
                    Some(Input::Answers(vec![(number, messages::read_answer(&payload))]))
                }
                // Answered or ended already.
                None => None,
            },
            Incoming::Failed { id, errors } => self.operations.remove(&id).map(|operation| match operation {
                Operation::Feed(feed) | Operation::Page(feed) => Input::FeedRefused { feed, errors },
                Operation::Mutation(number) => Input::Answers(vec![(number, AnswerBody::Undecided(errors))]),
            }),
            Incoming::Complete { id } => self.operations.remove(&id).map(|operation| match operation {
                Operation::Feed(feed) | Operation::Page(feed) => Input::FeedRefused {
                    feed,
                    errors: Vec::new(),
                },
                Operation::Mutation(number) => Input::Answers(vec![(number, AnswerBody::Undecided(Vec::new()))]),
            }),
            Incoming::Closed(reason) => return Err(reason),
        })
    }
}
