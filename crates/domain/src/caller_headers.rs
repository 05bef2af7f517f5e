//! The headers that a caller wants on his callback. They may carry secrets: values never print, and
//! a fault names the header and the rule, nothing else.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use thiserror::Error;

use crate::secret::Secret;

/// The caller's headers for a callback: at most [`CallerHeaders::MAX_HEADERS`], legal in HTTP, and
/// none that the connection or the service sets itself.
#[derive(Debug, Clone, Default)]
pub struct CallerHeaders(Vec<(String, Secret)>);

/// Why a text is not a set of caller's headers. The message says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallerHeadersFault {
    /// Over [`CallerHeaders::MAX_TEXT_BYTES`].
    #[error("must have at most 8 KiB (8192 bytes)")]
    TooLong,
    /// No JSON, or no object.
    #[error(r#"must be a JSON object of strings, like {{"X-Request-Id": "123"}}"#)]
    NotAnObject,
    /// Over [`CallerHeaders::MAX_HEADERS`].
    #[error("must have at most 20 headers")]
    TooMany,
    /// Not a token of RFC 9110, section 5.6.2.
    #[error("header name {0:?} is not legal in HTTP: letters, digits and !#$%&'*+-.^_`|~ only")]
    Name(String),
    /// The value of this header is not a string.
    #[error("header {0}: the value must be a string")]
    NotAString(String),
    /// The value of this header can't be sent.
    #[error(
        "header {0}: the value must be visible ASCII characters, with spaces and tabs between them only"
    )]
    Value(String),
    /// This header is given twice, in whatever letter case.
    #[error("header {0} is given twice; letter case makes no difference")]
    Duplicate(String),
    /// A hop-by-hop or framing header.
    #[error("header {0} is not allowed: it belongs to the connection")]
    OfConnection(String),
    /// A header that the callback always carries.
    #[error("header {0} is not allowed: the service sets it itself")]
    OfService(String),
}

/// Hop-by-hop and framing headers, and `Expect`, which changes how the body is sent.
const OF_CONNECTION: [&str; 11] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
const OF_SERVICE: [&str; 3] = ["content-length", "content-type", "host"];
const OF_SERVICE_PREFIX: &str = "webhook-";

impl CallerHeaders {
    /// The most headers.
    pub const MAX_HEADERS: usize = 20;
    /// The longest JSON text, in bytes.
    pub const MAX_TEXT_BYTES: usize = 8 * 1024;

    /// Reads headers from a JSON object of strings.
    ///
    /// # Errors
    /// When the text is too long or no such object, or a header is not allowed.
    pub fn parse(json_text: &str) -> Result<Self, CallerHeadersFault> {
        if json_text.len() > Self::MAX_TEXT_BYTES {
            return Err(CallerHeadersFault::TooLong);
        }
        // What serde_json says of a fault may quote the text.
        let Entries(entries) =
            serde_json::from_str(json_text).map_err(|_| CallerHeadersFault::NotAnObject)?;
        if entries.len() > Self::MAX_HEADERS {
            return Err(CallerHeadersFault::TooMany);
        }
        let mut headers: Vec<(String, Secret)> = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            Self::check_name(&name)?;
            let serde_json::Value::String(value) = value else {
                return Err(CallerHeadersFault::NotAString(shown(&name)));
            };
            let value = Secret::new(value.into_bytes());
            if !is_legal_value(value.reveal()) {
                return Err(CallerHeadersFault::Value(shown(&name)));
            }
            if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
                return Err(CallerHeadersFault::Duplicate(shown(&name)));
            }
            headers.push((name, value));
        }
        Ok(Self(headers))
    }

    /// Whether a caller may set a header of this name.
    ///
    /// # Errors
    /// When the name is not legal, or the header is not the caller's to set.
    pub fn check_name(name: &str) -> Result<(), CallerHeadersFault> {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(CallerHeadersFault::Name(shown(name)));
        }
        let lower = name.to_ascii_lowercase();
        if OF_CONNECTION.contains(&lower.as_str()) {
            return Err(CallerHeadersFault::OfConnection(shown(name)));
        }
        if OF_SERVICE.contains(&lower.as_str()) || lower.starts_with(OF_SERVICE_PREFIX) {
            return Err(CallerHeadersFault::OfService(shown(name)));
        }
        Ok(())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The headers in the order given, as [`crate::Callback`] takes them.
    #[must_use]
    pub fn into_headers(self) -> Vec<(String, Secret)> {
        self.0
    }

    /// The headers as a JSON object, to be sealed and stored.
    #[must_use]
    pub fn to_sealed_text(&self) -> Secret {
        // Room for the longest text there is, so that no grown-out-of copy of a secret stays behind.
        let mut text = Vec::with_capacity(Self::MAX_TEXT_BYTES);
        text.push(b'{');
        for (name, value) in &self.0 {
            if text.len() > 1 {
                text.push(b',');
            }
            push_quoted(&mut text, name.as_bytes());
            text.push(b':');
            push_quoted(&mut text, value.reveal());
        }
        text.push(b'}');
        Secret::new(text)
    }

    /// Reads what [`CallerHeaders::to_sealed_text`] made.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_sealed_text(text: &Secret) -> Result<Self, CallerHeadersFault> {
        let text =
            std::str::from_utf8(text.reveal()).map_err(|_| CallerHeadersFault::NotAnObject)?;
        Self::parse(text)
    }
}

/// Writes a JSON string. Names and values hold visible ASCII, spaces and tabs, so nothing else needs
/// a backslash, and the text is never longer than the one that was parsed.
fn push_quoted(text: &mut Vec<u8>, bytes: &[u8]) {
    text.push(b'"');
    for &byte in bytes {
        match byte {
            b'\t' => text.extend_from_slice(b"\\t"),
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            _ => text.push(byte),
        }
    }
    text.push(b'"');
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// RFC 9110, section 5.5, without obs-text.
fn is_legal_value(value: &[u8]) -> bool {
    let is_space = |byte: u8| byte == b' ' || byte == b'\t';
    value.iter().all(|&byte| byte.is_ascii_graphic() || is_space(byte))
        && !value.first().is_some_and(|&byte| is_space(byte))
        && !value.last().is_some_and(|&byte| is_space(byte))
}

/// As much of a name as belongs in a message.
fn shown(name: &str) -> String {
    const MAX_CHARS: usize = 64;
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The members of a JSON object as they stand there, repeated names among them.
struct Entries(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests;
