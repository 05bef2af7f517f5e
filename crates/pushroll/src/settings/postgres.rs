//! The settings of the store on PostgreSQL: what each key of `[store]` means for which kind, and what else has to be
//! given then.

use std::path::Path;
use std::time::Duration;

use pushroll_domain::Secret;
use pushroll_store_postgres::{Authorities, ConnectionUrl, Tls, UrlFault};

use super::sections::{EmbeddedStore, PostgresKeys, StoreKind, TlsMode};
use super::source::Reader;
use super::table::{Section, SettingInfo};
use super::{AdminTokenSource, SealingKeySource, Settings, Store};
use crate::private_file;

/// A PostgreSQL database that several servers may share.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    /// Where it is.
    pub url: ConnectionUrl,
    /// The password, if it is not in the URL.
    pub password: Option<Secret>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// What this server is called there.
    pub node_name: String,
    /// The most connections.
    pub connections: u32,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a server's part of the work waits for it.
    pub lease: Duration,
}

/// The store of this kind.
pub(super) fn store(kind: StoreKind, reader: &mut Reader) -> Store {
    let (embedded, keys) = (EmbeddedStore::read(reader), PostgresKeys::read(reader));
    match kind {
        StoreKind::Embedded => {
            refuse(PostgresKeys::describe, "postgres", reader);
            Store::Embedded(embedded)
        }
        StoreKind::Postgres => {
            refuse(EmbeddedStore::describe, "embedded", reader);
            match postgres(keys, reader) {
                Some(store) => Store::Postgres(Box::new(store)),
                // There is a fault, so nobody sees what stands in its place.
                None => Store::Embedded(embedded),
            }
        }
    }
}

/// Settings of another kind would do nothing, and whoever gave them expects something; but for the defaults, which
/// `pushroll config show` writes out.
fn refuse(describe: fn(&mut Vec<SettingInfo>), kind: &str, reader: &mut Reader) {
    let mut others = Vec::new();
    describe(&mut others);
    for info in &others {
        let path = info.path();
        if reader.source(&path).is_some() && !reader.gives(&path, &info.default) {
            reader.fault(&path, format!("belongs to store.kind = \"{kind}\""));
        }
    }
}

fn postgres(keys: PostgresKeys, reader: &mut Reader) -> Option<PostgresStore> {
    let password = keys.password_file.as_deref().and_then(|file| password(file, reader));
    let Some(url) = keys.url else {
        let message =
            "must be given with store.kind = \"postgres\": postgres://user@host:5432/database";
        reader.fault("store.url", message.to_owned());
        return None;
    };
    let read: Result<ConnectionUrl, UrlFault> = String::from_utf8_lossy(url.reveal()).parse();
    let url = match read {
        Ok(url) => url,
        Err(fault) => {
            reader.fault("store.url", fault.to_string());
            return None;
        }
    };
    let authorities = keys.tls_ca_file.map_or(Authorities::OfTheMachine, Authorities::File);
    let tls = match (keys.tls, url.default_tls()) {
        (Some(TlsMode::Off), _) => Tls::Off,
        (Some(TlsMode::Prefer), _) => Tls::Prefer,
        (Some(TlsMode::Require), _) => Tls::Require,
        (Some(TlsMode::VerifyCa), _) => Tls::VerifyCa(authorities),
        (Some(TlsMode::VerifyFull), _) => Tls::VerifyFull(authorities),
        (None, Tls::VerifyFull(Authorities::OfTheMachine)) => Tls::VerifyFull(authorities),
        (None, Tls::VerifyCa(Authorities::OfTheMachine)) => Tls::VerifyCa(authorities),
        (None, other) => other,
    };
    Some(PostgresStore {
        url,
        password,
        tls,
        node_name: keys.node_name.unwrap_or_else(machine_name),
        connections: keys.connections,
        connect_timeout: keys.connect_timeout,
        statement_timeout: keys.statement_timeout,
        lease: keys.lease,
    })
}

fn password(file: &Path, reader: &mut Reader) -> Option<Secret> {
    let fault = match private_file::read(file) {
        Ok(password) if !password.reveal().is_empty() => return Some(password),
        Ok(_) => format!("{} is empty", file.display()),
        Err(cause) => format!("{} can't be read: {cause}", file.display()),
    };
    reader.fault("store.password_file", fault);
    None
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "pushroll".to_owned() } else { name.to_owned() }
}

/// What servers that share a database must be given, because none of them may make it for itself.
pub(super) fn check(settings: &Settings, reader: &mut Reader) {
    match settings.store {
        Store::Embedded(_) => return,
        Store::Postgres(_) => {}
    }
    let wants = |what| {
        format!(
            "must be given with store.kind = \"postgres\", or {what}: the same for every server (make one with: \
             openssl rand -base64 32)"
        )
    };
    if matches!(settings.sealing_key, SealingKeySource::BesideTheData) {
        reader.fault("sealing.key_file", wants("sealing.key"));
    }
    if matches!(settings.admin_token, AdminTokenSource::BesideTheData) {
        reader.fault("admin.token_file", wants("admin.token"));
    }
}
