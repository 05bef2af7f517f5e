//! Giving registrations back until they are due.

use std::sync::Arc;

use pushroll_domain::Postpone;
use uuid::Uuid;

use super::{call, column};
use crate::db::Db;
use crate::faults::Fault;
use crate::gather::{Intention, Target};
use crate::keys;
use crate::rows::{self, codes};
use crate::shards::Shards;
use crate::skew::Skew;
use crate::statements::Statements;

pub(crate) struct PostponeCall(pub(crate) Arc<Statements>);

pub(crate) struct PostponeRow {
    shard: i16,
    id: Uuid,
    due_ms: i64,
    given_due: i64,
    tried: Vec<u8>,
}

impl PostponeRow {
    pub(crate) fn of(postpone: &Postpone, shards: Shards, skew: Skew) -> Self {
        let registration = &postpone.registration;
        Self {
            shard: shards.of_user(&registration.user.key_in(registration.app)),
            id: keys::id(registration.id),
            due_ms: skew.to_database(postpone.due),
            given_due: codes::millis(postpone.due),
            tried: rows::encode_tries(
                &skew.tries_to_database(&postpone.tries),
                postpone.last_answer.as_ref(),
            ),
        }
    }
}

impl Intention for PostponeCall {
    type Row = PostponeRow;
    type Answer = ();

    const NAME: &'static str = "postpone";

    fn shard(row: &PostponeRow) -> i16 {
        row.shard
    }

    async fn call(&self, db: &Db, target: Target, rows: &[&PostponeRow]) -> Result<Vec<()>, Fault> {
        call(
            db,
            &self.0.postpone,
            target,
            column(rows, |r| r.shard),
            &[
                &column(rows, |r| r.id),
                &column(rows, |r| r.due_ms),
                &column(rows, |r| r.given_due),
                &column(rows, |r| r.tried.as_slice()),
            ],
        )
        .await?;
        Ok(vec![(); rows.len()])
    }
}
