//! The callbacks that are kept for another attempt, in memory: how many of each app, and when the next
//! may be due.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pushroll_domain::{AppId, Timestamp};

const NEVER: u64 = u64::MAX;

/// The counters; as many as there are apps with such callbacks.
#[derive(Debug)]
pub(crate) struct Retrying {
    /// No callback that is put away is due before this time.
    none_before: AtomicU64,
    /// Callbacks that are put away until they are due, or until their attempt counts as lost.
    put_away: AtomicU64,
    by_app: Mutex<HashMap<AppId, u64>>,
}

impl Default for Retrying {
    fn default() -> Self {
        Self {
            none_before: AtomicU64::new(NEVER),
            put_away: AtomicU64::new(0),
            by_app: Mutex::default(),
        }
    }
}

/// What a commit did.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RetryChange {
    /// A callback has had its first attempt and is kept.
    Kept(AppId),
    /// A callback is kept no longer.
    Over(AppId),
    /// A callback was put away until then.
    PutAway(Timestamp),
    /// A callback that was put away is there no longer.
    Fetched,
    /// Of what was put away before this commit, nothing is due before this time.
    NoneBefore(Timestamp),
}

impl Retrying {
    /// Takes note of what a commit did, when it can be seen.
    pub(crate) fn after_commit(&self, changes: &[RetryChange]) {
        for change in changes {
            match change {
                RetryChange::Kept(app) => *self.by_app.lock().entry(*app).or_default() += 1,
                RetryChange::Over(app) => {
                    let mut by_app = self.by_app.lock();
                    if let Some(count) = by_app.get_mut(app) {
                        *count = count.saturating_sub(1);
                        if *count == 0 {
                            by_app.remove(app);
                        }
                    }
                }
                RetryChange::PutAway(_) => drop(self.put_away.fetch_add(1, Ordering::Relaxed)),
                RetryChange::Fetched => drop(self.put_away.fetch_sub(1, Ordering::Relaxed)),
                RetryChange::NoneBefore(due) => {
                    self.none_before.store(due.as_millis(), Ordering::Relaxed);
                }
            }
        }
        // Last: who looked for the next in this commit did not see what it put away.
        for change in changes {
            if let RetryChange::PutAway(due) = change {
                self.none_before.fetch_min(due.as_millis(), Ordering::Relaxed);
            }
        }
    }

    /// Takes the place of what was known.
    pub(crate) fn replace(&self, found: Self) {
        self.none_before.store(found.none_before.into_inner(), Ordering::Relaxed);
        self.put_away.store(found.put_away.into_inner(), Ordering::Relaxed);
        *self.by_app.lock() = found.by_app.into_inner();
    }

    /// Whether anything that is put away may be due.
    pub(crate) fn may_be_due(&self, now: Timestamp) -> bool {
        self.none_before.load(Ordering::Relaxed) <= now.as_millis()
    }

    pub(crate) fn put_away(&self) -> u64 {
        self.put_away.load(Ordering::Relaxed)
    }

    pub(crate) fn of_app(&self, app: AppId) -> u64 {
        self.by_app.lock().get(&app).copied().unwrap_or(0)
    }
}
