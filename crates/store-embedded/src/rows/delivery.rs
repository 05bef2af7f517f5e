//! A callback to be made.

use pushroll_domain::{AppId, Delivery, OrgId, RegistrationId, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

use super::registration::OrderRow;
use super::{codes, corrupt, decode, encode};

const KIND: &str = "callback";

/// Host, the time of the registration's end and its id are in the key.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    org: [u8; 16],
    app: [u8; 16],
    #[serde(borrow)]
    order: OrderRow<'a>,
    outcome: u8,
    ended_at: u64,
}

pub(crate) fn encode_delivery(delivery: &Delivery) -> Vec<u8> {
    let row = Row {
        org: *delivery.org.as_bytes(),
        app: *delivery.app.as_bytes(),
        order: OrderRow::of(&delivery.order),
        outcome: codes::outcome(delivery.outcome),
        ended_at: delivery.ended_at.as_millis(),
    };
    encode(&row, 256)
}

pub(crate) fn decode_delivery(id: RegistrationId, bytes: &[u8]) -> Result<Delivery, StoreError> {
    let row: Row<'_> = decode(KIND, bytes)?;
    Ok(Delivery {
        id,
        org: OrgId::from_bytes(row.org),
        app: AppId::from_bytes(row.app),
        order: row.order.into_order(),
        outcome: codes::outcome_of(row.outcome).ok_or_else(|| corrupt(KIND))?,
        ended_at: Timestamp::from_millis(row.ended_at),
    })
}
