//! What a provider said to a dry run, and what follows from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backoff::{Backoff, Tries};
use crate::device::Environment;
use crate::registration::FailureReason;
use crate::time::Timestamp;

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Provider {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
    /// The token endpoint of a service account.
    OAuth,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Apns, Self::Fcm, Self::OAuth];

    /// The name in metrics, logs and the admin API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::Fcm => "fcm",
            Self::OAuth => "oauth",
        }
    }
}

/// The provider's own words, kept with an outcome for operators. Never a token or a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAnswer {
    /// Who answered, or did not.
    pub provider: Provider,
    /// Which APNs environment was asked; `None` with FCM.
    pub environment: Option<Environment>,
    /// The HTTP status; `None` when there was no answer.
    pub status: Option<u16>,
    /// The provider's reason or error code as it wrote it (`BadDeviceToken`, `UNREGISTERED`), or in
    /// our words why there was no answer (`timed out`). At most 200 characters.
    pub reason: String,
    /// The provider's explanation, if it gave one, or ours. At most 500 characters.
    pub detail: Option<String>,
    /// `apns-id`, or the message name of FCM.
    pub provider_id: Option<String>,
}

/// How far a provider's "not now" reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusyScope {
    /// This device only (APNs 429 `TooManyRequests`).
    Device,
    /// The whole app: nothing more for it until then (FCM 429, `TooManyProviderTokenUpdates`).
    App,
    /// The provider is in trouble (5xx); counts for the circuit breaker.
    Provider,
}

/// What a provider's answer to a dry run means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The provider accepted the token.
    Accepted,
    /// The device token is at fault.
    TokenRejected,
    /// The token or the credential belongs to the other APNs environment, or the token is no token
    /// at all: APNs says the same (`BadDeviceToken`, `BadEnvironmentKeyIdInToken`).
    WrongEnvironment {
        /// Whether the answer was about the credential and not about the token.
        credentials: bool,
    },
    /// The request can't succeed as it is, and neither token nor credentials are known to be at
    /// fault (a wrong topic, say).
    RequestRefused,
    /// The app's credentials are not accepted.
    CredentialsRefused,
    /// Not now.
    Busy {
        /// What the provider asked for.
        retry_after: Option<Duration>,
        /// How far it reaches.
        scope: BusyScope,
    },
    /// No answer: connection refused, lost or cut, time-out, GOAWAY.
    Unreachable,
}

/// A verdict with the words behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRunReport {
    /// What it means.
    pub verdict: Verdict,
    /// What was said.
    pub answer: ProviderAnswer,
}

/// What to do with a registration after a dry run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Store the device.
    Store,
    /// End the registration as failed.
    Fail(FailureReason),
    /// Ask again, not before this time.
    RetryAt(Timestamp),
}

/// The step that follows a verdict. With mode `auto`, [`Verdict::WrongEnvironment`] comes here only
/// when the other environment has been asked too. `random` is drawn for this call.
#[must_use]
pub fn after_dry_run(
    verdict: &Verdict,
    tries: &Tries,
    backoff: &Backoff,
    now: Timestamp,
    random: u64,
) -> Step {
    let retry_after = match verdict {
        Verdict::Accepted => return Step::Store,
        Verdict::TokenRejected
        | Verdict::WrongEnvironment { .. }
        | Verdict::RequestRefused
        | Verdict::CredentialsRefused => return Step::Fail(FailureReason::DryRunSendingFailed),
        Verdict::Busy { retry_after, scope: _ } => *retry_after,
        Verdict::Unreachable => None,
    };
    let due = backoff.next_due(tries, retry_after, now, random).or_else(|| {
        // The first answer may ask for the whole window, which had opened a moment before it came.
        let asked = retry_after.filter(|span| tries.attempts <= 1 && *span <= backoff.window)?;
        backoff.next_due(tries, None, now, random).map(|_| now.plus(asked))
    });
    match due {
        Some(due) => Step::RetryAt(due),
        None => Step::Fail(FailureReason::DryRunSendingFailed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RunId;

    fn step(verdict: &Verdict, tried_for: Duration) -> Step {
        let now = Timestamp::from_millis(10_000_000);
        let tries = Tries {
            attempts: 1,
            first_attempt_at: Some(now.minus(tried_for)),
            last_run: Some(RunId(1)),
        };
        after_dry_run(verdict, &tries, &Backoff::default(), now, u64::MAX)
    }

    #[test]
    fn only_an_accepted_token_is_stored() {
        assert_eq!(step(&Verdict::Accepted, Duration::ZERO), Step::Store);
    }

    #[test]
    fn faults_of_token_request_and_credentials_fail_at_once() {
        for verdict in [
            Verdict::TokenRejected,
            Verdict::WrongEnvironment { credentials: false },
            Verdict::WrongEnvironment { credentials: true },
            Verdict::RequestRefused,
            Verdict::CredentialsRefused,
        ] {
            assert_eq!(
                step(&verdict, Duration::ZERO),
                Step::Fail(FailureReason::DryRunSendingFailed),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn a_busy_or_unreachable_provider_is_asked_again_until_the_window_closes() {
        for verdict in [
            Verdict::Unreachable,
            Verdict::Busy { retry_after: None, scope: BusyScope::Device },
            Verdict::Busy { retry_after: None, scope: BusyScope::Provider },
        ] {
            assert!(matches!(step(&verdict, Duration::ZERO), Step::RetryAt(_)), "{verdict:?}");
            assert_eq!(
                step(&verdict, Duration::from_secs(3600)),
                Step::Fail(FailureReason::DryRunSendingFailed),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn the_first_answer_may_ask_for_the_whole_window() {
        let now = Timestamp::from_millis(10_000_000);
        let backoff = Backoff::default();
        let asked = Verdict::Busy { retry_after: Some(backoff.window), scope: BusyScope::Provider };
        let later = Verdict::Busy {
            retry_after: Some(backoff.window + Duration::from_millis(1)),
            scope: BusyScope::Provider,
        };
        let fail = Step::Fail(FailureReason::DryRunSendingFailed);
        // It took a while to come.
        let took = Duration::from_millis(40);
        assert_eq!(step(&asked, took), Step::RetryAt(now.plus(backoff.window)));
        assert_eq!(step(&later, took), fail);
        let second = Tries {
            attempts: 2,
            first_attempt_at: Some(now.minus(took)),
            last_run: Some(RunId(1)),
        };
        assert_eq!(after_dry_run(&asked, &second, &backoff, now, 0), fail, "no other may");
        let over = Tries { first_attempt_at: Some(now.minus(backoff.window + took)), ..second };
        assert_eq!(after_dry_run(&asked, &over, &backoff, now, 0), fail, "that was the last try");
    }
}
