//! Finding out in which lanes of our shards something is due: at once where somebody says so, else every quarter of a
//! second.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pushroll_domain::Lane;
use uuid::Uuid;

use crate::faults::Fault;
use crate::keys;
use crate::rows::codes;
use crate::shared::Shared;

/// The least time between two surveys.
const REST: Duration = Duration::from_millis(15);
/// How often all shards are surveyed.
const EVERY: Duration = Duration::from_millis(250);
/// What a shard may cost of that time where each is asked for alone.
const PER_SHARD: Duration = Duration::from_millis(2);
/// How soon a lane is looked at again of which something is in hand, if nothing is heard of it.
const BUSY_AGAIN: Duration = Duration::from_secs(1);

impl Shared {
    /// Surveys until the store is closed.
    pub(crate) async fn keep_surveying(self: Arc<Self>) {
        let mut all_at = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.to_survey.some() => {}
                () = tokio::time::sleep(all_at.saturating_duration_since(Instant::now())) => {}
            }
            tokio::time::sleep(REST).await;
            let mut told = self.to_survey.take();
            told.retain(|shard| self.leases.holds(*shard));
            let mut surveyed = self.survey(&told, Duration::ZERO).await;
            if Instant::now() >= all_at {
                let held = self.leases.held();
                let is_listening = self.is_listening.load(Ordering::Relaxed);
                let busy_again = if is_listening { BUSY_AGAIN } else { EVERY };
                surveyed = surveyed.and(self.survey(&held, busy_again).await);
                let cost = PER_SHARD * u32::try_from(held.len()).unwrap_or(u32::MAX);
                all_at =
                    Instant::now() + if self.shards.distributed { EVERY.max(cost) } else { EVERY };
            }
            if let Err(fault) = surveyed {
                tracing::debug!(reason = fault.reason, "what is due can't be looked at now");
                all_at = Instant::now() + EVERY;
            }
        }
    }

    /// Takes note of what is due in these shards. Lanes of which something is in hand are looked at after a while.
    pub(crate) async fn survey(&self, shards: &[i16], busy_again: Duration) -> Result<(), Fault> {
        let rows =
            self.shards.ask(&self.db, &self.statements.lanes, shards, |_| Vec::new()).await?;
        let now = Instant::now();
        for row in rows {
            let (shard, app): (i16, Uuid) = (row.try_get(0)?, row.try_get(1)?);
            let Some(platform) = codes::platform_of(row.try_get::<_, i16>(2)?) else { continue };
            let due_in_ms: i64 = row.try_get(3)?;
            let lane = Lane { app: keys::app_id(app), platform };
            self.hands.seen(shard, lane, now + millis(due_in_ms), busy_again);
        }
        Ok(())
    }
}

/// A span of time; none if it is over.
pub(crate) fn millis(span: i64) -> Duration {
    Duration::from_millis(u64::try_from(span).unwrap_or(0))
}
