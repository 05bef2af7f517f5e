//! One connection from its first byte to its last, with its time-outs and its end in good order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::serve::watch::{Expired, Watch, WatchedIo};
use crate::site::Server;

/// Serves a connection until it is closed by the peer, by a time-out, or because the server stops.
pub(super) async fn run<S>(
    stream: S,
    peer: SocketAddr,
    builder: &auto::Builder<TokioExecutor>,
    server: Arc<Server>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let watch = Watch::new();
    let io = WatchedIo::new(stream, Arc::clone(&watch));
    let settings = &server.settings;
    let requests = {
        let (server, watch) = (Arc::clone(&server), Arc::clone(&watch));
        service_fn(move |request: Request<Incoming>| {
            let busy = watch.begin_request(request.version() == Version::HTTP_2);
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(peer, request, busy).await) }
        })
    };
    let mut connection = pin!(builder.serve_connection(io, requests));
    // A time-out may begin to run at any moment; looked at this often, none is seen late.
    let pause = settings.header_timeout.min(settings.write_timeout).min(settings.idle_timeout);
    let mut alarm = pin!(sleep_until(watch.began() + pause));
    let mut stopped = pin!(stop.cancelled());
    let mut is_closing = false;
    let mut closes_at: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%peer, %error, "a connection ended with an error");
                }
                return;
            }
            () = stopped.as_mut(), if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            () = alarm.as_mut() => {}
        }
        let now = Instant::now();
        if closes_at.is_some_and(|at| at <= now) {
            return;
        }
        let timeout = watch.next_timeout(settings);
        let expired = timeout.filter(|(at, _)| *at <= now).map(|(_, expired)| expired);
        let is_old = watch.is_http2() && watch.began() + settings.http2.connection_age <= now;
        match expired {
            Some(expired @ (Expired::Header | Expired::Write)) => {
                note_timeout(peer, expired);
                return;
            }
            Some(Expired::Idle) if closes_at.is_none() => {
                note_timeout(peer, Expired::Idle);
                // HTTP/1 closes at once; of HTTP/2 the peer is told, and answers that it did not
                // take yet have this long.
                is_closing = true;
                closes_at = Some(now + settings.write_timeout);
                connection.as_mut().graceful_shutdown();
            }
            Some(Expired::Idle) | None => {
                if is_old && !is_closing {
                    is_closing = true;
                    closes_at = Some(now + settings.body_timeout + settings.write_timeout);
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        let mut next = now + pause;
        if let Some((at, _)) = timeout.filter(|(at, _)| *at > now) {
            next = next.min(at);
        }
        alarm.as_mut().reset(closes_at.map_or(next, |at| next.min(at)));
    }
}

fn note_timeout(peer: SocketAddr, expired: Expired) {
    metrics::counter!("pushroll_http_timeouts_total", "kind" => expired.name()).increment(1);
    debug!(%peer, timeout = expired.name(), "a connection timed out");
}
