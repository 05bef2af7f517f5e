//! Putting registrations into their queues.

use std::sync::Arc;

use pushroll_domain::Registration;
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

pub(crate) struct AcceptCall(pub(crate) Arc<Statements>);

pub(crate) struct AcceptRow {
    shard: i16,
    id: Uuid,
    app: Uuid,
    platform: i16,
    user: Uuid,
    token: Option<Uuid>,
    due_ms: i64,
    given_due: i64,
    accepted: Vec<u8>,
    tried: Vec<u8>,
}

impl AcceptRow {
    pub(crate) fn of(registration: &Registration, shards: Shards, skew: Skew) -> Self {
        let user = registration.user.key_in(registration.app);
        Self {
            shard: shards.of_user(&user),
            id: keys::id(registration.id),
            app: keys::app(registration.app),
            platform: i16::from(codes::platform(registration.claimed.platform())),
            user: keys::user(&user),
            token: registration.claimed.token().map(keys::token),
            due_ms: skew.to_database(registration.due),
            given_due: codes::millis(registration.due),
            accepted: rows::encode_registration(registration),
            tried: rows::encode_tries(
                &skew.tries_to_database(&registration.tries),
                registration.last_answer.as_ref(),
            ),
        }
    }
}

impl Intention for AcceptCall {
    type Row = AcceptRow;
    type Answer = ();

    const NAME: &'static str = "accept";

    fn shard(row: &AcceptRow) -> i16 {
        row.shard
    }

    async fn call(&self, db: &Db, target: Target, rows: &[&AcceptRow]) -> Result<Vec<()>, Fault> {
        call(
            db,
            &self.0.accept,
            target,
            column(rows, |r| r.shard),
            &[
                &column(rows, |r| r.id),
                &column(rows, |r| r.app),
                &column(rows, |r| r.platform),
                &column(rows, |r| r.user),
                &column(rows, |r| r.token),
                &column(rows, |r| r.due_ms),
                &column(rows, |r| r.given_due),
                &column(rows, |r| r.accepted.as_slice()),
                &column(rows, |r| r.tried.as_slice()),
            ],
        )
        .await?;
        Ok(vec![(); rows.len()])
    }
}
