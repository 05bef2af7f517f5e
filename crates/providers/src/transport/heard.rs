//! A stream that notes what the layer above it does not tell: whether anything was read, and how
//! TLS was ended by the peer.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Passes everything through and sets a flag when the peer has said something: the HTTP/2 layer
/// above does not tell, and silence is what a dead connection is known by.
pub(super) struct Heard<S> {
    inner: S,
    notes: Arc<Notes>,
}

/// What was noted.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Set when something was read.
    pub heard: AtomicBool,
    /// The alert with which the peer ended TLS. In TLS 1.3 it is how a client certificate is refused:
    /// the handshake has ended well by then.
    pub alert: OnceLock<AlertDescription>,
}

impl<S> Heard<S> {
    pub fn new(inner: S) -> (Self, Arc<Notes>) {
        let notes = Arc::new(Notes::default());
        (Self { inner, notes: Arc::clone(&notes) }, notes)
    }
}

/// The alert that a fault of TLS is about.
pub(super) fn alert_of(fault: &io::Error) -> Option<AlertDescription> {
    match fault.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.notes.heard.store(true, Ordering::Relaxed);
        }
        if let Poll::Ready(Err(fault)) = &polled
            && let Some(alert) = alert_of(fault)
        {
            let _ = self.notes.alert.set(alert);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
