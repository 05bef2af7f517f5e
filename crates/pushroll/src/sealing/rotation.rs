//! Sealing everything anew under a new key.
//!
//! Both keys are known until nothing is under the old one any more, so it can be broken off anywhere, and
//! the next time goes on: the key's file holds both keys before the store says so, the store says so before
//! anything is sealed anew, and the old key goes when all is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pushroll_domain::{Actor, AuditAction, AuditEntry, IdSequence, StoreError};
use pushroll_store_embedded::EmbeddedStore;
use pushroll_store_postgres::Upkeep;
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

/// How long the servers may take to follow. A server that has died is forgotten within a minute.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

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
    /// Servers that share a database have to be given the new key first.
    #[error(
        "there is one key only: put a new one before it (make one with: openssl rand -base64 32), both in sealing.key \
         with a space between or in the key's file one a line, the same on every server; start the servers again, one \
         after the other, and run this again. They seal under the old key until then"
    )]
    GivenToAll,
    /// A server does not have the new key.
    #[error(
        "key {key} is not known to {}: give every server both keys and start it again; then run this again. A server \
         that died is forgotten after a minute",
        servers.join(", ")
    )]
    NotGivenTo {
        /// The new key.
        key: KeyId,
        /// Their names.
        servers: Vec<String>,
    },
    /// A server goes on sealing under the old key.
    #[error(
        "{} did not follow to key {key}: see its log, start it again with both keys, and run this again",
        servers.join(", ")
    )]
    NotFollowedBy {
        /// The new key.
        key: KeyId,
        /// Their names.
        servers: Vec<String>,
    },
    /// Somebody else changes the keys at the same time.
    #[error("another pushroll key rotate is at work: run this again when it has ended")]
    AnotherRotates,
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
    let rows = store.seal_anew(Arc::new(AesSealer::with(&keys))).await?;
    store.set_sealing_fingerprint(&KeyId::to_keep(&[newest])).await?;
    let files = file.map(|file| retire(file, &keys)).transpose()?;
    Ok(Rotated { key: newest, retired: others, rows, was_begun, files })
}

/// Seals everything in a database anew, under the newest of the keys that all servers were given. They go on meanwhile.
///
/// The store notes that the new key seals, and every server follows and says so; then what is under another key is
/// sealed anew, over and over until nothing is left; then the store notes the new key alone.
///
/// # Errors
/// When a key is missing, a server does not have the new key, or the database can't be used.
pub async fn rotate_together(
    upkeep: &Upkeep,
    name: &Path,
    source: &SealingKeySource,
) -> Result<Rotated, RotateError> {
    let noted = upkeep.sealing_fingerprint().await?;
    let kept = KeyId::all_from_kept(noted.as_deref().unwrap_or_default());
    let keys = key_file::obtain(source, name, &kept, Missing::IsAFault)?;
    let newest = keys.newest().id();
    let others: Vec<KeyId> = keys.others().iter().map(SealingKey::id).collect();
    if others.is_empty() {
        return Err(RotateError::GivenToAll);
    }
    let was_begun = kept.first() == Some(&newest);
    if !was_begun {
        let without = servers_that(upkeep, |keys| !keys.contains(&newest)).await?;
        if !without.is_empty() {
            return Err(RotateError::NotGivenTo { key: newest, servers: without });
        }
        let before = kept.iter().copied().filter(|id| *id != newest);
        let both: Vec<KeyId> = std::iter::once(newest).chain(before).collect();
        let entry = entry(newest, &Machine::default());
        note(upkeep, noted.as_deref(), &both, Some(&entry)).await?;
    }
    followed_by_all(upkeep, newest).await?;
    let sealer = AesSealer::with(&keys);
    let mut rows = 0;
    loop {
        let sealed = upkeep.seal_anew(&sealer).await?;
        rows += sealed;
        if sealed == 0 {
            break;
        }
    }
    // Whoever has come since is one of them.
    followed_by_all(upkeep, newest).await?;
    let noted = upkeep.sealing_fingerprint().await?;
    note(upkeep, noted.as_deref(), &[newest], None).await?;
    Ok(Rotated { key: newest, retired: others, rows, was_begun, files: None })
}

async fn note(
    upkeep: &Upkeep,
    before: Option<&[u8]>,
    keys: &[KeyId],
    entry: Option<&AuditEntry>,
) -> Result<(), RotateError> {
    let keys = KeyId::to_keep(keys);
    let there = upkeep.replace_sealing_fingerprint(before, &keys, entry).await?;
    if there.as_deref() == Some(&*keys) { Ok(()) } else { Err(RotateError::AnotherRotates) }
}

/// The names of the live servers whose keys are like this.
async fn servers_that(
    upkeep: &Upkeep,
    is_so: impl Fn(&[KeyId]) -> bool,
) -> Result<Vec<String>, RotateError> {
    let nodes = upkeep.live_nodes().await?;
    let those = nodes.into_iter().filter(|node| is_so(&KeyId::all_from_kept(&node.keys)));
    Ok(those.map(|node| node.name).collect())
}

/// Waits until every live server seals under this key alone.
async fn followed_by_all(upkeep: &Upkeep, key: KeyId) -> Result<(), RotateError> {
    let begun = Instant::now();
    loop {
        let others = servers_that(upkeep, |keys| keys.first() != Some(&key)).await?;
        if others.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            return Err(RotateError::NotFollowedBy { key, servers: others });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
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
