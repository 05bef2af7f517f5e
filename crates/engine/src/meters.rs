//! What the engine counts for every registration. The handles are kept, so that counting looks nothing up;
//! what is counted seldom is looked up where it happens.

use std::collections::HashMap;
use std::sync::OnceLock;

use metrics::{Counter, Histogram};
use parking_lot::RwLock;
use pushroll_domain::{DryRunReport, FailureReason, Lane, Outcome, Verdict};

/// The most reasons of a verdict that are told apart in a lane: providers write them, so there might be
/// any number.
const REASONS: usize = 24;
/// The reason of all others.
const OTHER_REASONS: &str = "other";

/// Counted for the whole process.
pub(crate) struct Meters {
    /// Registrations answered 202 and kept.
    pub(crate) accepted: Counter,
    /// Registrations whose API token was not good.
    pub(crate) unauthorized: Counter,
    /// Registrations whose verification gives way to the acceptance of others.
    pub(crate) deferred: Counter,
    /// Dry runs put off to a retry.
    pub(crate) postponed: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            accepted: metrics::counter!("pushroll_registrations_accepted_total"),
            unauthorized: metrics::counter!("pushroll_registrations_unauthorized_total"),
            deferred: metrics::counter!("pushroll_registrations_deferred_total"),
            postponed: metrics::counter!("pushroll_registrations_postponed_total"),
        }
    }
}

/// Counted for each lane.
pub(crate) struct LaneMeters {
    lane: Lane,
    /// By outcome. Made when they first count, so that nothing is shown that never happened.
    ended: [OnceLock<Ended>; FailureReason::ALL.len() + 1],
    answers: RwLock<HashMap<&'static str, Reasons>>,
}

struct Ended {
    count: Counter,
    seconds: Histogram,
}

/// A verdict's answers by reason.
type Reasons = HashMap<String, Counter>;

impl LaneMeters {
    pub(crate) fn new(lane: Lane) -> Self {
        Self { lane, ended: Default::default(), answers: RwLock::default() }
    }

    /// Counts a registration that has ended, so long after its acceptance.
    pub(crate) fn count_end(&self, outcome: Outcome, seconds: f64) {
        let platform = self.lane.platform.name();
        let position = match outcome {
            Outcome::Success => FailureReason::ALL.len(),
            Outcome::Failed(reason) => reason as usize,
        };
        let ended = self.ended[position].get_or_init(|| Ended {
            count: metrics::counter!(
                "pushroll_registrations_ended_total",
                "app" => self.lane.app.to_string(),
                "platform" => platform,
                "outcome" => outcome.name(),
            ),
            // Not by app: with its buckets that would be 20 series each.
            seconds: metrics::histogram!(
                "pushroll_registration_seconds",
                "platform" => platform,
                "outcome" => outcome.name(),
            ),
        });
        ended.count.increment(1);
        ended.seconds.record(seconds);
    }

    /// Counts what a provider answered to a dry run.
    pub(crate) fn count_answer(&self, report: &DryRunReport) {
        let (verdict, reason) = (verdict_name(&report.verdict), report.answer.reason.as_str());
        let known = |reason| {
            let answers = self.answers.read();
            answers.get(verdict).and_then(|reasons| reasons.get(reason)).cloned()
        };
        if let Some(counted) = known(reason) {
            return counted.increment(1);
        }
        let mut answers = self.answers.write();
        let reasons = answers.entry(verdict).or_default();
        let is_full = reasons.len() >= REASONS && !reasons.contains_key(reason);
        let reason = if is_full { OTHER_REASONS } else { reason };
        let counted = reasons.entry(reason.to_owned()).or_insert_with(|| {
            metrics::counter!(
                "pushroll_dry_runs_total",
                "app" => self.lane.app.to_string(),
                "platform" => self.lane.platform.name(),
                "verdict" => verdict,
                "reason" => reason.to_owned(),
            )
        });
        counted.increment(1);
    }
}

/// A verdict's name in metrics and traces.
pub(crate) const fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "accepted",
        Verdict::TokenRejected => "token_rejected",
        Verdict::WrongEnvironment { credentials: false } => "wrong_environment",
        Verdict::RequestRefused => "request_refused",
        Verdict::WrongEnvironment { credentials: true } | Verdict::CredentialsRefused => {
            "credentials_refused"
        }
        Verdict::Busy { .. } => "busy",
        Verdict::Unreachable => "unreachable",
    }
}

#[cfg(test)]
mod tests {
    use pushroll_domain::{AppId, Platform, Provider, ProviderAnswer};

    use super::*;

    fn refused(reason: &str) -> DryRunReport {
        let answer = ProviderAnswer {
            provider: Provider::Fcm,
            environment: None,
            status: Some(400),
            reason: reason.to_owned(),
            detail: None,
            provider_id: None,
        };
        DryRunReport { verdict: Verdict::RequestRefused, answer }
    }

    #[test]
    fn a_provider_that_makes_up_reasons_makes_no_series_without_end() {
        let app = AppId::parse("00000000-0000-0000-0000-000000000001").unwrap();
        let meters = LaneMeters::new(Lane { app, platform: Platform::Android });
        for n in 0..1_000 {
            meters.count_answer(&refused(&format!("REASON_{n}")));
        }
        let answers = meters.answers.read();
        let reasons = &answers["request_refused"];
        assert_eq!(reasons.len(), REASONS + 1);
        assert!(reasons.contains_key("REASON_0") && reasons.contains_key(OTHER_REASONS));
    }

    #[test]
    fn every_failure_reason_has_a_place_of_its_own() {
        for (position, reason) in FailureReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position);
        }
    }
}
