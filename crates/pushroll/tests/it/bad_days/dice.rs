//! Chance that can be repeated: everything random in these tests comes from one seed, which is printed
//! and can be given.

use super::now::now;

/// Random numbers from a seed (Vigna's SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// From `PUSHROLL_TEST_SEED`, or else from the time; says which.
    pub fn thrown(test: &str) -> Self {
        let given = std::env::var("PUSHROLL_TEST_SEED").ok();
        let seed = match given {
            Some(text) => text.parse().expect("PUSHROLL_TEST_SEED is a number"),
            None => now().unix_timestamp_nanos() as u64,
        };
        eprintln!("{test}: PUSHROLL_TEST_SEED={seed} throws the same dice again");
        Self(seed)
    }

    /// Others, which follow from these.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to one less than this.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}
