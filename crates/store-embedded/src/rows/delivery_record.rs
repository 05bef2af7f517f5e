//! An attempt to make a callback that has ended, in the log of its app.

use std::time::Duration;

use pushroll_domain::{CallbackReport, DeliveryRecord, RegistrationId, StoreError, Timestamp};
use serde::{Deserialize, Serialize};

use super::outcome::ResultRow;
use super::{codes, corrupt, decode, encode};

const KIND: &str = "delivery";

/// `at` comes first: the compaction filter reads it and nothing else. App and number are in the key.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    at: u64,
    id: [u8; 16],
    receiver: &'a str,
    outcome: u8,
    attempt: u32,
    #[serde(borrow)]
    result: ResultRow<'a>,
    took_micros: u64,
    retry_at: Option<u64>,
}

pub(crate) fn encode_delivery_record(record: &DeliveryRecord) -> Vec<u8> {
    let row = Row {
        at: record.report.at.as_millis(),
        id: *record.id.as_bytes(),
        receiver: &record.receiver,
        outcome: codes::outcome(record.outcome),
        attempt: record.attempt,
        result: ResultRow::of(&record.report.result),
        took_micros: u64::try_from(record.report.took.as_micros()).unwrap_or(u64::MAX),
        retry_at: record.retry_at.map(Timestamp::as_millis),
    };
    encode(&row, 96)
}

pub(crate) fn decode_delivery_record(bytes: &[u8]) -> Result<DeliveryRecord, StoreError> {
    let row: Row<'_> = decode(KIND, bytes)?;
    Ok(DeliveryRecord {
        id: RegistrationId::from_bytes(row.id),
        receiver: row.receiver.to_owned(),
        outcome: codes::outcome_of(row.outcome).ok_or_else(|| corrupt(KIND))?,
        attempt: row.attempt,
        report: CallbackReport {
            result: row.result.into_result(),
            at: Timestamp::from_millis(row.at),
            took: Duration::from_micros(row.took_micros),
        },
        retry_at: row.retry_at.map(Timestamp::from_millis),
    })
}
