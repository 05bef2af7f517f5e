//! A registration in its queue.

use pushroll_domain::{
    CallbackOrder, ClaimedToken, DeviceToken, HostKey, Lane, OrgId, Registration, RegistrationId,
    RunId, Sealed, StoreError, Timestamp, TokenId, Tries, UserId,
};
use serde::{Deserialize, Serialize};

use super::answer::{self, AnswerRow};
use super::{corrupt, decode, encode};

const KIND: &str = "registration";

/// App, platform, due time and id are in the key.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    org: [u8; 16],
    user: &'a str,
    #[serde(borrow)]
    token: TokenRow<'a>,
    authorized_by: Option<[u8; 16]>,
    tracked: bool,
    callback: Option<OrderRow<'a>>,
    accepted_at: u64,
    attempts: u32,
    first_attempt_at: Option<u64>,
    last_run: Option<u64>,
    last_answer: Option<AnswerRow<'a>>,
}

#[derive(Serialize, Deserialize)]
enum TokenRow<'a> {
    Present(&'a str),
    TooLong(u32),
}

#[derive(Serialize, Deserialize)]
pub(super) struct OrderRow<'a> {
    url: &'a str,
    host: [u8; 8],
    signature: &'a str,
    headers: Option<&'a [u8]>,
}

impl<'a> OrderRow<'a> {
    pub(super) fn of(order: &'a CallbackOrder) -> Self {
        Self {
            url: &order.url,
            host: order.host.0,
            signature: &order.signature,
            headers: order.headers.as_ref().map(|sealed| sealed.0.as_slice()),
        }
    }

    pub(super) fn into_order(self) -> CallbackOrder {
        CallbackOrder {
            url: self.url.to_owned(),
            host: HostKey(self.host),
            signature: self.signature.to_owned(),
            headers: self.headers.map(|bytes| Sealed(bytes.to_vec())),
        }
    }
}

/// The row of a registration with these tries, which may be newer than its own.
pub(crate) fn encode_registration(registration: &Registration) -> Vec<u8> {
    let row = Row {
        org: *registration.org.as_bytes(),
        user: registration.user.as_str(),
        token: match &registration.claimed {
            ClaimedToken::Present(token) => TokenRow::Present(token.reveal()),
            ClaimedToken::TooLong { platform: _, chars } => TokenRow::TooLong(*chars),
        },
        authorized_by: registration.authorized_by.map(|id| *id.as_bytes()),
        tracked: registration.tracked,
        callback: registration.callback.as_ref().map(OrderRow::of),
        accepted_at: registration.accepted_at.as_millis(),
        attempts: registration.tries.attempts,
        first_attempt_at: registration.tries.first_attempt_at.map(Timestamp::as_millis),
        last_run: registration.tries.last_run.map(|run| run.0),
        last_answer: registration.last_answer.as_ref().map(AnswerRow::of),
    };
    encode(&row, 320)
}

pub(crate) fn decode_registration(
    lane: Lane,
    due: Timestamp,
    id: RegistrationId,
    bytes: &[u8],
) -> Result<Registration, StoreError> {
    let row: Row<'_> = decode(KIND, bytes)?;
    let claimed = match row.token {
        TokenRow::Present(text) => ClaimedToken::Present(
            DeviceToken::parse(lane.platform, text).map_err(|_| corrupt(KIND))?,
        ),
        TokenRow::TooLong(chars) => ClaimedToken::TooLong { platform: lane.platform, chars },
    };
    Ok(Registration {
        id,
        org: OrgId::from_bytes(row.org),
        app: lane.app,
        user: UserId::parse(row.user).map_err(|_| corrupt(KIND))?,
        claimed,
        authorized_by: row.authorized_by.map(TokenId::from_bytes),
        tracked: row.tracked,
        callback: row.callback.map(OrderRow::into_order),
        accepted_at: Timestamp::from_millis(row.accepted_at),
        due,
        tries: Tries {
            attempts: row.attempts,
            first_attempt_at: row.first_attempt_at.map(Timestamp::from_millis),
            last_run: row.last_run.map(RunId),
        },
        last_answer: answer::read(row.last_answer).ok_or_else(|| corrupt(KIND))?,
    })
}
