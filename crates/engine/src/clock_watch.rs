//! A clock that goes back: by NTP after a start with a wrong time, or by hand.
//!
//! Nothing is ever to wait for a time that the clock shows for the second time. What is in memory and
//! counts on a time (circuit breakers, lanes that are held back) begins anew, and what was put off in
//! the store is due at once if it lies further ahead than anything is put off.

use std::time::Duration;

use pushroll_domain::{LongestWaits, StoreError, Timestamp};
use tracing::{debug, info, warn};

use crate::service::Service;

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A step back by less than this passes by itself.
const STEP: Duration = Duration::from_secs(1);
/// Looks between two searches for what was put off too far by a clock that nobody saw go back.
const LOOKS_PER_SEARCH: u32 = 240;
/// What is due this much later than it was put off for is not looked into.
const SLACK: Duration = Duration::from_secs(60);

impl Service {
    pub(crate) async fn watch_clock(self) {
        // Whatever the clock did while nothing was running: registrations are asked about again after a
        // start anyway, callbacks keep what their receivers asked for.
        let mut longest =
            LongestWaits { registration: self.usual_waits().registration, ..self.longest_waits() };
        let mut search = true;
        let mut latest = self.clock.now();
        let mut look = 0u32;
        loop {
            if search && self.bring_forward(longest).await.is_ok() {
                search = false;
                longest = self.longest_waits();
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = self.clock.now();
            if now.plus(STEP) < latest {
                warn!(by = ?latest.since(now), "the clock went back");
                metrics::counter!("pushroll_clock_steps_back_total").increment(1);
                self.verification.begin_anew();
                longest = self.usual_waits();
                search = true;
            }
            latest = now;
            look = look.wrapping_add(1);
            search |= look.is_multiple_of(LOOKS_PER_SEARCH);
        }
    }

    /// The longest waits of our own: what is put off for longer was so asked by others.
    fn usual_waits(&self) -> LongestWaits {
        let limits = &self.settings.callbacks;
        LongestWaits {
            registration: self.settings.verification.backoff.longest + SLACK,
            callback: limits.retry_waits.longest.max(limits.lost_after) + SLACK,
        }
    }

    /// The longest waits that anybody can have asked for.
    fn longest_waits(&self) -> LongestWaits {
        let limits = &self.settings.callbacks;
        LongestWaits {
            registration: self.settings.verification.backoff.window + SLACK,
            callback: limits.retry_waits.window.max(limits.lost_after) + SLACK,
        }
    }

    async fn bring_forward(&self, longest: LongestWaits) -> Result<(), StoreError> {
        let now: Timestamp = self.clock.now();
        loop {
            match self.store.bring_forward(now, longest).await {
                Ok(true) => break,
                Ok(false) if self.stop.is_cancelled() => break,
                Ok(false) => {
                    info!("bringing forward what was put off by a clock that went back");
                    tokio::task::yield_now().await;
                }
                Err(cause) => {
                    debug!(%cause, "what was put off can't be looked through now");
                    return Err(cause);
                }
            }
        }
        self.verification.wake();
        self.deliveries.wake();
        Ok(())
    }
}
