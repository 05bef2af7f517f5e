//! A map that keeps the newest keys and forgets the oldest, so that counting by device token never
//! fills the memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub(crate) struct NewestMap<V> {
    limit: usize,
    entries: HashMap<Arc<str>, V>,
    order: VecDeque<Arc<str>>,
}

impl<V: Default> NewestMap<V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), entries: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.entries.get(key)
    }

    /// The value of `key`, made if it is new; the oldest key then makes room.
    pub(crate) fn entry(&mut self, key: &str) -> &mut V {
        if !self.entries.contains_key(key) {
            if self.order.len() >= self.limit
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            let key: Arc<str> = Arc::from(key);
            self.order.push_back(Arc::clone(&key));
            self.entries.insert(key, V::default());
        }
        self.entries.get_mut(key).expect("inserted above")
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_key_makes_room_for_a_new_one() {
        let mut map = NewestMap::<u32>::new(2);
        for key in ["a", "b", "a", "c"] {
            *map.entry(key) += 1;
        }
        assert_eq!(map.get("a"), None);
        assert_eq!((map.get("b"), map.get("c"), map.len()), (Some(&1), Some(&1), 2));
    }
}
