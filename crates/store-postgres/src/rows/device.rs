//! A device.

use pushroll_domain::{
    AppId, Device, DeviceToken, Environment, ProviderAnswer, Registration, RegistrationId,
    StoreError, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::answer::{self, AnswerRow};
use super::{codes, corrupt, decode, encode};

const KIND: &str = "device";

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    user: &'a str,
    platform: u8,
    token: &'a str,
    environment: Option<u8>,
    registered_at: u64,
    verified_at: u64,
    #[serde(borrow)]
    answer: Option<AnswerRow<'a>>,
}

/// The columns of a device.
pub(crate) struct DeviceColumns<'a> {
    pub(crate) id: RegistrationId,
    pub(crate) app: AppId,
    pub(crate) last_seen: i64,
    pub(crate) document: &'a [u8],
}

/// The device that a registration stores.
pub(crate) fn encode_device(
    registration: &Registration,
    token: &DeviceToken,
    environment: Option<Environment>,
    answer: Option<&ProviderAnswer>,
    verified_at: Timestamp,
) -> Vec<u8> {
    let document = Document {
        user: registration.user.as_str(),
        platform: codes::platform(token.platform()),
        token: token.reveal(),
        environment: environment.map(codes::environment),
        registered_at: registration.accepted_at.as_millis(),
        verified_at: verified_at.as_millis(),
        answer: answer.map(AnswerRow::of),
    };
    encode(&document, 192)
}

/// A device that was stored elsewhere.
pub(crate) fn encode_stored_device(device: &Device) -> Vec<u8> {
    let document = Document {
        user: device.user.as_str(),
        platform: codes::platform(device.token.platform()),
        token: device.token.reveal(),
        environment: device.environment.map(codes::environment),
        registered_at: device.registered_at.as_millis(),
        verified_at: device.verified_at.as_millis(),
        answer: device.answer.as_ref().map(AnswerRow::of),
    };
    encode(&document, 192)
}

pub(crate) fn decode_device(row: &DeviceColumns<'_>) -> Result<Device, StoreError> {
    let unreadable = || corrupt(KIND);
    let document: Document<'_> = decode(KIND, row.document)?;
    let platform = codes::platform_of(document.platform).ok_or_else(unreadable)?;
    Ok(Device {
        id: row.id,
        app: row.app,
        user: UserId::parse(document.user).map_err(|_| unreadable())?,
        token: DeviceToken::parse(platform, document.token).map_err(|_| unreadable())?,
        environment: match document.environment {
            None => None,
            Some(code) => Some(codes::environment_of(code).ok_or_else(unreadable)?),
        },
        registered_at: Timestamp::from_millis(document.registered_at),
        verified_at: Timestamp::from_millis(document.verified_at),
        last_seen_at: codes::timestamp_of(row.last_seen),
        answer: answer::read(document.answer).ok_or_else(unreadable)?,
    })
}
