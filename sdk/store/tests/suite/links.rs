//! Every state of the link × every input: a match without wildcards, so that a new state or input must be decided here.

use std::time::Duration;

use serde_json::json;
use tombolo_core::id::MutationNumber;
use tombolo_core::schema::MutationKind;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_machine::{AnswerBody, CloseReason, Feed, FeedNumber, Input, Link, Scope};

use crate::script::{effects, play_on};
use crate::world::{World, page};

#[derive(Clone, Copy, Debug)]
enum At {
    Offline,
    Waiting,
    Opening,
    CatchingUp,
    Live,
    Paused,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Start,
    Online,
    Offline,
    Opened,
    Lost,
    Unauthorized,
    PageLive,
    PageMore,
    FeedRefused,
    FeedUnauthorized,
    Undecided,
    Enqueue,
    Retry,
    Edit,
    Discard,
    SetScope,
    RemoveScope,
    Token,
    Transport,
    Received,
    WakeEarly,
    WakeLate,
    Refresh,
}

const STATES: [At; 6] = [
    At::Offline,
    At::Waiting,
    At::Opening,
    At::CatchingUp,
    At::Live,
    At::Paused,
];
const EVENTS: [Event; 23] = [
    Event::Start,
    Event::Online,
    Event::Offline,
    Event::Opened,
    Event::Lost,
    Event::Unauthorized,
    Event::PageLive,
    Event::PageMore,
    Event::FeedRefused,
    Event::FeedUnauthorized,
    Event::Undecided,
    Event::Enqueue,
    Event::Retry,
    Event::Edit,
    Event::Discard,
    Event::SetScope,
    Event::RemoveScope,
    Event::Token,
    Event::Transport,
    Event::Received,
    Event::WakeEarly,
    Event::WakeLate,
    Event::Refresh,
];

/// What must happen: the state after it, and the effects (without wake-ups, changes and status).
///
/// The replica has one scope and one mutation, wedged (so that `Retry` and `Discard` mean something and nothing is owed).
fn expected(at: At, event: Event) -> (At, &'static str) {
    use At::{CatchingUp, Live, Offline, Opening, Paused, Waiting};
    match (event, at) {
        // A second start does nothing.
        (Event::Start, at) => (at, "none"),
        (Event::Online, Offline | Waiting) => (Opening, "OpenLink"),
        (Event::Online, at @ (Opening | CatchingUp | Live | Paused)) => (at, "none"),
        (Event::Offline, Offline | Waiting | Paused) => (Offline, "none"),
        (Event::Offline, Opening | CatchingUp | Live) => (Offline, "CloseLink"),
        (Event::Opened, Opening) => (CatchingUp, "Subscribe"),
        // Nobody asked for it any more.
        (Event::Opened, at @ (Offline | Waiting | Paused)) => (at, "CloseLink"),
        (Event::Opened, at @ (CatchingUp | Live)) => (at, "none"),
        (Event::Lost, Opening | CatchingUp | Live) => (Waiting, "none"),
        (Event::Lost, at @ (Offline | Waiting | Paused)) => (at, "none"),
        (Event::Unauthorized, Opening | CatchingUp | Live) => (Paused, "NeedToken"),
        (Event::Unauthorized, at @ (Offline | Waiting | Paused)) => (at, "none"),
        (Event::PageLive, CatchingUp | Live) => (Live, "Pulled"),
        (Event::PageMore, CatchingUp | Live) => (CatchingUp, "Pulled"),
        // Of a link that is gone.
        (Event::PageLive | Event::PageMore, at @ (Offline | Waiting | Opening | Paused)) => (at, "none"),
        (Event::FeedRefused, CatchingUp | Live) => (Waiting, "CloseLink"),
        (Event::FeedUnauthorized, CatchingUp | Live) => (Paused, "CloseLink NeedToken"),
        (Event::FeedRefused | Event::FeedUnauthorized, at @ (Offline | Waiting | Opening | Paused)) => (at, "none"),
        // Nothing is in flight, so the answer answers nothing.
        (Event::Undecided, at) => (at, "none"),
        (Event::Enqueue, at @ (CatchingUp | Live)) => (at, "Enqueued Mutation"),
        (Event::Enqueue, at @ (Offline | Waiting | Opening | Paused)) => (at, "Enqueued"),
        (Event::Retry, at @ (CatchingUp | Live)) => (at, "Mutation"),
        (Event::Retry, at @ (Offline | Waiting | Opening | Paused)) => (at, "none"),
        (Event::Edit, at @ (CatchingUp | Live)) => (at, "Enqueued Mutation"),
        (Event::Edit, at @ (Offline | Waiting | Opening | Paused)) => (at, "Enqueued"),
        // The server is asked to make its number void.
        (Event::Discard, at @ (CatchingUp | Live)) => (at, "Mutation"),
        (Event::Discard, at @ (Offline | Waiting | Opening | Paused)) => (at, "none"),
        (Event::SetScope, CatchingUp | Live) => (CatchingUp, "Unsubscribe Subscribe"),
        (Event::RemoveScope, CatchingUp | Live) => (Live, "Unsubscribe"),
        (Event::SetScope | Event::RemoveScope, at @ (Offline | Waiting | Opening | Paused)) => (at, "none"),
        (Event::Token | Event::Transport, Waiting | Paused) => (Opening, "OpenLink"),
        (Event::Token | Event::Transport, Opening | CatchingUp | Live) => (Opening, "CloseLink OpenLink"),
        (Event::Token | Event::Transport, Offline) => (Offline, "none"),
        (Event::Received | Event::WakeEarly, at) => (at, "none"),
        (Event::WakeLate, Waiting) => (Opening, "OpenLink"),
        (Event::WakeLate, Opening | CatchingUp) => (Waiting, "Stalled CloseLink"),
        (Event::WakeLate, at @ (Offline | Live | Paused)) => (at, "none"),
        // Nobody else has written anything.
        (Event::Refresh, at) => (at, "none"),
    }
}

/// Which event an input is: no wildcard, so that a new input asks for a line in the table.
fn input(world: &World, event: Event) -> Input {
    let (_, shape) = world.model("Todo");
    let made = match event {
        Event::Start => Input::Start,
        Event::Online => Input::SetOnline(true),
        Event::Offline => Input::SetOnline(false),
        Event::Opened => Input::LinkOpened,
        Event::Lost => Input::LinkClosed(CloseReason::Lost("gone".into())),
        Event::Unauthorized => Input::LinkClosed(CloseReason::Unauthorized("no".into())),
        Event::PageLive => Input::Batch {
            feed: world.feed,
            batch: page(&shape, "e.2", true, false, &[], &[]),
        },
        Event::PageMore => Input::Batch {
            feed: world.feed,
            batch: page(&shape, "e.2", false, false, &[], &[]),
        },
        Event::FeedRefused => Input::FeedRefused {
            feed: world.feed,
            errors: Vec::new(),
        },
        Event::FeedUnauthorized => Input::FeedRefused {
            feed: world.feed,
            errors: vec![GraphqlError::new(ErrorType::UnauthorizedException, "no")],
        },
        Event::Undecided => Input::Answers(vec![(MutationNumber(1), AnswerBody::Undecided(Vec::new()))]),
        Event::Enqueue => Input::Enqueue(vec![world.mutation(
            MutationKind::Create,
            "Todo",
            "2",
            &Default::default(),
        )]),
        Event::Retry => Input::Retry(MutationNumber(1)),
        Event::Edit => Input::Edit {
            number: MutationNumber(1),
            values: Vec::new(),
        },
        Event::Discard => Input::Discard(MutationNumber(1)),
        Event::SetScope => Input::SetScope(Scope {
            model: "Todo".into(),
            filter: Some(json!({"rank": {"eq": 1}})),
        }),
        Event::RemoveScope => Input::RemoveScope("Todo".into()),
        Event::Token => Input::TokenChanged,
        Event::Transport => Input::TransportChanged,
        Event::Received => Input::Received,
        Event::WakeEarly | Event::WakeLate => Input::Wake,
        Event::Refresh => Input::Refresh,
    };
    // The compiler asks here when an input is added.
    match &made {
        Input::Start
        | Input::SetOnline(_)
        | Input::LinkOpened
        | Input::LinkClosed(
            CloseReason::Lost(_) | CloseReason::Unauthorized(_) | CloseReason::Protocol(_) | CloseReason::Ended,
        )
        | Input::Batch { .. }
        | Input::FeedRefused { .. }
        | Input::Answers(_)
        | Input::Enqueue(_)
        | Input::Retry(_)
        | Input::Edit { .. }
        | Input::Discard(_)
        | Input::SetScope(_)
        | Input::RemoveScope(_)
        | Input::TokenChanged
        | Input::TransportChanged
        | Input::Received
        | Input::Wake
        | Input::Refresh => {}
    }
    made
}

/// A replica in the given state, with mutation 1 wedged.
fn world_at(at: At) -> World {
    let mut world = World::new();
    let mut wedge = String::from("phone scope Todo all\nphone create Todo/1 title=\"a\"\nphone online\nlink up\n");
    for _ in 0..tombolo_machine::limits::UNDECIDED_TRIES_MAX {
        wedge.push_str("server page Todo e.1 live\nserver answers 1 nothing\ntime 30s\n");
    }
    play_on(&mut world, &wedge);
    play_on(
        &mut world,
        match at {
            At::Offline => "phone offline",
            At::Waiting => "link down",
            At::Opening => "phone offline\nphone online",
            At::CatchingUp => "phone offline\nphone online\nlink up",
            At::Live => "server page Todo e.1 live",
            At::Paused => "link unauthorized",
        },
    );
    world
}

fn seen(world: &World) -> At {
    match world.machine.link() {
        Link::Offline => At::Offline,
        Link::Waiting { .. } => At::Waiting,
        Link::Opening => At::Opening,
        Link::Open { feed: Feed::CatchingUp } => At::CatchingUp,
        Link::Open { feed: Feed::Live } => At::Live,
        Link::Paused => At::Paused,
    }
}

#[test]
fn every_state_answers_every_input() {
    let mut wrong = Vec::new();
    for at in STATES {
        for event in EVENTS {
            let mut world = world_at(at);
            assert_eq!(format!("{:?}", seen(&world)), format!("{at:?}"));
            if matches!(event, Event::WakeLate) {
                world.now += Duration::from_secs(31);
            }
            let input = input(&world, event);
            world.step(input).unwrap();
            let (then, wanted) = expected(at, event);
            let found = (format!("{:?}", seen(&world)), effects(&world.effects));
            if found != (format!("{then:?}"), wanted.to_owned()) {
                wrong.push(format!("{at:?} × {event:?}: {found:?}, not {:?}", (then, wanted)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_batch_of_another_subscription_is_dropped_in_every_state() {
    for at in STATES {
        let mut world = world_at(at);
        let (_, shape) = world.model("Todo");
        let stale = FeedNumber(world.feed.0 + 7);
        world
            .step(Input::Batch {
                feed: stale,
                batch: page(&shape, "e.9", true, true, &[], &[]),
            })
            .unwrap();
        assert_eq!(
            world.tx(|tx| tx.scopes().unwrap())[0].cursor.as_deref(),
            Some("e.1"),
            "{at:?}"
        );
    }
}

#[test]
fn nothing_happens_before_the_start() {
    let world = World::new();
    let mut fresh = tombolo_machine::Machine::new(world.schema.clone(), world.settings.clone());
    let mut store = tombolo_store::Store::open_in_memory(world.schema.clone(), crate::world::options()).unwrap();
    let mut tx = store.begin(false).unwrap();
    assert!(matches!(
        fresh.step(&mut tx, Input::Wake, world.now()),
        Err(tombolo_machine::StepError::NotStarted)
    ));
    let step = fresh.step(&mut tx, Input::Start, world.now()).unwrap();
    assert_eq!(fresh.install(step), []);
}

#[test]
fn a_page_that_the_store_could_not_take_is_never_passed() {
    let mut world = world_at(At::Live);
    let (_, shape) = world.model("Todo");
    let feed = world.feed;
    // The driver's store failed on a page; the pages behind it are already on their way.
    world.effects = world.machine.link_broken("the disk is full", world.now());
    assert_eq!(effects(&world.effects), "CloseLink");
    world
        .step(Input::Batch {
            feed,
            batch: page(&shape, "e.9", true, false, &[], &[]),
        })
        .unwrap();
    play_on(
        &mut world,
        r#"
        expect cursor Todo e.1
        expect status waiting error=store
        time 30s
        expect effects OpenLink
        link up
        "#,
    );
    world
        .step(Input::Batch {
            feed,
            batch: page(&shape, "e.9", true, false, &[], &[]),
        })
        .unwrap();
    play_on(&mut world, "expect cursor Todo e.1");
}

#[test]
fn another_transport_is_tried_at_once_and_with_a_short_patience_again() {
    let mut world = world_at(At::Waiting);
    // Many failures by the old one: the next ceiling is the highest.
    for _ in 0..12 {
        play_on(&mut world, "time 30s\nexpect effects OpenLink\nlink down");
    }
    play_on(&mut world, "phone transport\nexpect effects OpenLink\nlink down");
    // After its first failure the new one is tried within a quarter of a second.
    play_on(&mut world, "time 250ms\nexpect effects OpenLink");
}
