//! `POST /token`: a signed assertion for an access token ("Using OAuth 2.0 for server to server
//! applications", RFC 7523).

use std::time::Duration;

use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::{html_response, json_response, with_type};
use crate::faults::Next;
use crate::judge::{Act, Body, Outcome};
use crate::jws::Jws;
use crate::provider::Provider;
use crate::reply::{Action, Reply};
use crate::statistics::Seen;
use crate::world::World;

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Scopes that allow sending messages.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];
/// Google's own audience: its client libraries name it whatever the `token_uri` is.
const GOOGLES_TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// The longest time between `iat` and `exp`.
pub const MAX_ASSERTION_LIFETIME_S: i64 = 3600;
const TIMES: &str = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a \
                     reasonable timeframe. Check your iat and exp values in the JWT claim.";

/// The token endpoint.
pub(crate) struct Oauth<'a> {
    pub(crate) world: &'a World,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: Option<String>,
    aud: String,
    iat: i64,
    exp: i64,
}

/// An `error` with its `error_description`.
struct OauthError(&'static str, String);

fn invalid_grant(description: impl Into<String>) -> OauthError {
    OauthError("invalid_grant", description.into())
}

impl OauthError {
    fn into_response(self) -> Response<Bytes> {
        json_response(400, &json!({"error": self.0, "error_description": self.1}))
    }
}

/// Why a request gets no access token.
enum Refusal {
    Method,
    Error(OauthError),
}

impl From<OauthError> for Refusal {
    fn from(error: OauthError) -> Self {
        Self::Error(error)
    }
}

impl Oauth<'_> {
    /// Judges a request whose body has arrived.
    pub(crate) fn judge(&self, connection: u64, head: Parts, body: Body) -> Outcome {
        let state = self.world.of(Provider::Oauth);
        let (act, reason, latency) = match self.check(&head, &body) {
            Ok(()) => self.judge_good(),
            Err(Refusal::Method) => {
                (Act::Answer(html_response(405, "Method Not Allowed")), None, Duration::ZERO)
            }
            Err(Refusal::Error(error)) => {
                let reason = error.0.to_owned();
                (Act::Answer(error.into_response()), Some(reason), Duration::ZERO)
            }
        };
        let status = act.status();
        state.tally.record(&Seen {
            device: None,
            status,
            reason: reason.as_deref(),
            with_certificate: false,
        });
        state.tally.keep(self.world.clock.now_ms(), connection, head, body.into_bytes(), status);
        Outcome { act, latency, authenticated: false }
    }

    fn judge_good(&self) -> (Act, Option<String>, Duration) {
        let (next, latency) = self.world.of(Provider::Oauth).faults.next(None);
        match next {
            Next::Silence => (Act::Silence, None, Duration::ZERO),
            Next::CredentialsRejected => {
                let response = invalid_grant("Invalid JWT Signature.").into_response();
                (Act::Answer(response), Some("invalid_grant".to_owned()), latency)
            }
            Next::Scripted(reply) => {
                let (act, reason) = self.perform(&reply);
                (act, reason, latency + Duration::from_millis(reply.latency_ms))
            }
            Next::AsUsual => (Act::Answer(self.issue()), None, latency),
        }
    }

    fn issue(&self) -> Response<Bytes> {
        let tokens = &self.world.access_tokens;
        let token = tokens.issue(self.world.clock.now_seconds());
        self.world.of(Provider::Oauth).tally.access_token_issued();
        let body = json!({
            "access_token": token,
            "expires_in": tokens.lifetime_s(),
            "token_type": "Bearer",
        });
        json_response(200, &body)
    }

    fn check(&self, head: &Parts, body: &Body) -> Result<(), Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::Method);
        }
        let form = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| {
                value.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
            });
        let Body::Whole(body) = body else {
            return Err(OauthError("invalid_request", "Request is too large.".into()).into());
        };
        if !form {
            let text = "Content-Type must be application/x-www-form-urlencoded.";
            return Err(OauthError("invalid_request", text.into()).into());
        }
        let (mut grant_type, mut assertion) = (None, None);
        for (name, value) in form_urlencoded::parse(body) {
            let field = match &*name {
                "grant_type" => &mut grant_type,
                "assertion" => &mut assertion,
                _ => continue,
            };
            if field.replace(value).is_some() {
                let text = format!("Parameter {name} must not be repeated.");
                return Err(OauthError("invalid_request", text).into());
            }
        }
        match grant_type.as_deref() {
            Some(GRANT_TYPE) => {}
            Some(other) => {
                let text = format!("Invalid grant_type: {other}");
                return Err(OauthError("unsupported_grant_type", text).into());
            }
            None => {
                let text = "Required parameter is missing: grant_type";
                return Err(OauthError("invalid_request", text.into()).into());
            }
        }
        let assertion = assertion.ok_or_else(|| {
            OauthError("invalid_request", "Required parameter is missing: assertion".into())
        })?;
        Ok(self.check_assertion(&assertion)?)
    }

    fn check_assertion(&self, assertion: &str) -> Result<(), OauthError> {
        let credentials = &self.world.credentials;
        let jws = Jws::parse(assertion)
            .ok_or_else(|| invalid_grant("Invalid JWT: must have three parts in base64url."))?;
        let claims: Claims = jws.claims().ok_or_else(|| {
            invalid_grant("Invalid JWT: iss, aud, iat and exp must be present and of their types.")
        })?;
        if claims.iss != credentials.client_email() {
            return Err(invalid_grant("Invalid grant: account not found"));
        }
        // The key id is optional; a wrong one names a key that was deleted.
        let knows_key =
            jws.header.kid.as_deref().is_none_or(|kid| kid == credentials.private_key_id());
        let signed = jws.header.alg == "RS256"
            && jws
                .is_signed_by(&RSA_PKCS1_2048_8192_SHA256, &credentials.service_account_public_key);
        if !knows_key || !signed {
            return Err(invalid_grant("Invalid JWT Signature."));
        }
        if claims.aud != self.world.token_uri && claims.aud != GOOGLES_TOKEN_URI {
            let text = "Invalid JWT: Failed audience check. The right audience is ";
            return Err(invalid_grant(format!("{text}{}", self.world.token_uri)));
        }
        let now_s = self.world.clock.now_seconds();
        let skew_s = i64::try_from(self.world.limits.clock_skew.as_secs()).unwrap_or(i64::MAX);
        let lifetime = claims.exp.saturating_sub(claims.iat);
        if !(1..=MAX_ASSERTION_LIFETIME_S).contains(&lifetime)
            || claims.iat.saturating_sub(now_s) > skew_s
            || claims.exp <= now_s
        {
            return Err(invalid_grant(TIMES));
        }
        let scope = claims.scope.unwrap_or_default();
        if !scope.split(' ').any(|scope| SCOPES.contains(&scope)) {
            let text = "Invalid OAuth scope or ID token audience provided.";
            return Err(OauthError("invalid_scope", text.into()));
        }
        Ok(())
    }

    fn perform(&self, reply: &Reply) -> (Act, Option<String>) {
        match reply.action {
            Action::AsUsual => (Act::Answer(self.issue()), None),
            Action::Answer => {
                let status = reply.status.unwrap_or(200);
                let mut reason = None;
                let mut response = if status == 200 && reply.reason.is_none() {
                    self.issue()
                } else {
                    let error = reply.reason.as_deref().unwrap_or(usual_error(status));
                    reason = Some(error.to_owned());
                    let body: Value = json!({"error": error, "error_description": error});
                    json_response(status, &body)
                };
                if let Some(body) = reply.body_bytes() {
                    response =
                        with_type(status, Bytes::from(body), "application/json; charset=UTF-8");
                }
                (Act::Answer(reply.with_headers(response)), reason)
            }
            Action::Silence => (Act::Silence, None),
            Action::ResetStream => (Act::ResetStream, None),
            Action::ResetConnection => (Act::ResetConnection, None),
            Action::Goaway => (Act::Goaway(reply.reason.clone()), None),
        }
    }
}

const fn usual_error(status: u16) -> &'static str {
    match status {
        401 => "invalid_client",
        403 => "access_denied",
        429 => "rate_limit_exceeded",
        503 => "temporarily_unavailable",
        500..600 => "internal_failure",
        _ => "invalid_grant",
    }
}
