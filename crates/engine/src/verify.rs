//! Verification: from an accepted registration to its outcome.
//!
//! A bounded number of registrations is in memory, each with a [`Hold`]; the rest waits in the store.
//! Whoever comes fresh from acceptance is carried on at once when there is room, and [`hand_out`]
//! takes the others from the store, lanes in turn. A lane is one app on one platform: it has its own
//! bounds, circuit breaker and credentials, so that one lane's flood, dead credential or silent
//! provider costs the others nothing.
//!
//! [`hand_out`]: crate::Service::hand_out

mod carry_on;
mod dry_run;
mod equal;
mod hand_out;
mod lane;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use pushroll_domain::Lane;
use tokio::sync::Notify;

use crate::settings::VerificationLimits;
use equal::EqualRegistrations;
use lane::LaneState;

pub use lane::LaneReport;

/// The registrations in memory, by lane.
pub(crate) struct Verification {
    limits: VerificationLimits,
    in_memory: AtomicUsize,
    lanes: Mutex<HashMap<Lane, Arc<LaneState>>>,
    equal: EqualRegistrations,
    /// There may be room, or something due, in the store.
    wake: Notify,
}

/// A registration's place in memory. Dropping it makes room.
pub(crate) struct Hold {
    verification: Arc<Verification>,
    lane: Arc<LaneState>,
}

impl Verification {
    pub(crate) fn new(limits: &VerificationLimits) -> Arc<Self> {
        Arc::new(Self {
            limits: limits.clone(),
            in_memory: AtomicUsize::new(0),
            lanes: Mutex::default(),
            equal: EqualRegistrations::default(),
            wake: Notify::new(),
        })
    }

    /// A place for a registration that is being accepted, if there is one and its lane goes on now.
    pub(crate) fn try_hold(self: &Arc<Self>, lane: Lane) -> Option<Hold> {
        if self.limits.paused {
            return None;
        }
        let lane = self.lane(lane);
        if lane.is_held_back() {
            return None;
        }
        self.hold(&lane)
    }

    /// A place for a registration of this lane. The fuller memory is, the less of it a lane may
    /// have, so that there is always room for a lane that has nothing in it yet.
    fn hold(self: &Arc<Self>, lane: &Arc<LaneState>) -> Option<Hold> {
        let all = self.in_memory.fetch_add(1, Ordering::Relaxed);
        let free = self.limits.in_memory.saturating_sub(all);
        let of_lane = lane.in_memory.fetch_add(1, Ordering::Relaxed);
        let hold = Hold { verification: Arc::clone(self), lane: Arc::clone(lane) };
        let most = self.limits.in_memory_per_lane.min(free / 2);
        // Dropping the hold takes both counts back.
        (of_lane < most).then_some(hold)
    }

    fn lane(&self, lane: Lane) -> Arc<LaneState> {
        let mut lanes = self.lanes.lock();
        let state = lanes
            .entry(lane)
            .or_insert_with(|| Arc::new(LaneState::new(lane, self.limits.dry_runs_per_lane)));
        Arc::clone(state)
    }

    /// Forgets the lanes of apps that are gone.
    fn forget_lanes(&self, is_known: impl Fn(Lane) -> bool) {
        self.lanes
            .lock()
            .retain(|lane, state| state.in_memory.load(Ordering::Relaxed) > 0 || is_known(*lane));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.lane.in_memory.fetch_sub(1, Ordering::Relaxed);
        self.verification.in_memory.fetch_sub(1, Ordering::Relaxed);
        if self.lane.has_backlog() {
            self.verification.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::EngineSettings;
    use pushroll_domain::{AppId, Platform};

    fn lane(n: u8) -> Lane {
        Lane { app: AppId::from_bytes([n; 16]), platform: Platform::Ios }
    }

    fn verification(in_memory: usize, in_memory_per_lane: usize) -> Arc<Verification> {
        let limits = EngineSettings::default().verification;
        Verification::new(&VerificationLimits { in_memory, in_memory_per_lane, ..limits })
    }

    fn holds(verification: &Arc<Verification>, lane: Lane) -> Vec<Hold> {
        std::iter::from_fn(|| verification.try_hold(lane)).collect()
    }

    #[test]
    fn a_lane_has_at_most_its_share_of_memory() {
        let verification = verification(1_000, 100);
        assert_eq!(holds(&verification, lane(1)).len(), 100);
    }

    #[test]
    fn however_many_lanes_are_stuck_there_is_room_for_another() {
        let verification = verification(1_000, 400);
        let mut stuck = Vec::new();
        for n in 0..20 {
            let held = holds(&verification, lane(n));
            if n < 8 {
                assert!(!held.is_empty(), "lane {n}");
            }
            stuck.extend(held);
        }
        assert!(stuck.len() <= 1_000);
    }

    #[test]
    fn a_hold_that_is_dropped_makes_room() {
        let verification = verification(1_000, 100);
        let held = holds(&verification, lane(1));
        assert!(verification.try_hold(lane(1)).is_none());
        drop(held);
        assert!(verification.try_hold(lane(1)).is_some());
        assert_eq!(verification.in_memory.load(Ordering::Relaxed), 0);
    }
}
