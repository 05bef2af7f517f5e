//! Which registrations are in a taker's hands, and where the rest of each lane begins.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pushroll_domain::{Lane, Registration, RegistrationId, StoreError, Timestamp};
use rocksdb::{DB, ReadOptions};

use crate::columns::{Column, Columns};
use crate::health::fault_of;
use crate::keys::{self, QueueKey};
use crate::shared::Shared;

/// A place in a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) lane: Lane,
    pub(crate) key: QueueKey,
    pub(crate) id: RegistrationId,
}

impl Place {
    pub(crate) fn of(registration: &Registration) -> Self {
        let (lane, id) = (registration.lane(), registration.id);
        Self { lane, key: keys::queue(lane, registration.due, id), id }
    }
}

/// The registrations in hand; bounded by what callers take.
#[derive(Debug, Default)]
pub(crate) struct Hands(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    taken: HashSet<RegistrationId>,
    /// All rows of the lane before this key are taken or gone, so that a scan needs not pass them
    /// again, nor what is left of deleted ones.
    rest_from: HashMap<Lane, QueueKey>,
    /// Where rows are now that were moved while they were in hand: whoever gives one back knows its old place.
    moved: HashMap<RegistrationId, QueueKey>,
}

impl State {
    fn forget_moved(&mut self, id: &RegistrationId) -> Option<QueueKey> {
        // Almost always there are none.
        if self.moved.is_empty() { None } else { self.moved.remove(id) }
    }

    fn rest_begins_by(&mut self, lane: Lane, key: QueueKey) {
        if let Some(from) = self.rest_from.get_mut(&lane)
            && key < *from
        {
            *from = key;
        }
    }
}

impl Hands {
    /// Takes registrations that are being accepted, before they can be seen by [`Hands::take_due`].
    pub(crate) fn take(&self, ids: impl Iterator<Item = RegistrationId>) {
        self.0.lock().taken.extend(ids);
    }

    /// Takes the first rows of a lane that are due and in nobody's hands.
    ///
    /// The lock is held from before the scan sees the queue until the rows are taken, and the writer
    /// lets go of a registration only after its row has visibly gone: so a row that is done can't be
    /// handed out again.
    pub(crate) fn take_due(
        &self,
        db: &DB,
        columns: Columns<'_>,
        lane: Lane,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(QueueKey, Vec<u8>)>, StoreError> {
        let begin =
            keys::queue(lane, Timestamp::from_millis(0), RegistrationId::from_bytes([0; 16]));
        let end_due = Timestamp::from_millis(now.as_millis().saturating_add(1));
        let end = keys::queue(lane, end_due, RegistrationId::from_bytes([0; 16]));
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end);
        let mut state = self.0.lock();
        let mut from = state.rest_from.get(&lane).copied().unwrap_or(begin);
        let mut rows = Vec::new();
        let mut cursor = db.raw_iterator_cf_opt(columns.get(Column::Queue), options);
        if from < end && limit > 0 {
            cursor.seek(from);
            while let Some((key, value)) = cursor.item() {
                let (Ok(key), Some(id)) = (QueueKey::try_from(key), keys::id_of(key)) else {
                    return Err(StoreError::Corrupt("a key of the queue can't be read".into()));
                };
                if !state.taken.contains(&id) {
                    rows.push((key, value.to_vec()));
                }
                from = keys::successor(&key);
                if rows.len() == limit {
                    break;
                }
                cursor.next();
            }
            cursor.status().map_err(|error| fault_of(&error))?;
            if rows.len() < limit {
                from = end;
            }
            state.rest_from.insert(lane, from);
        }
        state.taken.extend(rows.iter().filter_map(|(key, _)| keys::id_of(key)));
        Ok(rows)
    }

    /// Gives registrations back as they are. One that nobody had taken stays as it is.
    pub(crate) fn give_back(&self, places: impl Iterator<Item = Place>) {
        let mut state = self.0.lock();
        for place in places {
            if state.taken.remove(&place.id) {
                let key = state.forget_moved(&place.id).unwrap_or(place.key);
                state.rest_begins_by(place.lane, key);
            }
        }
    }

    /// Takes note of what a commit did, when it can be seen.
    pub(crate) fn after_commit(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.0.lock();
        for change in changes {
            match change {
                Change::Added(place) => state.rest_begins_by(place.lane, place.key),
                Change::Forward(place) => {
                    if state.taken.contains(&place.id) {
                        state.moved.insert(place.id, place.key);
                    }
                    state.rest_begins_by(place.lane, place.key);
                }
                Change::Moved(place) => {
                    state.taken.remove(&place.id);
                    state.forget_moved(&place.id);
                    state.rest_begins_by(place.lane, place.key);
                }
                Change::Gone(id) => {
                    state.taken.remove(id);
                    state.forget_moved(id);
                }
            }
        }
    }

    /// After a reopen: forgets what is no longer pending, and looks at every lane from its start.
    pub(crate) fn keep_only(&self, is_pending: &HashSet<RegistrationId>) {
        let mut state = self.0.lock();
        state.taken.retain(|id| is_pending.contains(id));
        state.rest_from.clear();
        state.moved.clear();
    }

    /// Those in hand.
    pub(crate) fn taken(&self) -> HashSet<RegistrationId> {
        self.0.lock().taken.clone()
    }
}

/// What a commit did to a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// A row nobody has taken is in the queue.
    Added(Place),
    /// A row is due earlier, whoever has it in hand.
    Forward(Place),
    /// A row was given back at a new place.
    Moved(Place),
    /// A row is gone.
    Gone(RegistrationId),
}

/// Registrations on their way into a taker's hands. If he is no longer there to take them (his
/// future was dropped), they go back.
pub(crate) struct Hand {
    shared: Arc<Shared>,
    places: Vec<Place>,
}

impl Hand {
    pub(crate) fn new(shared: &Arc<Shared>, places: Vec<Place>) -> Self {
        Self { shared: Arc::clone(shared), places }
    }

    /// They have arrived.
    pub(crate) fn arrived(mut self) {
        self.places.clear();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        if !self.places.is_empty() {
            self.shared.hands.give_back(self.places.drain(..));
        }
    }
}
