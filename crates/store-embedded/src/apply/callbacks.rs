//! Handing out callbacks.
//!
//! An attempt is recorded by deleting the row, with the caller's headers in it: nothing is left that
//! could be handed out again, whatever happens afterwards. Only in an app with retries it is put
//! away instead (`retries`).

use std::collections::HashMap;
use std::time::Duration;

use pushroll_domain::{
    CallbackReport, CallbackResult, Delivery, DeliveryRoom, HostKey, StoreError, Timestamp,
};

use super::{outcomes, retries};
use crate::columns::Column;
use crate::deliveries::{self, Stretch};
use crate::group::{Effect, Group};
use crate::keys::{self, CallbackKey};
use crate::rows;

pub(crate) fn begin_deliveries(
    group: &mut Group<'_>,
    room: &DeliveryRoom,
    now: Timestamp,
) -> Result<Vec<Delivery>, StoreError> {
    let begun = pick(group, room)?;
    let mut deliveries = Vec::with_capacity(begun.len());
    for (key, mut delivery) in begun {
        group.delete(Column::Callbacks, key);
        group.effect(Effect::CallbackBegun(key));
        if delivery.attempt == 0 {
            delivery.first_attempt_at = now;
        }
        delivery.attempt = delivery.attempt.saturating_add(1);
        if room.with_retries.contains(&delivery.app) {
            delivery.again_at = Some(room.again_at);
            retries::keep(group, &delivery, room.again_at);
        } else {
            retries::let_go(group, &delivery);
        }
        let attempted =
            CallbackReport { result: CallbackResult::Attempted, at: now, took: Duration::ZERO };
        outcomes::report(group, delivery.app, delivery.id, attempted)?;
        deliveries.push(delivery);
    }
    Ok(deliveries)
}

/// Up to `limit` callbacks, and of each host no more than it has room for.
fn pick(
    group: &mut Group<'_>,
    room: &DeliveryRoom,
) -> Result<Vec<(CallbackKey, Delivery)>, StoreError> {
    let mut picked = Vec::new();
    if group.memory.callbacks.total() == 0 || room.limit == 0 {
        return Ok(picked);
    }
    let mut retries = room.retries;
    let mut under_way: HashMap<HostKey, usize> = room.under_way.iter().copied().collect();
    let mut cursor = group.stored(Column::Callbacks);
    for Stretch { from, to, from_floor } in group.memory.callbacks.stretches() {
        // While nothing was passed over, all before the cursor is gone once this is committed.
        let mut nothing_left = from_floor;
        cursor.seek(from);
        while let Some((key, value)) = cursor.item() {
            let key: CallbackKey = key.try_into().map_err(|_| rows::corrupt("callback"))?;
            if to.is_some_and(|to| key >= to) {
                break;
            }
            let host = keys::callback_host(&key);
            let busy = under_way.entry(host).or_default();
            // Of each host those that were attempted before come last.
            let is_again = keys::is_again(&key);
            if *busy >= room.per_host || (is_again && retries == 0) {
                nothing_left = false;
                match deliveries::next_host(host) {
                    Some(next) => cursor.seek(next),
                    None => break,
                }
                continue;
            }
            if !group.has_touched(Column::Callbacks, &key) {
                let id = keys::id_of(&key).ok_or_else(|| rows::corrupt("callback"))?;
                picked.push((key, rows::decode_delivery(id, value)?));
                *busy += 1;
                retries -= usize::from(is_again);
                if nothing_left {
                    group.effect(Effect::CallbackFloor(keys::successor(&key)));
                }
                if picked.len() == room.limit {
                    group.effect(Effect::HostServed(host));
                    return Ok(picked);
                }
            }
            cursor.next();
        }
        cursor.status().map_err(|error| crate::health::fault_of(&error))?;
    }
    Ok(picked)
}
