//! Receiving a request's body: bounded in size, time and memory; and getting rid of one that nobody
//! wants, so that the caller sees why.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{StatusCode, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::problem::{Problem, Rule};
use crate::serve::Busy;
use crate::settings::HttpSettings;

/// Bytes that are made room for before any have come.
const FIRST_ROOM: usize = 64 * 1024;

/// A body on its way.
pub(crate) struct RequestBody {
    incoming: Incoming,
    /// The caller waits for a word before he sends it.
    awaits_continue: bool,
    busy: Busy,
}

/// A body that has come, and its share of the memory for bodies.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _share: Option<Share>,
}

/// The memory for bodies that are received in several pieces.
#[derive(Debug, Default, Clone)]
pub(crate) struct BodyMemory(Arc<AtomicUsize>);

struct Share {
    memory: BodyMemory,
    bytes: usize,
}

impl Share {
    /// Takes this much more; whether that was within the limit.
    fn grow(&mut self, bytes: usize, most: usize) -> bool {
        self.bytes += bytes;
        self.memory.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

enum Fault {
    TooLarge,
    NoRoom,
    Broken,
}

impl RequestBody {
    pub(crate) fn new(head: &Parts, incoming: Incoming, busy: Busy) -> Self {
        let awaits_continue = head.version == Version::HTTP_11
            && head
                .headers
                .get(header::EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        Self { incoming, awaits_continue, busy }
    }

    /// Receives the body.
    ///
    /// # Errors
    /// 413 when it is too large, 408 when it takes too long, 503 when there is no room for it, 400 when it
    /// ends early.
    pub(crate) async fn receive(
        mut self,
        settings: &HttpSettings,
        memory: &BodyMemory,
    ) -> Result<Received, Problem> {
        let most = settings.body_bytes;
        let declared = self.incoming.size_hint().exact();
        if declared.is_some_and(|bytes| bytes > most as u64) {
            self.refuse(settings);
            return Err(too_large(most));
        }
        let received = receive(&mut self.incoming, settings, memory);
        match timeout(settings.body_timeout, received).await {
            Ok(Ok(received)) => Ok(received),
            Ok(Err(Fault::TooLarge)) => {
                self.refuse(settings);
                Err(too_large(most))
            }
            Ok(Err(Fault::NoRoom)) => {
                self.refuse(settings);
                Err(overloaded())
            }
            Ok(Err(Fault::Broken)) => {
                let detail = "The body ended before it was complete, or its framing is wrong.";
                let status = StatusCode::BAD_REQUEST;
                Err(Problem::new(status, Rule::BodyIncomplete, detail).closing())
            }
            Err(_elapsed) => {
                let seconds = settings.body_timeout.as_secs_f32();
                let detail = format!("The body did not arrive within {seconds} seconds.");
                let status = StatusCode::REQUEST_TIMEOUT;
                Err(Problem::new(status, Rule::BodyTooSlow, detail).closing())
            }
        }
    }

    /// Answers without the body: what comes of it is thrown away for a while, because a connection
    /// that is closed with bytes unread takes the answer with it.
    pub(crate) fn refuse(self, settings: &HttpSettings) {
        let Self { mut incoming, awaits_continue, busy } = self;
        if incoming.is_end_stream() || awaits_continue {
            return;
        }
        let (span, most) = (settings.drain_timeout, settings.drain_bytes);
        tokio::spawn(async move {
            drain(&mut incoming, span, most).await;
            drop(busy);
        });
    }
}

async fn drain(incoming: &mut Incoming, span: Duration, most: usize) {
    let thrown_away = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = incoming.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > most {
                break;
            }
        }
    };
    // Whoever sends more, or more slowly, may miss the answer.
    let _ = timeout(span, thrown_away).await;
}

/// A body that comes in one piece is not copied.
async fn receive(
    incoming: &mut Incoming,
    settings: &HttpSettings,
    memory: &BodyMemory,
) -> Result<Received, Fault> {
    let Some(first) = next(incoming).await? else {
        return Ok(Received { bytes: Bytes::new(), _share: None });
    };
    if first.len() > settings.body_bytes {
        return Err(Fault::TooLarge);
    }
    if incoming.is_end_stream() {
        return Ok(Received { bytes: first, _share: None });
    }
    let left = incoming.size_hint().exact().and_then(|left| usize::try_from(left).ok());
    let room = (first.len() + left.unwrap_or(0)).min(FIRST_ROOM.max(first.len()));
    let mut share = Share { memory: memory.clone(), bytes: 0 };
    let mut all = BytesMut::with_capacity(room);
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        if all.len() + bytes.len() > settings.body_bytes {
            return Err(Fault::TooLarge);
        }
        if !share.grow(bytes.len(), settings.body_bytes_at_once) {
            return Err(Fault::NoRoom);
        }
        all.extend_from_slice(&bytes);
        piece = if incoming.is_end_stream() { None } else { next(incoming).await? };
    }
    Ok(Received { bytes: all.freeze(), _share: Some(share) })
}

/// The next piece with anything in it; trailers are none.
async fn next(incoming: &mut Incoming) -> Result<Option<Bytes>, Fault> {
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_lost_or_malformed| Fault::Broken)?;
        if let Ok(data) = frame.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn too_large(most: usize) -> Problem {
    let detail = format!("The body has more than {most} bytes. Send fewer items at once.");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Rule::BodyTooLarge, detail).closing()
}

/// 503: more is under way than may be. Its document is written once: each refusal takes its time from what is
/// served.
pub(crate) fn overloaded() -> Problem {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| too_many().document());
    too_many().written_as(DOCUMENT.clone())
}

fn too_many() -> Problem {
    let detail = "More requests are under way than this server takes at once. Try again.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, Rule::Overloaded, detail)
        .with_retry_after(Duration::from_secs(1))
}
