//! Application configuration: organizations, mobile apps with their credentials, API tokens.
//!
//! Credentials are read when they are entered, so that a wrong file is told at once, and sealed
//! before they are stored. A token and a webhook secret are shown once, to who made them.

mod ios;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pushroll_domain::{
    Actor, AndroidSide, ApiToken, ApnsCredentials, App, AppId, AuditAction, AuditEntry,
    CallbackRetries, CredentialFault, Credentials, FcmCredentials, Org, OrgId, Platform, Providers,
    SealContext, Sealed, Sealer, Secret, StoreError, Timestamp, TokenId, TokenRecord,
};
use thiserror::Error;
use tracing::info;

use crate::audit::Of;
use crate::register::retry_after;
use crate::service::Service;

pub(crate) use ios::{APNS_CERTIFICATE, APNS_KEY};
pub use ios::{ApnsAuthInput, ApnsCertificateInput, ApnsKeyInput, IosChange, IosInput};

/// The field names that sealed credentials are bound to.
pub(crate) const SERVICE_ACCOUNT: &str = "android.service_account";
/// The most characters of a name.
pub const NAME_CHARS: usize = 200;
/// The most characters of a description.
pub const DESCRIPTION_CHARS: usize = 2_000;
/// The most API tokens of an app that are not revoked.
const TOKENS_PER_APP: usize = 100;

/// The Android side of an app as it is entered.
#[derive(Debug, Clone)]
pub struct AndroidInput {
    /// The text of the service account file.
    pub service_account: Secret,
}

/// An app to make.
#[derive(Debug, Clone)]
pub struct NewApp {
    /// A name for people.
    pub name: String,
    /// A description for people.
    pub description: String,
    /// APNs.
    pub ios: Option<IosInput>,
    /// FCM.
    pub android: Option<AndroidInput>,
    /// Whether its callbacks are tried again.
    pub callback_retries: Option<CallbackRetries>,
}

/// A change of a part.
#[derive(Debug, Clone, Default)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It goes.
    Remove,
    /// It becomes this.
    Set(T),
}

/// A change of an app.
#[derive(Debug, Clone, Default)]
pub struct AppChange {
    /// The name.
    pub name: Option<String>,
    /// The description; removing it empties it.
    pub description: Change<String>,
    /// APNs.
    pub ios: Change<IosChange>,
    /// FCM.
    pub android: Change<AndroidInput>,
    /// Whether its callbacks are tried again; in force for those that wait, too.
    pub callback_retries: Change<CallbackRetries>,
}

/// A new API token, shown once.
#[derive(Debug)]
pub struct NewToken {
    /// What is kept of it.
    pub record: TokenRecord,
    /// The token.
    pub token: ApiToken,
}

/// Why a change of the configuration was not made.
#[derive(Debug, Error)]
pub enum ConfigureError {
    /// There is no such organization, app or token.
    #[error("there is no such {what}")]
    NotFound {
        /// `organization`, `app` or `token`.
        what: &'static str,
    },
    /// What was entered can't be used; says what to enter instead.
    #[error("{field}: {message}")]
    Invalid {
        /// The field of the admin API, in dotted form.
        field: &'static str,
        /// What to do. Never holds a secret.
        message: String,
    },
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

impl From<StoreError> for ConfigureError {
    fn from(cause: StoreError) -> Self {
        Self::Unavailable { retry_after: retry_after(&cause), cause }
    }
}

impl From<CredentialFault> for ConfigureError {
    fn from(fault: CredentialFault) -> Self {
        Self::Invalid { field: fault.field, message: fault.message }
    }
}

impl Service {
    /// Makes an organization.
    ///
    /// # Errors
    /// When the name can't be used or the store can't take it.
    pub async fn create_org(&self, by: &Actor, name: &str) -> Result<Arc<Org>, ConfigureError> {
        let name = checked_name(name)?;
        let now = self.clock.now();
        let org = Org { id: self.ids.org(now, self.random.u64()), name, created_at: now };
        let entry = self.entry(by, AuditAction::OrgCreated, Of::org(&org));
        let _one_at_a_time = self.changes.lock().await;
        self.store.put_org(org.clone(), entry).await?;
        self.reload().await?;
        info!(org = %org.id, "organization made");
        Ok(Arc::new(org))
    }

    /// Makes an app, and its webhook secret, which is shown this once.
    ///
    /// # Errors
    /// When there is no such organization, something entered can't be used, or the store can't take it.
    pub async fn create_app(
        &self,
        by: &Actor,
        org: OrgId,
        new: NewApp,
    ) -> Result<(Arc<App>, Secret), ConfigureError> {
        let _one_at_a_time = self.changes.lock().await;
        self.known_org(org)?;
        let fields = new.fields();
        let now = self.clock.now();
        let id = self.ids.app(now, self.random.u64());
        let name = checked_name(&new.name)?;
        let description = checked_description(&new.description)?;
        let ios = match new.ios {
            None => None,
            Some(ios) => Some(self.ios_side(org, id, ios).await?),
        };
        let android = new.android.map(|side| self.android_side(org, id, &side)).transpose()?;
        let (secret, sealed) = self.new_webhook_secret(org, id);
        let app = App {
            id,
            org,
            name,
            description,
            ios,
            android,
            webhook_secret: sealed,
            old_webhook_secret: None,
            callback_retries: new.callback_retries,
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        let entry = self.entry(by, AuditAction::AppCreated, Of::app(&app).with(fields));
        self.store.put_app(app.clone(), entry).await?;
        self.reload().await?;
        info!(%org, app = %id, "app made");
        Ok((Arc::new(app), secret))
    }

    /// Changes an app. New credentials are in force for the next dry run.
    ///
    /// # Errors
    /// When there is no such app, something entered can't be used, or the store can't take it.
    pub async fn change_app(
        &self,
        by: &Actor,
        org: OrgId,
        id: AppId,
        change: AppChange,
    ) -> Result<Arc<App>, ConfigureError> {
        let _one_at_a_time = self.changes.lock().await;
        let mut app = App::clone(&*self.known_app(org, id)?);
        let fields = change.fields();
        if let Some(name) = change.name {
            app.name = checked_name(&name)?;
        }
        match change.description {
            Change::Keep => {}
            Change::Remove => app.description.clear(),
            Change::Set(description) => app.description = checked_description(&description)?,
        }
        match change.ios {
            Change::Keep => {}
            Change::Remove => app.ios = None,
            Change::Set(ios) => {
                app.ios = Some(self.changed_ios(org, id, app.ios.take(), ios).await?);
            }
        }
        match change.android {
            Change::Keep => {}
            Change::Remove => app.android = None,
            Change::Set(android) => app.android = Some(self.android_side(org, id, &android)?),
        }
        match change.callback_retries {
            Change::Keep => {}
            Change::Remove => app.callback_retries = None,
            Change::Set(retries) => app.callback_retries = Some(retries),
        }
        let entry = self.entry(by, AuditAction::AppChanged, Of::app(&app).with(fields));
        let app = self.put_changed(app, entry).await?;
        info!(%org, app = %id, "app changed");
        Ok(app)
    }

    /// Stores an app that was changed; in force from now on.
    pub(crate) async fn put_changed(
        &self,
        mut app: App,
        entry: AuditEntry,
    ) -> Result<Arc<App>, ConfigureError> {
        app.updated_at = self.clock.now();
        self.store.put_app(app.clone(), entry).await?;
        self.reload().await?;
        Ok(Arc::new(app))
    }

    /// Deletes an app: its tokens are revoked and it is unknown from the next request on; what is pending
    /// ends, and its devices go in the background.
    ///
    /// # Errors
    /// When there is no such app, or the store can't take it.
    pub async fn delete_app(
        &self,
        by: &Actor,
        org: OrgId,
        id: AppId,
    ) -> Result<(), ConfigureError> {
        let _one_at_a_time = self.changes.lock().await;
        let app = self.known_app(org, id)?;
        let entry = self.entry(by, AuditAction::AppDeleted, Of::app(&app));
        self.store.delete_app(org, id, self.clock.now(), entry).await?;
        self.reload().await?;
        info!(%org, app = %id, "app deleted");
        Ok(())
    }

    /// Makes an API token of 256 random bits.
    ///
    /// # Errors
    /// When there is no such app, it has too many tokens, the expiry is over already, or the store can't
    /// take it.
    pub async fn create_token(
        &self,
        by: &Actor,
        org: OrgId,
        app: AppId,
        name: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<NewToken, ConfigureError> {
        let _one_at_a_time = self.changes.lock().await;
        self.known_app(org, app)?;
        let now = self.clock.now();
        if expires_at.is_some_and(|end| end <= now) {
            return Err(invalid("expires_at", "is in the past: give a time to come, or none"));
        }
        let directory = self.directory();
        let good = directory.tokens_of(app).iter().filter(|token| token.is_good(now)).count();
        if good >= TOKENS_PER_APP {
            let message = format!("the app has {TOKENS_PER_APP} good tokens: revoke one first");
            return Err(invalid("name", &message));
        }
        let name = optional_name(name)?;
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes);
        let text = format!("prt_{}", URL_SAFE_NO_PAD.encode(bytes));
        let token = ApiToken::parse(&text).map_err(|fault| invalid("token", &fault.to_string()))?;
        let record = TokenRecord {
            id: self.ids.token(now, self.random.u64()),
            org,
            app,
            hash: token.hash(),
            name,
            created_at: now,
            expires_at,
            revoked_at: None,
        };
        let entry = self.entry(by, AuditAction::TokenCreated, Of::token(&record));
        self.store.put_token(record.clone(), entry).await?;
        self.reload().await?;
        info!(%org, %app, token = %record.id, "API token made");
        Ok(NewToken { record, token })
    }

    /// Revokes an API token, in force from the next request on. Revoking it again is no error.
    ///
    /// # Errors
    /// When there is no such token of this app, or the store can't take it.
    pub async fn revoke_token(
        &self,
        by: &Actor,
        org: OrgId,
        app: AppId,
        token: TokenId,
    ) -> Result<(), ConfigureError> {
        let _one_at_a_time = self.changes.lock().await;
        self.known_app(org, app)?;
        let directory = self.directory();
        let known = directory
            .token(token)
            .filter(|known| known.app == app)
            .ok_or(ConfigureError::NotFound { what: "token" })?;
        let entry = self.entry(by, AuditAction::TokenRevoked, Of::token(known));
        self.store.revoke_token(app, token, self.clock.now(), entry).await?;
        self.reload().await?;
        info!(%org, %app, %token, "API token revoked");
        Ok(())
    }

    /// The organization.
    ///
    /// # Errors
    /// When there is none.
    pub fn known_org(&self, org: OrgId) -> Result<Arc<Org>, ConfigureError> {
        self.directory().org(org).cloned().ok_or(ConfigureError::NotFound { what: "organization" })
    }

    /// The app of this organization.
    ///
    /// # Errors
    /// When there is no such organization, or it has no such app.
    pub fn known_app(&self, org: OrgId, app: AppId) -> Result<Arc<App>, ConfigureError> {
        self.known_org(org)?;
        self.directory()
            .app(app)
            .filter(|app| app.org == org)
            .cloned()
            .ok_or(ConfigureError::NotFound { what: "app" })
    }

    /// The credentials of an app on a platform, opened and read; `None` if it has no such side.
    pub(crate) fn credentials(
        &self,
        app: &App,
        platform: Platform,
    ) -> Result<Option<Credentials>, String> {
        open_credentials(&*self.providers, &*self.sealer, app, platform)
    }

    fn android_side(
        &self,
        org: OrgId,
        app: AppId,
        android: &AndroidInput,
    ) -> Result<AndroidSide, ConfigureError> {
        let text = text_of("android.service_account", &android.service_account)?;
        let read = self.providers.read_service_account(text)?;
        let context = SealContext { org, app, field: SERVICE_ACCOUNT };
        Ok(AndroidSide {
            project_id: read.project_id,
            client_email: read.client_email,
            service_account: self.sealer.seal(context, text.as_bytes()),
        })
    }
}

/// The credentials of an app on a platform, opened and read; `None` if it has no such side.
pub(crate) fn open_credentials(
    providers: &dyn Providers,
    sealer: &dyn Sealer,
    app: &App,
    platform: Platform,
) -> Result<Option<Credentials>, String> {
    let open = |field, sealed: &Sealed| {
        let context = SealContext { org: app.org, app: app.id, field };
        sealer.open(context, sealed).map_err(|fault| fault.to_string())
    };
    match platform {
        Platform::Ios => {
            let Some(ios) = &app.ios else { return Ok(None) };
            let read = ios::apns_credentials(providers, ios, open)?;
            let of_app = ApnsCredentials { app: Some(app.id), ..read };
            Ok(Some(Credentials::Apns(Arc::new(of_app))))
        }
        Platform::Android => {
            let Some(side) = &app.android else { return Ok(None) };
            let opened = open(SERVICE_ACCOUNT, &side.service_account)?;
            let text = String::from_utf8_lossy(opened.reveal());
            let read = providers.read_service_account(&text);
            let read = read.map_err(|fault| fault.to_string())?;
            let of_app = FcmCredentials { app: Some(app.id), ..read };
            Ok(Some(Credentials::Fcm(Arc::new(of_app))))
        }
    }
}

pub(crate) fn invalid(field: &'static str, message: &str) -> ConfigureError {
    ConfigureError::Invalid { field, message: message.to_owned() }
}

fn text_of<'a>(field: &'static str, secret: &'a Secret) -> Result<&'a str, ConfigureError> {
    str::from_utf8(secret.reveal()).map_err(|_| invalid(field, "is not text in UTF-8"))
}

fn checked_name(name: &str) -> Result<String, ConfigureError> {
    let name = optional_name(name)?;
    if name.is_empty() {
        return Err(invalid("name", "must not be empty"));
    }
    Ok(name)
}

/// As [`checked_name`]; may be empty.
fn optional_name(name: &str) -> Result<String, ConfigureError> {
    if name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
        let message = format!("must have at most {NAME_CHARS} characters, none of them a control");
        return Err(invalid("name", &message));
    }
    Ok(name.trim().to_owned())
}

fn checked_description(description: &str) -> Result<String, ConfigureError> {
    if description.chars().count() > DESCRIPTION_CHARS {
        let message = format!("must have at most {DESCRIPTION_CHARS} characters");
        return Err(invalid("description", &message));
    }
    Ok(description.to_owned())
}
