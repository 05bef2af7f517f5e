//! Apple's answers: status, `apns-id`, and `{"reason": …}` with a `timestamp` for 410
//! ("Handling notification responses from APNs").

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;
use uuid::Uuid;

/// A status and reason that end a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    timestamp_ms: Option<i64>,
}

macro_rules! refusals {
    ($($name:ident = $status:literal $reason:literal;)*) => {
        impl Refusal {
            $(pub(super) const $name: Self =
                Self { status: $status, reason: $reason, timestamp_ms: None };)*
        }
    };
}

refusals! {
    BAD_COLLAPSE_ID = 400 "BadCollapseId";
    BAD_DEVICE_TOKEN = 400 "BadDeviceToken";
    BAD_EXPIRATION_DATE = 400 "BadExpirationDate";
    BAD_MESSAGE_ID = 400 "BadMessageId";
    BAD_PRIORITY = 400 "BadPriority";
    BAD_TOPIC = 400 "BadTopic";
    DEVICE_TOKEN_NOT_FOR_TOPIC = 400 "DeviceTokenNotForTopic";
    DUPLICATE_HEADERS = 400 "DuplicateHeaders";
    INVALID_PUSH_TYPE = 400 "InvalidPushType";
    MISSING_DEVICE_TOKEN = 400 "MissingDeviceToken";
    MISSING_TOPIC = 400 "MissingTopic";
    PAYLOAD_EMPTY = 400 "PayloadEmpty";
    TOPIC_DISALLOWED = 400 "TopicDisallowed";
    BAD_CERTIFICATE = 403 "BadCertificate";
    BAD_CERTIFICATE_ENVIRONMENT = 403 "BadCertificateEnvironment";
    EXPIRED_PROVIDER_TOKEN = 403 "ExpiredProviderToken";
    INVALID_PROVIDER_TOKEN = 403 "InvalidProviderToken";
    MISSING_PROVIDER_TOKEN = 403 "MissingProviderToken";
    BAD_PATH = 404 "BadPath";
    METHOD_NOT_ALLOWED = 405 "MethodNotAllowed";
    PAYLOAD_TOO_LARGE = 413 "PayloadTooLarge";
    TOO_MANY_PROVIDER_TOKEN_UPDATES = 429 "TooManyProviderTokenUpdates";
    TOO_MANY_REQUESTS = 429 "TooManyRequests";
}

impl Refusal {
    pub(super) const fn unregistered(now_ms: i64) -> Self {
        Self { status: 410, reason: "Unregistered", timestamp_ms: Some(now_ms) }
    }

    pub(super) fn into_response(self, apns_id: HeaderValue) -> Response<Bytes> {
        response(self.status, apns_id, body(self.reason, self.timestamp_ms))
    }
}

/// The reason that usually goes with a status.
pub(super) const fn usual_reason(status: u16) -> &'static str {
    match status {
        400 => "BadDeviceToken",
        403 => "InvalidProviderToken",
        404 => "BadPath",
        405 => "MethodNotAllowed",
        410 => "Unregistered",
        413 => "PayloadTooLarge",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        _ => "InternalServerError",
    }
}

pub(super) fn body(reason: &str, timestamp_ms: Option<i64>) -> Bytes {
    let value = match timestamp_ms {
        Some(timestamp) => json!({"reason": reason, "timestamp": timestamp}),
        None => json!({"reason": reason}),
    };
    Bytes::from(value.to_string())
}

pub(super) fn response(status: u16, apns_id: HeaderValue, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("apns-id", apns_id);
    response
}

pub(super) fn accepted(apns_id: HeaderValue, unique_id: Option<Uuid>) -> Response<Bytes> {
    let mut response = response(200, apns_id, Bytes::new());
    if let Some(unique_id) = unique_id {
        // Only the development environment sends it.
        response.headers_mut().insert("apns-unique-id", lower_case(unique_id));
    }
    response
}

/// An id that APNs makes is written in capitals.
pub(super) fn upper_case(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_upper(&mut buffer)).expect("a UUID is ASCII")
}

fn lower_case(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)).expect("a UUID is ASCII")
}
