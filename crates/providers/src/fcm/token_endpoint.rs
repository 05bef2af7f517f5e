//! The token endpoint: an assertion signed by the service account in exchange for an access token
//! (Google, "Using OAuth 2.0 for server to server applications"; RFC 7523).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rsa;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pushroll_domain::{
    BusyScope, Clock, DryRunReport, FcmCredentials, Provider, Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::answer::{ACCEPTED, no_answer, oauth_said, timed_out};
use crate::jwt::rs256;
use crate::meters::{self, Meter};
use crate::retry_after;
use crate::transport::{Answer, Dialer, Endpoint, MAX_ANSWER_BYTES, TransportFault};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// The longest that Google allows.
const ASSERTION_LIFE_SECS: u64 = 3600;
/// Of an access token whose answer does not say.
const DEFAULT_LIFE_SECS: u64 = 3600;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// An access token that was fetched.
pub(crate) struct Fetched {
    /// The value of `authorization`.
    pub header: HeaderValue,
    /// How long it is good.
    pub life: Duration,
}

/// The answer's body, of a success or a failure.
#[derive(Default, Deserialize)]
struct TokenBody {
    access_token: Option<String>,
    expires_in: Option<u64>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Fetches access tokens. A connection for each: an account needs one in an hour.
pub(crate) struct TokenEndpoint {
    dialer: Dialer,
    clock: Arc<dyn Clock>,
    allowed: Vec<Url>,
    fetches: Semaphore,
    timeout: Duration,
    meter: Meter,
}

impl TokenEndpoint {
    pub fn new(
        dialer: Dialer,
        clock: Arc<dyn Clock>,
        allowed: Vec<Url>,
        max_fetches: usize,
        timeout: Duration,
    ) -> Self {
        let (fetches, meter) = (Semaphore::new(max_fetches), Meter::new(Provider::OAuth, None));
        Self { dialer, clock, allowed, fetches, timeout, meter }
    }

    /// Fetches an access token once. The failure is a report for every dry run that needs it.
    pub async fn fetch(
        &self,
        credentials: &FcmCredentials,
        key: &rsa::KeyPair,
        now: Timestamp,
    ) -> Result<Fetched, DryRunReport> {
        let uri = Url::parse(&credentials.token_uri).ok();
        let Some(uri) = uri.filter(|uri| self.allowed.contains(uri)) else {
            let words = "the token_uri is not allowed";
            return Err(oauth_said(Verdict::CredentialsRefused, None, words, None));
        };
        let Ok(assertion) = assertion(credentials, key, now) else {
            let words = "the private key can't sign";
            return Err(oauth_said(Verdict::CredentialsRefused, None, words, None));
        };
        let began = Instant::now();
        let asked = timeout(self.timeout, async {
            let _permit = self.fetches.acquire().await.map_err(|_| TransportFault::Closing)?;
            self.ask(&uri, assertion).await
        });
        let (outcome, class) = match asked.await {
            Ok(Ok(answer)) => self.read(&answer),
            Ok(Err(fault)) => {
                let silence = no_answer(Provider::OAuth, None, &fault);
                (Err(silence.report), silence.class)
            }
            Err(_) => {
                let silence = timed_out(Provider::OAuth, None);
                (Err(silence.report), silence.class)
            }
        };
        self.meter.answered(class, began.elapsed());
        if outcome.is_ok() {
            meters::token_minted(Provider::OAuth);
        }
        outcome
    }

    async fn ask(&self, uri: &Url, assertion: String) -> Result<Answer, TransportFault> {
        let endpoint = Endpoint::of_url(uri).map_err(TransportFault::Lost)?;
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
        );
        let dialled = self.dialer.dial_any_http(&endpoint).await;
        let (stream, is_h2) = dialled.map_err(TransportFault::Dial)?;
        let io = TokioIo::new(stream);
        let mut request = Request::post(if is_h2 { uri.as_str() } else { uri.path() })
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(form)))
            .map_err(|fault| TransportFault::Lost(fault.to_string()))?;
        // Ends with this request, however that ends.
        let mut driver = JoinSet::new();
        let lost = |fault: hyper::Error| TransportFault::Lost(fault.to_string());
        let response = if is_h2 {
            let opened = http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = opened.map_err(lost)?;
            driver.spawn(connection);
            sender.send_request(request).await.map_err(lost)?
        } else {
            let host = HeaderValue::from_str(endpoint.authority.as_str());
            request.headers_mut().extend(host.ok().map(|host| (HOST, host)));
            let (mut sender, connection) = http1::handshake(io).await.map_err(lost)?;
            driver.spawn(connection);
            sender.send_request(request).await.map_err(lost)?
        };
        read_answer(response).await
    }

    fn read(&self, answer: &Answer) -> (Result<Fetched, DryRunReport>, &'static str) {
        let body: TokenBody = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status == 200 {
            return match fetched(&body) {
                Some(fetched) => (Ok(fetched), ACCEPTED),
                None => {
                    let words = "no access token in the answer";
                    let report = oauth_said(Verdict::Unreachable, Some(200), words, None);
                    (Err(report), "no_access_token")
                }
            };
        }
        let verdict = judge(answer.status, self.retry_after(&answer.headers));
        let reason = body.error.as_deref().unwrap_or("no reason given");
        let detail = body.error_description.as_deref();
        (
            Err(oauth_said(verdict, Some(answer.status), reason, detail)),
            class(body.error.as_deref()),
        )
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        retry_after::read(headers, self.clock.now())
    }
}

/// What an answer other than 200 means. Redirects are not followed.
fn judge(status: u16, retry_after: Option<Duration>) -> Verdict {
    match status {
        429 => Verdict::Busy { retry_after, scope: BusyScope::App },
        400..500 => Verdict::CredentialsRefused,
        500..600 => Verdict::Busy { retry_after, scope: BusyScope::Provider },
        _ => Verdict::Unreachable,
    }
}

/// The reason's name in the metrics.
fn class(error: Option<&str>) -> &'static str {
    const NAMES: &[&str] = &[
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    ];
    match error {
        Some(error) => NAMES.iter().find(|name| **name == error).copied().unwrap_or("other"),
        None => "none",
    }
}

fn assertion(
    credentials: &FcmCredentials,
    key: &rsa::KeyPair,
    now: Timestamp,
) -> Result<String, crate::jwt::SigningFault> {
    let iat = now.as_secs();
    let claims = Claims {
        iss: &credentials.client_email,
        scope: SCOPE,
        aud: &credentials.token_uri,
        iat,
        exp: iat + ASSERTION_LIFE_SECS,
    };
    rs256(key, credentials.private_key_id.as_deref(), &claims)
}

fn fetched(body: &TokenBody) -> Option<Fetched> {
    let token = body.access_token.as_deref().filter(|token| !token.is_empty())?;
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    let life = Duration::from_secs(body.expires_in.unwrap_or(DEFAULT_LIFE_SECS));
    Some(Fetched { header, life })
}

async fn read_answer(response: Response<Incoming>) -> Result<Answer, TransportFault> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|fault| TransportFault::Lost(fault.to_string()))?.to_bytes();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_endpoints_4xx_blames_the_credentials_but_429_and_5xx_do_not() {
        let wait = Some(Duration::from_secs(7));
        for status in 300..700 {
            let expected = match status {
                429 => Verdict::Busy { retry_after: wait, scope: BusyScope::App },
                400..500 => Verdict::CredentialsRefused,
                500..600 => Verdict::Busy { retry_after: wait, scope: BusyScope::Provider },
                _ => Verdict::Unreachable,
            };
            assert_eq!(judge(status, wait), expected, "{status}");
        }
    }

    #[test]
    fn an_answer_without_a_usable_token_is_none() {
        let read = |text: &str| fetched(&serde_json::from_str(text).unwrap());
        assert!(read(r#"{"access_token":""}"#).is_none());
        assert!(read(r#"{"access_token":"a\nb"}"#).is_none());
        assert!(read(r#"{"expires_in":5}"#).is_none());
        let hour = read(r#"{"access_token":"t","token_type":"Bearer"}"#).unwrap();
        assert_eq!(hour.life, Duration::from_secs(3600));
        assert!(hour.header.is_sensitive());
    }
}
