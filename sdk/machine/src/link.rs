//! The link: opening it, what goes out over it, answers, and its loss.

use std::time::Duration;

use tombolo_core::id::{MutationNumber, Position};
use tombolo_core::limits::REQUEST_BYTES_MAX;
use tombolo_core::wire::envelope::{MutationOutcome, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use crate::context::Context;
use crate::effect::{Effect, FinalOutcome, Outgoing};
use crate::input::{AnswerBody, CloseReason, FeedNumber};
use crate::limits::{HELD_RETRY, IN_FLIGHT_MAX, NO_PROGRESS_MAX, RETRYING_MAX, UNDECIDED_TRIES_MAX};
use crate::machine::StepError;
use crate::outbox::{EntryState, OutboxEntry};
use crate::state::{Link, clip};
use crate::{behind, pace, redo, render, renew};

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

/// The app has a fresh credential: a link that was refused is tried again, one that is open is opened anew with it.
pub(crate) fn token_changed(cx: &mut Context<'_>) {
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

fn pause(cx: &mut Context<'_>, message: &str) {
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
fn is_temporary(error: &GraphqlError) -> bool {
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
fn is_sent(state: &EntryState) -> bool {
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
fn wedge(cx: &mut Context<'_>, group: &mut [OutboxEntry], reason: &str) -> Result<(), StepError> {
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

/// What came back for a mutation.
pub(crate) fn answer(cx: &mut Context<'_>, number: MutationNumber, body: AnswerBody) -> Result<(), StepError> {
    match body {
        AnswerBody::Outcomes(answer) if !answer.outcomes.is_empty() => {
            cx.progress = true;
            cx.state.in_flight.remove(&number);
            cx.state.due.remove(&number);
            cx.state.busy.remove(&number);
            cx.state.held.remove(&number);
            let reused = |outcome: &MutationOutcome| is_code(outcome, &ErrorType::NumberReused);
            let (reused, others): (Vec<_>, Vec<_>) = answer.outcomes.into_iter().partition(reused);
            for outcome in others {
                decided(cx, outcome)?;
            }
            if !reused.is_empty() {
                number_reused(cx, number, reused)?;
            }
            // An answer that leaves a part of its transaction undecided is no answer to that part.
            if cx.tx.group(number)?.iter().any(|entry| is_sent(&entry.state)) {
                cx.state.in_flight.insert(number, cx.now.monotonic);
                undecided(cx, number, &[])?;
            }
        }
        AnswerBody::Outcomes(_) => undecided(cx, number, &[])?,
        AnswerBody::Undecided(errors) => undecided(cx, number, &errors)?,
    }
    // Refilled by halves, so that one durable commit serves many mutations.
    if cx.state.is_open() && cx.state.counts.queued > 0 && cx.state.in_flight.len() <= IN_FLIGHT_MAX / 2 {
        cx.wake_now = true;
    }
    Ok(())
}

fn is_code(outcome: &MutationOutcome, code: &ErrorType) -> bool {
    outcome.reason.as_ref().is_some_and(|reason| reason.code == *code)
}

/// Another file has used these numbers; nothing of this group was carried out.
fn number_reused(cx: &mut Context<'_>, first: MutationNumber, reused: Vec<MutationOutcome>) -> Result<(), StepError> {
    let given_up = cx
        .tx
        .group(first)?
        .iter()
        .any(|entry| entry.state == EntryState::GivenUp);
    if !given_up {
        return renew::number_reused(cx, first);
    }
    if cx.tx.group(first)?.iter().any(|entry| entry.replica.is_none()) {
        renew::renew(cx)?;
    }
    for outcome in reused {
        decided(cx, outcome)?;
    }
    Ok(())
}

fn decided(cx: &mut Context<'_>, outcome: MutationOutcome) -> Result<(), StepError> {
    let Some(mut entry) = cx.tx.entry(outcome.number)? else {
        return Ok(());
    };
    if !entry.state.is_undecided() {
        return Ok(());
    }
    entry.conflict = outcome.conflict;
    let last = match outcome.outcome {
        OutcomeKind::Rejected => {
            let reason = outcome.reason.unwrap_or_else(|| RejectReason {
                code: ErrorType::BadRequest,
                message: "the server refused it without a reason".to_owned(),
            });
            if is_uncertain(&reason.code) && entry.replica.is_none() {
                entry.replica = Some(renew::renew(cx)?);
            }
            if entry.state == EntryState::GivenUp {
                return redo::given_up(cx, &entry, reason);
            }
            if behind::refused_on_its_way(cx, &entry, &reason)? {
                return Ok(());
            }
            for dependent in cx.tx.waiting_for(entry.number)? {
                // The server looks among the mutations of one replica.
                if dependent.replica != entry.replica && dependent.depends_on.contains(&entry.number) {
                    redo::refuse(cx, dependent.first, &redo::depends_on(entry.number, &reason))?;
                }
            }
            cx.set_state(&mut entry, EntryState::Rejected(reason.clone()))?;
            cx.rebase_entry(&entry)?;
            FinalOutcome::Rejected(reason)
        }
        OutcomeKind::Applied | OutcomeKind::Merged => {
            // What waited for it needs it no longer, even if the server should lose this outcome (a restored backup).
            for mut dependent in cx.tx.waiting_for(entry.number)? {
                if dependent.depends_on.contains(&entry.number) {
                    dependent.depends_on.retain(|n| *n != entry.number);
                    cx.tx.set_links(&dependent)?;
                }
                if dependent.replaces == Some(entry.number) {
                    redo::replaced(cx, &entry, &mut dependent);
                    cx.tx.put_entry(&dependent)?;
                }
            }
            let cursor = outcome
                .cursor
                .as_deref()
                .and_then(|text| text.parse::<tombolo_core::id::Cursor>().ok());
            let model = cx.present_name(&entry.intent.model);
            let scope = cx
                .state
                .scopes
                .get(model)
                .filter(|_| !cx.state.refused.contains_key(model));
            let passed = match (scope, &cursor) {
                // Without a scope no feed will ever bring it; without a place in the feed there is nothing to wait for.
                (None, _) | (_, None) => true,
                // Only a complete scope has the row for certain, see `feed::batch`.
                (Some(scope), Some(cursor)) => {
                    scope.up_to_date
                        && scope
                            .parsed_cursor()
                            .is_some_and(|at| at.epoch == cursor.epoch && at.position >= cursor.position)
                }
            };
            let last = if outcome.outcome == OutcomeKind::Merged {
                FinalOutcome::Merged
            } else {
                FinalOutcome::Applied
            };
            let was_laid = entry.state.is_unsettled();
            if passed {
                cx.end(&entry, last.clone(), None)?;
            } else {
                if !was_laid {
                    cx.save_base(&entry)?;
                }
                let outcome = outcome.outcome;
                cx.set_state(&mut entry, EntryState::Acked { outcome, cursor })?;
            }
            if passed || !was_laid {
                cx.rebase_entry(&entry)?;
            }
            last
        }
    };
    cx.effects.push(Effect::Decided {
        number: outcome.number,
        outcome: last,
    });
    Ok(())
}

/// The server answered without deciding: this mutation is sent again later, others go on.
fn undecided(cx: &mut Context<'_>, number: MutationNumber, errors: &[GraphqlError]) -> Result<(), StepError> {
    if cx.state.in_flight.remove(&number).is_none() {
        return Ok(());
    }
    let message = words(errors, "the server gave no outcome");
    let mut group = cx.tx.group(number)?;
    if is_unauthorized(errors) {
        cx.state.due.insert(number, cx.now.monotonic);
        cx.effects.push(Effect::CloseLink);
        pause(cx, &message);
        return Ok(());
    }
    cx.state.note_error("undecided", &message, cx.now);
    if errors
        .iter()
        .any(|error| error.error_type == Some(ErrorType::UnknownSchema))
    {
        cx.state.held.insert(number);
        cx.state.due.insert(number, cx.now.monotonic + HELD_RETRY);
        return Ok(());
    }
    // The server has only to note that a mutation is void: there is nothing about that for the app to mend.
    let given_up = group.iter().any(|entry| entry.state == EntryState::GivenUp);
    if given_up || errors.iter().any(is_temporary) {
        // A server in trouble says nothing about the mutation: it waits, however long that takes.
        let times = cx.state.busy.entry(number).or_default();
        *times = times.saturating_add(1);
        let delay = cx.state.backoff.next(*times - 1);
        cx.state.due.insert(number, cx.now.monotonic + delay);
        return Ok(());
    }
    let mut tries = 0;
    for entry in group.iter_mut().filter(|entry| entry.state == EntryState::InFlight) {
        entry.tries = entry.tries.saturating_add(1);
        tries = tries.max(entry.tries);
        if entry.tries < UNDECIDED_TRIES_MAX {
            cx.tx.set_state(entry)?;
        }
    }
    if tries >= UNDECIDED_TRIES_MAX {
        wedge(cx, &mut group, &message)?;
    } else if tries > 0 {
        let delay = cx.state.backoff.next(tries - 1);
        cx.state.due.insert(number, cx.now.monotonic + delay);
    }
    Ok(())
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

fn is_unauthorized(errors: &[GraphqlError]) -> bool {
    errors
        .iter()
        .any(|error| error.error_type == Some(ErrorType::UnauthorizedException))
}

fn words(errors: &[GraphqlError], otherwise: &str) -> String {
    errors
        .first()
        .map_or_else(|| otherwise.to_owned(), |error| error.message.clone())
}
