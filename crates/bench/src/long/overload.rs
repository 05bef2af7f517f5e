//! Twice what a server can take: it stays on one core, the generator and the simulator on another;
//! capacity is measured in the same way, in a closed loop; then twice as much is offered.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::{Deserialize, Serialize};

use crate::data::Mix;
use crate::load::{self, Figures, Pace, Plan, Quantiles};
use crate::measure::accept::after;
use crate::measure::{How, Stage};
use crate::report::cores;
use crate::requests::{Numbers, Register, Wishes};
use crate::servers::bare::{self, Framework};

/// How it is overloaded.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Seconds of overload
    #[arg(long, default_value_t = 60.0)]
    pub overload_seconds: f64,
    /// How many times the capacity is offered
    #[arg(long, default_value_t = 2.0)]
    pub times: f64,
    /// Connections over which it is offered
    #[arg(long, default_value_t = 2_000)]
    pub overload_connections: usize,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overload {
    /// Accepted a second in a closed loop.
    pub capacity: f64,
    /// Offered a second.
    pub offered: f64,
    /// Accepted a second.
    pub goodput: f64,
    /// Refused with 429 or 503, a second.
    pub refused: f64,
    /// Requests that found no free connection in time, a second.
    pub unsent: f64,
    /// Requests that failed otherwise.
    pub failed: u64,
    /// Of what was accepted, from when it was due.
    pub accepted_latencies: Quantiles,
    /// Of what was refused.
    pub refused_latencies: Quantiles,
    /// Registrations that were accepted in the closed loop and not verified when it ended.
    #[serde(default)]
    pub waited_before: u64,
    /// Registrations verified a second while the server was overloaded.
    #[serde(default)]
    pub verified: f64,
    /// Registrations that waited when the load ended.
    #[serde(default)]
    pub waiting: u64,
    /// How long it took afterwards until all had been verified, in seconds.
    #[serde(default)]
    pub verified_after: f64,
    /// Memory before, in bytes.
    pub resident_before: u64,
    /// The most memory.
    pub peak: u64,
    /// CPU time of the server for a registration in the closed loop, in microseconds.
    #[serde(default)]
    pub accepted_micros: f64,
    /// CPU time of an answer of bare hyper over as many connections at the same rate, in microseconds.
    #[serde(default)]
    pub bare_answer_micros: f64,
}

impl Overload {
    /// The part of the capacity that would be accepted if a registration took what it takes in the closed loop, and a
    /// refusal what an answer of bare hyper takes, and these two filled the server's core. More is accepted where
    /// commits get cheaper, because more registrations share one, and where verification is left for later.
    fn by_arithmetic(&self) -> f64 {
        let (accepted, bare) = (self.accepted_micros / 1e6, self.bare_answer_micros / 1e6);
        let (left, each) = (1.0 - self.offered * bare, accepted - bare);
        if left <= 0.0 {
            0.0
        } else if each <= 0.0 {
            1.0
        } else {
            (left / each / self.capacity).min(1.0)
        }
    }
}

const SERVER_CORE: usize = 0;
const OTHER_CORE: usize = 1;
/// How long bare hyper is loaded.
const BARE: Duration = Duration::from_secs(5);
/// How long verifying what was accepted may take.
const VERIFIED_WITHIN: Duration = Duration::from_secs(1_800);
/// How long a caller without a free connection waits before he gives up.
const GIVES_UP: Duration = Duration::from_millis(500);

/// Measures.
pub async fn measure(how: &How, options: &Options) -> anyhow::Result<Overload> {
    ensure!(cores() >= 2, "the server and the load generator want a core each");
    let stage = Stage::set_on(how, Some(OTHER_CORE)).await?;
    let mut setup = stage.server("overload")?;
    setup.core = Some(SERVER_CORE);
    let server = setup.start(&stage.providers).await?;
    let account = server.make_account(&stage.providers).await?;
    let register = |from| {
        let numbers = Numbers::parts(from..u64::MAX, 1)[0];
        vec![Register::new(&account, numbers, 1, Mix::Fleet, &Wishes::default())]
    };
    let plan = Plan { core: Some(OTHER_CORE), ..stage.closed(server.port()) };
    let before = server.process.usage()?;
    let (closed, left) = load::run(plan, register(0)).await?;
    let used = server.process.usage()?.since(&before);
    let accepted_micros = used.micros_each(closed.accepted);
    let ended_before = server.ended().await?;
    let capacity = closed.rate();
    let per_second = capacity * options.times;
    let resident_before = server.process.usage()?.resident;
    let plan = Plan {
        pace: Pace::Open { per_second },
        connections: options.overload_connections,
        span: Duration::from_secs_f64(options.overload_seconds),
        gives_up: Some(GIVES_UP),
        ..plan
    };
    let (figures, _) = load::run(plan, register(after(&left))).await?;
    let peak = server.process.usage()?.peak;
    let (over, ended) = (Instant::now(), server.ended().await?);
    let accepted = closed.accepted + figures.accepted;
    server.until_ended(accepted, VERIFIED_WITHIN).await?;
    let verified_after = over.elapsed().as_secs_f64();
    server.process.stop().await?;
    let bare_answer_micros = bare_answer(plan, register(0)).await?;
    let each = |count: u64| count as f64 / figures.took.as_secs_f64();
    let Figures { refused, unsent, failed, .. } = figures;
    Ok(Overload {
        capacity,
        offered: per_second,
        goodput: figures.rate(),
        refused: each(refused),
        unsent: each(unsent),
        failed,
        accepted_latencies: figures.latencies.quantiles(),
        refused_latencies: figures.refused_latencies.quantiles(),
        waited_before: closed.accepted.saturating_sub(ended_before),
        verified: each(ended.saturating_sub(ended_before)),
        waiting: accepted.saturating_sub(ended),
        verified_after,
        resident_before,
        peak,
        accepted_micros,
        bare_answer_micros,
    })
}

/// What bare hyper takes for an answer under the same load, on the server's core.
async fn bare_answer(plan: Plan, register: Vec<Register>) -> anyhow::Result<f64> {
    let bare = bare::start(Framework::Hyper, Some(SERVER_CORE)).await?;
    let before = bare.usage()?;
    let plan = Plan { port: bare.port, span: BARE, ..plan };
    let (figures, _) = load::run(plan, register).await?;
    let used = bare.usage()?.since(&before);
    Ok(used.micros_each(figures.accepted))
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.goodput / self.capacity * 100.0;
        let mib = |bytes: u64| bytes / (1 << 20);
        let (good, bad) = (&self.accepted_latencies, &self.refused_latencies);
        writeln!(
            f,
            "- capacity {:.0} a second, offered {:.0}: accepted {:.0} ({share:.0}% of capacity, to stay above 90), \
             refused {:.0}, unsent {:.0}; {} failed",
            self.capacity, self.offered, self.goodput, self.refused, self.unsent, self.failed
        )?;
        writeln!(
            f,
            "- accepted within p50 {} µs, p99 {} µs, p99.9 {} µs",
            good.p50_us, good.p99_us, good.p999_us
        )?;
        writeln!(
            f,
            "- a registration took {:.1} µs of CPU in the closed loop, an answer of bare hyper over as many connections takes \
             {:.1}: were all verified meanwhile and a refusal took no more, {:.0}% of the capacity would be accepted",
            self.accepted_micros,
            self.bare_answer_micros,
            self.by_arithmetic() * 100.0
        )?;
        writeln!(
            f,
            "- verified meanwhile {:.0} a second; {} waited when the load ended ({} before it) and were verified {:.0} s later",
            self.verified, self.waiting, self.waited_before, self.verified_after
        )?;
        writeln!(f, "- refused within p50 {} µs, p99 {} µs", bad.p50_us, bad.p99_us)?;
        write!(
            f,
            "- memory {} MiB before, {} MiB at the peak",
            mib(self.resident_before),
            mib(self.peak)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overload(accepted_micros: f64, bare_answer_micros: f64) -> Overload {
        Overload {
            capacity: 10_000.0,
            offered: 20_000.0,
            goodput: 8_000.0,
            refused: 12_000.0,
            unsent: 0.0,
            failed: 0,
            accepted_latencies: Quantiles::default(),
            refused_latencies: Quantiles::default(),
            waited_before: 0,
            verified: 0.0,
            waiting: 0,
            verified_after: 0.0,
            resident_before: 0,
            peak: 0,
            accepted_micros,
            bare_answer_micros,
        }
    }

    fn is_close(part: f64, expected: f64) -> bool {
        (part - expected).abs() < 1e-9
    }

    #[test]
    fn what_refusals_cost_is_taken_from_what_can_be_accepted() {
        assert!(is_close(overload(100.0, 0.0).by_arithmetic(), 1.0), "they cost nothing");
        // 7,500 of 100 µs and 12,500 of 20 µs fill a second.
        assert!(is_close(overload(100.0, 20.0).by_arithmetic(), 0.75));
        assert!(is_close(overload(100.0, 50.0).by_arithmetic(), 0.0), "they alone fill it");
        assert!(is_close(overload(40.0, 10.0).by_arithmetic(), 1.0), "the core was not busy");
    }
}
