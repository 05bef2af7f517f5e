//! The life of a registration: accepted, then pending until it is verified and finished, then an
//! outcome that is kept for a while.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backoff::Tries;
use crate::callback::CallbackOrder;
use crate::delivery::CallbackReport;
use crate::device::{ClaimedToken, DeviceToken, Environment, Lane, Platform};
use crate::ids::{AppId, OrgId, RegistrationId, TokenId};
use crate::time::Timestamp;
use crate::user::UserId;
use crate::verdict::ProviderAnswer;

/// Why a registration failed, as the API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureReason {
    /// Another registration's device with the same app, user and device token is stored.
    DuplicateExists,
    /// The dry run failed for good, or the app has no side for the platform.
    DryRunSendingFailed,
    /// The device token has more characters than the provider's tokens can have.
    DeviceTokenTooLong,
    /// The user has as many devices in the app as the setting allows.
    FailedToStoreDevice,
    /// The API token is of another app, was expired or is revoked, or the app was deleted.
    ApiTokenNotValid,
}

impl FailureReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::DuplicateExists,
        Self::DryRunSendingFailed,
        Self::DeviceTokenTooLong,
        Self::FailedToStoreDevice,
        Self::ApiTokenNotValid,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DuplicateExists => "DuplicateExists",
            Self::DryRunSendingFailed => "DryRunSendingFailed",
            Self::DeviceTokenTooLong => "DeviceTokenTooLong",
            Self::FailedToStoreDevice => "FailedToStoreDevice",
            Self::ApiTokenNotValid => "ApiTokenNotValid",
        }
    }
}

/// How a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// The device was stored, or a later cleanup covered it.
    Success,
    /// It was not.
    Failed(FailureReason),
}

impl Outcome {
    /// The name for metrics and logs: `Success` or the failure reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Failed(reason) => reason.name(),
        }
    }
}

/// What a status query says of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not ended; or unknown, untracked, expired or of another app.
    Pending,
    /// Ended.
    Ended(Outcome),
}

/// A registration that has been accepted and not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its id, which the device keeps.
    pub id: RegistrationId,
    /// The organization.
    pub org: OrgId,
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// The device token, or its length.
    pub claimed: ClaimedToken,
    /// The API token, if it was good for this app when the registration was accepted; `None` ends
    /// it as [`FailureReason::ApiTokenNotValid`].
    pub authorized_by: Option<TokenId>,
    /// Whether its outcome can be asked for by its id.
    pub tracked: bool,
    /// Whom to tell.
    pub callback: Option<CallbackOrder>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is to be verified next.
    pub due: Timestamp,
    /// What has been tried.
    pub tries: Tries,
    /// The provider's last words.
    pub last_answer: Option<ProviderAnswer>,
}

impl Registration {
    /// The queue it waits in.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        Lane { app: self.app, platform: self.claimed.platform() }
    }
}

/// A registration to accept.
#[derive(Debug, Clone)]
pub struct Accept {
    /// The registration.
    pub registration: Arc<Registration>,
    /// Whether the caller carries it on at once. If not, the store hands it out later by
    /// [`crate::Store::take_due`].
    pub taken: bool,
}

/// A registration to be given back to the store until it is due.
#[derive(Debug, Clone)]
pub struct Postpone {
    /// The registration as it was taken.
    pub registration: Arc<Registration>,
    /// When it is to be handed out again.
    pub due: Timestamp,
    /// What has been tried by now.
    pub tries: Tries,
    /// The provider's last words.
    pub last_answer: Option<ProviderAnswer>,
}

/// How many registrations wait in a lane, taken or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLoad {
    /// The lane.
    pub lane: Lane,
    /// Registrations that are pending, taken or not.
    pub pending: u64,
}

/// What stands in the way of verifying a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Free,
    /// A device with the same key is stored by another registration.
    Stored(RegistrationId),
    /// An equal registration, accepted before with no cleanup between, is pending and due then.
    After {
        /// The older one.
        id: RegistrationId,
        /// When it is due.
        due: Timestamp,
    },
}

/// How a registration is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The provider accepted the token.
    Verified {
        /// The APNs environment that did; `None` with FCM.
        environment: Option<Environment>,
        /// What the provider said.
        answer: Option<ProviderAnswer>,
    },
    /// Another registration stored the device.
    Duplicate,
    /// It failed.
    Failed {
        /// Why.
        reason: FailureReason,
        /// What the provider said, or we in its place.
        answer: Option<ProviderAnswer>,
    },
}

/// A registration to finish.
#[derive(Debug, Clone)]
pub struct Finish {
    /// The registration as it was taken.
    pub registration: Arc<Registration>,
    /// How.
    pub ending: Ending,
    /// When.
    pub at: Timestamp,
    /// What was tried by now.
    pub tries: Tries,
    /// The most devices that a user may have in an app.
    pub devices_per_user: u32,
}

/// What became of a registration that was to be finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// It ended this way.
    Ended(Outcome),
    /// It was no longer pending; nothing was done.
    NotPending,
    /// [`Ending::Duplicate`], and there is no such device any more: it is still pending, still
    /// taken, and has to be verified.
    NoDuplicate,
}

/// A cleanup of devices.
#[derive(Debug, Clone)]
pub struct CleanUp {
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// The device token in the caller's writing, which may be an APNs token in any letter case or
    /// an FCM token; `None` for all devices of the user in the app.
    pub device_token: Option<String>,
}

impl CleanUp {
    /// The device tokens that this cleanup names, one of each platform; `None` for all.
    #[must_use]
    pub fn names(&self) -> Option<[DeviceToken; 2]> {
        let text = self.device_token.as_deref()?;
        let ios = DeviceToken::parse(Platform::Ios, text).ok()?;
        let android = DeviceToken::parse(Platform::Android, text).ok()?;
        Some([ios, android])
    }
}

/// A registration that has ended, as it is kept for operators and for status queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its id.
    pub id: RegistrationId,
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// The platform.
    pub platform: Platform,
    /// [`DeviceToken::fingerprint`], if the token was kept at all.
    pub token_fingerprint: Option<String>,
    /// The number of characters of the device token.
    pub token_chars: u32,
    /// Whether a status query may see it.
    pub tracked: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// The provider's words.
    pub answer: Option<ProviderAnswer>,
    /// A hint for the operator, found after the outcome.
    pub hint: Option<String>,
    /// What became of its callback, as far as is known.
    pub callback: Option<CallbackReport>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How often a provider was asked.
    pub attempts: u32,
}

/// A registration as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistrationView {
    /// Waiting, being verified, or waiting for a retry.
    Pending(Box<Registration>),
    /// Ended: failed, or tracked.
    Ended(Box<Ended>),
}
