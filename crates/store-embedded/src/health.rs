//! Whether the store can be used, and what to answer while it can't.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pushroll_domain::StoreError;

/// What a caller is told to wait when nothing better is known.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
enum State {
    Open,
    Reopening { reason: String, next_try: Instant },
    Closed,
}

/// The state of the store, written by its writer.
#[derive(Debug)]
pub(crate) struct Health(Mutex<State>);

impl Health {
    pub(crate) fn open() -> Self {
        Self(Mutex::new(State::Open))
    }

    pub(crate) fn reopened(&self) {
        *self.0.lock() = State::Open;
    }

    pub(crate) fn reopening(&self, reason: String, wait: Duration) {
        *self.0.lock() = State::Reopening { reason, next_try: Instant::now() + wait };
    }

    pub(crate) fn closed(&self) {
        *self.0.lock() = State::Closed;
    }

    /// Whether it is open.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match &*self.0.lock() {
            State::Open => Ok(()),
            State::Closed => Err(StoreError::Closed),
            State::Reopening { reason, next_try } => Err(StoreError::Unavailable {
                reason: reason.clone(),
                retry_after: next_try
                    .saturating_duration_since(Instant::now())
                    .max(TRY_AGAIN_AFTER),
            }),
        }
    }

    /// Why something was not done.
    pub(crate) fn fault(&self) -> StoreError {
        match self.check() {
            Ok(()) => unavailable("a write failed; the engine has been reopened"),
            Err(fault) => fault,
        }
    }
}

/// It can't take it now, for this reason.
pub(crate) fn unavailable(reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable { reason: reason.into(), retry_after: TRY_AGAIN_AFTER }
}

/// What an error of RocksDB's means to a caller.
pub(crate) fn fault_of(error: &rocksdb::Error) -> StoreError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => StoreError::Corrupt(error.to_string()),
        _ => unavailable(error.to_string()),
    }
}
