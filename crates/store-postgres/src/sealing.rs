//! Which key this process seals under, as the database has noted it, while others may be sealing everything anew.
//!
//! From the moment at which the database's word is followed, nothing is written any more under another key: what was
//! sealed before and is still in memory is sealed anew when it is written. What is under way at that moment is waited
//! for before the other nodes are told that this one has followed.

use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use pushroll_domain::{App, CallbackOrder, Registration, SealingKeys, StoreError};

/// Held while something is written that was read or sealed under the key of its time.
pub(crate) type Era = Arc<()>;

/// The keys, and what is under way.
#[derive(Default)]
pub(crate) struct Sealing {
    /// Nobody's, until the store is told.
    keys: OnceLock<Arc<dyn SealingKeys>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    now: Era,
    /// Those that have ended, as far as something of them may still be under way.
    before: Vec<Weak<()>>,
    /// What was last followed.
    noted: Vec<u8>,
    /// What the other nodes are told.
    reported: Vec<u8>,
}

impl Sealing {
    /// Seals by these from now on.
    pub(crate) fn set(&self, keys: Arc<dyn SealingKeys>) {
        // The second would be another store's.
        let _ = self.keys.set(keys);
        self.state.lock().noted.clear();
    }

    /// Follows what the database has noted, if it is something new; whether anything has changed.
    pub(crate) fn follow(&self, noted: &[u8]) -> bool {
        let Some(keys) = self.keys.get() else { return false };
        let mut state = self.state.lock();
        if state.noted == noted {
            return false;
        }
        if !keys.follow(noted) {
            tracing::error!(
                "the sealing key is being changed, and this server was not given the new one: add it to sealing.key \
                 or its file, and start the server again"
            );
            return false;
        }
        noted.clone_into(&mut state.noted);
        let ended = std::mem::take(&mut state.now);
        state.before.push(Arc::downgrade(&ended));
        true
    }

    /// To be held while something is written.
    pub(crate) fn era(&self) -> Era {
        Arc::clone(&self.state.lock().now)
    }

    /// Whether something is under way from before the last change.
    pub(crate) fn is_settling(&self) -> bool {
        let mut state = self.state.lock();
        state.before.retain(|era| era.strong_count() > 0);
        !state.before.is_empty()
    }

    /// What the other nodes are told: the keys that this one has, the one first under which alone it writes.
    pub(crate) fn report(&self) -> Vec<u8> {
        let Some(keys) = self.keys.get() else { return Vec::new() };
        if !self.is_settling() {
            self.state.lock().reported = keys.known();
        }
        self.state.lock().reported.clone()
    }

    /// The order of a registration as it is to be written; `None` if as it is, also where something does not open:
    /// that is in nobody's way until it is needed, and told then.
    pub(crate) fn order(&self, registration: &Registration) -> Option<CallbackOrder> {
        let (keys, order) = (self.keys.get()?, registration.callback.as_ref()?);
        keys.order(registration.org, registration.app, order).unwrap_or_else(|fault| {
            tracing::warn!(id = %registration.id, fault, "a callback's headers do not open");
            None
        })
    }

    /// The app as it is to be written; `None` if as it is, also where something does not open.
    pub(crate) fn app(&self, app: &App) -> Option<App> {
        self.keys.get()?.app(app).unwrap_or_else(|fault| {
            tracing::warn!(app = %app.id, fault, "something that is sealed in an app does not open");
            None
        })
    }
}

pub(crate) fn unopened(what: std::fmt::Arguments<'_>, fault: &str) -> StoreError {
    StoreError::Corrupt(format!("{what}: what is sealed in it does not open: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushroll_domain::{AppId, OrgId, Reseal};

    /// Knows keys of one byte, and seals by the first that was noted.
    struct Bytes(Vec<u8>, Mutex<u8>);

    impl Reseal for Bytes {
        fn app(&self, _: &App) -> Result<Option<App>, String> {
            Ok(None)
        }

        fn order(
            &self,
            _: OrgId,
            _: AppId,
            _: &CallbackOrder,
        ) -> Result<Option<CallbackOrder>, String> {
            Ok(None)
        }
    }

    impl SealingKeys for Bytes {
        fn follow(&self, noted: &[u8]) -> bool {
            if !noted.iter().all(|id| self.0.contains(id)) {
                return false;
            }
            *self.1.lock() = noted[0];
            true
        }

        fn known(&self) -> Vec<u8> {
            vec![*self.1.lock()]
        }
    }

    #[test]
    fn others_are_told_of_a_new_key_when_nothing_from_before_is_under_way() {
        let sealing = Sealing::default();
        assert!(sealing.report().is_empty());
        sealing.set(Arc::new(Bytes(vec![1, 2], Mutex::new(1))));
        assert!(sealing.follow(&[1]));
        assert_eq!(sealing.report(), [1]);
        let (one, two) = (sealing.era(), sealing.era());
        assert!(sealing.follow(&[2, 1]));
        assert!(!sealing.follow(&[2, 1]), "it was followed");
        let later = sealing.era();
        assert_eq!(sealing.report(), [1], "something is under way");
        drop(one);
        assert!(sealing.is_settling());
        drop(two);
        assert_eq!(sealing.report(), [2], "what began later does not matter");
        drop(later);
        assert!(!sealing.follow(&[3]), "a key that is not known");
        assert_eq!(sealing.report(), [2]);
    }
}
