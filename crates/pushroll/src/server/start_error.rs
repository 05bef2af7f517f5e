//! Why a server did not start, and which exit code that is.

use std::io;
use std::net::SocketAddr;

use pushroll_domain::StoreError;
use pushroll_providers::SettingFaults;
use pushroll_store_embedded::OpenError;
use pushroll_webhook::CallbackSettingsFaults;
use thiserror::Error;

use crate::admin_token::AdminTokenError;
use crate::commands::Exit;
use crate::sealing::key_file::KeyError;
use crate::tls::TlsFilesError;
use crate::traces::TracesError;

/// Why a server did not start. The message is for the operator.
#[derive(Debug, Error)]
pub enum StartError {
    /// The metrics' recorder can't be installed.
    #[error("{0:#}")]
    Metrics(anyhow::Error),
    /// The store can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store on PostgreSQL can't be opened.
    #[error(transparent)]
    OpenPostgres(#[from] pushroll_store_postgres::OpenError),
    /// The store can't be read or written.
    #[error("the store can't be used: {0}")]
    Store(#[from] StoreError),
    /// There is no sealing key, or the wrong one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no admin token.
    #[error(transparent)]
    AdminToken(#[from] AdminTokenError),
    /// The settings of the provider clients can't be used.
    #[error("the settings have a fault: providers: {0}")]
    Providers(#[from] SettingFaults),
    /// The settings of the callbacks can't be used.
    #[error("the settings have a fault: callbacks: {0}")]
    Callbacks(#[from] CallbackSettingsFaults),
    /// The settings of the traces can't be used.
    #[error("the settings have a fault: {0}")]
    Traces(#[from] TracesError),
    /// Certificate or key of the listener can't be used.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] TlsFilesError),
    /// The address can't be listened on.
    #[error("can't listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
}

impl StartError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Metrics(_) => Exit::Failed,
            Self::Providers(_) | Self::Callbacks(_) | Self::Traces(_) => Exit::Usage,
            Self::Open(OpenError::Locked { .. }) => Exit::InUse,
            Self::Open(
                OpenError::Corrupt { .. }
                | OpenError::NewerFormat { .. }
                | OpenError::OfAnotherUser { .. }
                | OpenError::HalfImported { .. }
                | OpenError::Io { .. },
            )
            | Self::OpenPostgres(_)
            | Self::Store(_) => Exit::Store,
            Self::Key(_) | Self::AdminToken(_) | Self::Tls(_) => Exit::Secrets,
            Self::Listen { .. } => Exit::Listen,
        }
    }
}
