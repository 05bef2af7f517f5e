//! A client of a running server, for the commands that ask one: a connection that is kept, HTTP/1.1 in clear text
//! or over TLS, JSON in and out. It tries nothing again but what was surely not sent.

mod connect;
mod fault;
mod trust;

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use pushroll_domain::Secret;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use connect::Target;
pub use fault::{ClientFault, Problem};
pub use trust::Trust;

/// From sending a request to having its whole answer. A check of an app asks its providers meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// No answer of a server of ours is longer.
const MOST_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A client of one server.
pub struct Client {
    target: Target,
    authorization: Option<HeaderValue>,
    answer_within: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client of the server at this address; nothing is connected yet.
    ///
    /// # Errors
    /// When the address is none, or the certificates can't be read.
    pub fn new(url: &Url, bearer: Option<&Secret>, trust: &Trust) -> Result<Self, ClientFault> {
        let authorization = bearer.map(|token| {
            let header = [b"Bearer ".as_slice(), token.reveal()].concat();
            let mut header = HeaderValue::from_bytes(&header).map_err(|_| ClientFault::Token)?;
            header.set_sensitive(true);
            Ok(header)
        });
        Ok(Self {
            target: Target::new(url, trust)?,
            authorization: authorization.transpose()?,
            answer_within: ANSWER_WITHIN,
            connection: None,
        })
    }

    /// Waits so long for an answer from now on.
    pub fn wait_for_answers(&mut self, within: Duration) {
        self.answer_within = within;
    }

    /// The server's address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.target.url
    }

    /// A `GET`; its answer in JSON.
    ///
    /// # Errors
    /// When there is no answer, or it says no.
    pub async fn get(&mut self, path: &str) -> Result<Value, ClientFault> {
        self.expect(Method::GET, path, &[], None).await
    }

    /// A `POST`; its answer in JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Value, ClientFault> {
        self.expect(Method::POST, path, &[], Some(body)).await
    }

    /// Any request whose answer is to be a success: its body in JSON, `null` if it is empty.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn expect(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ClientFault> {
        let answer = self.ask(method, path, headers, body).await?;
        if !answer.status.is_success() {
            return Err(ClientFault::Refused(Box::new(Problem::of(&answer))));
        }
        if answer.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer.body).map_err(|_| self.not_ours(&answer))
    }

    /// Any request, and its answer whatever it says.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, ClientFault> {
        let json = body.map(|body| ("application/json", Bytes::from(body.to_string())));
        let request = self.request(method, path, headers, json)?;
        self.send(request).await
    }

    /// A `POST` to the address itself of what is no JSON, and its answer whatever it says. The caller limits the
    /// time.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_bytes(
        &mut self,
        content_type: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, ClientFault> {
        let mut request = self.request(Method::POST, "", &[], Some((content_type, body)))?;
        request.headers_mut().extend(headers.iter().cloned());
        self.exchange(request).await
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ClientFault> {
        let within = self.answer_within;
        let asked = timeout(within, self.exchange(request));
        match asked.await {
            Ok(answered) => answered,
            Err(_) => Err(ClientFault::Lost {
                url: self.target.url.clone(),
                cause: format!("no answer within {} seconds", within.as_secs()),
            }),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<(&str, Bytes)>,
    ) -> Result<Request<Full<Bytes>>, ClientFault> {
        let path = format!("{}{path}", self.target.url.path().trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(HOST, self.target.authority.as_str());
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some((content_type, _)) = &body {
            request = request.header(CONTENT_TYPE, *content_type);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = body.map(|(_, bytes)| bytes).unwrap_or_default();
        let request = request.body(Full::new(bytes));
        request.map_err(|cause| ClientFault::Url {
            url: self.target.url.to_string(),
            cause: cause.to_string(),
        })
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ClientFault> {
        let url = self.target.url.clone();
        let lost = |cause: String| ClientFault::Lost { url: url.clone(), cause };
        let mut unsent = Some(request);
        // The server may have closed a connection that was kept; a request that it can't have seen is sent
        // on another.
        let (mut connection, mut is_fresh) = match self.connection.take() {
            Some(kept) => (kept, false),
            None => (self.target.connect().await?, true),
        };
        let response = loop {
            if connection.ready().await.is_err() && !is_fresh {
                (connection, is_fresh) = (self.target.connect().await?, true);
            }
            let Some(request) = unsent.take() else {
                return Err(lost("the request is gone".to_owned()));
            };
            match connection.try_send_request(request).await {
                Ok(response) => break response,
                Err(mut failed) => match failed.take_message() {
                    Some(request) if !is_fresh => {
                        unsent = Some(request);
                        (connection, is_fresh) = (self.target.connect().await?, true);
                    }
                    Some(_) | None => return Err(lost(failed.into_error().to_string())),
                },
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MOST_ANSWER_BYTES).collect().await;
        let body = body.map_err(|cause| lost(cause.to_string()))?.to_bytes();
        self.connection = Some(connection);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn not_ours(&self, answer: &Answer) -> ClientFault {
        ClientFault::NotOurs { url: self.target.url.clone(), status: answer.status }
    }
}

/// A segment of a path or a query's value, so that it arrives as it is.
#[must_use]
pub fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    #[test]
    fn a_value_is_written_so_that_it_arrives_as_it_is() {
        assert_eq!(percent("a b/ü?&+="), "a%20b%2F%C3%BC%3F%26%2B%3D");
    }

    async fn read_request(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_the_server_has_closed_is_made_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/push/", listener.local_addr().unwrap()).parse().unwrap();
        let served = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let head = read_request(&mut stream).await;
                assert!(head.starts_with("GET /push/admin/v1/orgs HTTP/1.1\r\n"), "{head}");
                assert!(head.contains("authorization: Bearer sesame\r\n"), "{head}");
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            }
        });
        let token = Secret::new(b"sesame".to_vec());
        let mut client = Client::new(&url, Some(&token), &Trust::System).unwrap();
        for _ in 0..2 {
            assert_eq!(client.get("/admin/v1/orgs").await.unwrap(), serde_json::json!({}));
        }
        served.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_and_somebody_else_there_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>";
            stream.write_all(answer).await.unwrap();
        });
        let mut client = Client::new(&url, None, &Trust::System).unwrap();
        let fault = client.get("/x").await.unwrap_err();
        assert!(matches!(fault, ClientFault::NotOurs { .. }), "{fault}");
        served.await.unwrap();
        let mut client = Client::new(&url, None, &Trust::System).unwrap();
        let fault = client.get("/x").await.unwrap_err();
        assert!(matches!(fault, ClientFault::Unreachable { .. }), "{fault}");
    }
}
