//! Several nodes seen as one store: each call goes to another of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pushroll_domain::{
    Accept, App, AppId, AuditEntry, AuditFilter, CleanUp, DeletedApp, Delivery, DeliveryEnd,
    DeliveryRecord, DeliveryRoom, Device, Directory, Finish, Finished, Lane, LaneLoad,
    LongestWaits, Org, OrgId, Page, PageRequest, Postpone, Registration, RegistrationId,
    RegistrationView, Standing, Status, Store, StoreError, Timestamp, TokenId, TokenRecord, UserId,
};
use pushroll_store_postgres::PostgresStore;

use crate::place::{Place, until};

/// The nodes.
pub struct Cluster {
    nodes: Vec<Arc<PostgresStore>>,
    turn: AtomicUsize,
}

impl Cluster {
    /// So many nodes, each with its share of the shards.
    pub async fn of(place: &Place, count: usize) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(Arc::new(place.open().await));
        }
        let shards = usize::from(nodes[0].shard_count());
        let is_spread = || {
            let held: Vec<usize> = nodes.iter().map(|node| node.held_shards().len()).collect();
            held.iter().sum::<usize>() == shards && held.iter().all(|held| *held >= shards / count)
        };
        until("the shards are spread", is_spread).await;
        Self { nodes, turn: AtomicUsize::new(0) }
    }

    fn next(&self) -> &PostgresStore {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.nodes[turn % self.nodes.len()]
    }

    /// Who works on it now.
    fn holder(&self, id: RegistrationId) -> &PostgresStore {
        self.nodes.iter().find(|node| node.works_on(id)).map_or(&self.nodes[0], |node| node)
    }
}

#[async_trait]
impl Store for Cluster {
    /// What a caller carries on goes to who may do so; the rest to anybody.
    async fn accept(&self, batch: Vec<Accept>) -> Result<(), StoreError> {
        let (taken, others): (Vec<_>, Vec<_>) = batch.into_iter().partition(|one| one.taken);
        for one in taken {
            let holder = self.holder(one.registration.id);
            holder.accept(vec![one]).await?;
        }
        self.next().accept(others).await
    }

    async fn take_due(
        &self,
        lane: Lane,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Registration>, StoreError> {
        // What one node put there is found by another a moment later.
        for _ in 0..20 {
            let mut taken = Vec::new();
            for node in &self.nodes {
                taken.extend(node.take_due(lane, now, limit - taken.len()).await?);
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Vec::new())
    }

    async fn postpone(&self, batch: Vec<Postpone>) -> Result<(), StoreError> {
        for one in batch {
            self.holder(one.registration.id).postpone(vec![one]).await?;
        }
        Ok(())
    }

    async fn give_back(&self, batch: Vec<Arc<Registration>>) -> Result<(), StoreError> {
        for one in batch {
            self.holder(one.id).give_back(vec![one]).await?;
        }
        Ok(())
    }

    async fn standings(&self, batch: &[Arc<Registration>]) -> Result<Vec<Standing>, StoreError> {
        self.next().standings(batch).await
    }

    async fn finish(&self, batch: Vec<Finish>) -> Result<Vec<Finished>, StoreError> {
        self.next().finish(batch).await
    }

    async fn clean_up(&self, batch: Vec<CleanUp>) -> Result<(), StoreError> {
        self.next().clean_up(batch).await
    }

    async fn lanes(&self) -> Result<Vec<LaneLoad>, StoreError> {
        self.next().lanes().await
    }

    /// Some seconds old, on each node in its own way.
    fn waiting(&self, app: AppId) -> u64 {
        self.nodes[0].waiting(app)
    }

    async fn statuses(
        &self,
        app: AppId,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<Vec<Status>, StoreError> {
        self.next().statuses(app, ids, now).await
    }

    async fn add_hint(
        &self,
        app: AppId,
        id: RegistrationId,
        hint: String,
    ) -> Result<(), StoreError> {
        self.next().add_hint(app, id, hint).await
    }

    async fn begin_deliveries(
        &self,
        room: DeliveryRoom,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.next().begin_deliveries(room, now).await
    }

    async fn end_deliveries(&self, batch: Vec<DeliveryEnd>) -> Result<(), StoreError> {
        self.next().end_deliveries(batch).await
    }

    async fn deliveries_waiting(&self) -> Result<u64, StoreError> {
        self.next().deliveries_waiting().await
    }

    fn deliveries_retrying(&self, app: AppId) -> u64 {
        self.nodes[0].deliveries_retrying(app)
    }

    async fn deliveries(
        &self,
        app: AppId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<DeliveryRecord>, StoreError> {
        self.next().deliveries(app, page, now).await
    }

    async fn bring_forward(
        &self,
        now: Timestamp,
        longest: LongestWaits,
    ) -> Result<bool, StoreError> {
        for node in &self.nodes {
            node.bring_forward(now, longest).await?;
        }
        Ok(true)
    }

    async fn devices_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.next().devices_of_user(app, user, page).await
    }

    async fn devices_of_app(
        &self,
        app: AppId,
        page: PageRequest,
    ) -> Result<Page<Device>, StoreError> {
        self.next().devices_of_app(app, page).await
    }

    async fn registrations_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Page<RegistrationView>, StoreError> {
        self.next().registrations_of_user(app, user, page, now).await
    }

    async fn registration(
        &self,
        app: AppId,
        id: RegistrationId,
        now: Timestamp,
    ) -> Result<Option<RegistrationView>, StoreError> {
        self.next().registration(app, id, now).await
    }

    async fn directory(&self) -> Result<Directory, StoreError> {
        self.next().directory().await
    }

    async fn put_org(&self, org: Org, entry: AuditEntry) -> Result<(), StoreError> {
        self.next().put_org(org, entry).await
    }

    async fn put_app(&self, app: App, entry: AuditEntry) -> Result<(), StoreError> {
        self.next().put_app(app, entry).await
    }

    async fn put_token(&self, token: TokenRecord, entry: AuditEntry) -> Result<(), StoreError> {
        self.next().put_token(token, entry).await
    }

    async fn revoke_token(
        &self,
        app: AppId,
        token: TokenId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, StoreError> {
        self.next().revoke_token(app, token, at, entry).await
    }

    async fn delete_app(
        &self,
        org: OrgId,
        app: AppId,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        self.next().delete_app(org, app, at, entry).await
    }

    async fn audit(
        &self,
        filter: AuditFilter,
        page: PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        self.next().audit(filter, page).await
    }

    async fn purge(&self, app: AppId) -> Result<DeletedApp, StoreError> {
        self.next().purge(app).await
    }

    async fn expire(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.next().expire(now).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.next().ready().await
    }

    async fn close(&self) {
        for node in &self.nodes {
            node.close().await;
        }
    }
}
