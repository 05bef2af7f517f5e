//! Ending registrations: device, outcome and callback in one step.

use std::ops::ControlFlow;

use pushroll_domain::{
    ClaimedToken, Delivery, Device, DeviceToken, Ended, Ending, FailureReason, Finish, Finished,
    Outcome, ProviderAnswer, Registration, StoreError,
};

use super::accept::pending_key;
use super::clean_up;
use crate::columns::Column;
use crate::group::{Effect, Group};
use crate::hands::Change;
use crate::keys::{self, PendingKey, USER_PREFIX};
use crate::known::Slot;
use crate::rows::{self, PendingRow};

/// A registration to finish, with all that can be prepared on the caller's thread.
pub(crate) struct FinishItem {
    finish: Finish,
    pending: PendingKey,
    user: [u8; USER_PREFIX],
    /// Told apart in reports; prepared only if it is likely to be written.
    fingerprint: Option<String>,
}

impl FinishItem {
    pub(crate) fn prepare(finish: Finish) -> Self {
        let pending = pending_key(&finish.registration);
        let user = keys::user_in(&pending);
        let is_written =
            finish.registration.tracked || !matches!(finish.ending, Ending::Verified { .. });
        let token = finish.registration.claimed.token().filter(|_| is_written);
        let fingerprint = token.map(DeviceToken::fingerprint);
        Self { finish, pending, user, fingerprint }
    }
}

pub(crate) fn finish(
    group: &mut Group<'_>,
    items: Vec<FinishItem>,
) -> Result<Vec<Finished>, StoreError> {
    items.into_iter().map(|item| finish_one(group, item)).collect()
}

fn finish_one(group: &mut Group<'_>, item: FinishItem) -> Result<Finished, StoreError> {
    let registration = &item.finish.registration;
    let pending = group.find(Column::Pending, &item.pending, rows::decode_pending)?;
    let Some(pending) = pending else {
        group.effect(Effect::Queue(Change::Gone(registration.id)));
        return Ok(Finished::NotPending);
    };
    let Some(outcome) = outcome(group, &item, pending)? else { return Ok(Finished::NoDuplicate) };

    group.delete(Column::Pending, item.pending);
    group.delete(Column::Queue, keys::queue(registration.lane(), pending.due, registration.id));
    group.effect(Effect::Ended(registration.lane(), Slot::of(&item.pending)));
    group.effect(Effect::Queue(Change::Gone(registration.id)));
    if registration.tracked || outcome != Outcome::Success {
        record(group, &item, outcome);
    }
    if let Some(order) = &registration.callback {
        let delivery = Delivery {
            id: registration.id,
            org: registration.org,
            app: registration.app,
            order: order.clone(),
            outcome,
            ended_at: item.finish.at,
            attempt: 0,
            first_attempt_at: item.finish.at,
            again_at: None,
        };
        let key = keys::callback(order.host, item.finish.at, registration.id);
        group.put(Column::Callbacks, key, rows::encode_delivery(&delivery));
        group.effect(Effect::CallbackAdded(key));
    }
    clean_up::forget_marks(group, &item.user)?;
    Ok(Finished::Ended(outcome))
}

/// How it ends, with the device stored if it is to be; `None` if the device that it was taken for
/// a duplicate of is gone.
fn outcome(
    group: &mut Group<'_>,
    item: &FinishItem,
    pending: PendingRow,
) -> Result<Option<Outcome>, StoreError> {
    let registration = &item.finish.registration;
    let Some(token) = registration.claimed.token() else {
        return Ok(Some(Outcome::Failed(match &item.finish.ending {
            Ending::Failed { reason, answer: _ } => *reason,
            Ending::Verified { .. } | Ending::Duplicate => FailureReason::DeviceTokenTooLong,
        })));
    };
    match &item.finish.ending {
        Ending::Failed { reason, answer: _ } => Ok(Some(Outcome::Failed(*reason))),
        Ending::Duplicate => {
            let key = keys::device(&item.user, token);
            let stored = group.find(Column::Devices, &key, |row| Ok(row.to_vec()))?;
            stored.map(|row| meet(group, registration, key, token, &row)).transpose()
        }
        Ending::Verified { environment, answer } => {
            let key = keys::device(&item.user, token);
            let (stored, devices) = devices(group, &item.user, &key)?;
            if let Some(row) = stored {
                return meet(group, registration, key, token, &row).map(Some);
            }
            if clean_up::covers(group, &item.pending, pending.commit)? {
                return Ok(Some(Outcome::Success));
            }
            if devices >= u64::from(item.finish.devices_per_user) {
                return Ok(Some(Outcome::Failed(FailureReason::FailedToStoreDevice)));
            }
            let device = Device {
                id: registration.id,
                app: registration.app,
                user: registration.user.clone(),
                token: token.clone(),
                environment: *environment,
                registered_at: registration.accepted_at,
                verified_at: item.finish.at,
                last_seen_at: registration.accepted_at,
                answer: answer.clone(),
            };
            group.put(Column::Devices, key, rows::encode_device(&device));
            Ok(Some(Outcome::Success))
        }
    }
}

/// A registration meets a device with its key: its own is a success; another's makes it a duplicate
/// and has been seen again.
fn meet(
    group: &mut Group<'_>,
    registration: &Registration,
    key: Vec<u8>,
    token: &DeviceToken,
    row: &[u8],
) -> Result<Outcome, StoreError> {
    let mut device = rows::decode_device(registration.app, token.clone(), row)?;
    if device.id == registration.id {
        return Ok(Outcome::Success);
    }
    if device.last_seen_at < registration.accepted_at {
        device.last_seen_at = registration.accepted_at;
        group.put(Column::Devices, key, rows::encode_device(&device));
    }
    Ok(Outcome::Failed(FailureReason::DuplicateExists))
}

/// The device with this key, and how many devices the user has in the app.
fn devices(
    group: &mut Group<'_>,
    user: &[u8; USER_PREFIX],
    wanted: &[u8],
) -> Result<(Option<Vec<u8>>, u64), StoreError> {
    let mut stored = None;
    let mut count = 0;
    group.visit(Column::Devices, user, |key, row| {
        count += 1;
        if key == wanted {
            stored = Some(row.to_vec());
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((stored, count))
}

fn record(group: &mut Group<'_>, item: &FinishItem, outcome: Outcome) {
    let finish = &item.finish;
    let registration = &finish.registration;
    let token = registration.claimed.token();
    let ended = Ended {
        id: registration.id,
        app: registration.app,
        user: registration.user.clone(),
        platform: registration.claimed.platform(),
        token_fingerprint: match &item.fingerprint {
            Some(prepared) => Some(prepared.clone()),
            None => token.map(DeviceToken::fingerprint),
        },
        token_chars: match &registration.claimed {
            ClaimedToken::Present(token) => u32::try_from(token.chars()).unwrap_or(u32::MAX),
            ClaimedToken::TooLong { platform: _, chars } => *chars,
        },
        tracked: registration.tracked,
        outcome,
        answer: answer_of(&finish.ending),
        hint: None,
        callback: None,
        accepted_at: registration.accepted_at,
        ended_at: finish.at,
        attempts: finish.tries.attempts,
    };
    let key = keys::outcome(registration.app, registration.id);
    group.put(Column::Outcomes, key, rows::encode_outcome(&ended));
    let entry = keys::history(&item.user, registration.id);
    group.put(Column::History, entry, rows::encode_history(finish.at));
}

fn answer_of(ending: &Ending) -> Option<ProviderAnswer> {
    match ending {
        Ending::Verified { answer, .. } | Ending::Failed { answer, .. } => answer.clone(),
        Ending::Duplicate => None,
    }
}
