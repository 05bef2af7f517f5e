//! What the writer and the callers' threads share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::RwLock;
use pushroll_domain::{Clock, StoreError, Timestamp};
use rocksdb::DB;

use crate::ahead::Ahead;
use crate::audit::{Audit, AuditNumber};
use crate::columns::Columns;
use crate::engine::ENGINE_DIR;
use crate::hands::Hands;
use crate::health::Health;
use crate::known::Known;
use crate::loads::Loads;
use crate::log::LogNumbers;
use crate::retention::Kept;
use crate::retrying::Retrying;
use crate::settings::EmbeddedSettings;

/// Shared by the writer and everybody who asks.
pub(crate) struct Shared {
    pub(crate) settings: EmbeddedSettings,
    pub(crate) clock: Arc<dyn Clock>,
    /// `None` while it is being reopened, and when it is closed. Readers hold the lock while they
    /// read and never over an await; so whoever has the write lock knows that nobody reads.
    pub(crate) engine: RwLock<Option<DB>>,
    pub(crate) health: Health,
    pub(crate) hands: Hands,
    pub(crate) known: Known,
    pub(crate) loads: Loads,
    pub(crate) callbacks_waiting: AtomicU64,
    pub(crate) retrying: Retrying,
    pub(crate) log: LogNumbers,
    pub(crate) audit: AuditNumber,
}

impl Shared {
    /// What outcomes are kept at this time.
    pub(crate) fn kept(&self, now: Timestamp) -> Kept {
        Kept { retention: self.settings.outcome_retention, now }
    }

    /// What writes ahead in the log of an engine that has just been opened.
    pub(crate) fn ahead(&self) -> Ahead {
        Ahead::new(self.settings.path.join(ENGINE_DIR), self.settings.wal_ahead_bytes)
    }

    /// How an intention adds its entry to the audit list.
    pub(crate) fn audit(&self) -> Audit<'_> {
        Audit { number: &self.audit, most: self.settings.audit_entries }
    }

    /// Reads from the engine, on this thread.
    pub(crate) fn read<T>(
        &self,
        what: impl FnOnce(&DB, Columns<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.health.check()?;
        let engine = self.engine.read();
        let db = engine.as_ref().ok_or_else(|| self.health.fault())?;
        what(db, columns(db)?)
    }
}

/// The column families of an open engine.
pub(crate) fn columns(db: &DB) -> Result<Columns<'_>, StoreError> {
    Columns::of(db).ok_or_else(|| StoreError::Corrupt("a column family is missing".into()))
}
