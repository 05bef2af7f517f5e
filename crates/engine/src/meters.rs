//! What the engine counts for every registration. The handles are kept, so that counting looks nothing up;
//! what is counted seldom is looked up where it happens.

use std::sync::OnceLock;

use metrics::{Counter, Histogram};
use pushroll_domain::{FailureReason, Lane, Outcome};

/// Counted for the whole process.
pub(crate) struct Meters {
    /// Registrations answered 202 and kept.
    pub(crate) accepted: Counter,
    /// Registrations whose API token was not good.
    pub(crate) unauthorized: Counter,
    /// Dry runs put off to a retry.
    pub(crate) postponed: Counter,
}

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            accepted: metrics::counter!("pushroll_registrations_accepted_total"),
            unauthorized: metrics::counter!("pushroll_registrations_unauthorized_total"),
            postponed: metrics::counter!("pushroll_registrations_postponed_total"),
        }
    }
}

/// Counted for each lane.
pub(crate) struct LaneMeters {
    lane: Lane,
    /// By outcome. Made when they first count, so that nothing is shown that never happened.
    ended: [OnceLock<Counter>; FailureReason::ALL.len() + 1],
    seconds: OnceLock<Histogram>,
}

impl LaneMeters {
    pub(crate) fn new(lane: Lane) -> Self {
        Self { lane, ended: Default::default(), seconds: OnceLock::new() }
    }

    /// Counts a registration that has ended, so long after its acceptance.
    pub(crate) fn count_end(&self, outcome: Outcome, seconds: f64) {
        let platform = self.lane.platform.name();
        let position = match outcome {
            Outcome::Success => FailureReason::ALL.len(),
            Outcome::Failed(reason) => reason as usize,
        };
        let ended = self.ended[position].get_or_init(|| {
            metrics::counter!(
                "pushroll_registrations_ended_total",
                "app" => self.lane.app.to_string(),
                "platform" => platform,
                "outcome" => outcome.name(),
            )
        });
        ended.increment(1);
        let histogram = self.seconds.get_or_init(
            || metrics::histogram!("pushroll_registration_seconds", "platform" => platform),
        );
        histogram.record(seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_reason_has_a_place_of_its_own() {
        for (position, reason) in FailureReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position);
        }
    }
}
