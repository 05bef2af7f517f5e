//! A registration that has ended, and what became of its callback.

use std::time::Duration;

use pushroll_domain::{
    AppId, CallbackReport, CallbackResult, ClaimedToken, DeviceToken, Ended, Ending, Finish,
    RegistrationId, StoreError, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};

use super::answer::{self, AnswerRow};
use super::{codes, corrupt, decode, encode};

const KIND: &str = "outcome";

#[derive(Serialize, Deserialize)]
struct Document<'a> {
    user: &'a str,
    platform: u8,
    token_fingerprint: Option<&'a str>,
    token_chars: u32,
    #[serde(borrow)]
    answer: Option<AnswerRow<'a>>,
    accepted_at: u64,
    attempts: u32,
}

#[derive(Serialize, Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    result: ResultPart<'a>,
    at: u64,
    took_micros: u64,
}

#[derive(Serialize, Deserialize)]
enum ResultPart<'a> {
    Attempted,
    Delivered(u16),
    Answered(u16),
    Failed(&'a str),
}

/// The columns of an outcome.
pub(crate) struct OutcomeColumns<'a> {
    pub(crate) id: RegistrationId,
    pub(crate) app: AppId,
    pub(crate) tracked: bool,
    pub(crate) code: i16,
    pub(crate) ended_at: i64,
    pub(crate) document: &'a [u8],
    pub(crate) hint: Option<&'a [u8]>,
    pub(crate) callback: Option<&'a [u8]>,
}

/// What is kept of a registration that ends this way, whatever its outcome.
pub(crate) fn encode_outcome(finish: &Finish) -> Vec<u8> {
    let registration = &finish.registration;
    let fingerprint = registration.claimed.token().map(DeviceToken::fingerprint);
    let answer = match &finish.ending {
        Ending::Verified { answer, .. } | Ending::Failed { answer, .. } => answer.as_ref(),
        Ending::Duplicate => None,
    };
    let document = Document {
        user: registration.user.as_str(),
        platform: codes::platform(registration.claimed.platform()),
        token_fingerprint: fingerprint.as_deref(),
        token_chars: match &registration.claimed {
            ClaimedToken::Present(token) => u32::try_from(token.chars()).unwrap_or(u32::MAX),
            ClaimedToken::TooLong { platform: _, chars } => *chars,
        },
        answer: answer.map(AnswerRow::of),
        accepted_at: registration.accepted_at.as_millis(),
        attempts: finish.tries.attempts,
    };
    encode(&document, 160)
}

/// The document of a registration that ended elsewhere; hint and report are columns.
pub(crate) fn encode_ended(ended: &Ended) -> Vec<u8> {
    let document = Document {
        user: ended.user.as_str(),
        platform: codes::platform(ended.platform),
        token_fingerprint: ended.token_fingerprint.as_deref(),
        token_chars: ended.token_chars,
        answer: ended.answer.as_ref().map(AnswerRow::of),
        accepted_at: ended.accepted_at.as_millis(),
        attempts: ended.attempts,
    };
    encode(&document, 160)
}

pub(crate) fn decode_outcome(row: &OutcomeColumns<'_>) -> Result<Ended, StoreError> {
    let unreadable = || corrupt(KIND);
    let document: Document<'_> = decode(KIND, row.document)?;
    Ok(Ended {
        id: row.id,
        app: row.app,
        user: UserId::parse(document.user).map_err(|_| unreadable())?,
        platform: codes::platform_of(document.platform).ok_or_else(unreadable)?,
        token_fingerprint: document.token_fingerprint.map(str::to_owned),
        token_chars: document.token_chars,
        tracked: row.tracked,
        outcome: codes::outcome_of(row.code).ok_or_else(unreadable)?,
        answer: answer::read(document.answer).ok_or_else(unreadable)?,
        hint: row.hint.map(|text| String::from_utf8_lossy(text).into_owned()),
        callback: row.callback.map(decode_report).transpose()?,
        accepted_at: Timestamp::from_millis(document.accepted_at),
        ended_at: codes::timestamp_of(row.ended_at),
        attempts: document.attempts,
    })
}

/// What became of a callback.
pub(crate) fn encode_report(report: &CallbackReport) -> Vec<u8> {
    let document = Report {
        result: match &report.result {
            CallbackResult::Attempted => ResultPart::Attempted,
            CallbackResult::Delivered { status } => ResultPart::Delivered(*status),
            CallbackResult::Answered { status } => ResultPart::Answered(*status),
            CallbackResult::Failed { reason } => ResultPart::Failed(reason),
        },
        at: report.at.as_millis(),
        took_micros: u64::try_from(report.took.as_micros()).unwrap_or(u64::MAX),
    };
    encode(&document, 16)
}

pub(super) fn decode_report(bytes: &[u8]) -> Result<CallbackReport, StoreError> {
    let document: Report<'_> = decode("callback report", bytes)?;
    Ok(CallbackReport {
        result: match document.result {
            ResultPart::Attempted => CallbackResult::Attempted,
            ResultPart::Delivered(status) => CallbackResult::Delivered { status },
            ResultPart::Answered(status) => CallbackResult::Answered { status },
            ResultPart::Failed(reason) => CallbackResult::Failed { reason: reason.to_owned() },
        },
        at: Timestamp::from_millis(document.at),
        took: Duration::from_micros(document.took_micros),
    })
}
