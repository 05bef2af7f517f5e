//! How far this machine's clock is from the database's, by which alone it is decided what is due.
//!
//! Times that another node may compare with its own are in the database by the database's clock: when something is due,
//! was first attempted, has ended. Each node reads them by its own. Times that are only shown, and what operators set
//! (when a token ends), are as they were given.
//!
//! Clocks that differ by less than half a second are taken to agree, so that what was given in one order is due in
//! that order.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pushroll_domain::{Timestamp, Tries};

use crate::rows::codes;

/// A difference of less is none.
const AGREE_MS: i64 = 500;
/// The year 2286: further in the future nobody looks.
const FAR_MS: i64 = 10_000_000_000_000;

/// What is to be added to our time to get the database's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Skew(i64);

impl Skew {
    /// Milliseconds by the database's clock.
    pub(crate) fn to_database(self, at: Timestamp) -> i64 {
        codes::millis(at).min(FAR_MS).saturating_add(self.0)
    }

    /// A time by our clock, of milliseconds by the database's.
    pub(crate) fn to_ours(self, millis: i64) -> Timestamp {
        codes::timestamp_of(millis.saturating_sub(self.0))
    }

    /// What was tried, with its times by the database's clock.
    pub(crate) fn tries_to_database(self, tries: &Tries) -> Tries {
        let at = |at| codes::timestamp_of(self.to_database(at));
        Tries { first_attempt_at: tries.first_attempt_at.map(at), ..*tries }
    }

    /// What was tried, with its times by our clock.
    pub(crate) fn tries_to_ours(self, tries: &Tries) -> Tries {
        let at = |at| self.to_ours(codes::millis(at));
        Tries { first_attempt_at: tries.first_attempt_at.map(at), ..*tries }
    }
}

/// The skew as it was last measured.
#[derive(Debug, Default)]
pub(crate) struct Skewed(AtomicI64);

impl Skewed {
    pub(crate) fn get(&self) -> Skew {
        Skew(self.0.load(Ordering::Relaxed))
    }

    /// The database told its time, some time between these two of ours.
    pub(crate) fn measured(&self, before: Timestamp, told_ms: i64, took: Duration) {
        let half = i64::try_from(took.as_millis() / 2).unwrap_or(i64::MAX);
        let measured = told_ms.saturating_sub(codes::millis(before)).saturating_sub(half);
        let known = self.0.load(Ordering::Relaxed);
        let doubt = AGREE_MS.saturating_add(half);
        if measured.saturating_sub(known).abs() <= doubt {
            return;
        }
        let agrees = measured.abs() <= doubt;
        self.0.store(if agrees { 0 } else { measured }, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn clocks_that_nearly_agree_agree() {
        let skewed = Skewed::default();
        skewed.measured(NOW, 1_000_400, Duration::ZERO);
        assert_eq!(skewed.get().to_database(NOW), 1_000_000);
        skewed.measured(NOW, 1_001_400, Duration::from_secs(2));
        assert_eq!(skewed.get().to_database(NOW), 1_000_000, "it may have been the way");
    }

    #[test]
    fn a_clock_that_is_off_is_corrected_and_stays_so_until_it_changes() {
        let skewed = Skewed::default();
        skewed.measured(NOW, 1_060_000, Duration::ZERO);
        skewed.measured(NOW, 1_060_300, Duration::ZERO);
        assert_eq!(skewed.get().to_database(NOW), 1_060_000);
        assert_eq!(skewed.get().to_ours(1_060_000), NOW);
        let tries = Tries { attempts: 2, first_attempt_at: Some(NOW), last_run: None };
        let there = skewed.get().tries_to_database(&tries);
        assert_eq!(there.first_attempt_at, Some(Timestamp::from_millis(1_060_000)));
        assert_eq!(skewed.get().tries_to_ours(&there), tries);
        skewed.measured(NOW, 1_000_010, Duration::ZERO);
        assert_eq!(skewed.get().to_database(NOW), 1_000_000);
        assert!(skewed.get().to_database(Timestamp::from_millis(u64::MAX)) < i64::MAX / 2);
    }
}
