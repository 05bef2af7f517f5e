//! What FCM writes into the body of its answers.

use serde::Deserialize;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";

/// An error of FCM: `{"error": {"code", "message", "status", "details": [{"@type", …}]}}`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    error: Status,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    message: Option<String>,
    status: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    #[serde(rename = "@type")]
    kind: Option<String>,
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
}

/// The error code of FCM's own detail. A code that is not documented is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FcmCode {
    UnspecifiedError,
    InvalidArgument,
    Unregistered,
    SenderIdMismatch,
    QuotaExceeded,
    Unavailable,
    Internal,
    ThirdPartyAuthError,
    Undocumented,
}

impl FcmCode {
    fn parse(text: &str) -> Self {
        match text {
            "UNSPECIFIED_ERROR" => Self::UnspecifiedError,
            "INVALID_ARGUMENT" => Self::InvalidArgument,
            "UNREGISTERED" => Self::Unregistered,
            "SENDER_ID_MISMATCH" => Self::SenderIdMismatch,
            "QUOTA_EXCEEDED" => Self::QuotaExceeded,
            "UNAVAILABLE" => Self::Unavailable,
            "INTERNAL" => Self::Internal,
            "THIRD_PARTY_AUTH_ERROR" => Self::ThirdPartyAuthError,
            _ => Self::Undocumented,
        }
    }
}

impl ErrorBody {
    /// Reads the body. One that can't be read says nothing.
    pub fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn fcm_detail(&self) -> Option<&str> {
        let ours = |detail: &&Detail| detail.kind.as_deref() == Some(FCM_ERROR);
        self.error.details.iter().find(ours)?.error_code.as_deref()
    }

    /// The code in FCM's own detail; `None` if there is no such detail.
    pub fn code(&self) -> Option<FcmCode> {
        self.fcm_detail().map(FcmCode::parse)
    }

    /// FCM's code, else Google's, as written.
    pub fn words(&self) -> Option<&str> {
        self.fcm_detail().or(self.error.status.as_deref())
    }

    /// The explanation.
    pub fn message(&self) -> Option<&str> {
        self.error.message.as_deref()
    }

    /// The reason's name in the metrics.
    pub fn class(&self) -> &'static str {
        const NAMES: &[&str] = &[
            "FAILED_PRECONDITION",
            "INTERNAL",
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "PERMISSION_DENIED",
            "QUOTA_EXCEEDED",
            "RESOURCE_EXHAUSTED",
            "SENDER_ID_MISMATCH",
            "THIRD_PARTY_AUTH_ERROR",
            "UNAUTHENTICATED",
            "UNAVAILABLE",
            "UNREGISTERED",
            "UNSPECIFIED_ERROR",
        ];
        match self.words() {
            Some(words) => NAMES.iter().find(|name| **name == words).copied().unwrap_or("other"),
            None => "none",
        }
    }
}

/// The name of the message that FCM accepted.
pub(super) fn message_name(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Accepted {
        name: String,
    }
    serde_json::from_slice::<Accepted>(body).ok().map(|accepted| accepted.name)
}
