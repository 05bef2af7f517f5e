//! Dropping outcomes whose time is over: they are invisible from that time on, and their bytes go
//! when the tables that hold them are merged, at the latest a seventh of the retention later.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{Clock, Timestamp};
use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};

use crate::rows;

const NAME: &CStr = c"pushroll.drops-ended";

/// How long outcomes are kept, and what time it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// How long.
    pub(crate) retention: Duration,
    /// Now.
    pub(crate) now: Timestamp,
}

impl Kept {
    /// Whether what ended then is over.
    pub(crate) fn is_over(self, ended_at: Timestamp) -> bool {
        self.now >= ended_at.plus(self.retention)
    }
}

/// How old a table may get before it is merged, if only to drop what is over.
pub(crate) fn sweep_secs(retention: Duration) -> u64 {
    // RocksDB takes zero for "never".
    (retention.as_secs() / 7).max(60)
}

/// Makes the filters of the tables of outcomes.
pub(crate) struct DropsEnded {
    retention: Duration,
    clock: Arc<dyn Clock>,
}

impl DropsEnded {
    pub(crate) fn new(retention: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { retention, clock }
    }
}

impl CompactionFilterFactory for DropsEnded {
    type Filter = Filter;

    fn create(&mut self, _context: CompactionFilterContext) -> Filter {
        Filter(Kept { retention: self.retention, now: self.clock.now() })
    }

    fn name(&self) -> &CStr {
        NAME
    }
}

/// The filter of one merge.
pub(crate) struct Filter(Kept);

impl CompactionFilter for Filter {
    fn filter(&mut self, _level: u32, _key: &[u8], value: &[u8]) -> CompactionDecision {
        match rows::ended_at(value) {
            Ok(ended_at) if self.0.is_over(ended_at) => CompactionDecision::Remove,
            // What can't be read is kept for whoever looks into it.
            Ok(_) | Err(_) => CompactionDecision::Keep,
        }
    }

    fn name(&self) -> &CStr {
        NAME
    }
}
