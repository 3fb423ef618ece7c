//! What a request may carry of its history.

use std::collections::BTreeMap;

use serde_json::json;
use tombolo_core::schema::MutationKind;
use tombolo_machine::{Input, StepError, limits};

use crate::script::play_on;
use crate::world::World;

#[test]
fn a_transaction_on_top_of_more_than_a_request_can_name_is_refused_before_it_is_kept() {
    let mut world = World::new();
    let each = limits::ATOMIC_MUTATIONS_MAX;
    let save = |world: &World, kind, rank: usize| {
        let set = BTreeMap::from([("rank".to_owned(), json!(rank))]);
        let one = |id: usize| world.mutation(kind, "Todo", &id.to_string(), &set);
        Input::Enqueue((0..each).map(one).collect())
    };
    let input = save(&world, MutationKind::Create, 0);
    world.step(input).unwrap();
    let most = limits::SEEN_MAX / each;
    for rank in 1..=most {
        let input = save(&world, MutationKind::Update, rank);
        world.step(input).unwrap();
    }
    let input = save(&world, MutationKind::Update, most + 1);
    let refused = world.step(input);
    assert!(
        matches!(refused, Err(StepError::TooManyEarlier { given }) if given == limits::SEEN_MAX + each),
        "{refused:?}"
    );
    play_on(&mut world, &format!("expect Todo/0 rank={most}"));
    assert_eq!(world.outbox().len(), each * (most + 1));
    // A record alone is no trouble.
    play_on(&mut world, "phone edit Todo/0 rank=7\nexpect Todo/0 rank=7");
}
