//! The server's own certificate: read from its files at the start, and read again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metrics::gauge;
use pushroll_domain::Secret;
use pushroll_http_api::{ServerTls, TlsFault};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

const EXPIRY: &str = "pushroll_tls_certificate_expiry_timestamp_seconds";
/// How often in a row new files must be unusable before it is said: certificate and key are written
/// one after the other.
const PATIENCE: u32 = 2;

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to its authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// How often they are looked at.
    pub check_every: Duration,
}

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsFilesError {
    /// A file can't be read.
    #[error("{file} ({setting}) can't be read: {cause}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The setting that names it.
        setting: &'static str,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// What is in a file can't be used.
    #[error("{file} ({setting}) {fault}")]
    Unusable {
        /// The file.
        file: PathBuf,
        /// The setting that names it.
        setting: &'static str,
        /// Why.
        #[source]
        fault: TlsFault,
    },
}

const CERTIFICATE: &str = "tls.certificate_file";
const KEY: &str = "tls.key_file";

/// TLS, and what it was made from.
pub struct KeptTls {
    /// TLS.
    pub tls: ServerTls,
    files: TlsFiles,
    contents: Contents,
}

/// What the files hold.
struct Contents {
    certificate: Vec<u8>,
    key: Secret,
}

impl PartialEq for Contents {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.key.reveal() == other.key.reveal()
    }
}

impl TlsFiles {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When a file can't be read, or what it holds can't be used.
    pub async fn open(self) -> Result<KeptTls, TlsFilesError> {
        let contents = self.read().await?;
        let made = ServerTls::new(&contents.certificate, contents.key.reveal());
        let tls = made.map_err(|fault| self.unusable(fault))?;
        Ok(KeptTls { tls, files: self, contents })
    }

    async fn read(&self) -> Result<Contents, TlsFilesError> {
        Ok(Contents {
            certificate: read(&self.certificate, CERTIFICATE).await?,
            key: Secret::new(read(&self.key, KEY).await?),
        })
    }

    fn unusable(&self, fault: TlsFault) -> TlsFilesError {
        let (file, setting) = match &fault {
            TlsFault::Certificate(_) => (self.certificate.clone(), CERTIFICATE),
            TlsFault::Key(_) => (self.key.clone(), KEY),
        };
        TlsFilesError::Unusable { file, setting, fault }
    }
}

async fn read(file: &Path, setting: &'static str) -> Result<Vec<u8>, TlsFilesError> {
    let unreadable = |cause| TlsFilesError::Unreadable { file: file.to_owned(), setting, cause };
    tokio::fs::read(file).await.map_err(unreadable)
}

impl KeptTls {
    /// Takes over what the files hold whenever that has changed, until `stop` is cancelled. Files that
    /// can't be used leave everything as it is.
    pub async fn keep_current(mut self, stop: CancellationToken) {
        self.tell_expiry();
        let mut ticks = tokio::time::interval(self.files.check_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut faults = 0u32;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.look().await {
                Ok(changed) => {
                    faults = 0;
                    if changed {
                        info!(
                            file = %self.files.certificate.display(),
                            expires = self.tls.expires_at().date(),
                            "a new TLS certificate is in use"
                        );
                        self.tell_expiry();
                    }
                }
                Err(fault) => {
                    faults = faults.saturating_add(1);
                    if faults == PATIENCE {
                        warn!(%fault, "the new TLS certificate can't be used; the one before stays");
                    }
                }
            }
        }
    }

    /// Whether there was something new, which is used from now on.
    async fn look(&mut self) -> Result<bool, TlsFilesError> {
        let contents = self.files.read().await?;
        if contents == self.contents {
            return Ok(false);
        }
        let replaced = self.tls.replace(&contents.certificate, contents.key.reveal());
        replaced.map_err(|fault| self.files.unusable(fault))?;
        self.contents = contents;
        Ok(true)
    }

    fn tell_expiry(&self) {
        gauge!(EXPIRY).set(self.tls.expires_at().as_secs() as f64);
    }
}
