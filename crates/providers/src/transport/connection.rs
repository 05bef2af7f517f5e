//! One HTTP/2 connection: what its users see of it, and the task that drives it, watches it and
//! ends it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::client::TlsStream;

use super::channel::Channel;
use super::dial::DialFault;
use super::heard::{Heard, Notes};

/// Until the peer's SETTINGS have come. APNs allows one until it has accepted a request.
const FIRST_STREAMS: usize = 1;
/// How many requests in succession may go unanswered on a connection.
const MOST_UNANSWERED: u64 = 10;
/// The most header bytes that an answer may have.
const MAX_ANSWER_HEADER_BYTES: u32 = 16 * 1024;

type Io = Heard<TlsStream<TcpStream>>;

/// When a connection is looked after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchLimits {
    pub max_streams: usize,
    pub ping_interval: Duration,
    pub ping_timeout: Duration,
    pub max_age: Duration,
    pub idle_close: Duration,
    /// How long a connection that takes no new requests may finish those under way.
    pub drain: Duration,
}

/// Why a connection takes no new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    /// The peer said GOAWAY.
    GoAway,
    /// It has been used for long enough.
    Age,
    /// It has not been used for long enough.
    Idle,
    /// The provider answered 5xx on it.
    ServerError,
    /// It made room for another.
    Evicted,
    /// It was lost, or the peer closed it.
    Lost,
    /// The peer was silent.
    Silent,
    /// The peer was there and answered nothing.
    Unanswering,
    /// We are stopping.
    Closing,
}

impl Retired {
    pub const fn name(self) -> &'static str {
        match self {
            Self::GoAway => "goaway",
            Self::Age => "age",
            Self::Idle => "idle",
            Self::ServerError => "server_error",
            Self::Evicted => "evicted",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Unanswering => "unanswering",
            Self::Closing => "closing",
        }
    }
}

/// What the users of a connection and its driver share.
pub(crate) struct Connection {
    /// Changed under the channel's lock only.
    pub in_flight: AtomicUsize,
    /// The most streams that may be in flight, as peer and settings have it.
    pub limit: AtomicUsize,
    /// Requests that were answered on it.
    answers: AtomicU64,
    /// Requests that were given up since the last answer.
    unanswered: AtomicU64,
    /// When it was last in use, in milliseconds since the pool was made.
    pub last_used_ms: AtomicU64,
    /// Why it ended, where that is more than HTTP/2 can tell.
    pub ended: OnceLock<String>,
    retired: OnceLock<Retired>,
    notes: Arc<Notes>,
    /// Whether we showed a certificate on it.
    has_certificate: bool,
    driver: AtomicWaker,
}

impl Connection {
    pub fn has_room(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) < self.limit.load(Ordering::Relaxed)
    }

    /// Notes that a request was answered.
    pub fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.unanswered.store(0, Ordering::Relaxed);
    }

    /// Notes that a request was not answered; whether the connection is to be given up, although it
    /// is alive.
    pub fn not_answered(&self) -> bool {
        self.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_UNANSWERED
    }

    /// Whether a request was ever answered.
    pub fn is_proven(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

    /// Whether the number of streams is known that the peer allows. APNs raises it from one to a
    /// thousand with the first answer, so it is known by the second.
    pub fn is_settled(&self) -> bool {
        let settled_after = match self.limit.load(Ordering::Relaxed) {
            0 | FIRST_STREAMS => 2,
            _ => 1,
        };
        self.answers.load(Ordering::Relaxed) >= settled_after
    }

    /// Notes why the connection takes no new requests; the first reason counts. Only the channel
    /// calls this, when it lets go of the connection.
    pub fn retire(&self, why: Retired) {
        let _ = self.retired.set(why);
        self.driver.wake();
    }

    /// What the peer holds against our certificate, if that is how the connection ended.
    pub fn certificate_fault(&self) -> Option<DialFault> {
        let alert = self.notes.alert.get().filter(|_| self.has_certificate)?;
        DialFault::of_certificate_alert(*alert)
    }

    pub fn retired(&self) -> Option<Retired> {
        self.retired.get().copied()
    }
}

/// Drives a connection until it has ended.
pub(crate) struct Driver {
    h2: h2::client::Connection<Io, Bytes>,
    /// Tells that the peer has said GOAWAY while older streams are still under way. Dropped when
    /// the connection retires, so that HTTP/2 sees when nobody is left.
    probe: Option<SendRequest<Bytes>>,
    pings: Option<PingPong>,
    shared: Arc<Connection>,
    channel: Arc<Channel>,
    limits: WatchLimits,
    epoch: Instant,
    opened_at: Instant,
    heard_at: Instant,
    used_at: Instant,
    ping_sent_at: Option<Instant>,
    drain_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// Makes HTTP/2 of a TLS stream.
pub(super) async fn open(
    tls: TlsStream<TcpStream>,
    channel: Arc<Channel>,
    limits: WatchLimits,
    epoch: Instant,
) -> Result<(Arc<Connection>, SendRequest<Bytes>, Driver), DialFault> {
    let has_certificate = channel.certificate().is_some();
    let (io, notes) = Heard::new(tls);
    let (sender, mut h2) = h2::client::Builder::new()
        .initial_max_send_streams(FIRST_STREAMS)
        .enable_push(false)
        .max_header_list_size(MAX_ANSWER_HEADER_BYTES)
        .handshake(io)
        .await
        .map_err(|fault| DialFault::Http(fault.to_string()))?;
    let now = Instant::now();
    let shared = Arc::new(Connection {
        in_flight: AtomicUsize::new(0),
        limit: AtomicUsize::new(FIRST_STREAMS),
        answers: AtomicU64::new(0),
        unanswered: AtomicU64::new(0),
        last_used_ms: AtomicU64::new(0),
        ended: OnceLock::new(),
        retired: OnceLock::new(),
        notes,
        has_certificate,
        driver: AtomicWaker::new(),
    });
    let driver = Driver {
        pings: h2.ping_pong(),
        h2,
        probe: Some(sender.clone()),
        shared: Arc::clone(&shared),
        channel,
        limits,
        epoch,
        opened_at: now,
        heard_at: now,
        used_at: now,
        ping_sent_at: None,
        drain_until: None,
        timer: Box::pin(sleep_until(now + limits.ping_interval)),
    };
    Ok((shared, sender, driver))
}

impl Driver {
    /// Runs until the connection has ended, and lets its channel know.
    pub async fn run(mut self) -> Retired {
        let why = std::future::poll_fn(|cx| self.poll(cx)).await;
        self.channel.retire(&self.shared, why);
        self.shared.retired().unwrap_or(why)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Retired> {
        self.shared.driver.register(cx.waker());
        if let Poll::Ready(end) = Pin::new(&mut self.h2).poll(cx) {
            if let Err(fault) = &end {
                tracing::debug!(%fault, channel = %self.channel.key(), "connection ended");
            }
            return Poll::Ready(match end {
                Err(fault) if fault.is_go_away() && fault.is_remote() => Retired::GoAway,
                Ok(()) | Err(_) => Retired::Lost,
            });
        }
        let limit = self.h2.max_concurrent_send_streams().min(self.limits.max_streams);
        if self.shared.limit.swap(limit, Ordering::Relaxed) < limit {
            self.channel.hand_out();
        }
        if let Some(probe) = &mut self.probe
            && let Poll::Ready(Err(_)) = probe.poll_ready(cx)
        {
            self.channel.retire(&self.shared, Retired::GoAway);
        }
        let now = Instant::now();
        if self.shared.notes.heard.swap(false, Ordering::Relaxed) {
            self.heard_at = now;
        }
        if self.ping_sent_at.is_some()
            && let Some(pings) = &mut self.pings
            && pings.poll_pong(cx).is_ready()
        {
            self.ping_sent_at = None;
        }
        let due = match self.watch(now) {
            Ok(due) => due,
            Err(why) => return Poll::Ready(why),
        };
        if due < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Does what is due; when to look again, or why the connection is over.
    fn watch(&mut self, now: Instant) -> Result<Instant, Retired> {
        if self.shared.retired().is_some() {
            self.probe = None;
        }
        let busy = self.shared.in_flight.load(Ordering::Relaxed) > 0;
        if busy {
            self.used_at = now;
            let used_ms = now.duration_since(self.epoch).as_millis();
            let used_ms = u64::try_from(used_ms).unwrap_or(u64::MAX);
            self.shared.last_used_ms.store(used_ms, Ordering::Relaxed);
        }
        let mut due = match self.shared.retired() {
            Some(why) => {
                let until = *self.drain_until.get_or_insert(now + self.limits.drain);
                if now >= until {
                    return Err(why);
                }
                until
            }
            None => self.grow_old(now, busy),
        };
        if busy || self.ping_sent_at.is_some() {
            due = due.min(self.listen(now)?);
        }
        Ok(due)
    }

    /// Retires a connection that is old or idle.
    fn grow_old(&self, now: Instant, busy: bool) -> Instant {
        let old_at = self.opened_at + self.limits.max_age;
        let idle_at = self.used_at + self.limits.idle_close;
        if now >= old_at {
            self.channel.retire(&self.shared, Retired::Age);
        } else if !busy && now >= idle_at {
            self.channel.retire(&self.shared, Retired::Idle);
        } else {
            return if busy { old_at } else { old_at.min(idle_at) };
        }
        now + self.limits.drain
    }

    /// Asks a silent peer whether it is there, and gives it up if it is not.
    fn listen(&mut self, now: Instant) -> Result<Instant, Retired> {
        if let Some(sent_at) = self.ping_sent_at {
            let give_up_at = sent_at.max(self.heard_at) + self.limits.ping_timeout;
            if now < give_up_at {
                return Ok(give_up_at);
            }
            let _ = self.shared.ended.set("the server went silent (no answer to PING)".to_owned());
            return Err(Retired::Silent);
        }
        let ask_at = self.heard_at + self.limits.ping_interval;
        if now < ask_at {
            return Ok(ask_at);
        }
        if let Some(pings) = &mut self.pings
            && pings.send_ping(Ping::opaque()).is_ok()
        {
            self.ping_sent_at = Some(now);
        }
        Ok(now + self.limits.ping_timeout)
    }
}
