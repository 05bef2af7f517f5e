//! A provider's words, as part of other rows.

use pushroll_domain::ProviderAnswer;
use serde::{Deserialize, Serialize};

use super::codes;

#[derive(Serialize, Deserialize)]
pub(super) struct AnswerRow<'a> {
    provider: u8,
    environment: Option<u8>,
    status: Option<u16>,
    reason: &'a str,
    detail: Option<&'a str>,
    provider_id: Option<&'a str>,
}

impl<'a> AnswerRow<'a> {
    pub(super) fn of(answer: &'a ProviderAnswer) -> Self {
        Self {
            provider: codes::provider(answer.provider),
            environment: answer.environment.map(codes::environment),
            status: answer.status,
            reason: &answer.reason,
            detail: answer.detail.as_deref(),
            provider_id: answer.provider_id.as_deref(),
        }
    }

    pub(super) fn into_answer(self) -> Option<ProviderAnswer> {
        Some(ProviderAnswer {
            provider: codes::provider_of(self.provider)?,
            environment: match self.environment {
                None => None,
                Some(code) => Some(codes::environment_of(code)?),
            },
            status: self.status,
            reason: self.reason.to_owned(),
            detail: self.detail.map(str::to_owned),
            provider_id: self.provider_id.map(str::to_owned),
        })
    }
}

/// `None` if there is an answer that can't be read.
pub(super) fn read(row: Option<AnswerRow<'_>>) -> Option<Option<ProviderAnswer>> {
    match row {
        None => Some(None),
        Some(row) => row.into_answer().map(Some),
    }
}
