//! The lines of the table "Speed": what each is to reach, and what was measured.

use serde::{Deserialize, Serialize};

use super::Parts;
use super::machine::cores;
use crate::measure::{Measured, median, middle};

/// A line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// What is measured.
    pub name: String,
    /// What it came to; `None` if it was not measured.
    pub measured: Option<f64>,
    /// What it is to reach.
    pub target: f64,
    /// What both are, and whether more is better or less.
    pub unit: String,
    /// Whether it is reached; `None` if it was not measured.
    pub reached: Option<bool>,
    /// What else the line holds.
    #[serde(default)]
    pub note: String,
}

const MIB: f64 = 1024.0 * 1024.0;

/// All lines, in the order of the table.
pub fn of(parts: &Parts) -> Vec<Line> {
    vec![
        at_least(
            "accept, single, durable, 64 connections",
            parts.accept.as_ref().map(|accept| accept.of_hyper * 100.0),
            60.0,
            "% of the requests per second of bare hyper",
        ),
        at_least(
            "accept, batches of 100, durable",
            parts.batches.as_ref().map(|batches| batches.of_store * 100.0),
            50.0,
            "% of what the store alone takes",
        ),
        end_to_end(parts),
        at_most(
            "server CPU of a registration accepted, verified and finished",
            parts.end_to_end.as_ref().map(|end| end.load.server_cpu_micros),
            50.0,
            "µs",
        ),
        provider_client(parts),
        growth(parts),
        memory(parts),
        queries(parts),
        at_most(
            "start with 1 million pending registrations",
            parts.start_up.as_ref().map(|start| start.ready_seconds),
            5.0,
            "s until ready",
        ),
    ]
}

fn at_least(name: &str, measured: Option<f64>, target: f64, unit: &str) -> Line {
    let reached = measured.map(|measured| measured >= target);
    line(name, measured, target, &format!("{unit}, at least"), reached)
}

fn at_most(name: &str, measured: Option<f64>, target: f64, unit: &str) -> Line {
    let reached = measured.map(|measured| measured <= target);
    line(name, measured, target, &format!("{unit}, at most"), reached)
}

fn line(name: &str, measured: Option<f64>, target: f64, unit: &str, reached: Option<bool>) -> Line {
    let (name, unit) = (name.to_owned(), unit.to_owned());
    Line { name, measured, target, unit, reached, note: String::new() }
}

/// What each part of a registration takes by itself, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// The load generator.
    pub generator: f64,
    /// Accepting it over HTTP, verification paused.
    pub accept: f64,
    /// The provider client.
    pub client: f64,
    /// The simulator.
    pub simulator: f64,
    /// Finishing it.
    pub finish: f64,
}

impl Budget {
    /// What all of it takes.
    pub fn sum(&self) -> f64 {
        self.generator + self.accept + self.client + self.simulator + self.finish
    }

    /// How many registrations a second this machine's cores allow.
    pub fn allowed(&self) -> f64 {
        cores() as f64 * 1e6 / self.sum()
    }
}

/// Registrations for which a provider is asked: all but those that repeat an earlier one.
const ASKED: f64 = 0.95;

/// The sum of the parts, if all were measured.
pub fn budget(parts: &Parts) -> Option<Budget> {
    let single: Vec<Measured> = pushroll_loads(&parts.accept.as_ref()?.loads);
    let single = middle(&single)?;
    let clients = parts.providers.as_ref()?;
    let ours: Vec<_> = clients.iter().filter(|row| row.who.starts_with("Pushroll")).collect();
    let mean = |of: fn(&super::ProviderRow) -> f64| {
        ours.iter().map(|row| of(row)).sum::<f64>() / ours.len() as f64
    };
    // Calls of the store as small as single requests make them, with as many callers.
    let store = parts.store.as_ref()?.iter().max_by_key(|row| row.callers)?;
    Some(Budget {
        generator: single.generator_cpu_micros,
        accept: single.server_cpu_micros,
        client: mean(|row| row.figures.cpu_micros) * ASKED,
        simulator: mean(|row| row.simulator_cpu_micros) * ASKED,
        finish: (store.accept_and_finish.cpu_micros - store.accept.cpu_micros).max(0.0),
    })
}

/// The loads on Pushroll among those of a comparison.
pub fn pushroll_loads(loads: &[Measured]) -> Vec<Measured> {
    loads.iter().filter(|load| load.server == "pushroll").cloned().collect()
}

fn end_to_end(parts: &Parts) -> Line {
    let budget = budget(parts);
    let measured = parts.end_to_end.as_ref().zip(budget);
    let percent = measured.map(|(end, budget)| end.load.per_second / budget.allowed() * 100.0);
    let unit = "% of the rate that the cores allow when the parts are added up";
    let mut line = at_least("end to end", percent, 75.0, unit);
    if let Some((end, budget)) = measured {
        line.note = format!(
            "{:.0}/s of {:.0}/s: generator {:.1}, accept {:.1}, client {:.1}, simulator {:.1}, finish {:.1} µs",
            end.load.per_second,
            budget.allowed(),
            budget.generator,
            budget.accept,
            budget.client,
            budget.simulator,
            budget.finish
        );
    }
    line
}

fn provider_client(parts: &Parts) -> Line {
    let rows = parts.providers.as_deref().unwrap_or_default();
    let ours = rows.iter().filter(|row| row.who.starts_with("Pushroll"));
    let dearest = ours.clone().map(|row| row.figures.cpu_micros).max_by(f64::total_cmp);
    let mut line = at_most(
        "provider client, the dearer of the two",
        dearest,
        15.0,
        "µs of CPU a request, TLS included",
    );
    let rates = rows.iter().map(|row| {
        format!("{}: {:.0}/s, {:.1} µs", row.who, row.figures.per_second, row.figures.cpu_micros)
    });
    line.note = rates.collect::<Vec<_>>().join("; ");
    line
}

/// The two numbers of devices that the table compares, in millions.
const FROM_MILLIONS: u64 = 5;
const TO_MILLIONS: u64 = 50;

fn growth(parts: &Parts) -> Line {
    let at = |millions| parts.growth.as_ref().and_then(|growth| growth.at_millions(millions));
    let both = at(FROM_MILLIONS).zip(at(TO_MILLIONS));
    let fall = both.map(|(small, large)| {
        (1.0 - large.end_to_end_per_second / small.end_to_end_per_second) * 100.0
    });
    let mut line = at_most(
        "5 million → 50 million devices",
        fall,
        15.0,
        "% by which the end-to-end rate falls",
    );
    if let Some((small, large)) = both {
        let (before, after) = (small.accept.latencies.p99_us, large.accept.latencies.p99_us);
        let times = after as f64 / before.max(1) as f64;
        line.reached = line.reached.map(|reached| reached && times < 2.0);
        line.note =
            format!("p99 of accept rises {times:.2}× (to stay under 2×): {before} → {after} µs");
    }
    line
}

fn memory(parts: &Parts) -> Line {
    let idle = parts.idle_bytes.map(|bytes| bytes as f64 / MIB);
    let grown = parts.growth.as_ref().and_then(|growth| growth.at_millions(TO_MILLIONS));
    let peak = grown.map(|size| size.peak_bytes as f64 / MIB);
    let mut line = at_most("memory with 50 million devices", peak, 1024.0, "MiB at the peak");
    if let Some(idle) = idle {
        line.note = format!("idle: {idle:.0} MiB (to stay under 150)");
        line.reached = match line.reached {
            Some(reached) => Some(reached && idle < 150.0),
            // Half of the line: it can only be lost by it.
            None => (idle >= 150.0).then_some(false),
        };
    }
    line
}

fn queries(parts: &Parts) -> Line {
    let grown = parts.growth.as_ref().and_then(|growth| growth.at_millions(TO_MILLIONS));
    let millis = |load: &Measured| load.latencies.p99_us as f64 / 1000.0;
    let slowest = grown.map(|size| millis(&size.status_recent).max(millis(&size.devices_of_user)));
    let mut line = at_most(
        "status of 100 ids of the last hour, devices of one user, at 50 million devices",
        slowest,
        5.0,
        "ms, p99 of the slower",
    );
    if let Some(size) = grown {
        line.note = format!(
            "status {:.2} ms, devices {:.2} ms; status of ids drawn evenly {:.2} ms",
            millis(&size.status_recent),
            millis(&size.devices_of_user),
            millis(&size.status_even)
        );
    }
    line
}

/// The median rate of the loads on one server.
pub fn rate_of(loads: &[Measured], server: &str) -> f64 {
    median(loads.iter().filter(|load| load.server == server).map(|l| l.per_second).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_nothing_has_every_line_and_reaches_none() {
        let lines = of(&Parts::default());
        assert_eq!(lines.len(), 9);
        assert!(lines.iter().all(|line| line.measured.is_none() && line.reached.is_none()));
    }

    #[test]
    fn a_line_is_reached_on_the_right_side_of_its_target() {
        assert_eq!(at_least("x", Some(60.0), 60.0, "%").reached, Some(true));
        assert_eq!(at_least("x", Some(59.9), 60.0, "%").reached, Some(false));
        assert_eq!(at_most("x", Some(50.1), 50.0, "µs").reached, Some(false));
        assert_eq!(at_most("x", Some(50.0), 50.0, "µs").reached, Some(true));
    }

    #[test]
    fn an_idle_server_that_is_too_large_loses_the_line_of_memory() {
        let parts = Parts { idle_bytes: Some(200 << 20), ..Parts::default() };
        assert_eq!(memory(&parts).reached, Some(false));
        let parts = Parts { idle_bytes: Some(100 << 20), ..Parts::default() };
        assert_eq!(memory(&parts).reached, None);
    }

    #[test]
    fn the_cores_allow_what_the_parts_leave_them() {
        let budget =
            Budget { generator: 5.0, accept: 15.0, client: 10.0, simulator: 10.0, finish: 10.0 };
        assert_eq!(budget.sum(), 50.0);
        assert_eq!(budget.allowed(), cores() as f64 * 20_000.0);
    }
}
