//! What came of a load.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies are told apart to three digits, up to a minute.
const LONGEST_MICROS: u64 = 60_000_000;

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_max(LONGEST_MICROS, 3).expect("constant bounds"))
    }
}

impl Latencies {
    /// Takes note of one.
    pub fn record(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// Adds those of another generator thread.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the bounds are the same");
    }

    /// The quantiles that are reported.
    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Quantiles {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max(),
        }
    }
}

/// Latencies in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Quantiles {
    /// Half of all are faster.
    pub p50_us: u64,
    /// Nine in ten.
    pub p90_us: u64,
    /// 99 in 100.
    pub p99_us: u64,
    /// 999 in 1,000.
    pub p999_us: u64,
    /// The slowest.
    pub max_us: u64,
}

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Requests that were answered 2xx.
    pub accepted: u64,
    /// Requests that were answered 429 or 503.
    pub refused: u64,
    /// Requests that were answered otherwise, or not at all.
    pub failed: u64,
    /// Requests that were never sent, because no connection was free for too long.
    pub unsent: u64,
    /// How long it took.
    pub took: Duration,
    /// From when a request was to be sent to its 2xx.
    pub latencies: Latencies,
    /// The same of 429 and 503.
    pub refused_latencies: Latencies,
    /// CPU time of the generator.
    pub generator_cpu: Duration,
}

impl Figures {
    /// Accepted requests a second.
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.took.as_secs_f64()
    }

    /// CPU time of the generator for a request, in microseconds.
    pub fn generator_micros(&self) -> f64 {
        let requests = self.accepted + self.refused + self.failed;
        self.generator_cpu.as_secs_f64() * 1e6 / requests.max(1) as f64
    }

    /// Adds what another thread of the generator did at the same time.
    pub fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.took = self.took.max(other.took);
        self.latencies.add(&other.latencies);
        self.refused_latencies.add(&other.refused_latencies);
        self.generator_cpu += other.generator_cpu;
    }
}
