//! Whether the server is busy: then verification gives way.
//!
//! It is for a while after many requests waited for their registrations to be kept. A commit answers all of them at once: how
//! many wait in an instant says little, and whoever filled memory in such an instant would have it
//! full in the next.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// For how long.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// How many requests wait.
pub(super) struct Busy {
    /// With more requests than this the server is busy.
    requests: usize,
    waiting: AtomicUsize,
    begin: Instant,
    /// In microseconds from the beginning.
    until: AtomicU64,
}

/// A request whose registrations are being kept, until this is dropped.
pub(crate) struct Waiting<'b>(&'b AtomicUsize);

impl Busy {
    pub(super) fn new(requests: usize) -> Self {
        let (waiting, until) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self { requests, waiting, begin: Instant::now(), until }
    }

    /// Counts a request whose registrations are going to be kept.
    pub(super) fn wait(&self, now: Instant) -> Waiting<'_> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.requests {
            self.until.store(self.micros(now + AFTERWARDS), Ordering::Relaxed);
        }
        Waiting(&self.waiting)
    }

    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.micros(now) < self.until.load(Ordering::Relaxed)
    }

    fn micros(&self, time: Instant) -> u64 {
        u64::try_from(time.duration_since(self.begin).as_micros()).unwrap_or(u64::MAX)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_busy_for_a_while_after_many_requests_waited() {
        let busy = Busy::new(2);
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let waiting = [busy.wait(at(0)), busy.wait(at(1))];
        assert!(!busy.is_busy(at(1)));
        let third = busy.wait(at(2));
        assert!(busy.is_busy(at(2)));
        drop((waiting, third));
        assert!(busy.is_busy(at(1_001)), "a commit has answered them all");
        assert!(!busy.is_busy(at(1_002)));
        let _one = busy.wait(at(1_003));
        assert!(!busy.is_busy(at(1_003)), "one waits");
    }
}
