//! A server that answers is there, whatever it answers; one that is silent is not.

use crate::script::play;

#[test]
fn a_link_over_which_undecided_answers_come_is_not_cut() {
    play(
        r#"
        phone scope Todo all
        phone online
        link up
        server page Todo e.1 live
        phone create Todo/1
        phone create Todo/2
        # A slow resolver: each is undecided after a while, and there is always one on its way.
        time 16s
        server answers 1 nothing
        time 13s
        server busy 2
        time 2s
        expect status live inFlight=2
        time 20s
        server answers 1 nothing
        time 10s
        expect status live
        # Silence is counted from the newest answer.
        time 19s
        expect status live
        time 1s
        expect effects Stalled CloseLink
        "#,
    );
}

#[test]
fn undecided_answers_are_no_progress() {
    let world = play(
        r#"
        phone scope Todo all
        phone online
        link up
        phone create Todo/1
        link down
        time 30s
        link up
        server answers 1 nothing
        "#,
    );
    assert!(world.machine.status().last_error.is_some(), "the trouble is still told");
}
