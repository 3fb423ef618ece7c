//! What each `tombolo client` command does with an open replica.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tombolo::{Client, Error, LinkStatus, MutationNumber, ScopeStatus, Status};
use tombolo_core::access::{Access, Identity};
use tombolo_core::query::{Document, OperationKind, QueryLimits, Side};
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use super::client::{OutboxCommand, ScopeCommand, json_object};
use super::output::{Exit, Failure, Outcome, counted, json_line, say, stdout_bytes};

/// What an error of the SDK means on a command line; `database` is the file that it is about.
pub(super) fn failure(error: &Error, database: &Path) -> Failure {
    match error {
        Error::Store(_) => Failure::file(database, error),
        Error::Open(_) | Error::SignedOut => Failure::new(Exit::File, error.to_string()),
        Error::Schema(_) | Error::SchemaFile { .. } => Failure::new(Exit::File, error.to_string()),
        Error::Incomplete(_) | Error::Endpoint(_) | Error::UnknownModel(_) => Failure::usage(error.to_string()),
        Error::Unauthorized(words) => Failure::network(format!(
            "{words}; give another with --api-key or --token, or in TOMBOLO_API_KEY or TOMBOLO_TOKEN"
        )),
        Error::Request(_)
        | Error::NeedsNetwork(_)
        | Error::UnknownRecord { .. }
        | Error::Refused(_)
        | Error::RequestTooLarge(_)
        | Error::OutboxFull(_)
        | Error::UnknownMutation(_)
        | Error::WrongState(_)
        | Error::Answer(_)
        | Error::Shape(_)
        | Error::Thread(_)
        | Error::Suspended
        | Error::Closed => Failure::failed(error.to_string()),
    }
}

/// An open replica and the name of its file, for messages.
pub(super) struct Replica<'a> {
    pub client: &'a Client,
    pub database: &'a Path,
}

impl Replica<'_> {
    fn failure(&self, error: &Error) -> Failure {
        failure(error, self.database)
    }

    /// `exec`: the GraphQL response, whatever it is, on standard output.
    pub(super) async fn exec(&self, schema: &Arc<Schema>, text: &str, variables: Json) -> Outcome {
        let answer = match kind(schema, text, &variables) {
            Ok(OperationKind::Mutation) => self
                .client
                .mutate(text, variables)
                .await
                .map(|mutated| mutated.response),
            Ok(OperationKind::Query) => self.client.query(text, variables).await,
            Ok(OperationKind::Subscription) => Err(Error::Request(vec![GraphqlError::new(
                ErrorType::UnsupportedOperation,
                "a replica answers no subscriptions: `watch` a query",
            )])),
            Err(errors) => Err(Error::Request(errors)),
        };
        match answer {
            Ok(response) => {
                let errors = !response.errors().is_empty();
                print_line(response.to_json())?;
                Ok(if errors { Exit::Failed } else { Exit::Done })
            }
            Err(error) => {
                let failure = self.failure(&error);
                if failure.exit != Exit::Failed {
                    return Err(failure);
                }
                // The request's own fault: a GraphQL response says it, as a server's would.
                json_line(&json!({ "data": null, "errors": error.to_graphql() }))?;
                Ok(Exit::Failed)
            }
        }
    }

    /// `sync`: one round, and the report of it.
    pub(super) async fn sync(&self, budget: Duration) -> Outcome {
        let report = match self.client.sync_once(budget).await {
            Ok(report) => report,
            Err(error @ Error::Unauthorized(_)) => {
                // The report comes in any case: its reader waits for one line.
                let status = self.client.status().borrow().clone();
                let report =
                    json!({ "pushed": 0, "rejected": 0, "pulled": 0, "pending": status.pending, "upToDate": false });
                json_line(&report)?;
                return Err(self.failure(&error));
            }
            Err(error) => return Err(self.failure(&error)),
        };
        json_line(&report)?;
        for (model, words) in &report.refused {
            say(&format!("{model} is not synced, the server refuses it: {words}"));
        }
        let status = self.client.status().borrow().clone();
        if status.rejected > 0 {
            say(&format!(
                "{} rejected, to be looked at: `outbox list`",
                counted(status.rejected, "mutation")
            ));
        }
        if report.is_complete() {
            return Ok(Exit::Done);
        }
        if report.up_to_date && status.wedged > 0 {
            return Err(Failure::failed(format!(
                "{} held back undecided: `outbox list`, then retry or discard",
                counted(status.wedged, "mutation")
            )));
        }
        let why = report.trouble.unwrap_or_else(|| "there was not enough time".to_owned());
        Err(Failure::network(format!(
            "not up to date after {} s: {why}",
            budget.as_secs_f64()
        )))
    }

    /// `watch`: a response a line until interrupted.
    pub(super) async fn watch(&self, text: &str, variables: Json) -> Outcome {
        let mut watch = match self.client.watch(text, variables) {
            Ok(watch) => watch,
            Err(error) => return Err(self.failure(&error)),
        };
        let mut status = self.client.status();
        let mut last = None;
        let mut ended = std::pin::pin!(interrupted());
        loop {
            tokio::select! {
                biased;
                () = &mut ended => return Ok(Exit::Done),
                answer = watch.next() => match answer {
                    Some(Ok(response)) => print_line(response.to_json())?,
                    Some(Err(error)) => return Err(self.failure(&error)),
                    None => return Ok(Exit::Done),
                },
                changed = status.changed() => {
                    if changed.is_err() {
                        return Ok(Exit::Done);
                    }
                    let now = status.borrow_and_update().clone();
                    if now.link == LinkStatus::Paused {
                        let words = now.last_error.map_or_else(String::new, |e| e.message);
                        return Err(self.failure(&Error::Unauthorized(words)));
                    }
                    // A line for people at each turn of the link.
                    if last != Some(now.link) {
                        last = Some(now.link);
                        let why = now.last_error.map_or_else(String::new, |e| format!(" ({})", e.message));
                        say(&format!("link: {}{why}", link_name(now.link)));
                    }
                },
            }
        }
    }

    /// `status`.
    pub(super) fn status(&self) -> Outcome {
        json_line(&status_json(&self.client.status().borrow()))?;
        Ok(Exit::Done)
    }

    /// `outbox`.
    pub(super) async fn outbox(&self, command: OutboxCommand) -> Outcome {
        let (numbers, retry) = match command {
            OutboxCommand::List => {
                for item in self.client.outbox().await.map_err(|e| self.failure(&e))? {
                    json_line(&item)?;
                }
                return Ok(Exit::Done);
            }
            OutboxCommand::Retry { numbers } => (numbers, true),
            OutboxCommand::Discard { numbers } => (numbers, false),
        };
        let mut exit = Exit::Done;
        for number in numbers {
            let number = MutationNumber(number);
            let done = if retry {
                self.client.retry(number).await.map(drop)
            } else {
                self.client.discard(number).await
            };
            match done {
                Ok(()) => json_line(&json!({ "number": number, "done": if retry { "retry" } else { "discard" } }))?,
                Err(error) => {
                    let failure = self.failure(&error);
                    if failure.exit != Exit::Failed {
                        return Err(failure);
                    }
                    say(&failure.message);
                    exit = Exit::Failed;
                }
            }
        }
        Ok(exit)
    }

    /// `scope`.
    pub(super) async fn scope(&self, command: ScopeCommand) -> Outcome {
        // What a scope can be refused for is what the command line says.
        let usage = |error: Error| match error {
            Error::Request(_) => Failure::usage(format!("FILTER: {error}")),
            error => self.failure(&error),
        };
        match command {
            ScopeCommand::List => {
                for scope in self.client.scopes() {
                    json_line(&scope_json(&scope))?;
                }
            }
            ScopeCommand::Set { model, filter } => {
                let filter = match json_object("FILTER", filter.as_deref())? {
                    Json::Null => None,
                    filter => Some(filter),
                };
                self.client.set_scope(&model, filter.clone()).await.map_err(usage)?;
                json_line(&json!({ "model": model, "filter": filter }))?;
            }
            ScopeCommand::Remove { model } => {
                self.client.remove_scope(&model).await.map_err(usage)?;
                json_line(&json!({ "model": model, "removed": true }))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// What kind of operation a document holds.
fn kind(schema: &Arc<Schema>, text: &str, variables: &Json) -> Result<OperationKind, Vec<GraphqlError>> {
    let document = Document::parse(schema, text, &QueryLimits::replica())?;
    let variables = variables.as_object().cloned().unwrap_or_default();
    let access = Access::of(schema, &Identity::Local);
    Ok(document.bind(None, &variables, &access, Side::Replica)?.kind())
}

fn print_line(mut text: String) -> Result<(), Failure> {
    text.push('\n');
    stdout_bytes(text.as_bytes())
}

/// Ctrl-C, or on Unix SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    if let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
        return;
    }
    let _no_signals = tokio::signal::ctrl_c().await;
}

fn status_json(status: &Status) -> Json {
    json!({
        "link": link_name(status.link),
        "pending": status.pending,
        "inFlight": status.in_flight,
        "wedged": status.wedged,
        "rejected": status.rejected,
        "upToDate": status.up_to_date,
        "lastError": status.last_error.as_ref().map(|e| json!({ "code": e.code, "message": e.message, "atMs": e.at_ms })),
        "scopes": status.scopes.iter().map(scope_json).collect::<Vec<_>>(),
    })
}

fn scope_json(scope: &ScopeStatus) -> Json {
    json!({
        "model": scope.model,
        "filter": scope.filter,
        "cursor": scope.cursor,
        "upToDate": scope.up_to_date,
        "refused": scope.refused,
    })
}

fn link_name(link: LinkStatus) -> &'static str {
    match link {
        LinkStatus::Offline => "offline",
        LinkStatus::Waiting => "waiting",
        LinkStatus::Opening => "opening",
        LinkStatus::CatchingUp => "catchingUp",
        LinkStatus::Live => "live",
        LinkStatus::Paused => "paused",
        LinkStatus::Elsewhere => "elsewhere",
    }
}
