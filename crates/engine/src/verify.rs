//! Verification: from an accepted registration to its outcome.
//!
//! A bounded number of registrations is in memory, each with a [`Hold`]; the rest waits in the store.
//! Whoever comes fresh from acceptance is carried on at once when there is room, and [`hand_out`]
//! takes the others from the store, lanes in turn. A lane is one app on one platform: it has its own
//! bounds, circuit breaker and credentials, so that one lane's flood, dead credential or silent
//! provider costs the others nothing.
//!
//! Verification gives way to acceptance: while the server is [`busy`], memory is small, and most of what is accepted waits
//! in the store until the burst is over. A caller is better served by a 202 and an outcome that comes later than
//! by a 503.
//!
//! [`hand_out`]: crate::Service::hand_out

mod busy;
mod carry_on;
mod dry_run;
mod equal;
mod hand_out;
mod lane;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use pushroll_domain::{ClaimedToken, Lane, Registration, SpanContext};
use tokio::sync::Notify;

use crate::settings::VerificationLimits;
use busy::{Busy, Waiting};
use equal::EqualRegistrations;
use lane::LaneState;

pub use lane::{LaneReport, Seen};

/// The registrations in memory, by lane.
pub(crate) struct Verification {
    limits: VerificationLimits,
    in_memory: AtomicUsize,
    busy: Busy,
    lanes: Mutex<HashMap<Lane, Arc<LaneState>>>,
    equal: EqualRegistrations,
    /// There may be room, or something due, in the store.
    wake: Notify,
}

/// Whether more has to be known of a registration than was at its acceptance.
fn may_be_verified(registration: &Registration) -> bool {
    match registration.claimed {
        ClaimedToken::Present(_) => registration.authorized_by.is_some(),
        ClaimedToken::TooLong { .. } => false,
    }
}

/// Where a registration that is carried on came from.
#[derive(Clone, Copy)]
pub(crate) enum CameFrom {
    /// From the request that brought it, whose span this is.
    Request(Option<SpanContext>),
    /// From the store.
    Store,
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
            busy: Busy::new(limits.busy_requests),
            lanes: Mutex::default(),
            equal: EqualRegistrations::default(),
            wake: Notify::new(),
        })
    }

    /// Counts a request whose registrations are going to be kept, and says whether verification gives way to it.
    pub(crate) fn begin_accept(&self) -> (Waiting<'_>, bool) {
        let now = Instant::now();
        (self.busy.wait(now), self.busy.is_busy(now))
    }

    /// Whether verification gives way to acceptance now.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.is_busy(Instant::now())
    }

    /// A place for a registration that is being accepted, if there is one and its lane goes on now. One that
    /// ends without its provider does not wait for it.
    pub(crate) fn try_hold(
        self: &Arc<Self>,
        registration: &Registration,
        is_busy: bool,
    ) -> Option<Hold> {
        if self.limits.paused {
            return None;
        }
        let lane = self.lane(registration.lane());
        if lane.is_held_back() && may_be_verified(registration) {
            return None;
        }
        self.hold(&lane, is_busy)
    }

    /// A place for a registration of this lane. The fuller memory is, the less of it a lane may
    /// have, so that there is always room for a lane that has nothing in it yet.
    fn hold(self: &Arc<Self>, lane: &Arc<LaneState>, is_busy: bool) -> Option<Hold> {
        let all = self.in_memory.fetch_add(1, Ordering::Relaxed);
        let limits = &self.limits;
        let when_busy = if is_busy { limits.in_memory_when_busy } else { usize::MAX };
        let free = limits.in_memory.min(when_busy).saturating_sub(all);
        let of_lane = lane.in_memory.fetch_add(1, Ordering::Relaxed);
        let hold = Hold { verification: Arc::clone(self), lane: Arc::clone(lane) };
        let most = limits.in_memory_per_lane.min(free / 2);
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

    /// There may be something due in the store.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Forgets every time that a lane waits for: the clock went back.
    pub(crate) fn begin_anew(&self) {
        let lanes: Vec<_> = self.lanes.lock().values().cloned().collect();
        lanes.iter().for_each(|lane| lane.begin_anew());
        self.wake();
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
    use pushroll_domain::{
        AppId, DeviceToken, OrgId, Platform, RegistrationId, Timestamp, TokenId, Tries, UserId,
    };

    use super::*;
    use crate::settings::EngineSettings;

    const NOW: Timestamp = Timestamp::from_millis(1);

    fn lane(n: u8) -> Lane {
        Lane { app: AppId::from_bytes([n; 16]), platform: Platform::Ios }
    }

    fn verification(in_memory: usize, in_memory_per_lane: usize) -> Arc<Verification> {
        let limits = EngineSettings::default().verification;
        Verification::new(&VerificationLimits { in_memory, in_memory_per_lane, ..limits })
    }

    fn registration(lane: Lane) -> Registration {
        let token = DeviceToken::parse(lane.platform, "c0ffee").unwrap();
        Registration {
            id: RegistrationId::from_bytes([0; 16]),
            org: OrgId::from_bytes([0; 16]),
            app: lane.app,
            user: UserId::parse("u").unwrap(),
            claimed: ClaimedToken::Present(token),
            authorized_by: Some(TokenId::from_bytes([0; 16])),
            tracked: false,
            callback: None,
            accepted_at: NOW,
            due: NOW,
            tries: Tries::default(),
            last_answer: None,
        }
    }

    fn try_hold(verification: &Arc<Verification>, lane: Lane) -> Option<Hold> {
        verification.try_hold(&registration(lane), false)
    }

    fn holds(verification: &Arc<Verification>, lane: Lane) -> Vec<Hold> {
        std::iter::from_fn(|| try_hold(verification, lane)).collect()
    }

    fn holds_when_busy(verification: &Arc<Verification>, lane: Lane) -> Vec<Hold> {
        std::iter::from_fn(|| verification.try_hold(&registration(lane), true)).collect()
    }

    #[test]
    fn while_a_lane_is_held_back_only_what_ends_without_its_provider_is_carried_on() {
        let verification = verification(1_000, 100);
        verification.lane(lane(1)).hold_back(NOW);
        assert!(try_hold(&verification, lane(1)).is_none());
        assert!(try_hold(&verification, lane(2)).is_some());
        let not_good = Registration { authorized_by: None, ..registration(lane(1)) };
        let claimed = ClaimedToken::TooLong { platform: Platform::Ios, chars: 65 };
        let too_long = Registration { claimed, ..registration(lane(1)) };
        for one in [not_good, too_long] {
            assert!(verification.try_hold(&one, false).is_some());
        }
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
    fn while_the_server_is_busy_little_is_added_to_memory() {
        let limits = EngineSettings::default().verification;
        let limits = VerificationLimits { in_memory_when_busy: 30, ..limits };
        let verification = Verification::new(&limits);
        let before = holds(&verification, lane(1));
        assert_eq!(before.len(), limits.in_memory_per_lane);
        assert!(holds_when_busy(&verification, lane(2)).is_empty());
        assert!(try_hold(&verification, lane(2)).is_some());
        drop(before);
        let all: Vec<_> = (0..4).map(|n| holds_when_busy(&verification, lane(n))).collect();
        assert!(all.iter().all(|held| !held.is_empty()));
        assert!(all.iter().flatten().count() <= 30);
    }

    #[test]
    fn a_hold_that_is_dropped_makes_room() {
        let verification = verification(1_000, 100);
        let held = holds(&verification, lane(1));
        assert!(try_hold(&verification, lane(1)).is_none());
        drop(held);
        assert!(try_hold(&verification, lane(1)).is_some());
        assert_eq!(verification.in_memory.load(Ordering::Relaxed), 0);
    }
}
