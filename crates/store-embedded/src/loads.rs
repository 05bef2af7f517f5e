//! How many registrations are pending in each lane, in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use pushroll_domain::{AppId, Lane, LaneLoad, Platform};

/// The counters; as many as there are lanes in use.
#[derive(Debug, Default)]
pub(crate) struct Loads(RwLock<HashMap<Lane, AtomicU64>>);

impl Loads {
    pub(crate) fn add(&self, lane: Lane) {
        if let Some(count) = self.0.read().get(&lane) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.0.write().entry(lane).or_default().fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, lane: Lane) {
        if let Some(count) = self.0.read().get(&lane) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Replaces all counts.
    pub(crate) fn replace(&self, counts: HashMap<Lane, u64>) {
        let counts = counts.into_iter().map(|(lane, count)| (lane, AtomicU64::new(count)));
        *self.0.write() = counts.collect();
    }

    pub(crate) fn of_app(&self, app: AppId) -> u64 {
        let counts = self.0.read();
        let of_lane = |platform| counts.get(&Lane { app, platform });
        Platform::ALL.into_iter().filter_map(of_lane).map(|c| c.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn all(&self) -> Vec<LaneLoad> {
        let counts = self.0.read();
        let loads = counts
            .iter()
            .map(|(lane, count)| LaneLoad { lane: *lane, pending: count.load(Ordering::Relaxed) });
        loads.filter(|load| load.pending > 0).collect()
    }
}
