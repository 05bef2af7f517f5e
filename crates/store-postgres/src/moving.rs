//! Everything out of a database, or into an empty one, while no server works on it.

mod export;
mod import;

use std::time::Duration;

use pushroll_domain::{ImportProgress, StoreError, Timestamp};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::db::Db;
use crate::faults::Fault;
use crate::rows::{self, codes};
use crate::settings::PostgresSettings;
use crate::statements::Statements;
use crate::store::OpenError;

pub use export::PostgresExport;
pub use import::PostgresImport;

/// A statement of a move may take long: nobody waits for an answer.
const STATEMENT: Duration = Duration::from_secs(3600);
const PROGRESS: &str = "select export, records, digest, begun_at, finished_at from pushroll.import";

/// Why a database can't be moved out of, or into.
#[derive(Debug, Error)]
pub enum MoveError {
    /// It can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Servers work on it.
    #[error("servers work on this database now: {}", names.join(", "))]
    Serving {
        /// What they are called.
        names: Vec<String>,
    },
    /// Somebody else imports into it.
    #[error("another pushroll import into this database is under way")]
    Importing,
    /// Its state can't be held still while servers work on it.
    #[error(
        "the database is spread over several servers (Citus), which have no common state that stands still while \
         pushroll serves from it"
    )]
    NoSnapshot,
}

impl From<Fault> for MoveError {
    fn from(fault: Fault) -> Self {
        Self::Open(fault.into())
    }
}

impl From<StoreError> for MoveError {
    fn from(error: StoreError) -> Self {
        Self::Open(error.into())
    }
}

impl From<tokio_postgres::Error> for MoveError {
    fn from(error: tokio_postgres::Error) -> Self {
        Fault::from(error).into()
    }
}

/// Settings with which nothing is cut short.
fn patient(settings: PostgresSettings) -> PostgresSettings {
    PostgresSettings { statement_timeout: STATEMENT, ..settings }
}

/// A connection that lives as long as this does, and with it its transaction and its locks.
struct Session {
    client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    async fn open(db: &Db) -> Result<Self, Fault> {
        let (client, connection) = db.listener().await?;
        let driver = tokio::spawn(async move {
            // Whoever asks is told that the connection is gone.
            let _ = connection.await;
        });
        let session = Self { client, driver };
        session.client.batch_execute(&db.set_up()).await?;
        // Between two statements whoever reads what comes out may take his time.
        session.client.batch_execute("set idle_in_transaction_session_timeout = 0").await?;
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The servers that work on the database.
async fn serving(db: &Db, statements: &Statements) -> Result<Vec<String>, Fault> {
    let lease_seconds = db.settings.lease.as_secs_f64();
    let rows = db.query(&statements.live_nodes.one, &[&lease_seconds]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// How far an import into the database has come.
pub(crate) async fn progress(db: &Db) -> Result<Option<ImportProgress>, StoreError> {
    db.query(PROGRESS, &[]).await?.first().map(progress_of).transpose()
}

fn progress_of(row: &Row) -> Result<ImportProgress, StoreError> {
    let (export, records): (Uuid, i64) = (get(row, 0)?, get(row, 1)?);
    let digest: &[u8] = get(row, 2)?;
    Ok(ImportProgress {
        export: export.into_bytes(),
        records: u64::try_from(records).unwrap_or(0),
        digest: digest.try_into().map_err(|_| rows::corrupt("progress of an import"))?,
        begun_at: codes::timestamp_of(get(row, 3)?),
        finished_at: get::<Option<i64>>(row, 4)?.map(codes::timestamp_of),
    })
}

fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    column: usize,
) -> Result<T, StoreError> {
    Ok(row.try_get(column).map_err(Fault::from)?)
}

/// Milliseconds of an optional time.
fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(codes::millis)
}
