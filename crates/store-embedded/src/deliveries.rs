//! Which hosts have callbacks waiting, in memory, so that no scan passes what is done.
//!
//! Hosts can be many, so they share buckets by the first 16 bits of their keys: the memory is
//! bounded, and a bucket with several hosts only costs a few more seeks.

use std::collections::BTreeMap;

use pushroll_domain::HostKey;

use crate::keys::{self, CallbackKey};

/// The waiting callbacks by bucket of hosts.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    buckets: BTreeMap<u16, Bucket>,
    /// Whose turn it is.
    turn: HostKeyBytes,
    total: u64,
}

type HostKeyBytes = [u8; 8];

#[derive(Debug)]
struct Bucket {
    count: u64,
    /// No row of the bucket lies before this key.
    floor: CallbackKey,
}

/// A range of keys in which callbacks may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// The first key that may be there.
    pub(crate) from: CallbackKey,
    /// The key before which it ends; `None` for the end of all keys.
    pub(crate) to: Option<CallbackKey>,
    /// Whether `from` is the floor of its bucket.
    pub(crate) from_floor: bool,
}

impl Waiting {
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn added(&mut self, key: &CallbackKey) {
        self.total += 1;
        let bucket = self.buckets.entry(bucket_of(key)).or_insert(Bucket { count: 0, floor: *key });
        bucket.count += 1;
        bucket.floor = bucket.floor.min(*key);
    }

    /// A callback was handed out.
    pub(crate) fn removed(&mut self, key: &CallbackKey) {
        self.total = self.total.saturating_sub(1);
        if let Some(bucket) = self.buckets.get_mut(&bucket_of(key)) {
            bucket.count = bucket.count.saturating_sub(1);
            if bucket.count == 0 {
                self.buckets.remove(&bucket_of(key));
            }
        }
    }

    /// All rows of the bucket before this key are gone.
    pub(crate) fn raise_floor(&mut self, floor: CallbackKey) {
        if let Some(bucket) = self.buckets.get_mut(&bucket_of(&floor)) {
            bucket.floor = bucket.floor.max(floor);
        }
    }

    /// After this host it is the next one's turn.
    pub(crate) fn had_its_turn(&mut self, host: HostKey) {
        self.turn = keys::successor(&host.0);
    }

    /// Where callbacks wait, beginning with the host whose turn it is, each key once.
    pub(crate) fn stretches(&self) -> Vec<Stretch> {
        let turn = key_from(self.turn);
        let first = bucket_of(&turn);
        let mut stretches = Vec::new();
        for (number, bucket) in self.buckets.range(first..) {
            let from = bucket.floor.max(turn);
            let from_floor = from == bucket.floor;
            stretches.push(Stretch { from, to: end_of(*number), from_floor });
        }
        for (number, bucket) in self.buckets.range(..=first) {
            let to = if *number == first { Some(turn) } else { end_of(*number) };
            if to.is_none_or(|to| bucket.floor < to) {
                stretches.push(Stretch { from: bucket.floor, to, from_floor: true });
            }
        }
        stretches
    }
}

/// The first key of the host after this one; `None` after the last.
pub(crate) fn next_host(host: HostKey) -> Option<CallbackKey> {
    (host.0 != [0xff; 8]).then(|| key_from(keys::successor(&host.0)))
}

fn bucket_of(key: &CallbackKey) -> u16 {
    u16::from_be_bytes([key[0], key[1]])
}

fn end_of(bucket: u16) -> Option<CallbackKey> {
    let next = bucket.checked_add(1)?.to_be_bytes();
    let mut key = [0; 32];
    key[..2].copy_from_slice(&next);
    Some(key)
}

fn key_from(host: HostKeyBytes) -> CallbackKey {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&host);
    key
}
