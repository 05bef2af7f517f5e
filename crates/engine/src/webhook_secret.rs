//! An app's webhook secret: made, replaced while the old one still signs for a while, and used.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pushroll_domain::{
    Actor, App, AppId, AuditAction, OldWebhookSecret, OrgId, SealContext, Sealed, Secret, Timestamp,
};
use tracing::info;

use crate::audit::Of;
use crate::configure::{ConfigureError, invalid};
use crate::service::Service;

/// The field name that sealed webhook secrets are bound to.
pub(crate) const WEBHOOK_SECRET: &str = "webhook_secret";
const SECRET_BYTES: usize = 32;

/// How long the old secret goes on signing, unless it is said.
pub const OLD_SECRET_FOR: Duration = Duration::from_secs(24 * 3600);
/// The longest that the old secret goes on signing.
pub const OLD_SECRET_FOR_AT_MOST: Duration = Duration::from_secs(30 * 24 * 3600);

impl Service {
    /// Gives the app a new webhook secret, which is shown this once. Callbacks carry a signature by each
    /// of the two until the old one's time is over; an older one than that ends at once. Zero ends the
    /// old one at once, too.
    ///
    /// # Errors
    /// When there is no such app, the time is over [`OLD_SECRET_FOR_AT_MOST`], or the store can't take it.
    pub async fn rotate_webhook_secret(
        &self,
        by: &Actor,
        org: OrgId,
        id: AppId,
        old_for: Duration,
    ) -> Result<(Arc<App>, Secret), ConfigureError> {
        if old_for > OLD_SECRET_FOR_AT_MOST {
            let message = format!("must be at most {} s", OLD_SECRET_FOR_AT_MOST.as_secs());
            return Err(invalid("old_ends_in_seconds", &message));
        }
        let _one_at_a_time = self.changes.lock().await;
        let mut app = App::clone(&*self.known_app(org, id)?);
        let (secret, sealed) = self.new_webhook_secret(org, id);
        let old = std::mem::replace(&mut app.webhook_secret, sealed);
        let ends_at = self.clock.now().plus(old_for);
        app.old_webhook_secret =
            (!old_for.is_zero()).then_some(OldWebhookSecret { secret: old, ends_at });
        let entry = self.entry(by, AuditAction::WebhookSecretRotated, Of::app(&app));
        let app = self.put_changed(app, entry).await?;
        info!(%org, app = %id, "webhook secret rotated");
        Ok((app, secret))
    }

    /// Ends the old webhook secret now. It is no error if there is none.
    ///
    /// # Errors
    /// When there is no such app, or the store can't take it.
    pub async fn end_old_webhook_secret(
        &self,
        by: &Actor,
        org: OrgId,
        id: AppId,
    ) -> Result<(), ConfigureError> {
        let _one_at_a_time = self.changes.lock().await;
        let mut app = App::clone(&*self.known_app(org, id)?);
        if app.old_webhook_secret.take().is_some() {
            let entry = self.entry(by, AuditAction::OldWebhookSecretEnded, Of::app(&app));
            self.put_changed(app, entry).await?;
            info!(%org, app = %id, "old webhook secret ended");
        }
        Ok(())
    }

    /// A new secret, and the same sealed for this app.
    pub(crate) fn new_webhook_secret(&self, org: OrgId, app: AppId) -> (Secret, Sealed) {
        let mut bytes = [0; SECRET_BYTES];
        self.random.fill(&mut bytes);
        let secret = Secret::new(format!("whsec_{}", STANDARD.encode(bytes)).into_bytes());
        let context = SealContext { org, app, field: WEBHOOK_SECRET };
        let sealed = self.sealer.seal(context, secret.reveal());
        (secret, sealed)
    }

    /// The app's secrets that sign now, the newest first.
    pub(crate) fn webhook_secrets(&self, app: &App, now: Timestamp) -> Result<Vec<Secret>, String> {
        let context = SealContext { org: app.org, app: app.id, field: WEBHOOK_SECRET };
        let old = app.old_webhook_secret.as_ref().filter(|old| now < old.ends_at);
        [Some(&app.webhook_secret), old.map(|old| &old.secret)]
            .into_iter()
            .flatten()
            .map(|sealed| self.sealer.open(context, sealed).map_err(|fault| fault.to_string()))
            .collect()
    }
}
