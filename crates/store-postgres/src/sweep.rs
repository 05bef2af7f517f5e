//! Dropping what is over, in bounded steps.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pushroll_domain::{AppId, DeletedApp, LongestWaits, StoreError, Timestamp};
use uuid::Uuid;

use crate::faults::Fault;
use crate::keys;
use crate::rows::codes;
use crate::shared::Shared;

/// The most rows removed by one statement.
const AT_MOST: i32 = 5_000;
/// How long one step may take, but for its last statement.
const STEP: Duration = Duration::from_millis(500);
/// By then every node has heard of a change, if only by looking.
const ALL_HAVE_HEARD: Duration = Duration::from_secs(15);

/// How far the purge of each deleted app has come. Memory only: a start begins again.
#[derive(Debug, Default)]
pub(crate) struct Purges(Mutex<HashMap<AppId, Purge>>);

#[derive(Debug, Clone, Copy, Default)]
struct Purge {
    shard: i16,
    log_done: bool,
    devices_done: bool,
    /// The outcome that was looked at last.
    after: Uuid,
}

impl Shared {
    /// Drops outcomes whose time is over, of the shards that this process holds.
    pub(crate) async fn expire(&self, now: Timestamp) -> Result<bool, StoreError> {
        let over_before = self.over_before(now);
        let began = Instant::now();
        let made_before = first_id_after(over_before);
        for shard in self.leases.held() {
            let sql = &self.statements.expire.one;
            let row =
                self.db.query_one(sql, &[&shard, &over_before, &made_before, &AT_MOST]).await?;
            let dropped: i32 = row.try_get(0).map_err(Fault::from)?;
            let newest = self.log_entries_of_shard();
            let sql = &self.statements.expire_deliveries.one;
            let row = self.db.query_one(sql, &[&shard, &over_before, &newest, &AT_MOST]).await?;
            let logged: i32 = row.try_get(0).map_err(Fault::from)?;
            if dropped == AT_MOST || logged >= AT_MOST || began.elapsed() > STEP {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many entries of an app's log are kept in each shard. They are spread evenly, but few of them are not.
    fn log_entries_of_shard(&self) -> i64 {
        let all = i64::try_from(self.db.settings.deliveries_logged).unwrap_or(i64::MAX);
        all.min(all / i64::from(self.shards.count) * 2 + 100)
    }

    /// Makes due now what is due later than anything can be, in the shards that this process holds.
    pub(crate) async fn bring_forward(
        &self,
        now: Timestamp,
        longest: LongestWaits,
    ) -> Result<bool, StoreError> {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 4);
        let (registration, callback) = (millis(longest.registration), millis(longest.callback));
        let given_now = codes::millis(now);
        let began = Instant::now();
        for shard in self.leases.held() {
            let sql = &self.statements.bring_forward.one;
            let row = self
                .db
                .query_one(sql, &[&shard, &registration, &callback, &given_now, &AT_MOST])
                .await?;
            let moved: i32 = row.try_get(0).map_err(Fault::from)?;
            if moved > 0 {
                tracing::info!(shard, moved, "what a clock had put too far ahead is due now");
                self.survey(&[shard], Duration::ZERO).await?;
            }
            if moved >= AT_MOST || began.elapsed() > STEP {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One step of removing what is left of a deleted app. One node does it: the one that holds the first shard.
    pub(crate) async fn purge(
        &self,
        purges: &Purges,
        app: AppId,
    ) -> Result<DeletedApp, StoreError> {
        const NOT_YET: DeletedApp = DeletedApp { purged: false };
        let heard_after = match self.nodes.load(Ordering::Relaxed) {
            // Whoever is alone knows what he has done.
            0 | 1 => Duration::ZERO,
            _ => ALL_HAVE_HEARD,
        };
        match self.app_state(app, heard_after.as_secs_f64()).await? {
            None => return Ok(DeletedApp { purged: true }),
            Some(state) if state.purged => return Ok(DeletedApp { purged: true }),
            Some(state) if !state.deleted || !state.known_to_all => return Ok(NOT_YET),
            Some(_) if !self.leases.holds(0) => return Ok(NOT_YET),
            Some(_) => {}
        }
        let all: Vec<i16> = self.shards.all().collect();
        let of_app = keys::app(app);
        let pending = self
            .shards
            .ask(&self.db, &self.statements.shards_with_pending, &all, |_| vec![Box::new(of_app)]);
        if !pending.await?.is_empty() {
            return Ok(NOT_YET);
        }
        let mut at = purges.0.lock().get(&app).copied().unwrap_or_default();
        let began = Instant::now();
        while usize::try_from(at.shard).is_ok_and(|shard| shard < all.len()) {
            if began.elapsed() > STEP {
                purges.0.lock().insert(app, at);
                return Ok(NOT_YET);
            }
            at = self.purge_some(of_app, at).await?;
        }
        self.note_purged(app).await?;
        purges.0.lock().remove(&app);
        Ok(DeletedApp { purged: true })
    }

    async fn purge_some(&self, app: Uuid, at: Purge) -> Result<Purge, Fault> {
        if !at.log_done {
            let sql = &self.statements.purge_deliveries.one;
            let row = self.db.query_one(sql, &[&at.shard, &app, &AT_MOST]).await?;
            let removed: i32 = row.try_get(0)?;
            return Ok(Purge { log_done: removed < AT_MOST, ..at });
        }
        if !at.devices_done {
            let sql = &self.statements.purge_devices.one;
            let row = self.db.query_one(sql, &[&at.shard, &app, &AT_MOST]).await?;
            let removed: i32 = row.try_get(0)?;
            return Ok(Purge { devices_done: removed < AT_MOST, ..at });
        }
        let sql = &self.statements.purge_outcomes.one;
        let row = self.db.query_one(sql, &[&at.shard, &app, &at.after, &AT_MOST]).await?;
        let last: Option<Uuid> = row.try_get(0)?;
        Ok(match last {
            Some(after) => Purge { after, ..at },
            None => Purge { shard: at.shard + 1, ..Purge::default() },
        })
    }
}

/// Every id that was made in this millisecond or before sorts before this one.
fn first_id_after(millis: i64) -> Uuid {
    let millis = u128::from(u64::try_from(millis.saturating_add(1)).unwrap_or(0));
    Uuid::from_u128(millis << 80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushroll_domain::{IdSequence, UserId};

    #[test]
    fn ids_sort_by_the_time_at_which_they_were_made() {
        let user = UserId::parse("u").unwrap().key_in(AppId::from_bytes([1; 16]));
        let id = |millis| {
            let at = Timestamp::from_millis(millis);
            keys::id(IdSequence::new().registration(at, &user, u64::MAX))
        };
        let bound = first_id_after(1_000);
        assert!(id(1_000) < bound && bound < id(1_001));
    }
}
