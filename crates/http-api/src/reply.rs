//! Answers.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// An answer, whole in memory.
pub(crate) type Reply = Response<Full<Bytes>>;

/// RFC 9457.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// RFC 8259.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Plain text.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An answer with a body of this type.
pub(crate) fn of_type(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

/// An answer whose body is really empty, and says so on HTTP/2 too.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    reply
}

/// An answer of the administration: JSON that no cache keeps.
pub(crate) fn admin_json(status: StatusCode, value: &impl Serialize) -> Reply {
    // Strings, numbers and lists of them only: writing them can't fail.
    let body = serde_json::to_vec(value).unwrap_or_default();
    not_cached(of_type(status, JSON, body.into()))
}

/// Tells caches to keep nothing of it.
pub(crate) fn not_cached(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
