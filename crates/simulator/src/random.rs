//! Random bytes for keys, tokens and ids.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::tokens::SplitMix64;

/// Unguessable bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has random bytes");
    bytes
}

/// Ids that need only be different: a counter, scattered.
#[derive(Debug)]
pub(crate) struct Ids(AtomicU64);

impl Ids {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(u64::from_ne_bytes(bytes())))
    }

    pub(crate) fn next(&self) -> u128 {
        let mut mix = SplitMix64(self.0.fetch_add(1, Ordering::Relaxed));
        u128::from(mix.next()) << 64 | u128::from(mix.next())
    }

    pub(crate) fn next_uuid(&self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.next().to_be_bytes()).into_uuid()
    }
}
