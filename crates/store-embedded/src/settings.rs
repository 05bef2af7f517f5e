//! Every limit of the store, with its unit and its default.

use std::path::PathBuf;
use std::time::Duration;

const MIB: usize = 1024 * 1024;

/// How the embedded store is set up. Only [`EmbeddedSettings::path`] has no default.
#[derive(Debug, Clone)]
pub struct EmbeddedSettings {
    /// The data directory; made if it is missing, and owned by one process.
    pub path: PathBuf,
    /// Memory for blocks read from tables, their indexes and Bloom filters among them, in bytes.
    /// Grows with use up to this. Default 256 MiB.
    pub block_cache_bytes: usize,
    /// Memory for what is committed and not yet written to tables, in bytes. Default 64 MiB.
    pub write_buffer_bytes: usize,
    /// The longest write-ahead log, in bytes: what is read again at a start after a crash. Default
    /// 256 MiB.
    pub wal_bytes: u64,
    /// How many bytes of the write-ahead log are written with zeros before they are needed, since a
    /// sync takes half of the time then. Default 1 MiB; 0 for none.
    pub wal_ahead_bytes: usize,
    /// The most table files held open; 0 for all that there are, with which look-ups are fastest. Default 0.
    pub max_open_files: u32,
    /// Threads that write and merge tables in the background. Default 2.
    pub background_jobs: u32,
    /// The most bytes that are written to tables in a second, from memory or by merging; the log is not
    /// counted. Default 128 MiB.
    pub table_bytes_per_second: u64,
    /// The most items (registrations, finishes, …) that may wait for a commit; accepting more is
    /// refused at once, everything else waits. Default 65,536.
    pub commit_queue_items: u32,
    /// The most items in one commit, unless a single intention has more. Default 4,096.
    pub commit_max_items: u32,
    /// The most bytes in one commit, unless a single intention has more. Default 8 MiB.
    pub commit_max_bytes: usize,
    /// How long outcomes are kept. Default 7 days.
    pub outcome_retention: Duration,
    /// How many attempts of each app's callbacks its delivery log keeps, for as long as outcomes are
    /// kept. Default 10,000.
    pub deliveries_logged: u64,
    /// How many changes of the configuration the audit list keeps. Default 10,000.
    pub audit_entries: u64,
    /// The wait before the first try to reopen after a failed write; doubled from try to try.
    /// Default 100 ms.
    pub reopen_first_wait: Duration,
    /// The longest wait between tries to reopen. Default 10 s.
    pub reopen_longest_wait: Duration,
}

impl EmbeddedSettings {
    /// The defaults, in this data directory.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            block_cache_bytes: 256 * MIB,
            write_buffer_bytes: 64 * MIB,
            wal_bytes: 256 * MIB as u64,
            wal_ahead_bytes: MIB,
            max_open_files: 0,
            background_jobs: 2,
            table_bytes_per_second: 128 * MIB as u64,
            commit_queue_items: 65_536,
            commit_max_items: 4_096,
            commit_max_bytes: 8 * MIB,
            outcome_retention: Duration::from_secs(7 * 24 * 3600),
            deliveries_logged: 10_000,
            audit_entries: 10_000,
            reopen_first_wait: Duration::from_millis(100),
            reopen_longest_wait: Duration::from_secs(10),
        }
    }
}
