//! Putting registrations into their queues, and moving them there.

use pushroll_domain::{Accept, Postpone, Registration, StoreError};

use crate::columns::Column;
use crate::group::{Effect, Group};
use crate::hands::{Change, Place};
use crate::keys::{self, PendingKey, TokenDigest};
use crate::rows::{self, PendingRow};

/// A registration to accept, with all that can be prepared on the caller's thread.
pub(crate) struct AcceptItem {
    pub(crate) place: Place,
    pub(crate) taken: bool,
    pending: PendingKey,
    row: PendingRow,
    value: Vec<u8>,
}

impl AcceptItem {
    pub(crate) fn prepare(accept: &Accept) -> Self {
        let registration = &accept.registration;
        Self {
            place: Place::of(registration),
            taken: accept.taken,
            pending: pending_key(registration),
            row: PendingRow {
                commit: 0,
                due: registration.due,
                platform: registration.claimed.platform(),
            },
            value: rows::encode_registration(registration),
        }
    }
}

pub(crate) fn pending_key(registration: &Registration) -> PendingKey {
    let user = keys::user(registration.app, &registration.user.key_in(registration.app));
    let token = TokenDigest::of(registration.claimed.token());
    keys::pending(&user, token, registration.id)
}

/// Reads nothing: an id is accepted once, so its keys are new.
pub(crate) fn accept(group: &mut Group<'_>, items: Vec<AcceptItem>) {
    for item in items {
        let row = PendingRow { commit: group.next_commit(), ..item.row };
        // Also if the commit fails: then everything is counted anew.
        group.known.equals.add(&item.pending);
        group.put(Column::Pending, item.pending, rows::encode_pending(row));
        group.put(Column::Queue, item.place.key, item.value);
        group.effect(Effect::Accepted(item.place.lane));
        if !item.taken {
            group.effect(Effect::Queue(Change::Added(item.place)));
        }
    }
}

/// A registration to postpone, with all that can be prepared on the caller's thread.
pub(crate) struct PostponeItem {
    place: Place,
    pending: PendingKey,
    due: pushroll_domain::Timestamp,
    value: Vec<u8>,
}

impl PostponeItem {
    pub(crate) fn prepare(postpone: Postpone) -> Self {
        let moved = Registration {
            due: postpone.due,
            tries: postpone.tries,
            last_answer: postpone.last_answer,
            ..Registration::clone(&postpone.registration)
        };
        Self {
            place: Place::of(&moved),
            pending: pending_key(&moved),
            due: moved.due,
            value: rows::encode_registration(&moved),
        }
    }
}

pub(crate) fn postpone(group: &mut Group<'_>, items: Vec<PostponeItem>) -> Result<(), StoreError> {
    for PostponeItem { place, pending, due, value } in items {
        let row = group.find(Column::Pending, &pending, rows::decode_pending)?;
        let Some(row) = row else {
            group.effect(Effect::Queue(Change::Gone(place.id)));
            continue;
        };
        if row.due != due {
            group.delete(Column::Queue, keys::queue(place.lane, row.due, place.id));
            group.put(Column::Pending, pending, rows::encode_pending(PendingRow { due, ..row }));
        }
        group.put(Column::Queue, place.key, value);
        group.effect(Effect::Queue(Change::Moved(place)));
    }
    Ok(())
}
