//! A registration in its queue: what it was accepted with, and what has been tried since.

use pushroll_domain::{
    AppId, CallbackOrder, ClaimedToken, DeviceToken, HostKey, OrgId, ProviderAnswer, Registration,
    RegistrationId, RunId, Sealed, StoreError, Timestamp, TokenId, Tries, UserId,
};
use serde::{Deserialize, Serialize};

use super::answer::{self, AnswerRow};
use super::{ChangeOrder, codes, corrupt, decode, encode};

const KIND: &str = "pending registration";

#[derive(Serialize, Deserialize)]
struct Accepted<'a> {
    org: [u8; 16],
    user: &'a str,
    #[serde(borrow)]
    token: TokenPart<'a>,
    authorized_by: Option<[u8; 16]>,
    tracked: bool,
    callback: Option<OrderPart<'a>>,
    accepted_at: u64,
}

#[derive(Serialize, Deserialize)]
enum TokenPart<'a> {
    Present(&'a str),
    TooLong(u32),
}

#[derive(Serialize, Deserialize)]
pub(super) struct OrderPart<'a> {
    url: &'a str,
    host: [u8; 8],
    signature: &'a str,
    headers: Option<&'a [u8]>,
}

#[derive(Serialize, Deserialize)]
struct Tried<'a> {
    attempts: u32,
    first_attempt_at: Option<u64>,
    last_run: Option<u64>,
    #[serde(borrow)]
    last_answer: Option<AnswerRow<'a>>,
}

impl<'a> OrderPart<'a> {
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

/// The columns of a pending registration.
pub(crate) struct PendingColumns<'a> {
    pub(crate) id: RegistrationId,
    pub(crate) app: AppId,
    pub(crate) platform: i16,
    pub(crate) given_due: i64,
    pub(crate) accepted: &'a [u8],
    pub(crate) tried: &'a [u8],
}

/// What does not change while it is pending.
pub(crate) fn encode_registration(registration: &Registration) -> Vec<u8> {
    let document = Accepted {
        org: *registration.org.as_bytes(),
        user: registration.user.as_str(),
        token: match &registration.claimed {
            ClaimedToken::Present(token) => TokenPart::Present(token.reveal()),
            ClaimedToken::TooLong { platform: _, chars } => TokenPart::TooLong(*chars),
        },
        authorized_by: registration.authorized_by.map(|id| *id.as_bytes()),
        tracked: registration.tracked,
        callback: registration.callback.as_ref().map(OrderPart::of),
        accepted_at: registration.accepted_at.as_millis(),
    };
    encode(&document, 256)
}

/// The document with the callback's order changed, if `change` does.
pub(crate) fn registration_sealed_anew(
    document: &[u8],
    change: ChangeOrder<'_>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let accepted: Accepted<'_> = decode(KIND, document)?;
    let Accepted { callback: Some(order), org, .. } = accepted else { return Ok(None) };
    let Some(order) = change(OrgId::from_bytes(org), &order.into_order())? else {
        return Ok(None);
    };
    // What was in it is moved: it is read once more.
    let accepted: Accepted<'_> = decode(KIND, document)?;
    let anew = Accepted { callback: Some(OrderPart::of(&order)), ..accepted };
    Ok(Some(encode(&anew, document.len())))
}

/// What has been tried.
pub(crate) fn encode_tries(tries: &Tries, last_answer: Option<&ProviderAnswer>) -> Vec<u8> {
    let document = Tried {
        attempts: tries.attempts,
        first_attempt_at: tries.first_attempt_at.map(Timestamp::as_millis),
        last_run: tries.last_run.map(|run| run.0),
        last_answer: last_answer.map(AnswerRow::of),
    };
    encode(&document, 16)
}

pub(crate) fn decode_registration(row: &PendingColumns<'_>) -> Result<Registration, StoreError> {
    let unreadable = || corrupt(KIND);
    let accepted: Accepted<'_> = decode(KIND, row.accepted)?;
    let tried: Tried<'_> = decode(KIND, row.tried)?;
    let platform = codes::platform_of(row.platform).ok_or_else(unreadable)?;
    let claimed = match accepted.token {
        TokenPart::Present(text) => {
            ClaimedToken::Present(DeviceToken::parse(platform, text).map_err(|_| unreadable())?)
        }
        TokenPart::TooLong(chars) => ClaimedToken::TooLong { platform, chars },
    };
    Ok(Registration {
        id: row.id,
        org: OrgId::from_bytes(accepted.org),
        app: row.app,
        user: UserId::parse(accepted.user).map_err(|_| unreadable())?,
        claimed,
        authorized_by: accepted.authorized_by.map(TokenId::from_bytes),
        tracked: accepted.tracked,
        callback: accepted.callback.map(OrderPart::into_order),
        accepted_at: Timestamp::from_millis(accepted.accepted_at),
        due: codes::timestamp_of(row.given_due),
        tries: Tries {
            attempts: tried.attempts,
            first_attempt_at: tried.first_attempt_at.map(Timestamp::from_millis),
            last_run: tried.last_run.map(RunId),
        },
        last_answer: answer::read(tried.last_answer).ok_or_else(unreadable)?,
    })
}
