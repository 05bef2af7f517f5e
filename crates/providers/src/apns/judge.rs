//! What an answer of APNs means. A pure function of its status and reason.

use std::time::Duration;

use pushroll_domain::{BusyScope, Verdict};

use super::reason::ApnsReason;

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// This verdict.
    Final(Verdict),
    /// The provider token is too old: renew it and ask once more.
    RenewProviderToken,
    /// Provider tokens came too often: keep the one there is.
    HoldProviderToken {
        /// What APNs asked for.
        retry_after: Option<Duration>,
    },
}

impl Judgement {
    /// The verdict if nothing more is done.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Final(verdict) => verdict.clone(),
            Self::RenewProviderToken => Verdict::CredentialsRefused,
            Self::HoldProviderToken { retry_after } => {
                Verdict::Busy { retry_after: *retry_after, scope: BusyScope::App }
            }
        }
    }
}

/// Judges an answer. A reason that Apple does not document is judged by its status.
pub(super) fn judge(
    status: u16,
    reason: Option<ApnsReason>,
    retry_after: Option<Duration>,
) -> Judgement {
    match (status, reason) {
        (200, _) => Judgement::Final(Verdict::Accepted),
        (400..500, Some(reason)) => by_reason(reason, retry_after),
        (400..500, None) => Judgement::Final(by_status(status, retry_after)),
        (500..600, _) => {
            Judgement::Final(Verdict::Busy { retry_after, scope: BusyScope::Provider })
        }
        // Not an answer that APNs gives: something stands in between.
        _ => Judgement::Final(Verdict::Unreachable),
    }
}

fn by_reason(reason: ApnsReason, retry_after: Option<Duration>) -> Judgement {
    use ApnsReason as R;
    let verdict = match reason {
        R::BadDeviceToken => Verdict::WrongEnvironment { credentials: false },
        R::BadEnvironmentKeyIdInToken => Verdict::WrongEnvironment { credentials: true },
        R::Unregistered | R::ExpiredToken | R::DeviceTokenNotForTopic => Verdict::TokenRejected,
        R::BadCertificate
        | R::BadCertificateEnvironment
        | R::Forbidden
        | R::InvalidProviderToken
        | R::MissingProviderToken
        | R::UnrelatedKeyIdInToken => Verdict::CredentialsRefused,
        R::ExpiredProviderToken => return Judgement::RenewProviderToken,
        R::TooManyProviderTokenUpdates => return Judgement::HoldProviderToken { retry_after },
        R::TooManyRequests => Verdict::Busy { retry_after, scope: BusyScope::Device },
        R::InternalServerError | R::ServiceUnavailable | R::Shutdown => {
            Verdict::Busy { retry_after, scope: BusyScope::Provider }
        }
        // The connection's fault: nobody looked at the request.
        R::IdleTimeout => Verdict::Unreachable,
        R::BadCollapseId
        | R::BadExpirationDate
        | R::BadMessageId
        | R::BadPath
        | R::BadPriority
        | R::BadTopic
        | R::DuplicateHeaders
        | R::InvalidPushType
        | R::MethodNotAllowed
        | R::MissingDeviceToken
        | R::MissingTopic
        | R::PayloadEmpty
        | R::PayloadTooLarge
        | R::TopicDisallowed => Verdict::RequestRefused,
    };
    Judgement::Final(verdict)
}

fn by_status(status: u16, retry_after: Option<Duration>) -> Verdict {
    match status {
        403 => Verdict::CredentialsRefused,
        410 => Verdict::TokenRejected,
        429 => Verdict::Busy { retry_after, scope: BusyScope::Device },
        _ => Verdict::RequestRefused,
    }
}

#[cfg(test)]
mod tests;
