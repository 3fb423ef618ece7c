//! Another history, lost cursors, slow lines, and being away for long.

use crate::script::{play, play_on};
use crate::world::World;
use tombolo_machine::Settings;

const UP: &str = "phone scope Todo all\nphone online\nlink up\nserver page Todo e.1 live\n";

fn play_up(script: &str) {
    play(&format!("{UP}{script}"));
}

#[test]
fn what_an_older_history_acknowledged_is_sent_again_and_never_just_settled() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"
        phone edit Todo/1 title="mine"
        phone create Todo/2 title="new"
        expect sent 1 2
        server answers 1 applied e.5
        server answers 2 applied e.6
        expect outbox 1=acked 2=acked
        # A backup from before both was restored.
        server page Todo f.4 live reset; Todo/1 v1 title="a"
        expect outbox 1=inflight 2=inflight
        expect Todo/1 title="mine"
        expect Todo/2 title="new"
        time 0s
        expect sent 1 2
        server answers 1 applied f.5
        server answers 2 applied f.6
        server page Todo f.6 live; Todo/1 v2 title="mine"; Todo/2 v1 title="new"
        expect outbox empty
        expect Todo/1 title="mine" _version=2
        "#,
    );
}

#[test]
fn a_reset_in_the_same_history_sends_nothing_again() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"; Todo/2 v1 title="b"
        phone edit Todo/1 title="mine"
        expect sent 1
        server answers 1 applied e.5
        # What this replica missed is no longer kept.
        server page Todo e.3/9 reset; Todo/3 v1 title="c"
        expect outbox 1=acked
        expect Todo/1 title="mine"
        server page Todo e.9 live; Todo/1 v2 title="mine"
        expect outbox empty
        expect Todo/2 gone
        time 0s
        expect sent nothing
        "#,
    );
}

#[test]
fn later_edits_of_the_record_wait_for_what_became_unknown() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"
        phone edit Todo/1 title="one"
        server answers 1 applied e.5
        phone edit Todo/1 title="two"
        phone edit Todo/1 title="three"
        expect sent 1 2
        server page Todo f.4 live reset; Todo/1 v1 title="a"
        expect outbox 1=inflight 2=inflight 3=queued
        time 0s
        expect sent 1
        server answers 2 applied f.5
        time 0s
        expect sent nothing
        server answers 1 merged f.6
        time 0s
        expect sent 3
        "#,
    );
}

#[test]
fn another_history_that_does_not_say_so_is_asked_from_its_beginning() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"; Todo/2 v1 title="b"
        # Taken for a base sync that is complete, this would sweep both.
        server page Todo f.9 live; Todo/3 v1 title="c"
        expect Todo/1 title="a"
        expect Todo/2 title="b"
        expect Todo/3 gone
        expect asked Todo none
        expect cursor Todo none
        server page Todo f.9 live; Todo/2 v1 title="b"; Todo/3 v1 title="c"
        expect Todo/1 gone
        expect Todo/3 title="c"
        "#,
    );
}

#[test]
fn a_transaction_of_which_a_part_was_seen_is_sent_again_one_by_one() {
    play(
        r#"
        phone scope Todo all
        phone scope Comment all
        phone online
        link up
        server page Todo e.1 live
        server page Comment e.1 live
        phone create Todo/1 title="a" & create Comment/1 todoId="1" text="b" & create Todo/2 title="c"
        expect sent 1
        server answers 1-3 applied e.4
        server page Comment e.4 live; Comment/1 v1 todoId="1" text="b"
        expect outbox 1=acked 3=acked
        server page Todo f.1 live reset
        expect outbox 1=inflight 3=inflight
        time 0s
        # As one request they would be taken for numbers 1 and 2.
        expect sent 1 3
        "#,
    );
}

#[test]
fn a_written_off_replica_is_told_and_keeps_the_rest_of_its_queue() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"
        phone edit Todo/1 title="sent"
        link down
        phone create Todo/2 title="queued"
        time 7862400s
        link up
        expect sent 1 1 2
        server page Todo e.300/300 reset; Todo/1 v1 title="a"
        server answers 1 rejected ReplicaWrittenOff
        server answers 2 applied e.301
        server page Todo e.301 live; Todo/2 v1 title="queued"
        expect outbox 1=rejected
        expect Todo/1 title="a"
        expect Todo/2 title="queued" _version=1
        "#,
    );
}

#[test]
fn a_live_subscription_is_renewed_daily_so_that_the_server_learns_what_is_held() {
    play_up(
        r#"
        server page Todo e.4 live; Todo/1 v1 title="a"
        expect asked Todo none
        time 86399s
        expect effects none
        time 1s
        expect effects Unsubscribe Subscribe
        expect asked Todo e.4
        expect status live upToDate=true
        server page Todo e.4 live
        time 86400s
        expect effects Unsubscribe Subscribe
        "#,
    );
}

fn by_pages() -> World {
    let settings = Settings {
        base_sync_by_pages: true,
        ..Settings::default()
    };
    World::with(settings)
}

#[test]
fn a_stall_halves_the_pages_and_quick_ones_double_them_again() {
    play_on(
        &mut by_pages(),
        r#"
        phone scope Todo all
        phone online
        link up
        expect effects FetchPage
        expect rows 10000
        time 30s
        expect effects Stalled CloseLink
        time 60s
        link up
        expect rows 5000
        time 29s
        link down
        time 60s
        link up
        expect rows 2500
        # A link that is lost at once says nothing about the page.
        link down
        time 60s
        link up
        expect rows 2500
        server page Todo e.100/900 more
        expect effects Pulled FetchPage
        expect rows 5000
        time 6s
        server page Todo e.200/900 more
        expect rows 5000
        server page Todo e.300/900 more
        expect rows 10000
        server page Todo e.900 live
        expect effects Pulled Subscribe
        "#,
    );
}

#[test]
fn pages_have_a_least_size_and_a_slow_line_is_asked_for_pages_after_the_base_sync_too() {
    let mut world = by_pages();
    play_on(
        &mut world,
        "phone scope Todo all\nphone online\nlink up\nserver page Todo e.5 live",
    );
    for _ in 0..12 {
        play_on(
            &mut world,
            "time 86400s\nlink down\ntime 60s\nlink up\ntime 29s\nlink down\ntime 60s\nlink up",
        );
    }
    play_on(
        &mut world,
        r#"
        expect rows 50
        expect asked Todo e.5
        server page Todo e.6 live; Todo/1 v1 title="a"
        expect effects Pulled Subscribe
        expect Todo/1 title="a"
        "#,
    );
}

#[test]
fn bytes_that_come_are_progress() {
    play_on(
        &mut by_pages(),
        r#"
        phone scope Todo all
        phone online
        link up
        time 29s
        link trickles
        time 29s
        expect effects none
        link trickles
        time 29s
        expect effects none
        time 1s
        expect effects Stalled CloseLink
        "#,
    );
}
