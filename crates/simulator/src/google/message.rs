//! The form of a `messages:send` body, as the reference of `projects.messages` has it: unknown
//! fields and wrong types are refused with a `google.rpc.BadRequest`, before anyone looks at the
//! registration token.
//!
//! Field names count in both of protobuf's JSON forms, `validate_only` and `validateOnly`. What
//! lies inside `apns`, `webpush` and `android.notification` is not looked into.

use serde_json::{Map, Value};

use super::answer::Fault;

/// The largest data payload in bytes, names and values together.
pub const MAX_DATA_BYTES: usize = 4096;

/// Whom a message is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A registration token or an installation id.
    Device(String),
    /// A topic or a condition.
    Many,
}

const REQUEST: &[&str] = &["validate_only", "message"];
const MESSAGE: &[&str] = &[
    "name",
    "data",
    "notification",
    "android",
    "webpush",
    "apns",
    "fcm_options",
    "token",
    "topic",
    "condition",
    "fid",
];
const NOTIFICATION: &[&str] = &["title", "body", "image"];
const ANDROID: &[&str] = &[
    "collapse_key",
    "priority",
    "ttl",
    "restricted_package_name",
    "data",
    "notification",
    "fcm_options",
    "direct_boot_ok",
    "bandwidth_constrained_ok",
    "restricted_satellite_ok",
];
const TARGETS: [&str; 4] = ["token", "topic", "condition", "fid"];

/// An object of the body with its path, such as `message.android`.
struct Object<'a> {
    path: &'a str,
    fields: Vec<(String, &'a Value)>,
}

/// The target of a well-formed body.
pub(super) fn check(body: &[u8]) -> Result<Target, Fault> {
    let body: Value = serde_json::from_slice(body).map_err(|why| {
        Fault::plain(400, format!("Invalid JSON payload received. Unexpected token.\n{why}"))
    })?;
    let request = Object::read("", &body, REQUEST)?;
    if request.get("validate_only").is_some_and(|value| !value.is_boolean()) {
        return Err(wrong_type("validate_only", "TYPE_BOOL", request.get("validate_only")));
    }
    let message = request
        .get("message")
        .ok_or_else(|| Fault::bad_request("message", "Message is missing or empty."))?;
    let message = Object::read("message", message, MESSAGE)?;
    let mut data_bytes = check_data("message.data", message.get("data"))?;
    if let Some(notification) = message.get("notification") {
        let notification = Object::read("message.notification", notification, NOTIFICATION)?;
        for name in NOTIFICATION {
            data_bytes += notification.text(name)?.map_or(0, str::len);
        }
    }
    if let Some(android) = message.get("android") {
        data_bytes += check_android(&Object::read("message.android", android, ANDROID)?)?;
    }
    let target = target_of(&message)?;
    if data_bytes > MAX_DATA_BYTES {
        return Err(Fault::fcm(400, "INVALID_ARGUMENT", "Android message is too big"));
    }
    Ok(target)
}

fn target_of(message: &Object<'_>) -> Result<Target, Fault> {
    let mut found = None;
    for name in TARGETS {
        let Some(value) = message.text(name)? else { continue };
        if found.replace((name, value)).is_some() {
            // The four share a oneof.
            return Err(Fault::bad_request(
                "message",
                format!(
                    "Invalid value at 'message' (oneof), oneof field 'target' is already set. \
                     Cannot set '{name}'"
                ),
            ));
        }
    }
    match found {
        Some(("token" | "fid", value)) => Ok(Target::Device(value.to_owned())),
        Some((name, "")) => Err(Fault::bad_request(
            &format!("message.{name}"),
            "Recipient of the message is empty.",
        )),
        Some(_) => Ok(Target::Many),
        None => Err(Fault::bad_request("message", "Recipient of the message is not set.")),
    }
}

/// The bytes of a map of strings to strings.
fn check_data(path: &str, data: Option<&Value>) -> Result<usize, Fault> {
    let Some(data) = data else { return Ok(0) };
    let data = data.as_object().ok_or_else(|| wrong_type(path, "Map", Some(data)))?;
    let mut bytes = 0;
    for (index, (name, value)) in data.iter().enumerate() {
        let Some(text) = value.as_str() else {
            return Err(wrong_type(&format!("{path}[{index}].value"), "TYPE_STRING", Some(value)));
        };
        // "should not be a reserved word": the reference of `data`.
        let reserved = ["from", "message_type"].contains(&name.as_str())
            || name.starts_with("google.")
            || name.starts_with("gcm.");
        if reserved {
            return Err(Fault::bad_request(path, format!("Invalid data payload key: {name}")));
        }
        bytes += name.len() + text.len();
    }
    Ok(bytes)
}

fn check_android(android: &Object<'_>) -> Result<usize, Fault> {
    android.text("collapse_key")?;
    android.text("restricted_package_name")?;
    if let Some(ttl) = android.text("ttl")?
        && !is_duration(ttl)
    {
        let text = format!(
            "Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration), {ttl:?}"
        );
        return Err(Fault::bad_request("message.android.ttl", text));
    }
    if let Some(priority) = android.text("priority")?
        && !["NORMAL", "HIGH"].iter().any(|known| priority.eq_ignore_ascii_case(known))
    {
        let text = format!(
            "Invalid value at 'message.android.priority' (type.googleapis.com/google.firebase.fcm.v1.AndroidConfig.AndroidMessagePriority), {priority:?}"
        );
        return Err(Fault::bad_request("message.android.priority", text));
    }
    check_data("message.android.data", android.get("data"))
}

/// Seconds with up to nine fractional digits, ending in `s` (`google.protobuf.Duration`).
fn is_duration(text: &str) -> bool {
    let Some(number) = text.strip_suffix('s') else { return false };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    digits(whole, 12) && digits(fraction, 9)
}

impl<'a> Object<'a> {
    fn read(path: &'a str, value: &'a Value, known: &[&str]) -> Result<Self, Fault> {
        let map: &Map<String, Value> =
            value.as_object().ok_or_else(|| wrong_type(path, "object", Some(value)))?;
        let mut fields = Vec::with_capacity(map.len());
        for (name, value) in map {
            let snake = snake_case(name);
            if !known.contains(&snake.as_str()) {
                let place = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
                return Err(Fault::bad_request(
                    path,
                    format!(
                        "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot \
                         find field."
                    ),
                ));
            }
            // null is an absent field in protobuf's JSON.
            if !value.is_null() {
                fields.push((snake, value));
            }
        }
        Ok(Self { path, fields })
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| {
            wrong_type(&format!("{}.{name}", self.path), "TYPE_STRING", Some(value))
        })?;
        Ok(Some(text))
    }
}

fn wrong_type(field: &str, expected: &str, found: Option<&Value>) -> Fault {
    let found = found.map(ToString::to_string).unwrap_or_default();
    let found: String = found.chars().take(100).collect();
    Fault::bad_request(field, format!("Invalid value at '{field}' ({expected}), {found}"))
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(body: &Value) -> Result<Target, Fault> {
        check(body.to_string().as_bytes())
    }

    #[test]
    fn a_message_for_one_device_is_understood_in_both_spellings() {
        for body in [
            json!({"validate_only": true, "message": {"token": "t", "data": {"a": "b"}}}),
            json!({"validateOnly": true, "message": {"token": "t", "fcmOptions": {}}}),
            json!({"message": {"fid": "t", "android": {"ttl": "3.5s", "priority": "high"}}}),
        ] {
            assert_eq!(checked(&body), Ok(Target::Device("t".into())), "{body}");
        }
        assert_eq!(checked(&json!({"message": {"topic": "news"}})), Ok(Target::Many));
    }

    #[test]
    fn a_fault_of_the_payload_is_a_bad_request_without_an_fcm_error() {
        for body in [
            json!([]),
            json!({}),
            json!({"message": {}}),
            json!({"message": {"token": "t", "topic": "u"}}),
            json!({"message": {"token": 1}}),
            json!({"message": {"token": "t", "tokens": []}}),
            json!({"validate_only": "yes", "message": {"token": "t"}}),
            json!({"dry_run": true, "message": {"token": "t"}}),
            json!({"message": {"token": "t", "data": {"a": 1}}}),
            json!({"message": {"token": "t", "data": {"google.x": "1"}}}),
            json!({"message": {"token": "t", "notification": {"text": "x"}}}),
            json!({"message": {"token": "t", "android": {"ttl": "5"}}}),
            json!({"message": {"token": "t", "android": {"priority": "urgent"}}}),
        ] {
            let fault = checked(&body).expect_err("must be refused");
            let response = fault.into_response();
            let answer = String::from_utf8_lossy(response.body()).into_owned();
            assert_eq!(response.status(), 400);
            assert!(answer.contains("google.rpc.BadRequest"), "{body}: {answer}");
            assert!(!answer.contains("FcmError"), "{body}: {answer}");
        }
    }

    #[test]
    fn a_message_that_is_too_big_is_told_by_fcm_itself() {
        let body = json!({"message": {"token": "t", "data": {"a": "x".repeat(4096)}}});
        assert_eq!(checked(&body).expect_err("must be refused").reason(), "INVALID_ARGUMENT");
    }
}
