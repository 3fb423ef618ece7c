//! What happens by itself: messages, commits, timers, one at a time, in an order that the seed gives.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;
use tombolo_core::id::MutationNumber;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_core::wire::envelope::{MutationAnswer, OutcomeKind};
use tombolo_core::wire::graphql::GraphqlError;
use tombolo_machine::{AnswerBody, FeedNumber, Input};

use super::{Broken, Held, World};
use crate::oracle::{self, Decided};
use crate::replica::{ToServer, Wire};
use crate::server::Sent;

/// What one step of the world can be.
#[derive(Clone, Copy, Debug)]
enum Action {
    Open(usize),
    ServerReceives(usize),
    ReplicaReceives(usize),
    Wake(usize),
    Commit,
    Pump(u64, FeedNumber),
}

impl World {
    /// One thing that is due, chosen by the seed; false if nothing is.
    pub(super) fn step(&mut self) -> Result<bool, Broken> {
        let due = self.due();
        let Some(action) = due.get(self.rng.usize(0..due.len().max(1))).copied() else {
            return Ok(false);
        };
        self.report.steps += 1;
        self.tell(|| format!("  {:?} {action:?}", self.clock));
        match action {
            Action::Open(index) => {
                let session = self.next_session;
                self.next_session += 1;
                self.replica(index)?.wire = Wire::Up {
                    session,
                    to_server: VecDeque::new(),
                    to_replica: VecDeque::new(),
                };
                self.input(index, Input::LinkOpened)?;
            }
            Action::ServerReceives(index) => self.server_receives(index)?,
            Action::ReplicaReceives(index) => self.replica_receives(index)?,
            Action::Wake(index) => {
                self.replica(index)?.wake_at = None;
                self.input(index, Input::Wake)?;
            }
            Action::Commit => self.commit()?,
            Action::Pump(session, feed) => {
                if let Some(sent) = self.server()?.pump(session, feed) {
                    self.deliver(session, sent);
                }
            }
        }
        Ok(true)
    }

    fn due(&self) -> Vec<Action> {
        let mut due = Vec::new();
        for (index, replica) in self.replicas.iter().enumerate() {
            let Some(replica) = replica else { continue };
            match &replica.wire {
                Wire::Down => {}
                Wire::Opening => due.push(Action::Open(index)),
                Wire::Up {
                    to_server, to_replica, ..
                } => {
                    if !to_server.is_empty() {
                        due.push(Action::ServerReceives(index));
                    }
                    if !to_replica.is_empty() {
                        due.push(Action::ReplicaReceives(index));
                    }
                }
            }
            if replica.wake_at.is_some_and(|at| at <= self.clock) {
                due.push(Action::Wake(index));
            }
        }
        if let Some(server) = &self.server {
            if server.has_waiting() {
                due.push(Action::Commit);
            }
            due.extend(
                server
                    .woken()
                    .into_iter()
                    .map(|(session, feed)| Action::Pump(session, feed)),
            );
        }
        due
    }

    fn deliver(&mut self, to: u64, sent: Sent) {
        self.tell(|| format!("    to session {to}: {sent}"));
        for replica in self.replicas.iter_mut().flatten() {
            if let Wire::Up {
                session, to_replica, ..
            } = &mut replica.wire
                && *session == to
            {
                to_replica.push_back(sent);
                return;
            }
        }
        // The session is gone, and the message with it.
        self.count("messages lost");
    }

    fn server_receives(&mut self, index: usize) -> Held {
        let replica = self.replica(index)?;
        let Wire::Up { session, to_server, .. } = &mut replica.wire else {
            return Ok(());
        };
        let session = *session;
        let Some(message) = to_server.pop_front() else {
            return Ok(());
        };
        match message {
            ToServer::Subscribe { feed, replica, scopes } => {
                if let Err(sent) = self.server()?.receive_subscribe(session, &replica.0, feed, &scopes) {
                    self.deliver(session, sent);
                }
            }
            ToServer::Unsubscribe { feed } => self.server()?.receive_unsubscribe(session, feed),
            ToServer::Mutation { number, request } => {
                self.replica(index)?.last_request = Some((number, request.clone()));
                let received = self.server()?.receive_mutation(session, number.0, &request);
                received.map_err(|detail| self.broken("no request is malformed", detail))?;
            }
            ToServer::FetchPage { feed, scope } => {
                let sent = self.server()?.receive_page(feed, &scope);
                self.deliver(session, sent);
            }
        }
        Ok(())
    }

    fn replica_receives(&mut self, index: usize) -> Held {
        let Wire::Up { to_replica, .. } = &mut self.replica(index)?.wire else {
            return Ok(());
        };
        let Some(sent) = to_replica.pop_front() else {
            return Ok(());
        };
        let input = match sent {
            Sent::Answer { number, response } => {
                let response: Response = self.read(&response)?;
                let answer = match response.extensions.map(|e| e.tombolo) {
                    Some(answer) => AnswerBody::Outcomes(answer),
                    None => AnswerBody::Undecided(response.errors),
                };
                Input::Answers(vec![(MutationNumber(number), answer)])
            }
            Sent::Batch { feed, response } => {
                let response: Response = self.read(&response)?;
                match response.data.and_then(|d| d.batch) {
                    Some(batch) => Input::Batch { feed, batch },
                    None => Input::FeedRefused {
                        feed,
                        errors: response.errors,
                    },
                }
            }
            Sent::FeedRefused { feed, errors } => {
                self.count("feeds refused");
                Input::FeedRefused { feed, errors }
            }
        };
        self.input(index, input)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Response, Broken> {
        serde_json::from_slice(bytes).map_err(|error| {
            self.broken(
                "every answer can be read",
                format!("{error}: {}", String::from_utf8_lossy(bytes)),
            )
        })
    }

    /// The server's writer takes what is waiting.
    fn commit(&mut self) -> Held {
        // The server's clock on the wall jumps now and then, also back.
        let jump = if self.rng.u8(0..16) == 0 {
            self.rng.i64(-7_200_000..7_200_000)
        } else {
            0
        };
        let now_ms = self.clock.as_millis() as i64 + 1_700_000_000_000 + jump;
        let (decided, sent) = self.server()?.commit(now_ms);
        self.count("server commits");
        for (submission, verdict) in decided {
            let Some(envelope) = submission.envelope else { continue };
            let Some(index) = envelope
                .replica
                .0
                .strip_prefix("replica-")
                .and_then(|n| n.parse::<usize>().ok())
            else {
                continue;
            };
            if verdict.undecided.is_some() {
                self.count("mutations undecided");
            }
            for result in verdict.results {
                let number = result.number.map_or(0, |n| n.0);
                let now = Decided {
                    outcome: result.outcome,
                    position: result.position,
                };
                let before = self.decided.get(&(index, number));
                oracle::no_double_effect(before, &now, result.change.is_some(), number)
                    .map_err(|detail| self.broken("no double effect", detail))?;
                if self.decided.insert((index, number), now).is_none() {
                    self.count(match result.outcome {
                        OutcomeKind::Applied => "mutations applied",
                        OutcomeKind::Merged => "mutations merged",
                        OutcomeKind::Rejected => "mutations rejected",
                    });
                } else {
                    self.count("resends answered");
                }
                let Some(change) = result.change else { continue };
                oracle::next_position(self.last_position, change.position)
                    .map_err(|detail| self.broken("positions", detail))?;
                self.last_position = change.position;
                let schema = Arc::clone(&self.schema);
                let model = schema.models.get(change.model.0).ok_or(Broken)?;
                if result.outcome == OutcomeKind::Applied
                    && let Some(meant) = self.meant.get(&(index, number))
                {
                    oracle::applied_whole(model, meant, &change.after)
                        .map_err(|detail| self.broken("no lost field", detail))?;
                }
                let key = change.after.key(&model.key).to_text();
                self.rows
                    .insert((change.model, key), (change.position, (*change.after).clone()));
            }
        }
        for (session, sent) in sent {
            self.deliver(session, sent);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    errors: Vec<GraphqlError>,
    #[serde(default)]
    extensions: Option<Extensions>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default, rename = "tomboloChanges")]
    batch: Option<ChangeBatch>,
}

#[derive(Deserialize)]
struct Extensions {
    tombolo: MutationAnswer,
}
