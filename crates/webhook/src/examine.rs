//! What the rules say of a callback, and what would be sent: the same code that sends, stopped before
//! the connection.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http_body_util::BodyExt as _;
use pushroll_domain::Callback;
use tokio::time::Instant;

use crate::client::CallbackClient;
use crate::connect::Deadline;
use crate::request::request;
use crate::target::{Target, TargetHost};

/// What stands in for a value that may be a secret.
const MASK: &str = "***";

/// A callback as it would be made.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The host, in the form in which it is looked up; `None` if the URL can't be used at all.
    pub host: Option<String>,
    /// The addresses that the host has now.
    pub addresses: Vec<IpAddr>,
    /// Those of them that would be called, in this order, with the port.
    pub calls: Vec<SocketAddr>,
    /// Which rule refuses it, or why its host can't be looked up; `None` if nothing stands in its way.
    pub refusal: Option<String>,
    /// The request; `None` if it can't be made.
    pub request: Option<ShownRequest>,
}

/// A request for people to look at.
#[derive(Debug, Clone)]
pub struct ShownRequest {
    /// `POST /path?query HTTP/1.1`
    pub start_line: String,
    /// The headers, the caller's values masked.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl CallbackClient {
    /// Looks the callback's host up and judges it as [`pushroll_domain::CallbackSender::send`] would, and
    /// makes the request, but connects to nobody.
    pub async fn examine(&self, callback: &Callback) -> Examination {
        let timeout = self.settings.timeout;
        let deadline = Deadline { at: Instant::now() + timeout, timeout };
        let mut examination = Examination {
            host: None,
            addresses: Vec::new(),
            calls: Vec::new(),
            refusal: None,
            request: None,
        };
        let target = match Target::parse(&callback.url, self.policy.allow_http) {
            Ok(target) => target,
            Err(fault) => {
                examination.refusal = Some(format!("the URL {fault}"));
                return examination;
            }
        };
        examination.host = Some(match &target.origin.host {
            TargetHost::Address(address) => address.to_string(),
            TargetHost::Name(name) => name.clone(),
        });
        match self.addresses(&target.origin, deadline).await {
            Ok(addresses) => {
                match self.policy.choose(&target.origin, &addresses) {
                    Ok(calls) => examination.calls = calls,
                    Err(failure) => examination.refusal = Some(failure.reason()),
                }
                examination.addresses = addresses;
            }
            Err(failure) => examination.refusal = Some(failure.reason()),
        }
        match request(&target, callback) {
            Ok(request) => {
                let (head, body) = request.into_parts();
                // It is in memory: there is nothing to wait for.
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let target = &target.path_and_query;
                examination.request = Some(ShownRequest {
                    start_line: format!("POST {target} HTTP/1.1"),
                    headers: shown(&head.headers),
                    body: String::from_utf8_lossy(&body).into_owned(),
                });
            }
            Err(failure) => {
                examination.refusal.get_or_insert_with(|| failure.reason());
            }
        }
        examination
    }
}

fn shown(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut shown: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| {
            let text = if value.is_sensitive() { None } else { value.to_str().ok() };
            (name.to_string(), text.unwrap_or(MASK).to_owned())
        })
        .collect();
    shown.sort();
    shown
}
