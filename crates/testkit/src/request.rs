//! A request, built step by step and sent by awaiting it.

use std::pin::Pin;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::answer::Answer;
use crate::client::{Client, Outgoing};

/// A request; awaiting it sends it.
#[derive(Debug)]
#[must_use = "a request is sent when it is awaited"]
pub struct Request {
    client: Client,
    outgoing: Outgoing,
}

impl Request {
    pub(crate) fn new(client: Client, method: Method, target: &str) -> Self {
        let outgoing = Outgoing {
            method,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            http2: false,
        };
        Self { client, outgoing }
    }

    /// With this JSON for a body.
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    /// With these bytes for a body; nothing is said about their type.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.outgoing.body = body.into();
        self
    }

    /// With one more header. Those that were given before under this name stay.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        // Not only visible ASCII: tests send what they like.
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        if name == CONTENT_TYPE {
            self.outgoing.headers.remove(CONTENT_TYPE);
        }
        self.outgoing.headers.append(name, value);
        self
    }

    /// Without a `Content-Type`.
    pub fn without_a_content_type(mut self) -> Self {
        self.outgoing.headers.remove(CONTENT_TYPE);
        self
    }

    /// With a bearer token.
    pub fn bearer(mut self, token: &str) -> Self {
        let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a token");
        self.outgoing.headers.insert(AUTHORIZATION, value);
        self
    }

    /// A registration whose outcome may be asked for.
    pub fn tracked(self) -> Self {
        self.header("x-ms-track-registration", "true")
    }

    /// A registration whose caller is told the outcome at this URL.
    pub fn callback(self, url: &str) -> Self {
        self.header("x-ms-callback-url", url)
    }

    /// Over HTTP/2 in clear text.
    pub fn over_http2(mut self) -> Self {
        self.outgoing.http2 = true;
        self
    }
}

impl IntoFuture for Request {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.client.send(self.outgoing).await })
    }
}
