//! Callbacks that are kept for another attempt.
//!
//! They are put away under the time at which they are due, out of the way of all others. One whose
//! attempt is under way is put away as well, until the attempt counts as lost: the time under which it lies
//! tells whose attempt it is, so an end that comes too late finds nothing.

use pushroll_domain::{CallbackReport, Delivery, DeliveryEnd, StoreError, Timestamp};

use super::outcomes;
use crate::columns::Column;
use crate::group::{Effect, Group};
use crate::keys;
use crate::log::{self, LogNumbers};
use crate::retrying::RetryChange;
use crate::rows;

/// The most callbacks that are moved in one step.
pub(crate) const MOVED_AT_ONCE: usize = 512;

/// Keeps a callback whose attempt begins now.
pub(super) fn keep(group: &mut Group<'_>, delivery: &Delivery, until: Timestamp) {
    if delivery.attempt == 1 {
        group.effect(Effect::Retry(RetryChange::Kept(delivery.app)));
    }
    put_away(group, delivery, until);
}

/// Whose attempt begins now, and is the last.
pub(super) fn let_go(group: &mut Group<'_>, delivery: &Delivery) {
    if delivery.attempt > 1 {
        group.effect(Effect::Retry(RetryChange::Over(delivery.app)));
    }
}

fn put_away(group: &mut Group<'_>, delivery: &Delivery, until: Timestamp) {
    let key = keys::retry(until, delivery.order.host, delivery.id);
    group.put(Column::Retries, key, rows::encode_delivery(delivery));
    group.effect(Effect::Retry(RetryChange::PutAway(until)));
}

/// Lets callbacks that are due again into the queue of their hosts, behind those that were never
/// attempted.
pub(crate) fn let_in(group: &mut Group<'_>, now: Timestamp) -> Result<(), StoreError> {
    let mut cursor = group.stored(Column::Retries);
    cursor.seek_to_first();
    let mut none_before = Timestamp::from_millis(u64::MAX);
    let mut moved = 0;
    while let Some((key, row)) = cursor.item() {
        let (due, host, id) = keys::retry_parts(key).ok_or_else(|| rows::corrupt("callback"))?;
        if due > now || moved == MOVED_AT_ONCE {
            none_before = due;
            break;
        }
        // What this group has touched is moved, over, or about to be.
        if !group.has_touched(Column::Retries, key) {
            let to = keys::callback_again(host, due, id);
            group.delete(Column::Retries, key);
            group.put(Column::Callbacks, to, row.to_vec());
            group.effect(Effect::Retry(RetryChange::Fetched));
            group.effect(Effect::CallbackAdded(to));
            moved += 1;
        }
        cursor.next();
    }
    cursor.status().map_err(|error| crate::health::fault_of(&error))?;
    group.effect(Effect::Retry(RetryChange::NoneBefore(none_before)));
    Ok(())
}

/// Makes due now what was put away for longer than anything is.
pub(super) fn bring_forward(
    group: &mut Group<'_>,
    now: Timestamp,
    latest: Timestamp,
) -> Result<usize, StoreError> {
    let mut cursor = group.stored(Column::Retries);
    cursor.seek(latest.as_millis().saturating_add(1).to_be_bytes());
    let mut moved = 0;
    while let Some((key, row)) = cursor.item() {
        if moved == MOVED_AT_ONCE {
            break;
        }
        let (_, host, id) = keys::retry_parts(key).ok_or_else(|| rows::corrupt("callback"))?;
        if !group.has_touched(Column::Retries, key) {
            group.delete(Column::Retries, key);
            group.put(Column::Retries, keys::retry(now, host, id), row.to_vec());
            group.effect(Effect::Retry(RetryChange::Fetched));
            group.effect(Effect::Retry(RetryChange::PutAway(now)));
            moved += 1;
        }
        cursor.next();
    }
    cursor.status().map_err(|error| crate::health::fault_of(&error))?;
    Ok(moved)
}

pub(crate) fn end_deliveries(
    group: &mut Group<'_>,
    numbers: &LogNumbers,
    batch: Vec<DeliveryEnd>,
    logged: u64,
) -> Result<(), StoreError> {
    for end in batch {
        let delivery = &end.delivery;
        log::add(group, numbers, delivery.app, &end.record(), logged)?;
        let report: CallbackReport = end.report.clone();
        outcomes::report(group, delivery.app, delivery.id, report)?;
        let Some(again_at) = delivery.again_at else { continue };
        let key = keys::retry(again_at, delivery.order.host, delivery.id);
        if !group.has(Column::Retries, &key)? {
            continue;
        }
        group.delete(Column::Retries, key);
        group.effect(Effect::Retry(RetryChange::Fetched));
        match end.retry_at {
            Some(due) => put_away(group, delivery, due),
            None => group.effect(Effect::Retry(RetryChange::Over(delivery.app))),
        }
    }
    Ok(())
}
