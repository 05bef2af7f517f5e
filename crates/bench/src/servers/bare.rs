//! The ceilings of HTTP: servers that read the body, parse it as JSON and answer 202; one on bare
//! hyper, one on axum.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::{Process, free_port, start_own};

/// What it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Framework {
    /// hyper and nothing else.
    Hyper,
    /// axum.
    Axum,
}

/// How a bare server is started.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What it stands on.
    #[arg(long)]
    framework: Framework,
    /// The port to listen on.
    #[arg(long)]
    port: u16,
}

/// Starts one as a process of its own, on one core if there is one given.
pub async fn start(framework: Framework, core: Option<usize>) -> anyhow::Result<Process> {
    let port = free_port()?;
    let framework = match framework {
        Framework::Hyper => "hyper",
        Framework::Axum => "axum",
    };
    start_own(&["bare", "--framework", framework, "--port", &port.to_string()], port, core).await
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
    match options.framework {
        Framework::Hyper => on_hyper(listener).await,
        Framework::Axum => on_axum(listener).await,
    }
}

async fn on_hyper(listener: TcpListener) -> anyhow::Result<()> {
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
    *response.status_mut() = body.map_or(StatusCode::BAD_REQUEST, |body| verdict(&body));
    Ok(response)
}

async fn on_axum(listener: TcpListener) -> anyhow::Result<()> {
    use axum::serve::ListenerExt as _;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let routes = axum::Router::new()
        .route("/api/v1.0/orgs/{org}/pushdeviceregistration/devices", axum::routing::post(parse))
        .route(
            "/api/v1.0/orgs/{org}/pushdeviceregistration/devices/batch",
            axum::routing::post(parse),
        );
    Ok(axum::serve(listener, routes).await?)
}

async fn parse(_org: axum::extract::Path<String>, body: Bytes) -> StatusCode {
    verdict(&body)
}

fn verdict(body: &[u8]) -> StatusCode {
    let good = match body.first() {
        Some(b'[') => serde_json::from_slice::<Vec<Body<'_>>>(body)
            .is_ok_and(|items| items.iter().all(Body::is_a_registration)),
        _ => serde_json::from_slice::<Body<'_>>(body).is_ok_and(|body| body.is_a_registration()),
    };
    if good { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST }
}

impl Body<'_> {
    fn is_a_registration(&self) -> bool {
        !self.mobile_app_id.is_empty()
            && !self.user_id.is_empty()
            && !self.api_token.is_empty()
            && (self.apns_device_token.is_some() != self.fcm_device_token.is_some())
    }
}
