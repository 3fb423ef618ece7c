//! What is kept for those who were away, what is not, and that nobody is misled by what is gone.

use std::time::Duration;

use serde_json::json;
use tombolo_core::id::{Position, ReplicaId};
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind};
use tombolo_core::wire::graphql::ErrorType;

use super::{BEGIN_MS, DAY_MS, Place, World, block_on, envelope, ids, one, plain, rows, submission, todo};
use crate::limits;
use crate::retention::{Pruned, ReplicaNote, Retention};
use crate::store::{MutationResult, Store};

fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 3600)
}

impl<S: Store> World<S> {
    /// Days after the world's beginning; each that passes is noted as by a server that prunes daily and finds nothing.
    pub(super) fn day(&self, day: i64) {
        let now = self.now_ms.get();
        let mut days: Vec<i64> = (0..=day).map(|day| BEGIN_MS + day * DAY_MS).collect();
        days.retain(|at| *at > now);
        for at in std::iter::once(now).chain(days) {
            self.set_now(at);
            self.prune_once(Retention {
                tombstones: Duration::MAX,
                replica_silence: Duration::MAX,
                traces: Duration::MAX,
            });
        }
    }

    pub(super) fn prune_once(&self, retention: Retention) -> Pruned {
        block_on(self.store.prune(self.now_ms.get(), retention)).unwrap()
    }

    /// With 30 and 90 days, until there is no more.
    pub(super) fn prune(&self) -> Pruned {
        let mut all = Pruned {
            more: true,
            ..Pruned::default()
        };
        while all.more {
            all = all.and(self.prune_once(Retention::default()));
        }
        all
    }

    pub(super) fn holds(&self, replica: &str, position: i64) {
        self.note(replica, Some(Position(position)));
    }

    pub(super) fn note(&self, replica: &str, holds: Option<Position>) {
        let note = ReplicaNote {
            replica: ReplicaId(replica.into()),
            holds,
        };
        block_on(self.store.note(vec![note], self.now_ms.get())).unwrap();
    }

    pub(super) fn create_and_delete(&self, id: &str) -> i64 {
        self.plain(self.create("Todo", todo(id, "t")));
        let gone = self.plain(self.delete("Todo", json!({ "id": id, "_version": 1 })));
        gone.position.unwrap().0
    }

    pub(super) fn watermark(&self) -> i64 {
        block_on(self.store.head()).unwrap().low_watermark.0
    }

    pub(super) fn todos(&self) -> Vec<String> {
        ids(&self.page("Todo", None, None, 100_000).rows)
    }

    pub(super) fn deliver(&self, envelope: MutationEnvelope, id: &str) -> MutationResult {
        one(vec![self.send(envelope, self.create("Todo", todo(id, "t")))])
    }
}

pub(super) fn code(result: &MutationResult) -> Option<ErrorType> {
    result.reason.as_ref().map(|reason| reason.code.clone())
}

/// Law: a tombstone goes when it is old enough, and the low watermark rises over it; a living record never goes.
pub fn an_old_tombstone_goes_and_the_watermark_rises_over_it(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("lives", "t")));
    let gone = world.create_and_delete("dead");
    world.day(29);
    assert!(world.prune().is_nothing());
    assert_eq!(
        (world.todos(), world.watermark()),
        (vec!["lives".into(), "dead".into()], 0)
    );
    let young = world.create_and_delete("young");
    world.day(31);
    let pruned = world.prune();
    assert_eq!((pruned.tombstones, pruned.low_watermark), (1, Position(gone)));
    assert_eq!(
        (world.todos(), world.watermark()),
        (vec!["lives".into(), "young".into()], gone)
    );
    assert!(world.head() > gone);
    // Nothing is done twice, and the feed goes on where it was.
    assert!(world.prune().is_nothing());
    world.plain(world.create("Todo", todo("dead", "again")));
    assert_eq!(world.head(), young + 1);
}

/// Law: what a replica has not passed is kept for it, until it is written off.
pub fn what_a_replica_has_not_passed_is_kept_for_it(place: &impl Place) {
    let world = World::new(place);
    let first = world.create_and_delete("a");
    let second = world.create_and_delete("b");
    world.day(1);
    world.holds("slow", first);
    world.holds("quick", second);
    world.day(60);
    assert_eq!((world.prune().tombstones, world.watermark()), (1, first));
    world.day(91);
    assert!(world.prune().is_nothing(), "it was heard of 90 days ago, not more");
    world.day(92);
    let pruned = world.prune();
    assert_eq!(
        (pruned.tombstones, pruned.written_off, world.watermark()),
        (1, 2, second)
    );
    assert_eq!(world.todos(), Vec::<String>::new());
}

/// Law: a place that was shown once does not hold back for ever a server to which the replica still writes.
pub fn a_place_that_is_not_shown_again_holds_nothing_back(place: &impl Place) {
    let world = World::new(place);
    world.holds("writer", 0);
    let gone = world.create_and_delete("a");
    for day in 1..95 {
        world.day(day);
        world.deliver(envelope("writer", day as u64), &format!("w{day}"));
    }
    let pruned = world.prune();
    assert_eq!((pruned.tombstones, pruned.written_off, world.watermark()), (1, 0, gone));
}

/// Law: departures go like tombstones, and raise the watermark.
pub fn departures_go_like_tombstones(place: &impl Place) {
    let world = World::new(place);
    let mine = json!({ "list": { "eq": "x" } });
    world.watch("Todo", &mine);
    world.plain(world.create("Todo", json!({ "id": "a", "title": "t", "list": "x" })));
    let held = world.head();
    world.plain(world.update("Todo", json!({ "id": "a", "list": "y" })));
    world.holds("r", held);
    world.day(40);
    assert_eq!(world.prune().departures, 0);
    let page = world.page("Todo", Some(&mine), Some(held), 10);
    assert_eq!(rows(&page.left), json!([["a"]]));
    world.holds("r", held + 1);
    assert_eq!((world.prune().departures, world.watermark()), (1, held + 1));
    let page = world.page("Todo", Some(&mine), Some(held), 10);
    // This page would lie to a cursor at `held`: that is what the watermark is for.
    assert_eq!(
        (rows(&page.left), page.head.low_watermark),
        (json!([]), Position(held + 1))
    );
}

/// Law: settled outcomes of a silent replica go after the shorter time, unsettled ones only when it is written off.
pub fn outcomes_stay_until_they_are_settled_or_the_replica_is_written_off(place: &impl Place) {
    let world = World::new(place);
    for number in 1..=3 {
        let mut envelope = envelope("r", number);
        envelope.settled_through = number.saturating_sub(2);
        world.deliver(envelope, &format!("{number}"));
    }
    world.day(31);
    let pruned = world.prune();
    assert_eq!((pruned.outcomes, pruned.written_off), (1, 0));
    // Numbers 2 and 3 were never settled: sent again, they are answered and do nothing.
    let head = world.head();
    for number in 2..=3 {
        let again = world.deliver(envelope("r", number), &format!("{number}"));
        assert_eq!((again.outcome, again.change), (OutcomeKind::Applied, None));
    }
    assert_eq!(world.head(), head);
    world.day(31 + 91);
    let pruned = world.prune();
    assert_eq!((pruned.outcomes, pruned.written_off), (2, 1));
}

/// Law: away for 91 days with 3 mutations in flight and 50 in its queue, a replica has none of them carried out twice:
/// what may have taken effect is refused by name, what depends on that too, and the rest applies.
pub fn a_replica_that_was_written_off_repeats_nothing(place: &impl Place) {
    let world = World::new(place);
    for number in 1..=3 {
        world.deliver(envelope("r", number), &format!("in-flight-{number}"));
    }
    let deleted = world.plain(world.delete("Todo", json!({ "id": "in-flight-2", "_version": 1 })));
    world.day(91);
    assert_eq!(world.prune().written_off, 1);
    assert_eq!(world.watermark(), deleted.position.unwrap().0);
    let head = world.head();
    for number in 1..=3 {
        // The tombstone of the second is gone: carried out again it would rise from the dead.
        let again = world.deliver(envelope("r", number), &format!("in-flight-{number}"));
        assert_eq!(
            (again.outcome, code(&again)),
            (OutcomeKind::Rejected, Some(ErrorType::ReplicaWrittenOff))
        );
    }
    assert_eq!(world.head(), head);
    let mut dependent = envelope("r", 4);
    dependent.depends_on = vec![tombolo_core::id::MutationNumber(2)];
    let dependent = world.deliver(dependent, "dependent");
    assert_eq!(code(&dependent), Some(ErrorType::DependencyRejected));
    for number in 5..=53 {
        let result = world.deliver(envelope("r", number), &format!("queued-{number}"));
        assert_eq!(result.outcome, OutcomeKind::Applied);
    }
    assert_eq!(world.head(), head + 49);
    // And it is a replica like any other now, for whom outcomes are kept.
    world.day(92);
    assert_eq!(world.prune().written_off, 0);
    let again = world.deliver(envelope("r", 53), "queued-53");
    assert_eq!((again.outcome, again.change), (OutcomeKind::Applied, None));
}

/// Law: that memory is for ever, and survives a second time of silence and a restart.
pub fn what_a_written_off_replica_was_decided_is_remembered_for_ever(place: &impl Place) {
    let mut world = World::new(place);
    world.deliver(envelope("r", 7), "a");
    world.day(100);
    world.prune();
    world.deliver(envelope("r", 9), "b");
    world.day(300);
    world.prune();
    if place.reopen_keeps() {
        world = world.reopen(place).unwrap();
    }
    for (number, id) in [(7, "a"), (8, "between"), (9, "b")] {
        let again = world.deliver(envelope("r", number), id);
        assert_eq!(code(&again), Some(ErrorType::ReplicaWrittenOff), "{number}");
    }
    assert_eq!(world.deliver(envelope("r", 10), "c").outcome, OutcomeKind::Applied);
}

/// Law: an atomic request that was decided before the replica was written off is refused whole.
pub fn an_atomic_request_of_a_written_off_replica_is_refused_whole(place: &impl Place) {
    let world = World::new(place);
    let request = || {
        let mut atomic = envelope("r", 1);
        atomic.atomic = true;
        let both = ["a", "b"].map(|id| world.create("Todo", todo(id, "t")));
        submission(atomic, both.into())
    };
    world.write(vec![request()]);
    world.day(91);
    world.prune();
    let head = world.head();
    let verdict = world.write(vec![request()]).remove(0);
    let codes: Vec<_> = verdict.results.iter().map(code).collect();
    assert_eq!(
        codes,
        [Some(ErrorType::ReplicaWrittenOff), Some(ErrorType::ReplicaWrittenOff)]
    );
    assert_eq!(world.head(), head);
}

/// Law: whoever was heard of is not written off: by a mutation, by a note; and a note brings one back.
pub fn whoever_was_heard_of_is_not_written_off(place: &impl Place) {
    let world = World::new(place);
    for replica in ["writes", "reads", "silent"] {
        world.deliver(envelope(replica, 1), replica);
    }
    world.day(60);
    world.deliver(envelope("writes", 2), "more");
    world.note("reads", None);
    world.day(91);
    assert_eq!(world.prune().written_off, 1);
    for (replica, lost) in [("writes", false), ("reads", false), ("silent", true)] {
        let again = world.deliver(envelope(replica, 1), replica);
        assert_eq!(code(&again) == Some(ErrorType::ReplicaWrittenOff), lost, "{replica}");
    }
}

/// Law: one call looks at no more than its bound, says that there is more, and may die between two calls.
pub fn pruning_goes_in_bounded_steps(place: &impl Place) {
    let mut world = World::new(place);
    let many = limits::PRUNE_ROWS_MAX + 10;
    let creates = (0..many).map(|i| plain(world.create("Todo", todo(&format!("{i}"), "t"))));
    world.write(creates.collect());
    let deletes = (0..many).map(|i| plain(world.delete("Todo", json!({ "id": format!("{i}") }))));
    world.write(deletes.collect());
    world.deliver(envelope("r", 1), "of a replica");
    world.day(100);
    let step = world.prune_once(Retention::default());
    assert!(step.more && step.tombstones < limits::PRUNE_ROWS_MAX as u64, "{step:?}");
    assert!(world.watermark() > many as i64 && world.watermark() < 2 * many as i64);
    // What is left is what lies above the watermark: nothing below it is half there.
    let left = world.page("Todo", None, None, 100_000);
    assert_eq!(left.count as i64, 2 * many as i64 - world.watermark() + 1);
    if place.reopen_keeps() {
        world = world.reopen(place).unwrap();
    }
    let rest = world.prune();
    assert_eq!(step.and(rest).tombstones, many as u64);
    assert_eq!(world.todos(), ["of a replica"]);
}

/// Law: a policy without patience prunes all that nobody needs, and still not what a replica has not passed.
pub fn a_policy_without_patience_is_still_safe(place: &impl Place) {
    let world = World::new(place);
    let now = Retention {
        tombstones: Duration::ZERO,
        replica_silence: days(1),
        traces: Duration::ZERO,
    };
    world.deliver(envelope("r", 1), "a");
    let first = world.create_and_delete("b");
    world.holds("r", first);
    world.create_and_delete("c");
    world.set_now(BEGIN_MS + 10);
    let pruned = world.prune_once(now);
    assert_eq!(
        (pruned.tombstones, pruned.written_off, world.watermark()),
        (1, 0, first)
    );
    let again = world.deliver(envelope("r", 1), "a");
    assert_eq!((again.outcome, again.change), (OutcomeKind::Applied, None));
}

/// Law: a renewed identity is another one, for good; the positions go on; asked for twice at once it changes once.
pub fn a_renewed_identity_is_a_new_one(place: &impl Place) {
    let mut world = World::new(place);
    world.create_and_delete("a");
    world.holds("r", 0);
    let before = block_on(world.store.head()).unwrap();
    let renewed = block_on(world.store.renew_epoch(Some(before.epoch.clone()))).unwrap();
    assert_ne!(renewed.epoch, before.epoch);
    assert_eq!(renewed.position, before.position);
    let late = block_on(world.store.renew_epoch(Some(before.epoch.clone()))).unwrap();
    assert_eq!(late, renewed);
    if place.reopen_keeps() {
        world = world.reopen(place).unwrap();
    }
    assert_eq!(block_on(world.store.head()).unwrap(), renewed);
    assert_ne!(block_on(world.store.renew_epoch(None)).unwrap().epoch, renewed.epoch);
    // What replicas held of the old history holds nothing back.
    world.day(31);
    assert_eq!(world.prune().tombstones, 1);
}
