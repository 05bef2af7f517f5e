//! How much waits: counted in the database in the background, never more than a twentieth of the time. A few
//! seconds old at most, as long as counting is quick.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use pushroll_domain::{AppId, Lane};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::faults::Fault;
use crate::keys;
use crate::rows::codes;
use crate::shared::Shared;

/// The least time between two counts.
const REST: Duration = Duration::from_millis(100);
/// The most time between two counts that nobody has to wait for.
const LONGEST_REST: Duration = Duration::from_secs(3);
/// How many times longer than a count took it rests.
const RESTS_PER_COUNT: u32 = 19;
/// The time after which it is counted again though nothing is known to have changed.
const IDLE: Duration = Duration::from_secs(2);
/// How long a number that changes all the time may go without being counted.
const TRUSTED: Duration = Duration::from_secs(60);

/// The numbers.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    by_app: RwLock<HashMap<AppId, u64>>,
    by_lane: Mutex<HashMap<(i16, Lane), u64>>,
    callbacks: Mutex<HashMap<i16, Callbacks>>,
    /// Callbacks that are kept for another attempt.
    retrying: RwLock<HashMap<AppId, u64>>,
    changed: Notify,
}

/// The callbacks of a shard. Those of the shards that we hold are put there and taken by us alone, so the number is
/// exact between two counts.
#[derive(Debug, Clone, Copy, Default)]
struct Callbacks {
    waiting: i64,
    /// Begun and done; what is counted while one is under way may be old.
    changes: u64,
    under_way: u32,
    counted_at: Option<Instant>,
}

/// A change of the callbacks of some shards that is under way.
pub(crate) struct Changing<'a> {
    counts: &'a Counts,
    shards: Vec<i16>,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut callbacks = self.counts.callbacks.lock();
        for shard in &self.shards {
            let of_shard = callbacks.entry(*shard).or_default();
            of_shard.under_way = of_shard.under_way.saturating_sub(1);
            of_shard.changes += 1;
        }
    }
}

impl Counts {
    /// Pending registrations of an app, in all shards.
    pub(crate) fn of_app(&self, app: AppId) -> u64 {
        self.by_app.read().get(&app).copied().unwrap_or(0)
    }

    /// Callbacks of an app that are kept for another attempt, in all shards.
    pub(crate) fn retrying(&self, app: AppId) -> u64 {
        self.retrying.read().get(&app).copied().unwrap_or(0)
    }

    /// Pending registrations of the lanes in these shards.
    pub(crate) fn lanes(&self, is_held: impl Fn(i16) -> bool) -> HashMap<Lane, u64> {
        let mut lanes = HashMap::new();
        for ((shard, lane), count) in &*self.by_lane.lock() {
            if is_held(*shard) {
                *lanes.entry(*lane).or_default() += count;
            }
        }
        lanes
    }

    /// Something has changed: it is counted soon.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Callbacks of these shards are about to change. What is counted before it is over is not believed.
    pub(crate) fn changing(&self, shards: Vec<i16>) -> Changing<'_> {
        let mut callbacks = self.callbacks.lock();
        for shard in &shards {
            let of_shard = callbacks.entry(*shard).or_default();
            of_shard.under_way += 1;
            of_shard.changes += 1;
        }
        drop(callbacks);
        Changing { counts: self, shards }
    }

    /// Callbacks were put there, or taken.
    pub(crate) fn callbacks_changed(&self, shard: i16, by: i64) {
        self.callbacks.lock().entry(shard).or_default().waiting += by;
    }

    /// The shards of these in which callbacks wait, and how many in all.
    pub(crate) fn callbacks(&self, is_held: impl Fn(i16) -> bool) -> (Vec<i16>, u64) {
        let callbacks = self.callbacks.lock();
        let mut shards: Vec<_> = callbacks
            .iter()
            .filter(|(shard, of_shard)| of_shard.waiting > 0 && is_held(**shard))
            .map(|(shard, _)| *shard)
            .collect();
        shards.sort_unstable();
        let waiting =
            shards.iter().filter_map(|shard| callbacks.get(shard)).map(|c| c.waiting).sum::<i64>();
        (shards, u64::try_from(waiting).unwrap_or(0))
    }

    /// How often each has changed, of those that nobody changes now.
    fn quiet(&self) -> HashMap<i16, u64> {
        let callbacks = self.callbacks.lock();
        let quiet = callbacks.iter().filter(|(_, of_shard)| of_shard.under_way == 0);
        quiet.map(|(shard, of_shard)| (*shard, of_shard.changes)).collect()
    }

    /// Takes the numbers over, but for those that have changed since the count was begun.
    fn replace_callbacks(&self, counted: &HashMap<i16, i64>, quiet_before: &HashMap<i16, u64>) {
        let now = Instant::now();
        let mut callbacks = self.callbacks.lock();
        for shard in counted.keys() {
            callbacks.entry(*shard).or_default();
        }
        for (shard, of_shard) in callbacks.iter_mut() {
            // One that is heard of for the first time has not changed, either.
            let before = quiet_before.get(shard).copied().unwrap_or(0);
            let is_quiet = of_shard.under_way == 0 && before == of_shard.changes;
            let since = *of_shard.counted_at.get_or_insert(now);
            if is_quiet || now.duration_since(since) > TRUSTED {
                of_shard.waiting = counted.get(shard).copied().unwrap_or(0);
                of_shard.counted_at = Some(now);
            }
        }
    }
}

impl Shared {
    /// Counts until the store is closed.
    pub(crate) async fn keep_counting(self: Arc<Self>) {
        loop {
            let began = Instant::now();
            if let Err(fault) = self.count().await {
                tracing::debug!(reason = fault.reason, "what waits can't be counted now");
            }
            let rest = (began.elapsed() * RESTS_PER_COUNT).clamp(REST, LONGEST_REST);
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.counts.changed.notified() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }

    pub(crate) async fn count(&self) -> Result<(), Fault> {
        let quiet_before = self.counts.quiet();
        let (pending, callbacks) = tokio::try_join!(
            self.db.query(&self.statements.count_pending.one, &[]),
            self.db.query(&self.statements.count_callbacks.one, &[]),
        )?;
        let mut by_app: HashMap<AppId, u64> = HashMap::new();
        let mut by_lane = HashMap::new();
        for row in pending {
            let (app, count): (Uuid, i64) = (row.try_get(1)?, row.try_get(3)?);
            let Some(platform) = codes::platform_of(row.try_get::<_, i16>(2)?) else { continue };
            let (app, count) = (keys::app_id(app), u64::try_from(count).unwrap_or(0));
            *by_app.entry(app).or_default() += count;
            by_lane.insert((row.try_get(0)?, Lane { app, platform }), count);
        }
        *self.counts.by_app.write() = by_app;
        *self.counts.by_lane.lock() = by_lane;
        let mut counted: HashMap<i16, i64> = HashMap::new();
        let mut retrying: HashMap<AppId, u64> = HashMap::new();
        for row in callbacks {
            let (app, is_kept, count): (Uuid, bool, i64) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            *counted.entry(row.try_get(0)?).or_default() += count;
            if is_kept {
                let count = u64::try_from(count).unwrap_or(0);
                *retrying.entry(keys::app_id(app)).or_default() += count;
            }
        }
        *self.counts.retrying.write() = retrying;
        self.counts.replace_callbacks(&counted, &quiet_before);
        let (_, waiting) = self.counts.callbacks(|shard| self.leases.holds(shard));
        metrics::gauge!("pushroll_store_callbacks_waiting").set(waiting as f64);
        Ok(())
    }
}
