//! Everything out of a data directory, or into an empty one, while nobody serves from it.
//!
//! It has the directory's lock as a store has, and no writer: whoever moves a store is alone with it. What a
//! store keeps in memory is counted anew when one is opened afterwards.

mod export;
mod import;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pushroll_domain::{
    Clock, ImportProgress, MoveIn, MoveOut, MovingView, Record, RecordKind, Records, StoreError,
};
use rocksdb::{DB, WriteBatch, WriteOptions};
use tokio::task;

use crate::columns::{Column, Columns};
use crate::engine::{self, DirectoryLock, OpenError};
use crate::health::fault_of;
use crate::rows;
use crate::settings::EmbeddedSettings;
use crate::shared;
use crate::store::SEALING_KEY;

/// Where the progress of an import is noted.
const IMPORT_KEY: &[u8] = b"import";
/// So that nothing is over while it is moved: a thousand years.
const FOR_EVER: Duration = Duration::from_secs(1_000 * 366 * 24 * 3600);

/// A data directory that is moved out of, or into.
pub struct EmbeddedMover {
    db: Arc<DB>,
    path: PathBuf,
    _lock: DirectoryLock,
}

impl EmbeddedMover {
    /// Opens the store, and makes it if there is none.
    ///
    /// # Errors
    /// As [`crate::EmbeddedStore::open`]; but one that is half imported is opened.
    pub fn open(settings: EmbeddedSettings, clock: &Arc<dyn Clock>) -> Result<Self, OpenError> {
        let lock = engine::lock(&settings.path)?;
        let settings = EmbeddedSettings { outcome_retention: FOR_EVER, ..settings };
        let opened = engine::open(&settings, clock, &Default::default())?;
        Ok(Self { db: Arc::new(opened.db), path: settings.path, _lock: lock })
    }

    /// The fingerprint of the key under which secrets are sealed, if it was ever set.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn sealing_fingerprint(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let columns = shared::columns(&self.db)?;
        self.db.get_cf(columns.get(Column::Meta), SEALING_KEY).map_err(|e| fault_of(&e))
    }

    /// Notes the fingerprint of the key under which secrets are sealed.
    ///
    /// # Errors
    /// When the store can't be written.
    pub fn set_sealing_fingerprint(&self, fingerprint: &[u8]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(shared::columns(&self.db)?.get(Column::Meta), SEALING_KEY, fingerprint);
        write(&self.db, batch)
    }

    /// A number that is another after every change, and never one that it was before.
    #[must_use]
    pub fn state(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// About how many records there are, if the engine knows.
    #[must_use]
    pub fn estimate(&self) -> Option<u64> {
        let columns = shared::columns(&self.db).ok()?;
        let kinds = [
            Column::Config,
            Column::Devices,
            Column::Pending,
            Column::Outcomes,
            Column::Callbacks,
            Column::Retries,
            Column::Deliveries,
            Column::Audit,
        ];
        let of = |column| {
            let column = columns.get(column);
            self.db.property_int_value_cf(column, "rocksdb.estimate-num-keys").ok().flatten()
        };
        kinds.into_iter().map(of).sum()
    }

    /// Reads or writes on a thread where it may take long.
    async fn with<T: Send + 'static>(
        &self,
        what: impl FnOnce(&DB, Columns<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let db = Arc::clone(&self.db);
        let done = task::spawn_blocking(move || what(&db, shared::columns(&db)?));
        match done.await {
            Ok(done) => done,
            Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
            Err(_) => Err(StoreError::Closed),
        }
    }
}

impl std::fmt::Debug for EmbeddedMover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("EmbeddedMover").field(&self.path).finish()
    }
}

#[async_trait]
impl MoveOut for EmbeddedMover {
    async fn records(
        &self,
        kind: RecordKind,
        view: MovingView,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Records, StoreError> {
        let after = after.map(str::to_owned);
        self.with(move |db, columns| {
            export::records(db, columns, kind, view, after.as_deref(), limit.max(1))
        })
        .await
    }
}

#[async_trait]
impl MoveIn for EmbeddedMover {
    async fn progress(&self) -> Result<Option<ImportProgress>, StoreError> {
        self.with(progress).await
    }

    /// One commit: the records, and the progress that counts them.
    async fn put(&self, records: Vec<Record>, progress: ImportProgress) -> Result<(), StoreError> {
        self.with(move |db, columns| {
            let mut batch = WriteBatch::default();
            for record in &records {
                import::put(&mut batch, columns, record);
            }
            let row = rows::encode_import(&progress);
            batch.put_cf(columns.get(Column::Meta), IMPORT_KEY, row);
            write(db, batch)
        })
        .await
    }
}

/// How far an import into this store has come.
pub(crate) fn progress(
    db: &DB,
    columns: Columns<'_>,
) -> Result<Option<ImportProgress>, StoreError> {
    let row = db.get_cf(columns.get(Column::Meta), IMPORT_KEY).map_err(|e| fault_of(&e))?;
    row.map(|row| rows::decode_import(&row)).transpose()
}

fn write(db: &DB, batch: WriteBatch) -> Result<(), StoreError> {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.write_opt(batch, &options).map_err(|e| fault_of(&e))
}
