//! Devices, and registrations that are pending or have ended.

use pushroll_domain::{
    AppId, ClaimedToken, Device, Ended, OrgId, PendingRecord, Registration, RegistrationId, RunId,
    Timestamp, TokenId, Tries,
};
use serde::{Deserialize, Serialize};

use super::values::{
    self, AnswerPart, OrderPart, ReportPart, answer, at, check_id, environment, from_hex, hex,
    outcome, platform, user,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceLine {
    id: RegistrationId,
    app: AppId,
    user: String,
    platform: String,
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    registered_at_ms: u64,
    verified_at_ms: u64,
    last_seen_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerPart>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PendingLine {
    id: RegistrationId,
    org: OrgId,
    app: AppId,
    user: String,
    platform: String,
    token: TokenPart,
    /// The API token, if it was good for the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorized_by: Option<TokenId>,
    tracked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback: Option<OrderPart>,
    accepted_at_ms: u64,
    due_ms: u64,
    attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_attempt_at_ms: Option<u64>,
    /// The run of the program in which it was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_answer: Option<AnswerPart>,
    /// A cleanup came after it: it leaves no device.
    covered: bool,
}

/// A device token, or the length of one that was too long to be kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum TokenPart {
    Present(String),
    TooLong(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeLine {
    id: RegistrationId,
    app: AppId,
    user: String,
    platform: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_fingerprint: Option<String>,
    token_chars: u32,
    tracked: bool,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<AnswerPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    callback: Option<ReportPart>,
    accepted_at_ms: u64,
    ended_at_ms: u64,
    attempts: u32,
}

impl DeviceLine {
    pub(super) fn of(device: &Device) -> Self {
        Self {
            id: device.id,
            app: device.app,
            user: device.user.as_str().to_owned(),
            platform: device.token.platform().name().to_owned(),
            token: device.token.reveal().to_owned(),
            environment: device.environment.map(|one| one.name().to_owned()),
            registered_at_ms: device.registered_at.as_millis(),
            verified_at_ms: device.verified_at.as_millis(),
            last_seen_at_ms: device.last_seen_at.as_millis(),
            answer: device.answer.as_ref().map(AnswerPart::of),
        }
    }

    pub(super) fn into_device(self) -> Result<Device, String> {
        let user = user(&self.user)?;
        check_id(self.id, Some(&user.key_in(self.app)))?;
        Ok(Device {
            id: self.id,
            app: self.app,
            user,
            token: values::token(platform(&self.platform)?, &self.token)?,
            environment: environment(self.environment.as_deref())?,
            registered_at: at(self.registered_at_ms),
            verified_at: at(self.verified_at_ms),
            last_seen_at: at(self.last_seen_at_ms),
            answer: answer(self.answer)?,
        })
    }
}

impl PendingLine {
    pub(super) fn of(pending: &PendingRecord) -> Self {
        let PendingRecord { registration: one, covered } = pending;
        Self {
            id: one.id,
            org: one.org,
            app: one.app,
            user: one.user.as_str().to_owned(),
            platform: one.claimed.platform().name().to_owned(),
            token: match &one.claimed {
                ClaimedToken::Present(token) => TokenPart::Present(token.reveal().to_owned()),
                ClaimedToken::TooLong { platform: _, chars } => TokenPart::TooLong(*chars),
            },
            authorized_by: one.authorized_by,
            tracked: one.tracked,
            callback: one.callback.as_ref().map(OrderPart::of),
            accepted_at_ms: one.accepted_at.as_millis(),
            due_ms: one.due.as_millis(),
            attempts: one.tries.attempts,
            first_attempt_at_ms: one.tries.first_attempt_at.map(Timestamp::as_millis),
            last_run: one.tries.last_run.map(|run| hex(&run.0.to_be_bytes())),
            last_answer: one.last_answer.as_ref().map(AnswerPart::of),
            covered: *covered,
        }
    }

    pub(super) fn into_pending(self) -> Result<PendingRecord, String> {
        let user = user(&self.user)?;
        check_id(self.id, Some(&user.key_in(self.app)))?;
        let platform = platform(&self.platform)?;
        let last_run = self.last_run.map(|run| from_hex("last_run", &run)).transpose()?;
        let registration = Registration {
            id: self.id,
            org: self.org,
            app: self.app,
            user,
            claimed: match self.token {
                TokenPart::Present(text) => ClaimedToken::Present(values::token(platform, &text)?),
                TokenPart::TooLong(chars) => ClaimedToken::TooLong { platform, chars },
            },
            authorized_by: self.authorized_by,
            tracked: self.tracked,
            callback: self.callback.map(OrderPart::into_order).transpose()?,
            accepted_at: at(self.accepted_at_ms),
            due: at(self.due_ms),
            tries: Tries {
                attempts: self.attempts,
                first_attempt_at: self.first_attempt_at_ms.map(at),
                last_run: last_run.map(|bytes| RunId(u64::from_be_bytes(bytes))),
            },
            last_answer: answer(self.last_answer)?,
        };
        Ok(PendingRecord { registration, covered: self.covered })
    }
}

impl OutcomeLine {
    pub(super) fn of(ended: &Ended) -> Self {
        Self {
            id: ended.id,
            app: ended.app,
            user: ended.user.as_str().to_owned(),
            platform: ended.platform.name().to_owned(),
            token_fingerprint: ended.token_fingerprint.clone(),
            token_chars: ended.token_chars,
            tracked: ended.tracked,
            outcome: ended.outcome.name().to_owned(),
            answer: ended.answer.as_ref().map(AnswerPart::of),
            hint: ended.hint.clone(),
            callback: ended.callback.as_ref().map(ReportPart::of),
            accepted_at_ms: ended.accepted_at.as_millis(),
            ended_at_ms: ended.ended_at.as_millis(),
            attempts: ended.attempts,
        }
    }

    pub(super) fn into_ended(self) -> Result<Ended, String> {
        let user = user(&self.user)?;
        check_id(self.id, Some(&user.key_in(self.app)))?;
        Ok(Ended {
            id: self.id,
            app: self.app,
            user,
            platform: platform(&self.platform)?,
            token_fingerprint: self.token_fingerprint,
            token_chars: self.token_chars,
            tracked: self.tracked,
            outcome: outcome(&self.outcome)?,
            answer: answer(self.answer)?,
            hint: self.hint,
            callback: self.callback.map(ReportPart::into_report),
            accepted_at: at(self.accepted_at_ms),
            ended_at: at(self.ended_at_ms),
            attempts: self.attempts,
        })
    }
}
