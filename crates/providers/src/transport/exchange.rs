//! One request and its answer on a connection of the pool.

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::poll_fn;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, response};

use super::channel::Lease;
use super::connection::Retired;
use super::fault::TransportFault;
use super::pool::{Party, Pool};

/// How often a connection that turns out to be closing is left for another before anything was
/// sent.
const MOST_STALE_CONNECTIONS: usize = 3;
/// The most of an answer's body that is read.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// What a provider answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// At most [`MAX_ANSWER_BYTES`].
    pub body: Bytes,
}

impl Pool {
    /// Sends a request once and reads the answer. The caller limits the time; dropped, it resets the
    /// stream.
    pub async fn exchange(
        &self,
        party: Party<'_>,
        request: Request<()>,
        body: Bytes,
        replace_after_5xx: bool,
    ) -> Result<Answer, TransportFault> {
        let mut lease = self.usable_lease(party).await?;
        let sent = lease.sender.send_request(request, false);
        let (head, body) = match send_and_read(sent, body).await {
            Ok(answered) => answered,
            Err(fault) => return Err(cut(&mut lease, &fault)),
        };
        lease.answered();
        if replace_after_5xx && head.status.is_server_error() {
            lease.retire(Retired::ServerError);
        }
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// A stream on a connection that is not known to be closing.
    async fn usable_lease(&self, party: Party<'_>) -> Result<Lease, TransportFault> {
        let mut stale = 0;
        loop {
            let mut lease = self.lease(party).await?;
            let Err(fault) = poll_fn(|cx| lease.sender.poll_ready(cx)).await else {
                return Ok(lease);
            };
            stale += 1;
            if stale == MOST_STALE_CONNECTIONS {
                return Err(cut(&mut lease, &fault));
            }
            let went_away = fault.is_go_away() && fault.is_remote();
            lease.retire(if went_away { Retired::GoAway } else { Retired::Lost });
        }
    }
}

type Sent = Result<(ResponseFuture, SendStream<Bytes>), h2::Error>;

async fn send_and_read(sent: Sent, body: Bytes) -> Result<(response::Parts, Bytes), h2::Error> {
    let (answer, mut stream) = sent?;
    stream.send_data(body, true)?;
    let (head, mut incoming) = answer.await?.into_parts();
    let body = read_body(&mut incoming).await?;
    Ok((head, body))
}

/// Why a stream was cut.
fn cut(lease: &mut Lease, stream: &h2::Error) -> TransportFault {
    if let Some(fault) = lease.connection.certificate_fault() {
        return TransportFault::Dial(fault);
    }
    let ready = poll_fn(|cx| lease.sender.poll_ready(cx)).now_or_never();
    let connection = ready.and_then(Result::err);
    let ended = lease.connection.ended.get().map(String::as_str);
    TransportFault::of_stream(stream, connection.as_ref(), ended)
}

async fn read_body(incoming: &mut RecvStream) -> Result<Bytes, h2::Error> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = incoming.data().await {
        let chunk = chunk?;
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ANSWER_BYTES {
            break;
        }
        incoming.flow_control().release_capacity(chunk.len())?;
    }
    Ok(body.freeze())
}
