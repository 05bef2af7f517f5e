//! The column families, one for each kind of row, and how each is tuned.

use std::sync::Arc;

use pushroll_domain::Clock;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, BlockBasedTablePinningTier, Cache, ColumnFamily,
    ColumnFamilyDescriptor, DB, DBCompactionStyle, DBCompressionType, Options, SliceTransform,
    UniversalCompactOptions,
};

use crate::keys::USER_PREFIX;
use crate::retention::{self, DropsEnded};
use crate::settings::EmbeddedSettings;

/// A kind of row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// The format's version, the fingerprint of the sealing key.
    Meta,
    /// Organizations, apps, API tokens.
    Config,
    /// Registrations, in the order in which a lane verifies them.
    Queue,
    /// What of a registration has to be known by user and token while it is pending.
    Pending,
    /// Cleanups that may cover pending registrations.
    Marks,
    /// Registrations that have ended, by id.
    Outcomes,
    /// Which registrations of a user have an outcome.
    History,
    /// Devices.
    Devices,
    /// Callbacks to be made, by host.
    Callbacks,
    /// Callbacks that were attempted and are kept for another attempt, by the time of it.
    Retries,
    /// The log of what became of each app's callbacks.
    Deliveries,
    /// Who changed the configuration.
    Audit,
}

impl Column {
    pub(crate) const ALL: [Self; 12] = [
        Self::Meta,
        Self::Config,
        Self::Queue,
        Self::Pending,
        Self::Marks,
        Self::Outcomes,
        Self::History,
        Self::Devices,
        Self::Callbacks,
        Self::Retries,
        Self::Deliveries,
        Self::Audit,
    ];

    /// The name of the column family, part of the format.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Config => "config",
            Self::Queue => "queue",
            Self::Pending => "pending",
            Self::Marks => "marks",
            Self::Outcomes => "outcomes",
            Self::History => "history",
            Self::Devices => "devices",
            Self::Callbacks => "callbacks",
            Self::Retries => "retries",
            Self::Deliveries => "deliveries",
            Self::Audit => "audit",
        }
    }

    /// Whether keys begin with app and user.
    const fn by_user(self) -> bool {
        match self {
            Self::Pending | Self::Marks | Self::History | Self::Devices => true,
            Self::Meta
            | Self::Config
            | Self::Queue
            | Self::Outcomes
            | Self::Callbacks
            | Self::Retries
            | Self::Deliveries
            | Self::Audit => false,
        }
    }

    /// Whether rows come in no order of their keys, so that each new one lies somewhere among all the others.
    const fn is_scattered(self) -> bool {
        matches!(self, Self::Devices | Self::History)
    }

    /// Whether anybody asks for a row by its key or prefix; the others are only read along, from some place on.
    const fn is_asked_by_key(self) -> bool {
        !matches!(self, Self::Queue | Self::History)
    }

    /// Whether rows are written to be deleted soon.
    const fn is_queue(self) -> bool {
        match self {
            Self::Queue | Self::Pending | Self::Marks | Self::Callbacks | Self::Retries => true,
            Self::Meta
            | Self::Config
            | Self::Outcomes
            | Self::History
            | Self::Devices
            | Self::Deliveries
            | Self::Audit => false,
        }
    }
}

/// The handles of an open database.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'db> {
    handles: [&'db ColumnFamily; Column::ALL.len()],
}

impl<'db> Columns<'db> {
    /// The handles; `None` if a column family is missing.
    pub(crate) fn of(db: &'db DB) -> Option<Self> {
        let first = db.cf_handle(Column::ALL[0].name())?;
        let mut handles = [first; Column::ALL.len()];
        for column in Column::ALL {
            handles[column as usize] = db.cf_handle(column.name())?;
        }
        Some(Self { handles })
    }

    pub(crate) fn get(&self, column: Column) -> &'db ColumnFamily {
        self.handles[column as usize]
    }
}

/// Bits of Bloom filter for each key or user: one in a hundred absent keys costs a read.
const BLOOM_BITS: f64 = 10.0;
/// Devices and outcomes are found by one key or a short range; larger blocks keep the index small.
const BLOCK_BYTES: usize = 16 * 1024;
/// The part of a memtable that is a Bloom filter of its prefixes and keys.
const MEMTABLE_BLOOM: f64 = 0.05;
const TABLE_BYTES: u64 = 64 * 1024 * 1024;
/// All of a run of scattered rows is merged at once, so that larger tables cost nothing, and there are fewer of them.
const SCATTERED_TABLE_BYTES: u64 = 256 * 1024 * 1024;
/// A table file in which this many of as many rows in a row are deletions is merged soon, so
/// that scans of a queue don't wade through what is done.
const DELETION_WINDOW: usize = 4096;
const DELETION_TRIGGER: usize = 2048;
/// Tables of a queue that gather before they are merged: most of their rows are gone by then. Fewer than
/// those from which on the engine slows writes down (20).
const QUEUE_TABLES: i32 = 10;
/// Tables of scattered rows that gather before some are merged. A look-up of a new user asks the filter of
/// each, and an old user's reads a block of those that have him.
const SCATTERED_TABLES: i32 = 8;
/// How much of the oldest and largest table of scattered rows all others together may come to, in percent,
/// before everything is merged into one: what was deleted or replaced takes no more than this on the disk.
const SCATTERED_YOUNGER_PERCENT: i32 = 100;
/// By how much, in percent, a table may be larger than those before it together to be merged with them.
const SCATTERED_RATIO_PERCENT: i32 = 20;
/// The memtables of one kind of row before it is written out, as a part of all write buffers.
const BUFFER_SHARE: usize = 4;

/// The options of all column families, which share this cache.
pub(crate) fn descriptors(
    settings: &EmbeddedSettings,
    cache: &Cache,
    clock: &Arc<dyn Clock>,
) -> Vec<ColumnFamilyDescriptor> {
    let of_kind = |column: Column| {
        ColumnFamilyDescriptor::new(column.name(), options(column, settings, cache, clock))
    };
    Column::ALL.into_iter().map(of_kind).collect()
}

fn options(
    column: Column,
    settings: &EmbeddedSettings,
    cache: &Cache,
    clock: &Arc<dyn Clock>,
) -> Options {
    let mut options = Options::default();
    // What is deleted soon is hashes and tokens for the most part, and is not worth the work.
    let compression =
        if column.is_queue() { DBCompressionType::None } else { DBCompressionType::Lz4 };
    options.set_compression_type(compression);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_target_file_size_base(TABLE_BYTES);
    options.set_write_buffer_size(settings.write_buffer_bytes / BUFFER_SHARE);
    options.set_block_based_table_factory(&tables(column, cache));
    if column.is_asked_by_key() {
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_BLOOM);
    }
    if column.by_user() {
        options.set_prefix_extractor(SliceTransform::create_fixed_prefix(USER_PREFIX));
    }
    if column.is_queue() {
        options.set_level_zero_file_num_compaction_trigger(QUEUE_TABLES);
        options.add_compact_on_deletion_collector_factory(DELETION_WINDOW, DELETION_TRIGGER, 0.0);
    }
    if column.is_scattered() {
        // Level by level, each table that is written out would be merged with rows from everywhere, some
        // ten bytes for each of its own and level. Here tables are merged with others of their size.
        let mut universal = UniversalCompactOptions::default();
        universal.set_size_ratio(SCATTERED_RATIO_PERCENT);
        universal.set_max_size_amplification_percent(SCATTERED_YOUNGER_PERCENT);
        options.set_compaction_style(DBCompactionStyle::Universal);
        options.set_universal_compaction_options(&universal);
        options.set_level_zero_file_num_compaction_trigger(SCATTERED_TABLES);
        options.set_target_file_size_base(SCATTERED_TABLE_BYTES);
    }
    if matches!(column, Column::Outcomes | Column::History | Column::Deliveries) {
        let filter = DropsEnded::new(settings.outcome_retention, Arc::clone(clock));
        options.set_compaction_filter_factory(filter);
        options.set_periodic_compaction_seconds(retention::sweep_secs(settings.outcome_retention));
    }
    options
}

fn tables(column: Column, cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(BLOCK_BYTES);
    tables.set_format_version(6);
    if column.is_asked_by_key() {
        tables.set_bloom_filter(BLOOM_BITS, false);
    }
    tables.set_optimize_filters_for_memory(true);
    // Whether a device is new is asked together with how many devices its user has: a question
    // about the prefix. The filter then holds users, not devices.
    tables.set_whole_key_filtering(column != Column::Devices);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_cache_index_and_filter_blocks_with_high_priority(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // Indexes and filters of a big table are read in parts; their top level stays in memory.
    tables.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    tables.set_metadata_block_size(4096);
    tables.set_top_level_index_pinning_tier(BlockBasedTablePinningTier::All);
    // But each registration asks the filters of all tables that devices are in: found in parts, in the cache, these took
    // most of its time with 50 million devices. So they stay in memory, whole: 1.25 bytes for each user.
    tables.set_partition_filters(column != Column::Devices);
    if column == Column::Devices {
        tables.set_unpartitioned_pinning_tier(BlockBasedTablePinningTier::All);
    }
    tables
}
