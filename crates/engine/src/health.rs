//! How an app's verification is doing: what its providers last said, whether they are asked, what waits,
//! what was seen to be wrong, and when its credentials end.

use std::sync::Arc;
use std::time::Duration;

use pushroll_domain::{
    App, AppId, BreakerState, IosAuth, Lane, OrgId, Platform, ProviderAnswer, StoreError, Timestamp,
};

use crate::configure::ConfigureError;
use crate::register::retry_after;
use crate::service::Service;
use crate::symptom::Symptom;
use crate::verify::{LaneReport, Seen};

/// How long before its end a credential is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 86_400);
/// For how long a symptom that was seen is news.
const RECENT: Duration = Duration::from_secs(3_600);

/// How an app, or one side of it, is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// All is well, as far as is known.
    Fine,
    /// Some registrations fail or wait, or will before long.
    Degraded,
    /// Nothing is verified.
    Failing,
}

impl Condition {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Fine, Self::Degraded, Self::Failing];

    /// The name in the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
        }
    }
}

/// The credentials of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialHealth {
    /// `key`, `certificate` or `service-account`.
    pub kind: &'static str,
    /// When they end; `None` if never.
    pub expires_at: Option<Timestamp>,
    /// Why they can't be used, if they can't even be opened.
    pub fault: Option<String>,
}

/// One side of an app.
#[derive(Debug, Clone)]
pub struct SideHealth {
    /// The side.
    pub platform: Platform,
    /// How it is doing.
    pub condition: Condition,
    /// Its credentials.
    pub credentials: CredentialHealth,
    /// The circuit breaker.
    pub breaker: BreakerState,
    /// The provider's last words since the start, and when.
    pub last_answer: Option<(Timestamp, ProviderAnswer)>,
    /// Registrations that are pending.
    pub pending: u64,
    /// What was seen to be wrong since the start, or since the credentials changed.
    pub symptoms: Vec<(Symptom, Seen)>,
}

/// An app.
#[derive(Debug, Clone)]
pub struct AppHealth {
    /// The app.
    pub app: Arc<App>,
    /// How its worse side is doing.
    pub condition: Condition,
    /// Its sides.
    pub sides: Vec<SideHealth>,
}

impl Service {
    /// How an app is doing, without asking anybody.
    ///
    /// # Errors
    /// When there is no such app, or the store can't answer.
    pub async fn app_health(&self, org: OrgId, id: AppId) -> Result<AppHealth, ConfigureError> {
        let app = self.known_app(org, id)?;
        let loads = self.store.lanes().await.map_err(unavailable)?;
        let reports = self.lanes();
        let now = self.clock.now();
        let mut sides = Vec::new();
        for platform in Platform::ALL {
            let Some((kind, expires_at)) = credentials_of(&app, platform) else { continue };
            let fault = self.credentials(&app, platform).err();
            let lane = Lane { app: id, platform };
            let report = reports.iter().find(|report| report.lane == lane);
            let pending =
                loads.iter().find(|load| load.lane == lane).map_or(0, |load| load.pending);
            let credentials = CredentialHealth { kind, expires_at, fault };
            sides.push(side(platform, credentials, report, pending, now));
        }
        let condition = sides.iter().map(|side| side.condition).max().unwrap_or(Condition::Fine);
        Ok(AppHealth { app, condition, sides })
    }
}

/// What kind of credentials a side has, and when they end; `None` without that side.
fn credentials_of(app: &App, platform: Platform) -> Option<(&'static str, Option<Timestamp>)> {
    match platform {
        Platform::Ios => match &app.ios.as_ref()?.auth {
            IosAuth::Key { .. } => Some(("key", None)),
            IosAuth::Certificate { facts, .. } => Some(("certificate", Some(facts.expires_at))),
        },
        Platform::Android => app.android.as_ref().map(|_| ("service-account", None)),
    }
}

fn side(
    platform: Platform,
    credentials: CredentialHealth,
    report: Option<&LaneReport>,
    pending: u64,
    now: Timestamp,
) -> SideHealth {
    let breaker = report.map_or(BreakerState::Closed, |report| report.breaker);
    let symptoms = report.map(|report| report.symptoms.clone()).unwrap_or_default();
    let condition =
        of_credentials(&credentials, now).max(of_breaker(breaker)).max(of_symptoms(&symptoms, now));
    SideHealth {
        platform,
        condition,
        credentials,
        breaker,
        last_answer: report.and_then(|report| report.last_answer.clone()),
        pending,
        symptoms,
    }
}

fn of_credentials(credentials: &CredentialHealth, now: Timestamp) -> Condition {
    match (&credentials.fault, credentials.expires_at) {
        (Some(_), _) => Condition::Failing,
        (None, Some(end)) if end <= now => Condition::Failing,
        (None, Some(end)) if end <= now.plus(EXPIRES_SOON) => Condition::Degraded,
        (None, _) => Condition::Fine,
    }
}

const fn of_breaker(breaker: BreakerState) -> Condition {
    match breaker {
        BreakerState::Closed => Condition::Fine,
        BreakerState::HalfOpen => Condition::Degraded,
        BreakerState::Open | BreakerState::CredentialsRefused => Condition::Failing,
    }
}

fn of_symptoms(symptoms: &[(Symptom, Seen)], now: Timestamp) -> Condition {
    let is_news = |(_, seen): &(Symptom, Seen)| now.since(seen.last_at) < RECENT;
    if symptoms.iter().any(is_news) { Condition::Degraded } else { Condition::Fine }
}

fn unavailable(cause: StoreError) -> ConfigureError {
    ConfigureError::Unavailable { retry_after: retry_after(&cause), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(expires_at: Option<Timestamp>) -> CredentialHealth {
        CredentialHealth { kind: "certificate", expires_at, fault: None }
    }

    #[test]
    fn credentials_that_end_soon_are_told_before_they_do() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let day = Duration::from_secs(86_400);
        for (expires_at, expected) in [
            (None, Condition::Fine),
            (Some(now.plus(day * 31)), Condition::Fine),
            (Some(now.plus(day * 29)), Condition::Degraded),
            (Some(now), Condition::Failing),
            (Some(now.minus(day)), Condition::Failing),
        ] {
            assert_eq!(of_credentials(&credentials(expires_at), now), expected, "{expires_at:?}");
        }
        let broken = CredentialHealth { fault: Some("damaged".to_owned()), ..credentials(None) };
        assert_eq!(of_credentials(&broken, now), Condition::Failing);
    }

    #[test]
    fn a_symptom_counts_for_an_hour() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let seen = |ago| {
            let seen = Seen { count: 1, last_at: now.minus(ago) };
            of_symptoms(&[(Symptom::TokenOfOtherProject, seen)], now)
        };
        assert_eq!(seen(Duration::from_secs(3_599)), Condition::Degraded);
        assert_eq!(seen(Duration::from_secs(3_600)), Condition::Fine);
        assert_eq!(of_symptoms(&[], now), Condition::Fine);
    }
}
