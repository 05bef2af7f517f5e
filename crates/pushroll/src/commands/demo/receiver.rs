//! The receiver of the demo's callbacks: what a caller's back end would run. It keeps what came, and checks it
//! against the two signatures that are documented, with code of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use pushroll_domain::{FailureReason, Outcome};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;
use uuid::Uuid;

/// The header that the demo asks to be sent along, and its value.
pub const OWN_HEADER: (&str, &str) = ("x-demo-key", "open-sesame");
/// A callback is a small object.
const MOST_BYTES: usize = 64 * 1024;

/// A callback as it came.
pub struct Received {
    path: String,
    headers: HeaderMap,
    body: Bytes,
    /// When.
    pub at: Instant,
}

/// The receiver: runs until its runtime ends.
pub struct Receiver {
    address: SocketAddr,
    received: Mutex<HashMap<Uuid, Vec<Received>>>,
    count: AtomicUsize,
}

impl Receiver {
    /// Listens on a free port.
    pub async fn start() -> Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let receiver = Arc::new(Self {
            address: listener.local_addr()?,
            received: Mutex::default(),
            count: AtomicUsize::new(0),
        });
        tokio::spawn(accept(listener, Arc::clone(&receiver)));
        Ok(receiver)
    }

    /// The URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many callbacks came.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The callbacks of a registration.
    pub fn take(&self, id: Uuid) -> Vec<Received> {
        self.received.lock().remove(&id).unwrap_or_default()
    }

    async fn receive(&self, request: Request<Incoming>) -> StatusCode {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MOST_BYTES).collect().await else {
            return StatusCode::BAD_REQUEST;
        };
        let id =
            head.headers.get("webhook-id").and_then(|id| Uuid::try_parse_ascii(id.as_bytes()).ok());
        let Some(id) = id else { return StatusCode::BAD_REQUEST };
        let received = Received {
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body: body.to_bytes(),
            at: Instant::now(),
        };
        self.received.lock().entry(id).or_default().push(received);
        self.count.fetch_add(1, Ordering::Relaxed);
        StatusCode::NO_CONTENT
    }
}

async fn accept(listener: TcpListener, receiver: Arc<Receiver>) {
    while let Ok((stream, _)) = listener.accept().await {
        let receiver = Arc::clone(&receiver);
        tokio::spawn(async move {
            let answer = service_fn(|request| async {
                let mut response = Response::new(Full::<Bytes>::default());
                *response.status_mut() = receiver.receive(request).await;
                Ok::<_, Infallible>(response)
            });
            // A connection that breaks is the sender's to notice.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// What a callback must be signed with.
pub struct Secrets<'a> {
    /// The API token of the request: the key of `Signature`.
    pub api_token: &'a str,
    /// The app's webhook secret: the key of `webhook-signature`, which is left out when the API token was not
    /// good.
    pub webhook_secret: Option<&'a str>,
}

impl Received {
    /// Checks everything about the callback, and reads how the registration ended.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(&self, url: &str, secrets: &Secrets<'_>) -> Result<Outcome> {
        anyhow::ensure!(url.ends_with(&self.path), "it came to {}, not to {url}", self.path);
        let own = self.header(OWN_HEADER.0)?;
        anyhow::ensure!(own == OWN_HEADER.1, "the header that was asked for is not as given");
        let body: Value = serde_json::from_slice(&self.body).context("the body is no JSON")?;

        let key = hmac::Key::new(hmac::HMAC_SHA256, secrets.api_token.as_bytes());
        let signature = body["Signature"].as_str().context("there is no Signature")?;
        let signature = STANDARD.decode(signature).context("Signature is no base64")?;
        hmac::verify(&key, url.as_bytes(), &signature)
            .map_err(|_| anyhow::anyhow!("Signature is wrong"))?;
        match secrets.webhook_secret {
            Some(secret) => self.verify_standard(secret)?,
            None => anyhow::ensure!(
                !self.headers.contains_key("webhook-signature"),
                "there is a webhook-signature, although the API token was not good"
            ),
        }
        outcome(&body)
    }

    /// The signature of Standard Webhooks: over id, timestamp and body.
    fn verify_standard(&self, secret: &str) -> Result<()> {
        let secret = secret.strip_prefix("whsec_").context("the secret is no whsec_…")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(secret)?);
        let (id, at) = (self.header("webhook-id")?, self.header("webhook-timestamp")?);
        let signed = [format!("{id}.{at}.").as_bytes(), &self.body[..]].concat();
        let signatures = self.header("webhook-signature")?.split(' ');
        let good = signatures.filter_map(|one| one.strip_prefix("v1,")).any(|one| {
            STANDARD.decode(one).is_ok_and(|tag| hmac::verify(&key, &signed, &tag).is_ok())
        });
        anyhow::ensure!(good, "webhook-signature is wrong");
        Ok(())
    }

    fn header(&self, name: &str) -> Result<&str> {
        let value = self.headers.get(name).with_context(|| format!("there is no {name}"))?;
        Ok(value.to_str()?)
    }
}

/// The outcome in a body of a callback, or of an answer to a status query.
///
/// # Errors
/// When it has none.
pub fn outcome(body: &Value) -> Result<Outcome> {
    let reason = &body["FailureReason"];
    match (body["Status"].as_str(), reason.as_str()) {
        (Some("Success"), None) if reason.is_null() => Ok(Outcome::Success),
        (Some("Failed"), Some(name)) => FailureReason::ALL
            .into_iter()
            .find(|reason| reason.name() == name)
            .map(Outcome::Failed)
            .with_context(|| format!("there is no FailureReason {name}")),
        _ => anyhow::bail!("it has not ended: {body}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_outcome_is_read_strictly() {
        let read =
            |status, reason: Value| outcome(&json!({"Status": status, "FailureReason": reason}));
        assert_eq!(read("Success", Value::Null).unwrap(), Outcome::Success);
        let expected = Outcome::Failed(FailureReason::DuplicateExists);
        assert_eq!(read("Failed", json!("DuplicateExists")).unwrap(), expected);
        assert!(read("Pending", Value::Null).is_err());
        assert!(read("Failed", Value::Null).is_err());
        assert!(read("Success", json!("DuplicateExists")).is_err());
        assert!(read("Failed", json!("SomethingElse")).is_err());
    }
}
