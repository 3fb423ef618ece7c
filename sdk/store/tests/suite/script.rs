//! A small language for scenarios: who acts, what arrives, what is seen. One line, one thing.
//!
//! ```text
//! phone online | offline | token | retry 3 | discard 3 | redo 3 Todo title="y" (edit and retry)
//! phone scope Todo {"done":{"eq":false}}     phone scope Todo all     phone unscope Todo
//! phone create Todo/1 title="x"              edit, delete; joined by ` & ` they are one transaction
//! phone may not edit Todo/1 …                the call is refused
//! link up | down | unauthorized | trickles     the last: bytes come, but no whole message yet
//! server page Todo e.5 live; Todo/1 v2 title="x"; left Todo/2        more | live, and `reset` before it; v2! is a tombstone
//! server page Todo e.5 3@5; Todo/1 …        … and mutation 3 of this replica has landed at 5; `other`: of another replica
//! server answers 3 applied e.5 | merged e.5 | rejected CODE | nothing    of a transaction: 3-4
//! server busy 3                              it is in trouble itself, whatever mutation 3 is
//! server refuses feed CODE | feed CODE Todo   the change feed; the second names the scope
//! time 30s                                   the clock moves and the machine is woken
//! killed                                     the process dies; only the file is left
//! killed before commit of phone edit …       it dies with the writes made and not committed
//! expect Todo/1 title="x" _version=2         expect Todo/1 gone | deleted
//! expect ended 1=applied 2=rejected>5 | nothing   what has left the outbox, and what the app made of it
//! expect outbox 1=queued 2=acked | empty     expect sent 1 2 | nothing     expect cursor Todo e.5 | none
//! expect status live pending=0 upToDate=true expect effects OpenLink …
//! expect rows 10000                          of the newest page asked for
//! expect asked Comment e.5, Todo none        the newest subscription's, or page's, scopes and cursors
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;
use tombolo_core::id::{MutationNumber, Position, ReplicaId};
use tombolo_core::schema::MutationKind;
use tombolo_core::wire::batch::{Landed, LandedMutation};
use tombolo_core::wire::envelope::{MutationAnswer, MutationOutcome, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_machine::{
    AnswerBody, CloseReason, Effect, Ended, EntryState, FinalOutcome, Input, Outgoing, Scope, ScopeCursor,
};

use crate::world::{World, page};

/// Runs a script; a line that does not hold fails with its number and text.
pub(crate) fn play(script: &str) -> World {
    let mut world = World::new();
    play_on(&mut world, script);
    world
}

pub(crate) fn play_on(world: &mut World, script: &str) {
    for (at, line) in script.lines().enumerate() {
        let line = line.split(" #").next().unwrap().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Err(problem) = act(world, line) {
            panic!("line {}: {line}\n  {problem}", at + 1);
        }
    }
}

fn act(world: &mut World, line: &str) -> Result<(), String> {
    if let Some(rest) = line.strip_prefix("killed before commit of ") {
        let input = input(world, rest)?;
        world.step_and_die(input);
        return Ok(());
    }
    if line == "killed" {
        world.restart();
        return Ok(());
    }
    if let Some(rest) = line.strip_prefix("expect ") {
        return expect(world, rest);
    }
    if let Some(rest) = line.strip_prefix("phone may not ") {
        let input = input(world, &format!("phone {rest}"))?;
        return match world.step(input) {
            Err(_) => Ok(()),
            Ok(()) => Err("it was not refused".into()),
        };
    }
    if let Some(rest) = line.strip_prefix("time ") {
        let span = rest.strip_suffix("ms").map_or_else(
            || rest.strip_suffix('s').map(|s| s.parse().map(Duration::from_secs)),
            |ms| Some(ms.parse().map(Duration::from_millis)),
        );
        world.now += span.ok_or("a time is 5s or 5ms")?.map_err(|e| e.to_string())?;
        return world.step(Input::Wake).map_err(|e| e.to_string());
    }
    let input = input(world, line)?;
    world.step(input).map_err(|e| e.to_string())
}

fn input(world: &World, line: &str) -> Result<Input, String> {
    let (who, what) = line.split_once(' ').ok_or("who does what?")?;
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    Ok(match (who, verb) {
        ("phone", "online") => Input::SetOnline(true),
        ("phone", "offline") => Input::SetOnline(false),
        ("phone", "token") => Input::TokenChanged,
        ("phone", "transport") => Input::TransportChanged,
        ("phone", "retry") => Input::Retry(number(rest)?),
        ("phone", "discard") => Input::Discard(number(rest)?),
        ("phone", "redo") => {
            let [of, model, set] = rest.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                return Err("redo N MODEL field=value".into());
            };
            let (_, shape) = world.model(model);
            let (_, _, set) = record(&format!("{model}/- {set}"))?;
            let field = |(name, json): (String, Json)| {
                let field = shape.field(&name).ok_or("no such field")?;
                Ok((field, shape.fields[field.0].ty.value_from_json(&json)))
            };
            Input::Edit {
                number: number(of)?,
                values: set.into_iter().map(field).collect::<Result<_, String>>()?,
            }
        }
        ("phone", "unscope") => Input::RemoveScope(rest.into()),
        ("phone", "scope") => {
            let (model, filter) = rest.split_once(' ').ok_or("scope MODEL FILTER")?;
            let filter = if filter == "all" {
                None
            } else {
                Some(serde_json::from_str(filter).map_err(|e| e.to_string())?)
            };
            Input::SetScope(Scope {
                model: model.into(),
                filter,
            })
        }
        ("phone", "create" | "edit" | "delete") => Input::Enqueue(
            what.split(" & ")
                .map(|one| {
                    let (verb, rest) = one.split_once(' ').ok_or("what?")?;
                    let kind = match verb {
                        "create" => MutationKind::Create,
                        "edit" => MutationKind::Update,
                        _ => MutationKind::Delete,
                    };
                    let (model, id, set) = record(rest)?;
                    Ok(world.mutation(kind, &model, &id, &set))
                })
                .collect::<Result<_, String>>()?,
        ),
        ("link", "up") => Input::LinkOpened,
        ("link", "trickles") => Input::Received,
        ("link", "down") => Input::LinkClosed(CloseReason::Lost("gone".into())),
        ("link", "unauthorized") => Input::LinkClosed(CloseReason::Unauthorized("no".into())),
        ("server", "page") => return feed_page(world, rest),
        ("server", "answers") => return answer(rest),
        ("server", "busy") => {
            let mut error = GraphqlError::new(ErrorType::InternalFailure, "the store is busy");
            error.error_info = Some(serde_json::json!({"retry": true}));
            Input::Answers(vec![(number(rest)?, AnswerBody::Undecided(vec![error]))])
        }
        ("server", "refuses") => {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let ["feed", code, model @ ..] = words.as_slice() else {
                return Err("refuses feed CODE MODEL".into());
            };
            let code = serde_json::from_value(Json::from(*code)).map_err(|e| e.to_string())?;
            let mut error = GraphqlError::new(code, "no");
            error.error_info = model.first().map(|model| serde_json::json!({ "model": model }));
            Input::FeedRefused {
                feed: world.feed,
                errors: vec![error],
            }
        }
        _ => return Err("not a line of this language".into()),
    })
}

fn number(text: &str) -> Result<MutationNumber, String> {
    text.parse()
        .map(MutationNumber)
        .map_err(|_| format!("`{text}` is no number"))
}

/// `Todo/1 title="x" done=true`
fn record(text: &str) -> Result<(String, String, BTreeMap<String, Json>), String> {
    let mut words = text.split_whitespace();
    let (model, id) = words.next().and_then(|w| w.split_once('/')).ok_or("MODEL/ID")?;
    let set = words
        .map(|word| {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}`: name=value"))?;
            Ok((
                name.to_owned(),
                serde_json::from_str(value).map_err(|e| format!("`{value}`: {e}"))?,
            ))
        })
        .collect::<Result<_, String>>()?;
    Ok((model.into(), id.into(), set))
}

fn feed_page(world: &World, text: &str) -> Result<Input, String> {
    let mut parts = text.split(';').map(str::trim);
    let head: Vec<&str> = parts.next().unwrap_or("").split_whitespace().collect();
    let [model, cursor, flags @ ..] = head.as_slice() else {
        return Err("page MODEL CURSOR".into());
    };
    let (mut rows, mut left) = (Vec::new(), Vec::new());
    for part in parts {
        if let Some(gone) = part.strip_prefix("left ") {
            left.push(record(gone)?.1);
            continue;
        }
        let mut words: Vec<&str> = part.split_whitespace().collect();
        let version = words.remove(1);
        let (_, id, set) = record(&words.join(" "))?;
        let deleted = version.ends_with('!');
        let version = version
            .trim_start_matches('v')
            .trim_end_matches('!')
            .parse()
            .map_err(|_| "vN")?;
        rows.push((id, version, deleted, set));
    }
    let (_, shape) = world.model(model);
    let mut batch = page(
        &shape,
        cursor,
        flags.contains(&"live"),
        flags.contains(&"reset"),
        &rows,
        &left,
    );
    // `7@12`: mutation 7 has landed at position 12; with `other` it was another replica's.
    let mutations: Vec<LandedMutation> = flags
        .iter()
        .filter_map(|flag| flag.split_once('@'))
        .map(|(number, position)| {
            Ok(LandedMutation {
                number: self::number(number)?,
                position: Position(position.parse().map_err(|_| "N@POSITION")?),
            })
        })
        .collect::<Result<_, String>>()?;
    let replica = if flags.contains(&"other") {
        ReplicaId("other".into())
    } else {
        world.replica.clone()
    };
    batch.landed = (!mutations.is_empty()).then_some(Landed { replica, mutations });
    Ok(Input::Batch {
        feed: world.feed,
        batch,
    })
}

fn answer(text: &str) -> Result<Input, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (numbers, what) = words.split_first().ok_or("answers N …")?;
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (number(first)?, number(last)?);
    let outcome = |outcome, cursor: Option<&str>, reason: Option<RejectReason>| {
        AnswerBody::Outcomes(MutationAnswer {
            outcomes: (first.0..=last.0)
                .map(|n| MutationOutcome {
                    number: MutationNumber(n),
                    outcome,
                    reason: reason.clone(),
                    cursor: cursor.map(String::from),
                    conflict: None,
                })
                .collect(),
        })
    };
    let answer = match what {
        ["applied", cursor] => outcome(OutcomeKind::Applied, Some(cursor), None),
        ["merged", cursor] => outcome(OutcomeKind::Merged, Some(cursor), None),
        ["rejected", code] => {
            let code: ErrorType = serde_json::from_value(Json::from(*code)).map_err(|e| e.to_string())?;
            outcome(
                OutcomeKind::Rejected,
                None,
                Some(RejectReason {
                    code,
                    message: "no".into(),
                }),
            )
        }
        ["nothing"] => AnswerBody::Undecided(Vec::new()),
        _ => return Err("applied CURSOR, merged CURSOR, rejected CODE or nothing".into()),
    };
    Ok(Input::Answers(vec![(first, answer)]))
}

fn expect(world: &mut World, text: &str) -> Result<(), String> {
    let (what, rest) = text.split_once(' ').ok_or("expect what?")?;
    let same = |seen: String, wanted: &str| {
        if seen == wanted {
            Ok(())
        } else {
            Err(format!("seen: {seen}"))
        }
    };
    match what {
        "outbox" => {
            let entries = world.outbox();
            let seen: Vec<String> = entries
                .iter()
                .map(|e| format!("{}={}", e.number, state(&e.state)))
                .collect();
            same(
                if seen.is_empty() {
                    "empty".into()
                } else {
                    seen.join(" ")
                },
                rest,
            )
        }
        "ended" => {
            let seen: Vec<String> = world.ended().iter().map(ended).collect();
            same(
                if seen.is_empty() {
                    "nothing".into()
                } else {
                    seen.join(" ")
                },
                rest,
            )
        }
        "sent" => {
            let seen: Vec<String> = std::mem::take(&mut world.sent)
                .iter()
                .map(ToString::to_string)
                .collect();
            same(
                if seen.is_empty() {
                    "nothing".into()
                } else {
                    seen.join(" ")
                },
                rest,
            )
        }
        "cursor" => {
            let (model, cursor) = rest.split_once(' ').ok_or("cursor MODEL CURSOR")?;
            let scopes = world.tx(|tx| tx.scopes().unwrap());
            let scope = scopes.into_iter().find(|s| s.model == model).ok_or("no such scope")?;
            same(scope.cursor.unwrap_or_else(|| "none".into()), cursor)
        }
        "status" => {
            let status = world.machine.status().clone();
            for word in rest.split_whitespace() {
                let seen = match word.split_once('=').map_or("link", |(name, _)| name) {
                    "link" => format!("{:?}", status.link).to_lowercase(),
                    "pending" => format!("pending={}", status.pending),
                    "inFlight" => format!("inFlight={}", status.in_flight),
                    "wedged" => format!("wedged={}", status.wedged),
                    "rejected" => format!("rejected={}", status.rejected),
                    "upToDate" => format!("upToDate={}", status.up_to_date),
                    "error" => format!("error={}", status.last_error.as_ref().map_or("none", |e| e.code)),
                    other => return Err(format!("status has no `{other}`")),
                };
                same(seen, word)?;
            }
            Ok(())
        }
        "rows" => same(world.rows.to_string(), rest),
        "effects" => same(effects(&world.effects), rest),
        "asked" => {
            let words = |scope: &ScopeCursor| format!("{} {}", scope.model, scope.cursor.as_deref().unwrap_or("none"));
            let seen: Vec<String> = world.asked.iter().map(words).collect();
            same(seen.join(", "), rest)
        }
        _ => {
            let (model, id) = what.split_once('/').ok_or("expect what?")?;
            let (_, shape) = world.model(model);
            let row = world.row(model, id);
            match (row, rest) {
                (None, "gone") => Ok(()),
                (None, _) => Err("seen: gone".into()),
                (Some(row), "deleted") if row.meta.deleted => Ok(()),
                (Some(row), _) if row.meta.deleted => Err("seen: deleted".into()),
                (Some(row), _) => {
                    for word in rest.split_whitespace() {
                        let (name, _) = word.split_once('=').ok_or_else(|| format!("seen: {row:?}"))?;
                        let seen = match name {
                            "_version" => Json::from(row.meta.version.0),
                            name => row.value(shape.field(name).ok_or("no such field")?).to_json(),
                        };
                        same(format!("{name}={seen}"), word)?;
                    }
                    Ok(())
                }
            }
        }
    }
}

fn state(state: &EntryState) -> &'static str {
    match state {
        EntryState::Queued => "queued",
        EntryState::InFlight => "inflight",
        EntryState::Acked { .. } => "acked",
        EntryState::Rejected(_) => "rejected",
        EntryState::Wedged { .. } => "wedged",
        EntryState::GivenUp => "givenup",
    }
}

fn ended(ended: &Ended) -> String {
    let outcome = match ended.outcome {
        FinalOutcome::Applied => "applied",
        FinalOutcome::Merged => "merged",
        FinalOutcome::Rejected(_) => "rejected",
        FinalOutcome::Discarded => "discarded",
    };
    let became = ended.became.map_or_else(String::new, |number| format!(">{number}"));
    format!("{}={outcome}{became}", ended.number)
}

/// The names of effects, without those that every step may have.
pub(crate) fn effects(effects: &[Effect]) -> String {
    let names: Vec<&str> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::OpenLink => Some("OpenLink"),
            Effect::CloseLink => Some("CloseLink"),
            Effect::Send(Outgoing::Subscribe { .. }) => Some("Subscribe"),
            Effect::Send(Outgoing::Unsubscribe { .. }) => Some("Unsubscribe"),
            Effect::Send(Outgoing::Mutation { .. }) => Some("Mutation"),
            Effect::Send(Outgoing::FetchPage { .. }) => Some("FetchPage"),
            Effect::NeedToken => Some("NeedToken"),
            Effect::Enqueued(_) => Some("Enqueued"),
            Effect::Decided { .. } => Some("Decided"),
            Effect::Wedged { .. } => Some("Wedged"),
            Effect::Pulled { .. } => Some("Pulled"),
            Effect::Stalled => Some("Stalled"),
            Effect::Renewed { .. } => Some("Renewed"),
            Effect::Renumbered(_) => Some("Renumbered"),
            Effect::WakeAt(_) | Effect::Changed(_) | Effect::Status(_) => None,
        })
        .collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(" ")
    }
}
