//! Opening the store, and why it can't be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::{Duration, Instant};

use pushroll_domain::{Clock, StoreError};
use thiserror::Error;
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::PostgresStore;
use crate::db::{Access, Db};
use crate::faults::Fault;
use crate::gather::{Gatherer, Sharing};
use crate::hands::Hands;
use crate::intentions::{
    AcceptCall, CleanUpCall, EndDeliveriesCall, FinishCall, HintCall, PostponeCall, StandingsCall,
};
use crate::leases::Leases;
use crate::schema::{self, SchemaError};
use crate::sealing::Sealing;
use crate::settings::PostgresSettings;
use crate::shared::{Due, Shared};
use crate::skew::Skewed;
use crate::statements::Statements;
use crate::sweep::Purges;

/// Why the store can't be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The database can't be used now.
    #[error("the store can't be opened: {0}")]
    Unavailable(String),
    /// Its schema is not the one that is needed.
    #[error(transparent)]
    Schema(SchemaError),
}

impl From<SchemaError> for OpenError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Unavailable(reason) => Self::Unavailable(reason),
            other => Self::Schema(other),
        }
    }
}

impl From<Fault> for OpenError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(fault.reason)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl PostgresStore {
    /// Opens the store: checks the schema, takes this node's share of the shards, and begins to listen.
    ///
    /// # Errors
    /// When the database can't be reached, or its schema is not the one that is needed.
    pub async fn open(
        settings: PostgresSettings,
        clock: Arc<dyn Clock>,
        node: [u8; 16],
    ) -> Result<Self, OpenError> {
        let db = Arc::new(Db::new(settings, Access::Writes)?);
        let shards = schema::check(&db).await?;
        let statements = Arc::new(Statements::new());
        let shared = Arc::new(Shared {
            db: Arc::clone(&db),
            statements: Arc::clone(&statements),
            shards,
            node: Uuid::from_bytes(node),
            clock: Arc::clone(&clock),
            hands: Arc::new(Hands::default()),
            leases: Leases::new(shards.count),
            counts: Default::default(),
            to_survey: Due::default(),
            to_announce: Due::default(),
            configuration: watch::channel(0).0,
            skewed: Skewed::default(),
            sealing: Sealing::default(),
            nodes: AtomicU32::new(1),
            is_listening: AtomicBool::new(false),
            written_at: parking_lot::Mutex::new(Instant::now()),
            look_at_leases: Notify::new(),
            stop: CancellationToken::new(),
        });
        shared.look_after_leases().await?;
        // Whoever began to import meanwhile sees this node by now, or is seen here.
        if let Err(fault) = schema::check_import(&db).await {
            shared.leave().await;
            db.close();
            return Err(fault.into());
        }
        shared.survey(&shared.leases.held(), Duration::ZERO).await?;
        shared.count().await?;
        shared.look_at_configuration().await?;

        let (calls, workers) = (TaskTracker::new(), TaskTracker::new());
        let items = usize::try_from(db.settings.commit_queue_items).unwrap_or(usize::MAX);
        let most_rows = usize::try_from(db.settings.commit_max_items).unwrap_or(usize::MAX);
        // One call of a kind that writes is under way: a second would only make the groups smaller, and of a small
        // group most of the cost is the call's. The more so with several nodes, whose calls overlap anyway.
        let one = Sharing { at_once: 1, most_rows };
        let two = Sharing { at_once: 2, most_rows };
        let of = &statements;
        let store = Self {
            accept: Gatherer::new(AcceptCall(of.clone()), &db, shards, one, &calls),
            postpone: Gatherer::new(PostponeCall(of.clone()), &db, shards, one, &calls),
            finish: Gatherer::new(FinishCall(of.clone()), &db, shards, one, &calls),
            clean_up: Gatherer::new(CleanUpCall(of.clone()), &db, shards, one, &calls),
            end_deliveries: Gatherer::new(EndDeliveriesCall(of.clone()), &db, shards, one, &calls),
            add_hints: Gatherer::new(HintCall(of.clone()), &db, shards, one, &calls),
            standings: Gatherer::new(
                StandingsCall { statements: of.clone(), clock },
                &db,
                shards,
                two,
                &calls,
            ),
            room: Arc::new(Semaphore::new(items.clamp(1, Semaphore::MAX_PERMITS))),
            taking: Mutex::default(),
            delivering: Mutex::default(),
            purges: Purges::default(),
            heard: Mutex::new(shared.configuration.subscribe()),
            calls,
            workers,
            shared,
        };
        store.spawn_workers();
        Ok(store)
    }

    fn spawn_workers(&self) {
        let shared = || Arc::clone(&self.shared);
        self.workers.spawn(shared().keep_leases());
        self.workers.spawn(shared().keep_listening());
        self.workers.spawn(shared().keep_announcing());
        self.workers.spawn(shared().keep_surveying());
        self.workers.spawn(shared().keep_counting());
        self.workers.spawn(shared().keep_looking_at_configuration());
        self.workers.close();
    }
}
