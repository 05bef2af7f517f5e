//! The checks of a notification request: path, headers, payload
//! ("Sending notification requests to APNs").

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::MAX_PAYLOAD_BYTES;
use super::answer::Refusal;
use crate::credentials::BUNDLE_ID;
use crate::judge::Body;

/// The longest device token that is well-formed, in hexadecimal digits.
pub const MAX_DEVICE_TOKEN_DIGITS: usize = 200;
/// The longest `apns-collapse-id` in bytes.
pub const MAX_COLLAPSE_ID_BYTES: usize = 64;

const SINGLE_HEADERS: [&str; 7] = [
    "authorization",
    "apns-id",
    "apns-expiration",
    "apns-priority",
    "apns-topic",
    "apns-collapse-id",
    "apns-push-type",
];

const PUSH_TYPES: [&str; 11] = [
    "alert",
    "background",
    "location",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "liveactivity",
    "pushtotalk",
    "controls",
    "widgets",
];

/// A request to the right path.
#[derive(Debug)]
pub(super) struct ApnsRequest<'a> {
    /// The device token as it was sent.
    pub(super) device: &'a str,
}

/// Method and path: `POST /3/device/<token>`.
pub(super) fn parse(head: &Parts) -> Result<ApnsRequest<'_>, Refusal> {
    let rest = head.uri.path().strip_prefix("/3/device").ok_or(Refusal::BAD_PATH)?;
    if head.method != Method::POST {
        return Err(Refusal::METHOD_NOT_ALLOWED);
    }
    if rest.is_empty() || rest == "/" {
        return Err(Refusal::MISSING_DEVICE_TOKEN);
    }
    let device = rest.strip_prefix('/').ok_or(Refusal::BAD_PATH)?;
    if device.contains('/') {
        return Err(Refusal::BAD_PATH);
    }
    Ok(ApnsRequest { device })
}

/// The request's own `apns-id`, if it has a good one.
pub(super) fn given_id(head: &Parts) -> Option<&HeaderValue> {
    let value = head.headers.get("apns-id")?;
    // 8-4-4-4-12 and no other form.
    (value.len() == 36 && Uuid::try_parse_ascii(value.as_bytes()).is_ok()).then_some(value)
}

/// Everything but the path and the credentials. `certified` are the topics of the connection's
/// certificate, if that is what it has.
pub(super) fn check(
    head: &Parts,
    request: &ApnsRequest<'_>,
    body: &Body,
    certified: Option<&[String]>,
) -> Result<(), Refusal> {
    let headers = &head.headers;
    for name in SINGLE_HEADERS {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(Refusal::DUPLICATE_HEADERS);
        }
    }
    if headers.contains_key("apns-id") && given_id(head).is_none() {
        return Err(Refusal::BAD_MESSAGE_ID);
    }
    if let Some(expiration) = text(headers, "apns-expiration", Refusal::BAD_EXPIRATION_DATE)? {
        let digits = !expiration.is_empty() && expiration.bytes().all(|b| b.is_ascii_digit());
        if !digits || expiration.parse::<i64>().is_err() {
            return Err(Refusal::BAD_EXPIRATION_DATE);
        }
    }
    if let Some(collapse_id) = headers.get("apns-collapse-id")
        && collapse_id.len() > MAX_COLLAPSE_ID_BYTES
    {
        return Err(Refusal::BAD_COLLAPSE_ID);
    }
    let push_type = text(headers, "apns-push-type", Refusal::INVALID_PUSH_TYPE)?;
    if push_type.is_some_and(|push_type| !PUSH_TYPES.contains(&push_type)) {
        return Err(Refusal::INVALID_PUSH_TYPE);
    }
    let is_background = push_type == Some("background");
    // "If you omit this header, APNs sets the notification priority to 10"; a background push must
    // have 5 ("Pushing background updates to your App").
    match text(headers, "apns-priority", Refusal::BAD_PRIORITY)?.unwrap_or("10") {
        "5" => {}
        "1" | "10" if !is_background => {}
        _ => return Err(Refusal::BAD_PRIORITY),
    }
    let topic = text(headers, "apns-topic", Refusal::BAD_TOPIC)?;
    check_topic(match (topic, certified) {
        // A certificate for one topic says which.
        (None, Some([only])) => Some(only),
        (Some(topic), Some(topics)) if is_topic(topic) && !topics.iter().any(|t| t == topic) => {
            return Err(Refusal::TOPIC_DISALLOWED);
        }
        (topic, _) => topic,
    })?;
    check_payload(body, is_background)?;
    check_device_token(request.device)
}

fn check_topic(topic: Option<&str>) -> Result<(), Refusal> {
    let topic = topic.ok_or(Refusal::MISSING_TOPIC)?;
    if topic == BUNDLE_ID {
        return Ok(());
    }
    if !is_topic(topic) {
        return Err(Refusal::BAD_TOPIC);
    }
    // A suffix such as `.voip` belongs to another push type, which the key is not allowed.
    match topic.strip_prefix(BUNDLE_ID) {
        Some(suffix) if suffix.starts_with('.') => Err(Refusal::TOPIC_DISALLOWED),
        _ => Err(Refusal::DEVICE_TOKEN_NOT_FOR_TOPIC),
    }
}

fn is_topic(topic: &str) -> bool {
    let form = |c: u8| c.is_ascii_alphanumeric() || c == b'.' || c == b'-';
    !topic.is_empty() && topic.bytes().all(form)
}

#[derive(Deserialize)]
struct Payload {
    aps: Option<Aps>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Aps {
    alert: Option<IgnoredAny>,
    badge: Option<IgnoredAny>,
    sound: Option<IgnoredAny>,
    content_available: Option<i64>,
}

fn check_payload(body: &Body, is_background: bool) -> Result<(), Refusal> {
    let bytes = match body {
        Body::Whole(bytes) if bytes.len() <= MAX_PAYLOAD_BYTES => bytes,
        Body::Whole(_) | Body::TooLarge => return Err(Refusal::PAYLOAD_TOO_LARGE),
    };
    let payload: Payload = serde_json::from_slice(bytes).map_err(|_| Refusal::PAYLOAD_EMPTY)?;
    if is_background {
        // "To send a background notification, the aps dictionary includes only content-available":
        // the push type "must accurately reflect the contents" of the payload.
        let fits = payload.aps.is_some_and(|aps| {
            aps.content_available == Some(1)
                && aps.alert.is_none()
                && aps.badge.is_none()
                && aps.sound.is_none()
        });
        if !fits {
            return Err(Refusal::INVALID_PUSH_TYPE);
        }
    }
    Ok(())
}

fn check_device_token(device: &str) -> Result<(), Refusal> {
    // Apple's have an even number of digits; trials make theirs up.
    let well_formed = (1..=MAX_DEVICE_TOKEN_DIGITS).contains(&device.len())
        && device.bytes().all(|b| b.is_ascii_hexdigit());
    if well_formed { Ok(()) } else { Err(Refusal::BAD_DEVICE_TOKEN) }
}

fn text<'a>(
    headers: &'a HeaderMap,
    name: &str,
    refusal: Refusal,
) -> Result<Option<&'a str>, Refusal> {
    headers.get(name).map(|value| value.to_str().map_err(|_| refusal)).transpose()
}
