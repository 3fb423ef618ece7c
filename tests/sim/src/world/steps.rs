//! What happens by itself: messages, commits, timers, one at a time, in an order that the seed gives.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tombolo_core::id::MutationNumber;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_engine::{Submission, Verdict};
use tombolo_machine::messages::{self, Page};
use tombolo_machine::{AnswerBody, CloseReason, FeedNumber, Input};

use super::books::is_uncertain;
use super::{Broken, Held, World};
use crate::oracle::{self, Decided};
use crate::replica::WALL_BEGIN_MS;
use crate::report::Group;
use crate::server::{Sent, Server};
use crate::wire::{Carrier, MQTT_DOUBLES_ONE_IN, Pipe, ToServer, Topic, Wire};

/// How long a server waits for a resolver in all.
const RESOLVING_MAX: Duration = Duration::from_secs(20);

/// What one step of the world can be.
#[derive(Clone, Copy, Debug)]
enum Action {
    Open(usize),
    ServerReceives(usize, Topic),
    ReplicaReceives(usize, Topic),
    Late(usize),
    Wake(usize),
    Commit,
    Resolve,
    Pump(u64, FeedNumber),
    /// What a connection over MQTT had brought before it ended reaches the server's queue.
    Straggle(usize),
    /// The server gives up a device.
    GiveUp(usize),
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
            Action::Open(index) => self.open_link(index)?,
            Action::ServerReceives(index, topic) => self.server_receives(index, topic)?,
            Action::ReplicaReceives(index, topic) => self.replica_receives(index, topic)?,
            Action::Late(index) => {
                if let Some(input) = self.replica(index)?.late.pop_front() {
                    let replica = self.replica(index)?;
                    let may = match input {
                        // A driver answers its orders in order: these come before a new link is asked for.
                        Input::LinkOpened | Input::LinkClosed(_) => matches!(replica.wire, Wire::Down),
                        _ => true,
                    };
                    if may {
                        self.count(Group::Fault, "link's words came late");
                        self.input(index, input)?;
                    }
                }
            }
            Action::Wake(index) => {
                self.replica(index)?.wake_at = None;
                if let Wire::Up { to_replica, .. } = &mut self.replica(index)?.wire
                    && to_replica.brought_a_part()
                {
                    // As a driver says it: before the timer that would take the line for dead.
                    self.input(index, Input::Received)?;
                }
                self.input(index, Input::Wake)?;
            }
            Action::Commit => self.commit()?,
            Action::Resolve => self.resolve()?,
            Action::Straggle(place) => {
                self.count(Group::Fault, "MQTT: request came after its link's end");
                let received = self.server()?.receive_straggler(place);
                received.map_err(|detail| self.broken("no request is malformed", detail))?;
            }
            Action::GiveUp(index) => {
                self.count(Group::Fault, "MQTT: device given up");
                self.link_lost(index, CloseReason::Lost("nothing was taken".into()))?;
            }
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
                    to_server,
                    to_replica,
                    carrier,
                    given_up,
                    ..
                } => {
                    if *given_up {
                        due.push(Action::GiveUp(index));
                    }
                    let split = replica.weather.split && *carrier == Carrier::WebSocket;
                    let up = to_server.arrived(self.clock, split);
                    due.extend(up.map(|topic| Action::ServerReceives(index, topic)));
                    let down = to_replica.arrived(self.clock, split);
                    due.extend(down.map(|topic| Action::ReplicaReceives(index, topic)));
                }
            }
            if !replica.late.is_empty() {
                due.push(Action::Late(index));
            }
            if replica.wake_at.is_some_and(|at| at <= self.clock) {
                due.push(Action::Wake(index));
            }
        }
        if let Some(server) = &self.server {
            if server.has_waiting() {
                due.push(Action::Commit);
            }
            if server.asking() > 0 {
                due.push(Action::Resolve);
            }
            due.extend((0..server.stragglers()).map(Action::Straggle));
            due.extend(server.woken().map(|(session, feed)| Action::Pump(session, feed)));
        }
        due
    }

    fn open_link(&mut self, index: usize) -> Held {
        let replica = self.replica(index)?;
        if std::mem::take(&mut replica.weather.cut_up) {
            self.count(Group::Fault, "hand-shake cut");
            return self.link_lost(index, CloseReason::Protocol("the hand-shake was cut".into()));
        }
        if !replica.token_good {
            self.count(Group::Fault, "link refused: unauthorized");
            return self.link_lost(index, CloseReason::Unauthorized("the credential has expired".into()));
        }
        let session = self.next_session;
        self.next_session += 1;
        let replica = self.replica(index)?;
        replica.wire = Wire::Up {
            session,
            to_server: Pipe::default(),
            to_replica: Pipe::default(),
            carrier: replica.weather.carrier,
            given_up: false,
        };
        self.input(index, Input::LinkOpened).map(drop)
    }

    fn server_receives(&mut self, index: usize, topic: Topic) -> Held {
        let replica = self.replica(index)?;
        let Wire::Up {
            session,
            to_server,
            carrier,
            ..
        } = &mut replica.wire
        else {
            return Ok(());
        };
        let (session, carrier) = (*session, *carrier);
        let Some(message) = to_server.take(topic) else {
            return Ok(());
        };
        let request = message.to_request();
        if request.is_some() && std::mem::take(&mut replica.weather.cut_up) {
            self.count(Group::Fault, "message cut");
            return self.link_lost(index, CloseReason::Protocol("a frame was cut".into()));
        }
        if !self.replica(index)?.token_good {
            self.count(Group::Fault, "message refused: unauthorized");
            if let Some(sent) = Server::unauthorized(&message) {
                self.deliver(session, sent);
            }
            return Ok(());
        }
        match (message, request) {
            (ToServer::Subscribe { feed, scopes, .. }, Some(request)) => {
                let subscribed = self.server()?.receive_subscribe(session, feed, &scopes, &request);
                if let Err(sent) = subscribed {
                    self.deliver(session, sent);
                }
            }
            (ToServer::Unsubscribe { feed }, _) => self.server()?.receive_unsubscribe(session, feed),
            (ToServer::Mutation { number, request }, _) => {
                self.replica(index)?.last_request = Some((number, request.clone()));
                let doubled = carrier == Carrier::Mqtt && self.rng.u8(0..MQTT_DOUBLES_ONE_IN) == 0;
                for _ in 0..1 + u8::from(doubled) {
                    let received = self.server()?.receive_mutation(session, number.0, &request);
                    received.map_err(|detail| self.broken("no request is malformed", detail))?;
                }
                if doubled {
                    self.count(Group::Fault, "MQTT: request doubled");
                }
            }
            (ToServer::FetchPage { feed, scope }, Some(request)) => {
                let sent = self.server()?.receive_page(feed, &scope, &request);
                self.deliver(session, sent);
            }
            (ToServer::Subscribe { .. } | ToServer::FetchPage { .. }, None) => {}
        }
        Ok(())
    }

    fn replica_receives(&mut self, index: usize, topic: Topic) -> Held {
        let replica = self.replica(index)?;
        let Wire::Up { to_replica, .. } = &mut replica.wire else {
            return Ok(());
        };
        let Some(sent) = to_replica.take(topic) else {
            return Ok(());
        };
        if let Sent::Answer { response, .. } | Sent::Batch { response, .. } = &sent
            && std::mem::take(&mut replica.weather.cut_down)
        {
            self.cut_answer(response)?;
            return self.link_lost(index, CloseReason::Protocol("a frame was cut".into()));
        }
        if let Sent::FeedRefused { .. } = &sent {
            self.count(Group::Event, "feeds refused");
        }
        if let Sent::Batch { response, .. } = &sent
            && let Page::Unreadable(why) = messages::read_page(response)
        {
            let text = String::from_utf8_lossy(response).into_owned();
            return Err(self.broken("every answer can be read", format!("{why}: {text}")));
        }
        self.input(index, sent.to_input()).map(drop)
    }

    /// An answer is cut in the middle: whoever reads must notice.
    fn cut_answer(&mut self, response: &[u8]) -> Held {
        self.count(Group::Fault, "message cut");
        let cut = self.rng.usize(0..response.len().max(1));
        let part = response.get(..cut).unwrap_or_default();
        let read = matches!(messages::read_page(part), Page::Batch(_))
            || matches!(messages::read_answer(part), AnswerBody::Outcomes(_));
        if read {
            return Err(self.broken("a cut message is refused", String::from_utf8_lossy(part).into_owned()));
        }
        Ok(())
    }

    /// The server's writer takes what is waiting.
    fn commit(&mut self) -> Held {
        // The server's clock on the wall jumps now and then, also back.
        let jump = if self.rng.u8(0..16) == 0 {
            self.rng.i64(-7_200_000..7_200_000)
        } else {
            0
        };
        let wall_ms = self.clock.as_millis() as i64 + WALL_BEGIN_MS + jump;
        let server = self.server()?;
        let now_ms = wall_ms + server.clock_error_ms;
        let (decided, sent) = server.commit(now_ms);
        self.count(Group::Event, "server commits");
        for (session, submission, verdict) in decided {
            self.decided(session, submission, verdict)?;
        }
        for (session, sent) in sent {
            self.deliver(session, sent);
        }
        Ok(())
    }

    /// The conflict resolver, which the world plays, answers one question: it resolves, rejects, removes, says something
    /// that is no answer, fails, or is so slow that it is not waited for.
    fn resolve(&mut self) -> Held {
        let asking = self.server()?.asking();
        let place = self.rng.usize(0..asking.max(1));
        let Some(question) = self.server()?.question(place) else {
            return Ok(());
        };
        self.tell(|| format!("    the resolver is asked {question}"));
        let answer = match self.rng.u8(0..16) {
            0..=7 => Some(json!({ "action": "resolve", "item": self.resolution(&question) })),
            8..=10 => Some(json!({ "action": "reject", "message": "not this one" })),
            11 | 12 => Some(json!({ "action": "REMOVE" })),
            13 => Some(json!({ "action": "resolve" })),
            14 => None,
            _ => {
                self.clock += RESOLVING_MAX;
                None
            }
        };
        let what = match &answer {
            Some(answer) if answer.get("action") == Some(&json!("reject")) => "resolver rejects",
            Some(answer) if answer.get("action") == Some(&json!("REMOVE")) => "resolver removes",
            Some(answer) if answer.get("item").is_some() => "resolver resolves",
            Some(_) => "resolver talks nonsense",
            None => "resolver does not answer",
        };
        self.count(Group::Event, what);
        let bytes = answer.map(|answer| answer.to_string().into_bytes());
        let told = self.server()?.resolved(place, bytes.as_deref());
        if let Some((session, sent)) = told {
            self.deliver(session, sent);
        }
        Ok(())
    }

    /// For each field in conflict the server's value, the incoming one, another one, or nothing; now and then a field that
    /// nobody sent.
    fn resolution(&mut self, question: &Json) -> Json {
        let mut item = Map::new();
        let fields = question["conflicts"].as_array().cloned().unwrap_or_default();
        for field in fields.iter().filter_map(Json::as_str) {
            let value = match self.rng.u8(0..4) {
                0 => question["server"][field].clone(),
                1 => question["incoming"][field].clone(),
                2 if field == "rank" => Json::from(self.rng.u32(200..300)),
                2 => Json::from(format!("r{}", self.rng.u32(0..1000))),
                _ => continue,
            };
            if !(field == "title" && value.is_null()) {
                item.insert(field.to_owned(), value);
            }
        }
        if self.rng.u8(0..4) == 0 {
            item.insert("body".into(), Json::from(format!("r{}", self.rng.u32(0..1000))));
        }
        Json::Object(item)
    }

    fn decided(&mut self, session: u64, submission: Submission, verdict: Verdict) -> Held {
        let Some(envelope) = submission.envelope else {
            return Ok(());
        };
        let Some(index) = Self::whose(&envelope.replica.0) else {
            return Ok(());
        };
        // What an older file of the replica sent says nothing of what its user means now.
        let present = session >= self.replica(index)?.since_session;
        if verdict.undecided.is_some() {
            self.count(Group::Mutation, "left undecided");
        }
        // Of a transaction one number used before is enough.
        let known = |n: MutationNumber| self.decided.contains_key(&(envelope.replica.0.clone(), n.0));
        let used = verdict.results.iter().filter_map(|result| result.number).any(known);
        for (at, result) in verdict.results.into_iter().enumerate() {
            let number = result.number.map_or(0, |n| n.0);
            let input = submission.mutations.get(at);
            let now = Decided {
                outcome: result.outcome,
                position: result.position,
                input: input.cloned(),
            };
            let id = (envelope.replica.0.clone(), number);
            let code = result.reason.as_ref().map(|reason| &reason.code);
            if code == Some(&ErrorType::NumberReused) {
                // Another file used the number: whatever became of that one, this one takes no effect.
                self.count(Group::Mutation, "refused: number used");
                if result.change.is_some() || !used {
                    let detail = format!("{number} of {}: {:?}", id.0, result.change);
                    return Err(self.broken("no double effect", detail));
                }
                if present && let Some(sent) = self.sent_as.get_mut(&(index, number)) {
                    sent.reused |= sent.replica == id.0;
                }
                continue;
            }
            if code.is_some_and(is_uncertain) {
                // What became of it nobody knows any more; it takes no effect now.
                self.count(Group::Mutation, "refused: nobody knows any more");
                self.forgotten.insert(id.clone());
                self.decided.entry(id).or_insert(now);
                continue;
            }
            let before = self.decided.get(&id);
            oracle::no_double_effect(before, &now, result.change.is_some(), number)
                .map_err(|detail| self.broken("no double effect", detail))?;
            if self.decided.insert(id, now).is_none() {
                let what = match result.outcome {
                    OutcomeKind::Applied => "applied",
                    OutcomeKind::Merged => "merged",
                    OutcomeKind::Rejected => "rejected",
                };
                self.count(Group::Mutation, what);
            } else {
                self.count(Group::Mutation, "resent and answered as before");
            }
            let Some(change) = result.change else { continue };
            oracle::next_position(self.last_position, change.position)
                .map_err(|detail| self.broken("positions", detail))?;
            self.last_position = change.position;
            let schema = std::sync::Arc::clone(&self.schema);
            let model = schema.models.get(change.model.0).ok_or(Broken)?;
            let version = change.before.as_ref().map(|before| before.meta.version);
            let resolved = version.and_then(|version| submission.context.resolution(at, version));
            self.history
                .merge_laws(model, &envelope, number, (input, resolved), result.outcome, &change)
                .map_err(|detail| self.broken("merge laws", detail))?;
            if present && let Some(meant) = self.meant.get(&(index, number)) {
                let difference = self.replaced_was_carried_out(index, meant.replaces);
                oracle::operations_whole(model, meant, input, &change.after, difference)
                    .map_err(|detail| self.broken("merge laws", detail))?;
            }
            if present
                && result.outcome == OutcomeKind::Applied
                && let Some(meant) = self.meant.get(&(index, number))
            {
                oracle::applied_whole(model, meant, &self.done_before(index, meant), &change.after)
                    .map_err(|detail| self.broken("no lost field", detail))?;
            }
            let key = change.after.key(&model.key).to_text();
            self.rows
                .insert((change.model, key), (change.position, (*change.after).clone()));
        }
        Ok(())
    }
}

impl Sent {
    /// What the driver makes of it.
    pub(super) fn to_input(&self) -> Input {
        match self {
            Self::Answer { number, response } => {
                Input::Answers(vec![(MutationNumber(*number), messages::read_answer(response))])
            }
            Self::Batch { feed, response } => match messages::read_page(response) {
                Page::Batch(batch) => Input::Batch { feed: *feed, batch },
                Page::Refused(errors) => Input::FeedRefused { feed: *feed, errors },
                Page::Unreadable(_) => Input::FeedRefused {
                    feed: *feed,
                    errors: Vec::new(),
                },
            },
            Self::FeedRefused { feed, errors } => Input::FeedRefused {
                feed: *feed,
                errors: errors.clone(),
            },
        }
    }
}
