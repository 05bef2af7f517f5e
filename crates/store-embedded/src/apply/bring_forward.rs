//! What a clock that has gone back since put too far ahead.

use pushroll_domain::{Lane, LongestWaits, StoreError, Timestamp};

use super::accept::pending_key;
use super::retries;
use crate::columns::Column;
use crate::group::{Effect, Group};
use crate::hands::{Change, Place};
use crate::keys;
use crate::read;
use crate::rows::{self, PendingRow};

/// The most registrations that are moved in one step.
const MOVED_AT_ONCE: usize = 512;

/// Makes due now what is put off for longer than anything is; whether that is all. A registration that
/// is in somebody's hands stays there.
pub(crate) fn bring_forward(
    group: &mut Group<'_>,
    lanes: &[Lane],
    now: Timestamp,
    longest: LongestWaits,
) -> Result<bool, StoreError> {
    let mut moved = 0;
    for lane in lanes {
        let latest = now.plus(longest.registration);
        moved += of_lane(group, *lane, now, latest, MOVED_AT_ONCE - moved)?;
        if moved == MOVED_AT_ONCE {
            return Ok(false);
        }
    }
    let callbacks = retries::bring_forward(group, now, now.plus(longest.callback))?;
    Ok(callbacks < retries::MOVED_AT_ONCE)
}

fn of_lane(
    group: &mut Group<'_>,
    lane: Lane,
    now: Timestamp,
    latest: Timestamp,
    most: usize,
) -> Result<usize, StoreError> {
    let beyond = Timestamp::from_millis(latest.as_millis().saturating_add(1));
    let mut cursor = group.stored(Column::Queue);
    cursor.seek(keys::queue(lane, beyond, pushroll_domain::RegistrationId::from_bytes([0; 16])));
    let prefix = keys::lane(lane);
    let mut moved = 0;
    while let Some((key, row)) = cursor.item() {
        if moved == most || !key.starts_with(&prefix) {
            break;
        }
        let key = key.try_into().map_err(|_| rows::corrupt("registration"))?;
        let registration = read::decode_queued(lane.app, &key, row)?;
        let pending_key = pending_key(&registration);
        let pending = group.find(Column::Pending, &pending_key, rows::decode_pending)?;
        // What this group has moved or ended is no longer there.
        if let Some(pending) = pending.filter(|pending| pending.due == registration.due) {
            let to = keys::queue(lane, now, registration.id);
            group.delete(Column::Queue, key);
            group.put(Column::Queue, to, row.to_vec());
            let pending = rows::encode_pending(PendingRow { due: now, ..pending });
            group.put(Column::Pending, pending_key, pending);
            let place = Place { lane, key: to, id: registration.id };
            group.effect(Effect::Queue(Change::Forward(place)));
            moved += 1;
        }
        cursor.next();
    }
    cursor.status().map_err(|error| crate::health::fault_of(&error))?;
    Ok(moved)
}
