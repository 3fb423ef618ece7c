//! One device behind a broker: who it is, what it asks, what it is told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::{Message, Utf8Bytes};
use jiff::Timestamp;
use rumqttc::{Publish, QoS};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request as GraphqlRequest};
use tombolo_core::wire::ws::ClientFrame;

use super::link::Shared;
use super::{DEVICE_SILENCE_MAX, SETTLING_WAIT_MAX};
use crate::auth::{Admitted, Refusal, Shown, expiry};
use crate::limits::{OPERATION_ID_BYTES_MAX, OUTGOING_FRAMES};
use crate::mqtt::LAST_ANSWERS_TIMEOUT;
use crate::mqtt::topics::Topics;
use crate::operations::{Desk, Outgoing, Settled, Started, Stopped, error_frame};

/// Where a request carries its own credential, as AppSync's real-time protocol has it.
const AUTHORIZATION: &str = "authorization";

/// A message for a device's request topic.
pub(super) struct Request {
    pub(super) message: Publish,
    /// It is acknowledged when a mutation in it is settled, to this connection with the broker; `None`: it is acknowledged.
    pub(super) acknowledge: Option<u64>,
}

/// A device, from its first request until it is over.
pub(super) struct Device {
    shared: Arc<Shared>,
    /// Bytes of its requests that wait.
    waiting: Arc<AtomicUsize>,
    /// Who it is, once `connection_init` has said so.
    admitted: Option<Admitted>,
    desk: Desk,
    /// Mutations under way, by their operations' ids: no more than a desk has room for, and few that are over.
    unsettled: HashMap<String, Settled>,
    out: mpsc::Sender<Outgoing>,
}

/// The device's time is over.
struct Over;

impl From<Stopped> for Over {
    fn from(_: Stopped) -> Self {
        Self
    }
}

impl Device {
    /// Serves the device until nothing was heard of it for too long, or nobody brings its requests any more.
    pub(super) async fn run(
        shared: Arc<Shared>,
        topics: Topics,
        mut requests: mpsc::UnboundedReceiver<Request>,
        waiting: Arc<AtomicUsize>,
    ) {
        let (out, frames) = mpsc::channel(OUTGOING_FRAMES);
        let writing = tokio::spawn(write(Arc::clone(&shared), topics.response, frames));
        let mut device = Self {
            desk: Desk::new(Arc::clone(&shared.app), out.clone()),
            shared,
            waiting,
            admitted: None,
            unsettled: HashMap::new(),
            out,
        };
        let in_order = device.serve(&mut requests).await;
        requests.close();
        while let Some(request) = requests.recv().await {
            device.done_with(&request.message);
            // At the server's end the broker keeps it for the next process.
            if !in_order {
                device.send_back(&request).await;
            }
        }
        let Self { desk, out, .. } = device;
        if timeout(LAST_ANSWERS_TIMEOUT, desk.close(in_order)).await.is_err() {
            tracing::debug!("the broker did not take a device's last answers");
        }
        drop(out);
        // Without a sender it ends.
        let _ended = timeout(LAST_ANSWERS_TIMEOUT, writing).await;
    }

    fn done_with(&self, message: &Publish) {
        self.shared.waiting.fetch_sub(message.payload.len(), Ordering::AcqRel);
        self.waiting.fetch_sub(message.payload.len(), Ordering::AcqRel);
    }

    /// What came just when the device's time was over: the broker would not bring it again while the connection lasts.
    async fn send_back(&self, request: &Request) {
        let id = id_of(&request.message.payload);
        let _gone = self
            .tell(&id, ErrorType::LimitExceeded, "Begin anew, and send it again.")
            .await;
        if let Some(connection) = request.acknowledge {
            self.shared.acknowledge(&request.message, connection).await;
        }
    }

    /// Whether what was accepted is to be finished.
    async fn serve(&mut self, requests: &mut mpsc::UnboundedReceiver<Request>) -> bool {
        let mut heard = Instant::now();
        let failed = self.desk.failed();
        loop {
            let request = tokio::select! {
                biased;
                request = requests.recv() => match request {
                    Some(request) => request,
                    None => return true,
                },
                () = expiry(self.admitted.as_ref().and_then(|admitted| admitted.expires)) => {
                    let told = self.begin_anew(Err(Refusal::TokenExpired)).await;
                    match told {
                        Ok(()) => continue,
                        Err(Over) => return false,
                    }
                }
                () = failed.cancelled() => {
                    let _told = self.tell("", ErrorType::InternalFailure, "A subscription cannot go on: begin anew.").await;
                    return false;
                }
                () = self.desk.tidy() => continue,
                () = sleep_until(heard + DEVICE_SILENCE_MAX) => {
                    let minutes = DEVICE_SILENCE_MAX.as_secs() / 60;
                    let why = format!("Nothing came for {minutes} minutes: say connection_init, and then ping now and then.");
                    let _told = self.tell("", ErrorType::LimitExceeded, &why).await;
                    return false;
                }
            };
            heard = Instant::now();
            let Request { message, acknowledge } = request;
            let handled = self.handle(&message).await;
            self.done_with(&message);
            match (handled, acknowledge) {
                (Ok(None), Some(connection)) => self.shared.acknowledge(&message, connection).await,
                (Ok(Some(settled)), Some(connection)) => {
                    let shared = Arc::clone(&self.shared);
                    // An acknowledgement needs its packet id and no more of it.
                    let mut receipt = message;
                    receipt.payload.clear();
                    // Those behind it need not wait. The broker bounds how many there are: by what it sends unacknowledged.
                    self.shared.tasks.spawn(async move {
                        // A resolver that does not answer is not to stop what the broker has for everybody else.
                        let _slow = timeout(SETTLING_WAIT_MAX, settled.wait()).await;
                        shared.acknowledge(&receipt, connection).await;
                    });
                }
                (Ok(_), None) => {}
                // The broker brings it again, to the next process.
                (Err(Over), _) => return true,
            }
        }
    }

    /// Gives the mutation in it, if there is one and it was accepted.
    async fn handle(&mut self, message: &Publish) -> Result<Option<Settled>, Over> {
        let Ok(frame) = serde_json::from_slice::<ClientFrame>(&message.payload) else {
            let why = "A request is a frame of graphql-transport-ws in JSON: {\"id\",\"type\":\"subscribe\",\"payload\":{\"query\"}}.";
            self.tell("", ErrorType::MalformedHttpRequestException, why).await?;
            return Ok(None);
        };
        if let ClientFrame::Subscribe { id, payload } = frame {
            return self.begin(id, payload, message.dup).await;
        }
        self.control(frame).await?;
        Ok(None)
    }

    /// Everything but an operation.
    async fn control(&mut self, frame: ClientFrame) -> Result<(), Over> {
        match frame {
            ClientFrame::ConnectionInit { payload } => {
                let shown = payload.as_ref().and_then(Json::as_object).map(Shown::object);
                let admitted = match shown.filter(Shown::is_anything) {
                    Some(shown) => self.shared.app.gate.admit(&shown, Timestamp::now()).await,
                    None => Err(Refusal::Missing),
                };
                self.begin_anew(admitted).await
            }
            // Who shows a credential with each request learns so whether what it listens to is still there.
            ClientFrame::Ping { .. } if self.admitted.is_none() && self.desk.is_idle() => self.strange("").await,
            ClientFrame::Ping { .. } => self.say(r#"{"type":"pong"}"#).await,
            ClientFrame::Pong { .. } => Ok(()),
            ClientFrame::Complete { id } => {
                self.desk.cancel(&id);
                Ok(())
            }
            ClientFrame::Subscribe { .. } => Ok(()),
        }
    }

    /// Starts an operation, with the credential that it carries, or else the device's.
    async fn begin(&mut self, id: String, mut payload: GraphqlRequest, again: bool) -> Result<Option<Settled>, Over> {
        if id.is_empty() || id.len() > OPERATION_ID_BYTES_MAX {
            let why = format!("An id has 1 to {OPERATION_ID_BYTES_MAX} bytes.");
            return self.tell("", ErrorType::BadRequest, &why).await.map(|()| None);
        }
        if self.desk.is_open(&id) {
            // It came again because the connection with the broker was lost: the one under way is waited for.
            if again {
                return Ok(self.unsettled.get(&id).cloned());
            }
            let why = "An operation with this id is open: choose another, or complete it first.";
            return self.tell(&id, ErrorType::BadRequest, why).await.map(|()| None);
        }
        // Taken out: it is nobody else's to see.
        let own = payload
            .extensions
            .as_mut()
            .and_then(|extensions| extensions.remove(AUTHORIZATION));
        let own = own.as_ref().and_then(Json::as_object).map(Shown::object);
        let caller = match own.filter(Shown::is_anything) {
            Some(shown) => match self.shared.app.gate.admit(&shown, Timestamp::now()).await {
                Ok(admitted) => admitted,
                Err(refusal) => return self.refuse(&id, refusal).await.map(|()| None),
            },
            None => match &self.admitted {
                Some(admitted) => admitted.clone(),
                None => return self.strange(&id).await.map(|()| None),
            },
        };
        let started = self
            .desk
            .subscribe(&caller.identity, caller.expires, id.clone(), &payload, None)
            .await?;
        match started {
            Started::Mutation(settled) => {
                self.unsettled.retain(|_, other| !other.is_now());
                self.unsettled.insert(id, settled.clone());
                Ok(Some(settled))
            }
            Started::Other | Started::Subscription(_) => Ok(None),
        }
    }

    /// What was before is over; whoever is admitted begins.
    async fn begin_anew(&mut self, admitted: Result<Admitted, Refusal>) -> Result<(), Over> {
        let desk = Desk::new(Arc::clone(&self.shared.app), self.out.clone());
        std::mem::replace(&mut self.desk, desk).close(false).await;
        self.admitted = None;
        match admitted {
            Ok(admitted) => {
                if self.shared.app.rates.connect(&admitted.identity).is_err() {
                    let why = "Too many connections of late; come again later.";
                    return self.tell("", ErrorType::LimitExceeded, why).await;
                }
                self.admitted = Some(admitted);
                self.say(r#"{"type":"connection_ack"}"#).await
            }
            Err(refusal) => self.refuse("", refusal).await,
        }
    }

    async fn refuse(&self, id: &str, refusal: Refusal) -> Result<(), Over> {
        let kind = match refusal.is_temporary() {
            true => ErrorType::InternalFailure,
            false => ErrorType::UnauthorizedException,
        };
        self.tell(id, kind, &refusal.to_string()).await
    }

    /// A device that has not said who it is, at least not to this process.
    async fn strange(&self, id: &str) -> Result<(), Over> {
        let why = "Say connection_init first, with a credential in its payload: the server may have been restarted.";
        self.tell(id, ErrorType::UnauthorizedException, why).await
    }

    async fn tell(&self, id: &str, kind: ErrorType, why: &str) -> Result<(), Over> {
        let frame = error_frame(id, &[GraphqlError::new(kind, why)]);
        self.out.send(frame.into()).await.map_err(|_| Over)
    }

    async fn say(&self, frame: &'static str) -> Result<(), Over> {
        let frame = Message::Text(Utf8Bytes::from_static(frame));
        self.out.send(frame.into()).await.map_err(|_| Over)
    }
}

/// Publishes a device's frames, as the broker takes them.
async fn write(shared: Arc<Shared>, topic: String, mut frames: mpsc::Receiver<Outgoing>) {
    while let Some(outgoing) = frames.recv().await {
        let (Some(Message::Text(frame)), _) = outgoing.into_parts() else {
            continue;
        };
        // The client library would try it again with each connection, and the broker end each.
        let frame = match frame.len() <= shared.answer_bytes_max {
            true => frame,
            false => match too_large(&frame, shared.answer_bytes_max) {
                Some(Message::Text(refusal)) => refusal,
                Some(_) | None => continue,
            },
        };
        let publishing = shared
            .client
            .publish(topic.as_str(), QoS::AtLeastOnce, false, frame.as_str());
        if publishing.await.is_err() {
            return;
        }
    }
}

/// What a device is told instead of a frame that is too large.
fn too_large(frame: &str, most: usize) -> Option<Message> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let Named { id } = serde_json::from_str(frame).ok()?;
    let why = format!("An answer has at most {most} bytes through this broker: ask for a smaller page.");
    Some(error_frame(&id, &[GraphqlError::new(ErrorType::LimitExceeded, why)]))
}

/// The id in a request that is not looked at.
pub(super) fn id_of(payload: &[u8]) -> String {
    match serde_json::from_slice::<ClientFrame>(payload) {
        Ok(ClientFrame::Subscribe { id, .. } | ClientFrame::Complete { id }) => id,
        _ => String::new(),
    }
}
