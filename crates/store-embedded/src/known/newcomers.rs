//! Users who had no device when somebody last looked.
//!
//! Before a provider is asked, somebody looks for the device of a registration; the commit that stores it
//! has to know how many devices the user has by then. Most users have none, and that the first look has seen: so
//! long as the writer, the only one to store devices, stores none of his, it stays true.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::keys::USER_PREFIX;

/// How many users are remembered: more than are asked about at once. About 450 KiB.
const SLOTS: usize = 1 << 13;

/// Remembers users, each in the one place that is his.
#[derive(Debug)]
pub(crate) struct Newcomers {
    slots: Box<[Mutex<Slot>]>,
    looks: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    user: [u8; USER_PREFIX],
    /// The last look for this user; 0 for none.
    look: u64,
    /// Whether that look has ended and found nothing.
    has_none: bool,
}

/// Somebody looks for a user's devices.
#[derive(Debug)]
pub(crate) struct Look {
    slot: usize,
    number: u64,
}

impl Default for Newcomers {
    fn default() -> Self {
        let empty = || Mutex::new(Slot { user: [0; USER_PREFIX], look: 0, has_none: false });
        Self { slots: (0..SLOTS).map(|_| empty()).collect(), looks: AtomicU64::new(1) }
    }
}

/// The last bytes of the prefix are of a hash of the user.
fn slot_of(user: &[u8; USER_PREFIX]) -> usize {
    user.last_chunk().map_or(0, |end| u32::from_be_bytes(*end) as usize % SLOTS)
}

impl Newcomers {
    /// Begins to look: to be called before what is looked into is opened.
    pub(crate) fn look(&self, user: &[u8; USER_PREFIX]) -> Look {
        let (slot, number) = (slot_of(user), self.looks.fetch_add(1, Ordering::Relaxed));
        *self.slots[slot].lock() = Slot { user: *user, look: number, has_none: false };
        Look { slot, number }
    }

    /// The look found no device. That is remembered unless one was stored since it began.
    pub(crate) fn found_none(&self, look: &Look) {
        let mut slot = self.slots[look.slot].lock();
        if slot.look == look.number {
            slot.has_none = true;
        }
    }

    /// Whether this user is known to have no device. For the writer, between whose commits nobody stores any.
    pub(crate) fn has_none(&self, user: &[u8]) -> bool {
        let Ok(user) = user.try_into() else { return false };
        let slot = self.slots[slot_of(user)].lock();
        slot.has_none && slot.user == *user
    }

    /// A device of this user was stored, and can be seen.
    pub(crate) fn stored(&self, user: &[u8; USER_PREFIX]) {
        let mut slot = self.slots[slot_of(user)].lock();
        if slot.user == *user {
            slot.forget();
        }
    }

    /// Forgets everybody, since nobody knows what a failed write has left.
    pub(crate) fn forget_all(&self) {
        self.slots.iter().for_each(|slot| slot.lock().forget());
    }
}

impl Slot {
    fn forget(&mut self) {
        (self.look, self.has_none) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: [u8; USER_PREFIX] = [1; USER_PREFIX];

    #[test]
    fn a_user_is_a_newcomer_when_a_look_found_nothing() {
        let newcomers = Newcomers::default();
        assert!(!newcomers.has_none(&USER));
        let look = newcomers.look(&USER);
        assert!(!newcomers.has_none(&USER), "the look has not ended");
        newcomers.found_none(&look);
        assert!(newcomers.has_none(&USER));
        assert!(!newcomers.has_none(&USER[1..]), "that is no user");
    }

    #[test]
    fn a_device_that_is_stored_meanwhile_counts() {
        let newcomers = Newcomers::default();
        let look = newcomers.look(&USER);
        newcomers.stored(&USER);
        newcomers.found_none(&look);
        assert!(!newcomers.has_none(&USER), "what the look saw is over");
        let look = newcomers.look(&USER);
        newcomers.found_none(&look);
        newcomers.stored(&USER);
        assert!(!newcomers.has_none(&USER));
    }

    #[test]
    fn users_who_share_a_place_are_told_apart() {
        let newcomers = Newcomers::default();
        let mut other = USER;
        other[0] = 2;
        assert_eq!(slot_of(&USER), slot_of(&other));
        let look = newcomers.look(&USER);
        newcomers.found_none(&look);
        newcomers.stored(&other);
        assert!(newcomers.has_none(&USER) && !newcomers.has_none(&other));
        let (first, second) = (newcomers.look(&USER), newcomers.look(&other));
        newcomers.found_none(&first);
        assert!(!newcomers.has_none(&USER) && !newcomers.has_none(&other));
        newcomers.found_none(&second);
        assert!(!newcomers.has_none(&USER) && newcomers.has_none(&other));
    }

    #[test]
    fn nobody_is_remembered_after_a_failed_write() {
        let newcomers = Newcomers::default();
        let (ended, begun) = (newcomers.look(&USER), newcomers.look(&[7; USER_PREFIX]));
        newcomers.found_none(&ended);
        newcomers.forget_all();
        newcomers.found_none(&begun);
        assert!(!newcomers.has_none(&USER) && !newcomers.has_none(&[7; USER_PREFIX]));
    }
}
