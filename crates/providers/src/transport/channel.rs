//! The connections of one app with one credential to one host for one purpose, and who waits for a
//! stream.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use h2::client::SendRequest;
use parking_lot::Mutex;
use pushroll_domain::{ApnsCertificate, AppId, Environment, Fingerprint, Provider};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::connection::{Connection, Retired};
use super::fault::TransportFault;
use super::pool::PoolInner;

/// Which provider's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    /// APNs.
    Apns(Environment),
    /// FCM.
    Fcm,
}

impl Host {
    pub const fn provider(self) -> Provider {
        match self {
            Self::Apns(_) => Provider::Apns,
            Self::Fcm => Provider::Fcm,
        }
    }

    pub const fn environment(self) -> Option<Environment> {
        match self {
            Self::Apns(environment) => Some(environment),
            Self::Fcm => None,
        }
    }
}

/// What requests are for. APNs slows down the streams of a connection on which tokens were
/// rejected, so what finds bad tokens and what reaches good ones never share a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Proving tokens.
    DryRun,
}

/// What shares connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ChannelKey {
    pub host: Host,
    pub credential: Fingerprint,
    /// Whose requests they carry: apps don't wait for each other's.
    pub app: Option<AppId>,
    pub purpose: Purpose,
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.credential.0;
        let environment = self.host.environment().map_or("", Environment::name);
        write!(f, "{} {environment} #{a:02x}{b:02x}{c:02x}{d:02x}", self.host.provider().name())
    }
}

/// A right to one stream on a connection, given back when dropped.
pub(crate) struct Lease {
    pub connection: Arc<Connection>,
    pub sender: SendRequest<Bytes>,
    channel: Arc<Channel>,
    /// Whether dropping it gives the stream back; not if that has been done.
    held: bool,
    answered: bool,
}

impl Lease {
    /// Notes that the request was answered.
    pub fn answered(&mut self) {
        self.answered = true;
        self.connection.answered();
    }

    /// Sees to it that the connection takes no new requests.
    pub fn retire(&self, why: Retired) {
        self.channel.retire(&self.connection, why);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.held {
            return;
        }
        // Dropped with the runtime itself, it must not start anything.
        let in_runtime = || Handle::try_current().is_ok();
        if !self.answered && self.connection.not_answered() && in_runtime() {
            self.retire(Retired::Unanswering);
        }
        let mut state = self.channel.state.lock();
        self.connection.in_flight.fetch_sub(1, Ordering::Relaxed);
        if state.waiting.is_empty() {
            return;
        }
        self.channel.hand_out_locked(&mut state);
        if !state.waiting.is_empty() && in_runtime() {
            self.channel.grow(&mut state);
        }
    }
}

/// A stream for who waits, or why there will be none.
pub(super) type Granted = Result<Lease, TransportFault>;

/// The answer to who asks for a stream.
pub(super) enum Asked {
    /// Here it is.
    Now(Lease),
    /// It will come.
    Wait(oneshot::Receiver<Granted>),
    /// Too many wait.
    Full,
    /// The pool has forgotten this channel: take another.
    Forgotten,
}

/// The most connections and waiting requests of a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChannelLimits {
    pub connections: usize,
    pub waiting: usize,
}

pub(crate) struct Channel {
    key: ChannelKey,
    certificate: Option<Arc<ApnsCertificate>>,
    limits: ChannelLimits,
    pool: Weak<PoolInner>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that take requests.
    slots: Vec<Slot>,
    /// Whether a connection is being made; one at a time.
    dialling: bool,
    waiting: VecDeque<oneshot::Sender<Granted>>,
    forgotten: bool,
}

struct Slot {
    connection: Arc<Connection>,
    sender: SendRequest<Bytes>,
}

impl Channel {
    pub fn new(
        key: ChannelKey,
        certificate: Option<Arc<ApnsCertificate>>,
        limits: ChannelLimits,
        pool: Weak<PoolInner>,
    ) -> Self {
        Self { key, certificate, limits, pool, state: Mutex::default() }
    }

    pub const fn key(&self) -> &ChannelKey {
        &self.key
    }

    /// The certificate to show to the host.
    pub const fn certificate(&self) -> Option<&Arc<ApnsCertificate>> {
        self.certificate.as_ref()
    }

    /// Asks for a stream. The first connection with room is filled first: fewer, fuller writes.
    pub fn ask(self: &Arc<Self>) -> Asked {
        let mut state = self.state.lock();
        if state.forgotten {
            return Asked::Forgotten;
        }
        if let Some(lease) = self.lease_locked(&state) {
            return Asked::Now(lease);
        }
        if state.waiting.len() >= self.limits.waiting {
            state.waiting.retain(|waiter| !waiter.is_closed());
            if state.waiting.len() >= self.limits.waiting {
                return Asked::Full;
            }
        }
        let (sender, waiting) = oneshot::channel();
        state.waiting.push_back(sender);
        self.grow(&mut state);
        Asked::Wait(waiting)
    }

    /// Puts a new connection into service.
    pub fn opened(self: &Arc<Self>, connection: Arc<Connection>, sender: SendRequest<Bytes>) {
        let mut state = self.state.lock();
        state.dialling = false;
        state.slots.push(Slot { connection, sender });
        self.hand_out_locked(&mut state);
    }

    /// There will be no new connection. Who waits learns why, unless there are other connections to
    /// wait for.
    pub fn not_opened(&self, fault: &TransportFault) {
        let mut state = self.state.lock();
        state.dialling = false;
        let refused = state.refused_if_alone();
        drop(state);
        refuse(refused, fault);
    }

    /// Takes a connection out of service: what is under way on it may end, nothing new begins. Whether it was in
    /// service until now.
    pub fn retire(self: &Arc<Self>, connection: &Arc<Connection>, why: Retired) -> bool {
        let mut state = self.state.lock();
        let Some(n) = state.slots.iter().position(|s| Arc::ptr_eq(&s.connection, connection))
        else {
            return false;
        };
        let slot = state.slots.swap_remove(n);
        connection.retire(why);
        let mut refused = Vec::new();
        if connection.is_proven() {
            if !state.waiting.is_empty() {
                self.grow(&mut state);
            }
        } else {
            // One that never answered anything is not replaced for those who wait: they might go
            // round for ever.
            refused = state.refused_if_alone();
        }
        drop(state);
        drop(slot);
        let fault = match (connection.certificate_fault(), connection.ended.get()) {
            (Some(fault), _) => TransportFault::Dial(fault),
            (None, Some(words)) => TransportFault::Lost(words.clone()),
            (None, None) => TransportFault::Lost(format!(
                "the connection ended before it answered anything ({})",
                why.name()
            )),
        };
        refuse(refused, &fault);
        true
    }

    /// Takes every connection out of service.
    pub fn retire_all(self: &Arc<Self>, why: Retired) {
        let connections: Vec<_> =
            self.state.lock().slots.iter().map(|s| Arc::clone(&s.connection)).collect();
        for connection in connections {
            self.retire(&connection, why);
        }
    }

    /// The number of connections that take requests.
    pub fn in_service(&self) -> usize {
        self.state.lock().slots.len()
    }

    /// The connection that has been idle for longest, and when it was last used.
    pub fn idlest(&self) -> Option<(u64, Arc<Connection>)> {
        let state = self.state.lock();
        let idle = state.slots.iter().map(|slot| &slot.connection).filter(|connection| {
            connection.in_flight.load(Ordering::Relaxed) == 0 && connection.is_proven()
        });
        idle.map(|connection| (connection.last_used_ms.load(Ordering::Relaxed), connection))
            .min_by_key(|(used_ms, _)| *used_ms)
            .map(|(used_ms, connection)| (used_ms, Arc::clone(connection)))
    }

    /// Gives free streams to who waits.
    pub fn hand_out(self: &Arc<Self>) {
        self.hand_out_locked(&mut self.state.lock());
    }

    /// Marks the channel as forgotten if nothing is left of it; whether it is.
    pub fn forget(&self) -> bool {
        let mut state = self.state.lock();
        state.waiting.retain(|waiter| !waiter.is_closed());
        state.forgotten = state.slots.is_empty() && !state.dialling && state.waiting.is_empty();
        state.forgotten
    }

    /// Has a connection made, unless there are enough, or one is being made, or one is so new that
    /// it may yet turn out to be enough.
    fn grow(self: &Arc<Self>, state: &mut State) {
        let unsettled = |slot: &Slot| !slot.connection.is_settled();
        if state.dialling
            || state.slots.len() >= self.limits.connections
            || state.slots.iter().any(unsettled)
        {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            state.dialling = true;
            pool.dial(Arc::clone(self));
        }
    }

    fn lease_locked(self: &Arc<Self>, state: &State) -> Option<Lease> {
        let slot = state.slots.iter().find(|slot| slot.connection.has_room())?;
        slot.connection.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Lease {
            connection: Arc::clone(&slot.connection),
            sender: slot.sender.clone(),
            channel: Arc::clone(self),
            held: true,
            answered: false,
        })
    }

    fn hand_out_locked(self: &Arc<Self>, state: &mut State) {
        while let Some(waiter) = state.waiting.pop_front() {
            if waiter.is_closed() {
                continue;
            }
            let Some(lease) = self.lease_locked(state) else {
                state.waiting.push_front(waiter);
                return;
            };
            // Who waited may be gone this very moment. The lease's own drop would want the lock
            // that we hold.
            if let Err(Ok(mut unwanted)) = waiter.send(Ok(lease)) {
                unwanted.held = false;
                unwanted.connection.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl State {
    /// Those who wait for nothing any more.
    fn refused_if_alone(&mut self) -> Vec<oneshot::Sender<Granted>> {
        if self.dialling || !self.slots.is_empty() {
            return Vec::new();
        }
        self.waiting.drain(..).collect()
    }
}

fn refuse(waiting: Vec<oneshot::Sender<Granted>>, fault: &TransportFault) {
    for waiter in waiting {
        let _ = waiter.send(Err(fault.clone()));
    }
}
