//! The store's side of the port: each intention handed to the writer, each question put to the engine.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use pushroll_domain::{
    Accept, App, AppId, AuditEntry, AuditFilter, CleanUp, DeletedApp, Delivery, DeliveryEnd,
    DeliveryRecord, DeliveryRoom, Device, Directory, Finish, Finished, Lane, LaneLoad,
    LongestWaits, Org, OrgId, Page, PageRequest, Postpone, Registration, RegistrationId,
    RegistrationView, Standing, Status, Store, StoreError, Timestamp, TokenId, TokenRecord, UserId,
};
use tokio::task;

use crate::apply::{self, AcceptItem, CleanUpItem, FinishItem, PostponeItem};
use crate::audit;
use crate::group::Group;
use crate::hands::{Hand, Place};
use crate::health::unavailable;
use crate::keys;
use crate::log;
use crate::read;

use super::{EmbeddedStore, FEW};

#[async_trait]
impl Store for EmbeddedStore {
    async fn accept(&self, batch: Vec<Accept>) -> Result<(), StoreError> {
        let items: Vec<_> = batch.iter().map(AcceptItem::prepare).collect();
        let shared = Arc::clone(&self.shared);
        let hand = self
            .commit_now(items.len(), move |group| {
                let taken: Vec<Place> =
                    items.iter().filter(|item| item.taken).map(|item| item.place).collect();
                shared.hands.take(taken.iter().map(|place| place.id));
                let hand = Hand::new(&shared, taken);
                apply::accept(group, items);
                Ok(hand)
            })
            .await?;
        hand.arrived();
        Ok(())
    }

    async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let (registrations, hand) = self
            .read_long(move |_, db, columns| {
                let rows = shared.hands.take_due(db, columns, lane, now, limit)?;
                let place = |(key, _): &(keys::QueueKey, Vec<u8>)| {
                    Some(Place { lane, key: *key, id: keys::id_of(key)? })
                };
                let hand = Hand::new(&shared, rows.iter().filter_map(place).collect());
                let mut registrations = Vec::with_capacity(rows.len());
                for (key, row) in rows {
                    match read::decode_queued(lane.app, &key, &row) {
                        Ok(registration) => registrations.push(registration),
                        // It stays taken: in the way of nobody, and there for whoever looks.
                        Err(fault) => tracing::error!(
                            id = ?keys::id_of(&key), %fault, "a pending registration is left out"
                        ),
                    }
                }
                Ok((registrations, hand))
            })
            .await?;
        hand.arrived();
        Ok(registrations)
    }

    async fn postpone(&self, batch: Vec<Postpone>) -> Result<(), StoreError> {
        let items: Vec<_> = batch.into_iter().map(PostponeItem::prepare).collect();
        self.commit(items.len(), |group| apply::postpone(group, items)).await
    }

    async fn give_back(&self, batch: Vec<Arc<Registration>>) -> Result<(), StoreError> {
        self.shared.hands.give_back(batch.iter().map(|one| Place::of(one)));
        Ok(())
    }

    async fn standings(&self, batch: &[Arc<Registration>]) -> Result<Vec<Standing>, StoreError> {
        if batch.len() <= FEW {
            let known = &self.shared.known;
            return self.shared.read(|db, columns| read::standings(db, columns, known, batch));
        }
        let batch = batch.to_vec();
        self.read_long(move |shared, db, columns| {
            read::standings(db, columns, &shared.known, &batch)
        })
        .await
    }

    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Finished>, StoreError> {
        let items: Vec<_> = batch.into_iter().map(FinishItem::prepare).collect();
        self.commit(items.len(), |group| apply::finish(group, items)).await
    }

    async fn clean_up(&self, batch: Vec<CleanUp>) -> Result<(), StoreError> {
        let items: Vec<_> = batch.iter().map(CleanUpItem::prepare).collect();
        self.commit_now(items.len(), |group| apply::clean_up(group, items)).await
    }

    async fn lanes(&self) -> Result<Vec<LaneLoad>, StoreError> {
        self.shared.health.check()?;
        Ok(self.shared.loads.all())
    }

    fn waiting(&self, app: AppId) -> u64 {
        self.shared.loads.of_app(app)
    }

    async fn statuses(
        &self,
        app: AppId,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<Vec<Status>, StoreError> {
        let kept = self.shared.kept(now);
        if ids.len() <= FEW {
            return self.shared.read(|db, columns| read::statuses(db, columns, app, ids, kept));
        }
        let ids = ids.to_vec();
        self.read_long(move |_, db, columns| read::statuses(db, columns, app, &ids, kept)).await
    }

    async fn add_hint(
        &self,
        app: AppId,
        id: RegistrationId,
        hint: String,
    ) -> Result<(), StoreError> {
        self.commit(1, move |group| apply::add_hint(group, app, id, hint)).await
    }

    async fn begin_deliveries(
        &self,
        room: DeliveryRoom,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        if self.shared.retrying.may_be_due(now) {
            self.commit(apply::MOVED_AT_ONCE, move |group| apply::let_in(group, now)).await?;
        }
        if self.shared.callbacks_waiting.load(Ordering::Relaxed) == 0 {
            return self.shared.health.check().map(|()| Vec::new());
        }
        self.commit(room.limit, move |group| apply::begin_deliveries(group, &room, now)).await
    }

    async fn end_deliveries(&self, batch: Vec<DeliveryEnd>) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        self.commit(batch.len(), move |group| {
            let logged = shared.settings.deliveries_logged;
            apply::end_deliveries(group, &shared.log, batch, logged)
        })
        .await
    }

    async fn deliveries_waiting(&self) -> Result<u64, StoreError> {
        self.shared.health.check()?;
        let waiting = self.shared.callbacks_waiting.load(Ordering::Relaxed);
        Ok(waiting + self.shared.retrying.put_away())
    }

    fn deliveries_retrying(&self, app: AppId) -> u64 {
        self.shared.retrying.of_app(app)
    }

    async fn deliveries(
        &self,
        app: AppId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        self.read_long(move |shared, db, columns| {
            let logged = shared.settings.deliveries_logged;
            log::list(db, columns, app, &page, shared.kept(now), logged)
        })
        .await
    }

    async fn devices_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        let user = user.clone();
        self.read_long(move |_, db, columns| read::devices_of_user(db, columns, app, &user, &page))
            .await
    }

    async fn devices_of_app(
        &self,
        app: AppId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.read_long(move |_, db, columns| read::devices_of_app(db, columns, app, &page)).await
    }

    async fn registrations_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<RegistrationView>, StoreError> {
        let user = user.clone();
        self.read_long(move |shared, db, columns| {
            let kept = shared.kept(now);
            read::registrations_of_user(db, columns, app, &user, &page, kept)
        })
        .await
    }

    async fn registration(
        &self,
        app: AppId,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<RegistrationView>, StoreError> {
        self.read_long(move |shared, db, columns| {
            let kept = shared.kept(now);
            read::registration(db, columns, app, id, kept)
        })
        .await
    }

    async fn directory(&self) -> Result<Directory, StoreError> {
        self.read_long(|_, db, columns| read::directory(db, columns)).await
    }

    async fn put_org(&self, org: Org, entry: AuditEntry) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let put = move |group: &mut Group<'_>| apply::put_org(group, &org, &shared.audit(), &entry);
        self.commit(1, put).await
    }

    async fn put_app(&self, app: App, entry: AuditEntry) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let put = move |group: &mut Group<'_>| apply::put_app(group, app, &shared.audit(), &entry);
        self.commit(1, put).await
    }

    async fn put_token(&self, token: TokenRecord, entry: AuditEntry) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        self.commit(1, move |group| apply::put_token(group, token, &shared.audit(), &entry)).await
    }

    async fn revoke_token(
        &self,
        app: AppId,
        token: TokenId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let revoke = move |group: &mut Group<'_>| {
            apply::revoke_token(group, app, token, at, &shared.audit(), &entry)
        };
        self.commit(1, revoke).await
    }

    async fn delete_app(
        &self,
        org: OrgId,
        app: AppId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let delete = move |group: &mut Group<'_>| {
            apply::delete_app(group, org, app, at, &shared.audit(), &entry)
        };
        self.commit(1, delete).await
    }

    async fn audit(
        &self,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        self.read_long(move |shared, db, columns| {
            audit::list(db, columns, filter, &page, shared.settings.audit_entries)
        })
        .await
    }

    async fn purge(&self, app: AppId) -> Result<DeletedApp, StoreError> {
        self.commit(1, move |group| apply::purge(group, app)).await
    }

    /// The engine merges old tables by itself, and drops what is over as it does; there is nothing
    /// to be done from outside.
    async fn expire(&self, _now: Timestamp) -> Result<bool, StoreError> {
        self.shared.health.check().map(|()| true)
    }

    async fn bring_forward(
        &self,
        now: Timestamp,
        longest: LongestWaits,
    ) -> Result<bool, StoreError> {
        let lanes: Vec<Lane> = self.shared.loads.all().iter().map(|load| load.lane).collect();
        let items = apply::MOVED_AT_ONCE;
        self.commit(items, move |group| apply::bring_forward(group, &lanes, now, longest)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.shared.health.check()?;
        if self.room.available_permits() == 0 {
            return Err(unavailable("too much is waiting to be committed"));
        }
        Ok(())
    }

    async fn close(&self) {
        // Where the runtime is stopping, nobody waits; the writer closes all the same.
        drop(task::spawn_blocking(self.stop()).await);
        drop(self.lock.lock().take());
    }
}
