//! Where the sealing key comes from. It is made for an empty store only: a store that has been sealed
//! once starts with the key that it was sealed with, or not at all.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tracing::info;

use super::{KeyId, SealingKey, SealingKeyFault};
use crate::private_file::{self, Readable};
use crate::settings::{SealingKeySource, environment_variable};

/// The key's file in the data directory, when the settings name none. A backup of the store leaves it out.
pub const KEY_FILE: &str = "sealing.key";

/// Why there is no key to start with.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The store was sealed before, and the key's file is not there.
    #[error(
        "the sealing key is missing: the store in {} is sealed under key {wanted}, and there is no file \
         {}. Put your copy of that key there, or name its file in sealing.key_file, or give it in {}. \
         Without it the credentials in the store are lost",
        store.display(), file.display(), environment_variable("sealing.key")
    )]
    Missing {
        /// The data directory.
        store: PathBuf,
        /// The file that was looked for.
        file: PathBuf,
        /// The key that the store wants.
        wanted: KeyId,
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
    #[error("{given_in}: the sealing key {fault}")]
    NoKey {
        /// Where it was given.
        given_in: String,
        /// What is wrong.
        fault: SealingKeyFault,
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

/// Gets the key of the store in `store`, which keeps the id of the key that it was sealed under before, if
/// it ever was.
///
/// # Errors
/// When the key is missing, another, no key, or its file can't be read or made.
pub fn obtain(
    source: &SealingKeySource,
    store: &Path,
    wanted: Option<KeyId>,
) -> Result<SealingKey, KeyError> {
    let (key, given_in) = match source {
        SealingKeySource::Given(text) => {
            let given_in = "sealing.key".to_owned();
            let key = SealingKey::parse(text)
                .map_err(|fault| KeyError::NoKey { given_in: given_in.clone(), fault })?;
            (key, given_in)
        }
        SealingKeySource::File(file) => from_file(file, store, wanted)?,
        SealingKeySource::BesideTheData => from_file(&store.join(KEY_FILE), store, wanted)?,
    };
    match wanted {
        Some(wanted) if wanted != key.id() => {
            Err(KeyError::Other { store: store.to_owned(), wanted, found: key.id(), given_in })
        }
        Some(_) | None => Ok(key),
    }
}

fn from_file(
    file: &Path,
    store: &Path,
    wanted: Option<KeyId>,
) -> Result<(SealingKey, String), KeyError> {
    let given_in = file.display().to_string();
    let failed = |what, cause| KeyError::File { file: file.to_owned(), what, cause };
    match private_file::read(file) {
        Ok(text) => match SealingKey::parse(&text) {
            Ok(key) => Ok((key, given_in)),
            Err(fault) => Err(KeyError::NoKey { given_in, fault }),
        },
        Err(cause) if cause.kind() == ErrorKind::NotFound => match wanted {
            Some(wanted) => {
                Err(KeyError::Missing { store: store.to_owned(), file: file.to_owned(), wanted })
            }
            None => {
                let key = SealingKey::generate();
                let line = [key.to_text().reveal(), b"\n"].concat();
                private_file::write(file, &line, Readable::ByOwner)
                    .map_err(|cause| failed("written", cause))?;
                info!(
                    file = %file.display(),
                    key = %key.id(),
                    "sealing key made: keep a copy of this file away from the data"
                );
                Ok((key, given_in))
            }
        },
        Err(cause) => Err(failed("read", cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pushroll_domain::Secret;

    #[test]
    fn a_key_is_made_for_an_empty_store_only_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let beside = SealingKeySource::BesideTheData;
        let made = obtain(&beside, dir.path(), None).unwrap();
        let again = obtain(&beside, dir.path(), Some(made.id())).unwrap();
        assert_eq!(made.id(), again.id());
        std::fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        let fault = obtain(&beside, dir.path(), Some(made.id())).unwrap_err();
        assert!(matches!(fault, KeyError::Missing { .. }), "{fault}");
        assert!(fault.to_string().contains("sealing.key"), "{fault}");
        assert!(!dir.path().join(KEY_FILE).exists());
    }

    #[test]
    fn another_key_and_a_file_that_holds_none_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("the.key");
        let source = SealingKeySource::File(file.clone());
        obtain(&source, dir.path(), None).unwrap();
        let other = SealingKey::generate();
        let fault = obtain(&source, dir.path(), Some(other.id())).unwrap_err();
        assert!(matches!(fault, KeyError::Other { .. }), "{fault}");
        assert!(fault.to_string().contains("the.key"), "{fault}");
        std::fs::write(&file, "no key").unwrap();
        let fault = obtain(&source, dir.path(), None).unwrap_err();
        assert!(matches!(fault, KeyError::NoKey { .. }), "{fault}");
    }

    #[test]
    fn a_key_that_is_given_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let key = SealingKey::generate();
        let given = SealingKeySource::Given(key.to_text());
        assert_eq!(obtain(&given, dir.path(), None).unwrap().id(), key.id());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let wrong = SealingKeySource::Given(Secret::new(b"hunter2".to_vec()));
        let fault = obtain(&wrong, dir.path(), None).unwrap_err().to_string();
        assert!(!fault.contains("hunter2"), "{fault}");
    }
}
