//! What the database's errors mean to a caller.

use std::error::Error as _;
use std::time::Duration;

use deadpool::managed::PoolError;
use pushroll_domain::StoreError;
use thiserror::Error as ThisError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What a caller is told to wait when nothing better is known.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What follows from an error for whoever met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The connection is of no use any more, or leads to a server that takes no writes.
    Connection,
    /// Nothing was done, and the same may succeed at once (deadlock).
    Again,
    /// What was asked can't be done, whoever asks.
    Data,
    /// Not now: too slow, out of something, or what nobody expected.
    NotNow,
}

/// An error, and what follows.
#[derive(Debug, ThisError)]
#[error("{reason}")]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    pub(crate) fn timed_out() -> Self {
        Self::new(Kind::Connection, "the database does not answer in time")
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { kind: kind_of(&error), reason: words_of(&error) }
    }
}

impl From<PoolError<Fault>> for Fault {
    fn from(error: PoolError<Fault>) -> Self {
        match error {
            PoolError::Backend(fault) => fault,
            PoolError::Timeout(_) => Self::new(
                Kind::NotNow,
                "no connection to the database is free (see store.connections)",
            ),
            PoolError::Closed => Self::new(Kind::NotNow, "the store is closed"),
            other => Self::new(Kind::NotNow, other.to_string()),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        unavailable(fault.reason)
    }
}

fn kind_of(error: &Error) -> Kind {
    let Some(state) = error.code() else { return Kind::Connection };
    match *state {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED => Kind::Again,
        SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        | SqlState::DATABASE_DROPPED => Kind::Connection,
        // "cached plan must not change result type": the schema was changed below us.
        SqlState::FEATURE_NOT_SUPPORTED => Kind::Connection,
        _ => match &state.code()[..2] {
            // A server that says so of a connection of its own, to one of a cluster, keeps this one.
            "08" if !ends_the_connection(error) => Kind::NotNow,
            "08" => Kind::Connection,
            "22" | "23" => Kind::Data,
            _ => Kind::NotNow,
        },
    }
}

fn ends_the_connection(error: &Error) -> bool {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    severity.is_none_or(|severity| severity != Severity::Error)
}

/// The server's message or the driver's; never a detail, which may quote a row.
fn words_of(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("PostgreSQL says: {} ({})", said.message(), said.code().code());
    }
    match error.source() {
        Some(source) => format!("the database can't be reached: {source}"),
        None => format!("the database can't be reached: {error}"),
    }
}

/// It can't take it now, for this reason.
pub(crate) fn unavailable(reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable { reason: reason.into(), retry_after: TRY_AGAIN_AFTER }
}
