//! Status: what became of registrations that were tracked.

use std::time::Duration;

use pushroll_domain::{ApiToken, AppId, Authorization, OrgId, RegistrationId, Status, StoreError};
use thiserror::Error;

use crate::limits::{Source, Throttled};
use crate::register::retry_after;
use crate::service::Service;

/// Why a status query was not answered.
#[derive(Debug, Error)]
pub enum StatusError {
    /// The API token is not good for that app and organization.
    #[error("the API token is not good for this app and organization")]
    TokenNotGood,
    /// Too many.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The store can't answer now.
    #[error("the store can't answer now")]
    Unavailable {
        /// When to ask again.
        retry_after: Duration,
        /// Why.
        #[source]
        cause: StoreError,
    },
}

impl Service {
    /// What became of each of these registrations, in their order. Any good token of an app may ask for
    /// every tracked registration of that app.
    ///
    /// # Errors
    /// When the token is not good for the app, the caller asks too often, or the store can't answer.
    pub async fn report_status(
        &self,
        source: Source,
        org: OrgId,
        app: AppId,
        token: &ApiToken,
        ids: &[RegistrationId],
    ) -> Result<Vec<Status>, StatusError> {
        let now = self.clock.now();
        match self.directory().authorize(org, app, &token.hash(), now) {
            Authorization::Good(..) => self.limits.count_request(org, self.store.nodes())?,
            Authorization::NotGood(_) | Authorization::Unknown(_) => {
                self.count_bad_token(source)?;
                return Err(StatusError::TokenNotGood);
            }
        }
        self.store
            .statuses(app, ids, now)
            .await
            .map_err(|cause| StatusError::Unavailable { retry_after: retry_after(&cause), cause })
    }
}
