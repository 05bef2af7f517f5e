//! Taking registrations from the store: what did not fit into memory when it was accepted, what is
//! due for a retry, and after a start everything that is pending.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pushroll_domain::{BreakerState, StoreError, Timestamp};
use tracing::{debug, error};

use super::lane::LaneState;
use super::{CameFrom, Hold};
use crate::service::Service;
use crate::verify::LaneReport;

/// How often the store is looked at when nothing woke the worker.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// In how many rounds a lane is looked into though all that is pending seems to be in memory, and for how many.
const LOOKS_ANYWAY: usize = 8;
const FEW: usize = 32;
/// The least time between two looks.
const REST: Duration = Duration::from_millis(2);
/// The most registrations taken from a lane at once, before the next lane has its turn.
const TAKEN_AT_ONCE: usize = 256;
/// The most registrations taken from a lane whose provider may be down: the circuit breaker's sample.
const PROBES: usize = 20;
/// By this time everything is due.
const END_OF_TIME: Timestamp = Timestamp::from_millis(u64::MAX);

impl Service {
    /// Takes registrations from the store as there is room for them, lanes in turn.
    pub(crate) async fn hand_out(self) {
        if self.settings.verification.paused {
            return self.stop.cancelled().await;
        }
        let mut turn = 0usize;
        loop {
            match self.one_round(turn).await {
                Ok(()) => {}
                Err(cause @ (StoreError::Unavailable { .. } | StoreError::Closed)) => {
                    debug!(%cause, "nothing can be taken from the store now");
                }
                Err(cause @ StoreError::Corrupt(_)) => {
                    error!(%cause, "what is pending can't be taken: see to the store");
                }
            }
            turn = turn.wrapping_add(1);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = async {
                    tokio::time::sleep(REST).await;
                    self.verification.wake.notified().await;
                } => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Takes from every lane once, beginning with another lane each time.
    async fn one_round(&self, turn: usize) -> Result<(), StoreError> {
        let mut loads = self.store.lanes().await?;
        let directory = self.directory();
        if loads.is_empty() {
            self.verification.forget_lanes(|lane| directory.app(lane.app).is_some());
            return Ok(());
        }
        let first = turn % loads.len();
        loads.rotate_left(first);
        for load in loads {
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let lane = self.verification.lane(load.lane);
            let in_memory = lane.in_memory.load(Ordering::Relaxed) as u64;
            let now = self.clock.now();
            let is_gone = directory.app(load.lane.app).is_none();
            // What is in memory is not all among what is pending: what is just being accepted is not yet, and what has just
            // ended no longer. So under a steady load a few that wait in the store are seen by looking only.
            let looks = turn.is_multiple_of(LOOKS_ANYWAY);
            if load.pending > in_memory && is_gone {
                // What is pending of a deleted app ends now, whenever it is due.
                self.take_from(&lane, TAKEN_AT_ONCE, END_OF_TIME).await?;
            } else if load.pending > in_memory && lane.may_take(now) {
                self.take_from(&lane, taken_at_once(&lane), now).await?;
            } else if looks && lane.may_take(now) {
                self.take_from(&lane, FEW, now).await?;
            } else {
                lane.set_backlog(false);
            }
        }
        Ok(())
    }

    /// Takes up to `most` registrations that are due by then, as far as there is room in memory.
    async fn take_from(
        &self,
        lane: &Arc<LaneState>,
        most: usize,
        due_by: Timestamp,
    ) -> Result<(), StoreError> {
        let mut holds: Vec<Hold> = Vec::new();
        let is_busy = self.verification.is_busy();
        while holds.len() < most
            && let Some(hold) = self.verification.hold(lane, is_busy)
        {
            holds.push(hold);
        }
        if holds.is_empty() {
            lane.set_backlog(true);
            return Ok(());
        }
        let taken = self.store.take_due(lane.lane, due_by, holds.len()).await?;
        lane.set_backlog(taken.len() == holds.len());
        let more = taken.len() == TAKEN_AT_ONCE;
        for (registration, hold) in taken.into_iter().zip(holds) {
            self.carry_on(Arc::new(registration), hold, CameFrom::Store);
        }
        if more {
            self.verification.wake.notify_one();
        }
        Ok(())
    }

    /// The lanes that something was done for since the start, for operators.
    #[must_use]
    pub fn lanes(&self) -> Vec<LaneReport> {
        let lanes: Vec<_> = self.verification.lanes.lock().values().cloned().collect();
        let mut reports: Vec<_> = lanes.iter().map(|lane| lane.report()).collect();
        reports.sort_by_key(|report| report.lane);
        reports
    }
}

/// How many registrations of a lane are taken at once.
fn taken_at_once(lane: &LaneState) -> usize {
    match lane.report().breaker {
        BreakerState::Closed | BreakerState::CredentialsRefused => TAKEN_AT_ONCE,
        // No more than may find out whether the provider is back.
        BreakerState::Open | BreakerState::HalfOpen => PROBES,
    }
}
