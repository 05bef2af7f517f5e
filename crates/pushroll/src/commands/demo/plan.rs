//! What the demo registers: a fleet of mixed fate, each device with the outcome that it must come to.

use pushroll_domain::{FailureReason, Outcome};
use pushroll_simulator::{ApnsFate, FcmFate, tokens};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use FailureReason::{
    ApiTokenNotValid, DeviceTokenTooLong, DryRunSendingFailed, DuplicateExists, FailedToStoreDevice,
};
use Outcome::{Failed, Success};

/// The devices that a user may have in the demo's server. The usual limit is 100.
pub const DEVICES_PER_USER: u32 = 5;
/// The fewest devices with which every kind occurs and batches are batches.
pub const LEAST_DEVICES: usize = 100;

/// With which API token a device is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// The app's own.
    Own,
    /// One of another app of the organization.
    OfAnotherApp,
    /// One that was revoked.
    Revoked,
}

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Iphone,
    Android,
    ManyDevices,
    BusyApple,
    BusyGoogle,
    SlowApple,
    SlowGoogle,
    BadIphone,
    DeadIphone,
    SandboxIphone,
    BadAndroid,
    DeadAndroid,
    OtherProject,
    TooLongForApple,
    TooLongForGoogle,
    OtherAppsToken,
    RevokedToken,
    Duplicate,
    OneTooMany,
}

impl Kind {
    /// All kinds, with their share of the fleet in thousandths; what is left over are good devices.
    pub const ALL: [(Self, usize); 19] = [
        (Self::Iphone, 0),
        (Self::Android, 0),
        (Self::ManyDevices, 0),
        (Self::BusyApple, 20),
        (Self::BusyGoogle, 20),
        (Self::SlowApple, 10),
        (Self::SlowGoogle, 10),
        (Self::BadIphone, 20),
        (Self::DeadIphone, 20),
        (Self::SandboxIphone, 20),
        (Self::BadAndroid, 20),
        (Self::DeadAndroid, 20),
        (Self::OtherProject, 20),
        (Self::TooLongForApple, 20),
        (Self::TooLongForGoogle, 10),
        (Self::OtherAppsToken, 20),
        (Self::RevokedToken, 10),
        (Self::Duplicate, 40),
        (Self::OneTooMany, 5),
    ];

    /// What it is, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iphone => "good iPhones",
            Self::Android => "good Android phones",
            Self::ManyDevices => "devices of one user, up to the limit",
            Self::BusyApple => "iPhones, Apple says twice \"too many requests\"",
            Self::BusyGoogle => "Androids, Google says twice \"unavailable\"",
            Self::SlowApple => "iPhones, Apple takes 3 s to answer",
            Self::SlowGoogle => "Androids, Google takes 3 s to answer",
            Self::BadIphone => "iPhones, token made up (BadDeviceToken)",
            Self::DeadIphone => "iPhones, app deleted (Unregistered)",
            Self::SandboxIphone => "iPhones, sandbox token in a production app",
            Self::BadAndroid => "Androids, token made up (INVALID_ARGUMENT)",
            Self::DeadAndroid => "Androids, app deleted (UNREGISTERED)",
            Self::OtherProject => "Androids, token of another Firebase project",
            Self::TooLongForApple => "iPhones, token wrapped by Firebase: too long",
            Self::TooLongForGoogle => "Androids, token over 4,096 characters",
            Self::OtherAppsToken => "registered with another app's API token",
            Self::RevokedToken => "registered with a revoked API token",
            Self::Duplicate => "devices registered a second time",
            Self::OneTooMany => "devices of that user, over the limit",
        }
    }

    /// How it must end.
    pub const fn expected(self) -> Outcome {
        match self {
            Self::Iphone
            | Self::Android
            | Self::ManyDevices
            | Self::BusyApple
            | Self::BusyGoogle
            | Self::SlowApple
            | Self::SlowGoogle => Success,
            Self::BadIphone
            | Self::DeadIphone
            | Self::SandboxIphone
            | Self::BadAndroid
            | Self::DeadAndroid
            | Self::OtherProject => Failed(DryRunSendingFailed),
            Self::TooLongForApple | Self::TooLongForGoogle => Failed(DeviceTokenTooLong),
            Self::OtherAppsToken | Self::RevokedToken => Failed(ApiTokenNotValid),
            Self::Duplicate => Failed(DuplicateExists),
            Self::OneTooMany => Failed(FailedToStoreDevice),
        }
    }

    const fn with(self) -> With {
        match self {
            Self::OtherAppsToken => With::OfAnotherApp,
            Self::RevokedToken => With::Revoked,
            _ => With::Own,
        }
    }

    /// A device token of this kind.
    fn token(self, seed: u64) -> DeviceToken {
        use DeviceToken::{Apns, Fcm};
        match self {
            Self::BusyApple => Apns(tokens::apns(seed, ApnsFate::Busy)),
            Self::SlowApple => Apns(tokens::apns(seed, ApnsFate::Slow)),
            Self::BadIphone => Apns(tokens::apns(seed, ApnsFate::Bad)),
            Self::DeadIphone => Apns(tokens::apns(seed, ApnsFate::Dead)),
            Self::SandboxIphone => Apns(tokens::apns(seed, ApnsFate::SandboxOnly)),
            // What Firebase's SDK hands out on an iPhone is not what Apple wants.
            Self::TooLongForApple => Apns(tokens::fcm(seed, FcmFate::Accepted)),
            Self::Android => Fcm(tokens::fcm(seed, FcmFate::Accepted)),
            Self::BusyGoogle => Fcm(tokens::fcm(seed, FcmFate::Busy)),
            Self::SlowGoogle => Fcm(tokens::fcm(seed, FcmFate::Slow)),
            Self::BadAndroid => Fcm(tokens::fcm(seed, FcmFate::Bad)),
            Self::DeadAndroid => Fcm(tokens::fcm(seed, FcmFate::Dead)),
            Self::OtherProject => Fcm(tokens::fcm(seed, FcmFate::OtherSender)),
            Self::TooLongForGoogle => {
                Fcm(format!("{}{}", tokens::fcm(seed, FcmFate::Accepted), "x".repeat(4_096)))
            }
            Self::Iphone
            | Self::ManyDevices
            | Self::OtherAppsToken
            | Self::RevokedToken
            | Self::Duplicate
            | Self::OneTooMany => Apns(tokens::apns(seed, ApnsFate::Accepted)),
        }
    }
}

/// A device token as it stands in a request.
#[derive(Debug, Clone)]
pub enum DeviceToken {
    Apns(String),
    Fcm(String),
}

/// A device to register.
#[derive(Debug, Clone)]
pub struct Planned {
    pub kind: Kind,
    pub user: String,
    pub token: DeviceToken,
    pub with: With,
}

impl Planned {
    fn new(kind: Kind, user: String, seed: u64) -> Self {
        Self { kind, user, token: kind.token(seed), with: kind.with() }
    }

    /// The registration's body.
    pub fn body(&self, app: &str, api_token: &str) -> Value {
        let (property, token) = match &self.token {
            DeviceToken::Apns(token) => ("ApnsDeviceToken", token),
            DeviceToken::Fcm(token) => ("FcmDeviceToken", token),
        };
        json!({"MobileAppId": app, "UserId": self.user, "ApiToken": api_token, property: token})
    }
}

/// The fleet.
pub struct Plan {
    /// What is registered first.
    pub first: Vec<Planned>,
    /// What is registered once the first are accepted, and the devices of [`Plan::collector`] are stored: double
    /// devices, and those that are too many for their user.
    pub then: Vec<Planned>,
    /// The user with as many devices as a user may have.
    pub collector: String,
}

impl Plan {
    /// A fleet of so many devices.
    pub fn new(devices: usize) -> Self {
        let mut seeds = 0..;
        let mut seed = || seeds.next().unwrap_or_default();
        let collector = user();
        let of_collector = |kind, seed| Planned::new(kind, collector.clone(), seed);
        let mut first: Vec<_> =
            (0..DEVICES_PER_USER).map(|_| of_collector(Kind::ManyDevices, seed())).collect();
        let mut then = Vec::new();
        let mut doubles = 0;
        for (kind, share) in Kind::ALL {
            if share == 0 {
                continue;
            }
            let count = (devices * share / 1_000).max(1);
            for _ in 0..count {
                match kind {
                    Kind::Duplicate => doubles += 1,
                    Kind::OneTooMany => then.push(of_collector(kind, seed())),
                    _ => first.push(Planned::new(kind, user(), seed())),
                }
            }
        }
        let good = devices.saturating_sub(first.len() + then.len() + doubles);
        let mut double = Vec::new();
        for n in 0..good {
            let kind = if n % 2 == 0 { Kind::Iphone } else { Kind::Android };
            let planned = Planned::new(kind, user(), seed());
            if double.len() < doubles {
                double.push(Planned { kind: Kind::Duplicate, ..planned.clone() });
            }
            first.push(planned);
        }
        then.append(&mut double);
        mix(&mut first);
        mix(&mut then);
        Self { first, then, collector }
    }
}

/// A contact's id.
fn user() -> String {
    let mut bytes = [0; 16];
    pushroll_domain::Random::fill(&crate::machine::SystemRandom, &mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().to_string()
}

/// Deals the kinds out evenly, always in the same order.
fn mix(planned: &mut [Planned]) {
    let count = planned.len() as u64;
    for index in (1..planned.len()).rev() {
        let other = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(count);
        planned.swap(index, (other % (index as u64 + 1)) as usize);
    }
}

/// A registration that was answered 202.
#[derive(Debug)]
pub struct Registered {
    /// What was planned.
    pub planned: Planned,
    /// The id that was answered.
    pub id: Uuid,
    /// The callback URL that was given.
    pub callback: String,
    /// When its request was sent.
    pub sent_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_fleet_has_as_many_devices_as_asked_for_of_every_kind_and_every_reason() {
        for devices in [LEAST_DEVICES, 2_000, 12_345] {
            let plan = Plan::new(devices);
            let all: Vec<_> = plan.first.iter().chain(&plan.then).collect();
            assert_eq!(all.len(), devices);
            for (kind, _) in Kind::ALL {
                assert!(all.iter().any(|planned| planned.kind == kind), "{devices}: {kind:?}");
            }
        }
        for reason in FailureReason::ALL {
            assert!(Kind::ALL.iter().any(|(kind, _)| kind.expected() == Failed(reason)));
        }
    }

    #[test]
    fn only_duplicates_share_user_and_token() {
        let plan = Plan::new(2_000);
        let key = |planned: &Planned| format!("{} {:?}", planned.user, planned.token);
        let first: HashSet<_> = plan.first.iter().map(key).collect();
        assert_eq!(first.len(), plan.first.len());
        for planned in &plan.then {
            assert_eq!(first.contains(&key(planned)), planned.kind == Kind::Duplicate);
        }
    }
}
