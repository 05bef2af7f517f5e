//! When to ask a provider again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::time::Timestamp;

/// The tries of a registration so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tries {
    /// How often a provider was asked.
    pub attempts: u32,
    /// When it was first asked; the retry window begins there.
    pub first_attempt_at: Option<Timestamp>,
    /// The run of the process in which it was last asked.
    pub last_run: Option<RunId>,
}

impl Tries {
    /// These tries and one more.
    #[must_use]
    pub fn and_one(self, now: Timestamp, run: RunId) -> Self {
        Self {
            attempts: self.attempts.saturating_add(1),
            // One that lies ahead was written by a clock that has gone back since: the window
            // begins anew rather than years from now.
            first_attempt_at: Some(self.first_attempt_at.map_or(now, |first| first.min(now))),
            last_run: Some(run),
        }
    }
}

/// Exponential backoff with full jitter: before the n-th retry up to `base` × 2^(n-1), at most
/// `longest`, never less than the provider's `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The most to wait before the first retry.
    pub base: Duration,
    /// The most to wait before any retry, but for `Retry-After`.
    pub longest: Duration,
    /// How long after the first attempt retries go on.
    pub window: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            window: Duration::from_secs(3600),
        }
    }
}

impl Backoff {
    /// When to try again after the tries made so far (the one that has just failed among them), or
    /// `None` when the window is over. The last try is made when the window closes, unless the
    /// provider asked for longer.
    #[must_use]
    pub fn next_due(
        &self,
        tries: &Tries,
        retry_after: Option<Duration>,
        now: Timestamp,
        random: u64,
    ) -> Option<Timestamp> {
        let closes = tries.first_attempt_at.map_or(now, |first| first.min(now)).plus(self.window);
        if now >= closes {
            return None;
        }
        let asked_for = now.plus(retry_after.unwrap_or(Duration::ZERO));
        if asked_for > closes {
            return None;
        }
        let wait = self.jittered(tries.attempts, random);
        Some(now.plus(wait).min(closes).max(asked_for))
    }

    /// Whether the window is over for a registration that was already asked about in this run: only
    /// then may it fail without being asked again.
    #[must_use]
    pub fn is_over(&self, tries: &Tries, run: RunId, now: Timestamp) -> bool {
        tries.last_run == Some(run)
            && tries.first_attempt_at.is_some_and(|first| now >= first.plus(self.window))
    }

    fn jittered(&self, attempts: u32, random: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let most = self.base.saturating_mul(1 << doublings).min(self.longest);
        let part = random as f64 / u64::MAX as f64;
        most.mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(50_000_000);

    fn tried(attempts: u32, ago: Duration) -> Tries {
        Tries { attempts, first_attempt_at: Some(NOW.minus(ago)), last_run: Some(RunId(1)) }
    }

    fn most_after(attempts: u32) -> Duration {
        let tries = tried(attempts, Duration::ZERO);
        Backoff::default().next_due(&tries, None, NOW, u64::MAX).unwrap().since(NOW)
    }

    #[test]
    fn the_wait_is_1_s_doubled_and_at_most_60_s() {
        let waits: Vec<u64> = (1..=9).map(|n| most_after(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(most_after(u32::MAX).as_secs(), 60);
    }

    #[test]
    fn jitter_is_full() {
        let tries = tried(5, Duration::ZERO);
        assert_eq!(Backoff::default().next_due(&tries, None, NOW, 0), Some(NOW));
    }

    #[test]
    fn the_wait_is_never_less_than_retry_after() {
        let tries = tried(1, Duration::ZERO);
        let asked = Some(Duration::from_secs(7));
        let due = Backoff::default().next_due(&tries, asked, NOW, 0);
        assert_eq!(due, Some(NOW.plus(Duration::from_secs(7))));
    }

    #[test]
    fn the_last_try_is_made_when_the_window_closes() {
        let tries = tried(9, Duration::from_secs(3590));
        let due = Backoff::default().next_due(&tries, None, NOW, u64::MAX);
        assert_eq!(due, Some(NOW.plus(Duration::from_secs(10))));
        let over = tried(9, Duration::from_secs(3600));
        assert_eq!(Backoff::default().next_due(&over, None, NOW, 0), None);
    }

    #[test]
    fn a_retry_after_beyond_the_window_ends_it() {
        let tries = tried(9, Duration::from_secs(3590));
        let asked = Some(Duration::from_secs(11));
        assert_eq!(Backoff::default().next_due(&tries, asked, NOW, 0), None);
    }

    #[test]
    fn a_first_attempt_that_lies_ahead_begins_the_window_anew() {
        let ahead = NOW.plus(Duration::from_secs(365 * 24 * 3600));
        let tries = Tries { first_attempt_at: Some(ahead), ..tried(3, Duration::ZERO) };
        assert_eq!(tries.and_one(NOW, RunId(1)).first_attempt_at, Some(NOW));
        let backoff = Backoff::default();
        let window_over = NOW.plus(backoff.window);
        assert!(backoff.next_due(&tries, None, NOW, u64::MAX).unwrap() <= window_over);
        let asked = Some(backoff.window + Duration::from_secs(1));
        assert_eq!(backoff.next_due(&tries, asked, NOW, 0), None);
    }

    #[test]
    fn after_a_restart_it_is_asked_once_more_before_it_may_fail() {
        let tries = tried(9, Duration::from_secs(90_000));
        let backoff = Backoff::default();
        assert!(backoff.is_over(&tries, RunId(1), NOW));
        assert!(!backoff.is_over(&tries, RunId(2), NOW));
        assert!(!backoff.is_over(&Tries::default(), RunId(1), NOW));
    }
}
