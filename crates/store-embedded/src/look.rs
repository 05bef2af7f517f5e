//! A look at a store that nobody has open: nothing is written, made, cut off or locked for longer than a moment.

use std::sync::Arc;

use pushroll_domain::{Clock, Directory};
use rocksdb::{Cache, DB};

use crate::columns;
use crate::engine::{
    ENGINE_DIR, OpenError, check_columns, check_import, corrupt, fault, is_in_use, is_older,
    options,
};
use crate::files;
use crate::read;
use crate::settings::EmbeddedSettings;
use crate::shared;
use crate::store::SEALING_KEY;

/// What is in a data directory.
#[derive(Debug)]
pub enum Look {
    /// No store: the first start makes one.
    Nothing,
    /// A store that a process has open. It is the one to ask.
    InUse,
    /// A store of an older version, which the next start brings to this one's format.
    Older,
    /// A store whose last commit was broken off while it was being written, when its process or its machine died. Nobody
    /// was told that it was done; the next start cuts it off.
    BrokenOff,
    /// A store.
    Store {
        /// The configuration.
        directory: Box<Directory>,
        /// The fingerprint of the key under which secrets are sealed, if it was ever set.
        sealing_fingerprint: Option<Vec<u8>>,
    },
}

/// Looks into a data directory.
///
/// # Errors
/// When what is there can't be read.
pub fn look(settings: &EmbeddedSettings, clock: &Arc<dyn Clock>) -> Result<Look, OpenError> {
    let path = &settings.path;
    if is_in_use(path) {
        return Ok(Look::InUse);
    }
    let dir = path.join(ENGINE_DIR);
    let torn = files::check(path, &dir)?;
    if !dir.join("CURRENT").exists() {
        return Ok(Look::Nothing);
    }
    if !torn.is_empty() {
        return Ok(Look::BrokenOff);
    }
    let mut options = options(settings);
    options.create_if_missing(false);
    options.create_missing_column_families(false);
    check_columns(path, &dir, &options)?;
    if is_older(path, &dir, &options)? {
        return Ok(Look::Older);
    }
    let cache = Cache::new_lru_cache(settings.block_cache_bytes);
    let descriptors = columns::descriptors(settings, &cache, clock);
    let db = DB::open_cf_descriptors_read_only(&options, &dir, descriptors, false)
        .map_err(|e| fault(path, &e))?;
    check_import(path, &db)?;
    let unreadable = |e: pushroll_domain::StoreError| corrupt(path, e.to_string());
    let columns = shared::columns(&db).map_err(unreadable)?;
    let directory = Box::new(read::directory(&db, columns).map_err(unreadable)?);
    let meta = columns.get(columns::Column::Meta);
    let sealing_fingerprint = db.get_cf(meta, SEALING_KEY).map_err(|e| fault(path, &e))?;
    Ok(Look::Store { directory, sealing_fingerprint })
}
