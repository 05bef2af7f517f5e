//! A layer between h2 and TLS that reads frame headers (RFC 9113, 4.1) and adds what h2's server
//! does not offer: a SETTINGS_MAX_CONCURRENT_STREAMS that changes while the connection is open, and
//! a GOAWAY with debug data and a last stream of one's choice.
//!
//! Frames of ours go between those of h2, never into one and never between HEADERS and their
//! CONTINUATION. h2 does not learn of them: acknowledgements of our SETTINGS are taken out of what
//! it reads, and once we have sent a GOAWAY its own are left out.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

const HEADER_BYTES: usize = 9;
const PREFACE_BYTES: usize = 24;
/// What is read from TLS at once, and how much output may wait for it.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long a peer may take to close after we have.
const LINGER: Duration = Duration::from_secs(1);

const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;
const FLAG_ACK: u8 = 0x1;
const FLAG_END_HEADERS: u8 = 0x4;
const MAX_CONCURRENT_STREAMS: u16 = 0x3;

/// The driver's side of a [`Wire`].
#[derive(Debug, Clone)]
pub(super) struct Hand(Arc<Mutex<Orders>>);

#[derive(Debug)]
struct Orders {
    /// Frames to be sent at the next boundary.
    frames: BytesMut,
    /// h2's own GOAWAY frames are left out.
    said_goodbye: bool,
    /// Stream limits announced; the first is the newest that the peer has acknowledged, or the
    /// very first one. It ends with the newest.
    limits: VecDeque<u32>,
    acknowledged: u64,
}

impl Hand {
    /// Tells the peer how many streams it may open from now on.
    pub(super) fn announce_stream_limit(&self, limit: u32) {
        let mut orders = self.0.lock();
        if orders.limits.back() == Some(&limit) {
            return;
        }
        orders.limits.push_back(limit);
        orders.frames.put_slice(&[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0]);
        orders.frames.put_u16(MAX_CONCURRENT_STREAMS);
        orders.frames.put_u32(limit);
    }

    /// Sends GOAWAY; h2 may then say goodbye in silence.
    pub(super) fn send_goaway(&self, last_stream: u32, error_code: u32, debug_data: &[u8]) {
        let mut orders = self.0.lock();
        orders.said_goodbye = true;
        let length = u32::try_from(8 + debug_data.len()).unwrap_or(8);
        orders.frames.put_slice(&length.to_be_bytes()[1..]);
        orders.frames.put_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
        orders.frames.put_u32(last_stream & 0x7fff_ffff);
        orders.frames.put_u32(error_code);
        orders.frames.put_slice(debug_data);
    }

    /// The highest limit that the peer may still believe in, and whether it has acknowledged any.
    pub(super) fn stream_limit_in_force(&self) -> (u32, bool) {
        let orders = self.0.lock();
        (orders.limits.iter().copied().max().unwrap_or(0), orders.acknowledged > 0)
    }
}

#[derive(Debug)]
pub(super) struct Wire<T> {
    io: T,
    hand: Hand,
    inbound: Inbound,
    outbound: Outbound,
    /// Set once we have said everything: how long to listen on.
    linger: Option<Pin<Box<Sleep>>>,
}

impl<T> Wire<T> {
    /// `stream_limit` replaces the one in h2's first SETTINGS, which must have one.
    pub(super) fn new(io: T, stream_limit: u32) -> (Self, Hand) {
        let hand = Hand(Arc::new(Mutex::new(Orders {
            frames: BytesMut::new(),
            said_goodbye: false,
            limits: VecDeque::from([stream_limit]),
            acknowledged: 0,
        })));
        let inbound = Inbound {
            raw: BytesMut::with_capacity(BUFFER_BYTES),
            ready: BytesMut::new(),
            pass: PREFACE_BYTES,
        };
        let outbound = Outbound {
            out: BytesMut::with_capacity(BUFFER_BYTES),
            header: BytesMut::with_capacity(HEADER_BYTES),
            left: 0,
            part: Part::Pass,
            first_settings: Some(stream_limit),
            in_headers: false,
        };
        (Self { io, hand: hand.clone(), inbound, outbound, linger: None }, hand)
    }
}

#[derive(Debug)]
struct Inbound {
    /// Read from the peer, not yet looked at.
    raw: BytesMut,
    /// For h2.
    ready: BytesMut,
    /// Bytes of the preface or of a payload that are passed on unread.
    pass: usize,
}

impl Inbound {
    fn look_at(&mut self, hand: &Hand) {
        while !self.raw.is_empty() {
            if self.pass > 0 {
                let length = self.pass.min(self.raw.len());
                self.ready.extend_from_slice(&self.raw[..length]);
                self.raw.advance(length);
                self.pass -= length;
                continue;
            }
            if self.raw.len() < HEADER_BYTES {
                return;
            }
            let (kind, flags) = (self.raw[3], self.raw[4]);
            let length = payload_length(&self.raw);
            if kind == SETTINGS && flags & FLAG_ACK != 0 && length == 0 {
                let mut orders = hand.0.lock();
                orders.acknowledged += 1;
                // h2 sends SETTINGS once, first of all; every later acknowledgement is for ours.
                if orders.acknowledged > 1 && orders.limits.len() > 1 {
                    orders.limits.pop_front();
                    self.raw.advance(HEADER_BYTES);
                    continue;
                }
            }
            self.pass = HEADER_BYTES + length;
        }
    }
}

/// What becomes of the payload of the frame that h2 is writing.
#[derive(Debug)]
enum Part {
    Pass,
    LeaveOut,
    /// The first SETTINGS, collected to be changed.
    Settings(BytesMut, u32),
}

#[derive(Debug)]
struct Outbound {
    out: BytesMut,
    /// The beginning of a frame header.
    header: BytesMut,
    /// Bytes of the payload that are still to come.
    left: usize,
    part: Part,
    first_settings: Option<u32>,
    in_headers: bool,
}

impl Outbound {
    fn at_boundary(&self) -> bool {
        self.left == 0 && self.header.is_empty() && !self.in_headers
    }

    fn add_ours(&mut self, hand: &Hand) {
        if self.at_boundary() && self.first_settings.is_none() {
            let mut orders = hand.0.lock();
            if !orders.frames.is_empty() {
                let frames = orders.frames.split();
                self.out.unsplit(frames);
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8], hand: &Hand) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let length = self.left.min(bytes.len());
                self.payload(&bytes[..length]);
                bytes = &bytes[length..];
                continue;
            }
            self.add_ours(hand);
            let length = (HEADER_BYTES - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes[..length]);
            bytes = &bytes[length..];
            if self.header.len() == HEADER_BYTES {
                self.begin_frame(hand);
            }
        }
    }

    fn begin_frame(&mut self, hand: &Hand) {
        let (kind, flags) = (self.header[3], self.header[4]);
        self.left = payload_length(&self.header);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_headers = flags & FLAG_END_HEADERS == 0;
        }
        self.part = match (kind, self.first_settings) {
            (SETTINGS, Some(limit)) if flags & FLAG_ACK == 0 => {
                self.first_settings = None;
                Part::Settings(BytesMut::new(), limit)
            }
            (GOAWAY, _) if hand.0.lock().said_goodbye => Part::LeaveOut,
            _ => Part::Pass,
        };
        if !matches!(self.part, Part::LeaveOut) {
            self.out.extend_from_slice(&self.header);
        }
        self.header.clear();
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.left -= bytes.len();
        match &mut self.part {
            Part::Pass => self.out.extend_from_slice(bytes),
            Part::LeaveOut => {}
            Part::Settings(settings, limit) => {
                settings.extend_from_slice(bytes);
                if self.left == 0 {
                    for setting in settings.chunks_exact_mut(6) {
                        if setting[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes() {
                            setting[2..].copy_from_slice(&limit.to_be_bytes());
                        }
                    }
                    self.out.extend_from_slice(settings);
                    self.part = Part::Pass;
                }
            }
        }
    }
}

fn payload_length(header: &[u8]) -> usize {
    usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2])
}

impl<T: AsyncWrite + Unpin> Wire<T> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbound.out.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.outbound.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbound.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.inbound.ready.is_empty() {
            this.inbound.raw.reserve(BUFFER_BYTES);
            let pinned = Pin::new(&mut this.io);
            let read = ready!(tokio_util::io::poll_read_buf(pinned, cx, &mut this.inbound.raw))?;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.inbound.look_at(&this.hand);
        }
        let length = buffer.remaining().min(this.inbound.ready.len());
        buffer.put_slice(&this.inbound.ready[..length]);
        this.inbound.ready.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.outbound.out.len() >= BUFFER_BYTES {
            ready!(this.poll_drain(cx))?;
        }
        this.outbound.write(bytes, &this.hand);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.outbound.add_ours(&this.hand);
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.as_mut().poll_flush(cx))?;
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        }
        // Closing with something unread resets the connection, and a peer that writes meanwhile
        // would then lose our last words: read on until it closes too (RFC 9112, 9.6).
        let this = &mut *self;
        let linger = this.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        if linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            this.inbound.raw.clear();
            this.inbound.raw.reserve(BUFFER_BYTES);
            let pinned = Pin::new(&mut this.io);
            match ready!(tokio_util::io::poll_read_buf(pinned, cx, &mut this.inbound.raw)) {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
