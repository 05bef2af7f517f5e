//! What `/metrics` says: everything that the parts count, and gauges of what waits and of what is held back,
//! looked up every second. One recorder for the process, however many servers run in it.

pub mod catalogue;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use pushroll_domain::{BreakerState, Lane, Store};
use pushroll_engine::Service;
use tokio_util::sync::CancellationToken;

/// Upper bounds of the buckets of durations: from a commit on fast flash to the longest retry window.
const SECONDS: [f64; 18] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 60.0, 3600.0,
];
/// Of numbers of items.
const ITEMS: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];
/// Of sizes.
const BYTES: [f64; 8] =
    [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 8_388_608.0];
/// How often the gauges are looked up.
const EVERY: Duration = Duration::from_secs(1);
/// How many looks there are to one round of tidying the recorder, which otherwise happens when somebody asks
/// for the metrics only.
const LOOKS_PER_UPKEEP: u32 = 5;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// The process's recorder; installed by the first who asks. Ask before anything is counted.
///
/// # Errors
/// When the process has another recorder.
pub fn recorder() -> anyhow::Result<PrometheusHandle> {
    let _one_at_a_time = INSTALLING.lock();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_items".to_owned()), &ITEMS))
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES))
        .and_then(PrometheusBuilder::install_recorder)
        .context("the metrics' recorder can't be installed")?;
    catalogue::describe();
    Ok(RECORDER.get_or_init(|| handle).clone())
}

/// Keeps the gauges up to date until `stop` is cancelled.
pub async fn keep_gauges(
    service: Service,
    store: Arc<dyn Store>,
    recorder: PrometheusHandle,
    stop: CancellationToken,
) {
    gauge!("pushroll_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let mut lanes = LaneGauges::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0u32;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        gauge!("pushroll_ready").set(f64::from(u8::from(service.ready().await.is_ok())));
        lanes.look(&service, &*store).await;
        look_at_the_process();
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(LOOKS_PER_UPKEEP) {
            recorder.run_upkeep();
        }
    }
}

/// The gauges by lane. A lane that is no longer heard of goes back to zero.
#[derive(Default)]
struct LaneGauges(HashMap<Lane, LaneFigures>);

#[derive(Clone, Copy, PartialEq)]
struct LaneFigures {
    pending: u64,
    in_memory: usize,
    breaker: BreakerState,
}

impl Default for LaneFigures {
    fn default() -> Self {
        Self { pending: 0, in_memory: 0, breaker: BreakerState::Closed }
    }
}

impl LaneGauges {
    async fn look(&mut self, service: &Service, store: &dyn Store) {
        let mut now: HashMap<Lane, LaneFigures> = HashMap::new();
        // A store that can't answer leaves the figures as they were.
        let Ok(loads) = store.lanes().await else { return };
        for load in loads {
            now.entry(load.lane).or_default().pending = load.pending;
        }
        for report in service.lanes() {
            let figures = now.entry(report.lane).or_default();
            figures.in_memory = report.in_memory;
            figures.breaker = report.breaker;
        }
        for gone in self.0.keys().filter(|lane| !now.contains_key(lane)) {
            set(*gone, LaneFigures::default());
        }
        for (lane, figures) in &now {
            if self.0.get(lane) != Some(figures) {
                set(*lane, *figures);
            }
        }
        self.0 = now;
    }
}

fn set(lane: Lane, figures: LaneFigures) {
    let labels = || {
        let platform = lane.platform.name().to_owned();
        [("app", lane.app.to_string()), ("platform", platform)]
    };
    gauge!("pushroll_registrations_pending", &labels()).set(figures.pending as f64);
    gauge!("pushroll_registrations_in_memory", &labels()).set(figures.in_memory as f64);
    let held_back = figures.breaker != BreakerState::Closed;
    gauge!("pushroll_breaker_open", &labels()).set(f64::from(u8::from(held_back)));
    for state in BreakerState::ALL {
        let [app, platform] = labels();
        let labels = [app, platform, ("state", state.name().to_owned())];
        let is_it = f64::from(u8::from(figures.breaker == state));
        gauge!("pushroll_breaker_state", &labels).set(is_it);
    }
}

/// The usual gauges of a process, where the system has them.
fn look_at_the_process() {
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        if let Some(kib) = kib {
            gauge!("process_resident_memory_bytes").set(kib * 1024.0);
        }
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(files.count() as f64);
    }
}

/// Says when the process started, and how many files it may open.
pub fn note_start(seconds: u64) {
    gauge!("process_start_time_seconds").set(seconds as f64);
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    gauge!("process_max_fds").set(most.map_or(f64::INFINITY, |most| most as f64));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_buckets_and_the_recorder_is_one_for_the_process() {
        let handle = recorder().unwrap();
        metrics::histogram!("test_of_buckets_seconds").record(0.003);
        metrics::histogram!("test_of_buckets_items").record(3.0);
        let text = recorder().unwrap().render();
        assert!(text.contains("test_of_buckets_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("test_of_buckets_items_bucket{le=\"2\"} 0"), "{text}");
        assert!(handle.render().contains("test_of_buckets_items_count 1"));
    }
}
