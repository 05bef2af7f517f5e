//! One HTTP/1.1 connection to FCM or the token endpoint: Google's port speaks both.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::Connection;
use super::listener::HANDSHAKE_TIMEOUT;
use super::orders::Orders;
use super::socket::ResetSwitch;
use crate::judge::{Act, Body, MAX_BODY_BYTES};

pub(super) async fn serve<T>(
    io: T,
    connection: &Connection,
    mut orders: watch::Receiver<Orders>,
    switch: &ResetSwitch,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut obeyed = orders.borrow_and_update().clone();
    let service = service_fn(|request| exchange(connection, switch, request));
    let mut http1 = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HANDSHAKE_TIMEOUT)
            .serve_connection(TokioIo::new(io), service)
    );
    loop {
        tokio::select! {
            biased;
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            _ = &mut http1, if !obeyed.silent => return,
        }
        let now = orders.borrow_and_update().clone();
        if now.stop {
            return;
        }
        if now.resets != obeyed.resets {
            return switch.reset_on_drop();
        }
        if now.goaways != obeyed.goaways {
            // The nearest thing to a GOAWAY: no request after the one under way.
            http1.as_mut().graceful_shutdown();
        }
        obeyed = now;
    }
}

async fn exchange(
    connection: &Connection,
    switch: &ResetSwitch,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Broken> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Body::Whole(body.to_bytes()),
        Err(why) if why.is::<LengthLimitError>() => Body::TooLarge,
        Err(_) => return Err(Broken),
    };
    let outcome = connection.judge(head, body);
    tokio::time::sleep(outcome.latency).await;
    match outcome.act {
        Act::Answer(response) => Ok(response.map(Full::new)),
        Act::Silence => match std::future::pending::<Infallible>().await {},
        // HTTP/1.1 has neither streams nor GOAWAY.
        Act::ResetStream | Act::Goaway(_) | Act::ResetConnection => {
            switch.reset_on_drop();
            Err(Broken)
        }
    }
}

/// Ends the connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken off")]
struct Broken;
