//! A store of either kind to move out of, and one to move into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::{Clock, MoveIn, MoveOut, StoreError};
use pushroll_store_embedded::{EmbeddedMover, EmbeddedStore, OpenError};
use pushroll_store_postgres::{MoveError, PostgresExport, PostgresImport, Standstill};
use thiserror::Error;

use crate::machine::SystemClock;
use crate::sealing::KeyId;
use crate::settings::{Settings, Store};

/// Why a store can't be opened for a move.
#[derive(Debug, Error)]
pub enum OpenFault {
    /// There is no store.
    #[error("there is no store in {}", path.display())]
    NoStore {
        /// The data directory.
        path: PathBuf,
    },
    /// A server has the data directory.
    #[error(
        "{0}. Stop it first; or make a copy of it while it runs (pushroll backup DIR) and export that one, with \
         PUSHROLL_STORE__PATH=DIR"
    )]
    InUse(OpenError),
    /// The data directory can't be opened.
    #[error(transparent)]
    Embedded(OpenError),
    /// Servers work on the database.
    #[error(
        "{fault}. Stop them first (one that was killed is gone {lease_seconds} seconds later){advice}"
    )]
    Serving {
        /// Which.
        fault: MoveError,
        /// How long a server that is gone is taken for one that is there.
        lease_seconds: u64,
        /// What else can be done.
        advice: &'static str,
    },
    /// The database can't be opened.
    #[error(transparent)]
    Postgres(MoveError),
    /// What is in it can't be read.
    #[error("the store can't be used: {0}")]
    Store(#[from] StoreError),
}

/// What can be done about an export while servers work.
const OR_LIVE: &str =
    "; or export the moment with --live: what they answer after it is not in the export";

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn of_postgres(settings: &Settings, fault: MoveError, advice: &'static str) -> OpenFault {
    let Store::Postgres(postgres) = &settings.store else { return OpenFault::Postgres(fault) };
    let lease_seconds = postgres.lease.as_secs();
    match fault {
        MoveError::Serving { .. } => OpenFault::Serving { fault, lease_seconds, advice },
        MoveError::Open(_) | MoveError::Importing | MoveError::NoSnapshot => {
            OpenFault::Postgres(fault)
        }
    }
}

/// A store that is moved out of.
#[derive(Debug)]
pub enum Source {
    /// A data directory.
    Embedded(EmbeddedMover),
    /// A moment of a database.
    Postgres(Box<PostgresExport>),
}

impl Source {
    /// Opens the store of these settings; `live` lets servers go on working on a database.
    ///
    /// # Errors
    /// When there is none, it can't be opened, or somebody has it.
    pub async fn open(settings: &Settings, live: bool) -> Result<Self, OpenFault> {
        match &settings.store {
            Store::Embedded(embedded) => {
                let path = &embedded.path;
                if !EmbeddedStore::is_in(path) {
                    return Err(OpenFault::NoStore { path: path.clone() });
                }
                let mover = open_directory(settings, path).await?;
                // Whether it is whole is looked at here: an import opens what is not.
                if let Some(progress) = mover.progress().await?
                    && progress.finished_at.is_none()
                {
                    let (path, records) = (path.clone(), progress.records);
                    return Err(OpenFault::Embedded(OpenError::HalfImported { path, records }));
                }
                Ok(Self::Embedded(mover))
            }
            Store::Postgres(postgres) => {
                match PostgresExport::open(settings.postgres(postgres), live).await {
                    Ok(export) => Ok(Self::Postgres(Box::new(export))),
                    Err(fault) => Err(of_postgres(settings, fault, OR_LIVE)),
                }
            }
        }
    }

    /// To be read from.
    #[must_use]
    pub fn records(&self) -> &dyn MoveOut {
        match self {
            Self::Embedded(mover) => mover,
            Self::Postgres(export) => &**export,
        }
    }

    /// What kind of store it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Postgres(_) => "postgres",
        }
    }

    /// A number that tells whether the store is still the same; `None` where none does.
    #[must_use]
    pub fn state(&self) -> Option<u64> {
        match self {
            Self::Embedded(mover) => Some(mover.state()),
            Self::Postgres(export) => match export.standstill() {
                Standstill::Named(name) => Some(*name),
                Standstill::Live
                | Standstill::Spread
                | Standstill::Open(_)
                | Standstill::Unknown(_) => None,
            },
        }
    }

    /// Why an export of it can't go on once it was broken off, if it can't.
    #[must_use]
    pub fn why_no_state(&self) -> Option<String> {
        match self {
            Self::Postgres(export) if self.state().is_none() => {
                Some(export.standstill().to_string())
            }
            Self::Embedded(_) | Self::Postgres(_) => None,
        }
    }

    /// What has happened if [`Source::state`] is another.
    #[must_use]
    pub const fn changed(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "the store has changed since",
            Self::Postgres(_) => {
                "a server, or a command that may write, has been at the database since, so it may have changed"
            }
        }
    }

    /// About how many records there are, if that is known.
    pub async fn estimate(&self) -> Option<u64> {
        match self {
            Self::Embedded(mover) => mover.estimate(),
            Self::Postgres(export) => export.estimate().await,
        }
    }

    /// The ids of the keys that its secrets are sealed under.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn sealing_keys(&self) -> Result<Vec<KeyId>, StoreError> {
        let kept = match self {
            Self::Embedded(mover) => mover.sealing_fingerprint()?,
            Self::Postgres(export) => export.sealing_fingerprint().await?,
        };
        Ok(KeyId::all_from_kept(&kept.unwrap_or_default()))
    }
}

/// A store that is moved into.
pub enum Target {
    /// A data directory.
    Embedded(EmbeddedMover),
    /// A database.
    Postgres(Box<PostgresImport>),
}

impl Target {
    /// Opens the store of these settings. A data directory is made if there is none.
    ///
    /// # Errors
    /// When it can't be opened, or somebody has it.
    pub async fn open(settings: &Settings) -> Result<Self, OpenFault> {
        match &settings.store {
            Store::Embedded(embedded) => {
                open_directory(settings, &embedded.path).await.map(Self::Embedded)
            }
            Store::Postgres(postgres) => {
                match PostgresImport::open(settings.postgres(postgres)).await {
                    Ok(import) => Ok(Self::Postgres(Box::new(import))),
                    Err(fault) => Err(of_postgres(settings, fault, "")),
                }
            }
        }
    }

    /// To be written to.
    #[must_use]
    pub fn records(&self) -> &dyn MoveIn {
        match self {
            Self::Embedded(mover) => mover,
            Self::Postgres(import) => &**import,
        }
    }

    /// Notes the ids of the keys that its secrets are sealed under.
    ///
    /// # Errors
    /// When it can't be written.
    pub async fn note_sealing_keys(&self, keys: &[KeyId]) -> Result<(), StoreError> {
        let kept = KeyId::to_keep(keys);
        match self {
            Self::Embedded(mover) => mover.set_sealing_fingerprint(&kept),
            Self::Postgres(import) => import.set_sealing_fingerprint(&kept).await,
        }
    }

    /// Does something with what is there now.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn look<T>(
        &self,
        what: impl AsyncFnOnce(&dyn MoveOut) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Embedded(mover) => what(mover).await,
            Self::Postgres(import) => what(&import.look().await?).await,
        }
    }
}

async fn open_directory(settings: &Settings, path: &Path) -> Result<EmbeddedMover, OpenFault> {
    let Store::Embedded(embedded) = &settings.store else {
        return Err(OpenFault::NoStore { path: path.to_owned() });
    };
    let settings = settings.embedded(embedded);
    // Opening reads the write-ahead log.
    let opened = tokio::task::spawn_blocking(move || EmbeddedMover::open(settings, &clock())).await;
    opened.expect("opening the store does not panic").map_err(|fault| match fault {
        OpenError::Locked { .. } => OpenFault::InUse(fault),
        OpenError::Corrupt { .. }
        | OpenError::NewerFormat { .. }
        | OpenError::HalfImported { .. }
        | OpenError::OfAnotherUser { .. }
        | OpenError::Io { .. } => OpenFault::Embedded(fault),
    })
}
