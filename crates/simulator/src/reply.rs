//! An answer that a test dictates.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest that a scripted answer, or every answer, may be held back.
pub const MAX_LATENCY_MS: u64 = 600_000;
/// The most headers that a reply may carry.
pub const MAX_REPLY_HEADERS: usize = 20;
/// The longest header value and reason, in bytes.
pub const MAX_REPLY_TEXT_BYTES: usize = 512;
/// The largest body that a reply may carry, in bytes.
pub const MAX_REPLY_BODY_BYTES: usize = 16 * 1024;

/// A script or a fault that the simulator can't carry out; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidScript(pub(crate) String);

impl InvalidScript {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What to do with one request that has passed every check of the protocol.
///
/// ```
/// use pushroll_simulator::Reply;
/// let busy = Reply::status(503).with_header("retry-after", "2").after_ms(100);
/// let odd = Reply::refused(400, "AReasonOfNextYear");
/// # let _ = (busy, odd);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// What to do; an answer if it is not said.
    #[serde(default)]
    pub action: Action,
    /// The status of the answer, 200 to 599; 200 if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason (APNs), error code (FCM) or error (OAuth); the usual one of the status if it is
    /// not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The time of an APNs 410 in milliseconds; now if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// Headers added to the answer, such as `retry-after`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body instead of the provider's: a string is sent as it is, anything else as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// How long to hold the answer back, in milliseconds.
    #[serde(default)]
    pub latency_ms: u64,
}

/// What a [`Reply`] does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Answer with the status, reason, headers and body of the reply.
    #[default]
    Answer,
    /// Judge the request as if nothing were scripted.
    AsUsual,
    /// Never answer.
    Silence,
    /// Reset the stream (RST_STREAM, INTERNAL_ERROR); over HTTP/1.1 the connection.
    ResetStream,
    /// Reset the whole connection (TCP RST).
    ResetConnection,
    /// Send GOAWAY with the reason and close the connection without an answer; over HTTP/1.1 reset it.
    Goaway,
}

impl Reply {
    /// The provider's usual success.
    pub fn accepted() -> Self {
        Self::default()
    }

    /// The given status with its usual reason: 503 is `ServiceUnavailable` at APNs and
    /// `UNAVAILABLE` at FCM.
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// The given status and reason.
    pub fn refused(status: u16, reason: impl Into<String>) -> Self {
        Self { status: Some(status), reason: Some(reason.into()), ..Self::default() }
    }

    /// 503 with `Retry-After: 1`.
    pub fn busy() -> Self {
        Self::status(503).with_header("retry-after", "1")
    }

    /// Judged as if nothing were scripted.
    pub fn as_usual() -> Self {
        Self::doing(Action::AsUsual)
    }

    /// Never answered.
    pub fn silence() -> Self {
        Self::doing(Action::Silence)
    }

    /// Anything but an answer.
    pub fn doing(action: Action) -> Self {
        Self { action, ..Self::default() }
    }

    /// With one more header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// With a body of its own.
    pub fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With the `timestamp` of an APNs 410, in milliseconds.
    pub fn with_timestamp(mut self, timestamp_ms: i64) -> Self {
        self.timestamp = Some(timestamp_ms);
        self
    }

    /// Held back for so long.
    pub fn after_ms(mut self, latency_ms: u64) -> Self {
        self.latency_ms = latency_ms;
        self
    }

    /// Whether the reply can be sent as it is.
    ///
    /// # Errors
    /// Names the field and the rule it breaks.
    pub fn check(&self) -> Result<(), InvalidScript> {
        let refuse = |text: String| Err(InvalidScript(text));
        if let Some(status) = self.status
            && !(200..600).contains(&status)
        {
            return refuse(format!("status: {status} is not between 200 and 599"));
        }
        if self.reason.as_ref().is_some_and(|r| r.len() > MAX_REPLY_TEXT_BYTES) {
            return refuse(format!("reason: longer than {MAX_REPLY_TEXT_BYTES} bytes"));
        }
        if self.latency_ms > MAX_LATENCY_MS {
            return refuse(format!("latency_ms: more than {MAX_LATENCY_MS}"));
        }
        if self.headers.len() > MAX_REPLY_HEADERS {
            return refuse(format!("headers: more than {MAX_REPLY_HEADERS}"));
        }
        for (name, value) in &self.headers {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return refuse(format!("headers: {name:?} is not the name of a header"));
            }
            if value.len() > MAX_REPLY_TEXT_BYTES || HeaderValue::from_str(value).is_err() {
                return refuse(format!("headers: the value of {name:?} is not legal, or too long"));
            }
            // HTTP/2 knows no framing headers (RFC 9113, 8.2.2) and the body sets its own length.
            let framing =
                ["connection", "transfer-encoding", "content-length", "upgrade", "keep-alive"];
            if framing.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
                return refuse(format!("headers: {name:?} belongs to the framing of the message"));
            }
        }
        if self.body_bytes().is_some_and(|body| body.len() > MAX_REPLY_BODY_BYTES) {
            return refuse(format!("body: larger than {MAX_REPLY_BODY_BYTES} bytes"));
        }
        Ok(())
    }

    pub(crate) fn body_bytes(&self) -> Option<Vec<u8>> {
        self.body.as_ref().map(|body| match body {
            Value::String(text) => text.clone().into_bytes(),
            other => other.to_string().into_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_cannot_be_sent_is_refused_with_its_field() {
        let cases = [
            (Reply::status(99), "status"),
            (Reply::status(600), "status"),
            (Reply::accepted().after_ms(MAX_LATENCY_MS + 1), "latency_ms"),
            (Reply::accepted().with_header("a b", "c"), "headers"),
            (Reply::accepted().with_header("a", "c\nd"), "headers"),
            (Reply::accepted().with_header("Content-Length", "3"), "headers"),
            (Reply::accepted().with_body(Value::String("x".repeat(20_000))), "body"),
            (Reply::refused(400, "x".repeat(600)), "reason"),
        ];
        for (reply, field) in cases {
            let refusal = reply.check().expect_err("must be refused").to_string();
            assert!(refusal.starts_with(field), "{refusal}");
        }
    }
}
