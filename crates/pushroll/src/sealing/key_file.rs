//! Where the sealing key comes from. It is made for an empty store only: a store that has been sealed
//! once starts with the key that it was sealed with, or not at all.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tracing::info;

use super::{KeyId, KeyRing, KeyRingFault, SealingKey};
use crate::private_file::{self, Readable};
use crate::settings::{SealingKeySource, environment_variable};

/// The key's file in the data directory, when the settings name none. A backup of the store leaves it out.
pub const KEY_FILE: &str = "sealing.key";

/// Why there is no key to start with.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The store was sealed before, and the key's file is not there.
    #[error(
        "the sealing key is missing: the store in {} is sealed under key {}, and there is no file \
         {}. Put your copy of that key there, or name its file in sealing.key_file, or give it in {}. \
         Without it the credentials in the store are lost",
        store.display(), listed(wanted), file.display(), environment_variable("sealing.key")
    )]
    Missing {
        /// The data directory.
        store: PathBuf,
        /// The file that was looked for.
        file: PathBuf,
        /// The keys that the store wants.
        wanted: Vec<KeyId>,
    },
    /// The store was sealed under another key.
    #[error(
        "this is not the sealing key of the store in {}: it is sealed under key {wanted}, and {given_in} \
         holds key {found}. Put the right key there",
        store.display()
    )]
    Other {
        /// The data directory.
        store: PathBuf,
        /// The key that the store wants.
        wanted: KeyId,
        /// The key that was given.
        found: KeyId,
        /// Where it was given.
        given_in: String,
    },
    /// What was given is no key.
    #[error("{given_in}: {fault}")]
    NoKey {
        /// Where it was given.
        given_in: String,
        /// What is wrong.
        fault: KeyRingFault,
    },
    /// The file can't be read or made.
    #[error("the sealing key's file {} can't be {what}: {cause}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
}

fn listed(ids: &[KeyId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(" and key ")
}

/// The file of a source; `None` if the key itself is given.
#[must_use]
pub fn file_of(source: &SealingKeySource, store: &Path) -> Option<PathBuf> {
    match source {
        SealingKeySource::Given(_) => None,
        SealingKeySource::File(file) => Some(file.clone()),
        SealingKeySource::BesideTheData => Some(store.join(KEY_FILE)),
    }
}

/// What becomes of a key whose file is not there, where no store is sealed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is made.
    IsMade,
    /// It is a fault: several servers are given the same.
    IsAFault,
}

/// Gets the keys of the store in `store`, which keeps the ids of those that it was sealed under before, if
/// it ever was. All of them have to be there; there may be more, and a newer one.
///
/// # Errors
/// When a key is missing, another, no key, or its file can't be read or made.
pub fn obtain(
    source: &SealingKeySource,
    store: &Path,
    wanted: &[KeyId],
    missing: Missing,
) -> Result<KeyRing, KeyError> {
    let (keys, given_in) = match source {
        SealingKeySource::Given(text) => {
            let given_in = "sealing.key".to_owned();
            let keys = KeyRing::parse(text)
                .map_err(|fault| KeyError::NoKey { given_in: given_in.clone(), fault })?;
            (keys, given_in)
        }
        SealingKeySource::File(file) => from_file(file, store, wanted, missing)?,
        SealingKeySource::BesideTheData => {
            from_file(&store.join(KEY_FILE), store, wanted, missing)?
        }
    };
    match wanted.iter().copied().find(|wanted| !keys.has(*wanted)) {
        Some(wanted) => Err(KeyError::Other {
            store: store.to_owned(),
            wanted,
            found: keys.newest().id(),
            given_in,
        }),
        None => Ok(keys),
    }
}

fn from_file(
    file: &Path,
    store: &Path,
    wanted: &[KeyId],
    missing: Missing,
) -> Result<(KeyRing, String), KeyError> {
    let given_in = file.display().to_string();
    match private_file::read(file) {
        Ok(text) => match KeyRing::parse(&text) {
            Ok(keys) => Ok((keys, given_in)),
            Err(fault) => Err(KeyError::NoKey { given_in, fault }),
        },
        Err(cause) if cause.kind() == ErrorKind::NotFound && !wanted.is_empty() => {
            let wanted = wanted.to_vec();
            Err(KeyError::Missing { store: store.to_owned(), file: file.to_owned(), wanted })
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound && missing == Missing::IsMade => {
            let keys = KeyRing::of(SealingKey::generate(), Vec::new());
            write(file, &keys)?;
            info!(
                file = %file.display(),
                key = %keys.newest().id(),
                "sealing key made: keep a copy of this file away from the data"
            );
            Ok((keys, given_in))
        }
        Err(cause) => Err(KeyError::File { file: file.to_owned(), what: "read", cause }),
    }
}

/// Writes a file with these keys: whoever reads it finds what was there before, or all of them.
///
/// # Errors
/// When it can't be written.
pub fn write(file: &Path, keys: &KeyRing) -> Result<(), KeyError> {
    private_file::write(file, keys.to_text().reveal(), Readable::ByOwner)
        .map_err(|cause| KeyError::File { file: file.to_owned(), what: "written", cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushroll_domain::Secret;

    #[test]
    fn a_key_is_made_for_an_empty_store_only_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let beside = SealingKeySource::BesideTheData;
        let made = obtain(&beside, dir.path(), &[], Missing::IsMade).unwrap();
        let again = obtain(&beside, dir.path(), &[made.newest().id()], Missing::IsMade).unwrap();
        assert_eq!(made.newest().id(), again.newest().id());
        std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        let fault =
            obtain(&beside, dir.path(), &[made.newest().id()], Missing::IsMade).unwrap_err();
        assert!(matches!(fault, KeyError::Missing { .. }), "{fault}");
        assert!(fault.to_string().contains("sealing.key"), "{fault}");
        assert!(!dir.path().join(KEY_FILE).exists());
    }

    #[test]
    fn another_key_and_a_file_that_holds_none_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("the.key");
        let source = SealingKeySource::File(file.clone());
        obtain(&source, dir.path(), &[], Missing::IsMade).unwrap();
        let other = SealingKey::generate();
        let fault = obtain(&source, dir.path(), &[other.id()], Missing::IsMade).unwrap_err();
        assert!(matches!(fault, KeyError::Other { .. }), "{fault}");
        assert!(fault.to_string().contains("the.key"), "{fault}");
        std::fs::write(&file, "no key").unwrap();
        let fault = obtain(&source, dir.path(), &[], Missing::IsMade).unwrap_err();
        assert!(matches!(fault, KeyError::NoKey { .. }), "{fault}");
    }

    #[test]
    fn while_a_rotation_lasts_both_keys_have_to_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("the.key");
        let source = SealingKeySource::File(file.clone());
        let (new, old) = (SealingKey::generate(), SealingKey::generate());
        let both = [new.id(), old.id()];
        write(&file, &KeyRing::of(new.clone(), vec![old.clone()])).unwrap();
        assert_eq!(
            obtain(&source, dir.path(), &both, Missing::IsMade).unwrap().newest().id(),
            new.id()
        );
        assert!(
            obtain(&source, dir.path(), &[old.id()], Missing::IsMade).is_ok(),
            "before it began"
        );
        assert!(
            obtain(&source, dir.path(), &[new.id()], Missing::IsMade).is_ok(),
            "when it is through"
        );
        write(&file, &KeyRing::of(new, Vec::new())).unwrap();
        let fault = obtain(&source, dir.path(), &both, Missing::IsMade).unwrap_err();
        let names_it = fault.to_string().contains(&old.id().to_string());
        assert!(matches!(fault, KeyError::Other { .. }) && names_it, "{fault}");
    }

    #[test]
    fn a_key_that_is_given_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let key = SealingKey::generate();
        let given = SealingKeySource::Given(key.to_text());
        assert_eq!(
            obtain(&given, dir.path(), &[], Missing::IsMade).unwrap().newest().id(),
            key.id()
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let wrong = SealingKeySource::Given(Secret::new(b"hunter2".to_vec()));
        let fault = obtain(&wrong, dir.path(), &[], Missing::IsMade).unwrap_err().to_string();
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}
