//! Handing out what is due in a lane, of the shards that this process holds: the oldest of each shard first.

use std::collections::HashMap;
use std::time::Instant;

use pushroll_domain::{Lane, Registration, StoreError, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::faults::Fault;
use crate::hands::{Look, Seen};
use crate::keys;
use crate::rows::{self, PendingColumns, codes};
use crate::shared::Shared;
use crate::survey::millis;

/// By this time everything is due.
const END_OF_TIME: Timestamp = Timestamp::from_millis(u64::MAX);
/// The fewest rows read of a shard at once.
const FEWEST: usize = 8;

impl Shared {
    /// Takes up to `limit` registrations. The caller sees to it that nobody else looks at the same time.
    pub(crate) async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        let everything = now == END_OF_TIME;
        let looks = self.hands.begin_look(lane, &self.leases.held(), everything);
        if looks.is_empty() {
            return Ok(self.hands.end_look(lane, &[], Vec::new()));
        }
        // From each shard more than its share, so that what lies unevenly is found in one go.
        let most = (2 * limit / looks.len()).clamp(FEWEST, limit.max(FEWEST));
        match self.look(lane, &looks, everything, most).await {
            Ok((next_due, rows)) => self.take(lane, &looks, next_due, rows, most, limit),
            Err(fault) => {
                self.hands.look_again(lane, &looks);
                Err(fault.into())
            }
        }
    }

    /// When the next is due in each shard, and what is due now. In this order: what becomes due in between is
    /// among the latter.
    async fn look(
        &self,
        lane: Lane,
        looks: &[Look],
        everything: bool,
        most: usize,
    ) -> Result<(HashMap<i16, i64>, Vec<Row>), Fault> {
        let (app, platform) = (keys::app(lane.app), i16::from(codes::platform(lane.platform)));
        let shards: Vec<i16> = looks.iter().map(|look| look.shard).collect();
        let next = self.shards.ask(&self.db, &self.statements.next_due, &shards, |_| {
            vec![Box::new(app), Box::new(platform)]
        });
        let next_due: Result<HashMap<i16, i64>, tokio_postgres::Error> =
            next.await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect();
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let rows = self.shards.ask(&self.db, &self.statements.take_due, &shards, |places| {
            let looks = || places.iter().filter_map(|place| looks.get(*place));
            let floors: Vec<i64> = looks().map(|look| look.floor_ms).collect();
            let most_of: Vec<i32> = looks().map(|look| count(look.taken.len() + most)).collect();
            let taken: Vec<Uuid> = looks().flat_map(|look| look.taken.iter().copied()).collect();
            vec![
                Box::new(floors),
                Box::new(most_of),
                Box::new(app),
                Box::new(platform),
                Box::new(everything),
                Box::new(taken),
                Box::new(i64::from(count(most))),
            ]
        });
        Ok((next_due?, rows.await?))
    }

    fn take(
        &self,
        lane: Lane,
        looks: &[Look],
        next_due: HashMap<i16, i64>,
        rows: Vec<Row>,
        most: usize,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        let (now, skew) = (Instant::now(), self.skewed.get());
        let mut seen: HashMap<i16, (usize, Option<i64>)> = HashMap::new();
        let mut found = Vec::with_capacity(rows.len().min(limit));
        let mut cut = Vec::new();
        for row in &rows {
            let shard: i16 = row.try_get(0).map_err(Fault::from)?;
            let now_ms: i64 = row.try_get(5).map_err(Fault::from)?;
            let of_shard = seen.entry(shard).or_default();
            of_shard.0 += 1;
            of_shard.1 = Some(now_ms);
            if found.len() == limit {
                cut.push(shard);
                continue;
            }
            let id: Uuid = row.try_get(1).map_err(Fault::from)?;
            match decode(lane, id, row) {
                Ok(mut registration) => {
                    registration.tries = skew.tries_to_ours(&registration.tries);
                    found.push((shard, registration));
                }
                // It stays taken: in the way of nobody, and there for whoever looks.
                Err(fault) => {
                    tracing::error!(%id, %fault, "a pending registration is left out");
                    self.hands.take(shard, lane, keys::registration(id));
                }
            }
        }
        let seen: Vec<Seen> = looks
            .iter()
            .map(|look| {
                let (count, now_ms) = seen.get(&look.shard).copied().unwrap_or_default();
                let more = count >= most || cut.contains(&look.shard);
                let next = next_due.get(&look.shard).map(|ms| now + millis(*ms));
                Seen {
                    shard: look.shard,
                    look_at: if more { Some(now) } else { next },
                    all_seen_at_ms: now_ms.filter(|_| !more),
                }
            })
            .collect();
        Ok(self.hands.end_look(lane, &seen, found))
    }
}

fn decode(lane: Lane, id: Uuid, row: &Row) -> Result<Registration, StoreError> {
    rows::decode_registration(&PendingColumns {
        id: keys::registration(id),
        app: lane.app,
        platform: i16::from(codes::platform(lane.platform)),
        given_due: row.try_get(2).map_err(Fault::from)?,
        accepted: row.try_get(3).map_err(Fault::from)?,
        tried: row.try_get(4).map_err(Fault::from)?,
    })
}
