//! How far requests have come that are not decided yet.
//!
//! A request is nearer to its end only if it has come further than ever before. That something was answered says little:
//! answers that do not fit what is kept are asked for again each time, and a request that needs more of them than fit would
//! seem to move on for ever.

use std::collections::BTreeMap;

use tombolo_core::id::ReplicaId;

/// The most places that were answered at the end of any one time, by request; of the newest requests.
#[derive(Debug)]
pub(super) struct Reached {
    most: BTreeMap<(ReplicaId, u64), Most>,
    /// By when they last ended.
    order: BTreeMap<u64, (ReplicaId, u64)>,
    next: u64,
    requests_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Most {
    places: usize,
    order: u64,
}

impl Reached {
    pub(super) fn new(requests_max: usize) -> Self {
        Self {
            most: BTreeMap::new(),
            order: BTreeMap::new(),
            next: 0,
            requests_max,
        }
    }

    /// Notes that the request has ended undecided with so many places answered: whether these are more than ever before.
    pub(super) fn further(&mut self, replica: &ReplicaId, number: u64, places: usize) -> bool {
        let before = self.forget(replica, number);
        let order = self.next;
        self.next += 1;
        let request = (replica.clone(), number);
        let most = Most {
            places: places.max(before),
            order,
        };
        self.order.insert(order, request.clone());
        self.most.insert(request, most);
        while self.most.len() > self.requests_max
            && let Some((_, (replica, number))) = self.order.pop_first()
        {
            self.forget(&replica, number);
        }
        places > before
    }

    /// The request is decided, or comes again: the most that it had.
    pub(super) fn forget(&mut self, replica: &ReplicaId, number: u64) -> usize {
        match self.most.remove(&(replica.clone(), number)) {
            Some(most) => {
                self.order.remove(&most.order);
                most.places
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_more_than_ever_before_is_further() {
        let (mut reached, replica) = (Reached::new(10), ReplicaId("r".into()));
        let told = [0, 3, 2, 3, 4, 4].map(|places| reached.further(&replica, 1, places));
        assert_eq!(told, [false, true, false, false, true, false]);
        assert!(reached.further(&replica, 2, 1), "another request");
        assert!(reached.further(&ReplicaId("s".into()), 1, 1), "another replica");
        assert_eq!(reached.forget(&replica, 1), 4);
        assert!(
            reached.further(&replica, 1, 1),
            "it was decided, and the number is used anew"
        );
    }

    #[test]
    fn the_requests_are_bounded_and_those_that_ended_longest_ago_go_first() {
        let (mut reached, replica) = (Reached::new(3), ReplicaId("r".into()));
        for number in [1, 2, 3, 1, 4] {
            reached.further(&replica, number, 5);
        }
        assert_eq!((reached.most.len(), reached.order.len()), (3, 3));
        assert!(!reached.further(&replica, 1, 5), "it ended after the second");
        assert!(reached.further(&replica, 2, 5), "the second is forgotten");
    }
}
