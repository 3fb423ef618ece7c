//! The feed brings what a mutation did before its answer, or before the scope is complete: shown once, and nothing of another
//! is hidden.

use crate::script::play;

/// A live replica with one record.
const UP: &str = r#"
    phone scope Todo all
    phone online
    link up
    server page Todo e.1 live; Todo/9 v1 title="z" likes=5 labels=["a"]
"#;

#[test]
fn a_counter_counts_its_own_step_once_whichever_comes_first() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        server page Todo e.2 live 1@2; Todo/9 v2 likes=6
        expect Todo/9 likes=6 _version=2
        expect outbox 1=inflight
        killed
        expect Todo/9 likes=6
        phone online
        link up
        # Another one steps it; the answer is still to come.
        server page Todo e.3 live; Todo/9 v3 likes=7
        expect Todo/9 likes=7
        # What is made now lies upon it.
        phone edit Todo/9 likes=8
        expect Todo/9 likes=8
        server answers 1 applied e.2
        expect outbox 2=queued
        expect ended 1=applied
        expect Todo/9 likes=8
        "#
    ));
}

#[test]
fn a_set_keeps_what_another_has_taken_out_since() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 labels=["a","b"]
        expect Todo/9 labels=["a","b"]
        server page Todo e.3 live 1@2; Todo/9 v3 labels=["a"]
        expect Todo/9 labels=["a"]
        server answers 1 applied e.2
        expect Todo/9 labels=["a"]
        "#
    ));
}

#[test]
fn a_newer_value_of_another_is_not_hidden_by_an_own_one_that_it_followed() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 title="mine"
        server page Todo e.3 live 1@2; Todo/9 v3 title="theirs"
        expect Todo/9 title="theirs"
        server answers 1 applied e.2
        expect Todo/9 title="theirs"
        expect outbox empty
        "#
    ));
}

#[test]
fn what_has_not_landed_lies_upon_what_has() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        phone edit Todo/9 likes=7 title="mine"
        server page Todo e.2 live 1@2; Todo/9 v2 likes=6 title="z"
        expect Todo/9 likes=7 title="mine"
        # A change of another that lies before it says nothing about this one.
        server answers 1 applied e.2
        time 1ms
        server page Todo e.3 live; Todo/9 v3 likes=9 title="theirs"
        expect Todo/9 likes=10 title="mine"
        "#
    ));
}

#[test]
fn in_a_catch_up_a_row_tells_where_its_record_stands() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        # It has landed, and its row has been written again since: a later page brings it.
        server page Todo e.4 1@2; Todo/1 v1 title="a"
        expect Todo/9 likes=6
        server page Todo e.8; Todo/9 v3 likes=8
        expect Todo/9 likes=8
        server page Todo e.9 live
        expect Todo/9 likes=8
        "#
    ));
    // Answered, and then fetched by pages: it leaves the outbox with the last one, and is shown once with the first.
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        server answers 1 applied e.2
        server page Todo e.1; Todo/1 v1 title="a"
        expect Todo/9 likes=6
        server page Todo e.2; Todo/9 v2 likes=6
        expect outbox 1=acked
        expect Todo/9 likes=6
        server page Todo e.3 live
        expect outbox empty
        expect Todo/9 likes=6
        "#
    ));
}

#[test]
fn a_base_sync_shows_an_answered_step_once_before_it_is_complete() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        server answers 1 applied e.2
        expect outbox 1=acked
        server page Todo e.5 reset; Todo/9 v2 likes=6
        expect Todo/9 likes=6
        server page Todo e.9 live; Todo/8 v1
        expect outbox empty
        expect Todo/9 likes=6
        "#
    ));
}

#[test]
fn a_transaction_over_two_models_is_shown_once_in_each_as_its_feed_comes() {
    play(
        r#"
        phone scope Todo all
        phone scope Comment all
        phone online
        link up
        server page Todo e.1 live; Todo/9 v1 likes=5
        server page Comment e.1 live; Comment/1 v1 todoId="9" text="a"
        phone edit Todo/9 likes=6 & edit Comment/1 text="mine"
        server page Comment e.4 live 2@3; Comment/1 v3 todoId="9" text="theirs"
        expect Comment/1 text="theirs"
        expect Todo/9 likes=6
        server answers 1-2 applied e.3
        expect Comment/1 text="theirs"
        expect outbox 1=acked
        server page Todo e.3; Todo/9 v2 likes=6
        expect Todo/9 likes=6
        server page Todo e.4 live
        expect outbox empty
        expect Todo/9 likes=6
        "#,
    );
}

#[test]
fn what_landed_in_another_history_is_laid_again() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        server page Todo e.2 live 1@2; Todo/9 v2 likes=6
        expect Todo/9 likes=6
        server page Todo f.1 reset live; Todo/9 v1 likes=5
        expect Todo/9 likes=6
        server page Todo f.2 live 1@2; Todo/9 v2 likes=6
        expect Todo/9 likes=6
        "#
    ));
}

#[test]
fn what_the_feed_says_of_another_replica_or_of_what_was_never_sent_says_nothing() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        server page Todo e.2 live other 1@2; Todo/9 v2 likes=7
        expect Todo/9 likes=8
        "#
    ));
    play(&format!(
        r#"{UP}
        phone offline
        phone edit Todo/9 likes=6
        phone online
        phone edit Todo/8 likes=6
        link up
        expect outbox 1=inflight 2=inflight
        phone edit Todo/9 likes=7
        server page Todo e.2 live 3@2; Todo/9 v2 likes=5
        expect Todo/9 likes=7
        "#
    ));
}

#[test]
fn an_older_server_that_does_not_say_works_as_before() {
    play(&format!(
        r#"{UP}
        phone edit Todo/9 likes=6
        server page Todo e.2 live; Todo/9 v2 likes=6
        expect Todo/9 likes=7
        server answers 1 applied e.2
        expect Todo/9 likes=6
        expect outbox empty
        "#
    ));
}
