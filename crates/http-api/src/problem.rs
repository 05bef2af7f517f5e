//! Problem documents (RFC 9457): every answer that says no is one.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::faults::{Fault, Text};
use crate::reply::{self, Reply};

/// The rule that a request broke, or why it can't be served. The name is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Json,
    Utf8,
    ObjectExpected,
    ArrayExpected,
    ItemCount,
    DuplicateProperty,
    UnknownProperty,
    Required,
    StringExpected,
    Guid,
    UserId,
    ApiToken,
    ExactlyOne,
    ContentType,
    TrackRegistration,
    HeaderText,
    HeaderConflict,
    CallbackUrl,
    CallbackAddress,
    CallbackHeaders,
    UnknownOrganization,
    UnknownApp,
    UnknownToken,
    TokenNotGood,
    NotUsable,
    Query,
    AdminToken,
    NotFound,
    UnknownPath,
    Method,
    BodyTooLarge,
    BodyTooSlow,
    BodyIncomplete,
    Throttled,
    Unavailable,
    Overloaded,
    Internal,
}

impl Rule {
    /// The name in `rule` and, after [`Rule::TYPE_PREFIX`], in `type`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Utf8 => "utf-8",
            Self::ObjectExpected => "object-expected",
            Self::ArrayExpected => "array-expected",
            Self::ItemCount => "item-count",
            Self::DuplicateProperty => "duplicate-property",
            Self::UnknownProperty => "unknown-property",
            Self::Required => "required",
            Self::StringExpected => "string-expected",
            Self::Guid => "guid",
            Self::UserId => "user-id",
            Self::ApiToken => "api-token",
            Self::ExactlyOne => "exactly-one",
            Self::ContentType => "content-type",
            Self::TrackRegistration => "track-registration",
            Self::HeaderText => "header-text",
            Self::HeaderConflict => "header-conflict",
            Self::CallbackUrl => "callback-url",
            Self::CallbackAddress => "callback-address",
            Self::CallbackHeaders => "callback-headers",
            Self::UnknownOrganization => "unknown-organization",
            Self::UnknownApp => "unknown-app",
            Self::UnknownToken => "unknown-token",
            Self::TokenNotGood => "token-not-good",
            Self::NotUsable => "not-usable",
            Self::Query => "query",
            Self::AdminToken => "admin-token",
            Self::NotFound => "not-found",
            Self::UnknownPath => "unknown-path",
            Self::Method => "method",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTooSlow => "body-too-slow",
            Self::BodyIncomplete => "body-incomplete",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }

    /// A title for people, the same for every occurrence.
    const fn title(self) -> &'static str {
        match self {
            Self::Json => "The body is not valid JSON",
            Self::Utf8 => "The body is not UTF-8",
            Self::ObjectExpected => "A JSON object was expected",
            Self::ArrayExpected => "A JSON array was expected",
            Self::ItemCount => "The number of items is not allowed",
            Self::DuplicateProperty => "A property is given twice",
            Self::UnknownProperty => "A property is not known",
            Self::Required => "A required property is missing",
            Self::StringExpected => "A property has the wrong type",
            Self::Guid => "A GUID was expected",
            Self::UserId => "The user id is not allowed",
            Self::ApiToken => "The API token's form is wrong",
            Self::ExactlyOne => "Exactly one device token is needed",
            Self::ContentType => "The content type is not JSON",
            Self::TrackRegistration => "The tracking header is neither true nor false",
            Self::HeaderText => "A header's value is not text",
            Self::HeaderConflict => "A header is given with different values",
            Self::CallbackUrl => "The callback URL is not allowed",
            Self::CallbackAddress => "The callback URL's address is not allowed",
            Self::CallbackHeaders => "The callback headers are not allowed",
            Self::UnknownOrganization => "The organization is not known",
            Self::UnknownApp => "The mobile app is not known",
            Self::UnknownToken => "The API token is not known",
            Self::TokenNotGood => "The API token is not good for this app",
            Self::NotUsable => "What was entered can't be used",
            Self::Query => "A query parameter is wrong",
            Self::AdminToken => "The admin token is missing or wrong",
            Self::NotFound => "There is no such thing",
            Self::UnknownPath => "There is nothing at this path",
            Self::Method => "The method is not allowed here",
            Self::BodyTooLarge => "The body is too large",
            Self::BodyTooSlow => "The body took too long",
            Self::BodyIncomplete => "The body did not arrive whole",
            Self::Throttled => "Too many requests",
            Self::Unavailable => "The service can't take it now",
            Self::Overloaded => "Too many requests at once",
            Self::Internal => "The service failed",
        }
    }

    /// What comes before the name in a document's `type`.
    const TYPE_PREFIX: &'static str = "urn:pushroll:problem:";
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// An answer that says no.
#[derive(Debug)]
pub(crate) struct Problem(Box<Parts>);

/// In a box, for problems are rare and travel far.
#[derive(Debug)]
struct Parts {
    status: StatusCode,
    rule: Rule,
    detail: Text,
    /// For problems of a request's form: all that was found.
    faults: Vec<Fault>,
    header: Option<(HeaderName, HeaderValue)>,
    closes: bool,
    /// What [`Problem::document`] would write.
    written: Option<Bytes>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// `urn:pushroll:problem:` and the rule.
    #[schema(format = "uri")]
    r#type: String,
    /// The same for every occurrence.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong, and what to do.
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Of the first fault.
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Of the first fault.
    index: Option<usize>,
    /// The rule that was broken; the name is stable.
    #[schema(value_type = String, pattern = "^[a-z0-9-]+$")]
    rule: Rule,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Of the first fault.
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    /// All faults that were found, at most 20.
    errors: &'a [Fault],
}

impl Problem {
    /// A problem that is not about one field of the request.
    pub(crate) fn new(status: StatusCode, rule: Rule, detail: impl Into<Text>) -> Self {
        Self::made_of(status, rule, detail.into(), Vec::new())
    }

    /// A problem of these faults, the first of which speaks for all.
    pub(crate) fn of_faults(status: StatusCode, faults: Vec<Fault>) -> Self {
        let (rule, detail) = match faults.first() {
            Some(first) => (first.rule, first.detail.clone()),
            None => (Rule::Internal, Text::Borrowed("The request was refused.")),
        };
        Self::made_of(status, rule, detail, faults)
    }

    fn made_of(status: StatusCode, rule: Rule, detail: Text, faults: Vec<Fault>) -> Self {
        let (header, closes, written) = (None, false, None);
        Self(Box::new(Parts { status, rule, detail, faults, header, closes, written }))
    }

    /// Has been written before, as this document.
    pub(crate) fn written_as(mut self, document: Bytes) -> Self {
        self.0.written = Some(document);
        self
    }

    /// Adds to what is told.
    pub(crate) fn with_remark(mut self, remark: &str) -> Self {
        self.0.written = None;
        self.0.detail = format!("{} {remark}", self.0.detail).into();
        self
    }

    /// 405, with the methods that are allowed.
    pub(crate) fn method_not_allowed(allow: &str) -> Self {
        let detail = format!("Use one of these methods here: {allow}.");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, Rule::Method, detail);
        match HeaderValue::from_str(allow) {
            Ok(allow) => problem.with_header(ALLOW, allow),
            Err(_) => problem,
        }
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        let detail = "Send the header Authorization: Bearer, followed by the admin token.";
        Self::new(StatusCode::UNAUTHORIZED, Rule::AdminToken, detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// Says when to try again: in whole seconds, rounded up, at least one.
    pub(crate) fn with_retry_after(self, span: Duration) -> Self {
        let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
        self.with_header(RETRY_AFTER, seconds.max(1).into())
    }

    /// Ends the connection (of HTTP/1) after the answer.
    pub(crate) fn closing(mut self) -> Self {
        self.0.closes = true;
        self
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// The document that says it.
    pub(crate) fn document(&self) -> Bytes {
        let Parts { status, rule, detail, faults, .. } = &*self.0;
        let first = faults.first();
        let document = Document {
            r#type: format!("{}{}", Rule::TYPE_PREFIX, rule.name()),
            title: rule.title(),
            status: status.as_u16(),
            detail,
            field: first.and_then(|fault| fault.field.as_deref()),
            index: first.and_then(|fault| fault.index),
            rule: *rule,
            expected: first.and_then(|fault| fault.expected.as_deref()),
            errors: faults,
        };
        // Strings and numbers only: writing them can't fail.
        serde_json::to_vec(&document).unwrap_or_default().into()
    }

    /// The answer.
    pub(crate) fn into_reply(self) -> Reply {
        let body = self.0.written.clone().unwrap_or_else(|| self.document());
        let Parts { status, header, closes, .. } = *self.0;
        let mut reply = reply::of_type(status, reply::PROBLEM_JSON, body);
        if let Some((name, value)) = header {
            reply.headers_mut().insert(name, value);
        }
        if closes {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}
