//! Cleanup: devices that are no longer valid leave the roll, those still being verified too.

use std::time::Duration;

use pushroll_domain::{
    ApiToken, AppId, Authorization, CleanUp, OrgId, StoreError, Unknown, UserId,
};
use thiserror::Error;

use crate::limits::{Source, Throttled};
use crate::register::retry_after;
use crate::service::Service;

/// One cleanup of a request.
#[derive(Debug)]
pub struct CleanUpItem {
    /// The app.
    pub app: AppId,
    /// The API token.
    pub token: ApiToken,
    /// The user.
    pub user: UserId,
    /// The device token in the caller's writing; `None` for all devices of the user in the app.
    pub device_token: Option<String>,
}

/// Why a cleanup was not done.
#[derive(Debug, Error)]
pub enum CleanUpError {
    /// Something is not known, and `strict_tokens` is on.
    #[error("item {index}: unknown {what:?}")]
    Unknown {
        /// The item.
        index: usize,
        /// What is not known.
        what: Unknown,
    },
    /// Too many.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The store can't take it now.
    #[error("the store can't take it now")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// Why.
        #[source]
        cause: StoreError,
    },
}

impl Service {
    /// Removes devices durably. Items whose token is not good remove nothing, and say nothing.
    ///
    /// # Errors
    /// When something is unknown and `strict_tokens` is on, the caller asks too often, or the store can't
    /// take it.
    pub async fn clean_up(
        &self,
        source: Source,
        org: OrgId,
        items: Vec<CleanUpItem>,
    ) -> Result<(), CleanUpError> {
        let now = self.clock.now();
        let directory = self.directory();
        let mut good = Vec::with_capacity(items.len());
        let mut bad = 0usize;
        let mut unknown = None;
        for (index, item) in items.into_iter().enumerate() {
            match directory.authorize(org, item.app, &item.token.hash(), now) {
                Authorization::Good(..) => good.push(CleanUp {
                    app: item.app,
                    user: item.user,
                    device_token: item.device_token,
                }),
                Authorization::NotGood(_) => bad += 1,
                Authorization::Unknown(what) => {
                    bad += 1;
                    unknown.get_or_insert(CleanUpError::Unknown { index, what });
                }
            }
        }
        if bad > 0 {
            let counted = self.count_bad_token(source);
            // A request with a good token is never refused by that limit.
            if good.is_empty() {
                counted?;
            }
        }
        if let Some(unknown) = unknown.filter(|_| self.settings.strict_tokens) {
            return Err(unknown);
        }
        if good.is_empty() {
            return Ok(());
        }
        self.limits.count_request(org, self.store.nodes())?;
        let count = good.len() as u64;
        self.store.clean_up(good).await.map_err(|cause| CleanUpError::Unavailable {
            retry_after: retry_after(&cause),
            cause,
        })?;
        metrics::counter!("pushroll_cleanups_total").increment(count);
        Ok(())
    }
}
