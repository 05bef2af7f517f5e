//! HTTP/2 in clear text, with prior knowledge, on the same port.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value as Json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::raw::PATIENCE;
use crate::running::{Running, running, running_with};

/// A client, and its connection's end.
async fn connect(server: &Running) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (client, tokio::spawn(connection))
}

fn post(server: &Running, step: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let uri = format!("http://{}{}", server.address, server.path(step));
    Request::post(uri).body(Full::new(body.into())).unwrap()
}

async fn json(answer: Response<hyper::body::Incoming>) -> Json {
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn registrations_are_accepted_at_once_on_one_connection() {
    let server = running().await;
    let (client, _connection) = connect(&server).await;
    let answers = (0..50).map(|_| {
        let mut client = client.clone();
        let mut request = post(&server, "devices", server.registration().to_string());
        request.headers_mut().insert("x-ms-track-registration", "true".parse().unwrap());
        async move { json(client.send_request(request).await.unwrap()).await }
    });
    for answer in futures_util::future::join_all(answers).await {
        assert!(answer["RegistrationRequestId"].is_string());
    }
    assert_eq!(server.store.accepted.lock().len(), 50);
}

#[tokio::test]
async fn an_empty_body_says_that_it_is_empty() {
    let server = running().await;
    let (mut client, _connection) = connect(&server).await;
    let request = post(&server, "devices", server.registration().to_string());
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["content-length"]),
        (StatusCode::ACCEPTED, &"0".parse().unwrap())
    );
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn an_over_long_body_is_413_and_the_connection_goes_on() {
    let server = running().await;
    let (mut client, _connection) = connect(&server).await;
    let answer = client.send_request(post(&server, "devices", vec![b' '; 5 << 20])).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!answer.headers().contains_key("connection"));
    assert_eq!(json(answer).await["rule"], "body-too-large");
    let request = post(&server, "devices", server.registration().to_string());
    assert_eq!(client.send_request(request).await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn headers_that_are_too_long_are_431() {
    let server = running().await;
    let (mut client, _connection) = connect(&server).await;
    let mut request = post(&server, "devices", "");
    request.headers_mut().insert("x-long", "x".repeat(40 * 1024).parse().unwrap());
    let answer = client.send_request(request).await;
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let (mut client, _connection) = connect(&server).await;
    let request = post(&server, "devices", server.registration().to_string());
    assert_eq!(client.send_request(request).await.unwrap().status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_quiet_connection_is_closed_in_good_order() {
    let server = running_with(|http| http.idle_timeout = Duration::from_millis(100)).await;
    let (mut client, connection) = connect(&server).await;
    let request = post(&server, "devices", server.registration().to_string());
    assert_eq!(client.send_request(request).await.unwrap().status(), StatusCode::ACCEPTED);
    timeout(PATIENCE, connection).await.expect("closed").unwrap().expect("in good order");
}

#[tokio::test]
async fn an_old_connection_is_closed_in_good_order() {
    let server = running_with(|http| {
        http.header_timeout = Duration::from_millis(50);
        http.http2.connection_age = Duration::from_millis(100);
    })
    .await;
    let (mut client, connection) = connect(&server).await;
    let served = async {
        loop {
            let request = post(&server, "devices", server.registration().to_string());
            match client.send_request(request).await {
                Ok(answer) => assert_eq!(answer.status(), StatusCode::ACCEPTED),
                // Taken before the peer's word came; it says so, and it was not looked at.
                Err(_closed) => return,
            }
        }
    };
    timeout(PATIENCE, served).await.expect("closed");
    timeout(PATIENCE, connection).await.expect("closed").unwrap().expect("in good order");
}

/// A frame of RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn streams_that_are_reset_as_soon_as_they_begin_end_the_connection() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const END_HEADERS: u8 = 4;
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    const ENHANCE_YOUR_CALM: u8 = 11;
    let server = running().await;
    let mut connection = server.connect().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    // POST, http, /, and the authority: RFC 7541, appendix A.
    let block = [&[0x83, 0x86, 0x84, 0x41, 4][..], b"test"].concat();
    for stream in 0..500 {
        let stream = stream * 2 + 1;
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &block));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL));
    }
    connection.send(bytes).await;
    let answer = connection.closed().await;
    let mut rest = answer.as_slice();
    let mut last = None;
    while rest.len() >= 9 {
        let length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
        last = Some((rest[3], rest[9..9 + length].to_vec()));
        rest = &rest[9 + length..];
    }
    let (kind, payload) = last.expect("a frame");
    assert_eq!((kind, payload[7]), (GOAWAY, ENHANCE_YOUR_CALM));
    assert_eq!(server.post("devices", &server.registration()).await.status, 202);
}
