//! Numbers whose outcome is no longer kept, and numbers of requests that could not be read.

use serde_json::{Value as Json, json};
use tombolo_core::id::MutationNumber;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind};
use tombolo_core::wire::graphql::ErrorType;

use super::sessions::Server;
use super::{BEGIN_MS, Place, World, block_on, envelope, one, todo};
use crate::limits;
use crate::retention::Retention;
use crate::service::Settings;
use crate::store::{MutationResult, Store};

fn seen(number: u64, seen: &[u64]) -> MutationEnvelope {
    let mut envelope = envelope("r", number);
    envelope.seen = seen.iter().copied().map(MutationNumber).collect();
    envelope
}

impl<S: Store> World<S> {
    /// The server forgets the outcomes of `r` up to `number`: settled long ago, or the replica written off.
    fn forget(&self, number: u64, settled: bool) {
        if settled {
            let mut envelope = envelope("r", number + limits::OUTCOMES_KEPT + 1);
            envelope.settled_through = number + limits::OUTCOMES_KEPT;
            self.send(envelope, self.create("Todo", todo("of another day", "t")));
        } else {
            // Ages are counted from prune to prune, a day at most.
            let (mut written_off, mut outcomes) = (0, 0);
            for now_ms in (0..=91).map(|day| BEGIN_MS + day * 24 * 3600 * 1000) {
                self.set_now(now_ms);
                let pruned = block_on(self.store.prune(now_ms, Retention::default())).unwrap();
                written_off += pruned.written_off;
                outcomes += pruned.outcomes;
            }
            assert_eq!((written_off, outcomes), (1, number));
        }
    }

    fn edit(&self, number: u64, upon: &[u64], values: Json) -> MutationResult {
        one(vec![self.send(seen(number, upon), self.update("Todo", values))])
    }

    fn shown(&self, result: &MutationResult, field: &str) -> Value {
        let field = self.schema[self.model("Todo")].field(field).unwrap();
        result.record.as_ref().unwrap().value(field).clone()
    }
}

/// Law: an edit that rests on a mutation of the replica's own of which nothing is known any more, and that names no
/// version, overwrites nothing that another has written, and nothing of it vanishes untold.
pub fn an_edit_upon_a_forgotten_mutation_of_ones_own_overwrites_nobody(place: &impl Place) {
    for settled in [true, false] {
        let world = World::new(place);
        world.send(envelope("r", 1), world.create("Todo", todo("a", "mine")));
        world.plain(world.update("Todo", json!({ "id": "a", "title": "another user's" })));
        world.forget(1, settled);
        let next = 1_100;
        let edit = world.edit(next, &[1], json!({ "id": "a", "title": "mine again", "note": "new" }));
        assert_eq!(edit.outcome, OutcomeKind::Merged);
        assert_eq!(world.shown(&edit, "title"), Value::Text("another user's".into()));
        assert_eq!(
            world.shown(&edit, "note"),
            Value::Text("new".into()),
            "nobody wrote there"
        );
        let told = &edit.trace.as_ref().unwrap().fields;
        assert!(
            told.iter().any(|field| field.incoming == json!("mine again")),
            "{told:?}"
        );
        // What the record holds already is no conflict.
        let same = world.edit(next + 1, &[1], json!({ "id": "a", "title": "another user's" }));
        assert_eq!(same.outcome, OutcomeKind::Applied);
        let delete = world.send(seen(next + 2, &[1]), world.delete("Todo", json!({ "id": "a" })));
        assert_eq!(
            one(vec![delete]).reason.map(|reason| reason.code),
            Some(ErrorType::ConflictUnhandled)
        );
    }
    // One of two is still known: what came between the two is not.
    let world = World::new(place);
    world.send(envelope("r", 1), world.create("Todo", todo("a", "mine")));
    world.plain(world.update("Todo", json!({ "id": "a", "title": "another user's" })));
    world.edit(2, &[1], json!({ "id": "a", "note": "mine" }));
    world.forget(1, true);
    let edit = world.edit(
        1_100,
        &[1, 2],
        json!({ "id": "a", "title": "mine again", "note": "mine, too" }),
    );
    assert_eq!(edit.outcome, OutcomeKind::Merged);
    assert_eq!(world.shown(&edit, "title"), Value::Text("another user's".into()));
    assert_eq!(
        world.shown(&edit, "note"),
        Value::Text("mine, too".into()),
        "that one is known to be its own"
    );
}

/// Law: the same goes for one that rests on a mutation which this server has refused: a restored server may refuse what it had
/// carried out before, and then its replica no longer says that the edit depends on it.
pub fn an_edit_upon_a_refused_mutation_of_ones_own_overwrites_nobody(place: &impl Place) {
    let world = World::new(place);
    world.plain(world.create("Todo", todo("a", "another user's")));
    let refused = one(vec![
        world.send(envelope("r", 6), world.create("Todo", todo("a", "mine"))),
    ]);
    assert_eq!(refused.outcome, OutcomeKind::Rejected);
    let result = world.edit(9, &[6], todo("a", "mine, edited"));
    assert_eq!(result.outcome, OutcomeKind::Merged);
    assert_eq!(world.shown(&result, "title"), Value::Text("another user's".into()));
}

/// Law: where the edit names a version, that one counts: the record's own is no conflict, an older one is.
pub fn what_is_seen_of_a_forgotten_mutation_is_judged_by_the_version_that_is_named(place: &impl Place) {
    for settled in [true, false] {
        let world = World::new(place);
        world.plain(world.create("Todo", todo("a", "theirs")));
        world.edit(1, &[], json!({ "id": "a", "title": "mine", "_version": 1 }));
        world.forget(1, settled);
        let older = world.edit(1_100, &[1], json!({ "id": "a", "title": "mine again", "_version": 1 }));
        assert_eq!(older.outcome, OutcomeKind::Merged);
        assert_eq!(world.shown(&older, "title"), Value::Text("mine".into()));
        let newest = older.record.unwrap().meta.version.0;
        let newer = world.edit(
            1_101,
            &[1],
            json!({ "id": "a", "title": "mine again", "_version": newest }),
        );
        assert_eq!(newer.outcome, OutcomeKind::Applied);
    }
}

/// Law: a number belongs to one request also where one of two could not be read or must not be carried out: the other one is
/// told, and not given the first one's end. The same request again is given its end, however it is refused.
pub fn a_number_is_not_lent_to_another_request_that_is_refused(place: &impl Place) {
    let create = "mutation ($i: CreateTodoInput!) { createTodo(input: $i) { id } }";
    let good = (create, json!({ "i": { "id": "a", "title": "t" } }));
    let again = (
        "mutation ($i: CreateTodoInput!) { made: createTodo(input: $i) { id title } }",
        good.1.clone(),
    );
    let unread = (create, json!({ "i": { "id": "a", "title": "t", "nothing": 1 } }));
    let unread_too = (create, json!({ "i": { "id": "a", "title": "t", "nothing": 2 } }));
    let forbidden = ("mutation { createClosed(input: { id: \"a\" }) { id } }", json!({}));
    // First, second, the second's end.
    let rows = [
        (&unread, &unread, "BadRequest"),
        (&unread, &unread_too, "NumberReused"),
        (&unread, &good, "NumberReused"),
        (&good, &unread, "NumberReused"),
        (&forbidden, &forbidden, "Unauthorized"),
        (&forbidden, &good, "NumberReused"),
        (&good, &forbidden, "NumberReused"),
        (&good, &good, ""),
        // Written in another way it is the same mutation still.
        (&good, &again, ""),
    ];
    for (first, second, want) in rows {
        let server = Server::new(place, Settings::default());
        let code = |(query, variables): &(&str, Json), extension: Json| {
            let answer = server.ask(query, variables.clone(), extension);
            let outcome = &answer["extensions"]["tombolo"]["outcomes"][0];
            assert!(outcome["outcome"].is_string(), "{answer}");
            outcome["reason"]["code"].as_str().unwrap_or_default().to_owned()
        };
        let envelope = || json!({ "replica": "r", "number": 1 });
        let end = code(first, envelope());
        assert_eq!(code(second, envelope()), want, "{first:?} {second:?}");
        // What was the first one's end stays its end; and giving it up takes no text to the letter.
        assert_eq!(code(first, envelope()), end);
        assert_eq!(code(first, json!({ "replica": "r", "number": 1, "void": true })), end);
    }
    // Texts of different schemas are not compared.
    let server = Server::new(place, Settings::default());
    let end = |(query, variables): &(&str, Json), schema: &str| {
        let extension = json!({ "replica": "r", "number": 1, "schema": schema });
        let answer = server.ask(query, variables.clone(), extension);
        answer["extensions"]["tombolo"]["outcomes"][0]["reason"]["code"].clone()
    };
    assert_eq!(end(&unread, ""), "BadRequest");
    assert_eq!(end(&unread_too, "another"), "BadRequest");
}
