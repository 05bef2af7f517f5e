//! A registration that has ended, and its entry in the list of its user.

use std::time::Duration;

use pushroll_domain::{
    AppId, CallbackReport, CallbackResult, Ended, Outcome, RegistrationId, StoreError, Timestamp,
    UserId,
};
use serde::{Deserialize, Serialize};

use super::answer::{self, AnswerRow};
use super::{codes, corrupt, decode, decode_first, encode};

const KIND: &str = "outcome";

/// What a status query reads. `ended_at` comes first: the compaction filter reads it and nothing
/// else. App and id are in the key.
#[derive(Serialize, Deserialize)]
struct Head {
    ended_at: u64,
    tracked: bool,
    outcome: u8,
}

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    head: Head,
    user: &'a str,
    platform: u8,
    token_fingerprint: Option<&'a str>,
    token_chars: u32,
    #[serde(borrow)]
    answer: Option<AnswerRow<'a>>,
    hint: Option<&'a str>,
    callback: Option<ReportRow<'a>>,
    accepted_at: u64,
    attempts: u32,
}

#[derive(Serialize, Deserialize)]
struct ReportRow<'a> {
    #[serde(borrow)]
    result: ResultRow<'a>,
    at: u64,
    took_micros: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) enum ResultRow<'a> {
    Attempted,
    Delivered(u16),
    Answered(u16),
    Failed(&'a str),
}

pub(crate) fn encode_outcome(ended: &Ended) -> Vec<u8> {
    let row = Row {
        head: Head {
            ended_at: ended.ended_at.as_millis(),
            tracked: ended.tracked,
            outcome: codes::outcome(ended.outcome),
        },
        user: ended.user.as_str(),
        platform: codes::platform(ended.platform),
        token_fingerprint: ended.token_fingerprint.as_deref(),
        token_chars: ended.token_chars,
        answer: ended.answer.as_ref().map(AnswerRow::of),
        hint: ended.hint.as_deref(),
        callback: ended.callback.as_ref().map(ReportRow::of),
        accepted_at: ended.accepted_at.as_millis(),
        attempts: ended.attempts,
    };
    encode(&row, 192)
}

pub(crate) fn decode_outcome(
    app: AppId,
    id: RegistrationId,
    bytes: &[u8],
) -> Result<Ended, StoreError> {
    let row: Row<'_> = decode(KIND, bytes)?;
    Ok(Ended {
        id,
        app,
        user: UserId::parse(row.user).map_err(|_| corrupt(KIND))?,
        platform: codes::platform_of(row.platform).ok_or_else(|| corrupt(KIND))?,
        token_fingerprint: row.token_fingerprint.map(str::to_owned),
        token_chars: row.token_chars,
        tracked: row.head.tracked,
        outcome: codes::outcome_of(row.head.outcome).ok_or_else(|| corrupt(KIND))?,
        answer: answer::read(row.answer).ok_or_else(|| corrupt(KIND))?,
        hint: row.hint.map(str::to_owned),
        callback: row.callback.map(ReportRow::into_report),
        accepted_at: Timestamp::from_millis(row.accepted_at),
        ended_at: Timestamp::from_millis(row.head.ended_at),
        attempts: row.attempts,
    })
}

/// What a status query may see of an outcome: when it ended, and how if it is tracked.
pub(crate) fn status(bytes: &[u8]) -> Result<(Timestamp, Option<Outcome>), StoreError> {
    let (head, _): (Head, _) = decode_first(KIND, bytes)?;
    let outcome = codes::outcome_of(head.outcome).ok_or_else(|| corrupt(KIND))?;
    Ok((Timestamp::from_millis(head.ended_at), head.tracked.then_some(outcome)))
}

/// An entry in the list of a user's registrations.
pub(crate) fn encode_history(ended_at: Timestamp) -> Vec<u8> {
    encode(&ended_at.as_millis(), 10)
}

/// When the registration of an outcome or an entry ended.
pub(crate) fn ended_at(bytes: &[u8]) -> Result<Timestamp, StoreError> {
    decode_first(KIND, bytes).map(|(millis, _)| Timestamp::from_millis(millis))
}

impl<'a> ReportRow<'a> {
    fn of(report: &'a CallbackReport) -> Self {
        Self {
            result: ResultRow::of(&report.result),
            at: report.at.as_millis(),
            took_micros: u64::try_from(report.took.as_micros()).unwrap_or(u64::MAX),
        }
    }

    fn into_report(self) -> CallbackReport {
        CallbackReport {
            result: self.result.into_result(),
            at: Timestamp::from_millis(self.at),
            took: Duration::from_micros(self.took_micros),
        }
    }
}

impl<'a> ResultRow<'a> {
    pub(super) fn of(result: &'a CallbackResult) -> Self {
        match result {
            CallbackResult::Attempted => Self::Attempted,
            CallbackResult::Delivered { status } => Self::Delivered(*status),
            CallbackResult::Answered { status } => Self::Answered(*status),
            CallbackResult::Failed { reason } => Self::Failed(reason),
        }
    }

    pub(super) fn into_result(self) -> CallbackResult {
        match self {
            Self::Attempted => CallbackResult::Attempted,
            Self::Delivered(status) => CallbackResult::Delivered { status },
            Self::Answered(status) => CallbackResult::Answered { status },
            Self::Failed(reason) => CallbackResult::Failed { reason: reason.to_owned() },
        }
    }
}
