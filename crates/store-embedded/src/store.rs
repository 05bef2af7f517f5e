//! The store as the engine sees it.

mod port;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use pushroll_domain::{AuditEntry, BackUp, BackUpFault, Clock, Reseal, StoreError};
use rocksdb::{BottommostLevelCompaction, CompactOptions, DB};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::task;

use crate::apply;
use crate::audit::AuditNumber;
use crate::backup;
use crate::columns::{Column, Columns};
use crate::engine::{self, DirectoryLock, OpenError};
use crate::group::Group;
use crate::hands::Hands;
use crate::health::{Health, fault_of, unavailable};
use crate::known::Known;
use crate::loads::Loads;
use crate::log::LogNumbers;
use crate::meters::Meters;
use crate::read;
use crate::resealing;
use crate::scheduling;
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
        let known = Known::default();
        known.equals.replace(&opened.found.equals);
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
            known,
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
            ahead: shared.ahead(),
        };
        let thread = thread::Builder::new().name("store-writer".into());
        let writer = thread
            .spawn(|| {
                scheduling::interrupt_nobody();
                writer.run();
            })
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
