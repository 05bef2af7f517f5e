//! What the writer counts for every commit. The handles are kept, so that counting looks nothing up.

use metrics::{Gauge, Histogram};

pub(crate) struct Meters {
    /// Items of one commit.
    pub(crate) items: Histogram,
    /// How long the changes of a group took to be collected.
    pub(crate) prepare: Histogram,
    /// How long they took to be written and synced.
    pub(crate) write: Histogram,
    /// Items that wait for a commit.
    pub(crate) queue: Gauge,
    /// Callbacks that wait to be made.
    pub(crate) callbacks: Gauge,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            items: metrics::histogram!("pushroll_store_commit_items"),
            prepare: metrics::histogram!("pushroll_store_commit_prepare_seconds"),
            write: metrics::histogram!("pushroll_store_commit_write_seconds"),
            queue: metrics::gauge!("pushroll_store_commit_queue_items"),
            callbacks: metrics::gauge!("pushroll_store_callbacks_waiting"),
        }
    }
}
