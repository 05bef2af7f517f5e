//! The calls that write, and the one look-up that is made for each registration: what their rows are, and how they
//! become arrays.

mod accept;
mod clean_up;
mod finish;
mod outcomes;
mod postpone;
mod standings;

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::db::{Argument, Db};
use crate::faults::Fault;
use crate::gather::Target;
use crate::statements::Statement;

pub(crate) use accept::{AcceptCall, AcceptRow};
pub(crate) use clean_up::{CleanUpCall, clean_up_rows};
pub(crate) use finish::{FinishCall, FinishRow};
pub(crate) use outcomes::{EndDeliveriesCall, EndDeliveryRow, HintCall, HintRow};
pub(crate) use postpone::{PostponeCall, PostponeRow};
pub(crate) use standings::{StandingRow, StandingsCall};

/// Makes a call in the shape for its target.
pub(crate) async fn call(
    db: &Db,
    statement: &Statement,
    target: Target,
    shards: Vec<i16>,
    arrays: &[Argument<'_>],
) -> Result<Vec<Row>, Fault> {
    let (sql, first): (&str, Box<dyn ToSql + Sync + Send>) = match target {
        Target::One(shard) => (&statement.one, Box::new(shard)),
        Target::Several => (&statement.several, Box::new(shards)),
    };
    let mut arguments: Vec<Argument<'_>> = Vec::with_capacity(arrays.len() + 1);
    arguments.push(&*first);
    arguments.extend(arrays);
    db.query(sql, &arguments).await
}

/// The values of a column.
fn column<'a, R, T>(rows: &[&'a R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().copied().map(value).collect()
}
