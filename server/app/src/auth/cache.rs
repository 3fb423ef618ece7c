//! What was found out about tokens, for a while: bounded in number, the oldest go first.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

/// Values by a token's digest.
#[derive(Debug)]
pub(crate) struct Cache<T> {
    most: usize,
    entries: BTreeMap<[u8; 32], Entry<T>>,
    /// In the order in which they were put in; what has been put in anew stands here twice.
    order: VecDeque<([u8; 32], u64)>,
    put: u64,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    made: Timestamp,
    ends: Timestamp,
    number: u64,
}

impl<T: Clone> Cache<T> {
    /// One for at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            put: 0,
        }
    }

    /// What is known at `now`. After the clock was set back to before it was found out, it is not known.
    pub(crate) fn get(&self, key: &[u8; 32], now: Timestamp) -> Option<T> {
        let entry = self.entries.get(key)?;
        (entry.made <= now && now < entry.ends).then(|| entry.value.clone())
    }

    /// Remembers from `made` until `ends`.
    pub(crate) fn put(&mut self, key: [u8; 32], value: T, made: Timestamp, ends: Timestamp) {
        self.put += 1;
        let number = self.put;
        let entry = Entry {
            value,
            made,
            ends,
            number,
        };
        self.entries.insert(key, entry);
        self.order.push_back((key, number));
        while self.order.len() > self.most
            && let Some((key, number)) = self.order.pop_front()
        {
            if self.entries.get(&key).is_some_and(|entry| entry.number == number) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_forgets_with_time_and_above_its_bound() {
        let mut cache = Cache::new(2);
        cache.put([1; 32], "a", at(10), at(20));
        assert_eq!(cache.get(&[1; 32], at(19)), Some("a"));
        assert_eq!(cache.get(&[1; 32], at(20)), None, "it has ended");
        assert_eq!(cache.get(&[1; 32], at(9)), None, "the clock was set back");
        cache.put([2; 32], "b", at(10), at(20));
        cache.put([1; 32], "c", at(11), at(20));
        assert_eq!(cache.get(&[1; 32], at(12)), Some("c"), "the newest stays");
        cache.put([3; 32], "d", at(12), at(20));
        assert_eq!(cache.get(&[2; 32], at(12)), None, "the oldest goes");
        assert_eq!(cache.get(&[1; 32], at(12)), Some("c"));
        assert!(cache.entries.len() <= 2 && cache.order.len() <= 2);
    }
}
