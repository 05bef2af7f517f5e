//! One HTTP/2 connection, driven on h2 directly: hyper's server decides by itself about stream
//! limits, GOAWAY and what happens to a request that is not answered.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;

use super::listener::HANDSHAKE_TIMEOUT;
use super::orders::{Goaway, Orders};
use super::socket::ResetSwitch;
use super::wire::{Hand, Wire};
use super::{Connection, OverLimit, debug_data};
use crate::judge::{Act, Body, MAX_BODY_BYTES};

/// The largest header list of a request, in bytes.
const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// What a connection may send us in bodies before we have read them.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// h2 takes many small DATA frames for an attack: a thousand requests in one read are none here.
const SMALL_FRAME_BUDGET_BYTES: usize = 16 * 1024 * 1024;
/// Streams that a client resets before we have looked at them; a time-out resets many at once.
const MAX_RESET_STREAMS: usize = 4096;

/// What happens to the connection.
enum Ending {
    Closed,
    Reset,
    Goaway(Goaway),
}

pub(super) async fn serve<T>(
    io: T,
    connection: &Connection,
    mut orders: watch::Receiver<Orders>,
    switch: &ResetSwitch,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut obeyed = orders.borrow_and_update().clone();
    let (before, _) = connection.site.stream_limits(&connection.world.limits);
    let (wire, hand) = Wire::new(io, obeyed.stream_limit.unwrap_or(before));
    let mut builder = h2::server::Builder::new();
    builder
        // The wire writes the true limit and this file enforces it.
        .max_concurrent_streams(u32::MAX)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .data_frame_budget(SMALL_FRAME_BUDGET_BYTES)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS);
    let mut stopped = orders.clone();
    let handshaken = tokio::select! {
        handshaken = timeout(HANDSHAKE_TIMEOUT, builder.handshake(wire)) => handshaken,
        _ = stopped.wait_for(|now| now.stop) => return,
    };
    let Ok(Ok(mut h2)) = handshaken else { return };
    let mut under_way = UnderWay::new();
    let mut driver = Driver {
        connection,
        hand,
        authenticated: false,
        stream_limit: obeyed.stream_limit,
        highest: 0,
        leaving: false,
    };
    loop {
        // While it is silent nothing is read, written or answered, PING neither.
        let ending = tokio::select! {
            biased;
            changed = orders.changed() => {
                if changed.is_err() {
                    return;
                }
                None
            }
            ending = poll_fn(|cx| driver.poll(cx, &mut h2, &mut under_way)), if !obeyed.silent => {
                Some(ending)
            }
        };
        match ending {
            None => {}
            Some(Ending::Closed) => return,
            Some(Ending::Reset) => return switch.reset_on_drop(),
            Some(Ending::Goaway(goaway)) => driver.leave(&mut h2, &goaway),
        }
        let now = orders.borrow_and_update().clone();
        if now.stop {
            return;
        }
        if now.resets != obeyed.resets {
            return switch.reset_on_drop();
        }
        if now.stream_limit != obeyed.stream_limit {
            driver.announce(now.stream_limit);
        }
        if now.goaways != obeyed.goaways {
            driver.leave(&mut h2, &now.goaway);
        }
        obeyed = now;
        driver.stream_limit = obeyed.stream_limit;
    }
}

type H2<T> = h2::server::Connection<Wire<T>, Bytes>;
type UnderWay<'a> = FuturesUnordered<BoxFuture<'a, Option<Ending>>>;

struct Driver<'a> {
    connection: &'a Connection,
    hand: Hand,
    /// Credentials were accepted on this connection.
    authenticated: bool,
    /// Ordered instead of the usual limits.
    stream_limit: Option<u32>,
    /// The highest stream that a request came on.
    highest: u32,
    /// A GOAWAY was sent.
    leaving: bool,
}

impl<'a> Driver<'a> {
    /// Drives the connection and its requests until something has to happen to it.
    ///
    /// Requests are answered in this task: all that have arrived are read first, then answered,
    /// then written together.
    fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        h2: &mut H2<T>,
        under_way: &mut UnderWay<'a>,
    ) -> Poll<Ending> {
        loop {
            loop {
                match pin!(h2.accept()).poll(cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        if let Some(ending) = self.admit(request, respond, under_way) {
                            return Poll::Ready(ending);
                        }
                    }
                    Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Ending::Closed),
                    Poll::Pending => break,
                }
            }
            let mut answered = false;
            while let Poll::Ready(Some(ending)) = under_way.poll_next_unpin(cx) {
                answered = true;
                if let Some(ending) = ending {
                    return Poll::Ready(ending);
                }
            }
            // Good credentials count as soon as they are seen, however late the answer is.
            if !self.authenticated && self.connection.authenticated.load(Ordering::Relaxed) {
                self.authenticated = true;
                self.announce(self.stream_limit);
                answered = true;
            }
            if !answered {
                return Poll::Pending;
            }
        }
    }

    /// Takes a request in, or refuses it because of the stream limit.
    fn admit(
        &mut self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        under_way: &UnderWay<'a>,
    ) -> Option<Ending> {
        let tally = &self.connection.state().tally;
        if self.leaving {
            // "Not processed": the client may send it again elsewhere (RFC 9113, 8.7).
            respond.send_reset(Reason::REFUSED_STREAM);
            return None;
        }
        let (limit, acknowledged) = self.hand.stream_limit_in_force();
        if under_way.len() >= limit as usize {
            tally.stream_refused();
            respond.send_reset(Reason::REFUSED_STREAM);
            // Before it has seen our SETTINGS a client can't know better (RFC 9113, 6.5.3).
            let goaway = acknowledged && self.connection.site.over_limit() == OverLimit::Goaway;
            return goaway.then(|| {
                Ending::Goaway(Goaway {
                    error_code: Reason::ENHANCE_YOUR_CALM.into(),
                    debug_data: Some("too_many_streams".to_owned()),
                    finish_streams: true,
                    ..Goaway::default()
                })
            });
        }
        self.highest = respond.stream_id().as_u32();
        under_way.push(Box::pin(exchange(self.connection, request, respond)));
        tally.streams_under_way(under_way.len());
        None
    }

    fn announce(&self, ordered: Option<u32>) {
        let (before, after) = self.connection.site.stream_limits(&self.connection.world.limits);
        let usual = if self.authenticated { after } else { before };
        self.hand.announce_stream_limit(ordered.unwrap_or(usual));
    }

    fn leave<T: AsyncRead + AsyncWrite + Unpin>(&mut self, h2: &mut H2<T>, goaway: &Goaway) {
        let debug_data = match &goaway.debug_data {
            Some(text) => Bytes::from(text.clone()),
            None => debug_data(goaway.reason.as_deref()),
        };
        let last_stream = goaway.last_stream_id.unwrap_or(self.highest);
        self.hand.send_goaway(last_stream, goaway.error_code, &debug_data);
        self.connection.state().tally.goaway_sent();
        self.leaving = true;
        // h2's own GOAWAY is left out by the wire; what remains is how it winds down.
        if goaway.finish_streams {
            h2.graceful_shutdown();
        } else {
            h2.abrupt_shutdown(Reason::NO_ERROR);
        }
    }
}

/// Reads the body, has the request judged and does what came out of it, but for what concerns the
/// whole connection.
async fn exchange(
    connection: &Connection,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Option<Ending> {
    let (head, mut stream) = request.into_parts();
    let body = read(&mut stream).await?;
    let outcome = connection.judge(head, body);
    if outcome.authenticated {
        connection.authenticated.store(true, Ordering::Relaxed);
    }
    if !outcome.latency.is_zero() {
        // A client that has given up frees its stream at once.
        tokio::select! {
            () = tokio::time::sleep(outcome.latency) => {}
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return None,
        }
    }
    match outcome.act {
        Act::Answer(response) => answer(response, &mut respond),
        Act::Silence => {
            let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
        }
        Act::ResetStream => respond.send_reset(Reason::INTERNAL_ERROR),
        Act::ResetConnection => return Some(Ending::Reset),
        Act::Goaway(reason) => {
            return Some(Ending::Goaway(Goaway { reason, ..Goaway::default() }));
        }
    }
    None
}

/// The whole body; `None` if the stream broke off.
async fn read(stream: &mut RecvStream) -> Option<Body> {
    let mut whole = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.ok()?;
        stream.flow_control().release_capacity(chunk.len()).ok()?;
        if whole.len() + more.len() + chunk.len() > MAX_BODY_BYTES {
            return Some(Body::TooLarge);
        }
        if whole.is_empty() && more.is_empty() {
            whole = chunk;
        } else {
            more.extend_from_slice(&std::mem::take(&mut whole));
            more.extend_from_slice(&chunk);
        }
    }
    Some(Body::Whole(if more.is_empty() { whole } else { more.freeze() }))
}

fn answer(response: http::Response<Bytes>, respond: &mut SendResponse<Bytes>) {
    let (head, body) = response.into_parts();
    let is_empty = body.is_empty();
    // An error means that the client has reset the stream or gone.
    let Ok(mut stream) = respond.send_response(http::Response::from_parts(head, ()), is_empty)
    else {
        return;
    };
    if !is_empty {
        let _ = stream.send_data(body, true);
    }
}
