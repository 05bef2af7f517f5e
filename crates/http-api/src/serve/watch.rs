//! What a connection is doing, seen from its socket and from its requests: enough to tell which of
//! its time-outs runs.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::settings::HttpSettings;

/// No time.
const NEVER: u64 = 0;

/// A connection's state. Times are in milliseconds since it began, and one.
#[derive(Debug)]
pub(crate) struct Watch {
    began: Instant,
    /// Requests whose headers are read and whose answers are not handed over.
    requests: AtomicU32,
    is_http2: AtomicBool,
    /// Since when there are bytes of a request whose headers are not complete.
    head_since: AtomicU64,
    /// Since when no request is under way.
    quiet_since: AtomicU64,
    /// Since when an answer can't be sent on.
    blocked_since: AtomicU64,
}

/// Which time-out is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expired {
    /// The headers took too long.
    Header,
    /// Nothing happened.
    Idle,
    /// The peer does not read its answer.
    Write,
}

impl Expired {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Idle => "idle",
            Self::Write => "write",
        }
    }
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            requests: AtomicU32::new(0),
            is_http2: AtomicBool::new(false),
            head_since: AtomicU64::new(NEVER),
            quiet_since: AtomicU64::new(1),
            blocked_since: AtomicU64::new(NEVER),
        })
    }

    fn now(&self) -> u64 {
        1 + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// A request's headers have been read.
    pub(super) fn begin_request(self: &Arc<Self>, is_http2: bool) -> Busy {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NEVER, Ordering::Relaxed);
        if is_http2 {
            self.is_http2.store(true, Ordering::Relaxed);
        }
        Busy(Arc::clone(self))
    }

    /// When the connection began.
    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    /// Whether HTTP/2 is spoken, as far as is known.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2.load(Ordering::Relaxed)
    }

    /// The time-out that ends next, and when; `None` while only requests are under way, which have
    /// time-outs of their own.
    pub(super) fn next_timeout(&self, settings: &HttpSettings) -> Option<(Instant, Expired)> {
        let at = |since: u64, span: Duration| self.began + Duration::from_millis(since - 1) + span;
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        let write =
            (blocked != NEVER).then(|| (at(blocked, settings.write_timeout), Expired::Write));
        let read = if self.requests.load(Ordering::Relaxed) > 0 {
            None
        } else {
            match self.head_since.load(Ordering::Relaxed) {
                since if since != NEVER && !self.is_http2() => {
                    Some((at(since, settings.header_timeout), Expired::Header))
                }
                _ => {
                    let since = self.quiet_since.load(Ordering::Relaxed);
                    Some((at(since, settings.idle_timeout), Expired::Idle))
                }
            }
        };
        match (write, read) {
            (Some(write), Some(read)) if read.0 < write.0 => Some(read),
            (Some(write), Some(_) | None) => Some(write),
            (None, read) => read,
        }
    }

    fn note_read(&self) {
        // While a request is under way these are bytes of its body, or of the next request, whose
        // time begins when it is its turn.
        if self.requests.load(Ordering::Relaxed) == 0
            && self.head_since.load(Ordering::Relaxed) == NEVER
        {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn note_blocked(&self) {
        if self.blocked_since.load(Ordering::Relaxed) == NEVER {
            self.blocked_since.store(self.now(), Ordering::Relaxed);
        }
    }

    fn note_sent(&self) {
        if self.blocked_since.load(Ordering::Relaxed) != NEVER {
            self.blocked_since.store(NEVER, Ordering::Relaxed);
        }
    }
}

/// A request is under way for as long as this lives.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Watch>);

impl Drop for Busy {
    fn drop(&mut self) {
        let watch = &self.0;
        watch.head_since.store(NEVER, Ordering::Relaxed);
        watch.quiet_since.store(watch.now(), Ordering::Relaxed);
        watch.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection's socket, under watch.
pub(super) struct WatchedIo<S> {
    inner: TokioIo<S>,
    watch: Arc<Watch>,
}

impl<S> WatchedIo<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { inner: TokioIo::new(stream), watch }
    }
}

impl<S: AsyncRead + Unpin> Read for WatchedIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.inner).poll_read(cx, buf));
        // The end of the stream counts too: a peer that has only half closed may still wait.
        self.watch.note_read();
        Poll::Ready(read)
    }
}

impl<S> WatchedIo<S> {
    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        if written.is_pending() {
            self.watch.note_blocked();
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for WatchedIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Called once everything is written: the peer has taken its answer, or the kernel has. TLS may
    /// still hold some of it.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if flushed.is_pending() {
            self.watch.note_blocked();
        } else {
            self.watch.note_sent();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
