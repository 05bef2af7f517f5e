//! Adding to outcomes what is found out later.

use std::sync::Arc;

use pushroll_domain::{AppId, DeliveryEnd, RegistrationId};
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

pub(crate) struct EndDeliveriesCall(pub(crate) Arc<Statements>);

pub(crate) struct EndDeliveryRow {
    shard: i16,
    id: Uuid,
    app: Uuid,
    report: Vec<u8>,
    again_at: Option<i64>,
    retry_ms: Option<i64>,
    attempt: i32,
    at: i64,
    entry: Vec<u8>,
}

impl EndDeliveryRow {
    /// `None` for an id that was never handed out.
    pub(crate) fn of(end: &DeliveryEnd, shards: Shards, skew: Skew) -> Option<Self> {
        let delivery = &end.delivery;
        Some(Self {
            shard: shards.of_id(delivery.id)?,
            id: keys::id(delivery.id),
            app: keys::app(delivery.app),
            report: rows::encode_report(&end.report),
            again_at: delivery.again_at.map(codes::millis),
            retry_ms: end.retry_at.map(|at| skew.to_database(at)),
            attempt: i32::try_from(delivery.attempt).unwrap_or(i32::MAX),
            at: skew.to_database(end.report.at),
            entry: rows::encode_record(&end.record()),
        })
    }

    pub(crate) fn shard(&self) -> i16 {
        self.shard
    }
}

impl Intention for EndDeliveriesCall {
    type Row = EndDeliveryRow;
    /// Whether a callback that was kept is over.
    type Answer = bool;

    const NAME: &'static str = "end_deliveries";

    fn shard(row: &EndDeliveryRow) -> i16 {
        row.shard
    }

    async fn call(
        &self,
        db: &Db,
        target: Target,
        rows: &[&EndDeliveryRow],
    ) -> Result<Vec<bool>, Fault> {
        let answered = call(
            db,
            &self.0.end_deliveries,
            target,
            column(rows, |r| r.shard),
            &[
                &column(rows, |r| r.id),
                &column(rows, |r| r.app),
                &column(rows, |r| r.report.as_slice()),
                &column(rows, |r| r.again_at),
                &column(rows, |r| r.retry_ms),
                &column(rows, |r| r.attempt),
                &column(rows, |r| r.at),
                &column(rows, |r| r.entry.as_slice()),
            ],
        )
        .await?;
        match answered.first() {
            Some(row) => Ok(row.try_get(0)?),
            None => Ok(Vec::new()),
        }
    }
}

pub(crate) struct HintCall(pub(crate) Arc<Statements>);

pub(crate) struct HintRow {
    shard: i16,
    id: Uuid,
    app: Uuid,
    hint: String,
}

impl HintRow {
    /// `None` for an id that was never handed out.
    pub(crate) fn of(app: AppId, id: RegistrationId, hint: String, shards: Shards) -> Option<Self> {
        Some(Self { shard: shards.of_id(id)?, id: keys::id(id), app: keys::app(app), hint })
    }
}

impl Intention for HintCall {
    type Row = HintRow;
    type Answer = ();

    const NAME: &'static str = "add_hints";

    fn shard(row: &HintRow) -> i16 {
        row.shard
    }

    async fn call(&self, db: &Db, target: Target, rows: &[&HintRow]) -> Result<Vec<()>, Fault> {
        call(
            db,
            &self.0.add_hints,
            target,
            column(rows, |r| r.shard),
            &[
                &column(rows, |r| r.id),
                &column(rows, |r| r.app),
                &column(rows, |r| r.hint.as_bytes()),
            ],
        )
        .await?;
        Ok(vec![(); rows.len()])
    }
}
