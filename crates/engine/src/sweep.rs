//! The sweep: removes what is left of deleted apps, drops outcomes whose time is over, and forgets
//! sources that have been quiet.

use std::time::Duration;

use tracing::{debug, info};

use crate::service::Service;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Looks between two rounds of dropping outcomes and forgetting sources.
const LOOKS_PER_ROUND: u32 = 60;

impl Service {
    pub(crate) async fn sweep(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut look = 0u32;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.purge_deleted_apps().await;
            if look.is_multiple_of(LOOKS_PER_ROUND) {
                self.limits.forget_quiet_sources();
                self.drop_old_outcomes().await;
            }
            look = look.wrapping_add(1);
        }
    }

    async fn purge_deleted_apps(&self) {
        for app in self.directory().deleted_apps() {
            match self.store.purge(app.id).await {
                Ok(left) if left.purged => {
                    info!(app = %app.id, "nothing is left of the deleted app");
                    let _one_at_a_time = self.changes.lock().await;
                    if let Err(cause) = self.reload().await {
                        debug!(%cause, "the configuration can't be read now");
                    }
                }
                Ok(_) => {}
                Err(cause) => debug!(%cause, "a deleted app can't be purged now"),
            }
        }
    }

    async fn drop_old_outcomes(&self) {
        loop {
            match self.store.expire(self.clock.now()).await {
                Ok(true) => return,
                Ok(false) if self.stop.is_cancelled() => return,
                Ok(false) => tokio::task::yield_now().await,
                Err(cause) => return debug!(%cause, "outcomes can't be dropped now"),
            }
        }
    }
}
