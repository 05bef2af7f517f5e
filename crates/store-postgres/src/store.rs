//! The store as the engine sees it.

mod open;
mod room;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pushroll_domain::{
    Accept, App, AppId, AuditEntry, AuditFilter, CallbackOrder, CleanUp, DeletedApp, Delivery,
    DeliveryEnd, DeliveryRecord, DeliveryRoom, Device, Directory, Finish, Finished, Lane, LaneLoad,
    LongestWaits, Org, OrgId, Page, PageRequest, Postpone, Registration, RegistrationId,
    RegistrationView, SealingKeys, Standing, Status, Store, StoreError, Timestamp, TokenId,
    TokenRecord, UserId,
};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::config;
use crate::deliveries::Turns;
use crate::faults::{Fault, unavailable};
use crate::gather::Gatherer;
use crate::hands::{Hand, shard_of};
use crate::intentions::{
    AcceptCall, AcceptRow, CleanUpCall, EndDeliveriesCall, EndDeliveryRow, FinishCall, FinishRow,
    HintCall, HintRow, PostponeCall, PostponeRow, StandingRow, StandingsCall, clean_up_rows,
};
use crate::shared::Shared;
use crate::sweep::Purges;

pub use open::OpenError;

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

impl PostgresStore {
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
            rows.push(match shared.sealing.order(registration) {
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
        let (shared, skew) = (&self.shared, self.shared.skewed.get());
        let _era = shared.sealing.era();
        let mut rows = Vec::with_capacity(batch.len());
        for finish in &batch {
            rows.push(match shared.sealing.order(&finish.registration) {
                None => FinishRow::of(finish, shared.shards, skew),
                Some(order) => {
                    let registration = Arc::new(with_order(&finish.registration, order));
                    let finish = Finish { registration, ..finish.clone() };
                    FinishRow::of(&finish, shared.shards, skew)
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
