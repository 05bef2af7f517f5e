//! What the parts of the store share.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Instant;

use parking_lot::Mutex;
use pushroll_domain::Clock;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::counts::Counts;
use crate::db::Db;
use crate::hands::Hands;
use crate::leases::Leases;
use crate::sealing::Sealing;
use crate::shards::Shards;
use crate::skew::Skewed;
use crate::statements::Statements;

/// Shards about which something is to be done soon.
#[derive(Debug, Default)]
pub(crate) struct Due {
    shards: Mutex<BTreeSet<i16>>,
    wake: Notify,
}

/// The middle of the store.
pub(crate) struct Shared {
    pub(crate) db: Arc<Db>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) shards: Shards,
    /// This process among the nodes; another one at each start.
    pub(crate) node: Uuid,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) hands: Arc<Hands>,
    pub(crate) leases: Leases,
    pub(crate) counts: Counts,
    /// To be surveyed: somebody says that there is something new.
    pub(crate) to_survey: Due,
    /// Other nodes' shards in which we have put something.
    pub(crate) to_announce: Due,
    /// The version of the configuration that was last heard of.
    pub(crate) configuration: watch::Sender<i64>,
    /// How far our clock is from the database's.
    pub(crate) skewed: Skewed,
    /// Which key seals.
    pub(crate) sealing: Sealing,
    /// How many nodes there are.
    pub(crate) nodes: AtomicU32,
    /// Whether announcements reach us.
    pub(crate) is_listening: AtomicBool,
    /// When something was last written for sure.
    pub(crate) written_at: Mutex<Instant>,
    /// The leases are to be looked at.
    pub(crate) look_at_leases: Notify,
    pub(crate) stop: CancellationToken,
}

impl Due {
    pub(crate) fn add(&self, shards: impl IntoIterator<Item = i16>) {
        self.shards.lock().extend(shards);
        self.wake.notify_one();
    }

    /// Waits until there are some.
    pub(crate) async fn some(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn take(&self) -> Vec<i16> {
        std::mem::take(&mut *self.shards.lock()).into_iter().collect()
    }
}
