//! Organizations, mobile apps and API tokens, as they are stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::certificate::CertificateFacts;
use crate::ids::{AppId, OrgId, TokenId};
use crate::secret::{Sealed, TokenHash};
use crate::time::Timestamp;

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    /// Its id, which is in the path of every call.
    pub id: OrgId,
    /// A name for people; need not be unique.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which environment of APNs an app's tokens are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IosMode {
    /// The App Store's and TestFlight's.
    Production,
    /// Xcode's.
    Sandbox,
    /// Either: the likelier is asked first.
    Auto,
}

impl IosMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Production, Self::Sandbox, Self::Auto];

    /// The name in the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Auto => "auto",
        }
    }
}

/// How the service proves to APNs that it may send for the app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IosAuth {
    /// By provider token, signed with a key of the developer account.
    Key {
        /// The key's id, 10 characters.
        key_id: String,
        /// The developer team's id, 10 characters.
        team_id: String,
        /// The .p8 file, sealed.
        p8: Sealed,
    },
    /// By a certificate of the app.
    Certificate {
        /// What it says about itself.
        facts: CertificateFacts,
        /// The certificate, those that lead to its authority, and the private key, in PEM, sealed.
        pem: Sealed,
    },
}

/// The iOS side of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IosSide {
    /// Which environment.
    pub mode: IosMode,
    /// The bundle id, which is the APNs topic.
    pub bundle_id: String,
    /// The credentials.
    pub auth: IosAuth,
}

/// The Android side of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AndroidSide {
    /// The Firebase project.
    pub project_id: String,
    /// The service account's address.
    pub client_email: String,
    /// The service account file, sealed.
    pub service_account: Sealed,
}

/// That an app's callbacks are tried again until they are taken: at least once instead of at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackRetries {
    /// For how long after the first attempt; at most [`CallbackRetries::LONGEST_WINDOW`].
    pub window: Duration,
}

impl CallbackRetries {
    /// The longest window, and the one of an app that names none.
    pub const LONGEST_WINDOW: Duration = Duration::from_secs(3 * 24 * 3600);
}

/// A webhook secret that was replaced: callbacks are signed with it as well until its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldWebhookSecret {
    /// The secret, sealed.
    pub secret: Sealed,
    /// From when on it is no longer used.
    pub ends_at: Timestamp,
}

/// A mobile app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its id, the `MobileAppId` of the API.
    pub id: AppId,
    /// Who owns it.
    pub org: OrgId,
    /// A name for people; need not be unique.
    pub name: String,
    /// A description for people.
    pub description: String,
    /// APNs, if the app is on iOS.
    pub ios: Option<IosSide>,
    /// FCM, if the app is on Android.
    pub android: Option<AndroidSide>,
    /// The secret of its Standard Webhooks signatures, sealed.
    pub webhook_secret: Sealed,
    /// The one before it, while receivers change over.
    pub old_webhook_secret: Option<OldWebhookSecret>,
    /// Whether its callbacks are tried again.
    pub callback_retries: Option<CallbackRetries>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted. A deleted app is unknown to callers; the row stays until nothing of the
    /// app is left.
    pub deleted_at: Option<Timestamp>,
}

/// An API token of a mobile app: what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id in the admin API.
    pub id: TokenId,
    /// The organization that knows it.
    pub org: OrgId,
    /// The app that it is good for.
    pub app: AppId,
    /// What it is looked up by.
    pub hash: TokenHash,
    /// A name for people.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no longer good.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Whether it is good at this time.
    #[must_use]
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
