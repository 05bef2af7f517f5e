//! A client that survives its server: a connection that is kept, and an answer or the knowledge that there
//! was none.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use pushroll_testkit::Answer;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than any time-out of the server.
const ANSWER_DEADLINE: Duration = Duration::from_secs(90);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The request never left: the server can't know of it.
    NotSent,
    /// The connection ended: the server may know of it.
    Cut,
}

/// One connection, opened again when it is needed.
pub struct Caller {
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Caller {
    pub const fn of(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Answer, NoAnswer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, NoAnswer> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", self.address.to_string());
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(Full::from(body)).expect("a request in its form");
        let answered = timeout(ANSWER_DEADLINE, self.exchange(request)).await;
        answered.unwrap_or_else(|_| panic!("{path}: no answer within {ANSWER_DEADLINE:?}"))
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        let mut connection = self.connection().await.ok_or(NoAnswer::NotSent)?;
        let answer = connection.try_send_request(request).await.map_err(|mut fault| {
            // Hyper gives back what it has not begun to write.
            if fault.take_message().is_some() { NoAnswer::NotSent } else { NoAnswer::Cut }
        })?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|_| NoAnswer::Cut)?.to_bytes();
        self.connection = Some(connection);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    async fn connection(&mut self) -> Option<SendRequest<Full<Bytes>>> {
        if let Some(mut kept) = self.connection.take()
            && kept.ready().await.is_ok()
        {
            return Some(kept);
        }
        let stream = TcpStream::connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        sender.ready().await.ok()?;
        Some(sender)
    }
}
