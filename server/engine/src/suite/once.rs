//! Exactly once, or never.

use serde_json::{Value as Json, json};
use tombolo_core::id::MutationNumber;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;

use super::{Place, World, block_on, both, envelope, one, submission, todo};
use crate::limits;
use crate::store::{MutationResult, Store, Submission, Verdict};

fn result(verdict: Verdict) -> MutationResult {
    one(vec![verdict])
}

fn code(verdict: Verdict) -> Option<ErrorType> {
    result(verdict).reason.map(|reason| reason.code)
}

fn title(world: &World<impl Store>, result: &MutationResult) -> Value {
    let field = world.definition("Todo").field("title").unwrap();
    result.record.as_ref().unwrap().value(field).clone()
}

/// Law: the second time nothing is written, and the outcome is the first time's.
pub fn a_resend_changes_nothing_and_says_the_same(place: &impl Place) {
    let world = World::new(place);
    let first = result(world.send(envelope("r", 1), world.create("Todo", todo("a", "one"))));
    let again = result(world.send(envelope("r", 1), world.create("Todo", todo("a", "one"))));
    assert_eq!(
        (again.outcome, again.position, again.number),
        (first.outcome, first.position, first.number)
    );
    assert_eq!((again.record, again.change), (first.record, None));
    assert_eq!(world.head(), 1);
}

/// Law: outcomes stand in the same transaction as the rows, so a crash keeps both or neither.
pub fn a_resend_after_a_restart(place: &impl Place) {
    let world = World::new(place);
    world.send(envelope("r", 1), world.create("Todo", todo("a", "one")));
    world.send(envelope("r", 2), world.create("Todo", todo("a", "two")));
    let Some(world) = world.reopen(place) else { return };
    let again = result(world.send(envelope("r", 1), world.create("Todo", todo("a", "one"))));
    assert_eq!((again.outcome, again.position.unwrap().0), (OutcomeKind::Applied, 1));
    let again = world.send(envelope("r", 2), world.create("Todo", todo("a", "two")));
    assert_eq!(code(again), Some(ErrorType::ConditionalCheckFailedException));
    assert_eq!(world.head(), 1);
}

/// Law: the same in one batch, where the store does not know of the first yet.
pub fn a_resend_in_the_same_batch(place: &impl Place) {
    let world = World::new(place);
    let send = || submission(envelope("r", 1), vec![world.create("Todo", todo("a", "one"))]);
    let verdicts = world.write(vec![send(), send()]);
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict.results[0].outcome == OutcomeKind::Applied)
    );
    assert_eq!(
        verdicts
            .iter()
            .filter(|verdict| verdict.results[0].change.is_some())
            .count(),
        1
    );
    assert_eq!(world.head(), 1);
}

/// Law: a replay shows what others have made of the record since; one without an id finds the record it made.
pub fn a_resend_is_answered_with_the_record_as_it_is_now(place: &impl Place) {
    let world = World::new(place);
    world.send(envelope("r", 1), world.create("Todo", json!({ "title": "one" })));
    world.plain(world.update("Todo", json!({ "id": "fresh", "title": "two" })));
    let mut again = submission(envelope("r", 1), vec![world.create("Todo", json!({ "title": "one" }))]);
    again.fresh_ids = vec!["another".into()];
    let again = one(world.write(vec![again]));
    assert_eq!(
        (again.position.unwrap().0, title(&world, &again)),
        (1, Value::Text("two".into()))
    );
    assert_eq!(world.head(), 2);
}

/// Law: what was rejected stays rejected, also when it would now succeed.
pub fn a_rejection_is_final(place: &impl Place) {
    let world = World::new(place);
    let update = || world.update("Todo", todo("a", "two"));
    assert_eq!(
        code(world.send(envelope("r", 1), update())),
        Some(ErrorType::ConditionalCheckFailedException)
    );
    world.plain(world.create("Todo", todo("a", "one")));
    assert_eq!(
        code(world.send(envelope("r", 1), update())),
        Some(ErrorType::ConditionalCheckFailedException)
    );
    assert_eq!(
        result(world.send(envelope("r", 2), update())).outcome,
        OutcomeKind::Applied
    );
}

/// Law: a request that could not be read is rejected under its number, each mutation of it.
pub fn a_refused_request_is_remembered(place: &impl Place) {
    let world = World::new(place);
    let reason = RejectReason {
        code: ErrorType::BadRequest,
        message: "no such field".into(),
    };
    let refused = || Submission {
        refusal: Some((reason.clone(), 2)),
        ..submission(envelope("r", 1), vec![])
    };
    for _ in 0..2 {
        let verdict = world.write(vec![refused()]).remove(0);
        assert_eq!(
            verdict.results.iter().map(|r| r.number.unwrap().0).collect::<Vec<_>>(),
            [1, 2]
        );
        assert!(verdict.results.iter().all(|r| r.reason.as_ref() == Some(&reason)));
    }
    let mut next = envelope("r", 3);
    next.depends_on = vec![MutationNumber(2)];
    assert_eq!(
        code(world.send(next, world.create("Todo", todo("a", "x")))),
        Some(ErrorType::DependencyRejected)
    );
}

/// Law: a rejection takes down those that depend on it, by name, and nobody else.
pub fn what_depends_on_a_rejected_one_is_rejected(place: &impl Place) {
    let world = World::new(place);
    let depending = |number: u64, on: u64| {
        let mut envelope = envelope("r", number);
        envelope.depends_on = vec![MutationNumber(on)];
        envelope
    };
    let batch = vec![
        submission(envelope("r", 1), vec![world.update("Todo", todo("missing", "x"))]),
        submission(depending(2, 1), vec![world.create("Todo", todo("a", "x"))]),
        submission(depending(3, 2), vec![world.create("Todo", todo("b", "x"))]),
        submission(envelope("r", 4), vec![world.create("Todo", todo("c", "x"))]),
    ];
    let verdicts = world.write(batch);
    let codes: Vec<_> = verdicts
        .iter()
        .map(|v| v.results[0].reason.as_ref().map(|r| r.code.clone()))
        .collect();
    let dependency = Some(ErrorType::DependencyRejected);
    assert_eq!(
        codes,
        [
            Some(ErrorType::ConditionalCheckFailedException),
            dependency.clone(),
            dependency,
            None
        ]
    );
    assert!(
        verdicts[1].results[0]
            .reason
            .as_ref()
            .unwrap()
            .message
            .contains("mutation 1")
    );
}

/// Law: a dependency that has not arrived decides nothing; once it has, the same mutation is applied.
pub fn what_depends_on_an_unknown_one_waits(place: &impl Place) {
    let world = World::new(place);
    let second = || {
        let mut envelope = envelope("r", 2);
        envelope.depends_on = vec![MutationNumber(1)];
        submission(envelope, vec![world.update("Todo", todo("a", "two"))])
    };
    let verdict = world.write(vec![second()]).remove(0);
    assert!(verdict.undecided.is_some_and(|why| !why.retry) && verdict.results.is_empty());
    world.send(envelope("r", 1), world.create("Todo", todo("a", "one")));
    assert_eq!(one(world.write(vec![second()])).outcome, OutcomeKind::Applied);
}

/// Law: quick edits of one user on one record do not conflict with each other, but do with others'.
pub fn own_earlier_mutations_are_no_conflict(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "one")));
    let edit = |number: u64, seen: &[u64], title: &str| {
        let mut envelope = envelope("r", number);
        envelope.seen = seen.iter().copied().map(MutationNumber).collect();
        submission(
            envelope,
            vec![world.update("Todo", json!({ "id": "a", "title": title, "_version": 1 }))],
        )
    };
    assert_eq!(
        one(world.write(vec![edit(1, &[], "two")])).outcome,
        OutcomeKind::Applied
    );
    let second = one(world.write(vec![edit(2, &[1], "three")]));
    assert_eq!(
        (second.outcome, title(&world, &second)),
        (OutcomeKind::Applied, Value::Text("three".into()))
    );
    world.plain(world.update("Todo", todo("a", "theirs")));
    let third = one(world.write(vec![edit(3, &[1, 2], "four")]));
    assert_eq!(
        (third.outcome, title(&world, &third)),
        (OutcomeKind::Merged, Value::Text("theirs".into()))
    );
    let mut delete = envelope("r", 4);
    delete.seen = vec![MutationNumber(3)];
    let deleted = world.send(delete, world.delete("Todo", json!({ "id": "a", "_version": 4 })));
    assert_eq!(result(deleted).outcome, OutcomeKind::Applied);
}

fn atomic(number: u64) -> tombolo_core::wire::envelope::MutationEnvelope {
    let mut envelope = envelope("r", number);
    envelope.atomic = true;
    envelope
}

/// Law: numbers are counted on; later mutations see earlier ones.
pub fn an_atomic_request_applies_whole(place: &impl Place) {
    let world = World::new(place);
    let send = || {
        let mutations = vec![
            world.create("Todo", todo("a", "one")),
            world.update("Todo", json!({ "id": "a", "title": "two", "_version": 1 })),
            world.create("Line", json!({ "order": "o", "number": 1 })),
        ];
        submission(atomic(5), mutations)
    };
    for again in [false, true] {
        let verdict = world.write(vec![send()]).remove(0);
        let seen: Vec<_> = verdict
            .results
            .iter()
            .map(|r| (r.number.unwrap().0, r.position.unwrap().0, r.outcome))
            .collect();
        assert_eq!(
            seen,
            [
                (5, 1, OutcomeKind::Applied),
                (6, 2, OutcomeKind::Applied),
                (7, 3, OutcomeKind::Applied)
            ]
        );
        assert!(verdict.results.iter().all(|result| result.change.is_none() == again));
    }
    assert_eq!(world.page("Todo", None, None, 10).count, 1);
}

/// Law: nothing of it is applied, no position is used, and each of its mutations ends.
pub fn an_atomic_request_fails_whole(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("z", "here")));
    world.watch("Todo", &json!({ "title": { "eq": "here" } }));
    let mutations = vec![
        world.update("Todo", todo("z", "moved")),
        world.create("Todo", todo("a", "one")),
        world.update("Todo", todo("missing", "x")),
        world.create("Todo", todo("b", "two")),
    ];
    let after = submission(envelope("r", 9), vec![world.create("Todo", todo("c", "three"))]);
    let verdicts = world.write(vec![submission(atomic(5), mutations), after]);
    let codes: Vec<_> = verdicts[0]
        .results
        .iter()
        .map(|r| r.reason.as_ref().unwrap().code.clone())
        .collect();
    assert_eq!(
        codes,
        [
            ErrorType::DependencyRejected,
            ErrorType::DependencyRejected,
            ErrorType::ConditionalCheckFailedException,
            ErrorType::DependencyRejected
        ]
    );
    assert_eq!(verdicts[1].results[0].position.unwrap().0, 2);
    let page = world.page("Todo", Some(&json!({ "title": { "eq": "here" } })), Some(0), 10);
    assert_eq!((super::ids(&page.rows), page.left_count), (vec!["z".to_owned()], 0));
    assert_eq!(super::ids(&world.page("Todo", None, None, 10).rows), ["z", "c"]);
    for number in 5..=8 {
        assert!(code(world.send(envelope("r", number), world.create("Todo", todo("d", "x")))).is_some());
    }
}

/// Law: outcomes that are settled (and old) go; a stray duplicate of one of them has no effect.
pub fn settled_outcomes_are_forgotten_and_not_repeated(place: &impl Place) {
    let world = World::new(place);
    let last = limits::OUTCOMES_KEPT + 2;
    let mut batch = Vec::new();
    for number in 1..=last {
        let mut envelope = envelope("r", number);
        envelope.settled_through = number - 1;
        batch.push(submission(
            envelope,
            vec![world.create("Todo", todo(&format!("t{number}"), "x"))],
        ));
    }
    world.write(batch);
    let head = world.head();
    assert_eq!(head, i64::try_from(last).unwrap());
    world.plain(world.delete("Todo", json!({ "id": "t1" })));
    let stray = result(world.send(envelope("r", 1), world.create("Todo", todo("new", "x"))));
    assert_eq!(
        (stray.position, &stray.change),
        (None, &None),
        "its effect is not repeated"
    );
    assert_eq!(
        stray.reason.map(|reason| reason.code),
        Some(ErrorType::OutcomeForgotten),
        "and what may be new does not pass for applied"
    );
    let kept = result(world.send(envelope("r", 2), world.create("Todo", todo("t2", "x"))));
    assert_eq!(kept.position.unwrap().0, 2, "2 is settled, but not old");
    assert_eq!(world.head(), head + 1);
}

/// Law: a dependency that the replica has settled is met.
pub fn what_is_settled_needs_no_outcome(place: &impl Place) {
    let world = World::new(place);
    let mut envelope = envelope("r", 9);
    envelope.settled_through = 8;
    envelope.depends_on = vec![MutationNumber(3)];
    assert_eq!(
        result(world.send(envelope, world.create("Todo", todo("a", "x")))).outcome,
        OutcomeKind::Applied
    );
    let mut nonsense = super::envelope("r", 10);
    nonsense.depends_on = vec![MutationNumber(10)];
    assert_eq!(
        code(world.send(nonsense, world.create("Todo", todo("b", "x")))),
        Some(ErrorType::BadRequest)
    );
    let mut boast = super::envelope("r", 11);
    boast.settled_through = 99;
    assert_eq!(
        result(world.send(boast, world.create("Todo", todo("c", "x")))).outcome,
        OutcomeKind::Applied
    );
    assert_eq!(
        result(world.send(super::envelope("r", 12), world.create("Todo", todo("d", "x"))))
            .position
            .unwrap()
            .0,
        3
    );
}

/// Law: a number belongs to its replica.
pub fn replicas_do_not_share_numbers(place: &impl Place) {
    let world = World::new(place);
    world.send(envelope("r", 1), world.create("Todo", todo("a", "x")));
    assert_eq!(
        result(world.send(envelope("s", 1), world.create("Todo", todo("b", "x"))))
            .position
            .unwrap()
            .0,
        2
    );
}

/// Law: two batches at once are one after the other: no lost update, no position twice.
pub fn two_batches_at_once_both_count(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "one")));
    let batch = |replica: &str, field: &str| {
        let edit = |number: u64| {
            let values = json!({ "id": "a", field: format!("{replica}{number}"), "_version": 1 });
            let mut envelope = envelope(replica, number);
            envelope.seen = (1..number).map(MutationNumber).collect();
            submission(envelope, vec![world.update("Todo", values)])
        };
        (1..=20).map(edit).collect::<Vec<_>>()
    };
    let (one, two) = block_on(both(
        world.store.write(batch("r", "title").into(), 1),
        world.store.write(batch("s", "note").into(), 1),
    ));
    let verdicts: Vec<Verdict> = one.unwrap().into_iter().chain(two.unwrap()).collect();
    assert!(
        verdicts
            .iter()
            .all(|verdict| verdict.results[0].outcome == OutcomeKind::Applied)
    );
    let mut positions: Vec<i64> = verdicts
        .iter()
        .map(|verdict| verdict.results[0].position.unwrap().0)
        .collect();
    positions.sort_unstable();
    assert_eq!(positions, (2..=41).collect::<Vec<_>>());
    let last = world.plain(world.update("Todo", json!({ "id": "a" })));
    assert_eq!(
        (last.record.as_ref().unwrap().meta.version.0, title(&world, &last)),
        (42, Value::Text("r20".into()))
    );
}

/// Law: a number belongs to one record; used for another it is refused and shows nothing of the first.
pub fn a_number_is_not_lent_to_another_record(place: &impl Place) {
    let world = World::new(place);
    world.send(envelope("r", 1), world.create("Todo", todo("a", "secret")));
    for other in [
        world.create("Todo", todo("b", "x")),
        world.create("Strict", json!({ "id": "a", "text": "x" })),
    ] {
        let answer = result(world.send(envelope("r", 1), other));
        assert_eq!((answer.outcome, answer.record), (OutcomeKind::Rejected, None));
        assert_eq!(answer.reason.map(|reason| reason.code), Some(ErrorType::NumberReused));
    }
    assert_eq!(world.head(), 1);
}

/// Law: the versions that a transaction makes of one record say nothing of another.
pub fn what_was_seen_of_one_record_is_not_seen_of_another(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "x")));
    world.plain(world.create("Todo", todo("c", "x")));
    world.plain(world.update("Todo", json!({ "id": "c", "title": "another user's" })));
    let update = |id: &str| world.update("Todo", json!({ "id": id, "title": "mine", "_version": 1 }));
    let verdict = world
        .write(vec![submission(atomic(1), vec![update("a"), update("c")])])
        .remove(0);
    let outcomes: Vec<_> = verdict.results.iter().map(|result| result.outcome).collect();
    assert_eq!(outcomes, [OutcomeKind::Applied, OutcomeKind::Merged]);
    assert_eq!(title(&world, &verdict.results[1]), Value::Text("another user's".into()));
}

/// Law: an edit of what the replica itself has just created, made before any version was known, is no licence to overwrite
/// what another user has changed since.
pub fn an_edit_of_ones_own_creation_does_not_overwrite_what_others_did(place: &impl Place) {
    let world = World::new(place);
    let seen = |number: u64, seen: &[u64]| {
        let mut envelope = envelope("r", number);
        envelope.seen = seen.iter().copied().map(MutationNumber).collect();
        envelope
    };
    world.send(envelope("r", 1), world.create("Todo", todo("a", "mine")));
    world.send(seen(2, &[1]), world.update("Todo", json!({ "id": "a", "done": true })));
    world.plain(world.update("Todo", json!({ "id": "a", "title": "another user's" })));
    let own = world.update("Todo", json!({ "id": "a", "title": "mine again", "done": false }));
    let verdict = world.send(seen(3, &[1, 2]), own);
    assert_eq!(title(&world, &verdict.results[0]), Value::Text("another user's".into()));
    assert_eq!(result(verdict).outcome, OutcomeKind::Merged);
    let gone = world.send(seen(4, &[1, 2, 3]), world.delete("Todo", json!({ "id": "a" })));
    assert_eq!(code(gone), Some(ErrorType::ConflictUnhandled));
}

/// Law: a number belongs to one mutation; used for another one of the same record it is refused by name, whole, and stands
/// as it was. So an edit made in a file that was restored from a backup does not pass for the one that had its number.
pub fn a_number_is_not_lent_to_another_mutation_of_its_record(place: &impl Place) {
    let world = World::new(place);
    let set = |values: Json| world.update("Todo", values);
    world.plain(world.create("Todo", todo("a", "one")));
    let first = || set(json!({ "id": "a", "done": true, "_version": 1 }));
    world.send(envelope("r", 1), first());
    let others = [
        set(json!({ "id": "a", "done": false, "_version": 1 })),
        set(json!({ "id": "a", "done": true, "_version": 2 })),
        set(json!({ "id": "a", "done": true, "rank": 1, "_version": 1 })),
        world.delete("Todo", json!({ "id": "a", "_version": 1 })),
    ];
    for other in others {
        let answer = world.send(envelope("r", 1), other);
        assert_eq!(code(answer), Some(ErrorType::NumberReused));
    }
    let both = submission(atomic(1), vec![set(json!({ "id": "a", "rank": 1 })), first()]);
    let whole = world.write(vec![both]).remove(0);
    let codes: Vec<_> = whole
        .results
        .iter()
        .map(|r| r.reason.as_ref().map(|r| r.code.clone()))
        .collect();
    assert_eq!(codes, [Some(ErrorType::NumberReused), Some(ErrorType::NumberReused)]);
    let Some(world) = world.reopen(place) else { return };
    let first = world.update("Todo", json!({ "id": "a", "done": true, "_version": 1 }));
    assert_eq!(result(world.send(envelope("r", 1), first)).position.unwrap().0, 2);
    assert_eq!(world.head(), 2);
}

/// Law: what a request is rendered under may change between two sends of one mutation (an upgrade); that makes it no other
/// mutation, as long as it is of the same record.
pub fn an_upgrade_between_two_sends_makes_no_other_mutation(place: &impl Place) {
    let world = World::new(place);
    let under = |schema: &str| {
        let mut envelope = envelope("r", 1);
        envelope.schema = schema.to_owned();
        envelope
    };
    world.send(under("old"), world.create("Todo", todo("a", "one")));
    let renamed = json!({ "id": "a", "title": "one", "note": "a default of the new schema" });
    let again = result(world.send(under("new"), world.create("Todo", renamed)));
    assert_eq!((again.outcome, again.change), (OutcomeKind::Applied, None));
}

/// Law: a mutation that is given up is not carried out afterwards, whatever order its copies arrive in; one that was carried
/// out before says so.
pub fn a_mutation_given_up_is_void_unless_it_was_decided(place: &impl Place) {
    let world = World::new(place);
    let create = || world.create("Todo", todo("a", "one"));
    let void = |number: u64| {
        let mut envelope = envelope("r", number);
        envelope.void = true;
        // What it waited for does not matter any more.
        envelope.depends_on = vec![MutationNumber(77)];
        envelope
    };
    for _ in 0..2 {
        assert_eq!(code(world.send(void(100), create())), Some(ErrorType::Discarded));
        assert_eq!(
            code(world.send(envelope("r", 100), create())),
            Some(ErrorType::Discarded)
        );
    }
    assert_eq!(world.head(), 0);
    let applied = result(world.send(envelope("r", 101), create()));
    let told = result(world.send(void(101), create()));
    assert_eq!((told.outcome, told.position), (OutcomeKind::Applied, applied.position));
    let unreadable = Submission {
        refusal: Some((
            RejectReason {
                code: ErrorType::UnknownSchema,
                message: "what is this?".into(),
            },
            1,
        )),
        ..submission(void(102), vec![])
    };
    assert_eq!(
        code(world.write(vec![unreadable]).remove(0)),
        Some(ErrorType::Discarded)
    );
    assert_eq!(world.head(), 1);
}

/// Law: a mutation of an unknown schema that cannot be read is left undecided, for as long as it takes; known outcomes are
/// answered all the same.
pub fn what_an_older_server_cannot_read_waits(place: &impl Place) {
    let world = World::new(place);
    let unreadable = || Submission {
        refusal: Some((
            RejectReason {
                code: ErrorType::UnknownSchema,
                message: "what is this?".into(),
            },
            1,
        )),
        ..submission(envelope("r", 1), vec![])
    };
    let verdict = world.write(vec![unreadable()]).remove(0);
    let undecided = verdict.undecided.unwrap();
    assert_eq!((undecided.code, undecided.retry), (ErrorType::UnknownSchema, true));
    world.send(envelope("r", 1), world.create("Todo", todo("a", "one")));
    assert_eq!(
        result(world.write(vec![unreadable()]).remove(0)).outcome,
        OutcomeKind::Applied
    );
}

/// Law: while one outcome of a transaction is kept, the whole is known.
pub fn a_transaction_half_forgotten_is_still_known(place: &impl Place) {
    let world = World::new(place);
    let both = || {
        let mutations = vec![
            world.create("Todo", todo("a", "one")),
            world.create("Todo", todo("b", "two")),
        ];
        submission(atomic(1), mutations)
    };
    world.write(vec![both()]);
    let mut later = envelope("r", limits::OUTCOMES_KEPT + 2);
    later.settled_through = limits::OUTCOMES_KEPT + 1;
    world.send(later, world.create("Todo", todo("c", "three")));
    let again = world.write(vec![both()]).remove(0);
    assert!(
        again
            .results
            .iter()
            .all(|result| result.outcome == OutcomeKind::Applied),
        "{again:?}"
    );
    assert_eq!(world.head(), 3);
}
