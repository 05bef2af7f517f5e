//! What callers and operators ask, and what callers clean up.

use std::sync::Arc;

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use super::end_to_end::Registered;
use super::{Measured, Stage, load};
use crate::load::{Pace, Plan, Source};
use crate::requests::{AskDevices, AskStatus, CleanUsers, Numbers};
use crate::servers::pushroll::ADMIN_TOKEN;

/// What asking comes to, in a closed loop (how many a second) and at a fixed rate (how late).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Queries {
    /// Closed loops.
    pub closed: Vec<Measured>,
    /// Open loops, at [`QUERIES_PER_SECOND`].
    pub open: Vec<Measured>,
}

/// Ids in a status query.
pub const IDS: usize = 100;
/// Users in a batch of cleanups.
const CLEANUP_BATCH: usize = 100;
/// The fixed rate.
pub const QUERIES_PER_SECOND: f64 = 200.0;

/// Asks about what was registered, and then cleans it up.
pub async fn measure(stage: &Stage, registered: &Registered) -> anyhow::Result<Queries> {
    let ids = Arc::new(registered.given.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>());
    ensure!(!ids.is_empty(), "no ids to ask for");
    let account = &registered.account;
    let users = users_of(registered.next);
    let status = || AskStatus::new(account, Arc::clone(&ids), IDS);
    let devices = || AskDevices::new(account, ADMIN_TOKEN, users);
    let mut queries = Queries { closed: Vec::new(), open: Vec::new() };
    both(stage, registered, "status of 100 ids", status, &mut queries).await?;
    both(stage, registered, "devices of a user", devices, &mut queries).await?;

    let plan = stage.closed(registered.server.port());
    let half = users / 2;
    for (what, users, batch) in [
        ("cleanup of a user", 0..half, 1),
        ("cleanup of users, batches of 100", half..users, CLEANUP_BATCH),
    ] {
        let users = Numbers::parts(users, stage.how.threads).into_iter();
        let cleanups = users.map(|users| CleanUsers::new(account, users, batch)).collect();
        let process = &registered.server.process;
        let (measured, _) = load((what, "pushroll"), process, plan, cleanups, batch).await?;
        queries.closed.push(measured);
    }
    ensure!(
        queries.closed.iter().chain(&queries.open).all(|load| load.not_accepted == 0),
        "some queries were refused: {queries:?}"
    );
    Ok(queries)
}

/// The users of the devices below this number.
pub const fn users_of(devices: u64) -> u64 {
    devices / 5 * 4
}

async fn both<S: Source + 'static>(
    stage: &Stage,
    registered: &Registered,
    what: &str,
    source: impl Fn() -> S,
    queries: &mut Queries,
) -> anyhow::Result<()> {
    let process = &registered.server.process;
    let plan = stage.closed(process.port);
    let sources = (0..stage.how.threads).map(|_| source()).collect();
    let (measured, _) = load((what, "pushroll"), process, plan, sources, 1).await?;
    queries.closed.push(measured);
    let plan = Plan { pace: Pace::Open { per_second: QUERIES_PER_SECOND }, ..plan };
    let (measured, _) = load((what, "pushroll"), process, plan, vec![source()], 1).await?;
    queries.open.push(measured);
    Ok(())
}
