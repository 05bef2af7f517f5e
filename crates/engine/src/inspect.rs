//! What operators ask: which devices has this user, and what happened to his registrations.

use pushroll_domain::{
    AppId, DeliveryRecord, Device, Page, PageRequest, RegistrationId, RegistrationView, StoreError,
    UserId,
};
use thiserror::Error;

use crate::service::Service;

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum InspectError {
    /// The store can't answer now.
    #[error("the store can't answer now")]
    Unavailable(#[from] StoreError),
}

impl Service {
    /// The devices of a user in an app.
    ///
    /// # Errors
    /// When the store can't answer.
    pub async fn devices_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<Device>, InspectError> {
        Ok(self.store.devices_of_user(app, user, page).await?)
    }

    /// All devices of an app, those of a user together.
    ///
    /// # Errors
    /// When the store can't answer.
    pub async fn devices_of_app(
        &self,
        app: AppId,
        page: PageRequest,
    ) -> Result<Page<Device>, InspectError> {
        Ok(self.store.devices_of_app(app, page).await?)
    }

    /// The registrations of a user in an app that are pending, failed or tracked, newest first.
    ///
    /// # Errors
    /// When the store can't answer.
    pub async fn registrations_of_user(
        &self,
        app: AppId,
        user: &UserId,
        page: PageRequest,
    ) -> Result<Page<RegistrationView>, InspectError> {
        Ok(self.store.registrations_of_user(app, user, page, self.clock.now()).await?)
    }

    /// What became of an app's callbacks, newest first.
    ///
    /// # Errors
    /// When the store can't answer.
    pub async fn deliveries_of(
        &self,
        app: AppId,
        page: PageRequest,
    ) -> Result<Page<DeliveryRecord>, InspectError> {
        Ok(self.store.deliveries(app, page, self.clock.now()).await?)
    }

    /// One registration of an app, if it is pending, failed or tracked.
    ///
    /// # Errors
    /// When the store can't answer.
    pub async fn registration_of(
        &self,
        app: AppId,
        id: RegistrationId,
    ) -> Result<Option<RegistrationView>, InspectError> {
        Ok(self.store.registration(app, id, self.clock.now()).await?)
    }
}
