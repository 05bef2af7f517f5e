//! The settings: a file (`pushroll.toml`), and over it the environment (`PUSHROLL_STORE__PATH`), over
//! defaults that work without either. They are read whole, and everything wrong with them is told at
//! once, each fault with its source.

mod faults;
mod kinds;
mod mapping;
mod postgres;
mod raw;
mod reference;
mod sections;
mod source;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use pushroll_domain::Secret;
use url::Url;

pub use faults::{Fault, SettingsError};
pub(crate) use kinds::toml_string;
pub(crate) use mapping::SiblingSettings;
pub use postgres::PostgresStore;
pub use sections::{
    Audit, Callbacks, EmbeddedStore, Limits, Log, Outcomes, Providers, Shutdown, Traces,
    Verification,
};
pub use source::{Effective, environment_variable};
pub use table::SettingInfo;

use sections::{
    AdminKeys, AdminPlace, PostgresKeys, SealingKeys, StoreChoice, TlsChoice, TopSettings,
};
use source::{ENVIRONMENT_PREFIX, Reader};
use table::Section;

use crate::tls::TlsFiles;

/// The settings file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "pushroll.toml";
/// The fewest characters of an admin token that is given.
const ADMIN_TOKEN_CHARS: usize = 16;

/// All settings. The default is what a start without a file and without variables gets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of the listener.
    pub listen: SocketAddr,
    /// Whether unknown organizations, apps and API tokens are answered 400.
    pub strict_tokens: bool,
    /// Where callers reach the API, as mobile developers are told it.
    pub public_url: Option<Url>,
    /// The store.
    pub store: Store,
    /// Where the sealing key comes from.
    pub sealing_key: SealingKeySource,
    /// Certificate and key of the listeners, if they speak TLS.
    pub tls: Option<TlsFiles>,
    /// The listener of administration and metrics, if they have one of their own.
    pub admin_listener: Option<AdminListener>,
    /// Where the admin token comes from.
    pub admin_token: AdminTokenSource,
    /// The audit list.
    pub audit: Audit,
    /// What callers may ask for.
    pub limits: Limits,
    /// Dry runs and retries.
    pub verification: Verification,
    /// Provider clients.
    pub providers: Providers,
    /// Callbacks.
    pub callbacks: Callbacks,
    /// Outcomes.
    pub outcomes: Outcomes,
    /// The log.
    pub log: Log,
    /// Traces.
    pub traces: Traces,
    /// The end of the process.
    pub shutdown: Shutdown,
    /// Environment variables that begin like a setting and are none; whoever starts a server says so.
    pub foreign_variables: Vec<String>,
}

/// Where everything is kept.
#[derive(Debug, Clone)]
pub enum Store {
    /// RocksDB in a directory of this machine.
    Embedded(EmbeddedStore),
    /// A PostgreSQL database that several servers may share.
    Postgres(Box<PostgresStore>),
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(store) => store.path.display().fmt(f),
            // The password is left out.
            Self::Postgres(store) => write!(f, "{:?}", store.url),
        }
    }
}

/// Where the sealing key comes from.
#[derive(Debug, Clone)]
pub enum SealingKeySource {
    /// A file beside the data, made for an empty store.
    BesideTheData,
    /// This file, made for an empty store.
    File(PathBuf),
    /// It was given: the key in base64.
    Given(Secret),
}

/// Where the admin token comes from.
#[derive(Debug, Clone)]
pub enum AdminTokenSource {
    /// A file beside the data, made if it is not there.
    BesideTheData,
    /// This file, made if it is not there.
    File(PathBuf),
    /// It was given.
    Given(Secret),
}

/// A listener of its own for administration and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminListener {
    /// Its address.
    pub listen: SocketAddr,
    /// Whether it speaks TLS if the other listener does.
    pub tls: bool,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// A JSON object a line.
    Json,
}

/// How weighty a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something is not right.
    Warn,
    /// What happened.
    Info,
    /// Details.
    Debug,
    /// Everything.
    Trace,
}

impl Default for Settings {
    fn default() -> Self {
        let mut reader = Reader::new(None, std::iter::empty());
        Self::read(&mut reader)
    }
}

impl Settings {
    /// Reads the settings of this process: the named file, or `pushroll.toml` in the working
    /// directory if it is there, and the environment.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        Self::load_with_sources(file).map(|(settings, _)| settings)
    }

    /// As [`Settings::load`], and every setting as it is in force, with where it was given.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn load_with_sources(file: Option<&Path>) -> Result<(Self, Vec<Effective>), SettingsError> {
        let mut environment = Vec::new();
        let mut unreadable = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => environment.push((name, value)),
                Err(_) if name.starts_with(ENVIRONMENT_PREFIX) => unreadable
                    .push(Fault { source: name, message: "must be text in UTF-8".to_owned() }),
                Err(_) => {}
            }
        }
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let parsed = match std::fs::read_to_string(path) {
            Ok(text) => Self::parse_with_sources(Some((path, &text)), environment.into_iter()),
            Err(cause) if file.is_none() && cause.kind() == std::io::ErrorKind::NotFound => {
                Self::parse_with_sources(None, environment.into_iter())
            }
            Err(cause) => Err(SettingsError(vec![Fault {
                source: path.display().to_string(),
                message: format!("can't be read: {cause}"),
            }])),
        };
        match parsed {
            Ok(settings) if unreadable.is_empty() => Ok(settings),
            Ok(_) => Err(SettingsError(unreadable)),
            Err(SettingsError(faults)) => Err(SettingsError([unreadable, faults].concat())),
        }
    }

    /// Reads the settings in a file's text and these environment variables.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn parse(
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        Self::parse_with_sources(file, environment).map(|(settings, _)| settings)
    }

    fn parse_with_sources(
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Effective>), SettingsError> {
        let mut reader = Reader::new(file, environment);
        reader.refuse_unknown(&Self::reference());
        let mut settings = Self::read(&mut reader);
        settings.check(&mut reader);
        settings.foreign_variables = std::mem::take(&mut reader.foreign);
        if reader.faults.is_empty() {
            Ok((settings, reader.effective))
        } else {
            Err(SettingsError(reader.faults))
        }
    }

    /// Every setting there is, in the order of the reference page.
    #[must_use]
    pub fn reference() -> Vec<SettingInfo> {
        let mut all = Vec::new();
        for describe in [
            TopSettings::describe,
            StoreChoice::describe,
            EmbeddedStore::describe,
            TlsChoice::describe,
            PostgresKeys::describe,
            SealingKeys::describe,
            AdminPlace::describe,
            AdminKeys::describe,
            Audit::describe,
            Limits::describe,
            Verification::describe,
            Providers::describe,
            Callbacks::describe,
            Outcomes::describe,
            Log::describe,
            Traces::describe,
            Shutdown::describe,
        ] {
            describe(&mut all);
        }
        all
    }

    fn read(reader: &mut Reader) -> Self {
        let top = TopSettings::read(reader);
        let kind = StoreChoice::read(reader).kind;
        let store = postgres::store(kind, reader);
        Self {
            listen: top.listen,
            strict_tokens: top.strict_tokens,
            public_url: top.public_url,
            store,
            sealing_key: sealing_key(SealingKeys::read(reader), reader),
            tls: tls_files(TlsChoice::read(reader), reader),
            admin_listener: admin_listener(&AdminPlace::read(reader)),
            admin_token: admin_token(AdminKeys::read(reader), reader),
            audit: Audit::read(reader),
            limits: Limits::read(reader),
            verification: Verification::read(reader),
            providers: Providers::read(reader),
            callbacks: Callbacks::read(reader),
            outcomes: Outcomes::read(reader),
            log: Log::read(reader),
            traces: Traces::read(reader),
            shutdown: Shutdown::read(reader),
            foreign_variables: Vec::new(),
        }
    }

    /// What each setting allows alone, and they don't together.
    fn check(&self, reader: &mut Reader) {
        postgres::check(self, reader);
        let Self { limits, verification, providers, callbacks, .. } = self;
        let own = self.admin_listener.map(|admin| admin.listen);
        if own.is_some_and(|own| own == self.listen && own.port() != 0) {
            let message = "must be another than listen: leave it out to have all on one".to_owned();
            reader.fault("admin.listen", message);
        }
        if limits.by_organization_burst.is_some() && limits.by_organization_per_second.is_none() {
            reader.fault(
                "limits.by_organization_burst",
                "needs limits.by_organization_per_second beside it".to_owned(),
            );
        }
        if verification.in_memory_per_app > verification.in_memory {
            reader.fault(
                "verification.in_memory_per_app",
                format!(
                    "must not be more than verification.in_memory ({})",
                    verification.in_memory
                ),
            );
        }
        if verification.retry_base > verification.retry_longest {
            reader.fault(
                "verification.retry_base_seconds",
                format!(
                    "must not be more than verification.retry_longest_seconds ({})",
                    verification.retry_longest.as_secs_f64()
                ),
            );
        }
        if callbacks.under_way_per_host > callbacks.under_way {
            reader.fault(
                "callbacks.under_way_per_host",
                format!("must not be more than callbacks.under_way ({})", callbacks.under_way),
            );
        }
        if providers.connections_per_app > providers.connections {
            reader.fault(
                "providers.connections_per_app",
                format!("must not be more than providers.connections ({})", providers.connections),
            );
        }
    }

    /// The directory that holds what belongs to the server and not to the store's engine; `None` where
    /// servers keep nothing on their machines.
    #[must_use]
    pub fn data_directory(&self) -> Option<&Path> {
        match &self.store {
            Store::Embedded(store) => Some(&store.path),
            Store::Postgres(_) => None,
        }
    }
}

fn sealing_key(keys: SealingKeys, reader: &mut Reader) -> SealingKeySource {
    match (keys.key, keys.key_file) {
        (None, None) => SealingKeySource::BesideTheData,
        (None, Some(file)) => SealingKeySource::File(file),
        (Some(key), None) => SealingKeySource::Given(key),
        (Some(key), Some(_)) => {
            let file = reader.source("sealing.key_file").unwrap_or_default();
            reader.fault("sealing.key", format!("contradicts {file}: give the key or its file"));
            SealingKeySource::Given(key)
        }
    }
}

fn tls_files(choice: TlsChoice, reader: &mut Reader) -> Option<TlsFiles> {
    let check_every = choice.check_every;
    match (choice.certificate_file, choice.key_file) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key, check_every }),
        (None, None) => None,
        (Some(_), None) => {
            let message = "needs tls.key_file beside it".to_owned();
            reader.fault("tls.certificate_file", message);
            None
        }
        (None, Some(_)) => {
            let message = "needs tls.certificate_file beside it".to_owned();
            reader.fault("tls.key_file", message);
            None
        }
    }
}

fn admin_listener(place: &AdminPlace) -> Option<AdminListener> {
    place.listen.map(|listen| AdminListener { listen, tls: place.tls })
}

fn admin_token(keys: AdminKeys, reader: &mut Reader) -> AdminTokenSource {
    if keys.token.as_ref().is_some_and(|token| token.reveal().len() < ADMIN_TOKEN_CHARS) {
        let message = format!("must have at least {ADMIN_TOKEN_CHARS} characters");
        reader.fault("admin.token", message);
    }
    match (keys.token, keys.token_file) {
        (None, None) => AdminTokenSource::BesideTheData,
        (None, Some(file)) => AdminTokenSource::File(file),
        (Some(token), None) => AdminTokenSource::Given(token),
        (Some(token), Some(_)) => {
            let file = reader.source("admin.token_file").unwrap_or_default();
            reader.fault("admin.token", format!("contradicts {file}: give the token or its file"));
            AdminTokenSource::Given(token)
        }
    }
}
