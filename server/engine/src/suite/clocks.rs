//! Wall clocks that are wrong: they may cost base syncs, and never anybody's mutations nor all pruning.

use tombolo_core::id::Position;
use tombolo_core::wire::envelope::OutcomeKind;

use super::{BEGIN_MS, DAY_MS, Place, World, envelope};
use crate::store::Store;

/// Of a clock that is years ahead.
const AHEAD_MS: i64 = BEGIN_MS + 25 * 365 * DAY_MS;

/// The outcome of `replica`'s mutation 1 is still known: sent again it is answered and does nothing.
fn is_known(world: &World<impl Store>, replica: &str) -> bool {
    let again = world.deliver(envelope(replica, 1), replica);
    again.outcome == OutcomeKind::Applied && again.change.is_none()
}

/// Law: a prune at a moment when the clock is years ahead writes nobody off and prunes nothing that is young.
pub fn a_clock_that_is_ahead_while_it_is_pruned_writes_nobody_off(place: &impl Place) {
    let world = World::new(place);
    world.deliver(envelope("r", 1), "r");
    world.create_and_delete("a");
    world.day(1);
    world.set_now(AHEAD_MS);
    let ahead = world.prune();
    assert_eq!((ahead.written_off, ahead.tombstones), (0, 0));
    world.day(2);
    assert!(world.prune().is_nothing());
    assert!(is_known(&world, "r"));
}

/// Law: an hour in which the clock was years ahead stops no later pruning: neither by what was written in it, nor by who
/// was heard of.
pub fn a_clock_that_was_ahead_stops_no_pruning(place: &impl Place) {
    let world = World::new(place);
    world.day(1);
    world.set_now(AHEAD_MS);
    let gone = world.create_and_delete("a");
    world.deliver(envelope("once", 1), "once");
    world.holds("once", 0);
    world.set_now(BEGIN_MS + DAY_MS);
    world.day(60);
    assert!(world.prune().is_nothing(), "it waits for the replica");
    world.day(94);
    let pruned = world.prune();
    assert_eq!((pruned.written_off, pruned.tombstones), (1, 1));
    assert_eq!(world.watermark(), gone);
}

/// Law: what was heard while the clock stood at its beginning does not count as long ago once it is put right.
pub fn a_clock_that_began_in_1970_writes_nobody_off(place: &impl Place) {
    let world = World::new(place);
    world.deliver(envelope("r", 1), "r");
    world.day(1);
    world.set_now(60_000);
    world.note("r", Some(Position(1)));
    world.prune();
    world.set_now(BEGIN_MS + DAY_MS);
    world.day(2);
    assert_eq!(world.prune().written_off, 0);
    assert!(is_known(&world, "r"));
}

/// Law: the time in which no server ran is nobody's silence but for a day, and the rest of it is counted on.
pub fn a_server_that_stood_still_writes_nobody_off(place: &impl Place) {
    let world = World::new(place);
    world.deliver(envelope("r", 1), "r");
    world.day(1);
    world.set_now(BEGIN_MS + 200 * DAY_MS);
    assert_eq!(world.prune().written_off, 0);
    world.day(200 + 88);
    assert_eq!(world.prune().written_off, 0);
    assert!(is_known(&world, "r"));
    // It was heard of just now.
    world.day(200 + 88 + 90);
    assert_eq!(world.prune().written_off, 0);
    world.day(200 + 88 + 91);
    assert_eq!(world.prune().written_off, 1);
}

/// Law: a clock that goes back and forth, as at each start of a machine without a clock of its own, makes nothing older than the
/// prunes that there were, an hour each.
pub fn a_clock_that_goes_back_and_forth_prunes_nothing_early(place: &impl Place) {
    let world = World::new(place);
    world.deliver(envelope("r", 1), "r");
    world.create_and_delete("a");
    for _ in 0..100 {
        world.set_now(-BEGIN_MS);
        assert!(world.prune().is_nothing());
        world.set_now(BEGIN_MS);
        assert!(world.prune().is_nothing());
    }
    assert!(is_known(&world, "r"));
}

/// Law: a clock that is put back stands still for those who are away, and goes on from there.
pub fn a_clock_that_goes_back_prunes_nothing_early(place: &impl Place) {
    let world = World::new(place);
    world.create_and_delete("a");
    world.day(20);
    for _ in 0..100 {
        world.set_now(BEGIN_MS);
        assert!(world.prune().is_nothing());
    }
    world.day(10);
    assert!(world.prune().is_nothing());
    world.day(11);
    assert_eq!(world.prune().tombstones, 1);
}
