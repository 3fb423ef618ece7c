//! What a replica does, told as scripts. If a bug cannot be told in ten such lines, the language lacks a word: add it.

use crate::script::play;

const UP: &str = "phone scope Todo all\nphone online\nlink up\nserver page Todo e.1 live\n";

fn play_up(script: &str) {
    play(&format!("{UP}{script}"));
}

#[test]
fn an_edit_is_seen_at_once_and_settles_when_the_feed_has_passed_it() {
    play_up(
        r#"
        server page Todo e.2 live; Todo/1 v1 title="a" rank=1
        phone edit Todo/1 title="b"
        expect Todo/1 title="b" rank=1 _version=1
        expect sent 1
        server answers 1 applied e.3
        expect outbox 1=acked
        expect status live pending=1 upToDate=true
        expect Todo/1 title="b"
        # A page below the mutation's place does not settle it, and cannot hide it.
        server page Todo e.2 live; Todo/1 v1 title="a" rank=2
        expect Todo/1 title="b" rank=2
        expect outbox 1=acked
        server page Todo e.3 live; Todo/1 v2 title="b" rank=2
        expect outbox empty
        expect Todo/1 title="b" rank=2 _version=2
        expect status live pending=0
        "#,
    );
}

#[test]
fn the_feed_may_be_faster_than_the_answer() {
    play_up(
        r#"
        phone create Todo/1 title="a"
        server page Todo e.5 live; Todo/1 v1 title="a"
        expect outbox 1=inflight
        server answers 1 applied e.5
        expect outbox empty
        expect Todo/1 title="a" _version=1
        "#,
    );
}

#[test]
fn a_page_in_the_middle_of_a_catch_up_settles_nothing() {
    play_up(
        r#"
        server page Todo e.2 live; Todo/1 v1 title="a"
        phone edit Todo/1 title="mine"
        phone create Todo/2 title="alsomine"
        server answers 1 applied e.40
        link down
        time 30s
        link up
        # The row was written again at 9000, which this page does not reach.
        server page Todo e.540 more; Todo/7 v1 title="x"
        expect Todo/1 title="mine"
        expect outbox 1=acked 2=inflight
        # An answer from before the end of the catch-up settles nothing either.
        server answers 2 applied e.41
        expect Todo/2 title="alsomine"
        expect outbox 1=acked 2=acked
        server page Todo e.9000 live; Todo/1 v3 title="theirs"; Todo/2 v1 title="alsomine"
        expect outbox empty
        expect Todo/1 title="theirs" _version=3
        expect Todo/2 title="alsomine" _version=1
        "#,
    );
}

#[test]
fn a_rejection_rolls_back_at_once_and_stays_listed() {
    play_up(
        r#"
        server page Todo e.2 live; Todo/1 v1 title="a" rank=1
        phone edit Todo/1 title="b"
        phone edit Todo/1 rank=7
        expect sent 1
        expect Todo/1 title="b" rank=7
        server answers 1 rejected ConditionalCheckFailedException
        expect Todo/1 title="a" rank=7
        expect outbox 1=rejected 2=queued
        expect status live rejected=1 pending=1
        time 0s
        expect sent 2
        phone discard 1
        expect outbox 2=inflight
        phone may not discard 2
        "#,
    );
}

#[test]
fn what_was_in_flight_is_resent_with_the_same_number() {
    play_up(
        r#"
        phone create Todo/1 title="a"
        phone create Todo/2 title="b"
        expect sent 1 2
        link down
        expect status waiting pending=2
        phone create Todo/3 title="c"
        expect sent nothing
        time 30s
        expect effects OpenLink
        link up
        expect sent 1 2 3
        killed
        phone online
        link up
        expect sent 1 2 3
        server answers 1 applied e.2
        server answers 1 applied e.2
        expect outbox 1=acked 2=inflight 3=inflight
        "#,
    );
}

#[test]
fn a_kill_before_the_commit_leaves_nothing_and_after_it_everything() {
    play(
        r#"
        phone scope Todo all
        killed before commit of phone create Todo/1 title="a"
        expect Todo/1 gone
        expect outbox empty
        phone create Todo/1 title="b"
        killed
        expect Todo/1 title="b"
        expect outbox 1=queued
        phone online
        link up
        expect sent 1
        killed before commit of server page Todo e.9 live; Todo/5 v1 title="x"
        expect cursor Todo none
        expect Todo/5 gone
        "#,
    );
}

#[test]
fn a_mutation_waits_for_what_it_depends_on_and_nothing_else_waits() {
    play_up(
        r#"
        phone offline
        phone create Todo/1 title="a"
        phone create Comment/1 todoId="1" text="t"
        phone create Todo/2 title="b"
        phone online
        link up
        expect sent 1 3
        server answers 1 nothing
        time 0s
        expect sent nothing
        server answers 3 applied e.2
        time 1s
        expect sent 1
        server answers 1 applied e.3
        time 0s
        expect sent 2
        "#,
    );
}

#[test]
fn an_undecided_mutation_is_wedged_at_last_and_does_not_block_the_rest() {
    let mut script = String::from("phone create Todo/1 title=\"a\"\nserver answers 1 nothing\n");
    for _ in 1..tombolo_machine::limits::UNDECIDED_TRIES_MAX {
        script.push_str("time 30s\nserver page Todo e.2 live\nserver answers 1 nothing\n");
    }
    script.push_str(
        r#"
        expect outbox 1=wedged
        expect status live wedged=1 pending=0
        expect Todo/1 title="a"
        phone edit Todo/1 title="b"
        phone create Todo/2 title="c"
        expect outbox 1=wedged 2=queued 3=inflight
        killed
        expect outbox 1=wedged 2=queued 3=inflight
        phone retry 1
        phone online
        link up
        server answers 1 applied e.3
        time 0s
        expect outbox 1=acked 2=inflight 3=inflight
        "#,
    );
    play_up(&script);
}

#[test]
fn a_discarded_mutation_is_rolled_back_and_frees_those_that_waited() {
    play(
        r#"
        phone scope Todo all
        phone create Todo/1 title="a"
        phone create Comment/1 todoId="1"
        phone discard 1
        expect Todo/1 gone
        expect outbox 2=queued
        phone may not discard 1
        phone online
        link up
        expect sent 2
        "#,
    );
}

#[test]
fn a_transaction_travels_as_one_and_ends_as_one() {
    let world = play(
        r#"
        phone scope Todo all
        phone online
        link up
        phone create Todo/1 title="a" & create Comment/1 todoId="1" text="t" & edit Todo/1 rank=3
        expect Todo/1 title="a" rank=3
        expect sent 1
        expect outbox 1=inflight 2=inflight 3=inflight
        link down
        time 30s
        link up
        expect sent 1
        "#,
    );
    let request = world.effects.iter().find_map(|effect| match effect {
        tombolo_machine::Effect::Send(tombolo_machine::Outgoing::Mutation { request, .. }) => Some(request.clone()),
        _ => None,
    });
    let request = request.unwrap();
    assert_eq!(
        request.query,
        "mutation($i0: CreateTodoInput!, $c0: ModelTodoConditionInput, $i1: CreateCommentInput!, \
         $c1: ModelCommentConditionInput, $i2: UpdateTodoInput!, $c2: ModelTodoConditionInput) { \
         m0: createTodo(input: $i0, condition: $c0) { id _version } \
         m1: createComment(input: $i1, condition: $c1) { id _version } \
         m2: updateTodo(input: $i2, condition: $c2) { id _version } }"
    );
    assert_eq!(
        serde_json::json!(request.extensions)["tombolo"],
        serde_json::json!({
            "replica": "11111111-1111-4111-8111-111111111111", "number": 1, "seen": [1],
            "schema": world.schema.hash, "settledThrough": 0, "atomic": true,
        })
    );
    let mut world = world;
    crate::script::play_on(
        &mut world,
        r#"
        server answers 1-3 rejected ConditionalCheckFailedException
        expect outbox 1=rejected 2=rejected 3=rejected
        expect Todo/1 gone
        expect Comment/1 gone
        "#,
    );
}

#[test]
fn every_request_is_valid_in_the_generated_api() {
    let world = play(
        r#"
        phone scope Todo all
        phone online
        link up
        phone create Todo/1 title="a" tags=["x"] share=0.5
        phone edit Todo/2 title="b"
        phone delete Todo/3
        expect sent 1 2 3
        link down
        time 30s
        link up
        "#,
    );
    let limits = tombolo_core::query::QueryLimits::default();
    let mut seen = 0;
    for effect in &world.effects {
        if let tombolo_machine::Effect::Send(tombolo_machine::Outgoing::Mutation { request, .. }) = effect {
            let document = tombolo_core::query::Document::parse(&world.schema, &request.query, &limits).unwrap();
            let access = tombolo_core::access::Access::of(&world.schema, &tombolo_core::access::Identity::Local);
            let variables = request.variables.clone().unwrap();
            document
                .bind(None, &variables, &access, tombolo_core::query::Side::Server)
                .unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn leaving_the_scope_is_synced_too() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"; Todo/2 v1 title="b"; Todo/3 v1! title="c"
        expect Todo/3 deleted
        phone edit Todo/2 title="mine"
        server page Todo e.5 live; left Todo/1; left Todo/2
        expect Todo/1 gone
        expect Todo/2 gone
        server answers 1 rejected ConditionalCheckFailedException
        expect Todo/2 gone
        "#,
    );
}

#[test]
fn a_base_sync_sweeps_what_is_no_longer_there_and_keeps_the_queue() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"; Todo/2 v1 title="b"; Todo/3 v1 title="c"
        phone edit Todo/3 title="mine"
        phone create Todo/4 title="new"
        server answers 1 applied e.9
        server page Todo f.2 reset; Todo/1 v7 title="a2"
        expect Todo/2 title="b"
        expect status catchingup upToDate=false
        server page Todo f.3 live; Todo/5 v1 title="e"
        expect Todo/1 title="a2"
        expect Todo/2 gone
        expect Todo/3 gone
        expect Todo/4 title="new"
        expect Todo/5 title="e"
        # The first was acknowledged in a history that is no more: unknown again.
        expect outbox 1=inflight 2=inflight
        expect cursor Todo f.3
        "#,
    );
}

#[test]
fn a_cursor_never_goes_back_and_an_old_subscription_moves_nothing() {
    let mut world = play(&format!(
        "{UP}{}",
        r#"
        server page Todo e.8 live; Todo/1 v3 title="new"
        server page Todo e.5 live; Todo/1 v2 title="old"
        expect cursor Todo e.8
        expect Todo/1 title="new"
        "#
    ));
    let old = world.feed;
    crate::script::play_on(
        &mut world,
        r#"
        phone scope Todo {"title":{"eq":"new"}}
        expect effects Unsubscribe Subscribe
        expect cursor Todo none
        "#,
    );
    let (_, shape) = world.model("Todo");
    let batch = crate::world::page(&shape, "e.9", true, false, &[], &[]);
    world.step(tombolo_machine::Input::Batch { feed: old, batch }).unwrap();
    crate::script::play_on(&mut world, "expect cursor Todo none");
}

#[test]
fn a_scope_changes_without_a_wipe() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a" rank=1; Todo/2 v1 title="b" rank=2; Todo/3 v1 title="c" rank=2
        phone edit Todo/1 title="mine"
        phone scope Todo {"rank":{"eq":2}}
        expect Todo/2 title="b"
        expect Todo/1 title="mine"
        server page Todo e.4 live; Todo/2 v1 title="b" rank=2
        expect Todo/3 gone
        expect Todo/1 gone
        expect Todo/2 title="b"
        expect outbox 1=inflight
        phone unscope Todo
        expect Todo/2 gone
        server answers 1 applied e.7
        expect outbox empty
        phone may not scope Nothing all
        phone may not scope Todo {"nonsense":{"eq":2}}
        "#,
    );
}

#[test]
fn a_model_without_scope_settles_at_the_answer() {
    play(
        r#"
        phone online
        link up
        expect status live upToDate=true
        phone create Comment/1 todoId="9" text="t"
        expect Comment/1 text="t"
        server answers 1 applied e.2
        expect outbox empty
        expect Comment/1 gone
        "#,
    );
}

#[test]
fn silence_on_a_link_that_owes_something_is_an_event() {
    play_up(
        r#"
        time 600s
        expect effects none
        expect status live
        phone create Todo/1 title="a"
        time 29s
        expect status live
        time 1s
        expect effects Stalled CloseLink
        expect status waiting error=stalled
        "#,
    );
}

#[test]
fn a_refused_credential_pauses_and_local_life_goes_on() {
    play_up(
        r#"
        link unauthorized
        expect effects NeedToken
        expect status paused error=unauthorized
        time 600s
        expect effects none
        phone create Todo/1 title="a"
        expect Todo/1 title="a"
        phone token
        expect effects OpenLink
        link up
        expect sent 1
        "#,
    );
}

#[test]
fn a_create_of_what_is_here_is_refused_and_not_enqueued() {
    play_up(
        r#"
        server page Todo e.2 live; Todo/1 v1 title="a"
        phone may not create Todo/1 title="b"
        expect outbox empty
        phone delete Todo/1
        expect Todo/1 deleted
        "#,
    );
}

#[test]
fn a_base_sync_by_pages_comes_before_the_subscription_and_goes_on_after_a_lost_link() {
    let settings = tombolo_machine::Settings {
        base_sync_by_pages: true,
        ..Default::default()
    };
    let mut world = crate::world::World::with(settings);
    crate::script::play_on(
        &mut world,
        r#"
        phone scope Todo all
        phone scope Comment all
        phone online
        link up
        expect effects FetchPage
        server page Comment e.1 live
        expect effects Pulled FetchPage
        server page Todo e.2 more; Todo/1 v1 title="a"
        expect effects Pulled FetchPage
        link down
        expect cursor Todo e.2
        time 30s
        link up
        expect asked Todo e.2
        expect effects FetchPage
        server page Todo e.3 live; Todo/2 v1 title="b"
        expect effects Pulled Subscribe
        server page Comment e.3 live
        expect status live upToDate=true
        link down
        time 30s
        link up
        expect effects Subscribe
        "#,
    );
}

#[test]
fn only_the_window_is_in_flight_and_answers_refill_it_by_halves() {
    use tombolo_machine::limits::IN_FLIGHT_MAX;
    let mut world = play("phone scope Todo all");
    for i in 0..IN_FLIGHT_MAX * 2 {
        crate::script::play_on(&mut world, &format!("phone create Todo/{i}"));
    }
    crate::script::play_on(&mut world, "phone online\nlink up");
    assert_eq!(world.sent.len(), IN_FLIGHT_MAX);
    let half = IN_FLIGHT_MAX / 2;
    for i in 1..=half {
        assert_eq!(world.sent.len(), IN_FLIGHT_MAX, "not one by one");
        crate::script::play_on(&mut world, &format!("server answers {i} applied e.{i}"));
        let wake = tombolo_machine::Effect::WakeAt(world.now);
        assert_eq!(world.effects.contains(&wake), i == half, "answer {i}");
    }
    crate::script::play_on(&mut world, "time 0s");
    assert_eq!(world.sent.len(), IN_FLIGHT_MAX + half);
    assert_eq!(world.machine.status().in_flight as usize, IN_FLIGHT_MAX);
}

#[test]
fn the_server_is_told_what_it_may_forget_and_nothing_that_is_needed() {
    let mut world = play(
        r#"
        phone scope Todo all
        phone online
        link up
        server page Todo e.1 live; Todo/1 v1
        phone edit Todo/1 rank=1
        phone edit Todo/1 rank=2
        server answers 1 applied e.2
        server page Todo e.2 live; Todo/1 v2 rank=1
        time 0s
        expect sent 1 2
        phone create Todo/2
        "#,
    );
    let told = |world: &crate::world::World| {
        world.effects.iter().find_map(|effect| match effect {
            tombolo_machine::Effect::Send(tombolo_machine::Outgoing::Mutation { request, .. }) => {
                serde_json::json!(request.extensions)["tombolo"]["settledThrough"].as_u64()
            }
            _ => None,
        })
    };
    // Mutation 1 is settled, but mutation 2 depends on it and has seen it.
    assert_eq!(told(&world), Some(0));
    crate::script::play_on(
        &mut world,
        "server answers 2 applied e.3\nserver answers 3 applied e.4\nserver page Todo e.4 live\nphone create Todo/3",
    );
    assert_eq!(told(&world), Some(3));
    assert_eq!(world.tx(|tx| tx.settled_through().unwrap()), 3);
}
