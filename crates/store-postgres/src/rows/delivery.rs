//! A callback to be made.

use pushroll_domain::{
    AppId, CallbackOrder, Delivery, DeliveryRecord, OrgId, RegistrationId, StoreError, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::outcome::{decode_report, encode_report};
use super::registration::OrderPart;
use super::{ChangeOrder, codes, corrupt, decode, encode};

const KIND: &str = "callback";
const LOGGED: &str = "entry of the delivery log";

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    org: [u8; 16],
    #[serde(borrow)]
    order: OrderPart<'a>,
}

/// The columns of a callback.
pub(crate) struct CallbackColumns<'a> {
    pub(crate) id: RegistrationId,
    pub(crate) app: AppId,
    pub(crate) code: i16,
    pub(crate) ended_at: i64,
    pub(crate) attempt: i32,
    pub(crate) first_attempt_at: Timestamp,
    pub(crate) again_at: Option<Timestamp>,
    pub(crate) document: &'a [u8],
}

pub(crate) fn encode_callback(org: OrgId, order: &CallbackOrder) -> Vec<u8> {
    encode(&Document { org: *org.as_bytes(), order: OrderPart::of(order) }, 256)
}

/// The document with the order changed, if `change` does.
pub(crate) fn callback_sealed_anew(
    document: &[u8],
    change: ChangeOrder<'_>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Document { org, order }: Document<'_> = decode(KIND, document)?;
    let org = OrgId::from_bytes(org);
    let order = change(org, &order.into_order())?;
    Ok(order.map(|order| encode_callback(org, &order)))
}

pub(crate) fn decode_delivery(row: &CallbackColumns<'_>) -> Result<Delivery, StoreError> {
    let document: Document<'_> = decode(KIND, row.document)?;
    Ok(Delivery {
        id: row.id,
        org: OrgId::from_bytes(document.org),
        app: row.app,
        order: document.order.into_order(),
        outcome: codes::outcome_of(row.code).ok_or_else(|| corrupt(KIND))?,
        ended_at: codes::timestamp_of(row.ended_at),
        attempt: u32::try_from(row.attempt).unwrap_or(0),
        first_attempt_at: row.first_attempt_at,
        again_at: row.again_at,
    })
}

/// An entry of the log; id and attempt are columns.
#[derive(Serialize, Deserialize)]
struct Entry<'a> {
    receiver: &'a str,
    outcome: u8,
    report: &'a [u8],
    retry_at: Option<u64>,
}

pub(crate) fn encode_record(record: &DeliveryRecord) -> Vec<u8> {
    let document = Entry {
        receiver: &record.receiver,
        outcome: u8::try_from(codes::outcome(record.outcome)).unwrap_or(u8::MAX),
        report: &encode_report(&record.report),
        retry_at: record.retry_at.map(Timestamp::as_millis),
    };
    encode(&document, 64)
}

pub(crate) fn decode_record(
    id: RegistrationId,
    attempt: i32,
    document: &[u8],
) -> Result<DeliveryRecord, StoreError> {
    let entry: Entry<'_> = decode(LOGGED, document)?;
    Ok(DeliveryRecord {
        id,
        receiver: entry.receiver.to_owned(),
        outcome: codes::outcome_of(entry.outcome.into()).ok_or_else(|| corrupt(LOGGED))?,
        attempt: u32::try_from(attempt).unwrap_or(0),
        report: decode_report(entry.report)?,
        retry_at: entry.retry_at.map(Timestamp::from_millis),
    })
}
