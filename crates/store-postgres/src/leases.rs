//! Which shards this process works on. A lease lasts as long as the database says; here it is known until when it
//! surely does, by our own clock counted from before it was asked for.

use std::time::{Duration, Instant};

use parking_lot::RwLock;

/// How much earlier than the database we take a lease for lapsed.
const MARGIN: Duration = Duration::from_secs(2);

/// What is known of the leases.
#[derive(Debug)]
pub(crate) struct Leases(RwLock<Vec<Lease>>);

#[derive(Debug, Clone, Copy, Default)]
struct Lease {
    until: Option<Instant>,
    /// Nothing more of it is taken; it goes to another node as soon as nothing is in hand.
    leaves_since: Option<Instant>,
}

impl Leases {
    pub(crate) fn new(shards: u16) -> Self {
        Self(RwLock::new(vec![Lease::default(); usize::from(shards)]))
    }

    /// Whether this process works on the shard.
    pub(crate) fn holds(&self, shard: i16) -> bool {
        let leases = self.0.read();
        place(shard)
            .and_then(|place| leases.get(place))
            .is_some_and(|lease| lease.is_good(Instant::now()))
    }

    /// The shards that this process works on.
    pub(crate) fn held(&self) -> Vec<i16> {
        let now = Instant::now();
        self.matching(|lease| lease.is_good(now))
    }

    /// The shards that are ours in the database, as far as we know, those that leave among them.
    pub(crate) fn ours(&self) -> Vec<i16> {
        self.matching(|lease| lease.until.is_some())
    }

    /// The shards that leave, and since when.
    pub(crate) fn leaving(&self) -> Vec<(i16, Instant)> {
        let leases = self.0.read();
        let leaving = leases.iter().zip(0_i16..);
        leaving.filter_map(|(lease, shard)| Some((shard, lease.leaves_since?))).collect()
    }

    /// The database let us have it, asked at this time. Whether it is newly ours.
    pub(crate) fn got(&self, shard: i16, asked_at: Instant, lease: Duration) -> bool {
        let mut leases = self.0.write();
        let Some(known) = place(shard).and_then(|place| leases.get_mut(place)) else {
            return false;
        };
        let was_good = known.until.is_some_and(|until| until > Instant::now());
        known.until = Some(asked_at + lease.saturating_sub(MARGIN));
        !was_good
    }

    /// It is another's, or nobody's.
    pub(crate) fn lost(&self, shard: i16) {
        let mut leases = self.0.write();
        if let Some(known) = place(shard).and_then(|place| leases.get_mut(place)) {
            *known = Lease::default();
        }
    }

    /// Nothing more of it is to be taken.
    pub(crate) fn leave(&self, shard: i16) {
        let mut leases = self.0.write();
        if let Some(known) = place(shard).and_then(|place| leases.get_mut(place)) {
            known.leaves_since.get_or_insert_with(Instant::now);
        }
    }

    /// It is to stay after all.
    pub(crate) fn stay(&self, shard: i16) {
        let mut leases = self.0.write();
        if let Some(known) = place(shard).and_then(|place| leases.get_mut(place)) {
            known.leaves_since = None;
        }
    }

    fn matching(&self, which: impl Fn(&Lease) -> bool) -> Vec<i16> {
        let leases = self.0.read();
        leases
            .iter()
            .zip(0_i16..)
            .filter(|(lease, _)| which(lease))
            .map(|(_, shard)| shard)
            .collect()
    }
}

impl Lease {
    fn is_good(&self, now: Instant) -> bool {
        self.leaves_since.is_none() && self.until.is_some_and(|until| until > now)
    }
}

fn place(shard: i16) -> Option<usize> {
    usize::try_from(shard).ok()
}

/// How many of the shards the node at this place among the nodes is to hold.
pub(crate) fn fair_share(shards: u16, nodes: usize, place: usize) -> usize {
    let (shards, nodes) = (usize::from(shards), nodes.max(1));
    shards / nodes + usize::from(place < shards % nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_nodes_are_all_shards_and_differ_by_one_at_most() {
        for (shards, nodes) in [(64, 1), (64, 3), (1, 4), (4_096, 7)] {
            let shares: Vec<_> = (0..nodes).map(|place| fair_share(shards, nodes, place)).collect();
            assert_eq!(shares.iter().sum::<usize>(), usize::from(shards));
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn a_lease_lapses_here_before_it_does_in_the_database() {
        let leases = Leases::new(4);
        let asked_at = Instant::now();
        assert!(leases.got(2, asked_at, Duration::from_secs(15)), "newly ours");
        assert!(!leases.got(2, asked_at, Duration::from_secs(15)), "ours as before");
        assert_eq!(leases.held(), [2]);
        assert!(leases.got(3, asked_at, MARGIN), "ours, and lapsed");
        assert!(!leases.holds(3));
        leases.leave(2);
        assert!(!leases.holds(2), "nothing more is taken of what leaves");
        assert_eq!(leases.ours(), [2, 3]);
        leases.stay(2);
        assert!(leases.holds(2));
        leases.lost(2);
        assert!(leases.held().is_empty());
    }
}
