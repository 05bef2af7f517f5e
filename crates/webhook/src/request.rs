//! What is sent: the body, the caller's headers, and ours over them.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use pushroll_domain::{Callback, CallerHeaders, Outcome};
use serde::Serialize;

use crate::failure::Failure;
use crate::standard_webhooks::webhook_signature;
use crate::target::Target;

pub(crate) type CallbackRequest = Request<Full<Bytes>>;

const AGENT: &str = concat!("Pushroll/", env!("CARGO_PKG_VERSION"));
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    status: &'static str,
    signature: &'a str,
    failure_reason: Option<&'static str>,
}

/// The request that makes this callback.
pub(crate) fn request(target: &Target, callback: &Callback) -> Result<CallbackRequest, Failure> {
    let body = Bytes::from(body(callback));
    let mut headers = callers_headers(callback)?;
    let id = callback.id.to_string();
    let timestamp = callback.at.as_secs();
    // One for each secret, with spaces between: a receiver takes any that is right.
    let signatures = callback.webhook_secrets.iter();
    let signatures = signatures
        .map(|secret| webhook_signature(secret.reveal(), &id, timestamp, &body))
        .collect::<Result<Vec<_>, _>>()?;
    if !signatures.is_empty() {
        headers.insert(WEBHOOK_SIGNATURE, value(&WEBHOOK_SIGNATURE, &signatures.join(" "))?);
    }
    headers.insert(WEBHOOK_ID, value(&WEBHOOK_ID, &id)?);
    headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp));
    headers.insert(HOST, value(&HOST, &target.authority)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // The one header of ours that a caller may set.
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));

    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from(target.path_and_query.clone());
    *request.headers_mut() = headers;
    Ok(request)
}

fn body(callback: &Callback) -> Vec<u8> {
    let (status, failure_reason) = match callback.outcome {
        Outcome::Success => ("Success", None),
        Outcome::Failed(reason) => ("Failed", Some(reason.name())),
    };
    let body = Body { status, signature: &callback.signature, failure_reason };
    // A struct of texts has no reason to fail.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The caller's headers, but none that he may not set: they were checked when they were accepted, so
/// one of these is a fault of ours, and must not reach the wire all the same.
fn callers_headers(callback: &Callback) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::with_capacity(callback.headers.len() + 8);
    for (name, secret) in &callback.headers {
        if let Err(fault) = CallerHeaders::check_name(name) {
            tracing::warn!(id = %callback.id, %fault, "a callback's header is left out");
            continue;
        }
        let unsendable = || Failure::Header(name.clone());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unsendable())?;
        let mut value = HeaderValue::from_bytes(secret.reveal()).map_err(|_| unsendable())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn value(name: &HeaderName, text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| Failure::Header(name.to_string()))
}
