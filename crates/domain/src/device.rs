//! Device tokens and devices. A device is one combination of app, user and device token.

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{AppId, RegistrationId};
use crate::time::Timestamp;
use crate::user::UserId;
use crate::verdict::ProviderAnswer;

/// Whose device it is, and so which provider proves its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Platform {
    /// APNs.
    Ios,
    /// FCM.
    Android,
}

impl Platform {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ios, Self::Android];

    /// The name in metrics, logs and the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
        }
    }
}

/// One of the two worlds of APNs; a device token is good in one of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Environment {
    /// Apps from the App Store and TestFlight.
    Production,
    /// Apps run from Xcode.
    Sandbox,
}

impl Environment {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Production, Self::Sandbox];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Production => Self::Sandbox,
            Self::Sandbox => Self::Production,
        }
    }

    /// The name in metrics, logs and the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }
}

/// A device token of APNs (in lower case) or FCM (byte by byte).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceToken {
    platform: Platform,
    text: Box<str>,
}

/// Why a text is not a device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeviceTokenFault {
    /// No character at all.
    #[error("must not be empty")]
    Empty,
}

impl DeviceToken {
    /// Reads a device token of this platform. APNs tokens are compared, stored and sent in lower
    /// case; whether they are hexadecimal is for [`DeviceToken::is_hexadecimal`].
    ///
    /// # Errors
    /// When it is empty.
    pub fn parse(platform: Platform, text: &str) -> Result<Self, DeviceTokenFault> {
        if text.is_empty() {
            return Err(DeviceTokenFault::Empty);
        }
        let text = match platform {
            Platform::Ios => text.to_ascii_lowercase().into(),
            Platform::Android => text.into(),
        };
        Ok(Self { platform, text })
    }

    /// Whose token it is.
    #[must_use]
    pub const fn platform(&self) -> Platform {
        self.platform
    }

    /// The token as it is compared, stored and sent.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The number of characters.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.text.chars().count()
    }

    /// Whether it has hexadecimal characters only, without which an APNs token fails unasked.
    #[must_use]
    pub fn is_hexadecimal(&self) -> bool {
        self.text.bytes().all(|b| b.is_ascii_hexdigit())
    }

    /// Eight hexadecimal digits to tell tokens apart in logs and reports, from which nobody gets
    /// the token back.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, self.text.as_bytes());
        hash.as_ref()[..4].iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceToken({} #{})", self.platform.name(), self.fingerprint())
    }
}

/// The device token of a registration that has been accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ClaimedToken {
    /// A token that may be verified.
    Present(DeviceToken),
    /// A token over the limit, of which only the length is kept.
    TooLong {
        /// Whose token it was.
        platform: Platform,
        /// Its number of characters.
        chars: u32,
    },
}

impl ClaimedToken {
    /// Whose token it is.
    #[must_use]
    pub const fn platform(&self) -> Platform {
        match self {
            Self::Present(token) => token.platform(),
            Self::TooLong { platform, .. } => *platform,
        }
    }

    /// The token, unless only its length was kept.
    #[must_use]
    pub const fn token(&self) -> Option<&DeviceToken> {
        match self {
            Self::Present(token) => Some(token),
            Self::TooLong { .. } => None,
        }
    }
}

/// What makes a device one device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeviceKey {
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// The device token.
    pub token: DeviceToken,
}

/// A device that is stored: its token was accepted by its provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The id of the registration that stored it.
    pub id: RegistrationId,
    /// The app.
    pub app: AppId,
    /// The user.
    pub user: UserId,
    /// The device token.
    pub token: DeviceToken,
    /// The APNs environment that accepted the token; `None` with FCM.
    pub environment: Option<Environment>,
    /// When the registration was accepted.
    pub registered_at: Timestamp,
    /// When the provider last accepted the token.
    pub verified_at: Timestamp,
    /// When the device was last registered, whether as new or as a duplicate.
    pub last_seen_at: Timestamp,
    /// What the provider said when it accepted the token.
    pub answer: Option<ProviderAnswer>,
}

/// One app on one platform: what shares credentials, and so concurrency, a circuit breaker and a
/// queue. One lane's flood or dead credential costs the other lanes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// The app.
    pub app: AppId,
    /// The platform.
    pub platform: Platform,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apns_tokens_are_compared_in_lower_case_and_fcm_tokens_byte_by_byte() {
        let apns = |text| DeviceToken::parse(Platform::Ios, text).unwrap();
        let fcm = |text| DeviceToken::parse(Platform::Android, text).unwrap();
        assert_eq!(apns("ABCdef01"), apns("abcdef01"));
        assert_ne!(fcm("ABC"), fcm("abc"));
        assert_ne!(apns("abc"), fcm("abc"));
    }

    #[test]
    fn an_empty_device_token_is_none() {
        assert_eq!(DeviceToken::parse(Platform::Ios, ""), Err(DeviceTokenFault::Empty));
    }

    #[test]
    fn a_device_token_does_not_print() {
        let token = DeviceToken::parse(Platform::Android, "very-secret").unwrap();
        assert!(!format!("{token:?}").contains("secret"), "{token:?}");
    }
}
