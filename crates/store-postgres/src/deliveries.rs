//! Handing out callbacks. An attempt is recorded by deleting the row, with the caller's headers in it: nothing is
//! left that could be handed out again, whatever happens afterwards. Only in an app with retries it is kept, with
//! the time at which it is handed out again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use pushroll_domain::{
    CallbackReport, CallbackResult, Delivery, DeliveryRoom, StoreError, Timestamp,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::db::Argument;
use crate::faults::{Fault, Kind};
use crate::keys;
use crate::rows::{self, CallbackColumns, codes};
use crate::shared::Shared;

/// With more callbacks waiting than this, only some of the shards are looked at, in turn: what is read for a few
/// deliveries must not grow with the backlog.
const MANY: u64 = 2_000;
/// Those.
const SHARDS_AT_ONCE: usize = 8;
/// The most hosts looked at in a shard.
const MOST_HOSTS: usize = 64;

/// Whose turn it is. Whoever has it is the only one who begins deliveries.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Every host from this one on, and then those before it.
    host: i64,
    shard: usize,
}

/// A callback that waits, without its document.
struct Waiting {
    shard: i16,
    host: i64,
    ended_at: i64,
    id: Uuid,
    app: Uuid,
    code: i16,
    attempt: i32,
    first_attempt_at: Option<i64>,
}

/// The room that is left.
struct Left<'a> {
    room: &'a DeliveryRoom,
    under_way: HashMap<i64, usize>,
    picked: Vec<Waiting>,
}

impl Left<'_> {
    fn of(room: &DeliveryRoom) -> Left<'_> {
        let under_way = room.under_way.iter().map(|(host, count)| (keys::host(*host), *count));
        Left { room, under_way: under_way.collect(), picked: Vec::new() }
    }

    /// The hosts that have no room.
    fn full(&self) -> Vec<i64> {
        let full = self.under_way.iter().filter(|(_, count)| **count >= self.room.per_host);
        full.map(|(host, _)| *host).collect()
    }

    /// Picks a callback, if its host has room.
    fn pick(&mut self, one: Waiting) -> bool {
        let under_way = self.under_way.entry(one.host).or_default();
        let has_room = *under_way < self.room.per_host;
        if has_room {
            *under_way += 1;
            self.picked.push(one);
        }
        has_room
    }
}

impl Shared {
    pub(crate) async fn begin_deliveries(
        &self,
        turns: &mut Turns,
        room: &DeliveryRoom,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (mut shards, waiting) = self.counts.callbacks(|shard| self.leases.holds(shard));
        if room.limit == 0 || room.per_host == 0 || shards.is_empty() {
            return Ok(Vec::new());
        }
        let at_once = if waiting > MANY { SHARDS_AT_ONCE } else { shards.len() };
        let first = turns.shard % shards.len();
        shards.rotate_left(first);
        for some in shards.chunks(at_once) {
            turns.shard = turns.shard.wrapping_add(some.len());
            let picked = self.pick(turns, room, some).await?;
            if !picked.is_empty() {
                return self.begin(picked, room, now).await;
            }
        }
        Ok(Vec::new())
    }

    /// Up to `limit` callbacks. Of a host those that were never attempted come before the others.
    async fn pick(
        &self,
        turns: &mut Turns,
        room: &DeliveryRoom,
        shards: &[i16],
    ) -> Result<Vec<Waiting>, Fault> {
        let mut left = Left::of(room);
        let retries = self.due_again(shards, &left).await?;
        // Those that were attempted before are not crowded out for ever.
        let aside = retries.len().min(room.retries).min(room.limit / 4);
        self.pick_first(turns, &mut left, shards, room.limit - aside).await?;
        let mut more = room.retries.min(room.limit - left.picked.len());
        for one in retries {
            if more == 0 {
                break;
            }
            more -= usize::from(left.pick(one));
        }
        Ok(left.picked)
    }

    /// Picks what was never attempted: hosts in turn, the oldest of each first.
    async fn pick_first(
        &self,
        turns: &mut Turns,
        left: &mut Left<'_>,
        shards: &[i16],
        limit: usize,
    ) -> Result<(), Fault> {
        let (turn, full) = (turns.host, left.full());
        for (from, to) in [(turn, i64::MAX), (i64::MIN, turn.saturating_sub(1))] {
            if from > to || (from == i64::MIN && turn == i64::MIN) {
                continue;
            }
            for (host, mut waiting) in
                self.first_of_hosts(shards, from, to, &full, left.room).await?
            {
                waiting.sort_by_key(|one| (one.ended_at, one.id));
                for one in waiting {
                    if left.picked.len() == limit || !left.pick(one) {
                        break;
                    }
                }
                if left.picked.len() == limit {
                    turns.host = host.wrapping_add(1);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What waits for its first attempt, by host.
    async fn first_of_hosts(
        &self,
        shards: &[i16],
        from: i64,
        to: i64,
        full: &[i64],
        room: &DeliveryRoom,
    ) -> Result<BTreeMap<i64, Vec<Waiting>>, Fault> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let rows = self.shards.ask(&self.db, &self.statements.callbacks, shards, |_| {
            vec![
                Box::new(from),
                Box::new(to),
                Box::new(full.to_vec()),
                Box::new(count(room.limit.min(MOST_HOSTS))),
                Box::new(count(room.per_host.min(room.limit))),
            ]
        });
        let mut hosts: BTreeMap<i64, Vec<Waiting>> = BTreeMap::new();
        for row in rows.await? {
            let waiting = Waiting::of(&row, 0, None)?;
            hosts.entry(waiting.host).or_default().push(waiting);
        }
        Ok(hosts)
    }

    /// What was attempted before and is due again, the longest due first.
    async fn due_again(&self, shards: &[i16], left: &Left<'_>) -> Result<Vec<Waiting>, Fault> {
        if left.room.retries == 0 {
            return Ok(Vec::new());
        }
        let full = left.full();
        let most = i64::try_from(left.room.retries.min(left.room.limit)).unwrap_or(i64::MAX);
        let rows = self.shards.ask(&self.db, &self.statements.callbacks_due_again, shards, |_| {
            vec![Box::new(full.clone()), Box::new(most)]
        });
        let mut due = Vec::new();
        for row in rows.await? {
            let due_at: i64 = row.try_get(8)?;
            due.push((due_at, Waiting::of(&row, row.try_get(6)?, row.try_get(7)?)?));
        }
        due.sort_by_key(|(due_at, one)| (*due_at, one.id));
        Ok(due.into_iter().map(|(_, one)| one).collect())
    }

    /// Records the attempts and hands out what nobody else has begun.
    async fn begin(
        &self,
        picked: Vec<Waiting>,
        room: &DeliveryRoom,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        let _changing = self.counts.changing(picked.iter().map(|one| one.shard).collect());
        let is_kept = |one: &Waiting| room.with_retries.contains(&keys::app_id(one.app));
        let documents = self.record_attempts(&picked, is_kept, room.again_at, now).await?;
        self.counts.changed();
        let skew = self.skewed.get();
        let mut begun = Vec::with_capacity(picked.len());
        for (one, document) in picked.into_iter().zip(documents) {
            let Some(document) = document else { continue };
            let is_kept = is_kept(&one);
            if !is_kept {
                self.counts.callbacks_changed(one.shard, -1);
            }
            let row = CallbackColumns {
                id: keys::registration(one.id),
                app: keys::app_id(one.app),
                code: one.code,
                ended_at: codes::millis(skew.to_ours(one.ended_at)),
                attempt: one.attempt.saturating_add(1),
                first_attempt_at: one.first_attempt_at.map_or(now, |at| skew.to_ours(at)),
                again_at: is_kept.then_some(room.again_at),
                document: &document,
            };
            match rows::decode_delivery(&row) {
                Ok(delivery) => begun.push(delivery),
                Err(fault) => tracing::error!(id = %one.id, %fault, "a callback is left out"),
            }
        }
        Ok(begun)
    }

    /// The documents of those that nobody else has begun, in their order.
    async fn record_attempts(
        &self,
        picked: &[Waiting],
        is_kept: impl Fn(&Waiting) -> bool,
        again_at: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        let report = rows::encode_report(&CallbackReport {
            result: CallbackResult::Attempted,
            at: now,
            took: Duration::ZERO,
        });
        let mut by_shard: BTreeMap<i16, Vec<usize>> = BTreeMap::new();
        for (place, one) in picked.iter().enumerate() {
            // Where one call is for all shards, they are one part.
            let part = if self.shards.distributed { one.shard } else { 0 };
            by_shard.entry(part).or_default().push(place);
        }
        let statement = &self.statements.begin_deliveries;
        let skew = self.skewed.get();
        let (begun_at, again_ms) = (skew.to_database(now), skew.to_database(again_at));
        let given_again = codes::millis(again_at);
        let mut documents = vec![None; picked.len()];
        let mut failed = None;
        for (part, places) in by_shard {
            let of = |place: &usize| &picked[*place];
            let shards: Vec<i16> = places.iter().map(|place| of(place).shard).collect();
            let ids: Vec<Uuid> = places.iter().map(|place| of(place).id).collect();
            let attempts: Vec<i32> = places.iter().map(|place| of(place).attempt).collect();
            let kept: Vec<bool> = places.iter().map(|place| is_kept(of(place))).collect();
            let (sql, first): (&str, Argument<'_>) = if self.shards.distributed {
                (&statement.one, &part)
            } else {
                (&statement.several, &shards)
            };
            let arguments: [Argument<'_>; 8] =
                [first, &ids, &attempts, &kept, &begun_at, &again_ms, &given_again, &report];
            let found = async {
                let row = self.db.query_one(sql, &arguments).await?;
                Ok::<Vec<Option<Vec<u8>>>, Fault>(row.try_get(0)?)
            };
            match found.await {
                Ok(found) => {
                    for (place, document) in places.into_iter().zip(found) {
                        documents[place] = document;
                    }
                }
                Err(fault) => {
                    tracing::warn!(part, reason = fault.reason, "callbacks can't be begun now");
                    let is_away = fault.kind == Kind::Connection;
                    failed.get_or_insert(fault);
                    if is_away {
                        break;
                    }
                }
            }
        }
        // What was begun in other shards is begun, and nobody else hands it out any more.
        match failed.filter(|_| documents.iter().all(Option::is_none)) {
            Some(fault) => Err(fault),
            None => Ok(documents),
        }
    }
}

impl Waiting {
    fn of(row: &Row, attempt: i32, first_attempt_at: Option<i64>) -> Result<Self, Fault> {
        Ok(Self {
            shard: row.try_get(0)?,
            host: row.try_get(1)?,
            ended_at: row.try_get(2)?,
            id: row.try_get(3)?,
            app: row.try_get(4)?,
            code: row.try_get(5)?,
            attempt,
            first_attempt_at,
        })
    }
}
