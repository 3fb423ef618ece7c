//! Mutations that go on under another number, of which a copy of the replica's file may have sent the first.

use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::id::{MutationId, MutationNumber, ReplicaId};
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind};
use tombolo_core::wire::graphql::ErrorType;

use super::sessions::{Server, request};
use super::{Place, World, envelope, one, todo};
use crate::limits;
use crate::service::Settings;
use crate::store::{MutationResult, Store};

fn moved(number: u64, from: &[(&str, u64)]) -> MutationEnvelope {
    let mut envelope = envelope("r", number);
    let name = |(replica, number): &(&str, u64)| MutationId {
        replica: ReplicaId((*replica).into()),
        number: MutationNumber(*number),
    };
    envelope.moved_from = from.iter().map(name).collect();
    envelope
}

impl<S: Store> World<S> {
    fn edits(&self, envelope: MutationEnvelope, values: Json) -> MutationResult {
        one(vec![self.send(envelope, self.update("Todo", values))])
    }
}

fn code(result: &MutationResult) -> Option<ErrorType> {
    result.reason.as_ref().map(|reason| reason.code.clone())
}

/// Law: what was carried out under the earlier number is not carried out again; the answer is that outcome, under the new
/// number, also when it comes again.
pub fn what_was_carried_out_under_an_earlier_number_is_answered_with_that(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "zero")));
    let edit = || todo("a", "one");
    assert_eq!(world.edits(envelope("r", 2), edit()).outcome, OutcomeKind::Applied);
    for _ in 0..2 {
        let result = world.edits(moved(7, &[("q", 5), ("r", 2)]), edit());
        assert_eq!(
            (result.outcome, result.number.unwrap().0, result.position.unwrap().0),
            (OutcomeKind::Applied, 7, 2)
        );
        assert!(result.change.is_none());
    }
    assert_eq!(world.head(), 2);
    // The replica gives up the new number: it was carried out all the same.
    let mut void = moved(8, &[("r", 2)]);
    void.void = true;
    let result = world.edits(void, edit());
    assert_eq!((result.outcome, result.position.unwrap().0), (OutcomeKind::Applied, 2));
}

/// Law: whoever sends it by the earlier number afterwards is answered with the outcome of the new one, whatever that was.
pub fn what_was_decided_under_a_later_number_is_known_by_the_earlier_one(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "zero")));
    let edit = || todo("a", "one");
    assert_eq!(
        world.edits(moved(7, &[("r", 2), ("old", 3)]), edit()).outcome,
        OutcomeKind::Applied
    );
    for name in [envelope("r", 2), envelope("old", 3)] {
        let result = world.edits(name, edit());
        assert_eq!((result.outcome, result.position.unwrap().0), (OutcomeKind::Applied, 2));
    }
    let missing = || todo("missing", "x");
    let first = world.edits(moved(8, &[("r", 4)]), missing());
    let again = world.edits(envelope("r", 4), missing());
    assert_eq!((first.outcome, code(&first)), (OutcomeKind::Rejected, code(&again)));
    // Given up under the new number, it is void under both.
    let mut void = moved(9, &[("r", 5)]);
    void.void = true;
    assert_eq!(code(&world.edits(void, edit())), Some(ErrorType::Discarded));
    assert_eq!(code(&world.edits(envelope("r", 5), edit())), Some(ErrorType::Discarded));
    assert_eq!(world.head(), 2);
}

/// Law: one that was refused under its earlier number, or whose earlier number was used for another mutation, was not carried
/// out there.
pub fn what_was_refused_under_an_earlier_number_is_carried_out(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "zero")));
    let mut void = envelope("r", 2);
    void.void = true;
    world.edits(void, todo("a", "one"));
    world.edits(envelope("r", 3), todo("a", "another"));
    let result = world.edits(moved(7, &[("r", 2), ("r", 3)]), todo("a", "one"));
    assert_eq!((result.outcome, result.position.unwrap().0), (OutcomeKind::Applied, 3));
    assert_eq!(
        code(&world.edits(envelope("r", 2), todo("a", "one"))),
        Some(ErrorType::Discarded),
        "what was said stays said"
    );
}

/// Law: where the outcome of the earlier number is no longer kept, nobody knows: it is not carried out, and the app is told.
pub fn what_may_have_been_carried_out_under_an_earlier_number_is_not_repeated(place: &impl Place) {
    let world = World::new(place);
    let mut settled = envelope("r", 9);
    settled.settled_through = 8;
    world.send(settled, world.create("Todo", todo("a", "zero")));
    let result = world.edits(moved(10, &[("r", 8)]), todo("a", "one"));
    assert_eq!(code(&result), Some(ErrorType::OutcomeForgotten));
    assert_eq!(world.head(), 1);
}

/// Law: a transaction has its earlier names as a whole.
pub fn a_transaction_that_moved_is_known_as_a_whole(place: &impl Place) {
    let world = World::new(place);
    let atomic = |mut envelope: MutationEnvelope| {
        envelope.atomic = true;
        let mutations = vec![
            world.create("Todo", todo("a", "one")),
            world.create("Line", json!({ "order": "o", "number": 1 })),
        ];
        let verdict = world.write(vec![super::submission(envelope, mutations)]).remove(0);
        let brief = |result: &MutationResult| (result.number.unwrap().0, result.position.map(|at| at.0));
        verdict.results.iter().map(brief).collect::<Vec<_>>()
    };
    assert_eq!(atomic(moved(7, &[("r", 2)])), [(7, Some(1)), (8, Some(2))]);
    assert_eq!(atomic(envelope("r", 2)), [(2, Some(1)), (3, Some(2))]);
    assert_eq!(atomic(moved(11, &[("r", 2)])), [(11, Some(1)), (12, Some(2))]);
    assert_eq!(world.head(), 2);
}

/// Law: a request with more earlier names than are looked up is refused unread.
pub fn earlier_names_are_bounded(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    for (count, read) in [(limits::MOVED_FROM_MAX, true), (limits::MOVED_FROM_MAX + 1, false)] {
        let names: Vec<Json> = (1..=count).map(|n| json!({ "replica": "r", "number": n })).collect();
        let extension = json!({ "replica": "r", "number": 1000, "movedFrom": names });
        let request = request(
            "mutation { createTodo(input: { id: \"a\", title: \"x\" }) { id } }",
            Json::Null,
            extension,
        );
        let prepared = server.0.prepare(&Identity::ApiKey { name: "test".into() }, &request);
        assert_eq!(prepared.is_ok(), read, "{count}");
    }
}
