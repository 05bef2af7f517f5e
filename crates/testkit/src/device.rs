//! Devices: their tokens, their users, and what the simulator will say of them.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use pushroll_domain::Platform;
use pushroll_simulator::{ApnsFate, FcmFate, Provider, tokens};
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::status::Status;

/// What the simulator says of a device token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Accepted.
    Accepted,
    /// Never a token: `BadDeviceToken`, `INVALID_ARGUMENT`.
    Bad,
    /// No longer registered: `Unregistered`, `UNREGISTERED`.
    Dead,
    /// Of the sandbox (iOS) or of another sender (Android).
    Elsewhere,
    /// Not now, twice; then accepted.
    Busy,
    /// Accepted after three seconds.
    Slow,
}

/// A device of a user.
#[derive(Debug, Clone)]
pub struct Device {
    /// APNs or FCM.
    pub platform: Platform,
    /// The device token.
    pub token: String,
    /// The user's id.
    pub user: String,
}

/// A device whose registration has been accepted, with tracking.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The device.
    pub device: Device,
    /// The registration's id.
    pub id: String,
}

/// Builds a device; what is not said is new: user and token.
#[derive(Debug, Clone)]
#[must_use]
pub struct DeviceBuilder {
    platform: Platform,
    fate: Fate,
    token: Option<String>,
    user: Option<String>,
}

/// A device: on iOS, good, and of a new user, unless something else is said.
pub fn a_device() -> DeviceBuilder {
    DeviceBuilder { platform: Platform::Ios, fate: Fate::Accepted, token: None, user: None }
}

impl DeviceBuilder {
    /// An iPhone.
    pub fn on_ios(mut self) -> Self {
        self.platform = Platform::Ios;
        self
    }

    /// An Android phone.
    pub fn on_android(mut self) -> Self {
        self.platform = Platform::Android;
        self
    }

    /// On this platform.
    pub fn on(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// What the simulator says of its token.
    pub fn with_fate(mut self, fate: Fate) -> Self {
        self.fate = fate;
        self
    }

    /// With this token.
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Of this user.
    pub fn of_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The device, not registered yet.
    #[must_use]
    pub fn build(self) -> Device {
        let Self { platform, fate, token, user } = self;
        let token = token.unwrap_or_else(|| token_of(platform, fate));
        Device { platform, token, user: user.unwrap_or_else(|| format!("user-{}", number())) }
    }

    /// The device, accepted for registration with tracking.
    pub async fn registered(self, app: &TestApp) -> Registered {
        self.build().registered(app).await
    }

    /// The device, stored.
    pub async fn stored(self, app: &TestApp) -> Registered {
        self.build().stored(app).await
    }
}

impl Device {
    /// The body that registers it with the app's token.
    #[must_use]
    pub fn body(&self, app: &TestApp) -> Value {
        self.body_with(app, &app.token)
    }

    /// The body that registers it with this token.
    #[must_use]
    pub fn body_with(&self, app: &TestApp, api_token: &str) -> Value {
        json!({
            "MobileAppId": app.id,
            "UserId": self.user,
            "ApiToken": api_token,
            self.field(): self.token,
        })
    }

    /// The property that holds its token.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self.platform {
            Platform::Ios => "ApnsDeviceToken",
            Platform::Android => "FcmDeviceToken",
        }
    }

    /// Who is asked about it first.
    #[must_use]
    pub const fn provider(&self) -> Provider {
        match self.platform {
            Platform::Ios => Provider::ApnsProduction,
            Platform::Android => Provider::Fcm,
        }
    }

    /// Registers it with tracking.
    pub async fn registered(&self, app: &TestApp) -> Registered {
        let id = app.register(self).tracked().await.registration_id();
        Registered { device: self.clone(), id }
    }

    /// Registers it, and waits for it to be stored.
    pub async fn stored(&self, app: &TestApp) -> Registered {
        let registered = self.registered(app).await;
        assert_eq!(app.status_of(&registered).await, Status::Success, "{registered:?}");
        registered
    }
}

impl Deref for Registered {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

fn token_of(platform: Platform, fate: Fate) -> String {
    let seed = number();
    match platform {
        Platform::Ios => tokens::apns(
            seed,
            match fate {
                Fate::Accepted => ApnsFate::Accepted,
                Fate::Bad => ApnsFate::Bad,
                Fate::Dead => ApnsFate::Dead,
                Fate::Elsewhere => ApnsFate::SandboxOnly,
                Fate::Busy => ApnsFate::Busy,
                Fate::Slow => ApnsFate::Slow,
            },
        ),
        Platform::Android => tokens::fcm(
            seed,
            match fate {
                Fate::Accepted => FcmFate::Accepted,
                Fate::Bad => FcmFate::Bad,
                Fate::Dead => FcmFate::Dead,
                Fate::Elsewhere => FcmFate::OtherSender,
                Fate::Busy => FcmFate::Busy,
                Fate::Slow => FcmFate::Slow,
            },
        ),
    }
}

/// A number that no other device or user of this process has.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
