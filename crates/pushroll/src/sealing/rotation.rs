//! Sealing everything anew under a new key.
//!
//! Both keys are known until nothing is under the old one any more, so it can be broken off anywhere, and
//! the next time goes on: the key's file holds both keys before the store says so, the store says so before
//! anything is sealed anew, and the old key goes when all is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::{
    Actor, App, AppId, AuditAction, AuditEntry, CallbackOrder, IdSequence, OrgId, StoreError,
};
use pushroll_engine::{app_sealed_anew, order_sealed_anew};
use pushroll_store_embedded::{EmbeddedStore, Reseal};
use thiserror::Error;

use super::key_file::{self, KeyError, Missing};
use super::{AesSealer, KeyId, KeyRing, SealingKey};
use crate::server::Machine;
use crate::settings::SealingKeySource;

/// What was done.
#[derive(Debug)]
pub struct Rotated {
    /// The key that everything is sealed under now.
    pub key: KeyId,
    /// Those that nothing is sealed under any more.
    pub retired: Vec<KeyId>,
    /// Rows that were sealed anew.
    pub rows: u64,
    /// Whether a rotation was finished that had been begun before.
    pub was_begun: bool,
    /// Where the new key is, and where the retired ones were put; `None` if the settings hold the keys.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// Why it was not done. Whatever was done by then does no harm.
#[derive(Debug, Error)]
pub enum RotateError {
    /// There is no key, or the wrong one.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store can't be read or written, or something in it does not open.
    #[error("the store can't be used: {0}")]
    Store(#[from] StoreError),
    /// The settings hold the key, and only their owner can change it.
    #[error(
        "the key is given in the settings: put a new one before it in sealing.key, with a space between \
         (make one with: openssl rand -base64 32), and run this again; then take the old one out"
    )]
    Given,
}

/// Seals everything in the store anew. Nobody else may use the store meanwhile.
///
/// # Errors
/// When a key is missing, the store can't be used, or the new key has to come from the settings.
pub async fn rotate(
    store: &EmbeddedStore,
    data: &Path,
    source: &SealingKeySource,
) -> Result<Rotated, RotateError> {
    let kept = KeyId::all_from_kept(&store.sealing_fingerprint()?.unwrap_or_default());
    let before = key_file::obtain(source, data, &kept, Missing::IsMade)?;
    let file = key_file::file_of(source, data);
    let was_begun = !before.others().is_empty();
    let keys = match &file {
        _ if was_begun => before,
        None => return Err(RotateError::Given),
        Some(file) => {
            let keys = KeyRing::of(SealingKey::generate(), vec![before.newest().clone()]);
            key_file::write(file, &keys)?;
            keys
        }
    };
    let newest = keys.newest().id();
    let others: Vec<KeyId> = keys.others().iter().map(SealingKey::id).collect();
    let both = [&[newest], others.as_slice()].concat();
    if kept.first() == Some(&newest) {
        // It was noted when it was begun.
        store.set_sealing_fingerprint(&KeyId::to_keep(&both)).await?;
    } else {
        let entry = entry(newest, &Machine::default());
        store.begin_rotation(&KeyId::to_keep(&both), entry).await?;
    }
    let rows = store.seal_anew(Arc::new(Anew(AesSealer::with(&keys)))).await?;
    store.set_sealing_fingerprint(&KeyId::to_keep(&[newest])).await?;
    let files = file.map(|file| retire(file, &keys)).transpose()?;
    Ok(Rotated { key: newest, retired: others, rows, was_begun, files })
}

/// What the audit list is told when it is begun to seal under another key than before.
pub(crate) fn entry(newest: KeyId, machine: &Machine) -> AuditEntry {
    let now = machine.clock.now();
    AuditEntry {
        id: IdSequence::new().audit(now, machine.random.u64()),
        at: now,
        actor: Actor::at_the_machine(),
        action: AuditAction::SealingKeyRotated,
        org: None,
        app: None,
        token: None,
        name: newest.to_string(),
        fields: Vec::new(),
    }
}

/// Leaves the new key alone in its file, and the others in one beside it: backups are under them.
fn retire(file: PathBuf, keys: &KeyRing) -> Result<(PathBuf, PathBuf), KeyError> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".before-{}", keys.newest().id()));
    let old = file.with_file_name(name);
    if let Some((first, rest)) = keys.others().split_first() {
        key_file::write(&old, &KeyRing::of(first.clone(), rest.to_vec()))?;
    }
    key_file::write(&file, &KeyRing::of(keys.newest().clone(), Vec::new()))?;
    Ok((file, old))
}

/// Opens under whichever key, and seals under the newest.
struct Anew(AesSealer);

impl Reseal for Anew {
    fn app(&self, app: &App) -> Result<App, String> {
        app_sealed_anew(app, &self.0).map_err(|fault| fault.to_string())
    }

    fn order(
        &self,
        org: OrgId,
        app: AppId,
        order: &CallbackOrder,
    ) -> Result<CallbackOrder, String> {
        order_sealed_anew(org, app, order, &self.0).map_err(|fault| fault.to_string())
    }
}
