//! A clock that stands until it is moved.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use pushroll::machine::SystemClock;
use pushroll_domain::{Clock, Timestamp};
use pushroll_simulator::Controls;

/// A clock that stands until it is moved. The simulators that it was given move with it, so that tokens
/// do not age on one side only.
#[derive(Clone)]
pub struct ManualClock(Arc<Inner>);

struct Inner {
    now_millis: AtomicU64,
    simulators: Mutex<Vec<Controls>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock that shows the time at which it was made.
    #[must_use]
    pub fn new() -> Self {
        let now_millis = AtomicU64::new(machine_millis());
        Self(Arc::new(Inner { now_millis, simulators: Mutex::default() }))
    }

    /// Moves it forward.
    pub fn advance(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).expect("a span that a test can mean");
        let now = self.0.now_millis.fetch_add(millis, Ordering::SeqCst) + millis;
        for simulator in self.0.simulators.lock().iter() {
            set(simulator, now);
        }
    }

    /// Moves it back, as a wrong clock is put right.
    pub fn go_back(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).expect("a span that a test can mean");
        let now = self.0.now_millis.fetch_sub(millis, Ordering::SeqCst) - millis;
        for simulator in self.0.simulators.lock().iter() {
            set(simulator, now);
        }
    }

    /// Takes a simulator's clock along from now on.
    pub(crate) fn takes_along(&self, simulator: &Controls) {
        set(simulator, self.0.now_millis.load(Ordering::SeqCst));
        self.0.simulators.lock().push(simulator.clone());
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now_millis.load(Ordering::SeqCst))
    }
}

fn set(simulator: &Controls, now_millis: u64) {
    let signed = |millis: u64| i64::try_from(millis).expect("a time before the year 292 million");
    let offset = signed(now_millis) - signed(machine_millis());
    simulator.set_clock_offset_ms(offset).expect("a test that ends within ten years");
}

fn machine_millis() -> u64 {
    SystemClock.now().as_millis()
}

/// So many seconds.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// So many minutes.
#[must_use]
pub const fn minutes(count: u64) -> Duration {
    seconds(count * 60)
}

/// So many hours.
#[must_use]
pub const fn hours(count: u64) -> Duration {
    minutes(count * 60)
}

/// So many days.
#[must_use]
pub const fn days(count: u64) -> Duration {
    hours(count * 24)
}
