//! The ceiling of HTTP: a bare hyper server that reads the body, parses it as JSON and answers 202.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::TcpListener;

/// How the bare server is started.
#[derive(clap::Args)]
pub struct Options {
    /// The port to listen on.
    #[arg(long)]
    port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    mobile_app_id: &'a str,
    user_id: &'a str,
    api_token: &'a str,
    apns_device_token: Option<&'a str>,
    fcm_device_token: Option<&'a str>,
}

/// Serves until it is ended.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A connection that breaks is the load generator's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    let body = request.into_body().collect().await.map(|body| body.to_bytes());
    let accepted = body.is_ok_and(|body| is_a_registration(&body));
    *response.status_mut() = if accepted { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
    Ok(response)
}

fn is_a_registration(body: &[u8]) -> bool {
    serde_json::from_slice::<Body<'_>>(body).is_ok_and(|body| {
        !body.mobile_app_id.is_empty()
            && !body.user_id.is_empty()
            && !body.api_token.is_empty()
            && (body.apns_device_token.is_some() != body.fcm_device_token.is_some())
    })
}
