//! The link: opening it, what goes out over it, and its loss. What comes back for a mutation: `answers`.

use std::time::Duration;

use tombolo_core::id::{MutationNumber, Position};
use tombolo_core::limits::REQUEST_BYTES_MAX;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use crate::context::Context;
use crate::effect::{Effect, Outgoing};
use crate::input::{CloseReason, FeedNumber};
use crate::limits::{IN_FLIGHT_MAX, NO_PROGRESS_MAX, RETRYING_MAX};
use crate::machine::StepError;
use crate::outbox::{EntryState, OutboxEntry};
use crate::state::{Link, clip};
use crate::{pace, redo, render};

/// The app wants a link, or none.
pub(crate) fn set_online(cx: &mut Context<'_>, online: bool) {
    match (cx.state.link, online) {
        (Link::Offline, true) => open(cx),
        (Link::Waiting { .. } | Link::Paused, false) => cx.state.link = Link::Offline,
        (Link::Opening | Link::Open { .. }, false) => {
            leave(cx, Link::Offline);
            cx.effects.push(Effect::CloseLink);
        }
        // The app sees a network again: no reason to sit out the back-off.
        (Link::Waiting { .. }, true) => open(cx),
        (Link::Offline, false) | (Link::Opening | Link::Open { .. } | Link::Paused, true) => {}
    }
}

/// The app has another transport: what failed by the one before says nothing of it.
pub(crate) fn transport_changed(cx: &mut Context<'_>) {
    cx.state.failures = 0;
    reopen(cx);
}

/// The app has a fresh credential or another transport: a link that was refused or is waited for is tried at once, one
/// that is open is opened anew.
pub(crate) fn reopen(cx: &mut Context<'_>) {
    match cx.state.link {
        Link::Paused | Link::Waiting { .. } => open(cx),
        Link::Opening | Link::Open { .. } => {
            leave(cx, Link::Opening);
            cx.effects.push(Effect::CloseLink);
            cx.effects.push(Effect::OpenLink);
        }
        Link::Offline => {}
    }
}

fn open(cx: &mut Context<'_>) {
    cx.state.link = Link::Opening;
    cx.state.owed_since = Some(cx.now.monotonic);
    cx.effects.push(Effect::OpenLink);
}

/// The link is there: subscribe, resend what is unknown, then what is new.
pub(crate) fn opened(cx: &mut Context<'_>) -> Result<(), StepError> {
    match cx.state.link {
        Link::Opening => {
            for scope in cx.state.scopes.values_mut() {
                scope.up_to_date = false;
            }
            // What was refused may be allowed by now.
            cx.state.refused.clear();
            cx.state.link = Link::Open {
                feed: cx.state.feed_state(),
            };
            subscribe(cx);
            for when in cx.state.due.values_mut() {
                *when = cx.now.monotonic;
            }
            send(cx)
        }
        Link::Offline | Link::Waiting { .. } | Link::Paused => {
            cx.effects.push(Effect::CloseLink);
            Ok(())
        }
        Link::Open { .. } => Ok(()),
    }
}

/// The link is gone, or could not be opened.
pub(crate) fn closed(cx: &mut Context<'_>, reason: &CloseReason) {
    match cx.state.link {
        Link::Opening | Link::Open { .. } => match reason {
            CloseReason::Unauthorized(message) => pause(cx, message),
            CloseReason::Lost(message) => fail(cx, "lost", message),
            CloseReason::Protocol(message) => fail(cx, "protocol", message),
            CloseReason::Ended => fail(cx, "lost", "the server ended the link"),
        },
        Link::Offline | Link::Waiting { .. } | Link::Paused => {}
    }
}

/// Waits, longer each time, and tries again.
fn fail(cx: &mut Context<'_>, code: &'static str, message: &str) {
    cx.state.fail(code, message, cx.now);
}

pub(crate) fn pause(cx: &mut Context<'_>, message: &str) {
    cx.state.note_error("unauthorized", message, cx.now);
    leave(cx, Link::Paused);
    cx.effects.push(Effect::NeedToken);
}

fn leave(cx: &mut Context<'_>, to: Link) {
    cx.state.leave(to, cx.now);
}

/// Asks for the feed of all scopes from their cursors, abandoning what was asked before.
pub(crate) fn subscribe(cx: &mut Context<'_>) {
    if !cx.state.is_open() {
        return;
    }
    if cx.state.subscribed {
        cx.effects
            .push(Effect::Send(Outgoing::Unsubscribe { feed: cx.state.feed }));
        cx.state.subscribed = false;
    }
    cx.state.feed = FeedNumber(cx.state.feed.0 + 1);
    cx.state.paging.clear();
    if cx.settings.base_sync_by_pages {
        // On a slow line in small pages too what was missed: the server's batches may be too large for it.
        let slow = cx.state.pace.is_slow();
        let paging = cx
            .state
            .asked()
            .filter(|scope| scope.base_sync || (slow && !scope.up_to_date));
        cx.state.paging = paging.map(|scope| scope.model.clone()).collect();
    }
    if !cx.state.paging.is_empty() {
        fetch_page(cx);
        return;
    }
    let scopes: Vec<_> = cx.state.asked().map(|scope| scope.to_send(cx.schema)).collect();
    if !scopes.is_empty() {
        cx.effects.push(Effect::Send(Outgoing::Subscribe {
            feed: cx.state.feed,
            replica: cx.tx.replica(),
            scopes,
        }));
        cx.state.subscribed = true;
        cx.state.pace.subscribed(cx.now.monotonic);
    }
}

/// Asks for a page of the first scope that is fetched by pages. One at a time: on a slow link several would share it, and
/// each would take so long that it looks lost.
pub(crate) fn fetch_page(cx: &mut Context<'_>) {
    if let Some(scope) = cx.state.paging.first().and_then(|model| cx.state.scopes.get(model)) {
        cx.effects.push(Effect::Send(Outgoing::FetchPage {
            feed: cx.state.feed,
            scope: scope.to_send(cx.schema),
            replica: cx.tx.replica(),
            rows: cx.state.pace.rows,
        }));
        cx.state.pace.page_asked(cx.now.monotonic);
    }
}

/// The server refused or ended the feed. A scope that it will not give is left out and the others go on; anything else
/// ends the link, to be tried again later.
pub(crate) fn feed_refused(cx: &mut Context<'_>, feed: FeedNumber, errors: &[GraphqlError]) -> Result<(), StepError> {
    if !cx.state.is_open() || feed != cx.state.feed {
        return Ok(());
    }
    let message = words(errors, "the server ended the change feed");
    if is_unauthorized(errors) {
        cx.effects.push(Effect::CloseLink);
        pause(cx, &message);
        return Ok(());
    }
    if let Some(model) = refused_scope(cx, errors) {
        cx.state
            .note_error("scope_refused", &format!("{model}: {message}"), cx.now);
        cx.state.refused.insert(model.clone(), clip(&message));
        // No feed will bring what they wait for, as for a model without a scope.
        for entry in cx.acked(&model, "", Position(0), true)? {
            cx.remove_entry(&entry)?;
            cx.rebase_entry(&entry)?;
        }
        cx.state.subscribed = false;
        subscribe(cx);
        return Ok(());
    }
    // Answers to mutations are no sign that the feed will do: only a feed that caught up ends this count.
    cx.state.failures = cx.state.failures.max(cx.state.feed_failures);
    cx.state.feed_failures = cx.state.feed_failures.saturating_add(1);
    cx.effects.push(Effect::CloseLink);
    fail(cx, "refused", &message);
    Ok(())
}

/// The scope that a final refusal is about: the one that the server names, or the only one that was asked for.
fn refused_scope(cx: &Context<'_>, errors: &[GraphqlError]) -> Option<String> {
    if errors.is_empty() || !errors.iter().all(is_final) {
        return None;
    }
    let asked: Vec<&str> = match cx.state.paging.first() {
        Some(model) => vec![model.as_str()],
        None => cx.state.asked().map(|scope| scope.model.as_str()).collect(),
    };
    let named = errors
        .iter()
        .find_map(|error| error.error_info.as_ref()?.get("model")?.as_str());
    match (named, asked.as_slice()) {
        (Some(named), _) => asked.contains(&named).then(|| named.to_owned()),
        (None, [only]) => Some((*only).to_owned()),
        (None, _) => None,
    }
}

/// Whether the same request would be refused again.
fn is_final(error: &GraphqlError) -> bool {
    !is_temporary(error)
        && matches!(
            error.error_type,
            Some(
                ErrorType::Unauthorized
                    | ErrorType::BadRequest
                    | ErrorType::LimitExceeded
                    | ErrorType::SchemaChanged
                    | ErrorType::UnsupportedOperation
            )
        )
}

/// The server no longer knows what became of the mutation, and the replica's numbers are behind its own: it goes on under a
/// fresh identity, or new mutations would be taken for old ones.
pub(crate) fn is_uncertain(code: &ErrorType) -> bool {
    matches!(code, ErrorType::OutcomeForgotten | ErrorType::ReplicaWrittenOff)
}

/// The server says of itself that it is in trouble, not the request.
pub(crate) fn is_temporary(error: &GraphqlError) -> bool {
    let retry = error.error_info.as_ref().and_then(|info| info.get("retry"));
    retry.and_then(serde_json::Value::as_bool) == Some(true)
}

/// The feed brought something that cannot be what it says.
pub(crate) fn bad_feed(cx: &mut Context<'_>, message: &str) {
    cx.effects.push(Effect::CloseLink);
    fail(cx, "protocol", message);
}

/// Fills the window: first what was sent before and is due again, then what was never sent. Only in steps whose commit
/// is durable, see [`crate::Input::durable`].
pub(crate) fn send(cx: &mut Context<'_>) -> Result<(), StepError> {
    if !cx.state.is_open() {
        return Ok(());
    }
    let mut groups = Vec::new();
    let room = IN_FLIGHT_MAX.saturating_sub(cx.state.in_flight.len());
    let now = cx.now.monotonic;
    again(cx, false, room, &mut groups)?;
    let room = room.saturating_sub(groups.len());
    let retrying = cx.state.due.len().saturating_sub(cx.state.held.len());
    if room > 0 && cx.state.counts.queued > 0 && retrying < RETRYING_MAX {
        for number in cx.tx.sendable(cx.settings.author.as_deref(), room)? {
            let mut group = cx.tx.group(number)?;
            for entry in &mut group {
                cx.set_state(entry, EntryState::InFlight)?;
            }
            groups.push((number, group));
        }
    }
    // Whatever their number, those that the server cannot read keep nobody waiting.
    again(cx, true, room.saturating_sub(groups.len()), &mut groups)?;
    if groups.is_empty() {
        return Ok(());
    }
    let settled_through = settled_through(cx)?;
    let (replica, since) = (cx.tx.replica(), cx.tx.replica_since()?);
    for (number, mut group) in groups {
        let bytes: usize = group.iter().map(|entry| render::request_bytes(&entry.intent)).sum();
        if bytes > REQUEST_BYTES_MAX {
            // Made before the outbox refused such a mutation: sent, it would cost the link each time.
            let reason = format!("the request has {bytes} bytes; the most is {REQUEST_BYTES_MAX} (REQUEST_BYTES_MAX)");
            wedge(cx, &mut group, &reason)?;
            for entry in group.iter().filter(|entry| entry.state == EntryState::GivenUp) {
                redo::given_up(cx, entry, never_sent())?;
            }
            continue;
        }
        // What is sent under an earlier identity says nothing of what this one has settled, and the other way round.
        let old = group.first().and_then(|entry| entry.replica.clone());
        if old.is_none() {
            for entry in &mut group {
                entry.depends_on.retain(|number| number.0 > since);
                entry.seen.retain(|number| number.0 > since);
            }
        }
        let request = match &old {
            Some(old) => render::request(cx.schema, old, &group, 0),
            None => render::request(cx.schema, &replica, &group, settled_through),
        };
        cx.effects.push(Effect::Send(Outgoing::Mutation { number, request }));
        cx.state.in_flight.insert(number, now);
    }
    Ok(())
}

/// Takes those that are due again, of the held ones or of the others.
fn again(
    cx: &mut Context<'_>,
    held: bool,
    room: usize,
    groups: &mut Vec<(MutationNumber, Vec<OutboxEntry>)>,
) -> Result<(), StepError> {
    let now = cx.now.monotonic;
    let is_due = |(number, at): &(&MutationNumber, &Duration)| **at <= now && cx.state.held.contains(number) == held;
    let due: Vec<MutationNumber> = cx.state.due.iter().filter(is_due).map(|(n, _)| *n).take(room).collect();
    for number in due {
        cx.state.due.remove(&number);
        cx.state.held.remove(&number);
        let group = cx.tx.group(number)?;
        // Sent before under another account's name: only that account may say it again.
        if !group.iter().all(|entry| cx.is_ours(entry)) {
            continue;
        }
        if group.iter().any(|entry| is_sent(&entry.state)) {
            groups.push((number, group));
        }
    }
    Ok(())
}

/// Whether an entry in this state waits for an answer.
pub(crate) fn is_sent(state: &EntryState) -> bool {
    match state {
        EntryState::InFlight | EntryState::GivenUp => true,
        EntryState::Queued | EntryState::Acked { .. } | EntryState::Rejected(_) | EntryState::Wedged { .. } => false,
    }
}

/// The outcome of one given up that cannot have reached the server.
fn never_sent() -> RejectReason {
    RejectReason {
        code: ErrorType::Discarded,
        message: "the app gave it up, and it was too large to be sent".to_owned(),
    }
}

/// These wait for the app: sent again as they stand, they would not be decided.
pub(crate) fn wedge(cx: &mut Context<'_>, group: &mut [OutboxEntry], reason: &str) -> Result<(), StepError> {
    for entry in group.iter_mut().filter(|entry| entry.state == EntryState::InFlight) {
        cx.set_state(entry, EntryState::Wedged { reason: clip(reason) })?;
        cx.effects.push(Effect::Wedged {
            number: entry.number,
            reason: clip(reason),
        });
    }
    Ok(())
}

/// Everything up to here is settled and needed by nothing. Written down when it grows, in the same durable commit, so
/// that after a power cut no outcome is asked for that the server was told to forget.
fn settled_through(cx: &mut Context<'_>) -> Result<u64, StepError> {
    let known = cx.tx.settled_through()?;
    let through = match cx.tx.oldest_needed()? {
        Some(oldest) => oldest.saturating_sub(1),
        None => cx.tx.last_number()?,
    };
    if through > known {
        cx.tx.set_settled_through(through)?;
    }
    Ok(through.max(known))
}

/// The clock has moved: the back-off may be over, a retry due, the link silent for too long.
pub(crate) fn wake(cx: &mut Context<'_>) -> Result<(), StepError> {
    let now = cx.now.monotonic;
    match cx.state.link {
        Link::Waiting { until } if until <= now => open(cx),
        Link::Open { .. } if is_stalled(cx, now) => stall(cx),
        Link::Opening if is_stalled(cx, now) => stall(cx),
        Link::Open { .. } => {
            if pace::renewal(&cx.state).is_some_and(|at| at <= now) {
                subscribe(cx);
            }
            send(cx)?;
        }
        Link::Offline | Link::Waiting { .. } | Link::Opening | Link::Paused => {}
    }
    Ok(())
}

fn is_stalled(cx: &Context<'_>, now: Duration) -> bool {
    cx.state.owed_since.is_some_and(|since| since + NO_PROGRESS_MAX <= now)
}

fn stall(cx: &mut Context<'_>) {
    cx.effects.push(Effect::Stalled);
    cx.effects.push(Effect::CloseLink);
    fail(
        cx,
        "stalled",
        &format!(
            "the link was open but nothing came for {} s; it is opened anew",
            NO_PROGRESS_MAX.as_secs()
        ),
    );
}

pub(crate) fn is_unauthorized(errors: &[GraphqlError]) -> bool {
    errors
        .iter()
        .any(|error| error.error_type == Some(ErrorType::UnauthorizedException))
}

pub(crate) fn words(errors: &[GraphqlError], otherwise: &str) -> String {
    errors
        .first()
        .map_or_else(|| otherwise.to_owned(), |error| error.message.clone())
}
