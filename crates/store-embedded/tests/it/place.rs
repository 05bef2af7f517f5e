//! A data directory of its own for each test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use pushroll_domain::{Clock, Timestamp};
use pushroll_store_embedded::{EmbeddedSettings, EmbeddedStore, OpenError};
use tempfile::TempDir;

/// A clock that stands until it is moved.
pub struct HandClock(AtomicU64);

impl HandClock {
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A data directory.
pub struct Place {
    pub dir: TempDir,
    pub clock: Arc<HandClock>,
}

impl Place {
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let clock = HandClock(AtomicU64::new(u64::try_from(now.as_millis()).unwrap()));
        Self { dir: TempDir::new().unwrap(), clock: Arc::new(clock) }
    }

    pub fn settings(&self) -> EmbeddedSettings {
        EmbeddedSettings::new(self.dir.path())
    }

    pub fn try_open(&self, settings: EmbeddedSettings) -> Result<EmbeddedStore, OpenError> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        EmbeddedStore::open(settings, clock)
    }

    pub fn open(&self) -> EmbeddedStore {
        self.try_open(self.settings()).unwrap()
    }
}
