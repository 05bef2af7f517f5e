//! Looking up what stands in the way of registrations. It is asked for each one singly, so the questions share
//! calls as the commits do.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{Clock, Registration, Standing, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{call, column};
use crate::db::Db;
use crate::faults::Fault;
use crate::gather::{Intention, Target};
use crate::keys;
use crate::rows::codes;
use crate::shards::Shards;
use crate::statements::Statements;

/// Node clocks that differ by less are taken to agree.
const AGREE: Duration = Duration::from_secs(2);

pub(crate) struct StandingsCall {
    pub(crate) statements: Arc<Statements>,
    pub(crate) clock: Arc<dyn Clock>,
}

pub(crate) struct StandingRow {
    shard: i16,
    id: Uuid,
    app: Uuid,
    user: Uuid,
    token: Uuid,
}

impl StandingRow {
    /// `None` if there is nothing to compare it by.
    pub(crate) fn of(registration: &Registration, shards: Shards) -> Option<Self> {
        let user = registration.user.key_in(registration.app);
        Some(Self {
            shard: shards.of_user(&user),
            id: keys::id(registration.id),
            app: keys::app(registration.app),
            user: keys::user(&user),
            token: keys::token(registration.claimed.token()?),
        })
    }
}

impl Intention for StandingsCall {
    type Row = StandingRow;
    type Answer = Standing;

    const NAME: &'static str = "standings";

    fn shard(row: &StandingRow) -> i16 {
        row.shard
    }

    async fn call(
        &self,
        db: &Db,
        target: Target,
        rows: &[&StandingRow],
    ) -> Result<Vec<Standing>, Fault> {
        let found = call(
            db,
            &self.statements.standings,
            target,
            column(rows, |r| r.shard),
            &[
                &column(rows, |r| r.id),
                &column(rows, |r| r.app),
                &column(rows, |r| r.user),
                &column(rows, |r| r.token),
            ],
        )
        .await?;
        let now = self.clock.now();
        rows.iter().zip(&found).map(|(asked, found)| standing(asked.id, found, now)).collect()
    }
}

fn standing(own: Uuid, found: &Row, now: Timestamp) -> Result<Standing, Fault> {
    let stored: Option<Uuid> = found.try_get(0)?;
    if let Some(stored) = stored.filter(|id| *id != own) {
        return Ok(Standing::Stored(keys::registration(stored)));
    }
    let older: Option<Uuid> = found.try_get(1)?;
    let Some(older) = older else { return Ok(Standing::Free) };
    let due = due_by_our_clock(found.try_get(2)?, found.try_get(3)?, now);
    Ok(Standing::After { id: keys::registration(older), due })
}

/// When something is due that was given in the time of a node whose clock may differ from ours.
fn due_by_our_clock(given_due: i64, due_in_ms: i64, now: Timestamp) -> Timestamp {
    let given = codes::timestamp_of(given_due);
    let ours = codes::timestamp_of(codes::millis(now).saturating_add(due_in_ms));
    if given.since(ours).max(ours.since(given)) < AGREE { given } else { ours }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_a_node_whose_clock_is_off_is_turned_into_ours() {
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!(due_by_our_clock(1_030_000, 30_100, now), Timestamp::from_millis(1_030_000));
        // Its clock is a minute ahead of ours.
        assert_eq!(due_by_our_clock(1_090_000, 30_000, now), Timestamp::from_millis(1_030_000));
    }
}
