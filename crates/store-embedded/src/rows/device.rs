//! A device.

use pushroll_domain::{AppId, Device, DeviceToken, RegistrationId, StoreError, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::answer::{self, AnswerRow};
use super::{codes, corrupt, decode, decode_first, encode};

const KIND: &str = "device";

/// App and token are in the key, and of the user a hash.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    id: [u8; 16],
    user: &'a str,
    environment: Option<u8>,
    registered_at: u64,
    verified_at: u64,
    last_seen_at: u64,
    #[serde(borrow)]
    answer: Option<AnswerRow<'a>>,
}

pub(crate) fn encode_device(device: &Device) -> Vec<u8> {
    let row = Row {
        id: *device.id.as_bytes(),
        user: device.user.as_str(),
        environment: device.environment.map(codes::environment),
        registered_at: device.registered_at.as_millis(),
        verified_at: device.verified_at.as_millis(),
        last_seen_at: device.last_seen_at.as_millis(),
        answer: device.answer.as_ref().map(AnswerRow::of),
    };
    encode(&row, 160)
}

pub(crate) fn decode_device(
    app: AppId,
    token: DeviceToken,
    bytes: &[u8],
) -> Result<Device, StoreError> {
    let row: Row<'_> = decode(KIND, bytes)?;
    Ok(Device {
        id: RegistrationId::from_bytes(row.id),
        app,
        user: UserId::parse(row.user).map_err(|_| corrupt(KIND))?,
        token,
        environment: match row.environment {
            None => None,
            Some(code) => Some(codes::environment_of(code).ok_or_else(|| corrupt(KIND))?),
        },
        registered_at: Timestamp::from_millis(row.registered_at),
        verified_at: Timestamp::from_millis(row.verified_at),
        last_seen_at: Timestamp::from_millis(row.last_seen_at),
        answer: answer::read(row.answer).ok_or_else(|| corrupt(KIND))?,
    })
}

/// The registration that stored a device.
pub(crate) fn registered_by(bytes: &[u8]) -> Result<RegistrationId, StoreError> {
    decode_first(KIND, bytes).map(|(id, _)| RegistrationId::from_bytes(id))
}
