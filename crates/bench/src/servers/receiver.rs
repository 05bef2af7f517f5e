//! A receiver of callbacks: counts them, answers 200, and says how many there were.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{Process, free_port, start_own};
use crate::client;

/// How a receiver is started.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The port to listen on.
    #[arg(long)]
    port: u16,
}

static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// Starts one as a process of its own.
pub async fn start() -> anyhow::Result<Process> {
    let port = free_port()?;
    start_own(&["receive", "--port", &port.to_string()], port, None).await
}

/// How many callbacks it has received.
pub async fn received(receiver: &Process) -> anyhow::Result<u64> {
    let text = client::get(receiver.port, "/received", None).await?;
    text.trim().parse().context("no number")
}

/// Serves until it is ended.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A connection that breaks is the caller's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        let received = RECEIVED.load(Ordering::Relaxed).to_string();
        return Ok(Response::new(Full::new(received.into())));
    }
    if request.into_body().collect().await.is_ok() {
        RECEIVED.fetch_add(1, Ordering::Relaxed);
    }
    Ok(Response::new(Full::default()))
}
