//! The store as the engine sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex as ParkingMutex;
use pushroll_domain::{
    Accept, App, AppId, AuditEntry, AuditFilter, CallbackOrder, CleanUp, Clock, DeletedApp,
    Delivery, DeliveryEnd, DeliveryRecord, DeliveryRoom, Device, Directory, Finish, Finished, Lane,
    LaneLoad, LongestWaits, Org, OrgId, Page, PageRequest, Postpone, Registration, RegistrationId,
    RegistrationView, SealingKeys, Standing, Status, Store, StoreError, Timestamp, TokenId,
    TokenRecord, UserId,
};
use thiserror::Error;
use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config;
use crate::db::Db;
use crate::deliveries::Turns;
use crate::faults::{Fault, unavailable};
use crate::gather::{Gatherer, Sharing};
use crate::hands::{Hand, Hands, shard_of};
use crate::intentions::{
    AcceptCall, AcceptRow, CleanUpCall, EndDeliveriesCall, EndDeliveryRow, FinishCall, FinishRow,
    HintCall, HintRow, PostponeCall, PostponeRow, StandingRow, StandingsCall, clean_up_rows,
};
use crate::leases::Leases;
use crate::schema::{self, SchemaError};
use crate::sealing::Sealing;
use crate::settings::PostgresSettings;
use crate::shared::{Due, Shared};
use crate::skew::Skewed;
use crate::statements::Statements;
use crate::sweep::Purges;

/// How long what is in hand may take to be written when the store is closed.
const LAST_CALLS: Duration = Duration::from_secs(15);

/// The cluster store. One for each process; any number of processes on a database.
pub struct PostgresStore {
    shared: Arc<Shared>,
    accept: Gatherer<AcceptCall>,
    postpone: Gatherer<PostponeCall>,
    finish: Gatherer<FinishCall>,
    clean_up: Gatherer<CleanUpCall>,
    end_deliveries: Gatherer<EndDeliveriesCall>,
    add_hints: Gatherer<HintCall>,
    standings: Gatherer<StandingsCall>,
    /// The room in the queue of intentions, in items.
    room: Arc<Semaphore>,
    /// One looks for what is due at a time.
    taking: Mutex<()>,
    delivering: Mutex<Turns>,
    purges: Purges,
    heard: Mutex<watch::Receiver<i64>>,
    calls: TaskTracker,
    workers: TaskTracker,
}

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
        let db = Arc::new(Db::new(settings)?);
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
            written_at: ParkingMutex::new(Instant::now()),
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

    /// The fingerprint of the key under which secrets are sealed, if it was ever set.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn sealing_fingerprint(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(config::sealing_fingerprint(&self.shared.db).await?)
    }

    /// Notes the fingerprint of the key under which secrets are sealed, if it is still this one; returns the one
    /// that is there then.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn replace_sealing_fingerprint(
        &self,
        old: Option<&[u8]>,
        new: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        config::replace_sealing_fingerprint(&self.shared.db, old, new, None).await
    }

    /// Seals by these keys from now on: under the one that the database has noted first, also when that is another one
    /// day.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn seal_by(&self, keys: Arc<dyn SealingKeys>) -> Result<(), StoreError> {
        self.shared.sealing.set(keys);
        Ok(self.shared.look_at_configuration().await?)
    }

    /// The number of shards of the database.
    #[must_use]
    pub fn shard_count(&self) -> u16 {
        self.shared.shards.count
    }

    /// The shards that this node works on now.
    #[must_use]
    pub fn held_shards(&self) -> Vec<i16> {
        self.shared.leases.held()
    }

    /// Ends this node as a crash would: nothing is written any more, and no lease is given back.
    pub fn abandon(&self) {
        self.shared.db.refuse();
        self.shared.stop.cancel();
        self.room.close();
        self.shared.db.close();
    }

    /// Room for so many items, when there is some.
    async fn room(&self, items: usize) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        self.shared.db.check_open()?;
        let room = Arc::clone(&self.room).acquire_many_owned(self.weight(items)).await;
        self.show_queue();
        room.map(Some).map_err(|_| StoreError::Closed)
    }

    /// Room for so many items, if there is some at once.
    fn room_now(&self, items: usize) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        self.shared.db.check_open()?;
        let room = match Arc::clone(&self.room).try_acquire_many_owned(self.weight(items)) {
            Ok(room) => Ok(Some(room)),
            Err(TryAcquireError::NoPermits) => {
                metrics::counter!("pushroll_store_refused_total").increment(1);
                Err(unavailable("too much is waiting to be committed"))
            }
            Err(TryAcquireError::Closed) => Err(StoreError::Closed),
        };
        self.show_queue();
        room
    }

    /// The room that an intention takes: at most all that there is.
    fn weight(&self, items: usize) -> u32 {
        let most = self.shared.db.settings.commit_queue_items.max(1);
        u32::try_from(items).unwrap_or(u32::MAX).clamp(1, most)
    }

    fn show_queue(&self) {
        let room = u64::from(self.shared.db.settings.commit_queue_items);
        let waiting = room.saturating_sub(self.room.available_permits() as u64);
        metrics::gauge!("pushroll_store_commit_queue_items").set(waiting as f64);
    }
}

/// The registration with its callback's order sealed anew.
fn with_order(registration: &Registration, order: CallbackOrder) -> Registration {
    Registration { callback: Some(order), ..registration.clone() }
}

/// When something is due by our monotonic clock, given in the time of day.
fn instant_of(due: Timestamp, now: Timestamp) -> Instant {
    // Further away than this it is looked at in between anyway.
    const FAR: Duration = Duration::from_secs(3600);
    Instant::now() + due.since(now).min(FAR)
}

#[async_trait]
impl Store for PostgresStore {
    async fn accept(&self, batch: Vec<Accept>) -> Result<(), StoreError> {
        let room = self.room_now(batch.len())?;
        let shared = &self.shared;
        let (now, skew) = (shared.clock.now(), shared.skewed.get());
        let _era = shared.sealing.era();
        let mut rows = Vec::with_capacity(batch.len());
        let mut hand = Hand::new(&shared.hands);
        let mut others = Vec::new();
        let mut waiting = Vec::new();
        for Accept { registration, taken } in &batch {
            rows.push(match shared.sealing.order(registration)? {
                None => AcceptRow::of(registration, shared.shards, skew),
                Some(order) => {
                    let registration = with_order(registration, order);
                    AcceptRow::of(&registration, shared.shards, skew)
                }
            });
            let shard = shard_of(shared.shards, registration);
            if !shared.leases.holds(shard) {
                others.push(shard);
            } else if *taken {
                shared.hands.take(shard, registration.lane(), registration.id);
                hand.holds(shard, registration);
            } else {
                waiting.push((shard, registration.lane(), instant_of(registration.due, now)));
            }
        }
        self.accept.ask(rows, room).await?;
        hand.arrived();
        for (shard, lane, due) in waiting {
            shared.hands.look_by(shard, lane, due);
        }
        if !others.is_empty() {
            shared.to_announce.add(others);
        }
        shared.counts.changed();
        Ok(())
    }

    fn works_on(&self, id: RegistrationId) -> bool {
        self.shared.shards.of_id(id).is_some_and(|shard| self.shared.leases.holds(shard))
    }

    async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        self.shared.db.check_open()?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let _one_at_a_time = self.taking.lock().await;
        self.shared.take_due(lane, now, limit).await
    }

    async fn postpone(&self, batch: Vec<Postpone>) -> Result<(), StoreError> {
        let room = self.room(batch.len()).await?;
        let shared = &self.shared;
        let (now, skew) = (shared.clock.now(), shared.skewed.get());
        let rows = batch.iter().map(|one| PostponeRow::of(one, shared.shards, skew)).collect();
        self.postpone.ask(rows, room).await?;
        for Postpone { registration, due, .. } in &batch {
            let shard = shard_of(shared.shards, registration);
            let due = instant_of(*due, now);
            shared.hands.gone(shard, registration.lane(), registration.id, Some(due));
        }
        Ok(())
    }

    async fn give_back(&self, batch: Vec<Arc<Registration>>) -> Result<(), StoreError> {
        for registration in batch {
            let shard = shard_of(self.shared.shards, &registration);
            let id = std::iter::once(registration.id);
            self.shared.hands.give_back(shard, registration.lane(), id);
        }
        Ok(())
    }

    async fn standings(&self, batch: &[Arc<Registration>]) -> Result<Vec<Standing>, StoreError> {
        self.shared.db.check_open()?;
        let asked = batch.iter().map(|one| StandingRow::of(one, self.shared.shards));
        let asked: Vec<Option<StandingRow>> = asked.collect();
        let is_asked: Vec<bool> = asked.iter().map(Option::is_some).collect();
        let mut found =
            self.standings.ask(asked.into_iter().flatten().collect(), None).await?.into_iter();
        let standing = |is_asked| {
            if is_asked { found.next().unwrap_or(Standing::Free) } else { Standing::Free }
        };
        Ok(is_asked.into_iter().map(standing).collect())
    }

    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Finished>, StoreError> {
        let room = self.room(batch.len()).await?;
        let shared = &self.shared;
        let _era = shared.sealing.era();
        let mut rows = Vec::with_capacity(batch.len());
        for finish in &batch {
            rows.push(match shared.sealing.order(&finish.registration)? {
                None => FinishRow::of(finish, shared.shards),
                Some(order) => {
                    let registration = Arc::new(with_order(&finish.registration, order));
                    FinishRow::of(&Finish { registration, ..finish.clone() }, shared.shards)
                }
            });
        }
        let with_callback = batch.iter().filter(|one| one.registration.callback.is_some());
        let shards = with_callback.map(|one| shard_of(shared.shards, &one.registration)).collect();
        let _changing = shared.counts.changing(shards);
        let finished = self.finish.ask(rows, room).await?;
        for (finish, end) in batch.iter().zip(&finished) {
            let registration = &finish.registration;
            let shard = shard_of(shared.shards, registration);
            match end {
                // It is still pending, and still in its taker's hands.
                Finished::NoDuplicate => continue,
                Finished::NotPending => {}
                Finished::Ended(_) if registration.callback.is_some() => {
                    shared.counts.callbacks_changed(shard, 1);
                }
                Finished::Ended(_) => {}
            }
            shared.hands.gone(shard, registration.lane(), registration.id, None);
        }
        shared.counts.changed();
        Ok(finished)
    }

    async fn clean_up(&self, batch: Vec<CleanUp>) -> Result<(), StoreError> {
        let room = self.room_now(batch.len())?;
        let rows = batch.iter().flat_map(|one| clean_up_rows(one, self.shared.shards)).collect();
        self.clean_up.ask(rows, room).await.map(drop)
    }

    async fn lanes(&self) -> Result<Vec<LaneLoad>, StoreError> {
        self.shared.db.check_open()?;
        let is_held = |shard| self.shared.leases.holds(shard);
        let mut lanes = self.shared.counts.lanes(is_held);
        for (lane, known) in self.shared.hands.lanes(is_held) {
            let counted = lanes.entry(lane).or_default();
            *counted = known.max(*counted);
        }
        let loads = lanes.into_iter().filter(|(_, pending)| *pending > 0);
        Ok(loads.map(|(lane, pending)| LaneLoad { lane, pending }).collect())
    }

    fn waiting(&self, app: AppId) -> u64 {
        self.shared.counts.of_app(app)
    }

    async fn statuses(
        &self,
        app: AppId,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<Vec<Status>, StoreError> {
        self.shared.db.check_open()?;
        self.shared.statuses(app, ids, now).await
    }

    async fn add_hint(
        &self,
        app: AppId,
        id: RegistrationId,
        hint: String,
    ) -> Result<(), StoreError> {
        let Some(row) = HintRow::of(app, id, hint, self.shared.shards) else { return Ok(()) };
        let room = self.room(1).await?;
        self.add_hints.ask(vec![row], room).await.map(drop)
    }

    async fn begin_deliveries(
        &self,
        room: DeliveryRoom,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.shared.db.check_open()?;
        let mut turns = self.delivering.lock().await;
        self.shared.begin_deliveries(&mut turns, &room, now).await
    }

    async fn end_deliveries(&self, batch: Vec<DeliveryEnd>) -> Result<(), StoreError> {
        let room = self.room(batch.len()).await?;
        let (shared, skew) = (&self.shared, self.shared.skewed.get());
        let rows = batch.iter().filter_map(|end| EndDeliveryRow::of(end, shared.shards, skew));
        let rows: Vec<EndDeliveryRow> = rows.collect();
        let shards: Vec<i16> = rows.iter().map(EndDeliveryRow::shard).collect();
        let _changing = shared.counts.changing(shards.clone());
        let over = self.end_deliveries.ask(rows, room).await?;
        for (shard, _) in shards.into_iter().zip(over).filter(|(_, is_over)| *is_over) {
            shared.counts.callbacks_changed(shard, -1);
        }
        shared.counts.changed();
        Ok(())
    }

    fn deliveries_retrying(&self, app: AppId) -> u64 {
        self.shared.counts.retrying(app)
    }

    async fn deliveries(
        &self,
        app: AppId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        self.shared.db.check_open()?;
        self.shared.deliveries(app, &page, now).await
    }

    async fn bring_forward(
        &self,
        now: Timestamp,
        longest: LongestWaits,
    ) -> Result<bool, StoreError> {
        self.shared.db.check_open()?;
        self.shared.bring_forward(now, longest).await
    }

    async fn deliveries_waiting(&self) -> Result<u64, StoreError> {
        self.shared.db.check_open()?;
        Ok(self.shared.counts.callbacks(|shard| self.shared.leases.holds(shard)).1)
    }

    async fn devices_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.shared.db.check_open()?;
        self.shared.devices_of_user(app, user, &page).await
    }

    async fn devices_of_app(
        &self,
        app: AppId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.shared.db.check_open()?;
        self.shared.devices_of_app(app, &page).await
    }

    async fn registrations_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<RegistrationView>, StoreError> {
        self.shared.db.check_open()?;
        self.shared.registrations_of_user(app, user, &page, now).await
    }

    async fn registration(
        &self,
        app: AppId,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<RegistrationView>, StoreError> {
        self.shared.db.check_open()?;
        self.shared.registration(app, id, now).await
    }

    async fn directory(&self) -> Result<Directory, StoreError> {
        self.shared.db.check_open()?;
        config::directory(&self.shared.db).await
    }

    async fn configuration_changed(&self) {
        let mut heard = self.heard.lock().await;
        if heard.changed().await.is_err() {
            // The store is gone: nothing changes any more.
            std::future::pending::<()>().await;
        }
    }

    fn nodes(&self) -> u32 {
        self.shared.nodes.load(Ordering::Relaxed)
    }

    async fn put_org(&self, org: Org, entry: AuditEntry) -> Result<(), StoreError> {
        self.shared.put_org(&org, &entry).await
    }

    async fn put_app(&self, app: App, entry: AuditEntry) -> Result<(), StoreError> {
        self.shared.put_app(&app, &entry).await
    }

    async fn put_token(&self, token: TokenRecord, entry: AuditEntry) -> Result<(), StoreError> {
        self.shared.put_token(&token, &entry).await
    }

    async fn revoke_token(
        &self,
        app: AppId,
        token: TokenId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        self.shared.revoke_token(app, token, at, &entry).await
    }

    async fn delete_app(
        &self,
        org: OrgId,
        app: AppId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        self.shared.delete_app(org, app, at, &entry).await
    }

    async fn audit(
        &self,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        self.shared.db.check_open()?;
        self.shared.audit(filter, &page).await
    }

    async fn purge(&self, app: AppId) -> Result<DeletedApp, StoreError> {
        self.shared.db.check_open()?;
        self.shared.purge(&self.purges, app).await
    }

    async fn expire(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.shared.db.check_open()?;
        self.shared.expire(now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.db.check_open()?;
        if self.room.available_permits() == 0 {
            return Err(unavailable("too much is waiting to be committed"));
        }
        let row = shared.db.query_one(&shared.statements.takes_writes.one, &[]).await?;
        if !row.try_get::<_, bool>(0).map_err(Fault::from)? {
            return Err(unavailable("the database is read-only"));
        }
        // It may be read and not written: a replica is away that commits wait for.
        let silent = shared.written_at.lock().elapsed();
        if silent > shared.db.settings.lease {
            let seconds = silent.as_secs();
            return Err(unavailable(format!("nothing could be written for {seconds} seconds")));
        }
        Ok(())
    }

    async fn close(&self) {
        let shared = &self.shared;
        shared.db.refuse();
        self.room.close();
        self.calls.close();
        if tokio::time::timeout(LAST_CALLS, self.calls.wait()).await.is_err() {
            tracing::warn!("some calls to the database were still under way; they are cut");
        }
        shared.stop.cancel();
        self.workers.wait().await;
        shared.leave().await;
        shared.db.close();
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.abandon();
    }
}
