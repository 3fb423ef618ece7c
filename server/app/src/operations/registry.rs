//! The open operations of one session, and the frames they send.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::Message;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tombolo_core::wire::graphql::GraphqlError;
use tombolo_engine::Bookmark;

use super::{Mark, Outgoing};
use crate::api::Failed;

/// One open operation.
pub(super) struct Operation {
    id: Arc<str>,
    serial: u64,
    marks: bool,
    out: mpsc::Sender<Outgoing>,
    operations: Operations,
}

impl Operation {
    /// Sends one result once there is a place for it; false if nobody listens any more.
    pub(super) async fn next(&self, payload: &[u8], at: Option<Bookmark>) -> bool {
        match next_frame(&self.id, payload) {
            Some(frame) => {
                let outgoing = match at {
                    Some(at) => Outgoing::Marked(frame, self.mark(Some(at))),
                    None => Outgoing::Frame(frame),
                };
                self.out.send(outgoing).await.is_ok()
            }
            None => false,
        }
    }

    /// Notes that a subscription has come so far; false if nobody listens any more.
    pub(super) async fn pass(&self, at: Option<Bookmark>) -> bool {
        match at {
            Some(at) => self.out.send(Outgoing::Passed(self.mark(Some(at)))).await.is_ok(),
            None => true,
        }
    }

    fn mark(&self, bookmark: Option<Bookmark>) -> Mark {
        Mark {
            id: Arc::clone(&self.id),
            serial: self.serial,
            bookmark,
        }
    }

    /// Sends the only result and the end.
    pub(super) async fn answer(self, answer: Result<Vec<u8>, Failed>) {
        match answer {
            Ok(payload) => {
                // Closed before the end is sent: whoever has seen the end may use the id again.
                if self.next(&payload, None).await && self.operations.close(&self.id, self.serial) {
                    let frame = Message::Text(format!(r#"{{"type":"complete","id":{}}}"#, quoted(&self.id)).into());
                    // A socket that is gone needs no end.
                    let _gone = self.out.send(frame.into()).await;
                }
            }
            Err(failed) => self.refuse(&[failed.error()]).await,
        }
    }

    /// Sends errors instead of a result.
    pub(super) async fn refuse(self, errors: &[GraphqlError]) {
        if self.operations.close(&self.id, self.serial) {
            let frame = error_frame(&self.id, errors);
            let outgoing = match self.marks {
                true => Outgoing::Marked(frame, self.mark(None)),
                false => Outgoing::Frame(frame),
            };
            let _gone = self.out.send(outgoing).await;
        }
    }
}

/// The open operations of a session by id.
#[derive(Clone, Default)]
pub(super) struct Operations(Arc<Mutex<Registry>>);

#[derive(Default)]
struct Registry {
    open: HashMap<String, Open>,
    serial: u64,
    subscriptions: usize,
}

struct Open {
    serial: u64,
    subscription: bool,
    task: Option<AbortHandle>,
}

impl Operations {
    fn with<T>(&self, act: impl FnOnce(&mut Registry) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_open(&self, id: &str) -> bool {
        self.with(|r| r.open.contains_key(id))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.with(|r| r.open.is_empty())
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.with(|r| r.subscriptions)
    }

    /// Opens an operation whose frames go to `out`; gives its serial number too, for [`Operations::attach`].
    pub(super) fn open(
        &self,
        id: &str,
        subscription: bool,
        marks: bool,
        out: mpsc::Sender<Outgoing>,
    ) -> (Operation, u64) {
        let serial = self.with(|r| {
            r.serial += 1;
            r.subscriptions += usize::from(subscription);
            r.open.insert(
                id.to_owned(),
                Open {
                    serial: r.serial,
                    subscription,
                    task: None,
                },
            );
            r.serial
        });
        (
            Operation {
                id: id.into(),
                serial,
                marks,
                out,
                operations: self.clone(),
            },
            serial,
        )
    }

    /// Notes the task of an operation, if it is not over already.
    pub(super) fn attach(&self, id: &str, serial: u64, task: AbortHandle) {
        self.with(|r| {
            if let Some(open) = r.open.get_mut(id).filter(|o| o.serial == serial) {
                open.task = Some(task);
            }
        });
    }

    /// Ends an operation from our side; false if it was over already.
    fn close(&self, id: &str, serial: u64) -> bool {
        self.with(|r| {
            let open = r.open.get(id).is_some_and(|o| o.serial == serial);
            if open {
                r.remove(id);
            }
            open
        })
    }

    /// Ends an operation from the other side. A mutation that is in the writer's queue is carried out all the same.
    pub(super) fn cancel(&self, id: &str) {
        self.with(|r| {
            if let Some(task) = r.remove(id).and_then(|o| o.task) {
                task.abort();
            }
        });
    }

    pub(super) fn cancel_subscriptions(&self) {
        self.with(|r| {
            for open in r.open.values().filter(|o| o.subscription) {
                if let Some(task) = &open.task {
                    task.abort();
                }
            }
        });
    }
}

impl Registry {
    fn remove(&mut self, id: &str) -> Option<Open> {
        let open = self.open.remove(id)?;
        self.subscriptions -= usize::from(open.subscription);
        Some(open)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A `next` frame around a result that is JSON already.
fn next_frame(id: &str, payload: &[u8]) -> Option<Message> {
    let Ok(payload) = std::str::from_utf8(payload) else {
        tracing::error!("an answer is not UTF-8");
        return None;
    };
    let id = quoted(id);
    let mut text = String::with_capacity(payload.len() + id.len() + 40);
    for part in [r#"{"type":"next","id":"#, &id, r#","payload":"#, payload, "}"] {
        text.push_str(part);
    }
    Some(Message::Text(text.into()))
}

pub(crate) fn error_frame(id: &str, errors: &[GraphqlError]) -> Message {
    Message::Text(
        serde_json::json!({"type": "error", "id": id, "payload": errors})
            .to_string()
            .into(),
    )
}
