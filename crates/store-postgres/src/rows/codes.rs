//! The numbers that stand for the domain's names in the database. Never renumber one.

use pushroll_domain::{Environment, FailureReason, Outcome, Platform, Provider, Timestamp};

pub(crate) const fn platform(platform: Platform) -> u8 {
    match platform {
        Platform::Ios => 0,
        Platform::Android => 1,
    }
}

pub(crate) fn platform_of(code: impl Into<i16>) -> Option<Platform> {
    match code.into() {
        0 => Some(Platform::Ios),
        1 => Some(Platform::Android),
        _ => None,
    }
}

pub(crate) const fn environment(environment: Environment) -> u8 {
    match environment {
        Environment::Production => 0,
        Environment::Sandbox => 1,
    }
}

pub(crate) const fn environment_of(code: u8) -> Option<Environment> {
    match code {
        0 => Some(Environment::Production),
        1 => Some(Environment::Sandbox),
        _ => None,
    }
}

pub(crate) const fn provider(provider: Provider) -> u8 {
    match provider {
        Provider::Apns => 0,
        Provider::Fcm => 1,
        Provider::OAuth => 2,
    }
}

pub(crate) const fn provider_of(code: u8) -> Option<Provider> {
    match code {
        0 => Some(Provider::Apns),
        1 => Some(Provider::Fcm),
        2 => Some(Provider::OAuth),
        _ => None,
    }
}

pub(crate) const fn outcome(outcome: Outcome) -> i16 {
    match outcome {
        Outcome::Success => 0,
        Outcome::Failed(FailureReason::DuplicateExists) => 1,
        Outcome::Failed(FailureReason::DryRunSendingFailed) => 2,
        Outcome::Failed(FailureReason::DeviceTokenTooLong) => 3,
        Outcome::Failed(FailureReason::FailedToStoreDevice) => 4,
        Outcome::Failed(FailureReason::ApiTokenNotValid) => 5,
    }
}

pub(crate) const fn outcome_of(code: i16) -> Option<Outcome> {
    match code {
        0 => Some(Outcome::Success),
        1 => Some(Outcome::Failed(FailureReason::DuplicateExists)),
        2 => Some(Outcome::Failed(FailureReason::DryRunSendingFailed)),
        3 => Some(Outcome::Failed(FailureReason::DeviceTokenTooLong)),
        4 => Some(Outcome::Failed(FailureReason::FailedToStoreDevice)),
        5 => Some(Outcome::Failed(FailureReason::ApiTokenNotValid)),
        _ => None,
    }
}

/// Milliseconds as a column holds them. A time beyond what it holds is the last one.
pub(crate) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn timestamp_of(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}
