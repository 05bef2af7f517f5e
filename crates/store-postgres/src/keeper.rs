//! Holding shards: leases are kept, taken over when they have run out, and handed on so that every node has its
//! share. The database's clock alone decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::faults::Fault;
use crate::leases::fair_share;
use crate::listen::LEASES;
use crate::shared::Shared;
use crate::statements::Statement;

/// How often in the time of a lease it is renewed.
const RENEWALS_PER_LEASE: u32 = 5;
/// How soon is looked again while a shard leaves, or after a failure.
const SOON: Duration = Duration::from_millis(250);
/// How long a shard that leaves waits for what is in hand.
const PATIENCE: Duration = Duration::from_secs(20);

/// A lease as the database has it.
struct Known {
    shard: i16,
    holder: Option<Uuid>,
    is_over: bool,
}

impl Shared {
    /// Keeps the leases until the store is closed.
    pub(crate) async fn keep_leases(self: Arc<Self>) {
        let every = self.db.settings.lease / RENEWALS_PER_LEASE;
        loop {
            let is_calm = self.leases.leaving().is_empty() && !self.sealing.is_settling();
            let wait = if is_calm { every } else { SOON };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.look_at_leases.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            let mut failed = 0_u64;
            while let Err(fault) = self.look_after_leases().await {
                // Once, however long it lasts.
                if failed == 0 {
                    tracing::warn!(
                        reason = fault.reason,
                        "leases can't be renewed now; tried until they can"
                    );
                } else {
                    tracing::debug!(reason = fault.reason, "leases can't be renewed now");
                }
                failed += 1;
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(SOON) => {}
                }
            }
            if failed > 0 {
                tracing::info!(failed, "leases are renewed again");
            }
        }
    }

    /// One look: says that we are alive, renews, takes what is free, and lets go of what is too much.
    pub(crate) async fn look_after_leases(&self) -> Result<(), Fault> {
        let (db, statements) = (&self.db, &self.statements);
        let lease_seconds = db.settings.lease.as_secs_f64();
        let keys = self.sealing.report();
        let (before, began) = (self.clock.now(), Instant::now());
        let told = db
            .query_one(&statements.say_alive.one, &[&self.node, &db.settings.node, &keys])
            .await?;
        let told: SystemTime = told.try_get(0)?;
        let told = told.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let told_ms = i64::try_from(told).unwrap_or(i64::MAX);
        self.skewed.measured(before, told_ms, began.elapsed());
        *self.written_at.lock() = Instant::now();
        let nodes = db.query(&statements.nodes.one, &[&lease_seconds]).await?;
        let nodes: Result<Vec<Uuid>, _> = nodes.iter().map(|row| row.try_get(0)).collect();
        let nodes = nodes?;
        self.nodes.store(u32::try_from(nodes.len().max(1)).unwrap_or(u32::MAX), Ordering::Relaxed);
        let place = nodes.iter().position(|node| *node == self.node).unwrap_or(0);
        let share = fair_share(self.shards.count, nodes.len(), place);

        let known = self.known_leases().await?;
        let ours: Vec<i16> =
            known.iter().filter(|l| l.holder == Some(self.node)).map(|l| l.shard).collect();
        let mut kept = self.hold(&ours).await?;
        let missing = share.saturating_sub(kept.len());
        if missing > 0 {
            let free = known.iter().filter(|l| l.holder.is_none() || l.is_over);
            let mut free: Vec<i16> =
                free.filter(|l| l.holder != Some(self.node)).map(|l| l.shard).collect();
            // Nodes that look at the same time begin at different places.
            let begin = free.len() * place / nodes.len().max(1);
            free.rotate_left(begin);
            free.truncate(missing);
            free.sort_unstable();
            kept.extend(self.hold(&free).await?);
        }
        for shard in self.leases.ours() {
            if !kept.contains(&shard) {
                tracing::info!(shard, "another node works on a shard that was ours");
                self.leases.lost(shard);
            }
        }
        self.hand_on(&kept, share).await?;
        let held = self.leases.held().len();
        metrics::gauge!("pushroll_store_shards_held").set(held as f64);
        metrics::gauge!("pushroll_store_nodes").set(nodes.len() as f64);
        Ok(())
    }

    async fn known_leases(&self) -> Result<Vec<Known>, Fault> {
        let rows = self.db.query(&self.statements.leases.one, &[]).await?;
        let known = |row: &tokio_postgres::Row| {
            Ok(Known { shard: row.try_get(0)?, holder: row.try_get(1)?, is_over: row.try_get(2)? })
        };
        rows.iter().map(known).collect()
    }

    /// Takes or keeps these; returns those that are ours.
    async fn hold(&self, shards: &[i16]) -> Result<Vec<i16>, Fault> {
        let asked_at = Instant::now();
        let lease = self.db.settings.lease;
        let seconds = lease.as_secs_f64();
        let rest = || -> Vec<Box<dyn ToSql + Sync + Send>> {
            vec![Box::new(self.node), Box::new(seconds)]
        };
        let ours = self.of_each(&self.statements.hold, shards, &rest).await?;
        let new: Vec<i16> =
            ours.iter().copied().filter(|shard| self.leases.got(*shard, asked_at, lease)).collect();
        if !new.is_empty() {
            tracing::info!(shards = new.len(), "this node works on more shards");
            self.hands.forget_looks(&new);
            self.to_survey.add(new);
            self.counts.changed();
        }
        Ok(ours)
    }

    /// Lets the shards beyond our share go, as soon as nothing of them is in hand.
    async fn hand_on(&self, ours: &[i16], share: usize) -> Result<(), Fault> {
        let mut ours = ours.to_vec();
        ours.sort_unstable();
        let (stay, leave) = ours.split_at(share.min(ours.len()));
        stay.iter().for_each(|shard| self.leases.stay(*shard));
        leave.iter().for_each(|shard| self.leases.leave(*shard));
        let is_done = |(shard, since): &(i16, Instant)| {
            self.hands.of_shard(*shard) == 0 || since.elapsed() > PATIENCE
        };
        let done: Vec<i16> =
            self.leases.leaving().into_iter().filter(is_done).map(|(shard, _)| shard).collect();
        self.let_go(&done).await
    }

    /// Lets others have these at once.
    pub(crate) async fn let_go(&self, shards: &[i16]) -> Result<(), Fault> {
        if shards.is_empty() {
            return Ok(());
        }
        shards.iter().for_each(|shard| self.leases.lost(*shard));
        let node = self.node;
        self.of_each(&self.statements.let_go, shards, &|| vec![Box::new(node)]).await?;
        self.db.query(&self.statements.notify.one, &[&LEASES, &""]).await?;
        Ok(())
    }

    /// Calls a function for these shards, and returns the shards that it answers with, if it does.
    async fn of_each(
        &self,
        statement: &Statement,
        shards: &[i16],
        rest: &(dyn Fn() -> Vec<Box<dyn ToSql + Sync + Send>> + Sync),
    ) -> Result<Vec<i16>, Fault> {
        let rows = self.shards.ask(&self.db, statement, shards, |_| rest()).await?;
        let answers = rows.iter().map(|row| row.try_get::<_, Option<Vec<i16>>>(0));
        let answers: Vec<_> = answers.filter_map(Result::ok).flatten().flatten().collect();
        Ok(answers)
    }

    /// Leaves the cluster in good order: others go on at once.
    pub(crate) async fn leave(&self) {
        let left = async {
            self.let_go(&self.leases.ours()).await?;
            self.db.query(&self.statements.forget_node.one, &[&self.node]).await?;
            self.db.query(&self.statements.forget_dead_nodes.one, &[]).await?;
            Ok::<(), Fault>(())
        };
        if let Err(fault) = left.await {
            tracing::debug!(reason = fault.reason, "the leases run out by themselves");
        }
    }
}
