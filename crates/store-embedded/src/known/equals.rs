//! How many registrations are pending for each app, user and device token, roughly.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::keys::{PendingKey, USER_PREFIX};

const COUNTS: usize = 1 << 18;

/// A count for each of many groups of app, user and device token; 1 MiB. A registration that is counted alone
/// has no equal. With millions pending most share their count with others, and the engine is asked.
#[derive(Debug)]
pub(crate) struct Equals(Box<[AtomicU32]>);

/// Counts that are made while the store is opened.
#[derive(Debug)]
pub(crate) struct Counts(Box<[u32]>);

/// Which count is that of a registration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot(u32);

impl Slot {
    /// User and token are hashes in the key.
    pub(crate) fn of(key: &PendingKey) -> Self {
        let from = |at: usize| u32::from_be_bytes([key[at], key[at + 1], key[at + 2], key[at + 3]]);
        Self(from(USER_PREFIX - 4) ^ from(USER_PREFIX))
    }

    const fn index(self) -> usize {
        self.0 as usize % COUNTS
    }
}

impl Default for Equals {
    fn default() -> Self {
        Self((0..COUNTS).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self(vec![0; COUNTS].into())
    }
}

impl Counts {
    pub(crate) fn add(&mut self, key: &PendingKey) {
        self.0[Slot::of(key).index()] += 1;
    }
}

impl Equals {
    /// Before the registration's row can be seen.
    pub(crate) fn add(&self, key: &PendingKey) {
        self.0[Slot::of(key).index()].fetch_add(1, Ordering::Relaxed);
    }

    /// When the registration's row can't be seen any more.
    pub(crate) fn subtract(&self, slot: Slot) {
        self.0[slot.index()].fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether another pending registration may be equal to the one with this key. Whoever can see the row of
    /// another sees it counted: what makes the row visible comes after.
    pub(crate) fn may_have(&self, key: &PendingKey) -> bool {
        self.0[Slot::of(key).index()].load(Ordering::Relaxed) > 1
    }

    /// Replaces all counts. Nobody may be looking.
    pub(crate) fn replace(&self, counts: &Counts) {
        for (count, now) in self.0.iter().zip(&counts.0) {
            count.store(*now, Ordering::Relaxed);
        }
    }
}
