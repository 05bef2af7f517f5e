//! Whom the simulator plays.

use std::fmt;

/// One of the services that the simulator plays.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// `api.push.apple.com`.
    ApnsProduction,
    /// `api.sandbox.push.apple.com`.
    ApnsSandbox,
    /// `fcm.googleapis.com`.
    Fcm,
    /// `oauth2.googleapis.com`, on the port of FCM.
    Oauth,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ApnsProduction, Self::ApnsSandbox, Self::Fcm, Self::Oauth];

    /// The name that the control endpoint uses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApnsProduction => "apns-production",
            Self::ApnsSandbox => "apns-sandbox",
            Self::Fcm => "fcm",
            Self::Oauth => "oauth",
        }
    }

    /// The provider of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
