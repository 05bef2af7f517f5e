//! Backups: a checkpoint of the engine, made while it is in use. Tables never change once they are
//! written, so they are linked where that can be done and copied where it can't.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use pushroll_domain::{BackUpFault, StoreError};
use rocksdb::DB;
use rocksdb::checkpoint::Checkpoint;

use crate::engine::ENGINE_DIR;

/// Makes a backup in this directory, which appears when it is whole and on stable storage.
pub(crate) fn back_up(db: &DB, directory: &Path) -> Result<(), BackUpFault> {
    let failed = |cause: io::Error| BackUpFault::Write {
        directory: directory.to_owned(),
        reason: cause.to_string(),
    };
    check_free(directory)?;
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = directory.file_name().ok_or_else(|| failed(ErrorKind::InvalidInput.into()))?;
    let draft = parent.join(format!(".{}.unfinished", name.to_string_lossy()));
    match fs::remove_dir_all(&draft) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(failed(cause)),
        Ok(()) | Err(_) => {}
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&parent).map_err(failed)?;
    DirBuilder::new().mode(0o700).create(&draft).map_err(failed)?;
    let made = checkpoint(db, directory, &draft.join(ENGINE_DIR));
    if made.is_err() {
        drop(fs::remove_dir_all(&draft));
    }
    made?;
    let moved = File::open(&draft)
        .and_then(|draft| draft.sync_all())
        .and_then(|()| fs::rename(&draft, directory))
        .and_then(|()| File::open(&parent)?.sync_all());
    moved.map_err(failed)
}

fn check_free(directory: &Path) -> Result<(), BackUpFault> {
    // A rename takes the place of an empty directory.
    let is_free = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(cause) => cause.kind() == ErrorKind::NotFound,
    };
    if is_free { Ok(()) } else { Err(BackUpFault::Taken { directory: directory.to_owned() }) }
}

fn checkpoint(db: &DB, directory: &Path, into: &Path) -> Result<(), BackUpFault> {
    let made = Checkpoint::new(db).and_then(|checkpoint| checkpoint.create_checkpoint(into));
    made.map_err(|error| match error.kind() {
        rocksdb::ErrorKind::Corruption => {
            BackUpFault::Store(StoreError::Corrupt(error.to_string()))
        }
        _ => BackUpFault::Write { directory: directory.to_owned(), reason: error.to_string() },
    })
}
