//! The reasons that APNs gives (Apple, "Handling notification responses from APNs").

use std::borrow::Cow;

use serde::Deserialize;

macro_rules! reasons {
    ($($name:ident),+ $(,)?) => {
        /// A reason that Apple documents.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum ApnsReason {
            $($name,)+
        }

        impl ApnsReason {
            /// All of them.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// As Apple writes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// Reads a reason; `None` if it is not a documented one.
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $(stringify!($name) => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    BadCertificate,
    BadCertificateEnvironment,
    BadCollapseId,
    BadDeviceToken,
    BadEnvironmentKeyIdInToken,
    BadExpirationDate,
    BadMessageId,
    BadPath,
    BadPriority,
    BadTopic,
    DeviceTokenNotForTopic,
    DuplicateHeaders,
    ExpiredProviderToken,
    ExpiredToken,
    Forbidden,
    IdleTimeout,
    InternalServerError,
    InvalidProviderToken,
    InvalidPushType,
    MethodNotAllowed,
    MissingDeviceToken,
    MissingProviderToken,
    MissingTopic,
    PayloadEmpty,
    PayloadTooLarge,
    ServiceUnavailable,
    Shutdown,
    TooManyProviderTokenUpdates,
    TooManyRequests,
    TopicDisallowed,
    UnrelatedKeyIdInToken,
    Unregistered,
}

/// The body of an answer other than 200.
#[derive(Debug, Deserialize)]
pub(super) struct ReasonBody<'a> {
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Milliseconds since 1970, with 410.
    timestamp: Option<u64>,
}

impl<'a> ReasonBody<'a> {
    /// Reads the body; `None` if it gives no reason.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Since when the device token is no longer good, in words.
    pub fn no_longer_valid_since(&self) -> Option<String> {
        self.timestamp.map(|ms| format!("not valid since {ms} (milliseconds since 1970)"))
    }
}
