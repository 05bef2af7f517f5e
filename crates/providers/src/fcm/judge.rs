//! What an answer of FCM means. A pure function of its status and its own error code (Firebase,
//! "FCM error codes").

use std::time::Duration;

use pushroll_domain::{BusyScope, Verdict};

use super::error_body::FcmCode;

/// Google asks for at least this long after 429 without `Retry-After`.
const QUOTA_RETRY: Duration = Duration::from_secs(60);

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// This verdict.
    Final(Verdict),
    /// The access token is refused: fetch a new one and ask once more.
    RenewAccessToken,
}

impl Judgement {
    /// The verdict if nothing more is done.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Final(verdict) => verdict.clone(),
            Self::RenewAccessToken => Verdict::CredentialsRefused,
        }
    }
}

/// Judges an answer. `code` is that of an `FcmError` among the details: without one it is not FCM
/// that speaks about a token, but Google about the request, the project or the account.
pub(super) fn judge(
    status: u16,
    code: Option<FcmCode>,
    retry_after: Option<Duration>,
) -> Judgement {
    use FcmCode as C;
    let verdict = match (status, code) {
        (200, _) => Verdict::Accepted,
        (401, _) => return Judgement::RenewAccessToken,
        (400, Some(C::InvalidArgument))
        | (403, Some(C::SenderIdMismatch))
        | (404, Some(C::Unregistered)) => Verdict::TokenRejected,
        (403, _) | (404, None) => Verdict::CredentialsRefused,
        (429, _) => Verdict::Busy {
            retry_after: Some(retry_after.unwrap_or(QUOTA_RETRY)),
            scope: BusyScope::App,
        },
        (400..500, _) => Verdict::RequestRefused,
        (500..600, _) => Verdict::Busy { retry_after, scope: BusyScope::Provider },
        // Not an answer that FCM gives: something stands in between.
        _ => Verdict::Unreachable,
    };
    Judgement::Final(verdict)
}

#[cfg(test)]
mod tests;
