//! Opening the store of either kind, and the sealing key that belongs to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::{BackUp, Store};
use pushroll_store_embedded::EmbeddedStore;
use pushroll_store_postgres::PostgresStore;
use tracing::warn;

use super::{Machine, StartError};
use crate::sealing::key_file::{self, Missing};
use crate::sealing::rotation;
use crate::sealing::{AesSealer, KeyId, KeyRing};
use crate::settings::{self, SealingKeySource, Settings};

/// A store that is open, and what belongs to it.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) sealer: Arc<AesSealer>,
    /// Who makes backups, where the store has no means of its own.
    pub(super) backup: Option<Arc<dyn BackUp>>,
}

/// Opens the store that the settings name.
pub(super) async fn open(settings: &Settings, machine: &Machine) -> Result<Opened, StartError> {
    match &settings.store {
        settings::Store::Embedded(embedded) => open_embedded(settings, embedded, machine).await,
        settings::Store::Postgres(postgres) => open_postgres(settings, postgres, machine).await,
    }
}

async fn open_embedded(
    settings: &Settings,
    embedded: &settings::EmbeddedStore,
    machine: &Machine,
) -> Result<Opened, StartError> {
    let (store_settings, clock) = (settings.embedded(embedded), Arc::clone(&machine.clock));
    // Opening reads the write-ahead log.
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(store_settings, clock));
    let store = Arc::new(opened.await.expect("opening the store does not panic")?);
    match embedded_sealer(&store, &embedded.path, &settings.sealing_key, machine).await {
        Ok(sealer) => {
            let backup = Some(Arc::clone(&store) as Arc<dyn BackUp>);
            Ok(Opened { store, sealer: Arc::new(sealer), backup })
        }
        Err(fault) => {
            store.close().await;
            Err(fault)
        }
    }
}

async fn embedded_sealer(
    store: &EmbeddedStore,
    path: &Path,
    source: &SealingKeySource,
    machine: &Machine,
) -> Result<AesSealer, StartError> {
    let kept = KeyId::all_from_kept(&store.sealing_fingerprint()?.unwrap_or_default());
    let keys = key_file::obtain(source, path, &kept, Missing::IsMade)?;
    if let Some(all) = to_note(&keys, &kept) {
        // Before anything is sealed under it.
        if kept.is_empty() {
            store.set_sealing_fingerprint(&all).await?;
        } else {
            store.begin_rotation(&all, rotation::entry(keys.newest().id(), machine)).await?;
        }
    }
    Ok(AesSealer::with(&keys))
}

async fn open_postgres(
    settings: &Settings,
    postgres: &settings::PostgresStore,
    machine: &Machine,
) -> Result<Opened, StartError> {
    let mut node = [0; 16];
    machine.random.fill(&mut node);
    let (store_settings, clock) = (settings.postgres(postgres), Arc::clone(&machine.clock));
    let store = Arc::new(PostgresStore::open(store_settings, clock, node).await?);
    let name = PathBuf::from(settings.store.to_string());
    match postgres_sealer(&store, &name, &settings.sealing_key).await {
        Ok(sealer) => Ok(Opened { store, sealer, backup: None }),
        Err(fault) => {
            store.close().await;
            Err(fault)
        }
    }
}

/// The key is given, never made: every server has the same. The first that starts decides which, and from then on the
/// store says which of the keys that are given seals: a new one does when all servers have it, and not before.
async fn postgres_sealer(
    store: &PostgresStore,
    name: &Path,
    source: &SealingKeySource,
) -> Result<Arc<AesSealer>, StartError> {
    let noted = store.sealing_fingerprint().await?;
    let kept = KeyId::all_from_kept(noted.as_deref().unwrap_or_default());
    let keys = key_file::obtain(source, name, &kept, Missing::IsAFault)?;
    if kept.is_empty() {
        // Another may have been first.
        let first = KeyId::to_keep(&[keys.newest().id()]);
        let noted = store.replace_sealing_fingerprint(noted.as_deref(), &first).await?;
        let kept = KeyId::all_from_kept(noted.as_deref().unwrap_or_default());
        key_file::obtain(source, name, &kept, Missing::IsAFault)?;
    }
    if kept.len() > 1 {
        warn!(keys = ?kept, "the change of the sealing key is not finished: run pushroll key rotate again");
    }
    let sealer = Arc::new(AesSealer::with(&keys));
    store.seal_by(Arc::clone(&sealer) as _).await?;
    Ok(sealer)
}

/// The ids that the store is to keep from now on, if they are not those that it keeps.
fn to_note(keys: &KeyRing, kept: &[KeyId]) -> Option<Vec<u8>> {
    let newest = keys.newest().id();
    let others: Vec<KeyId> = kept.iter().copied().filter(|id| *id != newest).collect();
    if !others.is_empty() {
        warn!(
            new = %newest, old = ?others,
            "the change of the sealing key is not finished: stop the server and run pushroll key rotate"
        );
    }
    let all = [&[newest], others.as_slice()].concat();
    (kept.first() != Some(&newest)).then(|| KeyId::to_keep(&all))
}
