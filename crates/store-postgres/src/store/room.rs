//! Room in the queue of intentions: bounded, and refused where nobody can be made to wait.

use std::sync::Arc;

use pushroll_domain::StoreError;
use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::PostgresStore;
use crate::faults::unavailable;

impl PostgresStore {
    /// Room for so many items, when there is some.
    pub(super) async fn room(
        &self,
        items: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        self.shared.db.check_open()?;
        let room = Arc::clone(&self.room).acquire_many_owned(self.weight(items)).await;
        self.show_queue();
        room.map(Some).map_err(|_| StoreError::Closed)
    }

    /// Room for so many items, if there is some at once.
    pub(super) fn room_now(
        &self,
        items: usize,
    ) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        self.shared.db.check_open()?;
        let room = match Arc::clone(&self.room).try_acquire_many_owned(self.weight(items)) {
            Ok(room) => Ok(Some(room)),
            Err(TryAcquireError::NoPermits) => {
                metrics::counter!("pushroll_store_refused_total").increment(1);
                Err(unavailable("too much is waiting to be committed"))
            }
            Err(TryAcquireError::Closed) => Err(StoreError::Closed),
        };
        self.show_queue();
        room
    }

    /// The room that an intention takes: at most all that there is.
    fn weight(&self, items: usize) -> u32 {
        let most = self.shared.db.settings.commit_queue_items.max(1);
        u32::try_from(items).unwrap_or(u32::MAX).clamp(1, most)
    }

    fn show_queue(&self) {
        let room = u64::from(self.shared.db.settings.commit_queue_items);
        let waiting = room.saturating_sub(self.room.available_permits() as u64);
        metrics::gauge!("pushroll_store_commit_queue_items").set(waiting as f64);
    }
}
