//! Telling the other nodes, and hearing from them: new work in their shards, changes of the configuration, shards
//! that are free. It only makes things quicker: everything that is told is found by looking, too.
//!
//! Work is announced by statements of their own, never within an accept or a finish: a transaction that notifies
//! holds a lock of the whole database until it is on stable storage.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio_postgres::AsyncMessage;

use crate::faults::Fault;
use crate::shared::Shared;

/// There is new work in the shards that are named.
pub(crate) const WORK: &str = "work_of_pushroll";
/// Organizations, apps or tokens have changed.
pub(crate) const CONFIGURATION: &str = "configuration_of_pushroll";
/// A shard has been let go.
pub(crate) const LEASES: &str = "leases_of_pushroll";

/// The least time between two announcements of a node.
const ANNOUNCED_EVERY: Duration = Duration::from_millis(20);
/// The most bytes of an announcement; PostgreSQL takes less than 8,000.
const MOST_BYTES: usize = 7_000;
/// What names all shards.
const ALL: &str = "*";
/// The wait before listening again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the configuration's version is looked at.
const CONFIGURATION_EVERY: Duration = Duration::from_secs(10);

impl Shared {
    /// Announces work until the store is closed.
    pub(crate) async fn keep_announcing(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.to_announce.some() => {}
            }
            tokio::time::sleep(ANNOUNCED_EVERY).await;
            let shards = self.to_announce.take();
            let names: Vec<String> = shards.iter().map(i16::to_string).collect();
            let mut text = names.join(",");
            if text.len() > MOST_BYTES {
                ALL.clone_into(&mut text);
            }
            let notify = &self.statements.notify.one;
            if let Err(fault) = self.db.query(notify, &[&WORK, &text]).await {
                tracing::debug!(reason = fault.reason, "new work can't be announced now");
            }
        }
    }

    /// Listens until the store is closed.
    pub(crate) async fn keep_listening(self: Arc<Self>) {
        loop {
            let heard = tokio::select! {
                () = self.stop.cancelled() => return,
                heard = self.listen() => heard,
            };
            self.is_listening.store(false, Ordering::Relaxed);
            if let Err(fault) = heard {
                tracing::debug!(reason = fault.reason, "nothing is heard of other nodes now");
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Listens until the connection is lost.
    async fn listen(&self) -> Result<(), Fault> {
        let (client, mut connection) = self.db.listener().await?;
        let listening = format!("listen {WORK}; listen {CONFIGURATION}; listen {LEASES}");
        let mut asked = Box::pin(client.batch_execute(&listening));
        let mut is_asked = false;
        loop {
            let message = poll_fn(|cx| connection.poll_message(cx));
            let message = tokio::select! {
                done = &mut asked, if !is_asked => {
                    done?;
                    is_asked = true;
                    self.is_listening.store(true, Ordering::Relaxed);
                    // What was said before is found by looking.
                    self.to_survey.add(self.leases.held());
                    self.look_at_configuration().await?;
                    continue;
                }
                message = message => message,
            };
            match message {
                None => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(AsyncMessage::Notification(said))) => {
                    self.hear(said.channel(), said.payload()).await?;
                }
                Some(Ok(_)) => {}
            }
        }
    }

    async fn hear(&self, channel: &str, said: &str) -> Result<(), Fault> {
        match channel {
            WORK if said == ALL => self.to_survey.add(self.leases.held()),
            WORK => {
                let shards = said.split(',').filter_map(|shard| shard.parse().ok());
                self.to_survey.add(shards.filter(|shard| self.leases.holds(*shard)));
            }
            CONFIGURATION => self.look_at_configuration().await?,
            LEASES => self.look_at_leases.notify_one(),
            _ => {}
        }
        Ok(())
    }

    /// Looks at the version of the configuration now and then, in case nothing was heard.
    pub(crate) async fn keep_looking_at_configuration(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(CONFIGURATION_EVERY) => {}
            }
            if let Err(fault) = self.look_at_configuration().await {
                tracing::debug!(reason = fault.reason, "the configuration can't be looked at now");
            }
        }
    }

    pub(crate) async fn look_at_configuration(&self) -> Result<(), Fault> {
        let row = self.db.query_one(&self.statements.configuration.one, &[]).await?;
        let version: i64 = row.try_get(0)?;
        let noted: Option<&[u8]> = row.try_get(1)?;
        if self.sealing.follow(noted.unwrap_or_default()) {
            // The others are told.
            self.look_at_leases.notify_one();
        }
        self.configuration.send_if_modified(|known| {
            let is_new = *known != version;
            *known = version;
            is_new
        });
        Ok(())
    }
}
