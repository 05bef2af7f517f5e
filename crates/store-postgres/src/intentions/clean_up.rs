//! Removing devices, and covering what is pending.

use std::sync::Arc;

use pushroll_domain::CleanUp;
use uuid::Uuid;

use super::{call, column};
use crate::db::Db;
use crate::faults::Fault;
use crate::gather::{Intention, Target};
use crate::keys;
use crate::shards::Shards;
use crate::statements::Statements;

pub(crate) struct CleanUpCall(pub(crate) Arc<Statements>);

pub(crate) struct CleanUpRow {
    shard: i16,
    app: Uuid,
    user: Uuid,
    /// All of them, if there is none.
    token: Option<Uuid>,
}

/// One row for a cleanup of everything, two for one of a token: it may be of either platform.
pub(crate) fn clean_up_rows(clean_up: &CleanUp, shards: Shards) -> Vec<CleanUpRow> {
    let user = clean_up.user.key_in(clean_up.app);
    let row = |token| CleanUpRow {
        shard: shards.of_user(&user),
        app: keys::app(clean_up.app),
        user: keys::user(&user),
        token,
    };
    match clean_up.names() {
        None => vec![row(None)],
        Some(tokens) => tokens.iter().map(|token| row(Some(keys::token(token)))).collect(),
    }
}

impl Intention for CleanUpCall {
    type Row = CleanUpRow;
    type Answer = ();

    const NAME: &'static str = "clean_up";

    fn shard(row: &CleanUpRow) -> i16 {
        row.shard
    }

    async fn call(&self, db: &Db, target: Target, rows: &[&CleanUpRow]) -> Result<Vec<()>, Fault> {
        call(
            db,
            &self.0.clean_up,
            target,
            column(rows, |r| r.shard),
            &[&column(rows, |r| r.app), &column(rows, |r| r.user), &column(rows, |r| r.token)],
        )
        .await?;
        Ok(vec![(); rows.len()])
    }
}
