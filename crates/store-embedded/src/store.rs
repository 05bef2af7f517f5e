//! The store as the engine sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use pushroll_domain::{
    Accept, App, AppId, AuditEntry, AuditFilter, BackUp, BackUpFault, CleanUp, Clock, DeletedApp,
    Delivery, DeliveryEnd, DeliveryRecord, DeliveryRoom, Device, Directory, Finish, Finished, Lane,
    LaneLoad, LongestWaits, Org, OrgId, Page, PageRequest, Postpone, Registration, RegistrationId,
    RegistrationView, Reseal, Standing, Status, Store, StoreError, Timestamp, TokenId, TokenRecord,
    UserId,
};
use rocksdb::{BottommostLevelCompaction, CompactOptions, DB};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::task;

use crate::apply::{self, AcceptItem, CleanUpItem, FinishItem, PostponeItem};
use crate::audit::{self, AuditNumber};
use crate::backup;
use crate::columns::{Column, Columns};
use crate::engine::{self, DirectoryLock, OpenError};
use crate::group::Group;
use crate::hands::{Hand, Hands, Place};
use crate::health::{Health, fault_of, unavailable};
use crate::keys;
use crate::loads::Loads;
use crate::log::{self, LogNumbers};
use crate::meters::Meters;
use crate::read;
use crate::resealing;
use crate::settings::EmbeddedSettings;
use crate::shared::Shared;
use crate::writer::{Job, Message, Writer};

const NO_BOUND: Option<&[u8]> = None;
pub(crate) const SEALING_KEY: &[u8] = b"sealing-key";
/// Look-ups of so many rows are made on the caller's thread; more may take long.
const FEW: usize = 8;

/// The default store, in a data directory of its own.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    messages: Sender<Message>,
    /// The room in the queue of intentions, in items.
    room: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    is_new: bool,
    /// Keeps other processes out until the store is closed, whoever still holds it.
    lock: Mutex<Option<DirectoryLock>>,
}

impl EmbeddedStore {
    /// Opens the store, and makes it if there is none.
    ///
    /// # Errors
    /// When another process uses the directory, when what is there is damaged, of a newer version or half
    /// imported, or when it can't be read or written.
    pub fn open(settings: EmbeddedSettings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let lock = engine::lock(&settings.path)?;
        let opened = engine::open(&settings, &clock, &Default::default())?;
        engine::check_import(&settings.path, &opened.db)?;
        let (loads, memory) = (Loads::default(), opened.found.memory);
        loads.replace(opened.found.loads);
        let items = usize::try_from(settings.commit_queue_items).unwrap_or(usize::MAX);
        let room = Arc::new(Semaphore::new(items.clamp(1, Semaphore::MAX_PERMITS)));
        let shared = Arc::new(Shared {
            callbacks_waiting: AtomicU64::new(memory.callbacks.total()),
            retrying: opened.found.retrying,
            log: LogNumbers::default(),
            audit: AuditNumber::default(),
            clock,
            engine: RwLock::new(Some(opened.db)),
            health: Health::open(),
            hands: Hands::default(),
            loads,
            settings,
        });
        let (sender, messages) = mpsc::channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            messages,
            memory,
            room: Arc::clone(&room),
            meters: Meters::new(),
        };
        let thread = thread::Builder::new().name("store-writer".into());
        let writer = thread
            .spawn(|| writer.run())
            .map_err(|source| OpenError::Io { path: shared.settings.path.clone(), source })?;
        Ok(Self {
            shared,
            messages: sender,
            room,
            writer: Mutex::new(Some(writer)),
            is_new: opened.is_new,
            lock: Mutex::new(Some(lock)),
        })
    }

    /// Whether the directory held no store before it was opened.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The fingerprint of the key under which secrets are sealed, if it was ever set.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sealing_fingerprint(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.read(|db, columns| {
            db.get_cf(columns.get(Column::Meta), SEALING_KEY).map_err(|e| fault_of(&e))
        })
    }

    /// Notes the fingerprint of the key under which secrets are sealed.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn set_sealing_fingerprint(&self, fingerprint: &[u8]) -> Result<(), StoreError> {
        let value = fingerprint.to_vec();
        self.commit(1, move |group| {
            apply::put_meta(group, SEALING_KEY, value);
            Ok(())
        })
        .await
    }

    /// As [`EmbeddedStore::set_sealing_fingerprint`], with an entry in the audit list, in one commit.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn begin_rotation(
        &self,
        fingerprint: &[u8],
        entry: AuditEntry,
    ) -> Result<(), StoreError> {
        let (value, shared) = (fingerprint.to_vec(), Arc::clone(&self.shared));
        self.commit(1, move |group| {
            apply::put_meta(group, SEALING_KEY, value);
            shared.audit().add(group, &entry)
        })
        .await
    }

    /// Whether there is a store in this directory, in use or not.
    #[must_use]
    pub fn is_in(directory: &Path) -> bool {
        directory.join(engine::ENGINE_DIR).join("CURRENT").exists()
    }

    /// Seals anew everything that is sealed; how many rows that were. Rows that are added meanwhile are
    /// passed over: whoever adds them seals them under the new key.
    ///
    /// # Errors
    /// When something does not open, or the store can't be written. What is done by then stays done, and
    /// doing it again does no harm.
    pub async fn seal_anew(&self, reseal: Arc<dyn Reseal>) -> Result<u64, StoreError> {
        let mut at = Some(resealing::At::default());
        let mut all = 0;
        while let Some(from) = at {
            let reseal = Arc::clone(&reseal);
            let step = move |group: &mut Group<'_>| resealing::step(group, &*reseal, from);
            let (sealed, next) = self.commit(1, step).await?;
            all += sealed;
            at = next;
        }
        Ok(all)
    }

    /// Merges all tables now, which drops what is over. Takes as long as all data take to be
    /// rewritten; for tests and for operators who want their disk back.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn merge_everything(&self) -> Result<(), StoreError> {
        self.shared.read(|db, columns| {
            for column in Column::ALL {
                db.flush_cf(columns.get(column)).map_err(|e| fault_of(&e))?;
                let mut options = CompactOptions::default();
                options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
                db.compact_range_cf_opt(columns.get(column), NO_BOUND, NO_BOUND, &options);
            }
            Ok(())
        })
    }

    /// The number of rows of a kind, counted one by one; for tests and reports.
    ///
    /// # Errors
    /// When the store can't be read, or knows no such kind.
    pub fn rows(&self, kind: &str) -> Result<u64, StoreError> {
        self.shared.read(|db, columns| {
            let column = Column::ALL.into_iter().find(|column| column.name() == kind);
            let column = column.ok_or_else(|| unavailable(format!("no rows are called {kind}")))?;
            read::count(db, columns, column)
        })
    }

    /// Has the writer carry out an intention, when there is room in the queue.
    async fn commit<T: Send + 'static>(
        &self,
        items: usize,
        intention: impl FnOnce(&mut Group<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.health.check()?;
        let items = self.weight(items);
        let room = Arc::clone(&self.room).acquire_many_owned(items).await;
        self.hand_over(items, room.map_err(|_| StoreError::Closed)?, intention).await
    }

    /// The same, if there is room at once.
    async fn commit_now<T: Send + 'static>(
        &self,
        items: usize,
        intention: impl FnOnce(&mut Group<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.health.check()?;
        let items = self.weight(items);
        let room = match Arc::clone(&self.room).try_acquire_many_owned(items) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => {
                metrics::counter!("pushroll_store_refused_total").increment(1);
                return Err(unavailable("too much is waiting to be committed"));
            }
            Err(TryAcquireError::Closed) => return Err(StoreError::Closed),
        };
        self.hand_over(items, room, intention).await
    }

    async fn hand_over<T: Send + 'static>(
        &self,
        items: u32,
        room: OwnedSemaphorePermit,
        intention: impl FnOnce(&mut Group<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, answer) = Job::new(items, room, intention);
        if self.messages.send(Message::Job(job)).is_err() {
            return Err(StoreError::Closed);
        }
        match answer.await {
            Ok(answer) => answer.result,
            Err(_) => Err(self.shared.health.fault()),
        }
    }

    /// The room that an intention takes: at most all that there is.
    fn weight(&self, items: usize) -> u32 {
        u32::try_from(items)
            .unwrap_or(u32::MAX)
            .clamp(1, self.shared.settings.commit_queue_items.max(1))
    }

    /// Reads on a thread where it may take long.
    async fn read_long<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Shared, &DB, Columns<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let read =
            task::spawn_blocking(move || shared.read(|db, columns| what(&shared, db, columns)));
        match read.await {
            Ok(read) => read,
            Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
            Err(_) => Err(StoreError::Closed),
        }
    }

    /// Tells the writer to close; what it returns waits until it has.
    fn stop(&self) -> impl FnOnce() + Send + 'static {
        self.room.close();
        // The writer may have ended already.
        drop(self.messages.send(Message::Close));
        let writer = self.writer.lock().take();
        move || {
            if writer.is_some_and(|writer| writer.join().is_err()) {
                tracing::error!("the store's writer panicked");
            }
        }
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.stop()();
    }
}

#[async_trait]
impl BackUp for EmbeddedStore {
    async fn back_up(&self, directory: PathBuf) -> Result<(), BackUpFault> {
        let shared = Arc::clone(&self.shared);
        let made = task::spawn_blocking(move || {
            shared.health.check()?;
            let engine = shared.engine.read();
            let db = engine.as_ref().ok_or_else(|| shared.health.fault())?;
            backup::back_up(db, &directory)
        });
        match made.await {
            Ok(made) => made,
            Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
            Err(_) => Err(StoreError::Closed.into()),
        }
    }
}

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
            return self.shared.read(|db, columns| read::standings(db, columns, batch));
        }
        let batch = batch.to_vec();
        self.read_long(move |_, db, columns| read::standings(db, columns, &batch)).await
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
