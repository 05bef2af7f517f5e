//! A small HTTP client for the demo: what any back end would do, over real sockets. One connection, kept open.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A client of one server.
pub struct Client {
    server: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// A request to the server.
pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    /// The admin token, if it is to be sent.
    pub bearer: Option<&'a str>,
    pub headers: &'a [(&'a str, String)],
    pub body: Option<&'a Value>,
}

impl<'a> Call<'a> {
    /// A `GET` of administration.
    pub fn get(path: &'a str, bearer: &'a str) -> Self {
        Self { method: Method::GET, path, bearer: Some(bearer), headers: &[], body: None }
    }

    /// A `POST` of administration.
    pub fn administer(path: &'a str, bearer: &'a str, body: &'a Value) -> Self {
        let (method, headers) = (Method::POST, &[]);
        Self { method, path, bearer: Some(bearer), headers, body: Some(body) }
    }

    /// A `POST` of the device registration API.
    pub fn post(path: &'a str, headers: &'a [(&'a str, String)], body: &'a Value) -> Self {
        Self { method: Method::POST, path, bearer: None, headers, body: Some(body) }
    }
}

impl Client {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, connection: None }
    }

    /// Asks, and expects an answer with this status; its body, `null` if it is empty.
    pub async fn expect(&mut self, status: StatusCode, call: Call<'_>) -> Result<Value> {
        let what = format!("{} {}", call.method, call.path);
        let (answered, body) = self.ask(call).await.with_context(|| what.clone())?;
        ensure!(
            answered == status,
            "{what} was answered {answered}: {}",
            String::from_utf8_lossy(&body)
        );
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).with_context(|| format!("{what} was not answered in JSON"))
    }

    /// Asks.
    pub async fn ask(&mut self, call: Call<'_>) -> Result<(StatusCode, Bytes)> {
        let body = call.body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(HOST, self.server.to_string());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(bearer) = call.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {bearer}"));
        }
        for (name, value) in call.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let mut connection = match self.connection.take() {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        if connection.ready().await.is_err() {
            // The server may close a connection that is kept for long.
            connection = self.connect().await?;
        }
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        self.connection = Some(connection);
        Ok((status, body))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
