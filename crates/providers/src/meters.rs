//! What is counted and timed. Labels are drawn from fixed lists, so there is never more than a
//! bounded number of series. Handles are made at their first use, when the recorder is there.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, gauge, histogram};
use parking_lot::RwLock;
use pushroll_domain::{Environment, Provider};

use crate::transport::Host;

const NO_ENVIRONMENT: &str = "";

fn environment_name(environment: Option<Environment>) -> &'static str {
    environment.map_or(NO_ENVIRONMENT, Environment::name)
}

/// The meters of one provider and environment.
pub(crate) struct Meter {
    provider: Provider,
    environment: Option<Environment>,
    seconds: OnceLock<Histogram>,
    answers: RwLock<HashMap<&'static str, Counter>>,
}

impl Meter {
    pub fn new(provider: Provider, environment: Option<Environment>) -> Self {
        Self { provider, environment, seconds: OnceLock::new(), answers: RwLock::default() }
    }

    /// Counts an answer by its reason and notes how long it took.
    pub fn answered(&self, reason: &'static str, took: Duration) {
        let seconds = self.seconds.get_or_init(|| {
            histogram!(
                "pushroll_provider_request_seconds",
                "provider" => self.provider.name(),
                "environment" => environment_name(self.environment),
            )
        });
        seconds.record(took.as_secs_f64());
        if let Some(counted) = self.answers.read().get(reason) {
            counted.increment(1);
            return;
        }
        let counted = counter!(
            "pushroll_provider_answers_total",
            "provider" => self.provider.name(),
            "environment" => environment_name(self.environment),
            "reason" => reason,
        );
        counted.increment(1);
        self.answers.write().insert(reason, counted);
    }
}

/// A connection that is open, as long as it lives.
pub(crate) struct OpenConnection(metrics::Gauge);

impl OpenConnection {
    pub fn new(host: Host) -> Self {
        let open = gauge!(
            "pushroll_provider_connections",
            "provider" => host.provider().name(),
            "environment" => environment_name(host.environment()),
        );
        open.increment(1.0);
        Self(open)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Counts a connection that has ended.
pub(crate) fn connection_closed(host: Host, why: &'static str) {
    counter!(
        "pushroll_provider_connections_closed_total",
        "provider" => host.provider().name(),
        "environment" => environment_name(host.environment()),
        "why" => why,
    )
    .increment(1);
}

/// Counts a provider token (APNs) or access token (OAuth) that was made.
pub(crate) fn token_minted(provider: Provider) {
    counter!("pushroll_provider_tokens_minted_total", "provider" => provider.name()).increment(1);
}
