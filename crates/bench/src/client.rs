//! A client for what is not measured: administration, metrics, counts.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Posts JSON and reads JSON.
pub async fn post(
    port: u16,
    path: &str,
    bearer: Option<&str>,
    body: &Value,
) -> anyhow::Result<Value> {
    let text = send(Method::POST, port, path, bearer, body.to_string()).await?;
    serde_json::from_str(&text).with_context(|| format!("{path} answered something else than JSON"))
}

/// Reads a text.
pub async fn get(port: u16, path: &str, bearer: Option<&str>) -> anyhow::Result<String> {
    send(Method::GET, port, path, bearer, String::new()).await
}

async fn send(
    method: Method,
    port: u16,
    path: &str,
    bearer: Option<&str>,
    body: String,
) -> anyhow::Result<String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", format!("127.0.0.1:{port}"))
        .header("content-type", "application/json");
    if let Some(token) = bearer {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = send.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = answer.status();
    let bytes = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    ensure!(status.is_success(), "{path}: {status} {text}");
    Ok(text)
}
