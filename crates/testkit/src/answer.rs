//! An answer of the server, read whole.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// An answer of the server, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A problem document.
#[derive(Debug, Clone)]
pub struct Problem {
    /// All of it.
    pub document: Value,
}

impl Answer {
    /// A header as text; `None` if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a header that is text"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON, declared as such.
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).expect("a body that is JSON")
    }

    /// This answer, which must have the status.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// An empty 202, and it must be one: with `Content-Length: 0` and not a byte.
    #[track_caller]
    pub fn is_empty_202(&self) {
        assert_eq!(self.status, 202, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-length"), Some("0"));
        assert_eq!(self.header("content-type"), None);
        assert!(self.body.is_empty());
    }

    /// The problem document of this answer, which must have the status.
    #[track_caller]
    #[must_use]
    pub fn problem(&self, status: u16) -> Problem {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document: Value = serde_json::from_slice(&self.body).expect("a body that is JSON");
        assert_eq!(document["status"], status, "{document}");
        for name in ["type", "title", "detail"] {
            let text = document[name].as_str();
            assert!(text.is_some_and(|text| !text.is_empty()), "{name} in {document}");
        }
        Problem { document }
    }

    /// The id of a registration that was accepted and is tracked.
    #[track_caller]
    #[must_use]
    pub fn registration_id(&self) -> String {
        assert_eq!(self.status, 202, "{}", String::from_utf8_lossy(&self.body));
        id_in(&self.json())
    }

    /// The ids of a batch that was accepted and is tracked.
    #[track_caller]
    #[must_use]
    pub fn registration_ids(&self) -> Vec<String> {
        assert_eq!(self.status, 202, "{}", String::from_utf8_lossy(&self.body));
        self.json().as_array().expect("an array").iter().map(id_in).collect()
    }
}

fn id_in(item: &Value) -> String {
    let object = item.as_object().expect("an object");
    assert_eq!(object.len(), 1, "{item}");
    item["RegistrationRequestId"].as_str().expect("an id").to_owned()
}

impl Problem {
    /// The field that is at fault.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.document["field"].as_str()
    }

    /// The index of the item that is at fault.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        self.document["index"].as_u64()
    }

    /// The rule that was broken.
    #[must_use]
    pub fn rule(&self) -> &str {
        self.document["rule"].as_str().expect("a rule")
    }

    /// What was expected.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.document["expected"].as_str()
    }
}
