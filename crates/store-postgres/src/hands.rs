//! Which registrations of the shards that this process holds are in a taker's hands, and when each lane is to be
//! looked at next. It is memory only: whoever holds a shard after us takes everything in it that is pending.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pushroll_domain::{Lane, Registration, RegistrationId};
use uuid::Uuid;

use crate::keys;
use crate::shards::Shards;

/// How far behind the newest look the next one begins. What is committed late, by a transaction that was begun
/// before, is within it.
const LATE_MS: i64 = 120_000;
/// The time from which everything is seen.
const FROM_THE_START: i64 = 0;
/// How often a look begins at the very beginning all the same.
const FROM_THE_START_EVERY: Duration = Duration::from_secs(60);

/// The registrations in hand; bounded by what callers take.
#[derive(Debug, Default)]
pub(crate) struct Hands(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    places: HashMap<(i16, Lane), Place>,
    /// What has gone while somebody looks: it may still be among what he sees.
    gone: Option<HashSet<RegistrationId>>,
}

/// A lane in a shard.
#[derive(Debug)]
struct Place {
    taken: HashSet<RegistrationId>,
    /// When there may be something to take; `None` if nobody knows of anything.
    look_at: Option<Instant>,
    /// Everything before this time, in milliseconds by the database's clock, is taken or gone.
    floor_ms: i64,
    /// When a look last began at the very beginning.
    from_start_at: Option<Instant>,
}

/// A look at a lane in a shard.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) shard: i16,
    pub(crate) floor_ms: i64,
    pub(crate) taken: Vec<Uuid>,
}

/// What a look found out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) shard: i16,
    /// When it is to be looked at again; `None` if there is nothing more.
    pub(crate) look_at: Option<Instant>,
    /// The database's time, if everything that was due has been seen.
    pub(crate) all_seen_at_ms: Option<i64>,
}

impl Default for Place {
    fn default() -> Self {
        Self { taken: HashSet::new(), look_at: None, floor_ms: FROM_THE_START, from_start_at: None }
    }
}

impl Place {
    fn look_by(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    fn look_everywhere(&mut self) {
        self.floor_ms = FROM_THE_START;
        self.look_by(Instant::now());
    }
}

impl Hands {
    /// Takes registrations that are being accepted, before anybody can see them.
    pub(crate) fn take(&self, shard: i16, lane: Lane, id: RegistrationId) {
        self.0.lock().places.entry((shard, lane)).or_default().taken.insert(id);
    }

    /// Something of a lane is due then.
    pub(crate) fn look_by(&self, shard: i16, lane: Lane, at: Instant) {
        self.0.lock().places.entry((shard, lane)).or_default().look_by(at);
    }

    /// Something of a lane may be due then, if it is not in hand: a survey saw it.
    pub(crate) fn seen(&self, shard: i16, lane: Lane, due: Instant, busy_again: Duration) {
        let mut state = self.0.lock();
        let place = state.places.entry((shard, lane)).or_default();
        // The first in a busy lane is most likely in hand already.
        let wait = if place.taken.is_empty() { Duration::ZERO } else { busy_again };
        place.look_by(due.max(Instant::now() + wait));
    }

    /// Lets go of registrations, which are due again as they are.
    pub(crate) fn give_back(
        &self,
        shard: i16,
        lane: Lane,
        ids: impl Iterator<Item = RegistrationId>,
    ) {
        let mut state = self.0.lock();
        let Some(place) = state.places.get_mut(&(shard, lane)) else { return };
        for id in ids {
            if place.taken.remove(&id) {
                place.look_everywhere();
            }
        }
    }

    /// Lets go of registrations that have ended, or that are due at another time.
    pub(crate) fn gone(&self, shard: i16, lane: Lane, id: RegistrationId, due: Option<Instant>) {
        let mut state = self.0.lock();
        if due.is_none()
            && let Some(gone) = &mut state.gone
        {
            gone.insert(id);
        }
        let Some(place) = state.places.get_mut(&(shard, lane)) else { return };
        place.taken.remove(&id);
        if let Some(due) = due {
            // It may be due before what has been seen.
            place.floor_ms = FROM_THE_START;
            place.look_by(due);
        } else if place.taken.is_empty() && place.look_at.is_none() {
            state.places.remove(&(shard, lane));
        }
    }

    /// Begins a look at a lane, in those of these shards where there may be something (everywhere, if `everything`).
    pub(crate) fn begin_look(&self, lane: Lane, shards: &[i16], everything: bool) -> Vec<Look> {
        let now = Instant::now();
        let mut state = self.0.lock();
        state.gone = Some(HashSet::new());
        let looks = shards.iter().filter_map(|&shard| {
            let place = match state.places.get_mut(&(shard, lane)) {
                Some(place) => place,
                None if everything => state.places.entry((shard, lane)).or_default(),
                None => return None,
            };
            if !everything && place.look_at.is_none_or(|at| at > now) {
                return None;
            }
            place.look_at = None;
            let is_old = |at: Instant| now.duration_since(at) >= FROM_THE_START_EVERY;
            if everything || place.from_start_at.is_none_or(is_old) {
                place.floor_ms = FROM_THE_START;
            }
            if place.floor_ms == FROM_THE_START {
                place.from_start_at = Some(now);
            }
            Some(Look {
                shard,
                floor_ms: place.floor_ms,
                taken: place.taken.iter().map(|id| keys::id(*id)).collect(),
            })
        });
        looks.collect()
    }

    /// Ends a look: takes those of the found registrations that nobody has taken meanwhile.
    pub(crate) fn end_look(
        &self,
        lane: Lane,
        seen: &[Seen],
        found: Vec<(i16, Registration)>,
    ) -> Vec<Registration> {
        let mut state = self.0.lock();
        let gone = state.gone.take().unwrap_or_default();
        for one in seen {
            let place = state.places.entry((one.shard, lane)).or_default();
            if let Some(at) = one.look_at {
                place.look_by(at);
            }
            if let Some(now_ms) = one.all_seen_at_ms
                && place.look_at.is_none_or(|at| at > Instant::now())
            {
                place.floor_ms = now_ms - LATE_MS;
            }
        }
        let mut taken = Vec::with_capacity(found.len());
        for (shard, registration) in found {
            let place = state.places.entry((shard, lane)).or_default();
            if !gone.contains(&registration.id) && place.taken.insert(registration.id) {
                taken.push(registration);
            }
        }
        for one in seen {
            let place = (one.shard, lane);
            if state.places.get(&place).is_some_and(|p| p.taken.is_empty() && p.look_at.is_none()) {
                state.places.remove(&place);
            }
        }
        taken
    }

    /// Ends a look that failed.
    pub(crate) fn look_again(&self, lane: Lane, looks: &[Look]) {
        let mut state = self.0.lock();
        state.gone = None;
        for look in looks {
            state.places.entry((look.shard, lane)).or_default().look_everywhere();
        }
    }

    /// Has everything in these shards looked at from the beginning: they have just become ours.
    pub(crate) fn forget_looks(&self, shards: &[i16]) {
        let mut state = self.0.lock();
        for ((shard, _), place) in &mut state.places {
            if shards.contains(shard) {
                place.look_everywhere();
            }
        }
    }

    /// How many registrations of a shard are in hand.
    pub(crate) fn of_shard(&self, shard: i16) -> usize {
        let state = self.0.lock();
        let places = state.places.iter().filter(|((of, _), _)| *of == shard);
        places.map(|(_, place)| place.taken.len()).sum()
    }

    /// For each lane what is known to be there: those in hand, and one more if there is something to look at.
    pub(crate) fn lanes(&self, is_held: impl Fn(i16) -> bool) -> HashMap<Lane, u64> {
        let now = Instant::now();
        let state = self.0.lock();
        let mut lanes: HashMap<Lane, (u64, bool)> = HashMap::new();
        for ((shard, lane), place) in &state.places {
            let known = lanes.entry(*lane).or_default();
            known.0 += place.taken.len() as u64;
            known.1 |= is_held(*shard) && place.look_at.is_some_and(|at| at <= now);
        }
        lanes.into_iter().map(|(lane, (taken, more))| (lane, taken + u64::from(more))).collect()
    }
}

/// Registrations on their way into a taker's hands. If he is no longer there to take them (his future was
/// dropped), they go back.
pub(crate) struct Hand {
    hands: Arc<Hands>,
    taken: Vec<(i16, Lane, RegistrationId)>,
}

impl Hand {
    pub(crate) fn new(hands: &Arc<Hands>) -> Self {
        Self { hands: Arc::clone(hands), taken: Vec::new() }
    }

    pub(crate) fn holds(&mut self, shard: i16, registration: &Registration) {
        self.taken.push((shard, registration.lane(), registration.id));
    }

    /// They have arrived.
    pub(crate) fn arrived(mut self) {
        self.taken.clear();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        for (shard, lane, id) in self.taken.drain(..) {
            self.hands.give_back(shard, lane, std::iter::once(id));
        }
    }
}

/// The shard of a registration.
pub(crate) fn shard_of(shards: Shards, registration: &Registration) -> i16 {
    shards.of_user(&registration.user.key_in(registration.app))
}
