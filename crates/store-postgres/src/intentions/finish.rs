//! Ending registrations: device, outcome and callback in one step.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use pushroll_domain::{Ending, FailureReason, Finish, Finished, Outcome};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{call, column};
use crate::db::{Argument, Db};
use crate::faults::{Fault, Kind};
use crate::gather::{Intention, Target};
use crate::keys;
use crate::rows::{self, codes};
use crate::shards::Shards;
use crate::skew::Skew;
use crate::statements::Statements;

/// What the function is told: the provider accepted the token.
const VERIFIED: i16 = 0;
/// Another registration stored the device.
const DUPLICATE: i16 = 1;
/// What it answers: nothing was done.
const NOT_PENDING: i16 = -1;
/// There is no such device; it is still pending.
const NO_DUPLICATE: i16 = -2;
/// A success whose device was stored.
const STORED: i16 = 6;

pub(crate) struct FinishCall(pub(crate) Arc<Statements>);

pub(crate) struct FinishRow {
    shard: i16,
    id: Uuid,
    app: Uuid,
    user: Uuid,
    token: Option<Uuid>,
    ending: i16,
    accepted_at: i64,
    device_limit: i32,
    device: Option<Vec<u8>>,
    ended_at: i64,
    tracked: bool,
    outcome: Option<Vec<u8>>,
    host: Option<i64>,
    callback: Option<Vec<u8>>,
}

impl FinishRow {
    pub(crate) fn of(finish: &Finish, shards: Shards, skew: Skew) -> Self {
        let registration = &finish.registration;
        let user = registration.user.key_in(registration.app);
        let token = registration.claimed.token();
        let failed = |reason| codes::outcome(Outcome::Failed(reason)) + 1;
        let (ending, device) = match (&finish.ending, token) {
            (Ending::Failed { reason, answer: _ }, _) => (failed(*reason), None),
            (Ending::Verified { .. } | Ending::Duplicate, None) => {
                (failed(FailureReason::DeviceTokenTooLong), None)
            }
            (Ending::Duplicate, Some(_)) => (DUPLICATE, None),
            (Ending::Verified { environment, answer }, Some(token)) => {
                let answer = answer.as_ref();
                let device =
                    rows::encode_device(registration, token, *environment, answer, finish.at);
                (VERIFIED, Some(device))
            }
        };
        let order = registration.callback.as_ref();
        Self {
            shard: shards.of_user(&user),
            id: keys::id(registration.id),
            app: keys::app(registration.app),
            user: keys::user(&user),
            token: token.map(keys::token),
            ending,
            accepted_at: codes::millis(registration.accepted_at),
            device_limit: i32::try_from(finish.devices_per_user).unwrap_or(i32::MAX),
            device,
            ended_at: skew.to_database(finish.at),
            tracked: registration.tracked,
            outcome: Some(rows::encode_outcome(finish)),
            host: order.map(|order| keys::host(order.host)),
            callback: order.map(|order| rows::encode_callback(registration.org, order)),
        }
    }
}

impl Intention for FinishCall {
    type Row = FinishRow;
    type Answer = Finished;

    const NAME: &'static str = "finish";

    fn shard(row: &FinishRow) -> i16 {
        row.shard
    }

    async fn call(
        &self,
        db: &Db,
        target: Target,
        rows: &[&FinishRow],
    ) -> Result<Vec<Finished>, Fault> {
        let columns: [Box<dyn ToSql + Sync + Send + '_>; 13] = [
            Box::new(column(rows, |r| r.id)),
            Box::new(column(rows, |r| r.app)),
            Box::new(column(rows, |r| r.user)),
            Box::new(column(rows, |r| r.token)),
            Box::new(column(rows, |r| r.ending)),
            Box::new(column(rows, |r| r.accepted_at)),
            Box::new(column(rows, |r| r.device_limit)),
            Box::new(column(rows, |r| r.device.as_deref())),
            Box::new(column(rows, |r| r.ended_at)),
            Box::new(column(rows, |r| r.tracked)),
            Box::new(column(rows, |r| r.outcome.as_deref())),
            Box::new(column(rows, |r| r.host)),
            Box::new(column(rows, |r| r.callback.as_deref())),
        ];
        let (rounds, last_round) = rounds(rows);
        let shards = column(rows, |r| r.shard);
        let locks: Vec<i16> = BTreeSet::from_iter(shards.iter().copied()).into_iter().collect();
        let mut arrays: Vec<Argument<'_>> =
            columns.iter().map(|array| &**array as Argument<'_>).collect();
        if target == Target::Several {
            arrays.extend([&rounds as Argument<'_>, &last_round, &locks]);
        }
        let answered = call(db, &self.0.finish, target, shards, &arrays).await?;
        let answers: Vec<i16> = match answered.first() {
            Some(row) => row.try_get(0)?,
            None => Vec::new(),
        };
        let finished: Option<Vec<_>> = answers.into_iter().map(finished).collect();
        finished
            .ok_or_else(|| Fault::new(Kind::NotNow, "the database answered with an unknown end"))
    }
}

/// In which round each is ended, and the last one: of one user no more than one in a round, in their order.
fn rounds(rows: &[&FinishRow]) -> (Vec<i32>, i32) {
    let mut of_user: HashMap<Uuid, i32> = HashMap::with_capacity(rows.len());
    let rounds = rows.iter().map(|row| {
        let round = of_user.entry(row.user).or_default();
        *round += 1;
        *round
    });
    let rounds: Vec<i32> = rounds.collect();
    let last = rounds.iter().copied().max().unwrap_or(0);
    (rounds, last)
}

fn finished(code: i16) -> Option<Finished> {
    match code {
        NOT_PENDING => Some(Finished::NotPending),
        NO_DUPLICATE => Some(Finished::NoDuplicate),
        STORED => Some(Finished::Ended(Outcome::Success)),
        code => codes::outcome_of(code).map(Finished::Ended),
    }
}
