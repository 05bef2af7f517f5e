//! Answers in the form of `google.rpc.Status` as JSON ("FCM error codes", Google's "Errors" in the
//! API design guide).

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// An error of a Google API.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) code: u16,
    pub(super) status: &'static str,
    message: String,
    /// `errorCode` of an FcmError detail.
    fcm_error: Option<String>,
    /// Field and description of a `google.rpc.BadRequest` detail.
    violation: Option<(String, String)>,
}

impl Fault {
    /// A fault of the payload: a `google.rpc.BadRequest` detail names the field.
    pub(super) fn bad_request(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            code: 400,
            status: "INVALID_ARGUMENT",
            violation: Some((field.to_owned(), message.clone())),
            message,
            fcm_error: None,
        }
    }

    /// An error without a detail.
    pub(super) fn plain(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            status: status_of(code),
            message: message.into(),
            fcm_error: None,
            violation: None,
        }
    }

    /// An error with an FcmError detail.
    pub(super) fn fcm(code: u16, error_code: &str, message: impl Into<String>) -> Self {
        Self { fcm_error: Some(error_code.to_owned()), ..Self::plain(code, message) }
    }

    /// The usual error of a status and an error code, in Google's words.
    pub(super) fn usual(code: u16, error_code: Option<&str>) -> Self {
        let error_code = error_code.unwrap_or(match code {
            400 => "INVALID_ARGUMENT",
            401 => return Self::unauthenticated(),
            403 => "SENDER_ID_MISMATCH",
            404 => "UNREGISTERED",
            429 => "QUOTA_EXCEEDED",
            503 => "UNAVAILABLE",
            _ => "INTERNAL",
        });
        let message = match error_code {
            "INVALID_ARGUMENT" => "The registration token is not a valid FCM registration token",
            "UNREGISTERED" | "NOT_FOUND" => "Requested entity was not found.",
            "SENDER_ID_MISMATCH" => "SenderId mismatch",
            "QUOTA_EXCEEDED" => "Quota exceeded for quota metric 'Send requests'.",
            "UNAVAILABLE" => "The service is currently unavailable.",
            "INTERNAL" => "Internal error encountered.",
            "PERMISSION_DENIED" => {
                "Permission 'cloudmessaging.messages.create' denied on resource \
                 '//cloudresourcemanager.googleapis.com/projects/' (or it may not exist)."
            }
            "UNAUTHENTICATED" => return Self::unauthenticated(),
            "THIRD_PARTY_AUTH_ERROR" => "Auth error from APNS or Web Push Service",
            other => other,
        };
        // These are statuses of the whole API, not error codes of FCM.
        match error_code {
            "PERMISSION_DENIED" | "NOT_FOUND" => Self::plain(code, message),
            _ => Self::fcm(code, error_code, message),
        }
    }

    pub(super) fn unauthenticated() -> Self {
        Self::plain(
            401,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
             cookie or other valid authentication credential. See \
             https://developers.google.com/identity/sign-in/web/devconsole-project.",
        )
    }

    /// What the statistics count: the FCM error code, else the status.
    pub(super) fn reason(&self) -> &str {
        self.fcm_error.as_deref().unwrap_or(self.status)
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let mut details = Vec::new();
        if let Some(error_code) = self.fcm_error {
            details.push(json!({
                "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError",
                "errorCode": error_code,
            }));
        }
        if let Some((field, description)) = self.violation {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": field, "description": description}],
            }));
        }
        let mut error = json!({
            "code": self.code,
            "message": self.message,
            "status": self.status,
        });
        if !details.is_empty() {
            error["details"] = Value::Array(details);
        }
        let mut response = json_response(self.code, &json!({ "error": error }));
        if self.code == 401 {
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"https://accounts.google.com/\""),
            );
        }
        response
    }
}

/// The canonical status of an HTTP status (`google.rpc.Code`).
fn status_of(code: u16) -> &'static str {
    match code {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500..600 => "INTERNAL",
        _ => "UNKNOWN",
    }
}

pub(super) fn json_response(status: u16, body: &Value) -> Response<Bytes> {
    with_type(status, Bytes::from(body.to_string()), "application/json; charset=UTF-8")
}

/// Google's web server answers an unknown path or method in HTML, not in JSON.
pub(super) fn html_response(status: u16, title: &str) -> Response<Bytes> {
    let body = format!(
        "<!DOCTYPE html>\n<html lang=en>\n<title>Error {status} ({title})!!1</title>\n\
         <p><b>{status}.</b> <ins>That's an error.</ins>\n"
    );
    with_type(status, Bytes::from(body), "text/html; charset=UTF-8")
}

pub(super) fn with_type(status: u16, body: Bytes, content_type: &'static str) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
