//! Opening RocksDB: its options, the checks of what is found, and what is counted once.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pushroll_domain::{AppId, Clock, Lane, RegistrationId, StoreError};
use rocksdb::{
    Cache, DB, DBRecoveryMode, Env, IteratorMode, Options, ReadOptions, WriteBufferManager,
};
use thiserror::Error;

use crate::columns::{self, Column, Columns};
use crate::files;
use crate::group::Memory;
use crate::keys;
use crate::known::Counts;
use crate::moving;
use crate::retrying::{RetryChange, Retrying};
use crate::rows;
use crate::settings::EmbeddedSettings;
use crate::shared;

/// The format of the data directory that this version reads and writes.
const FORMAT: u32 = 3;
/// The oldest format that this version brings up to date: it lacks the rows of retries and of the
/// delivery log, and format 2 those of the audit list; and so does whoever wrote it.
const OLDEST_FORMAT: u32 = 1;
const FORMAT_KEY: &[u8] = b"format";
/// RocksDB's directory in the data directory.
pub(crate) const ENGINE_DIR: &str = "rocksdb";
/// Locked while a process uses the data directory, also while it reopens the engine.
const LOCK_FILE: &str = "pushroll.lock";
const LOG_FILES: usize = 4;
const LOG_FILE_BYTES: usize = 8 * 1024 * 1024;
/// Large merges at once.
const LARGE_MERGES: i32 = 1;
/// What may be written in a second is handed out in portions for this many microseconds.
const TABLE_RATE_PERIOD_US: i64 = 100_000;
/// One portion in so many goes to merges while memory waits to be written out.
const TABLE_RATE_FAIRNESS: i32 = 10;
/// Written in pieces of this size, tables don't fill the page cache with dirty pages that the next
/// sync of the log would have to wait for.
const SYNC_EVERY_BYTES: u64 = 1024 * 1024;

/// Why a store can't be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another pushroll; one process owns it at a time",
        path.display()
    )]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// What is there can't be right.
    #[error(
        "the store in {} is damaged: {reason}. Nothing that can be read was changed. To restore it, stop pushroll, \
         move the directory away (keep it) and put a backup in its place; what was accepted since \
         that backup is only in the directory that you keep",
        path.display()
    )]
    Corrupt {
        /// The data directory.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It was written by a newer version.
    #[error(
        "the store in {} has format {found}, and this version of pushroll knows formats up to \
         {known}; start the version that wrote it, or a newer one",
        path.display()
    )]
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this version knows.
        known: u32,
    },
    /// It belongs to a user who could not open what this process would leave in it: a server's, when root runs
    /// a command on it.
    #[error(
        "the data directory {} belongs to user {owner}, who could not open the files that this user leaves in \
         it: run this as that user (sudo -u '#{owner}' pushroll …)",
        path.display()
    )]
    OfAnotherUser {
        /// The data directory.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
    /// An import into it was broken off, or what it brought is not what was exported.
    #[error(
        "the import into the store in {} is not finished: {records} records of it are there. Run the same \
         pushroll import again, and it goes on; or remove the directory and begin anew",
        path.display()
    )]
    HalfImported {
        /// The data directory.
        path: PathBuf,
        /// How many records are in it for good.
        records: u64,
    },
    /// It can't be read or written.
    #[error("the data directory {} can't be used: {source}", path.display())]
    Io {
        /// The data directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What is counted at an opening.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Pending registrations by lane.
    pub(crate) loads: HashMap<Lane, u64>,
    /// Of the registrations that are in hand, those that are pending.
    pub(crate) still_pending: HashSet<RegistrationId>,
    /// How many are pending among their equals.
    pub(crate) equals: Counts,
    /// What the writer keeps in memory.
    pub(crate) memory: Memory,
    /// Callbacks that are kept for another attempt.
    pub(crate) retrying: Retrying,
}

/// An open engine.
pub(crate) struct Opened {
    pub(crate) db: DB,
    pub(crate) found: Found,
    /// Whether it has just been made.
    pub(crate) is_new: bool,
}

/// The lock of a data directory, for as long as this lives. It is let go by a word and not only by closing the
/// file: a process that is being forked off holds the file too, until it runs its own program.
pub(crate) struct DirectoryLock(File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing it lets go as well.
        let _ = self.0.unlock();
    }
}

/// Makes the data directory if need be and locks it.
pub(crate) fn lock(path: &Path) -> Result<DirectoryLock, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    make_directory(path).map_err(io)?;
    if let Some(owner) = owner_kept_out(path).map_err(io)?
        && !is_in_use(path)
    {
        return Err(OpenError::OfAnotherUser { path: path.to_owned(), owner });
    }
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(path.join(LOCK_FILE)).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// The owner of the directory, if what this process makes in it would be another user's.
fn owner_kept_out(path: &Path) -> io::Result<Option<u32>> {
    let owner = fs::metadata(path)?.uid();
    if fs::metadata("/proc/self").is_ok_and(|of_us| of_us.uid() == owner) {
        return Ok(None);
    }
    // Some file systems give all files to one user, whoever makes them.
    let probe = path.join(format!("pushroll.probe-{}", std::process::id()));
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&probe)?;
    let maker = made.metadata().map(|made| made.uid());
    fs::remove_file(&probe)?;
    Ok((maker? != owner).then_some(owner))
}

/// Whether a process uses this data directory now.
#[must_use]
pub fn is_in_use(path: &Path) -> bool {
    let file = OpenOptions::new().write(true).open(path.join(LOCK_FILE));
    let Ok(file) = file else { return false };
    match file.try_lock() {
        Ok(()) => {
            drop(DirectoryLock(file));
            false
        }
        Err(fault) => matches!(fault, TryLockError::WouldBlock),
    }
}

/// Makes a directory, and those above it, that is still there when the power goes: RocksDB syncs what is in
/// its directory, and not that it is there.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = path.parent().unwrap_or(Path::new(""));
    make_directory(above)?;
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    File::open(above)?.sync_all()
}

/// Opens the engine in a locked data directory. `taken` are the registrations in hand.
pub(crate) fn open(
    settings: &EmbeddedSettings,
    clock: &Arc<dyn Clock>,
    taken: &HashSet<RegistrationId>,
) -> Result<Opened, OpenError> {
    let path = &settings.path;
    let dir = path.join(ENGINE_DIR);
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    for torn in files::check(path, &dir)? {
        torn.cut_off().map_err(io)?;
    }
    make_directory(&dir).map_err(io)?;
    // Also if it is a start before that made it, and did not come to this.
    File::open(path).and_then(|data| data.sync_all()).map_err(io)?;
    let options = options(settings);
    check_columns(path, &dir, &options)?;
    let cache = Cache::new_lru_cache(settings.block_cache_bytes);
    let columns = columns::descriptors(settings, &cache, clock);
    let db = DB::open_cf_descriptors(&options, &dir, columns).map_err(|e| fault(path, &e))?;
    let is_new = check_format(path, &db)?;
    let found = count(&db, taken).map_err(|e| corrupt(path, e.to_string()))?;
    Ok(Opened { db, found, is_new })
}

pub(crate) fn options(settings: &EmbeddedSettings) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A record that can't be read is an error anywhere but where a crash cut the log off. Recycled
    // logs would blur that, so none is.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_recycle_log_file_num(0);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_max_total_wal_size(settings.wal_bytes);
    let buffers = WriteBufferManager::new_write_buffer_manager(settings.write_buffer_bytes, false);
    options.set_write_buffer_manager(&buffers);
    options.set_max_open_files(open_files(settings.max_open_files));
    options.set_max_background_jobs(i32::try_from(settings.background_jobs).unwrap_or(i32::MAX));
    // Merging everything of a kind of row takes minutes. Threads of their own do that, so that queues, whose tables
    // come every few seconds, need not wait for it.
    match Env::new() {
        Ok(mut env) => {
            env.set_bottom_priority_background_threads(LARGE_MERGES);
            options.set_env(&env);
        }
        Err(error) => tracing::warn!(%error, "large merges get no threads of their own"),
    }
    // Merges would fill the disk's queue, in which commits and look-ups then wait. The engine's own tuning of the
    // rate takes minutes to follow a burst, for which writers would have to wait.
    let rate = i64::try_from(settings.table_bytes_per_second).unwrap_or(i64::MAX);
    options.set_ratelimiter(rate, TABLE_RATE_PERIOD_US, TABLE_RATE_FAIRNESS);
    options.set_bytes_per_sync(SYNC_EVERY_BYTES);
    options.set_avoid_unnecessary_blocking_io(true);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_keep_log_file_num(LOG_FILES);
    options.set_max_log_file_size(LOG_FILE_BYTES);
    options
}

/// The engine's word for all is -1: then a look-up need not ask for each table whether it is open.
fn open_files(most: u32) -> i32 {
    if most == 0 { -1 } else { i32::try_from(most).unwrap_or(i32::MAX) }
}

/// Whether somebody may work on a store: not while it is being imported into.
pub(crate) fn check_import(path: &Path, db: &DB) -> Result<(), OpenError> {
    let unreadable = |fault: StoreError| corrupt(path, fault.to_string());
    let columns = shared::columns(db).map_err(unreadable)?;
    match moving::progress(db, columns).map_err(unreadable)? {
        Some(progress) if progress.finished_at.is_none() => {
            Err(OpenError::HalfImported { path: path.to_owned(), records: progress.records })
        }
        Some(_) | None => Ok(()),
    }
}

/// A newer version may have column families that this one does not know.
pub(crate) fn check_columns(path: &Path, dir: &Path, options: &Options) -> Result<(), OpenError> {
    if !dir.join("CURRENT").exists() {
        return Ok(());
    }
    let names = DB::list_cf(options, dir).map_err(|e| fault(path, &e))?;
    let known = |name: &str| {
        name == rocksdb::DEFAULT_COLUMN_FAMILY_NAME
            || Column::ALL.iter().any(|column| column.name() == name)
    };
    let Some(unknown) = names.iter().find(|name| !known(name)) else { return Ok(()) };
    let db = DB::open_cf_for_read_only(options, dir, [Column::Meta.name()], false)
        .map_err(|e| fault(path, &e))?;
    match format_of(path, &db)? {
        Some(found) if found > FORMAT => Err(newer(path, found)),
        Some(_) | None => Err(corrupt(path, format!("it has rows of an unknown kind: {unknown}"))),
    }
}

/// Checks the format, or writes it into a new store; whether it is new.
fn check_format(path: &Path, db: &DB) -> Result<bool, OpenError> {
    match format_of(path, db)? {
        Some(FORMAT) => Ok(false),
        Some(found) if found > FORMAT => Err(newer(path, found)),
        Some(found) if found >= OLDEST_FORMAT => {
            tracing::info!(from = found, to = FORMAT, "the store is brought to a newer format");
            write_format(path, db).map(|()| false)
        }
        Some(found) => Err(corrupt(path, format!("its format is {found}"))),
        None if db.latest_sequence_number() > 0 => {
            Err(corrupt(path, "it does not say its format".into()))
        }
        None => write_format(path, db).map(|()| true),
    }
}

fn write_format(path: &Path, db: &DB) -> Result<(), OpenError> {
    let mut options = rocksdb::WriteOptions::default();
    options.set_sync(true);
    db.put_cf_opt(meta(path, db)?, FORMAT_KEY, FORMAT.to_be_bytes(), &options)
        .map_err(|e| fault(path, &e))
}

/// Whether a store is of an older version; it is not written.
pub(crate) fn is_older(path: &Path, dir: &Path, options: &Options) -> Result<bool, OpenError> {
    let db = DB::open_cf_for_read_only(options, dir, [Column::Meta.name()], false)
        .map_err(|e| fault(path, &e))?;
    match format_of(path, &db)? {
        Some(FORMAT) => Ok(false),
        Some(found) if found > FORMAT => Err(newer(path, found)),
        Some(found) if found >= OLDEST_FORMAT => Ok(true),
        Some(_) | None => Err(corrupt(path, "it does not say a format that is known".into())),
    }
}

fn meta<'db>(path: &Path, db: &'db DB) -> Result<&'db rocksdb::ColumnFamily, OpenError> {
    db.cf_handle(Column::Meta.name())
        .ok_or_else(|| corrupt(path, "it has no rows about itself".into()))
}

fn format_of(path: &Path, db: &DB) -> Result<Option<u32>, OpenError> {
    let bytes = db.get_cf(meta(path, db)?, FORMAT_KEY).map_err(|e| fault(path, &e))?;
    let Some(bytes) = bytes else { return Ok(None) };
    match bytes.try_into() {
        Ok(number) => Ok(Some(u32::from_be_bytes(number))),
        Err(_) => Err(corrupt(path, "its format can't be read".into())),
    }
}

/// Counts what the counters in memory begin with.
fn count(db: &DB, taken: &HashSet<RegistrationId>) -> Result<Found, StoreError> {
    let columns = shared::columns(db)?;
    let mut found = Found::default();
    for_each(db, columns, Column::Pending, |key, value| {
        let row = rows::decode_pending(value)?;
        let (Some(app), Some(id)) = (keys::app_of(key), keys::id_of(key)) else {
            return Err(rows::corrupt("pending registration"));
        };
        *found.loads.entry(keys::lane_of(app, row.platform)).or_default() += 1;
        found.equals.add(&key.try_into().map_err(|_| rows::corrupt("pending registration"))?);
        if taken.contains(&id) {
            found.still_pending.insert(id);
        }
        Ok(())
    })?;
    let mut retries = Vec::new();
    for_each(db, columns, Column::Callbacks, |key, value| {
        let key = key.try_into().map_err(|_| rows::corrupt("callback"))?;
        found.memory.callbacks.added(&key);
        if keys::is_again(&key) {
            retries.push(RetryChange::Kept(app_of_callback(&key, value)?));
        }
        Ok(())
    })?;
    for_each(db, columns, Column::Retries, |key, value| {
        let (due, ..) = keys::retry_parts(key).ok_or_else(|| rows::corrupt("callback"))?;
        retries.push(RetryChange::Kept(app_of_callback(key, value)?));
        retries.push(RetryChange::PutAway(due));
        Ok(())
    })?;
    found.retrying.after_commit(&retries);
    for_each(db, columns, Column::Marks, |_, _| {
        found.memory.marks += 1;
        Ok(())
    })?;
    Ok(found)
}

fn app_of_callback(key: &[u8], value: &[u8]) -> Result<AppId, StoreError> {
    let id = keys::id_of(key).ok_or_else(|| rows::corrupt("callback"))?;
    rows::decode_delivery(id, value).map(|delivery| delivery.app)
}

/// Blocks are read ahead in pieces of this size at the scan of an opening.
const READAHEAD_BYTES: usize = 2 * 1024 * 1024;

fn for_each(
    db: &DB,
    columns: Columns<'_>,
    column: Column,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options.fill_cache(false);
    options.set_readahead_size(READAHEAD_BYTES);
    let rows = db.iterator_cf_opt(columns.get(column), options, IteratorMode::Start);
    for row in rows {
        let (key, value) = row.map_err(|e| StoreError::Corrupt(e.to_string()))?;
        visit(&key, &value)?;
    }
    Ok(())
}

pub(crate) fn fault(path: &Path, error: &rocksdb::Error) -> OpenError {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => corrupt(path, error.to_string()),
        _ => OpenError::Io { path: path.to_owned(), source: io::Error::other(error.to_string()) },
    }
}

pub(crate) fn corrupt(path: &Path, reason: String) -> OpenError {
    OpenError::Corrupt { path: path.to_owned(), reason }
}

fn newer(path: &Path, found: u32) -> OpenError {
    OpenError::NewerFormat { path: path.to_owned(), found, known: FORMAT }
}
