//! The numbers that stand for the domain's names on disk. Never renumber one.

use pushroll_domain::{
    CertificateEnvironments, Environment, FailureReason, IosMode, Outcome, Platform, Provider,
};

pub(crate) const fn platform(platform: Platform) -> u8 {
    match platform {
        Platform::Ios => 0,
        Platform::Android => 1,
    }
}

pub(crate) const fn platform_of(code: u8) -> Option<Platform> {
    match code {
        0 => Some(Platform::Ios),
        1 => Some(Platform::Android),
        _ => None,
    }
}

pub(super) const fn environment(environment: Environment) -> u8 {
    match environment {
        Environment::Production => 0,
        Environment::Sandbox => 1,
    }
}

pub(super) const fn environment_of(code: u8) -> Option<Environment> {
    match code {
        0 => Some(Environment::Production),
        1 => Some(Environment::Sandbox),
        _ => None,
    }
}

pub(super) const fn environments(environments: CertificateEnvironments) -> u8 {
    match environments {
        CertificateEnvironments::Production => 0,
        CertificateEnvironments::Sandbox => 1,
        CertificateEnvironments::Both => 2,
    }
}

pub(super) const fn environments_of(code: u8) -> Option<CertificateEnvironments> {
    match code {
        0 => Some(CertificateEnvironments::Production),
        1 => Some(CertificateEnvironments::Sandbox),
        2 => Some(CertificateEnvironments::Both),
        _ => None,
    }
}

pub(super) const fn provider(provider: Provider) -> u8 {
    match provider {
        Provider::Apns => 0,
        Provider::Fcm => 1,
        Provider::OAuth => 2,
    }
}

pub(super) const fn provider_of(code: u8) -> Option<Provider> {
    match code {
        0 => Some(Provider::Apns),
        1 => Some(Provider::Fcm),
        2 => Some(Provider::OAuth),
        _ => None,
    }
}

pub(super) const fn outcome(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Success => 0,
        Outcome::Failed(FailureReason::DuplicateExists) => 1,
        Outcome::Failed(FailureReason::DryRunSendingFailed) => 2,
        Outcome::Failed(FailureReason::DeviceTokenTooLong) => 3,
        Outcome::Failed(FailureReason::FailedToStoreDevice) => 4,
        Outcome::Failed(FailureReason::ApiTokenNotValid) => 5,
    }
}

pub(super) const fn outcome_of(code: u8) -> Option<Outcome> {
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

pub(super) const fn ios_mode(mode: IosMode) -> u8 {
    match mode {
        IosMode::Production => 0,
        IosMode::Sandbox => 1,
        IosMode::Auto => 2,
    }
}

pub(super) const fn ios_mode_of(code: u8) -> Option<IosMode> {
    match code {
        0 => Some(IosMode::Production),
        1 => Some(IosMode::Sandbox),
        2 => Some(IosMode::Auto),
        _ => None,
    }
}
