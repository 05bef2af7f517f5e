//! A small HTTP client: a connection for each request, HTTP/1.1 or HTTP/2 in clear text.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::answer::Answer;
use crate::request::Request;

/// A client of one server.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    address: SocketAddr,
}

/// What goes over the wire.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) http2: bool,
}

impl Client {
    /// A client of the server at this address.
    #[must_use]
    pub const fn of(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where the server is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A `GET`.
    pub fn get(&self, target: &str) -> Request {
        Request::new(*self, Method::GET, target)
    }

    /// A `POST` of JSON.
    pub fn post(&self, target: &str, body: &Value) -> Request {
        Request::new(*self, Method::POST, target).json(body)
    }

    /// Any request.
    pub fn request(&self, method: Method, target: &str) -> Request {
        Request::new(*self, method, target)
    }

    pub(crate) async fn send(&self, outgoing: Outgoing) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("a server that listens");
        stream.set_nodelay(true).expect("a socket");
        let io = TokioIo::new(stream);
        let authority = self.address.to_string();
        let mut request = http::Request::new(Full::new(outgoing.body));
        *request.method_mut() = outgoing.method;
        *request.headers_mut() = outgoing.headers;
        if outgoing.http2 {
            let uri = format!("http://{authority}{}", outgoing.target);
            *request.uri_mut() = uri.parse().expect("a target");
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
            tokio::spawn(connection);
            read(sender.send_request(request).await).await
        } else {
            *request.uri_mut() = outgoing.target.parse().expect("a target");
            let host = HeaderValue::try_from(authority).expect("an address");
            request.headers_mut().entry(HeaderName::from_static("host")).or_insert(host);
            let (mut sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            read(sender.send_request(request).await).await
        }
    }
}

async fn read(answer: hyper::Result<http::Response<hyper::body::Incoming>>) -> Answer {
    let (head, body) = answer.expect("an answer").into_parts();
    let body = body.collect().await.expect("the whole of an answer").to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}
