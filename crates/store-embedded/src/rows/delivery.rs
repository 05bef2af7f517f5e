//! A callback to be made.

use pushroll_domain::{AppId, Delivery, OrgId, RegistrationId, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

use super::registration::OrderRow;
use super::{codes, corrupt, decode_with_more, encode, encode_with_more};

const KIND: &str = "callback";

/// Host, the time of the registration's end or of the next attempt, and its id are in the key.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    org: [u8; 16],
    app: [u8; 16],
    #[serde(borrow)]
    order: OrderRow<'a>,
    outcome: u8,
    ended_at: u64,
}

/// Of a callback that was attempted before.
#[derive(Serialize, Deserialize)]
struct More {
    attempts: u32,
    first_attempt_at: u64,
}

/// The row of a callback with the attempts begun so far in [`Delivery::attempt`].
pub(crate) fn encode_delivery(delivery: &Delivery) -> Vec<u8> {
    let row = Row {
        org: *delivery.org.as_bytes(),
        app: *delivery.app.as_bytes(),
        order: OrderRow::of(&delivery.order),
        outcome: codes::outcome(delivery.outcome),
        ended_at: delivery.ended_at.as_millis(),
    };
    if delivery.attempt == 0 {
        return encode(&row, 256);
    }
    let first_attempt_at = delivery.first_attempt_at.as_millis();
    encode_with_more(&row, &More { attempts: delivery.attempt, first_attempt_at }, 256)
}

/// The callback of a row, with the attempts begun so far in [`Delivery::attempt`].
pub(crate) fn decode_delivery(id: RegistrationId, bytes: &[u8]) -> Result<Delivery, StoreError> {
    let (row, more): (Row<'_>, Option<More>) = decode_with_more(KIND, bytes)?;
    let ended_at = Timestamp::from_millis(row.ended_at);
    Ok(Delivery {
        id,
        org: OrgId::from_bytes(row.org),
        app: AppId::from_bytes(row.app),
        order: row.order.into_order(),
        outcome: codes::outcome_of(row.outcome).ok_or_else(|| corrupt(KIND))?,
        ended_at,
        attempt: more.as_ref().map_or(0, |more| more.attempts),
        first_attempt_at: more
            .map_or(ended_at, |more| Timestamp::from_millis(more.first_attempt_at)),
        again_at: None,
    })
}
